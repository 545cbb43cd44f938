"""The parts, in the order in which they are measured and told. A new one is a module with a `PART`, named here."""

from typing import Any

import msgspec

from benchmarks import cold, cost, growth, interpreter, runtime_hop, simulated
from benchmarks.errors import BenchmarkError
from benchmarks.jpegs.part import PART as JPEGS
from benchmarks.part import Part
from benchmarks.results import Results
from benchmarks.rows.part import PART as ROWS
from benchmarks.tables import Chart, Table

PARTS: dict[str, Part[Any]] = {
    part.name: part
    for part in (
        JPEGS,
        ROWS,
        cold.PART,
        cost.PART,
        interpreter.PART,
        runtime_hop.PART,
        simulated.PART,
        growth.PART,
    )
}


def kept_parts(results: Results) -> list[tuple[Part[Any], Any]]:
    """The parts that a run has, in order, each with what it left. Raises `BenchmarkError` for another's format."""
    kept = []
    for name, part in PARTS.items():
        if (left := results.parts.get(name)) is not None:
            try:
                kept.append((part, msgspec.convert(left, part.results)))
            except msgspec.ValidationError as error:
                raise BenchmarkError(f"results of {results.date}, {name}: {error}: measure again") from error
    return kept


def tables_of(results: Results) -> list[Table]:
    """The tables of a run, of the parts that it has."""
    return [table for part, measured in kept_parts(results) for table in part.tables(measured)]


def charts_of(results: Results) -> list[Chart]:
    """The charts of a run, likewise."""
    return [chart for part, measured in kept_parts(results) for chart in part.charts(measured)]
