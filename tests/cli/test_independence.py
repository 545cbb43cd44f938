"""How a model is to be called, found by trial: on runtimes that keep, mix and move, in Python."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fanwise.model.calls import PLAIN, Calls
from fanwise.model.runtime import ComputeError, Runtime, Tensors
from fanwise.model.signature import TensorSpec
from fanwise_cli.independence import Depends, how_to_call

RESET = Calls(reset="variables", variables=("state",))
Answer = Callable[["Kept", NDArray[Any]], NDArray[Any]]


class Kept:
    """A runtime that answers by a function of its state and the rows."""

    outputs: Mapping[str, TensorSpec] = {"y": TensorSpec("float32", (None, 2))}

    def __init__(self, answer: Answer, calls: Calls, batch: int | None) -> None:
        self.inputs: Mapping[str, TensorSpec] = {
            "x": TensorSpec("float32", (1 if calls.item_at_a_time and batch is None else batch, 2))
        }
        self._answer, self._calls = answer, calls
        self.state: Any = 0.0

    def predict(self, tensors: Tensors) -> dict[str, NDArray[Any]]:
        """The answer to `x`."""
        if self._calls.reset is not None:
            self.state = 0.0
        return {"y": self._answer(self, tensors["x"])}


def called(answer: Answer, batch: int | None = None, **known: Any) -> Calls:
    """What the trial finds for eight items, four of them at once."""
    rows = np.arange(16, dtype=np.float32).reshape(2, batch or 4, -1)[:, :, :2]

    def load(calls: Calls) -> Runtime:
        return Kept(answer, calls, batch)

    return how_to_call(load, load(PLAIN), [{"x": one} for one in rows], ["y"], **known)


def doubled(kept: Kept, x: NDArray[Any]) -> NDArray[Any]:
    return x * 2


def counted(kept: Kept, x: NDArray[Any]) -> NDArray[Any]:
    kept.state += 1
    return x + np.float32(kept.state)


def summed(kept: Kept, x: NDArray[Any]) -> NDArray[Any]:
    kept.state += x.sum()
    return x + np.float32(kept.state)


def normalised(kept: Kept, x: NDArray[Any]) -> NDArray[Any]:
    centred: NDArray[Any] = x - x.mean(axis=0)
    return centred


def by_place(kept: Kept, x: NDArray[Any]) -> NDArray[Any]:
    moved: NDArray[Any] = x + np.arange(len(x), dtype=np.float32)[:, None]
    return moved


def rounded_by_place(kept: Kept, x: NDArray[Any]) -> NDArray[Any]:
    moved: NDArray[Any] = x * (1 + np.arange(len(x), dtype=np.float32)[:, None] * np.float32(3e-7))
    return moved


def seldom(kept: Kept, x: NDArray[Any]) -> NDArray[Any]:
    """It keeps what is above a million, and no sample is."""
    kept.state += x[x > 1e6].sum()
    return x + np.float32(kept.state)


@pytest.mark.parametrize(
    ("answer", "known", "calls"),
    [
        (doubled, {}, PLAIN),
        (counted, {"resets": [RESET]}, RESET),
        (summed, {"resets": [RESET]}, Calls(reset="variables", variables=("state",), item_at_a_time=True)),
        (normalised, {}, Calls(item_at_a_time=True)),
        (by_place, {}, Calls(item_at_a_time=True)),
        (rounded_by_place, {}, PLAIN),
        (rounded_by_place, {"to_the_bit": True}, Calls(item_at_a_time=True)),
        (seldom, {"resets": [RESET]}, PLAIN),
        (seldom, {"resets": [RESET], "is_stateful": True}, RESET),
    ],
)
def test_the_least_that_gives_the_fresh_answer(answer: Answer, known: dict[str, Any], calls: Calls) -> None:
    assert called(answer, **known) == calls


def test_a_batch_of_its_own_size_is_filled_with_copies() -> None:
    assert called(normalised, batch=4) == Calls(item_at_a_time=True)
    assert called(counted, batch=4, resets=[RESET]) == RESET


def test_without_a_reset_it_is_refused() -> None:
    for answer in (counted, summed):
        with pytest.raises(Depends):
            called(answer)
    with pytest.raises(Depends):
        called(seldom, is_stateful=True)


def test_a_reset_that_does_not_give_the_fresh_answer_does_not_do() -> None:
    """What is put back is another state than that of a model just loaded."""

    class Elsewhere(Kept):
        def __init__(self, calls: Calls) -> None:
            super().__init__(counted, calls, None)
            self.state = 5.0

    def load(calls: Calls) -> Runtime:
        return Elsewhere(calls)

    rows = np.arange(8, dtype=np.float32).reshape(4, 2)
    with pytest.raises(Depends):
        how_to_call(load, load(PLAIN), [{"x": rows}], ["y"], resets=[RESET])


def test_a_model_that_fails_with_some_items_beside_each_other_runs_one_at_a_time() -> None:
    def alone(kept: Kept, x: NDArray[Any]) -> NDArray[Any]:
        if len(x) > 1 and x[0, 0] > x[1, 0]:
            raise ComputeError("out of order", of_values=True)
        return x * 2

    assert called(alone) == Calls(item_at_a_time=True)


def test_outputs_that_are_dropped_do_not_matter() -> None:
    class Two(Kept):
        outputs: Mapping[str, TensorSpec] = {
            "y": TensorSpec("float32", (None, 2)),
            "n": TensorSpec("int64", (None,)),
        }

        def predict(self, tensors: Tensors) -> dict[str, NDArray[Any]]:
            return super().predict(tensors) | {"n": np.arange(len(tensors["x"]))}

    def load(calls: Calls) -> Runtime:
        return Two(doubled, calls, None)

    rows = [{"x": np.arange(8, dtype=np.float32).reshape(4, 2)}]
    assert how_to_call(load, load(PLAIN), rows, ["y"]) == PLAIN
    assert how_to_call(load, load(PLAIN), rows, ["y", "n"]) == Calls(item_at_a_time=True)
