"""Synthetic items at the edges of what a signature leaves open: empty, short and long, negative and extreme.

What two forms of a model, or two runtimes, do otherwise shows here first. `comparing` puts them beside the usual
synthetic inputs and a person's own items.
"""

from collections.abc import Iterator, Mapping
from itertools import cycle, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fanwise.model.arrays import numpy_dtype
from fanwise.model.contract import ImageInput, InputContract, NumberInput
from fanwise.model.model import Row
from fanwise.model.signature import FLOATS, TensorSpec
from fanwise.model.synthetic import TEXT

OPEN_SIZES = (0, 1, 2, 3, 5, 33)
MAX_INPUTS_ALONE = 8  # of models with more inputs, the edges are those of all of them at once
_FLOATS = (0.0, -1.0, 1e3, -1e3, 1e6, -1e6, 0.25)
# Beyond any size or index that a model has; not the dtype's own limits, which as a size would take all memory.
_LARGE = 1_000_003
_TEXTS = ("", " ", "0", "-1", "Ünïcödé 日本語 🎉", "long " * 200, TEXT)


def edge_items(
    inputs: Mapping[str, TensorSpec], declared: Mapping[str, InputContract], base: Row
) -> list[Row]:
    """Rows like `base`, with values and sizes at the edges; the same each time. `declared` is the contract's."""
    edges = {name: _edges(spec, declared[name]) for name, spec in inputs.items()}
    most = max((len(values) for values in edges.values()), default=0)
    rows: list[Row] = [
        {name: np.full_like(base[name], edges[name][number % len(edges[name])]) for name in inputs}
        for number in range(most)
    ]
    rows.append({name: _mixed(base[name].shape, base[name].dtype, edges[name]) for name in inputs})
    if 1 < len(inputs) <= MAX_INPUTS_ALONE:
        for name in inputs:
            rows += [base | {name: np.full_like(base[name], value)} for value in edges[name]]
            rows.append(base | {name: _mixed(base[name].shape, base[name].dtype, edges[name])})
    return rows + list(_of_other_sizes(inputs, declared, base, edges))


def _of_other_sizes(
    inputs: Mapping[str, TensorSpec],
    declared: Mapping[str, InputContract],
    base: Row,
    edges: Mapping[str, tuple[Any, ...]],
) -> Iterator[Row]:
    """Rows with all sizes that are left open at each of `OPEN_SIZES`; first usual values, then extreme ones."""
    open_axes: dict[str, list[int]] = {}
    for name, spec in inputs.items():
        contract = declared[name]
        if (
            isinstance(contract, NumberInput) and contract.columns is None
        ):  # others have a size by their contract
            open_axes[name] = [axis for axis, size in enumerate(spec.row_shape or ()) if size is None]
    if not any(open_axes.values()):
        return
    for size in OPEN_SIZES:
        usual, extreme = dict(base), dict(base)
        for name, axes in open_axes.items():
            shape = tuple(size if axis in axes else old for axis, old in enumerate(base[name].shape))
            usual[name] = np.resize(base[name], shape)
            extreme[name] = _mixed(shape, base[name].dtype, edges[name])
        yield usual
        yield extreme


def _mixed(shape: tuple[int, ...], dtype: Any, values: tuple[Any, ...]) -> NDArray[Any]:
    """The values in turn."""
    row = np.empty(shape, dtype)
    row.reshape(-1)[:] = list(islice(cycle(values), row.size))
    return row


def _edges(spec: TensorSpec, declared: InputContract) -> tuple[Any, ...]:
    dtype = numpy_dtype(spec.dtype)
    if spec.dtype == "string":
        return tuple(text.encode() for text in _TEXTS)
    if isinstance(declared, ImageInput):
        return declared.scale or (0, 255)
    if spec.dtype in FLOATS:
        largest = float(np.finfo(np.float16).max) if spec.dtype == "float16" else 1e6
        return tuple(max(-largest, min(largest, value)) for value in _FLOATS)
    if spec.dtype == "bool":
        return (False, True)
    limits = np.iinfo(dtype)
    low, high = max(limits.min, -_LARGE), min(limits.max, _LARGE)
    return tuple(value for value in dict.fromkeys((0, 1, 2, -1, 7, 100, low, high)) if low <= value <= high)
