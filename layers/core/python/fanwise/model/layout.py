"""How a model's tensors are an item's: one row an item, or an item a call and the whole output its prediction.

`layout_of` goes by the signature; `trial` tries it when a bundle is made, and what it found stands in digest.json.
`arranging` puts a runtime behind the layout, so that the rest of `model` sees a batch dimension everywhere. No
numpy here: PlanJob reads digest.json.

| inputs of the signature | outputs | the model is given |
|---|---|---|
| first size open | one row an item | a mini-batch |
| first size open, and operations may change the number of rows | one row an item | one item |
| first size N, the same for all | first size N | N items |
| first size 1 | first size 1: its row; others: whole | one item |
| others (no batch dimension) | whole | one item, its tensors as they are |
"""

from collections.abc import Collection, Mapping

import msgspec

from fanwise.errors import BundleError
from fanwise.model.contract import Contract
from fanwise.model.signature import Signature, TensorSpec

RowShapes = Mapping[str, tuple[int, ...]]  # of an item's row of each input


class Layout(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a model's tensors are an item's.

    `batched`: the inputs have a batch dimension. `item_at_a_time`: the model is given one item a call. `whole`:
    the outputs that are, whole, one item's prediction, and have no rows of items. `row_shapes`: for inputs whose
    sizes the signature leaves open, the shape of a row with which the model was seen to compute.
    """

    batched: bool = True
    item_at_a_time: bool = False
    whole: tuple[str, ...] = ()
    row_shapes: RowShapes = {}

    def for_answers(self) -> "Layout":
        """What of it decides how an item is answered: all but the sizes to warm up with."""
        return msgspec.structs.replace(self, row_shapes={})

    def seen(self, signature: Signature) -> Signature:
        """The signature with a batch dimension everywhere: of one, where the model is given one item."""
        return Signature(
            {name: self._input(spec) for name, spec in signature.inputs.items()},
            {
                name: _with_batch(spec) if name in self.whole else spec
                for name, spec in signature.outputs.items()
            },
        )

    def _input(self, spec: TensorSpec) -> TensorSpec:
        if not self.batched:
            return _with_batch(spec)
        if self.item_at_a_time and spec.shape and spec.shape[0] is None:
            return TensorSpec(spec.dtype, (1, *spec.shape[1:]))
        return spec


def batch_size(signature: Signature) -> int | None:
    """The number of rows that the signature fixes; None where it leaves that open, or has no batch dimension."""
    fixed = {spec.shape[0] for spec in signature.inputs.values() if spec.shape}
    fixed.discard(None)
    return next(iter(fixed)) if len(fixed) == 1 else None


def kept_outputs(contract: Contract, signature: Signature) -> list[str]:
    """The outputs that the contract does not drop."""
    return [
        name for name in signature.outputs if name not in contract.outputs or not contract.outputs[name].drop
    ]


def layout_of(signature: Signature, kept: Collection[str]) -> Layout:
    """The layout by the signature alone, and by the outputs that are kept.

    Raises `BundleError` for inputs of which some have a batch dimension and others cannot have one.
    """
    scalars = [name for name, spec in signature.inputs.items() if spec.shape == ()]
    open_ones = [name for name, spec in signature.inputs.items() if spec.shape and spec.shape[0] is None]
    if scalars and open_ones:
        one, other = scalars[0], open_ones[0]
        raise BundleError(
            f"input {one!r} takes {signature.inputs[one]}, which has no batch dimension, and {other!r} takes"
            f" {signature.inputs[other]}, which has one; export the model with one for each input"
        )
    fixed = {spec.shape[0] for spec in signature.inputs.values() if spec.shape} - {None}
    for size in fixed:
        if size is not None and size < 1:
            raise BundleError(f"the model's inputs have batch size {size}; export it with none")
    if scalars or len(fixed) > 1:
        return without_batch(signature)
    if not fixed:
        return Layout()
    size = batch_size(signature)
    others = [name for name in kept if not _may_have_rows(signature.outputs[name], size)]
    if size == 1:
        # Of unknown length: detections, and not the one row.
        lengths = [name for name in kept if _is_open(signature.outputs[name])]
        return Layout(item_at_a_time=True, whole=tuple(sorted({*others, *lengths})))
    return without_batch(signature) if others else Layout()


def with_changing_rows(layout: Layout, signature: Signature, kept: Collection[str]) -> Layout:
    """The layout of a model with operations that make as many rows as the values say."""
    size = batch_size(signature)
    undecided = [name for name in kept if _is_undecided(signature.outputs[name])]
    if not layout.batched or not undecided:
        return layout
    if size is None:
        return msgspec.structs.replace(layout, item_at_a_time=True)
    if size == 1:
        return msgspec.structs.replace(layout, whole=tuple(sorted({*layout.whole, *undecided})))
    return without_batch(signature)


def with_seen(layout: Layout, signature: Signature, shapes: RowShapes, kept: Collection[str]) -> Layout:
    """The layout of a fixed batch, its outputs of open sizes seen with `shapes`."""
    size = batch_size(signature)
    undecided = [name for name in kept if _is_undecided(signature.outputs[name])]
    if size is None or not layout.batched or not undecided:
        return layout
    rows = {name for name in undecided if shapes[name][:1] == (size,)}
    if size == 1:
        whole = {*layout.whole, *undecided} - rows
        return msgspec.structs.replace(layout, whole=tuple(sorted(whole)))
    return layout if len(rows) == len(undecided) else without_batch(signature)


def without_batch(signature: Signature) -> Layout:
    """The layout of a model whose tensors are, whole, one item's."""
    return Layout(batched=False, item_at_a_time=True, whole=tuple(sorted(signature.outputs)))


def _with_batch(spec: TensorSpec) -> TensorSpec:
    return TensorSpec(spec.dtype, None if spec.shape is None else (1, *spec.shape))


def _may_have_rows(spec: TensorSpec, size: int | None) -> bool:
    return spec.shape is None or (spec.shape != () and spec.shape[0] in (None, size))


def _is_open(spec: TensorSpec) -> bool:
    return bool(spec.shape) and spec.shape is not None and spec.shape[0] is None


def _is_undecided(spec: TensorSpec) -> bool:
    return spec.shape is None or _is_open(spec)
