"""How time and memory grow: 1,000 to 10,000,000 items planned and simulated, 1,000 to 100,000 commits aggregated.

The stages' own code, each measurement in a fresh process held to one core. Data are made in a temporary folder,
1.6 GB at most, and gone afterwards.
"""

import math
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import linear_regression, median

import msgspec

from benchmarks.growth_data import write_decided_job, write_items
from benchmarks.growth_process import WORKS, Measure, Work
from benchmarks.part import Part, Run
from benchmarks.processes import run_module
from benchmarks.tables import Table, verdict

REPETITIONS = 3  # at most: the largest take most of the time
FITTED_DECADES = 2  # the exponent is that of the largest sizes: below, a process is mostly its start


@dataclass(frozen=True, slots=True)
class Bar:
    """What the largest size may take. `seconds` are of a core that nobody else uses."""

    label: str
    largest: int
    seconds: float | None
    memory_mb: float


BARS: dict[Work, Bar] = {
    "jsonl": Bar("plan JSONL lines", 10_000_000, 8.0, 256.0),
    "csv": Bar("plan CSV rows, quoted", 10_000_000, 25.0, 256.0),
    "folder": Bar("plan a folder's objects", 1_000_000, None, 512.0),
    "commits": Bar("aggregate commits", 100_000, 60.0, 512.0),
    "commits alone": Bar("… each read by itself", 100_000, None, 512.0),
    "simulated": Bar("simulate items", 10_000_000, 60.0, 400.0),
}


class Growth(msgspec.Struct, frozen=True, kw_only=True):
    """All measurements, size by size, repetition by repetition."""

    measures: tuple[Measure, ...]


def sizes(largest: int) -> list[int]:
    """1,000, and ten times as many each time."""
    return [10**power for power in range(3, round(math.log10(largest)) + 1)]


def measure(run: Run) -> Growth:
    """Measure all sizes of all works; `quick` leaves out the two largest, as far as two are left."""
    measures: list[Measure] = []
    for work in WORKS:
        counts = sizes(BARS[work].largest)
        for count in counts[: max(2, len(counts) - 2)] if run.quick else counts:
            with tempfile.TemporaryDirectory(prefix="fanwise-growth-") as folder:
                made = [_once(work, count, Path(folder)) for _ in range(min(run.repetitions, REPETITIONS))]
            measures += made
            run.say(
                f"{BARS[work].label}: {count:,} in {median(m.duration_s for m in made):.2f} s"
                f" ({median(m.processor_s for m in made):.2f} s of processor),"
                f" {max(m.peak_memory_mb for m in made):,.0f} MB"
            )
    return Growth(measures=tuple(measures))


def _once(work: Work, count: int, folder: Path) -> Measure:
    """One measurement; the data of a size are made once, and what is left of a job is removed before the next."""
    if work.startswith("commits"):
        if not (folder / "jobs").exists():
            write_decided_job(count, folder, told=work == "commits")
    else:
        items = folder / "input" / f"items.{work}"
        if work in ("jsonl", "csv") and not items.exists():
            items.parent.mkdir()
            write_items("jsonl" if work == "jsonl" else "csv", count, items)
        shutil.rmtree(folder / "results", ignore_errors=True)
    finished = run_module("benchmarks.growth_process", work, str(count), str(folder))
    return msgspec.json.decode(finished.stdout, type=Measure)


def exponent(points: Sequence[tuple[int, float]]) -> float:
    """Of y in y ~ x^exponent, by least squares over the logarithms of the largest sizes."""
    largest = max(count for count, _ in points)
    upper = [(x, y) for x, y in points if x * 10**FITTED_DECADES >= largest]
    return linear_regression([math.log(x) for x, _ in upper], [math.log(y) for _, y in upper]).slope


def tables(measured: Growth) -> list[Table]:
    """A row a work: what the largest size took, the exponents, and whether the bars hold."""
    rows = []
    for work, bar in BARS.items():
        of_work = [m for m in measured.measures if m.work == work]
        if of_work:
            rows.append(_row(bar, of_work))
    pinned = all(m.pinned for m in measured.measures)
    return [
        Table(
            title="Growth: planned, aggregated, simulated, "
            + ("one core" if pinned else "not held to one core"),
            columns=(
                "median",
                "largest",
                "seconds",
                "processor s",
                "exponent",
                "bar",
                "peak MB",
                "exponent",
                "bar",
            ),
            rows=tuple(rows),
            notes=(
                f"Exponents of processor time and of memory over the largest {FITTED_DECADES} decades:"
                f" 1 is linear, less is a start that is not paid again.",
            ),
        )
    ]


def _row(bar: Bar, measures: Sequence[Measure]) -> tuple[str, ...]:
    counts = sorted({m.count for m in measures})
    by_count = {count: [m for m in measures if m.count == count] for count in counts}
    processor_s = [(count, median(m.processor_s for m in made)) for count, made in by_count.items()]
    memory_mb = [(count, max(m.peak_memory_mb for m in made)) for count, made in by_count.items()]
    largest = counts[-1]
    duration_s = median(m.duration_s for m in by_count[largest])
    is_whole = largest == bar.largest
    seconds = ""
    if bar.seconds is not None and is_whole:
        seconds = f"< {bar.seconds:g} s {verdict(met=duration_s < bar.seconds)}"
    memory = f"≤ {bar.memory_mb:g} MB {verdict(met=memory_mb[-1][1] <= bar.memory_mb)}" if is_whole else ""
    return (
        bar.label,
        f"{largest:,}",
        f"{duration_s:.2f}",
        f"{processor_s[-1][1]:.2f}",
        f"{exponent(processor_s):.2f}",
        seconds,
        f"{memory_mb[-1][1]:,.0f}",
        f"{exponent(memory_mb):.2f}",
        memory,
    )


PART = Part("growth", Growth, measure, tables)
