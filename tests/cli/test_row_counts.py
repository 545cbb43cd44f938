"""How real models are given their items: operations and a trial decide, and no value moves to another item."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fanwise.errors import BundleError, ItemError, PredictionFailed, ResultShapeMismatch
from fanwise.model.contract import Contract
from fanwise.model.layout import Layout
from fanwise.model.model import Model
from fanwise.model.runtime import import_runtime
from fanwise.model.trial import Tried, try_out
from fanwise_cli.row_counts import changing_rows, notes_of_rows

Made = Callable[..., tuple[Tried, str | None, Model]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Saves a function of tensors with TensorFlow, tries it, and answers with the model as PredictBatch has it."""
    module = import_runtime("tensorflow")
    import tensorflow as tf

    from fanwise_cli.operations.saved_model import reached

    def make(function: Callable[..., Any], **inputs: Any) -> tuple[Tried, str | None, Model]:
        folder = tmp_path_factory.mktemp("rows")
        saved = tf.Module()
        specs = [tf.TensorSpec(shape, dtype, name) for name, (dtype, shape) in inputs.items()]
        saved.f = tf.function(lambda *tensors: {"y": function(tf, *tensors)}, input_signature=specs)
        names = dict(zip(inputs, specs, strict=True))
        served = tf.function(lambda **tensors: saved.f(*(tensors[name] for name in inputs)))
        saved.g = served.get_concrete_function(**names)
        tf.saved_model.save(saved, str(folder / "saved_model"), signatures=saved.g)
        operations = reached(folder / "saved_model", "serving_default")
        changing = changing_rows(one.op for one in operations.served)
        runtime = module.load(folder, "serving_default", threads=1)
        tried = try_out(runtime, Contract(), {}, changing=changing is not None)
        return tried, changing, Model(Contract(), {}, runtime, layout=tried.layout)

    return make


def predicted(model: Model, items: list[dict[str, Any]]) -> list[dict[str, object] | ItemError]:
    """As PredictBatch has it: rows, and mini-batches of them."""
    found: list[dict[str, object] | ItemError] = []
    for begin in range(0, len(items), model.mini_batch):
        rows = [
            model.encode(
                {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in item.items()},
                None,
                lambda _: b"",
                lambda uri: uri,
            )
            for item in items[begin : begin + model.mini_batch]
        ]
        found += model.predict(rows)
    return found


def test_words_of_one_item_do_not_become_another_items(made: Made) -> None:
    """Of 200 items one has two words and another none: as many words as items."""
    tried, changing, model = made(
        lambda tf, text: tf.strings.length(tf.strings.split(text).flat_values), text=("string", [None])
    )
    assert tried.layout == Layout(item_at_a_time=True)
    assert changing == "DenseBincount"
    (note,) = notes_of_rows(tried, changing)
    assert note.startswith(f"Predicted an item at a time: its operation {changing} may make")
    items = [{"text": "a" * (1 + n)} for n in range(200)]
    items[70]["text"], items[130]["text"] = "two words", ""
    found = predicted(model, items)
    assert [type(found.pop(n)) for n in (130, 70)] == [ResultShapeMismatch] * 2
    assert found == [{"y": 1 + n} for n in range(200) if n not in (70, 130)]


def test_rows_that_are_masked_out_do_not_shift_others(made: Made) -> None:
    tried, changing, model = made(lambda tf, x: tf.boolean_mask(x, x[:, 0] > 0), x=("float32", [None, 2]))
    assert (tried.layout, changing) == (Layout(item_at_a_time=True), "Where")
    found = predicted(model, [{"x": [n % 5, n]} for n in range(20)])
    for n, one in enumerate(found):
        assert isinstance(one, ResultShapeMismatch) if n % 5 == 0 else one == {"y": [n % 5, n]}


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda tf, x: tf.reduce_sum(x), r"output 'y' has no batch dimension|not one row an item"),
        (
            lambda tf, x: tf.reduce_sum(x, axis=0),
            r"'y' is float32 \[2\], whatever the number of items.*\"drop\"",
        ),
        (lambda tf, x: tf.repeat(x, 2, axis=0), r"'y' has shape \[64, 2\] for 32 synthetic items"),
        (lambda tf, x: tf.transpose(x), r"'y' is float32 \[2, \?\], whatever the number of items"),
        (lambda tf, x: tf.zeros([32, 1]), r"'y' is float32 \[32, 1\], whatever the number of items"),
        (lambda tf, x: x[:5], r"'y' has shape \[5, 2\] for 32 synthetic items"),
        (lambda tf, x: tf.concat([x, x[:1]], axis=0), r"'y' has shape \[33, 2\] for 32 synthetic items"),
    ],
)
def test_what_is_not_one_row_an_item_is_refused(made: Made, function: Any, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        made(function, x=("float32", [None, 2]))


def test_a_recurrent_output_in_the_order_of_time_is_refused(made: Made) -> None:
    """As many steps as a mini-batch has items would pass for them."""
    with pytest.raises(BundleError, match="not one row an item"):
        made(lambda tf, x: tf.transpose(x, [1, 0, 2]), x=("float32", [None, None, 3]))


def test_a_model_that_rejects_synthetic_items_is_given_one_at_a_time(made: Made) -> None:
    """Nothing has shown whose its rows are."""

    def checked(tf: Any, x: Any) -> Any:
        with tf.control_dependencies([tf.debugging.assert_greater(x, 1.0, message="too small")]):
            return x + 1

    tried, changing, model = made(checked, x=("float32", [None, 1]))
    assert tried.layout == Layout(item_at_a_time=True)
    (note,) = notes_of_rows(tried, changing)
    assert note.startswith("Predicted an item at a time, since it rejects synthetic items: assertion failed")
    assert "too small" in note
    good, bad = predicted(model, [{"x": 2}, {"x": 1}])
    assert good == {"y": [3.0]}
    assert isinstance(bad, PredictionFailed)


def test_sizes_that_go_together_are_found(made: Made) -> None:
    tried, _, model = made(
        lambda tf, image: tf.reduce_mean(tf.reshape(image, [-1, 12 * 12 * 3]), axis=1),
        image=("float32", [None, None, None, 3]),
    )
    assert tried == Tried(Layout(row_shapes={"image": (12, 12, 3)}))
    assert model.synthetic_inputs()["image"].shape == (16, 12, 12, 3)


@pytest.mark.parametrize(
    ("inputs", "function", "item", "prediction", "layout"),
    [
        (
            {"x": ("float32", [])},
            lambda tf, x: x * 2,
            {"x": 3},
            6.0,
            Layout(batched=False, item_at_a_time=True, whole=("y",)),
        ),
        (
            {"x": ("float32", [4]), "k": ("int32", [])},
            lambda tf, x, k: tf.reduce_sum(x) * tf.cast(k, "float32"),
            {"x": [1, 2, 3, 4], "k": 2},
            20.0,
            Layout(batched=False, item_at_a_time=True, whole=("y",)),
        ),
        (
            {"word": ("string", [])},
            lambda tf, word: tf.strings.upper(word),
            {"word": "abc"},
            "ABC",
            Layout(batched=False, item_at_a_time=True, whole=("y",)),
        ),
        (
            {"boxes": ("float32", [4, 2])},
            lambda tf, boxes: tf.boolean_mask(boxes, boxes[:, 1] > 0.5),
            {"boxes": [[1, 0.75], [2, 0], [3, 1], [4, 0]]},
            [[1.0, 0.75], [3.0, 1.0]],
            Layout(batched=False, item_at_a_time=True, whole=("y",)),
        ),
        (
            {"boxes": ("float32", [1, 2, 2])},
            lambda tf, boxes: tf.boolean_mask(boxes[0], boxes[0, :, 1] > 0.5),
            {"boxes": [[1, 0.75], [2, 0]]},
            [[1.0, 0.75]],
            Layout(item_at_a_time=True, whole=("y",)),
        ),
        (
            {"x": ("float32", [1, 2])},
            lambda tf, x: x + 1,
            {"x": [1, 2]},
            [2.0, 3.0],
            Layout(item_at_a_time=True),
        ),
        ({"x": ("float32", [4, 2])}, lambda tf, x: x + 1, {"x": [1, 2]}, [2.0, 3.0], Layout()),
    ],
)
def test_a_model_that_is_given_items_by_themselves(
    made: Made, inputs: Any, function: Any, item: dict[str, Any], prediction: Any, layout: Layout
) -> None:
    tried, changing, model = made(function, **inputs)
    assert tried == Tried(layout)
    assert predicted(model, [item, item]) == [{"y": prediction}] * 2
    notes = notes_of_rows(tried, changing)
    assert len(notes) == bool(layout.whole)
    assert all(note.startswith("Predicted an item at a time") and "'y'" in note for note in notes)


@pytest.mark.parametrize(
    "operation",
    [
        "Where",
        "UniqueV2",
        "NonMaxSuppressionV5",
        "StringSplitV2",
        "RaggedTensorToTensor",
        "SegmentSum",
        "WHERE",
    ],
)
def test_operations_that_make_as_many_rows_as_values_say(operation: str) -> None:
    assert changing_rows(["MatMul", operation]) == operation


@pytest.mark.parametrize(
    "operation",
    [
        "SelectV2",
        "GatherV2",
        "MatMul",
        "SparseMatMul",
        "CombinedNonMaxSuppression",
        "UnsortedSegmentSum",
        "GATHER",
    ],
)
def test_operations_whose_rows_go_by_shapes(operation: str) -> None:
    assert changing_rows([operation]) is None


def test_litert_reads_a_text_without_dimensions(tmp_path: Path) -> None:
    """Given as other texts are, it would read an address for one."""
    lite = import_runtime("litert")
    import_runtime("tensorflow")
    import tensorflow as tf

    saved = tf.Module()
    saved.f = tf.function(
        lambda word: {"y": tf.identity(word)}, input_signature=[tf.TensorSpec([], tf.string, "word")]
    )
    tf.saved_model.save(saved, str(tmp_path / "saved_model"), signatures=saved.f)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "saved_model"))
    (tmp_path / "model.tflite").write_bytes(converter.convert())
    runtime = lite.load(tmp_path, "serving_default", threads=1)
    model = Model(Contract(), {}, runtime, layout=try_out(runtime, Contract(), {}).layout)
    *good, empty, nul = predicted(
        model, [{"word": word} for word in ("a", "größe", "a\0b", "x" * 999, "", "a\0")]
    )
    assert good == [{"y": word} for word in ("a", "größe", "a\0b", "x" * 999)]
    for one in (empty, nul):
        assert isinstance(one, PredictionFailed)
        assert "LiteRT takes no text that is empty or ends with NUL" in str(one)
