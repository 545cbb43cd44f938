"""What a model takes and gives, by name: the signature of a SavedModel, as digest.json keeps it.

At the bottom of `model`: PlanJob, which has no TensorFlow, reads it to know the kinds of the inputs.
"""

from collections.abc import Mapping
from math import prod

import msgspec

INTEGERS = frozenset(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
FLOATS = frozenset(("float16", "bfloat16", "float32", "float64"))
DTYPES = INTEGERS | FLOATS | {"bool", "string"}


class TensorSpec(msgspec.Struct, frozen=True):
    """A tensor's dtype (`float32`, `string` …) and shape: batch first, None where any size is allowed.

    `shape` is None where even the number of dimensions is not known.
    """

    dtype: str
    shape: tuple[int | None, ...] | None

    @property
    def row_shape(self) -> tuple[int | None, ...] | None:
        """The shape of one item: without the batch dimension."""
        return None if self.shape is None else self.shape[1:]

    def __str__(self) -> str:
        return f"{self.dtype} {shape_text(self.shape)}"


class Signature(msgspec.Struct, frozen=True):
    """A model's inputs and outputs by name."""

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]


def shape_text(shape: tuple[int | None, ...] | None) -> str:
    """A shape as people read it: `[?, 28, 28, 1]`."""
    if shape is None:
        return "of any shape"
    return "[" + ", ".join("?" if size is None else str(size) for size in shape) + "]"


def fits(shape: tuple[int, ...], spec: tuple[int | None, ...] | None) -> bool:
    """Whether a row of `shape` is one that `spec` (without batch dimension) allows."""
    return spec is None or (
        len(shape) == len(spec) and all(want in (None, size) for size, want in zip(shape, spec, strict=True))
    )


def row_elements(spec: TensorSpec) -> int | None:
    """The number of values in one item's tensor; None where the signature leaves it open."""
    row = spec.row_shape
    sizes = [] if row is None else [size for size in row if size is not None]
    return None if row is None or len(sizes) < len(row) else prod(sizes)
