"""What a part of the benchmarks is: something measured by itself, what it leaves, and what people read of that."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from benchmarks.tables import Chart, Table

R = TypeVar("R", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Run:
    """How a part is measured: `work` is a folder to keep things in, `say` is told, line by line, what happens.

    `measured` has what the parts before it in this run left.
    """

    work: Path
    repetitions: int
    quick: bool
    say: Callable[[str], None]
    measured: Mapping[str, msgspec.Struct]


def _no_charts(_results: object) -> Sequence[Chart]:
    return ()


@dataclass(frozen=True, slots=True)
class Part(Generic[R]):
    """A part by its name, which is that of its module. `measure` raises `BenchmarkError`."""

    name: str
    results: type[R]
    measure: Callable[[Run], R]
    tables: Callable[[R], Sequence[Table]]
    charts: Callable[[R], Sequence[Chart]] = _no_charts
