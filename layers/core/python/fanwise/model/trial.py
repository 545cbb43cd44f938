"""What a model does with synthetic inputs: the sizes that it computes with, and whether an item gets a row.

Done when a bundle is made, and the layout that it ends in stands in digest.json; of a bundle from before there was
one, when it is loaded. A row is of the item at its place if outputs have as many rows as there are items, at two
sizes of a mini-batch, and no operation makes as many rows as the values say (`changing`): then the count alone
proves nothing, since one item may have two rows and another none, and an item is predicted by itself.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import NamedTuple

import msgspec

from fanwise.errors import BundleError
from fanwise.model.arranging import arranged
from fanwise.model.binding import Bound, bind, mini_batch
from fanwise.model.contract import Contract
from fanwise.model.fixed_batch import decided
from fanwise.model.layout import (
    Layout,
    RowShapes,
    batch_size,
    kept_outputs,
    layout_of,
    with_changing_rows,
)
from fanwise.model.outputs import why_no_scores
from fanwise.model.runtime import ComputeError, Runtime, Tensors
from fanwise.model.signature import Signature, TensorSpec, shape_text
from fanwise.model.synthetic import grown, row_shapes, synthetic_inputs

OTHER_ROWS = (3, 2)  # in a mini-batch, beside its usual size: the first that is another one
MAX_TRIAL_S = 30.0  # of sizes, one after the other, until the model computes with one
ANY_NUMBER = "whatever the number of items, which the inputs leave open"

Labels = Mapping[str, tuple[str, ...]]


class Tried(NamedTuple):
    """What a trial ended in. `rejected` is what the model said, where it computed no synthetic inputs."""

    layout: Layout
    rejected: str | None = None


class _NoRows(Exception):
    """Outputs have not one row an item. `rows` of them for `items` items."""

    def __init__(self, message: str, rows: int, items: int) -> None:
        super().__init__(message)
        self.rows, self.items = rows, items


def try_out(
    runtime: Runtime,
    contract: Contract,
    labels: Labels,
    *,
    changing: bool = False,
    given: Callable[[Layout], Iterable[RowShapes]] | None = None,
) -> Tried:
    """Find the layout of a loaded model. `given` are shapes of rows to try first, those of a person's own items.

    Raises `BundleError` for a contract that does not fit, outputs that have not one row an item, and a model that
    cannot compute; with values that it rejects it may compute others.
    """
    signature = Signature(runtime.inputs, runtime.outputs)
    kept = kept_outputs(contract, signature)
    layout = layout_of(signature, kept)
    if changing:
        layout = with_changing_rows(layout, signature, kept)
    else:
        layout = decided(runtime, signature, layout, contract, labels)
    trial = _Trial(runtime, contract, labels, layout, changing=changing)
    rejected = trial.search(chain(given(layout) if given else (), trial.shapes()))
    if changing or trial.found is None:
        _check_by_signature(signature, kept, layout)
    if trial.found is None:
        # Nothing has shown whose the rows of several items are; of one item they are that item's.
        is_open = layout.batched and batch_size(signature) is None
        return Tried(msgspec.structs.replace(layout, item_at_a_time=True) if is_open else layout, rejected)
    return Tried(msgspec.structs.replace(layout, row_shapes=trial.found))


class _Trial:
    """One layout, tried at one shape of rows after the other."""

    def __init__(
        self, runtime: Runtime, contract: Contract, labels: Labels, layout: Layout, *, changing: bool
    ) -> None:
        self._runtime = arranged(runtime, layout)
        self._signature = Signature(self._runtime.inputs, self._runtime.outputs)
        self._bound: Bound = bind(contract, self._signature, labels)
        self._rows = 1 if layout.item_at_a_time else mini_batch(self._signature, self._bound)
        self._is_open = not layout.item_at_a_time and batch_size(self._signature) is None
        # As many rows as the values say: that is each item's own matter, when it is predicted.
        self._counts = not changing
        self.found: RowShapes | None = None

    def shapes(self) -> Iterable[RowShapes]:
        return row_shapes(self._signature.inputs, self._bound)

    def search(self, tries: Iterable[RowShapes]) -> str | None:
        """Set `found` to the first shapes that the model computes; else what it said of the values.

        Raises `BundleError` where it computes, and never one row an item, or cannot compute whatever it is given.
        """
        rejected: str | None = None
        wrong: _NoRows | None = None
        until = time.monotonic() + MAX_TRIAL_S
        for shapes in tries:
            if time.monotonic() > until:
                rejected = rejected or f"no answer with any size that was tried in {MAX_TRIAL_S:.0f} s"
                break
            try:
                self._found(shapes)
            except _NoRows as error:
                wrong = wrong or error
            except ComputeError as error:
                if not error.of_values:
                    raise BundleError(f"the model cannot compute: {error}") from error
                rejected = rejected or str(error)
            if self.found is not None:
                return None
        if wrong is not None and rejected is None:
            raise BundleError(str(wrong))
        return rejected

    def _found(self, shapes: RowShapes) -> None:
        try:
            self._check(shapes)
        except _NoRows as error:
            if not shapes or not error.rows or error.rows == error.items:
                raise
            # Rows of too many or too few values, as where an output is reshaped to [-1, n].
            shapes = grown(shapes, self._signature.inputs, error.items / error.rows)
            try:
                self._check(shapes)
            except ComputeError:
                raise error from None
        self.found = {name: shapes[name] for name in sorted(shapes)}

    def _check(self, shapes: RowShapes) -> None:
        others = [size for size in OTHER_ROWS if size != self._rows][:1] if self._is_open else []
        for rows in (self._rows, *others):
            inputs = synthetic_inputs(self._signature.inputs, self._bound, rows, shapes)
            self._check_rows(self._runtime.predict(inputs), rows, is_open=bool(shapes))

    def _check_rows(self, found: Tensors, items: int, *, is_open: bool) -> None:
        for name, output in self._bound.outputs.items():
            tensor = found[name]
            if self._counts and (not tensor.ndim or len(tensor) != items):
                says = f"has shape {shape_text(tensor.shape)} for {items} synthetic items"
                if self._is_open and _is_fixed(self._signature.outputs[name]):
                    says = f"is {self._signature.outputs[name]}, {ANY_NUMBER}"
                raise _NoRows(not_one_row(name, says), len(tensor) if tensor.ndim else 0, items)
            if not is_open:  # else the number of scores may be one of the sizes that are open
                wrong = why_no_scores(name, output, tensor.shape[1:])
                if wrong is not None:
                    raise BundleError(f"model.json: {wrong}")


def not_one_row(name: str, says: str) -> str:
    """The message for an output that is not one row an item, and what to do."""
    return (
        f"output {name!r} {says}, so it is not one row an item; leave it out in model.json"
        f' ({{"outputs": {{"{name}": {{"drop": true}}}}}}), or export the model without it'
    )


def _check_by_signature(signature: Signature, kept: Iterable[str], layout: Layout) -> None:
    """Raises `BundleError` for outputs of a fixed size where the number of items is open."""
    if not layout.batched or batch_size(signature) is not None:
        return
    for name in kept:
        spec = signature.outputs[name]
        if _is_fixed(spec):
            raise BundleError(not_one_row(name, f"is {spec}, {ANY_NUMBER}"))


def _is_fixed(spec: TensorSpec) -> bool:
    return spec.shape is not None and (not spec.shape or spec.shape[0] is not None)
