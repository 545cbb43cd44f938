"""Models whose answers were wrong, prepared: on which runtime they run, how they are called, and what they answer.

Prepared in this process, which has TensorFlow; what it measures is left out.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from fanwise.errors import BundleError, ItemError
from fanwise.model.bundle import Conversion, Digest
from fanwise.model.calls import PLAIN, Calls
from fanwise.model.contract import Contract
from fanwise.model.model import Model
from fanwise.model.runtime import import_runtime, load
from fanwise_cli import prepare_bundle as preparing
from fanwise_cli.bundles import Report

Specs = Sequence[tuple[str, tuple[int | None, ...], str]]


class Made(NamedTuple):
    """A prepared bundle."""

    folder: Path
    report: Report

    def model(self, runtime: str) -> Model:
        """It, loaded as a handler loads it."""
        calls = self.report.calls.get(runtime, PLAIN)  # type: ignore[call-overload]
        computes = load(runtime, self.folder, "serving_default", memory_mb=1024, calls=calls)
        layout = self.report.layout
        return Model(Contract(), {}, computes, layout=layout, item_at_a_time=calls.item_at_a_time)

    def answers(self, runtime: str, **columns: Any) -> list[Any]:
        """What it predicts for rows, in calls as long as they may be: `y`, or the error."""
        model = self.model(runtime)
        rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        found: list[Any] = []
        for begin in range(0, len(rows), model.mini_batch):
            found += model.predict(rows[begin : begin + model.mini_batch])
        return [one if isinstance(one, ItemError) else one["y"] for one in found]


Prepared = Callable[..., Made]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Saves a function with what it uses, and prepares it."""
    import_runtime("tensorflow")
    import tensorflow as tf

    def prepare(function: Any, specs: Specs, *, accept: bool = False, **uses: Any) -> Made:
        folder: Path = tmp_path_factory.mktemp("right") / "bundle"
        module = tf.Module()
        for name, value in uses.items():
            setattr(module, name, value)
        signature = [tf.TensorSpec(shape, dtype, name) for name, shape, dtype in specs]
        module.f = tf.function(lambda *given: {"y": function(*given)}, input_signature=signature)
        tf.saved_model.save(module, str(folder / "saved_model"), signatures=module.f)
        return _prepared(folder, accept=accept)

    return prepare


def _prepared(folder: Path, *, accept: bool = False) -> Made:
    told: list[Report] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preparing, "measure_apart", lambda *_, **__: None)
        patch.setattr(preparing, "_of_tensorflow", lambda *_: None)
        preparing.prepare_bundle(folder, told.append, accept=accept)
    return Made(folder, told[-1])


OPEN: Specs = [("t", (None, None), "float32")]
WITH_N: Specs = [("x", (None, 4), "float32"), ("n", (None,), "int32")]
X: Specs = [("x", (None, 2), "float32")]


def floats(*values: Any) -> Any:
    return np.array(values, np.float32)


def test_an_item_that_reads_outside_of_a_tensor_is_a_dead_letter(prepared: Prepared) -> None:
    """LiteRT answered with another item's memory."""
    last = prepared(lambda t: t[:, -1], OPEN)
    assert last.report.runtimes == ("tensorflow",)
    assert "of its STRIDED_SLICE" in last.report.notes[0]
    empty, full = last.answers("tensorflow", t=[floats(), floats(1, 2, 3)])
    assert "slice index -1 of dimension 1 out of bounds" in str(empty)
    assert full == 3


def test_lengths_and_segments_out_of_range_are_dead_letters(prepared: Prepared) -> None:
    import tensorflow as tf

    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    turned = prepared(lambda x, n: tf.reverse_sequence(x, n, seq_axis=1), WITH_N)
    right, wrong = turned.answers("tensorflow", x=x, n=np.array([4, 7], np.int32))
    assert right == [3, 2, 1, 0]
    assert "seq_lens(0) > input.dims(1)" in str(wrong)

    def unused(x: Any, n: Any) -> Any:  # the converter leaves the sum out, and with it the complaint
        return x + tf.reduce_sum(tf.math.unsorted_segment_sum(tf.ones_like(n, tf.float32), n, 4)) * 0

    summed = prepared(unused, WITH_N)
    assert "it predicts an item that TensorFlow refuses" in summed.report.notes[0]
    right, wrong = summed.answers("tensorflow", x=x, n=np.array([2, 5], np.int32))
    assert right == [0, 1, 2, 3]
    assert "segment_ids[0] = 5 is out of range" in str(wrong)


def test_boxes_that_litert_would_invent_are_none(prepared: Prepared) -> None:
    import tensorflow as tf

    def boxes(x: Any) -> Any:
        kept = tf.image.non_max_suppression(x[0], tf.constant([0.9, 0.8, 0.1]), 3, 0.5, 0.5)
        return tf.gather(x[0], kept)

    made = prepared(boxes, [("x", (1, 3, 4), "float32")])
    assert made.report.runtimes == ("tensorflow",)


def test_what_differs_is_run_on_litert_where_it_is_accepted(prepared: Prepared) -> None:
    made = prepared(lambda t: t[:, -1], OPEN, accept=True)
    assert made.report.runtimes == ("tensorflow", "litert")
    assert made.report.conversion is not None
    assert made.report.conversion.accepted is not None
    assert "by --accept-difference for LiteRT: of its STRIDED_SLICE" in made.report.notes[0]
    assert made.answers("litert", t=[floats(1, 2, 3)]) == [3]


def test_what_cannot_be_converted_is_not_accepted(prepared: Prepared) -> None:
    import tensorflow as tf

    made = prepared(lambda x: tf.linalg.det(x[:, :, None] * x[:, None, :]), X, accept=True)
    conversion = made.report.conversion
    assert conversion is not None
    assert (conversion.accepted, conversion.can_be_accepted) == (None, False)


def test_a_variable_that_is_written_is_reset_before_each_mini_batch(prepared: Prepared) -> None:
    import tensorflow as tf

    count = tf.Variable(0.0, name="count")
    made = prepared(lambda x: x + count.assign_add(1.0), X, count=count)
    assert made.report.calls == {"tensorflow": Calls(reset="variables", variables=("count",))}
    assert any("its variables reset before each mini-batch" in note for note in made.report.notes)
    rows = np.arange(200, dtype=np.float32).reshape(100, 2)
    assert made.answers("tensorflow", x=rows) == (rows + 1).tolist()


def test_a_variable_that_sums_the_batch_is_reset_before_each_item(prepared: Prepared) -> None:
    import tensorflow as tf

    total = tf.Variable(0.0, name="total")
    made = prepared(lambda x: x + total.assign_add(tf.reduce_sum(x)), X, total=total)
    calls = Calls(reset="variables", variables=("total",), item_at_a_time=True)
    assert made.report.calls == {"tensorflow": calls}
    rows = np.arange(20, dtype=np.float32).reshape(10, 2)
    assert made.answers("tensorflow", x=rows) == (rows + rows.sum(axis=1, keepdims=True)).tolist()


def test_statistics_of_the_batch_are_those_of_one_item(prepared: Prepared) -> None:
    import tensorflow as tf

    made = prepared(lambda x: x - tf.reduce_mean(x, axis=0, keepdims=True), X)
    assert made.report.runtimes == ("litert", "tensorflow")
    assert set(made.report.calls.values()) == {Calls(item_at_a_time=True)}
    for runtime in made.report.runtimes:
        assert made.answers(runtime, x=np.arange(20, dtype=np.float32).reshape(10, 2)) == [[0, 0]] * 10


def test_a_tflite_that_keeps_state_is_loaded_anew(prepared: Prepared, tmp_path: Path) -> None:
    import tensorflow as tf

    count = tf.Variable(0.0, name="count")
    made = prepared(lambda x: x + count.assign_add(1.0), X, count=count)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(made.folder / "saved_model"))
    (tmp_path / "model.tflite").write_bytes(converter.convert())
    bare = _prepared(tmp_path)
    assert bare.report.calls == {"litert": Calls(reset="model")}
    assert bare.report.notes == [
        "It keeps state (ASSIGN_VARIABLE), so it is loaded anew before each mini-batch."
    ]
    rows = np.arange(200, dtype=np.float32).reshape(100, 2)
    assert bare.answers("litert", x=rows) == (rows + 1).tolist()


def test_a_tflite_with_an_unchecked_operation_runs_with_a_line_that_names_it(
    prepared: Prepared, tmp_path: Path
) -> None:
    made = prepared(lambda t: t[:, -1], OPEN, accept=True)
    (tmp_path / "model.tflite").write_bytes((made.folder / "model.tflite").read_bytes())
    (note,) = _prepared(tmp_path).report.notes
    assert note.startswith("Of its STRIDED_SLICE, LiteRT checks less than TensorFlow: ")


def test_a_model_that_draws_is_refused_on_both(prepared: Prepared) -> None:
    import tensorflow as tf

    with pytest.raises(BundleError, match=r"draws at random \(RandomUniform "):
        prepared(lambda x: x + tf.random.uniform(tf.shape(x)), X)


def test_how_it_is_called_is_part_of_a_bundles_digest() -> None:
    from fanwise.model.bundle import digest_of

    files = {"model.tflite": "0" * 64}
    plain = digest_of(files)
    assert digest_of(files, {}) == plain
    assert digest_of(files, {"litert": Calls(reset="model")}) != plain
    assert Digest.__struct_fields__[-1] == "calls"


def test_accepting_goes_with_litert_only() -> None:
    from fanwise.errors import InputError
    from fanwise_cli.preparation import RunOptions, accepts

    options = RunOptions(items=Path("items"), out=Path("out"), accept_difference=True)
    assert accepts(options, "litert")
    for runtime in ("auto", "tensorflow"):
        with pytest.raises(InputError, match=r"^--accept-difference: .* goes with --runtime litert$"):
            accepts(options, runtime)
    assert not accepts(RunOptions(items=Path("items"), out=Path("out")), "auto")


@pytest.mark.parametrize(
    ("conversion", "says"),
    [
        (Conversion(refused="why", can_be_accepted=True), "--accept-difference, where it is run or pushed"),
        (Conversion(refused="why"), "nothing that --accept-difference could accept"),
    ],
)
def test_a_refused_runtime_names_what_can_be_accepted(conversion: Conversion, says: str) -> None:
    from fanwise.model.bundle import _runtime
    from fanwise.model.signature import Signature

    digest = Digest(
        digest="sha256:0",
        files={},
        runtimes=("tensorflow",),
        signature=Signature({}, {}),
        prepared_by="a test",
        conversion=conversion,
    )
    with pytest.raises(BundleError, match=r"not for litert: why.*" + says):
        _runtime("m@1", digest, "litert", ("litert", "tensorflow"))
