"""Synthetic inputs: tensors made from signature and contract, the same each time, where no items are at hand.

A bundle is compared and measured on them when it is made, and a loaded model computes once on them before the
first item comes.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fanwise.model.arrays import numpy_dtype
from fanwise.model.binding import Bound, row_shape
from fanwise.model.contract import ImageInput, InputContract
from fanwise.model.signature import FLOATS, TensorSpec

TEXT = "a sample of text"


def synthetic_inputs(inputs: Mapping[str, TensorSpec], bound: Bound, rows: int) -> dict[str, NDArray[Any]]:
    """Tensors of `rows` items: noise in the range of images, numbers from 0 to 1, text."""
    return {
        name: _values((rows, *row_shape(bound.inputs[name], spec)), spec, bound.inputs[name])
        for name, spec in inputs.items()
    }


def _values(shape: tuple[int, ...], spec: TensorSpec, declared: InputContract) -> NDArray[Any]:
    random = np.random.default_rng(0)
    dtype = numpy_dtype(spec.dtype)
    if spec.dtype == "string":
        return np.full(shape, TEXT.encode(), object)
    if isinstance(declared, ImageInput):
        low, high = declared.scale or (0, 255)
        return (low + random.integers(0, 256, shape) * ((high - low) / 255)).astype(dtype)
    if spec.dtype in FLOATS:
        return random.random(shape).astype(dtype)
    return random.integers(0, 2, shape).astype(dtype)
