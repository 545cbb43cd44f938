"""The hop of the local cloud to a function and back: what an invocation costs where the function does nothing.

From the service of functions through the Runtime API to a real execution environment (awslambdaric), one event
after the other, in a process of its own: the processor time of the cloud's process, and apart from it that of the
function's.
"""

from collections.abc import Sequence
from statistics import median

import msgspec

from benchmarks.part import Part, Run
from benchmarks.processes import run_module
from benchmarks.runtime_hop_process import HopMeasure
from benchmarks.tables import Table, verdict

INVOCATIONS = 5_000
QUICK_INVOCATIONS = 500
PROCESSOR_BAR_MS = 1.5  # an invocation's, in the cloud's process


class RuntimeHop(msgspec.Struct, frozen=True, kw_only=True):
    """The hop, repetition by repetition."""

    hops: tuple[HopMeasure, ...]


def measure(run: Run) -> RuntimeHop:
    """Measure it as often as the run says."""
    hops: list[HopMeasure] = []
    for repetition in range(run.repetitions):
        hop = measure_apart(QUICK_INVOCATIONS if run.quick else INVOCATIONS)
        hops.append(hop)
        run.say(
            f"{repetition + 1} of {run.repetitions}: {hop.invocations:,} invocations,"
            f" {hop.cloud_ms:.2f} ms each in the cloud, {hop.function_ms:.2f} ms in the function's process"
        )
    return RuntimeHop(hops=tuple(hops))


def measure_apart(invocations: int) -> HopMeasure:
    """One measurement in a process of its own."""
    finished = run_module("benchmarks.runtime_hop_process", str(invocations))
    return msgspec.json.decode(finished.stdout, type=HopMeasure)


def tables(measured: RuntimeHop) -> Sequence[Table]:
    """One table: both processes and the time between, and whether the bar holds."""
    hops = measured.hops
    cloud_ms = median(hop.cloud_ms for hop in hops)
    table = Table(
        title="The hop through the Runtime API: a function that does nothing, invoked one by one",
        columns=(f"median of {len(hops)}, ms an invocation", "median", "from … to"),
        rows=(
            _row("processor, the cloud's process", [hop.cloud_ms for hop in hops]),
            _row("processor, the function's process", [hop.function_ms for hop in hops]),
            _row("there and back", [hop.round_trip_ms for hop in hops]),
        ),
        notes=(
            f"{hops[0].invocations:,} invocations of a warm environment; the event is that of a child.",
            f"Processor time in the cloud's process: < {PROCESSOR_BAR_MS:g} ms"
            f" {verdict(met=cloud_ms < PROCESSOR_BAR_MS)}.",
        ),
    )
    return [table]


def _row(name: str, milliseconds: Sequence[float]) -> tuple[str, str, str]:
    return (
        name,
        f"{median(milliseconds):.2f}",
        f"{min(milliseconds):.2f} … {max(milliseconds):.2f}",
    )


PART = Part("runtime_hop", RuntimeHop, measure, tables)
