"""`fanwise simulate`: what it takes to play a job through, and whether jobs on this machine come out as it says.

For the second, JPEGs are predicted by `fanwise run` on as many cores as it has environments (one is a vCPU), and
simulated with as many, without chance, by a profile that was measured before and after on the same JPEGs. A folder
answers at once, so an invocation takes nothing beside its items. What planning and accounting take to start is
told by a job of one item.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from benchmarks.errors import BenchmarkError
from benchmarks.jpegs.workload import first_items, prepare_workload
from benchmarks.part import Part, Run
from benchmarks.processes import environment, run_module, run_process
from benchmarks.simulated_process import Played
from benchmarks.tables import Table, verdict
from fanwise.limits import VCPU_MB
from fanwise.model.profile import RuntimeProfile
from fanwise.pricing import prices_of
from fanwise.reckoning.batching import DEFAULT_SIZE
from fanwise.reckoning.estimate import Work
from fanwise_cli.bundles import prepare
from fanwise_local.simulation import Scenario, simulate

SECONDS_BAR, MEMORY_BAR_MB = 60.0, 400
OFF_BAR = 0.15
IMAGES, QUICK_ITEMS = 2_000, 300
BATCH_SIZE = 100
MOST_REPETITIONS = 3


@dataclass(frozen=True, slots=True)
class Case:
    """A simulation to be timed; all have 20,000 entries."""

    name: str
    items: int
    batch_size: int
    account_concurrency: int
    item_ms: float
    max_concurrency: int = 10_000

    def arguments(self, divisor: int) -> list[str]:
        """The words of `python -m benchmarks.simulated_process`; with a divisor, of a smaller job."""
        counts = (
            self.items // divisor,
            self.batch_size,
            self.max_concurrency // divisor,
            self.account_concurrency // divisor,
        )
        return [*map(str, counts), str(self.item_ms)]


CASES = (
    Case("10 ms an item", 10_000_000, 500, 10_000, 10.0),
    Case("0.3 ms an item", 10_000_000, 500, 10_000, 0.3),
    Case("10 ms, in an account of a tenth", 10_000_000, 500, 1_000, 10.0),
)


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """A job on this machine: what it took, by its summary, and what it had been simulated to take."""

    environments: int
    real_s: float
    simulated_s: float

    @property
    def off(self) -> float:
        """How far the simulation is off, as a share of what it took."""
        return self.simulated_s / self.real_s - 1


class Simulated(msgspec.Struct, frozen=True, kw_only=True):
    """Each case once; the jobs repetition by repetition. None of these where cores cannot be chosen."""

    played: dict[str, Played]
    items: int
    compared: tuple[Compared, ...]


def measure(run: Run) -> Simulated:
    """Play the cases, then run and simulate the jobs."""
    played: dict[str, Played] = {}
    for case in CASES:
        finished = run_module("benchmarks.simulated_process", *case.arguments(10 if run.quick else 1))
        one = played[case.name] = msgspec.json.decode(finished.stdout, type=Played)
        run.say(
            f"{case.name}: {one.simulated_s:,.0f} s in {one.real_s:.1f} s, {one.peak_memory_mb} MB;"
            f" {one.rounds} rounds, {one.throttles:,} throttles"
        )
    items = QUICK_ITEMS if run.quick else IMAGES
    return Simulated(played=played, items=items, compared=tuple(_compared(run, items)))


def _compared(run: Run, items: int) -> list[Compared]:
    if not hasattr(os, "sched_setaffinity"):
        run.say("jobs on this machine: left out, since this system has no way to choose cores")
        return []
    workload = run.work / "jpegs"
    prepare_workload(workload, IMAGES)
    bundle = prepare(workload / "model", run.work / "cache/bundles").folder
    counts = [count for count in (1, 2) if count <= len(os.sched_getaffinity(0))]
    samples = first_items(workload, items)
    found = []
    for repetition in range(min(run.repetitions, MOST_REPETITIONS)):
        for environments in counts:
            before = _profile(bundle, samples)
            smallest_s = _job_s(run.work, workload, 1, environments)
            real_s = _job_s(run.work, workload, items, environments)
            profile = _between(before, _profile(bundle, samples))
            one = Compared(
                environments=environments,
                real_s=real_s,
                simulated_s=_simulated_s(profile, smallest_s, samples, items, environments),
            )
            found.append(one)
            run.say(
                f"{repetition + 1}: {environments} at once: {one.real_s:.1f} s, simulated {one.simulated_s:.1f} s"
                f" ({one.off:+.0%})"
            )
    return found


def _on_cores(count: int, *words: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks.on_cores", str(count), sys.executable, "-m", *words]


def _profile(bundle: Path, samples: Path) -> RuntimeProfile:
    """The bundle's LiteRT, measured now, on one core, as `fanwise push --samples` does."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "profile.json"
        command = _on_cores(1, "fanwise_cli.measuring", str(bundle), "litert", str(out), str(samples))
        run_process(command, environment(), cwd=Path(__file__).parent.parent)
        return msgspec.json.decode(out.read_bytes(), type=RuntimeProfile)


def _between(one: RuntimeProfile, other: RuntimeProfile) -> RuntimeProfile:
    """The mean of two, of an invocation that takes nothing beside its items."""
    figures = {
        name: (getattr(one, name) + getattr(other, name)) / 2 for name in ("init_ms", "load_ms", "decode_ms")
    }
    compute_ms = {1: (one.compute_ms[1] + other.compute_ms[1]) / 2}
    return msgspec.structs.replace(one, invocation_ms=0.0, compute_ms=compute_ms, **figures)


def _job_s(work: Path, workload: Path, items: int, environments: int) -> float:
    """Seconds of a job on this machine, by its summary."""
    out = work / "simulated"
    shutil.rmtree(out, ignore_errors=True)
    words = (
        "run",
        str(first_items(workload, items)),
        "--model",
        str(workload / "model"),
        "--runtime",
        "litert",
    )
    options = (
        "--batch-size",
        str(BATCH_SIZE),
        "--environments",
        str(environments),
        "--out",
        str(out),
        "--json",
    )
    variables = environment(FANWISE_CACHE_DIR=str(work / "cache"))
    command = _on_cores(environments, "fanwise_cli", *words, *options)
    try:
        finished = run_process(command, variables, cwd=Path(__file__).parent.parent)
    finally:
        shutil.rmtree(out, ignore_errors=True)
    summary: dict[str, Any] = msgspec.json.decode(finished.stdout)
    if summary["items"]["predicted"] != items:
        raise BenchmarkError(
            f"{summary['items']['predicted']} items were predicted; it was asked for {items}"
        )
    return float(summary["duration_s"])


def _simulated_s(
    profile: RuntimeProfile, smallest_s: float, samples: Path, items: int, environments: int
) -> float:
    """Seconds of the job in a simulation; `smallest_s` are those of a job of one item on this machine."""
    cold_s = (
        profile.start_ms(VCPU_MB) + profile.compute_ms[1] * profile.mini_batch + profile.decode_ms
    ) / 1000
    scenario = Scenario(
        work=Work(
            items=items, batch_size=BATCH_SIZE, max_concurrency=1000, size_bytes=samples.stat().st_size
        ),
        profile=profile,
        runtime="litert",
        size=DEFAULT_SIZE,
        prices=prices_of(),
        environments=environments,
        others_start_s=max(0.0, smallest_s - cold_s) / 2,  # PlanJob and AggregateResults
        jitter=0,
        tail=0,
    )
    return simulate(scenario).duration_s


def tables(measured: Simulated) -> list[Table]:
    """What simulations take; and how far they are off."""
    played = measured.played
    seconds = max(one.real_s for one in played.values())
    memory_mb = max(one.peak_memory_mb for one in played.values())
    found = [
        Table(
            title="fanwise simulate, at most 10,000 at once",
            columns=("once each", "items", "batches", "simulated s", "rounds", "429s", "real s", "peak MB"),
            rows=tuple(
                (
                    name,
                    f"{one.predicted:,}",
                    f"{one.entries:,}",
                    f"{one.simulated_s:,.0f}",
                    f"{one.rounds}",
                    f"{one.throttles:,}",
                    f"{one.real_s:.1f}",
                    f"{one.peak_memory_mb:,}",
                )
                for name, one in played.items()
            ),
            notes=(
                f"Within {SECONDS_BAR:.0f} s {verdict(met=seconds <= SECONDS_BAR)};"
                f" {MEMORY_BAR_MB} MB {verdict(met=memory_mb <= MEMORY_BAR_MB)}.",
            ),
        )
    ]
    if measured.compared:
        found.append(_compared_table(measured))
    return found


def _compared_table(measured: Simulated) -> Table:
    rows, is_met = [], True
    for environments in sorted({one.environments for one in measured.compared}):
        these = [one for one in measured.compared if one.environments == environments]
        off = [one.off for one in these]
        is_met &= abs(median(off)) <= OFF_BAR
        rows.append(
            (
                f"{environments} environment{'' if environments == 1 else 's'}",
                _median(these, "real_s"),
                _median(these, "simulated_s"),
                f"{median(off):+.0%}",
                f"{min(off):+.0%} … {max(off):+.0%}",
            )
        )
    return Table(
        title=f"Jobs on this machine as simulated: {measured.items:,} JPEGs, MobileNetV2 224, LiteRT",
        columns=("a core each", "real s", "simulated s", "off", "from … to"),
        rows=tuple(rows),
        notes=(f"Within {OFF_BAR:.0%}, by the median: {verdict(met=is_met)}.",),
    )


def _median(compared: Sequence[Compared], field: str) -> str:
    return f"{median(getattr(one, field) for one in compared):.1f}"


PART = Part("simulated", Simulated, measure, tables)
