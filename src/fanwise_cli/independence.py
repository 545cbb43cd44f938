"""The same items in two orders and two cuts: does an item's answer depend on that item alone?

A model that keeps something from call to call, or whose rows know of each other (statistics of the batch),
answers otherwise in another order, beside other items, or after a retry. Tried when a bundle is made, on each
runtime; what is right is the answer of a freshly loaded model to the item alone. The least that gives it is kept
as `Calls`.
"""

from collections.abc import Callable, Collection, Iterator, Sequence

import msgspec
import numpy as np

from fanwise.model.calls import PLAIN, Calls
from fanwise.model.runtime import ComputeError, Runtime, Tensors
from fanwise_cli.comparing import key_of, largest_difference, rows_of

# By the coarsest dtype among the outputs, whose last bits differ by a row's place.
_TOLERANCES = {"float16": 2e-3, "bfloat16": 2e-2}
TOLERANCE = 1e-5
FRESH = 3  # items that a freshly loaded model is asked
MAX_ITEMS = 16
EDGE_TOLERANCE = 1e-3  # of items whose values are at the edges: rounding grows with them
MODERATE = 1e3  # the largest of them that are tried beside others on TensorFlow

Load = Callable[[Calls], Runtime]


class Depends(Exception):
    """No way to call the model was found in which an item's answer depends on that item alone."""


def how_to_call(
    load: Load,
    loaded: Runtime,
    batches: Sequence[Tensors],
    outputs: Collection[str],
    *,
    edges: Sequence[Tensors] = (),
    resets: Sequence[Calls] = (),
    is_stateful: bool = False,
    to_the_bit: bool = False,
) -> Calls:
    """The least of PLAIN, `resets`, an item at a time, and both, that gives each item its fresh answer.

    `loaded` is the model, which `load` loads afresh to be called so; `batches` are mini-batches that it accepts,
    `edges` those with values at the edges, which one item may have and its neighbours not; `outputs` those that
    are kept. `is_stateful`: an operation says that it keeps something, whether a trial shows
    it or not. `to_the_bit`: the runtime gives the same bits at any place of a mini-batch. Raises `Depends`.
    """
    tolerance = 0.0 if to_the_bit else None
    trials = [_Trial(loaded, batches, outputs, tolerance)]
    edge_rows = [row for batch in edges for row in _rows(batch) if to_the_bit or _magnitude(row) <= MODERATE]
    edge_rows.sort(key=_magnitude, reverse=True)
    if mixed := _mixed(batches, edge_rows):
        trials.append(_Trial(loaded, mixed, outputs, EDGE_TOLERANCE if tolerance is None else tolerance))
    if not is_stateful and all(
        trial.is_invariant(loaded, PLAIN) and trial.answers_as_alone(loaded) for trial in trials
    ):
        return PLAIN
    fresh = [[trial.alone(load(PLAIN), item) for item in range(min(FRESH, trial.items))] for trial in trials]
    both = [msgspec.structs.replace(one, item_at_a_time=True) for one in resets]
    for calls in [*resets, *([] if is_stateful else [Calls(item_at_a_time=True)]), *both]:
        runtime = load(calls)
        if all(
            trial.is_invariant(runtime, calls) and trial.answers_as(runtime, answers, calls)
            for trial, answers in zip(trials, fresh, strict=True)
        ):
            return calls
    raise Depends


def _magnitude(row: Tensors) -> float:
    """The largest of a row's numbers that can be rounded."""
    floats = [np.abs(tensor).max(initial=0.0) for tensor in row.values() if tensor.dtype.kind == "f"]
    return float(max(floats, default=0.0))


def _rows(batch: Tensors) -> Iterator[Tensors]:
    """A mini-batch's rows, each a mini-batch of one."""
    for row in range(rows_of(batch)):
        yield {name: tensor[row : row + 1] for name, tensor in batch.items()}


def _mixed(batches: Sequence[Tensors], edges: Sequence[Tensors]) -> list[Tensors]:
    """Usual items and items at the edges in turn; none where no two have one shape. `edges` are rows."""
    usual, others = _alike(batches), _alike(edges) if edges else {}
    if not others or any(usual[name].shape[1:] != others[name].shape[1:] for name in usual):
        return []
    pairs = min(rows_of(usual), rows_of(others), MAX_ITEMS // 2)
    mixed = [
        {name: tensor[row : row + 1] for name, tensor in items.items()}
        for row in range(pairs)
        for items in (usual, others)
    ]
    size = rows_of(batches[0])  # which the first tells
    return [{name: np.repeat(tensor, size, axis=0) for name, tensor in one.items()} for one in mixed]


def _alike(batches: Sequence[Tensors]) -> Tensors:
    """Different items of the same shapes out of mini-batches, `MAX_ITEMS` at most: the most that there are."""
    alike: dict[tuple[tuple[int, ...], ...], dict[bytes, Tensors]] = {}
    for batch in batches:
        shapes = tuple(tensor.shape[1:] for tensor in batch.values())
        for one in _rows(batch):
            alike.setdefault(shapes, {}).setdefault(key_of(one), one)
    items = list(max(alike.values(), key=len).values())[:MAX_ITEMS]
    return {name: np.concatenate([one[name] for one in items]) for name in items[0]}


class _Trial:
    """A mini-batch's items, called in several ways."""

    def __init__(
        self,
        runtime: Runtime,
        batches: Sequence[Tensors],
        outputs: Collection[str],
        tolerance: float | None,
    ) -> None:
        """`tolerance` is that of orders and cuts; None: what the outputs' dtypes allow."""
        self._items = _alike(batches)
        self.items = rows_of(self._items)
        self._size = rows_of(batches[0])
        self._outputs = sorted(outputs)
        dtypes = (runtime.outputs[name].dtype for name in self._outputs)
        by_dtype = max(_TOLERANCES.get(dtype, TOLERANCE) for dtype in dtypes)
        self._tolerance = max(by_dtype, tolerance or 0.0)
        self._of_orders = self._tolerance if tolerance is None else tolerance

    def is_invariant(self, runtime: Runtime, calls: Calls) -> bool:
        """Whether each item has the same answer in two orders, two cuts, and beside copies of itself."""
        try:
            first, *others = [self._in_calls(runtime, cuts, calls) for cuts in self._orders()]
        except ComputeError:
            return False
        return all(self._same(first, other, self._of_orders) for other in others)

    def answers_as(self, runtime: Runtime, fresh: Sequence[Tensors], calls: Calls) -> bool:
        """Whether the first items have the answers that a freshly loaded model gives."""
        try:
            found = self._in_calls(runtime, _cut(list(range(self.items)), self._size), calls)
        except ComputeError:
            return False
        return self._same(fresh, found, self._tolerance)

    def answers_as_alone(self, runtime: Runtime) -> bool:
        """Whether the first items have the answers of calls with nothing else in them, where there can be such."""
        try:
            alone = [self.alone(runtime, item) for item in range(min(FRESH, self.items))]
        except ComputeError:
            return True
        return self.answers_as(runtime, alone, PLAIN)

    def alone(self, runtime: Runtime, item: int) -> Tensors:
        """The answer to one item by itself."""
        fixed = {spec.shape[0] for spec in runtime.inputs.values() if spec.shape} - {None}
        rows = [item] * (fixed.pop() or 1 if fixed else 1)  # copies of it, where the signature wants more
        return _row(runtime.predict({name: tensor[rows] for name, tensor in self._items.items()}), 0)

    def _orders(self) -> Iterator[list[list[int]]]:
        """The items in calls: in mini-batches, twice; backwards in other cuts; some filled up with copies."""
        items = list(range(self.items))
        yield _cut(items, self._size)
        yield _cut(items, self._size)
        yield _cut(items[::-1], max(1, self._size * 2 // 3))
        yield [[item] for item in items[:FRESH]]

    def _in_calls(self, runtime: Runtime, cuts: Sequence[list[int]], calls: Calls) -> list[Tensors]:
        """The items' answers, in the order of the items."""
        answers: dict[int, Tensors] = {}
        if calls.item_at_a_time:
            for item in (one for cut in cuts for one in cut):
                answers[item] = self.alone(runtime, item)
        else:
            for cut in cuts:
                rows = cut + cut[:1] * (self._size - len(cut))
                outputs = runtime.predict({name: tensor[rows] for name, tensor in self._items.items()})
                answers |= {item: _row(outputs, place) for place, item in enumerate(cut)}
        return [answers[item] for item in sorted(answers)]

    def _same(self, expected: Sequence[Tensors], found: Sequence[Tensors], tolerance: float) -> bool:
        """Whether the answers to the first items are the same, as far as both go."""
        return all(
            largest_difference(self._outputs, one, other) <= tolerance
            for one, other in zip(expected, found, strict=False)
        )


def _cut(items: list[int], size: int) -> list[list[int]]:
    return [items[begin : begin + size] for begin in range(0, len(items), size)]


def _row(outputs: Tensors, place: int) -> Tensors:
    """One item's part of the outputs; an output that is not one row an item is each item's, whole."""
    return {
        name: tensor[place : place + 1] if tensor.ndim and len(tensor) > place else tensor
        for name, tensor in outputs.items()
    }
