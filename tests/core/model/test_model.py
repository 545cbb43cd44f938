"""Encode and predict over a runtime that behaves: padding, groups, and rows that the runtime rejects."""

import io
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image

from fake_runtime import FakeRuntime, Shape
from fanwise.errors import (
    BundleError,
    ItemError,
    ModelError,
    NonFiniteResult,
    NotANumber,
    PredictionFailed,
    ResultShapeMismatch,
    ResultTooLarge,
)
from fanwise.limits import MAX_RESULT_VALUES
from fanwise.model.contract import Contract, ImageInput, NumberInput, OutputContract
from fanwise.model.model import Model, Row
from fanwise.model.runtime import ComputeError, Tensors
from fanwise.model.signature import TensorSpec
from fanwise.model.trial import try_out

ROWS = 4


class Doubling:
    """A runtime with a fixed batch: y = 2x, and it rejects a batch that holds a negative number."""

    def __init__(
        self, row: tuple[int | None, ...] = (2,), failing: Callable[[Tensors], bool] | None = None
    ) -> None:
        self.inputs = {"x": TensorSpec("float32", (ROWS, *row))}
        self.outputs = {"y": TensorSpec("float32", (ROWS, *row))}
        self.seen: list[np.ndarray[Any, Any]] = []
        self._failing = failing or (lambda tensors: bool((tensors["x"] < 0).any()))

    def predict(self, tensors: Tensors) -> dict[str, np.ndarray[Any, Any]]:
        self.seen.append(tensors["x"])
        if self._failing(tensors):
            raise ComputeError("negative", of_values=True)
        with np.errstate(over="ignore"):
            return {"y": tensors["x"] * 2}


def row(*values: float) -> dict[str, Any]:
    return {"x": np.array(values, np.float32)}


def test_a_mini_batch_is_padded_to_its_size_and_answered_without_the_padding() -> None:
    runtime = Doubling()
    model = Model(Contract(), {}, runtime)
    assert model.mini_batch == ROWS
    assert model.predict([row(1, 2), row(0.1, 4)]) == [{"y": [2.0, 4.0]}, {"y": [0.2, 8.0]}]
    assert [seen.shape for seen in runtime.seen] == [(ROWS, 2)]
    assert model.predict([]) == []


def test_more_rows_than_a_mini_batch_are_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match=r"5 rows are more than the mini-batch of 4"):
        Model(Contract(), {}, Doubling()).predict([row(1, 2)] * 5)


def test_a_rejected_mini_batch_is_tried_row_by_row() -> None:
    runtime = Doubling()
    first, wrong, last = Model(Contract(), {}, runtime).predict([row(1, 2), row(-1, 2), row(3, 4)])
    assert (first, last) == ({"y": [2.0, 4.0]}, {"y": [6.0, 8.0]})
    assert isinstance(wrong, PredictionFailed)
    assert str(wrong) == "the model failed on this item: negative"
    assert [seen.shape for seen in runtime.seen] == [(ROWS, 2)] * 4
    assert (runtime.seen[2] == [-1, 2]).all()  # alone: its padding is itself


def test_a_model_that_rejects_everything_fails_every_row() -> None:
    runtime = Doubling(failing=lambda _: True)
    assert [type(r) for r in Model(Contract(), {}, runtime).predict([row(1, 2)] * 3)] == [
        PredictionFailed
    ] * 3
    assert len(runtime.seen) == 4
    assert [type(r) for r in Model(Contract(), {}, runtime).predict([row(1, 2)])] == [PredictionFailed]
    assert len(runtime.seen) == 5


def test_many_rows_in_one_go_are_computed_in_mini_batches() -> None:
    runtime = Doubling()
    model = Model(Contract(), {}, runtime)
    items = [{"x": msgspec.Raw(msgspec.json.encode([n, 0.1]))} for n in range(10)]
    stack = model.stack(items)
    assert stack is not None
    rows = [model.encode(item, None, lambda _: b"", lambda uri: uri) for item in items]
    assert stack["x"].tobytes() == np.stack([row["x"] for row in rows]).tobytes()
    assert model.predict_stack(stack) == [{"y": [2.0 * n, 0.2]} for n in range(10)]
    assert [seen[:, 0].tolist() for seen in runtime.seen] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 8, 8]]


def test_of_many_rows_only_the_mini_batch_that_is_rejected_is_tried_row_by_row() -> None:
    runtime = Doubling()
    rows = np.array([[n, 1] for n in (1, 2, 3, 4, 5, -6, 7, 8, 9)], np.float32)
    found = Model(Contract(), {}, runtime).predict_stack({"x": rows})
    assert isinstance(found[5], PredictionFailed)
    assert [*found[:5], *found[6:]] == [{"y": [2.0 * n, 2.0]} for n in (1, 2, 3, 4, 5, 7, 8, 9)]
    alone = [seen[0, 0] for seen in runtime.seen if len(np.unique(seen, axis=0)) == 1]
    assert alone == [5, -6, 7, 8, 9]  # the last one is a mini-batch by itself


@pytest.mark.parametrize("x", ["[1]", "[1, null]", '["a", 1]'])
def test_one_item_that_is_not_plain_is_left_to_be_encoded_by_itself(x: str) -> None:
    model = Model(Contract(), {}, Doubling())
    assert model.stack([{"x": msgspec.Raw(b"[1, 2]")}, {"x": msgspec.Raw(x.encode())}]) is None
    assert model.stack([{"x": msgspec.Raw(b"[1, 2]")}, {}]) is None


def test_large_items_are_encoded_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    """As numbers of Python, many of them at once would not fit."""
    model, item = Model(Contract(), {}, Doubling()), {"x": msgspec.Raw(b"[1, 2]")}
    monkeypatch.setattr("fanwise.model.inputs.MAX_STACKED_BYTES", 18)
    assert model.stack([item] * 3) is not None
    assert model.stack([item] * 4) is None


def test_columns_are_stacked_as_they_are_encoded() -> None:
    contract = Contract(inputs={"x": NumberInput(columns=("a", "b"))})
    model = Model(contract, {}, Doubling())
    items = [{"a": msgspec.Raw(b"%d" % n), "b": msgspec.Raw(b"0.3")} for n in range(3)]
    stack = model.stack(items)
    assert stack is not None
    assert stack["x"].tolist() == [[n, np.float32(0.3)] for n in range(3)]
    assert model.stack([*items, {"a": msgspec.Raw(b"1")}]) is None
    assert model.stack([*items, {"a": msgspec.Raw(b"1"), "b": msgspec.Raw(b"[1]")}]) is None


def test_rows_of_different_shapes_are_computed_by_shape() -> None:
    runtime = Doubling((None,))
    found = Model(Contract(), {}, runtime).predict([row(1), row(2, 3), row(4), row(5, 6)])
    assert found == [{"y": [2.0]}, {"y": [4.0, 6.0]}, {"y": [8.0]}, {"y": [10.0, 12.0]}]
    assert [seen.shape for seen in runtime.seen] == [(ROWS, 1), (ROWS, 2)]


def test_a_result_that_is_not_finite_is_its_items_alone() -> None:
    good, wrong = Model(Contract(), {}, Doubling()).predict([row(1, 2), row(3e38, 1)])
    assert good == {"y": [2.0, 4.0]}
    assert isinstance(wrong, NonFiniteResult)


def test_a_result_with_too_many_values_is_its_items_alone() -> None:
    """Where the signature leaves a size open, so that only the model's answer shows it."""
    model = Model(Contract(), {}, Doubling((None,)))
    (most,) = model.predict([row(*[1.5] * MAX_RESULT_VALUES)])
    assert most == {"y": [3.0] * MAX_RESULT_VALUES}
    small, large = model.predict([row(1), row(*[1.5] * (MAX_RESULT_VALUES + 1))])
    assert small == {"y": [2.0]}
    assert isinstance(large, ResultTooLarge)
    assert "300,001 values; at most 300,000" in str(large)


class TwoOutputs(Doubling):
    """A second output, which is NaN, and by wish not one row an item."""

    def __init__(self, rows: int = ROWS) -> None:
        super().__init__()
        self.outputs["z"] = TensorSpec("float32", None)
        self._rows = rows

    def predict(self, tensors: Tensors) -> dict[str, np.ndarray[Any, Any]]:
        return super().predict(tensors) | {"z": np.full(self._rows, np.nan, np.float32)}


def test_outputs_are_written_under_their_names_and_dropped_ones_do_not_count() -> None:
    contract = Contract(outputs={"y": OutputContract(as_="doubled"), "z": OutputContract(drop=True)})
    assert Model(contract, {}, TwoOutputs()).predict([row(1, 2)]) == [{"doubled": [2.0, 4.0]}]
    assert Model(contract, {}, TwoOutputs(3)).predict([row(1, 2)]) == [{"doubled": [2.0, 4.0]}]


def test_an_output_without_a_row_for_each_item_fails_them() -> None:
    """The probe stops a job whose items all fail."""
    (failed,) = Model(Contract(), {}, TwoOutputs(3)).predict([row(1, 2)])
    assert isinstance(failed, ResultShapeMismatch)
    assert str(failed).startswith("output 'z' has shape [3] for 4 times the item, so it is not one row;")


def repeated(x: Any) -> Any:
    """The model: each item as often as it says, with its own number."""
    return np.repeat(x[:, 1:], x[:, 0].astype(int), axis=0)


def test_an_item_with_two_rows_is_a_dead_letter_and_its_neighbours_are_predicted() -> None:
    runtime = FakeRuntime({"x": (None, 2)}, {"y": (None, 1)}, repeated)
    model = Model(Contract(), {}, runtime)
    rows = np.array([[1, n] for n in range(200)], np.float32)
    rows[150, 0] = 2
    found = model.predict_stack({"x": rows})
    assert isinstance(found.pop(150), ResultShapeMismatch)
    assert found == [{"y": [float(n)]} for n in range(200) if n != 150]
    assert (
        len(runtime.seen) == 5 + 7 + 32
    )  # in one go until it, in mini-batches, and one of them item by item
    assert len(model.predict([row(1, 2)] * 32)) == 32


@pytest.mark.parametrize("item_at_a_time", ["by its layout", "because its answers depend on each other"])
def test_rows_that_the_values_say_do_not_move_to_other_items(item_at_a_time: str) -> None:
    """Of two items one has two rows and the other none: as many as there are items."""
    runtime = FakeRuntime({"x": (None, 2)}, {"y": (None, 1)}, repeated)
    if item_at_a_time == "by its layout":
        model = Model(Contract(), {}, runtime, layout=try_out(runtime, Contract(), {}, changing=True).layout)
    else:
        model = Model(Contract(), {}, runtime, item_at_a_time=True)
    assert (model.mini_batch, model.most_at_once) == (1, 1)
    rows = [(2, 10), (1, 11), (0, 12), (1, 13)]
    two, one, none, last = (model.predict([row(*values)])[0] for values in rows)
    assert isinstance(two, ResultShapeMismatch)
    assert isinstance(none, ResultShapeMismatch)
    assert (one, last) == ({"y": [11.0]}, {"y": [13.0]})
    assert {len(call["x"]) for call in runtime.seen} == {1}


def test_one_item_of_a_fixed_batch_is_given_with_copies_of_itself() -> None:
    runtime = FakeRuntime({"x": (4, 1)}, {"y": (4, 1)}, lambda x: x / x.sum() * 4)
    model = Model(Contract(), {}, runtime, item_at_a_time=True)
    assert model.mini_batch == 1
    assert [model.predict([row(n)]) for n in (3, 5)] == [[{"y": [1.0]}]] * 2


def encoded(model: Model, **values: Any) -> Row:
    inputs = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in values.items()}
    return model.encode(inputs, None, lambda _: b"", lambda uri: uri)


@pytest.mark.parametrize(
    ("shape", "x", "output", "y"),
    [
        ((), 3, (), 3.0),
        ((4,), [1, 2, 3, 4], (), 10.0),
        ((2, 3), [[1, 2, 3], [4, 5, 6]], (None,), [5.0, 7.0, 9.0]),
    ],
)
def test_a_model_without_a_batch_dimension_is_given_items_as_they_are(
    shape: tuple[int, ...], x: Any, output: tuple[int | None, ...], y: Any
) -> None:
    runtime = FakeRuntime({"x": shape}, {"y": output}, lambda x: x.sum(axis=0) if x.ndim else x)
    model = Model(Contract(), {}, runtime, layout=try_out(runtime, Contract(), {}).layout)
    assert model.predict([encoded(model, x=x)]) == [{"y": y}]


def test_all_rows_of_a_batch_of_one_are_its_items() -> None:
    """Detections: as many as are found, from none on, and a row always has as many dimensions."""

    def detections(x: Any) -> dict[str, Any]:
        return {
            "boxes": x[0][x[0, :, 1] > 0.5],
            "count": (x[0, :, 1] > 0.5).sum(),
            "score": x.max(axis=(1, 2)),
        }

    outputs: dict[str, Shape] = {"boxes": (None, 2), "count": (), "score": (1,)}
    runtime = FakeRuntime({"x": (1, 3, 2)}, outputs, detections)
    model = Model(Contract(), {}, runtime, layout=try_out(runtime, Contract(), {}, changing=True).layout)
    found = [
        model.predict([encoded(model, x=[[1, a], [2, b], [3, 0]])])[0]
        for a, b in ((0.75, 0), (0.75, 1), (0, 0))
    ]
    assert found == [
        {"boxes": [[1.0, 0.75]], "count": 1.0, "score": 3.0},
        {"boxes": [[1.0, 0.75], [2.0, 1.0]], "count": 2.0, "score": 3.0},
        {"boxes": [], "count": 0.0, "score": 3.0},
    ]


def test_an_item_that_is_predicted_whole_has_scores_and_limits_like_a_row() -> None:
    contract = Contract(outputs={"y": OutputContract(keep="argmax", labels="l")})
    runtime = FakeRuntime({"x": (3,), "k": ()}, {"y": (3,)}, lambda x, k: k * x)
    model = Model(contract, {"l": ("a", "b", "c")}, runtime)
    assert model.predict([encoded(model, x=[1, 3, 2], k=2)]) == [{"y": {"label": "b", "score": 6.0}}]
    runtime = FakeRuntime({"k": ()}, {"y": (None,)}, lambda k: np.zeros(int(k)))
    model = Model(Contract(), {}, runtime)
    assert model.predict([encoded(model, k=2)]) == [{"y": [0.0, 0.0]}]
    assert isinstance(model.predict([encoded(model, k=MAX_RESULT_VALUES + 1)])[0], ResultTooLarge)
    assert model.stack([{"k": msgspec.Raw(b"2")}]) is not None


def test_images_and_text_are_given_as_they_are_too() -> None:
    contract = Contract(inputs={"x": ImageInput(height=2, width=2)})
    runtime = FakeRuntime({"x": (2, 2, 3)}, {"y": ()}, lambda x: x.sum())
    model = Model(contract, {}, runtime)
    assert model.kinds == {"x": "image"}
    png = io.BytesIO()
    Image.new("RGB", (2, 2), (1, 2, 3)).save(png, "PNG")
    made = model.encode({}, "a.png", lambda _: png.getvalue(), lambda uri: uri)
    assert model.predict([made]) == [{"y": 24.0}]
    runtime = FakeRuntime({"x": ()}, {"y": ()}, lambda x: len(x[()]), dtype="string")
    model = Model(Contract(), {}, runtime)
    assert model.predict([encoded(model, x="word")]) == [{"y": 4.0}]


def test_encode_makes_a_row_of_each_input() -> None:
    model = Model(Contract(inputs={"x": NumberInput(columns=("a", "b"))}), {}, Doubling())
    assert model.kinds == {"a": "number", "b": "number"}
    inputs = {"a": msgspec.Raw(b"1"), "b": msgspec.Raw(b"2.5"), "other": msgspec.Raw(b"null")}
    encoded = model.encode(inputs, None, lambda _: b"", lambda uri: uri)
    assert encoded["x"].tolist() == [1.0, 2.5]
    with pytest.raises(NotANumber):
        model.encode(inputs | {"a": msgspec.Raw(b"null")}, None, lambda _: b"", lambda uri: uri)


def test_a_uri_is_not_guessed_to_be_several_images() -> None:
    runtime = Doubling()
    runtime.inputs = {name: TensorSpec("float32", (ROWS, 2, 2, 3)) for name in ("left", "right")}
    image = ImageInput(height=2, width=2)
    model = Model(Contract(inputs={"left": image, "right": image}), {}, runtime)
    with pytest.raises(ItemError, match=r"names none of left, right"):
        model.encode({}, "a.png", lambda _: b"", lambda uri: uri)


def test_warming_up_forgives_values_and_nothing_else() -> None:
    Model(Contract(), {}, Doubling(failing=lambda _: True)).warm_up()

    class Broken(Doubling):
        """A runtime that is at fault itself."""

        def predict(self, tensors: Tensors) -> dict[str, np.ndarray[Any, Any]]:
            raise ComputeError("no kernel", of_values=False)

    with pytest.raises(ModelError, match=r"the model cannot compute: no kernel"):
        Model(Contract(), {}, Broken()).warm_up()


def test_a_contract_that_does_not_fit_is_refused() -> None:
    with pytest.raises(BundleError, match=r"inputs.z: the signature has no such input"):
        Model(Contract(inputs={"z": NumberInput()}), {}, Doubling())
