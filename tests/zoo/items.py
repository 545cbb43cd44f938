"""Items of the zoo, drawn: what an items file says of each input, and the tensor that it has to become.

The tensor is made here, by other means than the product's: it is what the model is given directly.
"""

import base64
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

Tensor = NDArray[Any]
Random = np.random.Generator
SIZES = (0, 1, 2, 3, 4, 7, 33)  # of what a signature leaves open
TEXTS = (
    "",
    "good",
    "good bad",
    "ügly 🦊 good",
    "  two  spaces ",
    "a b c d e f g",
    "nul\x00inside",
    "x" * 3000,
    '"quoted", with\n\ta line break',
)


@dataclass(frozen=True)
class Drawn:
    """One item: its line's object, and the rows that it stands for; `wrong`: it is no item, whatever the model."""

    line: dict[str, Any]
    rows: dict[str, Tensor] = field(default_factory=dict)
    wrong: bool = False

    @property
    def key(self) -> str:
        """What tells two items apart."""
        return json.dumps(self.line)


@dataclass(frozen=True)
class Given:
    """An input of the signature, as items give it: `draw` makes what stands under `inputs`, and the row.

    Without a row it is no value: of an array of no rows, JSON does not say how long they are.
    """

    name: str
    draw: Callable[[Random, Sequence[int]], tuple[dict[str, Any], Tensor | None]]


def number(
    name: str,
    dtype: str = "float32",
    shape: tuple[int | None, ...] = (),
    *,
    between: tuple[float, float] | None = None,
    columns: Sequence[str] = (),
    carried: str | None = None,
) -> Given:
    """Numbers of a dtype, its limits drawn often: those in `between`; else a hundred, and the dtype's own."""

    def draw(random: Random, sizes: Sequence[int]) -> tuple[dict[str, Any], Tensor | None]:
        open_sizes = iter(sizes)
        row = _numbers(random, dtype, [next(open_sizes) if size is None else size for size in shape], between)
        value = row.tolist()
        if columns:
            return dict(zip(columns, value, strict=True)), row
        return {carried or name: value}, row if np.shape(value) == row.shape else None

    return Given(name, draw)


def _numbers(random: Random, dtype: str, shape: Sequence[int], between: tuple[float, float] | None) -> Tensor:
    if dtype == "bool":
        return random.integers(0, 2, shape).astype(bool)
    if dtype[-2:] in ("16", "32", "64") and "float" in dtype:
        kind = np.dtype("float32" if dtype == "bfloat16" else dtype)
        limits = np.finfo(kind)
        low, high = between or (-100.0, 100.0)
        common = (random.random(shape) * (high - low) + low).astype(kind)
        edges: list[Any] = [low, high, 0.0, -0.0 if low < 0 else 0.0]
        if between is None:
            edges += [limits.max / 4, limits.min / 4, limits.tiny, -limits.tiny]
    else:
        kind = np.dtype(dtype)
        whole = np.iinfo(kind)
        low, high = between or (max(-100, whole.min), 100)
        common = random.integers(int(low), int(high), shape, endpoint=True).astype(kind)
        edges = [low, high, *([] if between else [whole.min, whole.max])]
    extreme = np.array([edges[at] for at in random.integers(0, len(edges), shape).ravel()], dtype=kind)
    return np.where(random.random(shape) < 0.2, extreme.reshape(shape), common).astype(kind)


def text(name: str, shape: tuple[int, ...] = (), texts: Sequence[str] = TEXTS) -> Given:
    """One string."""

    def draw(random: Random, sizes: Sequence[int]) -> tuple[dict[str, Any], Tensor]:
        value = texts[int(random.integers(len(texts)))]
        row = np.empty(shape, object)
        row[...] = value.encode()
        return {name: value}, row

    return Given(name, draw)


def image(
    name: str,
    height: int,
    width: int,
    channels: int,
    dtype: str = "float32",
    scale: tuple[float, float] | None = None,
) -> Given:
    """A PNG of the model's size."""

    def draw(random: Random, sizes: Sequence[int]) -> tuple[dict[str, Any], Tensor]:
        pixels = random.integers(0, 256, (height, width, channels)).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels[..., 0] if channels == 1 else pixels).save(file, "PNG")
        uri = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
        row = pixels.astype(dtype)
        if scale is not None:
            low, high = scale
            row = (low + pixels.astype(np.float64) * (high - low) / 255).astype(np.float32).astype(dtype)
        return {name: uri}, row

    return Given(name, draw)


def item(inputs: Sequence[Given]) -> st.SearchStrategy[Drawn]:
    """An item of these inputs; now and then one that is none."""

    def make(seed: int, sizes: tuple[int, int], fault: str) -> Drawn:
        random = np.random.default_rng(seed)
        values: dict[str, Any] = {}
        rows: dict[str, Tensor] = {}
        for given in inputs:
            value, row = given.draw(random, sizes)
            values |= value
            if row is None:
                fault = fault or "no row"
            else:
                rows[given.name] = row
        match fault:
            case "missing":
                del values[next(iter(values))]
            case "null":
                values[next(iter(values))] = None
            case "object":
                values[next(iter(values))] = {"a": 1}
            case "deep":
                values[next(iter(values))] = [[[[[[values[next(iter(values))]]]]]]]
        return Drawn({"inputs": values}, rows, wrong=bool(fault))

    faults = st.sampled_from([""] * 12 + ["missing", "null", "object", "deep"])
    return st.builds(
        make,
        st.integers(0, 2**32 - 1),
        st.tuples(st.sampled_from(SIZES), st.sampled_from(SIZES)),
        faults,
    )
