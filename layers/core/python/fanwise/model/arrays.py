"""Numbers of an item → the tensor of one input: a nested array, a scalar, or named columns stacked.

A typed decode settles what is right; only what it refuses is walked through, to say where it is wrong (and to let
pass what JSON writes in another form: 31.0 for an integer, 0 and 1 for a bool).
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from fanwise.errors import ItemError, MissingInput, NotANumber, NotFinite, OutOfRange, ShapeMismatch
from fanwise.model.signature import FLOATS, INTEGERS, TensorSpec, fits, shape_text

NumberReader = Callable[[bytes], NDArray[Any]]
RowsReader = Callable[[Sequence[bytes | msgspec.Raw]], NDArray[Any] | None]

_NOT_FINITE = frozenset(("nan", "inf", "infinity", "-inf", "-infinity", "+inf", "+infinity"))
_SHOWN_CHARACTERS = 60
_MAX_RANK = 32  # numpy allows 64; an item is nested 64 deep at most, its object and `inputs` among them


def numpy_dtype(dtype: str) -> np.dtype[Any]:
    """The numpy dtype that stands for a signature's: bfloat16, which numpy has not, travels as float32."""
    return np.dtype(object if dtype == "string" else {"bfloat16": "float32"}.get(dtype, dtype))


def number_reader(name: str, spec: TensorSpec) -> NumberReader:
    """A function from the JSON of a value to the row of input `name`, without batch dimension.

    A bare number is also taken for shape [1]. true and false are no numbers, except to a bool tensor. The
    function raises `NotANumber`, `ShapeMismatch`, `NotFinite` or `OutOfRange`.
    """
    row = spec.row_shape
    dtype = numpy_dtype(spec.dtype)

    def read(raw: bytes) -> NDArray[Any]:
        raw = _as_array(raw, row)
        rank = min(_depth(raw), _MAX_RANK) if row is None else len(row)
        try:
            value = _decoder(spec.dtype, rank).decode(raw)
        except msgspec.DecodeError:
            value = _walked(name, raw, spec)
        try:
            array = _cast(name, value, dtype)
        except ValueError as error:  # numpy's "inhomogeneous shape"
            raise ShapeMismatch(
                f"input {name!r}: rows of different lengths; it takes {shape_text(row)}"
            ) from error
        if not fits(array.shape, row):
            raise ShapeMismatch(
                f"input {name!r}: the value has shape {shape_text(array.shape)}, it takes {shape_text(row)}"
            )
        return array

    return read


def rows_reader(name: str, spec: TensorSpec) -> RowsReader:
    """A function from the JSON of a value each to the rows of input `name` as one tensor, batch first.

    What it reads is bit for bit what `number_reader` reads, at a fraction of the time; where that would refuse a
    value, or the rows have different shapes, it answers None, and each is to be read by itself.
    """
    row = spec.row_shape
    dtype = numpy_dtype(spec.dtype)

    def read(raws: Sequence[bytes | msgspec.Raw]) -> NDArray[Any] | None:
        if row is None:
            return None
        if row == (1,):
            raws = [_as_array(bytes(raw), row) for raw in raws]
        try:
            value = _decoder(spec.dtype, 1 + len(row)).decode(b"[" + b",".join(raws) + b"]")
            array = _cast(name, value, dtype)
        except (msgspec.DecodeError, ValueError, ItemError):
            return None
        return array if fits(array.shape, (len(raws), *row)) else None

    return read


def columns_reader(
    name: str, columns: Sequence[str], spec: TensorSpec
) -> Callable[[Sequence[bytes]], NDArray[Any]]:
    """A function from the JSON of each column's scalar to the stacked row of input `name`: (columns,)."""
    together = number_reader(name, spec)
    alone = [number_reader(column, TensorSpec(spec.dtype, (None,))) for column in columns]

    def read(raws: Sequence[bytes]) -> NDArray[Any]:
        try:
            return together(b"[" + b",".join(raws) + b"]")
        except ItemError:
            for reader, raw in zip(alone, raws, strict=True):
                reader(raw)  # raises with the column's own name, where one is at fault
            raise

    return read


def missing(name: str) -> MissingInput:
    """The error for an item without a value for `name`."""
    return MissingInput(f'the item has no value {name!r}; put it under "inputs"')


def _as_array(raw: bytes, row: tuple[int | None, ...] | None) -> bytes:
    """The value; a bare number as an array where the row has shape [1]."""
    return b"[" + raw + b"]" if row == (1,) and not raw.lstrip().startswith(b"[") else raw


@lru_cache
def _decoder(dtype: str, rank: int) -> msgspec.json.Decoder[Any]:
    wanted: Any = bool if dtype == "bool" else int if dtype in INTEGERS else float
    for _ in range(rank):
        wanted = list[wanted]
    return msgspec.json.Decoder(wanted)


def _depth(raw: bytes) -> int:
    """How many brackets the value opens with: its number of dimensions, if it has a shape at all."""
    depth = 0
    for byte in raw:
        if byte == ord("["):
            depth += 1
        elif byte not in b" \t\r\n":
            break
    return depth


def _cast(name: str, value: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    try:
        if dtype.kind != "f":
            return np.array(value, dtype)
        exact = np.array(value, np.float64)
        with np.errstate(over="ignore"):
            array = exact.astype(dtype, copy=False)
    except OverflowError as error:
        raise OutOfRange(f"input {name!r}: {_out_of_range(value, dtype)}") from error
    if not np.isfinite(array).all():
        first = exact[~np.isfinite(array)].flat[0]
        raise NotFinite(f"input {name!r}: {first!s} is infinite as {dtype}")
    return array


def _out_of_range(value: Any, dtype: np.dtype[Any]) -> str:
    """Which integer does not fit, and what would."""
    limits = np.iinfo(dtype)
    todo = [value]
    while todo:
        last = todo.pop()
        if isinstance(last, list):
            todo.extend(reversed(last))
        elif not limits.min <= last <= limits.max:
            return f"{last} does not fit {dtype} ({limits.min} to {limits.max})"
    return f"a number does not fit {dtype}"


def _walked(name: str, raw: bytes, spec: TensorSpec) -> Any:
    """The value with each number in the form of the dtype; raises what is wrong with the first that has none."""
    try:
        value = msgspec.json.decode(raw)
    except msgspec.ValidationError as error:  # JSON, but beyond float64
        raise OutOfRange(f"input {name!r}: {_shown(raw)} holds a number beyond float64") from error
    except msgspec.DecodeError as error:  # a CSV field that is no JSON
        text = raw.decode("utf-8", "replace").strip("[] \t").lower()
        kind: type[ItemError] = NotFinite if text in _NOT_FINITE else NotANumber
        raise kind(f"input {name!r}: {_shown(raw)} is not a number") from error
    return _number(value, name, name, spec.dtype)


def _number(value: Any, name: str, place: str, dtype: str) -> Any:
    if isinstance(value, list):
        return [_number(inner, name, f"{place}[{i}]", dtype) for i, inner in enumerate(value)]
    at = f"input {name!r}" if place == name else f"input {name!r}: {place}"
    if dtype == "bool" and value in (0, 1):
        return bool(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or dtype == "bool":
        wanted = "true or false" if dtype == "bool" else "a number"
        raise NotANumber(f"{at} is {_shown(msgspec.json.encode(value))}, not {wanted}")
    if dtype in FLOATS:
        try:
            return float(value)
        except OverflowError as error:
            raise OutOfRange(f"{at} is a number beyond float64") from error
    if isinstance(value, float) and not value.is_integer():
        raise OutOfRange(f"{at} is {value}, and the input takes whole numbers ({dtype})")
    return int(value)


def _shown(raw: bytes) -> str:
    text = raw.decode("utf-8", "replace")
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
