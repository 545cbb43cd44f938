"""Synthetic inputs: tensors made from signature and contract, the same each time, where no items are at hand.

A bundle is compared and measured on them when it is made, and a loaded model computes once on them before the
first item comes.
"""

from collections.abc import Iterator, Mapping
from itertools import chain, cycle, islice, product
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fanwise.model.arrays import numpy_dtype
from fanwise.model.binding import Bound, row_shape
from fanwise.model.contract import ImageInput, InputContract, NumberInput
from fanwise.model.layout import RowShapes
from fanwise.model.signature import FLOATS, TensorSpec

TEXT = "a sample of text"
SIZES = (1, 2, 3, 4, 8, 16, 32, 64, 128, 224, 256)  # for open sizes, in this order
FURTHER_SIZES = (
    *(size for size in range(5, 64) if size not in SIZES),
    *(96, 100, 112, 160, 192, 200, 229, 240, 299, 300, 320, 331, 384, 400, 416, 448, 480, 500, 512),
)
MAX_TRIES = 400
NOISE_PERIOD = 65_521  # a prime: a row does not repeat the one before
MAX_ROW_ELEMENTS = 3 * 512 * 512


def synthetic_inputs(
    inputs: Mapping[str, TensorSpec], bound: Bound, rows: int, shapes: RowShapes | None = None
) -> dict[str, NDArray[Any]]:
    """Tensors of `rows` items: noise in the range of images, numbers from 0 to 1, text.

    `shapes` are those of a row, for inputs whose sizes the signature leaves open; else such a size is 1.
    """
    of_rows = {name: row_shape(bound.inputs[name], spec) for name, spec in inputs.items()} | dict(
        shapes or {}
    )
    return {name: _values((rows, *of_rows[name]), spec, bound.inputs[name]) for name, spec in inputs.items()}


def row_shapes(inputs: Mapping[str, TensorSpec], bound: Bound) -> Iterator[dict[str, tuple[int, ...]]]:
    """Shapes of a row to try, in a fixed order, for the inputs whose sizes the signature leaves open.

    All open sizes equal, then each input by itself, then each size by itself. The first is of what has no size to
    try, and the only one where no size is open.
    """
    opened = {
        name: spec
        for name, spec in inputs.items()
        if isinstance(bound.inputs[name], NumberInput) and _open_sizes(bound.inputs[name], spec)
    }
    tries: Iterator[dict[str, tuple[int, ...]]] = chain(
        ({name: _sized(spec, size) for name, spec in opened.items()} for size in (*SIZES, *FURTHER_SIZES)),
        _by_input(opened),
        _by_size(opened),
    )
    if not opened:
        yield {}
        return
    tried: list[dict[str, tuple[int, ...]]] = []
    for shapes in islice(tries, MAX_TRIES):
        if shapes not in tried and sum(map(prod, shapes.values())) <= MAX_ROW_ELEMENTS:
            tried.append(shapes)
            yield shapes


def grown(shapes: RowShapes, inputs: Mapping[str, TensorSpec], factor: float) -> dict[str, tuple[int, ...]]:
    """The shapes with their open sizes so much larger that a row has `factor` times the values."""
    larger: dict[str, tuple[int, ...]] = {}
    for name, shape in shapes.items():
        row = inputs[name].row_shape or (None,) * len(shape)
        count = max(1, sum(size is None for size in row))
        each = factor ** (1 / count)
        larger[name] = tuple(
            max(1, round(size * each)) if of_signature is None else size
            for size, of_signature in zip(shape, row, strict=True)
        )
    return larger


def _open_sizes(declared: InputContract, spec: TensorSpec) -> bool:
    by_columns = isinstance(declared, NumberInput) and declared.columns is not None
    return not by_columns and (spec.row_shape is None or None in spec.row_shape)


def _sized(spec: TensorSpec, *sizes: int) -> tuple[int, ...]:
    """The row's shape with these for its open sizes, in turn; of any shape: one size."""
    given = cycle(sizes)
    return tuple(next(given) if size is None else size for size in spec.row_shape or (None,))


def _by_input(opened: Mapping[str, TensorSpec]) -> Iterator[dict[str, tuple[int, ...]]]:
    for sizes in product(SIZES, repeat=len(opened)) if len(opened) > 1 else ():
        yield {name: _sized(spec, size) for (name, spec), size in zip(opened.items(), sizes, strict=True)}


def _by_size(opened: Mapping[str, TensorSpec]) -> Iterator[dict[str, tuple[int, ...]]]:
    """Each open size of an input by itself; where the number of sizes is open too, several of them."""
    many = {
        name: 2 if spec.row_shape is None else spec.row_shape.count(None) for name, spec in opened.items()
    }
    if max(many.values()) > 1:
        for sizes in product(SIZES, repeat=max(many.values())):
            yield {
                name: sizes if spec.row_shape is None else _sized(spec, *sizes)
                for name, spec in opened.items()
            }


def _values(shape: tuple[int, ...], spec: TensorSpec, declared: InputContract) -> NDArray[Any]:
    dtype = numpy_dtype(spec.dtype)
    if spec.dtype == "string":
        return np.full(shape, TEXT.encode(), object)
    values = _noise(min(prod(shape), NOISE_PERIOD))
    if isinstance(declared, ImageInput):
        low, high = declared.scale or (0, 255)
        values = low + np.floor(256 * values) * ((high - low) / 255)
    elif spec.dtype not in FLOATS:
        values = np.floor(2 * values)
    return np.resize(values.astype(dtype), shape)


def _noise(count: int) -> NDArray[np.float64]:
    """Numbers from 0 to 1 without a pattern, the same everywhere: the finaliser of MurmurHash3 of 1, 2, 3 …

    Not numpy.random: its import takes a tenth of a cold start on LiteRT.
    """
    bits = np.arange(1, count + 1, dtype=np.uint32)
    bits ^= bits >> np.uint32(16)
    bits *= np.uint32(0x85EBCA6B)
    bits ^= bits >> np.uint32(13)
    bits *= np.uint32(0xC2B2AE35)
    bits ^= bits >> np.uint32(16)
    return bits / 2.0**32
