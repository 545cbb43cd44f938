"""The interpreter of the local cloud with the shipped definition, its functions stubs: what a child costs.

Two questions, each asked in a process of its own on one core: all children at once in virtual time, and many in
flight at once in real time.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import msgspec

from benchmarks.processes import run_module
from benchmarks.results import Interpreter, MapRunMeasure

CHILDREN = 10_000


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


def run_interpreter(repetitions: int, say: Callable[[str], None], *, quick: bool) -> Interpreter:
    """Measure both, in turns. `say` is told, line by line, what happens."""
    virtual: list[MapRunMeasure] = []
    real: list[MapRunMeasure] = []
    for repetition in range(repetitions):
        for plan, kept in ((VIRTUAL, virtual), (REAL, real)):
            measure = measure_apart(_quick(plan) if quick else plan)
            kept.append(measure)
            say(
                f"{repetition + 1} of {repetitions}: {measure.children:,} children, {plan.clock} time,"
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
