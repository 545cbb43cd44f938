"""The interpreter of the local cloud with the shipped definition, its functions stubs: what a child costs.

Two questions, each asked in a process of its own on one core: all children at once in virtual time, and many in
flight at once in real time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Literal

import msgspec

from benchmarks.interpreter_process import MapRunMeasure
from benchmarks.part import Part, Run
from benchmarks.processes import run_module
from benchmarks.tables import Table, verdict

CHILDREN = 10_000
PROCESSOR_BAR_MS = 1.5  # a child's, on one core
MEMORY_BAR_MB = 1024.0


class Interpreter(msgspec.Struct, frozen=True, kw_only=True):
    """The interpreter, repetition by repetition: all children at once in virtual time; many in real time."""

    virtual: tuple[MapRunMeasure, ...]
    real: tuple[MapRunMeasure, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """A Map Run to measure; `batch_s` is how long the stub of PredictBatch takes, on the clock in question."""

    clock: Literal["virtual", "real"]
    children: int
    max_concurrency: int
    batch_s: float

    def arguments(self) -> list[str]:
        """The words of `python -m benchmarks.interpreter_process`."""
        return [self.clock, str(self.children), str(self.max_concurrency), str(self.batch_s)]


VIRTUAL = Plan("virtual", CHILDREN, 10_000, 20.0)
# 1,000 in flight for 1 s each: 1,000 children a second is all that there can be, whatever the interpreter costs.
REAL = Plan("real", CHILDREN, 1_000, 1.0)


def measure(run: Run) -> Interpreter:
    """Measure both, in turns."""
    virtual: list[MapRunMeasure] = []
    real: list[MapRunMeasure] = []
    for repetition in range(run.repetitions):
        for plan, kept in ((VIRTUAL, virtual), (REAL, real)):
            measure = measure_apart(_quick(plan) if run.quick else plan)
            kept.append(measure)
            run.say(
                f"{repetition + 1} of {run.repetitions}: {measure.children:,} children, {plan.clock} time,"
                f" {measure.most_in_flight:,} at once: {measure.children_per_s:,.0f} children/s,"
                f" {measure.processor_ms_per_child:.2f} ms each, {measure.peak_memory_mb:,.0f} MB"
            )
    return Interpreter(virtual=tuple(virtual), real=tuple(real))


def _quick(plan: Plan) -> Plan:
    return replace(plan, children=plan.children // 10, max_concurrency=plan.max_concurrency // 10)


def measure_apart(plan: Plan) -> MapRunMeasure:
    """One measurement in a process of its own, so that its memory is its own."""
    finished = run_module("benchmarks.interpreter_process", *plan.arguments())
    return msgspec.json.decode(finished.stdout, type=MapRunMeasure)


def tables(measured: Interpreter) -> list[Table]:
    """One table: both, and whether the bars hold."""
    both = (*measured.virtual, *measured.real)
    processor_ms = max(
        median(m.processor_ms_per_child for m in part) for part in (measured.virtual, measured.real)
    )
    memory_mb = max(m.peak_memory_mb for m in both)
    most_per_s = measured.real[0].max_concurrency / REAL.batch_s
    pinned = all(m.pinned for m in both)
    table = Table(
        title="The interpreter: the shipped definition, stub functions, "
        + ("one core" if pinned else "not held to one core (this system cannot)"),
        columns=(
            f"median of {len(measured.virtual)}",
            "children",
            "most at once",
            "mean",
            "children/s",
            "processor ms",
            "peak MB",
        ),
        rows=(
            _map_run_row(f"virtual, {VIRTUAL.batch_s:g} s", measured.virtual),
            _map_run_row(f"real, {REAL.batch_s:g} s", measured.real),
        ),
        notes=(
            f"Real time allows at most {most_per_s:,.0f} children/s, whatever they cost.",
            f"Processor time a child: < {PROCESSOR_BAR_MS:g} ms {verdict(met=processor_ms < PROCESSOR_BAR_MS)}."
            f" Memory: < {MEMORY_BAR_MB:g} MB {verdict(met=memory_mb < MEMORY_BAR_MB)}.",
        ),
    )
    return [table]


def _map_run_row(name: str, measures: Sequence[MapRunMeasure]) -> tuple[str, ...]:
    return (
        name,
        f"{measures[0].children:,}",
        f"{max(m.most_in_flight for m in measures):,}",
        f"{median(m.mean_in_flight for m in measures):,.0f}",
        f"{median(m.children_per_s for m in measures):,.0f}",
        f"{median(m.processor_ms_per_child for m in measures):.2f}",
        f"{max(m.peak_memory_mb for m in measures):,.0f}",
    )


PART = Part("interpreter", Interpreter, measure, tables)
