"""Inputs of a fixed first size: are they so many rows, one an item, or is it one item's size? By what comes out.

A part of `trial`. What can be read both ways is read as rows, unless they know of each other.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fanwise.model.binding import Bound, bind
from fanwise.model.contract import Contract, ImageInput, NumberInput
from fanwise.model.layout import Layout, batch_size, kept_outputs, with_seen, without_batch
from fanwise.model.runtime import ComputeError, Runtime, Tensors
from fanwise.model.signature import Signature, TensorSpec
from fanwise.model.synthetic import row_shapes, synthetic_inputs

ALIKE = 1e-3  # of an output's largest value: a row's place in a batch makes a thousandth of that


def decided(
    runtime: Runtime,
    signature: Signature,
    layout: Layout,
    contract: Contract,
    labels: Mapping[str, tuple[str, ...]],
) -> Layout:
    """The layout of a fixed batch, by what comes out where the signature does not say."""
    size = batch_size(signature)
    kept = kept_outputs(contract, signature)
    if size is None or not layout.batched:
        return layout
    any_shape = {name: TensorSpec(spec.dtype, None) for name, spec in signature.outputs.items()}
    bound = bind(contract, Signature(signature.inputs, any_shape), labels)
    for shapes in row_shapes(signature.inputs, bound):
        inputs = synthetic_inputs(signature.inputs, bound, size, shapes)
        try:
            found = runtime.predict(inputs)
        except ComputeError:
            continue
        layout = with_seen(layout, signature, {name: found[name].shape for name in kept}, kept)
        if layout.batched and size > 1 and _may_be_one_item(bound):
            first = {name: np.repeat(tensor[:1], size, axis=0) for name, tensor in inputs.items()}
            if _rows_know_of_each_other(runtime, inputs, first, found, kept):
                return without_batch(signature)
        return layout
    return layout


def _may_be_one_item(bound: Bound) -> bool:
    """Whether the contract leaves it open that the tensors are one item's; an image or columns are a row's."""
    return not any(
        isinstance(one, ImageInput) or (isinstance(one, NumberInput) and one.columns is not None)
        for one in bound.inputs.values()
    )


def _rows_know_of_each_other(
    runtime: Runtime, inputs: Tensors, first: Tensors, found: Tensors, kept: Iterable[str]
) -> bool:
    """Whether the first row's answer is another one beside copies of itself, so that the rows are one item's.

    Not of a model that answers otherwise to the same again.
    """
    try:
        again, alone = runtime.predict(inputs), runtime.predict(first)
    except ComputeError:
        return False
    names = list(kept)
    if any(_differ(found[name], again[name]) for name in names):
        return False
    return any(_differ(found[name][:1], alone[name][:1]) for name in names)


def _differ(one: NDArray[Any], other: NDArray[Any]) -> bool:
    if one.shape != other.shape or one.dtype.kind != "f":
        return not np.array_equal(one, other)
    largest = float(np.max(np.abs(one), initial=0.0, where=np.isfinite(one)))
    return not np.allclose(one, other, rtol=0, atol=ALIKE * largest, equal_nan=True)
