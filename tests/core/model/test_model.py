"""Encode and predict over a runtime that behaves: padding, groups, and rows that the runtime rejects."""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from fanwise.errors import (
    BundleError,
    ItemError,
    ModelError,
    NonFiniteResult,
    NotANumber,
    PredictionFailed,
    ResultTooLarge,
)
from fanwise.limits import MAX_RESULT_VALUES
from fanwise.model.contract import Contract, ImageInput, NumberInput, OutputContract
from fanwise.model.model import Model
from fanwise.model.runtime import ComputeError, Tensors
from fanwise.model.signature import TensorSpec

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


def test_an_output_without_a_row_for_each_item_stops_the_job() -> None:
    model = Model(Contract(), {}, TwoOutputs(3))
    with pytest.raises(ModelError, match=r"output 'z' has shape \[3\] for 4 items"):
        model.predict([row(1, 2)])


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
