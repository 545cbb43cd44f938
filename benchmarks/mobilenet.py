"""`fanwise run --runtime tensorflow` against the hand-written loop, over the same JPEGs, alternating in one run.

Neither is asked anything while it works. The loop says when each of its mini-batches was done. What fanwise did
when, its own commits tell: `invocation` has how long an invocation took and how much of that was loading the
model, and the commit's time of writing is when it ended.
"""

import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from benchmarks.errors import BenchmarkError
from benchmarks.part import Part, Run
from benchmarks.processes import Finished, environment, run_module, run_process
from benchmarks.rates import Ramp, median_ratio, spread, steady_items_per_s
from benchmarks.tables import Table, verdict
from benchmarks.workload import first_items, prepare_workload
from fanwise.records import Commit

ONEDNN = {"TF_ENABLE_ONEDNN_OPTS": "1"}  # of both; the template sets it for fanwise's functions anyway
SCORE_TOLERANCE = 1e-4

STEADY_BAR = 0.90  # fanwise's items/s over the loop's
WHOLE_BAR = 0.80

Scores = npt.NDArray[np.float32]
_commit_decoder = msgspec.json.Decoder(Commit)


class Throughput(msgspec.Struct, frozen=True, kw_only=True):
    """One repetition over all items.

    `whole` counts from the start of the process (to the last prediction of the loop, to the exit of the command),
    `steady` over the middle 80 % of the items. `processor_s` is that of the process and of those it waited for.
    """

    whole_items_per_s: float
    steady_items_per_s: float
    processor_s: float


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """fanwise's predictions against the loop's, over all repetitions; the largest difference of any score kept."""

    compared: int
    other_label: int
    other_score: int
    largest_difference: float


class Mobilenet(msgspec.Struct, frozen=True, kw_only=True):
    """The loop and `fanwise run`, repetition by repetition, and fanwise's first run with an empty cache.

    `frozen`: whether preparing the bundle froze the model, which is up to the model and makes it faster.
    """

    items: int
    loop: tuple[Throughput, ...]
    fanwise: tuple[Throughput, ...]
    first_run_s: float
    frozen: bool
    invocations: int
    cold_starts: int
    agreement: Agreement


class MiniBatch(msgspec.Struct, frozen=True):
    """When the loop had done one mini-batch."""

    ended_s: float
    count: int


class LoopReport(msgspec.Struct, frozen=True):
    """What the loop says of itself; `started_s` is when its model was loaded. Times are `time.monotonic()`."""

    started_s: float
    mini_batches: tuple[MiniBatch, ...]

    def ramps(self) -> list[Ramp]:
        """One a mini-batch, each from the end of the one before."""
        starts = [self.started_s, *(mini_batch.ended_s for mini_batch in self.mini_batches)]
        return [Ramp(start, m.ended_s, m.count) for start, m in zip(starts, self.mini_batches, strict=False)]


class Top(msgspec.Struct, frozen=True):
    """One of an item's best labels: of this model, without `labels`, the index as text."""

    label: str
    score: float


class PredictionLine(msgspec.Struct, frozen=True):
    """A line of predictions.jsonl; the outputs by name, best label first."""

    index: int
    prediction: dict[str, list[Top]]

    @property
    def tops(self) -> list[Top]:
        """The best labels of the model's only output."""
        (tops,) = self.prediction.values()
        return tops


@dataclass(frozen=True)
class FanwiseRun:
    """One `fanwise run`, and what it left."""

    throughput: Throughput
    whole_s: float
    frozen: bool
    summary: dict[str, Any]
    predictions: list[PredictionLine]


def commit_ramp(commit: Commit, ended_s: float) -> Ramp:
    """The items of a commit, spread evenly over its invocation after the model was loaded."""
    working_s = max(0.0, commit.invocation.duration_ms - commit.invocation.load_ms) / 1000
    return Ramp(ended_s - working_s, ended_s, commit.predicted + commit.dead_lettered)


def commit_ramps(out: Path, job_id: str) -> list[Ramp]:
    """One an invocation, of the job that `out` holds. Times are seconds since the epoch.

    Raises `BenchmarkError` where there are no commits.
    """
    paths = sorted(out.glob(f".fanwise/buckets/*results*/jobs/{job_id}/commits/*.json"))
    if not paths:
        raise BenchmarkError(f"no commits of the job {job_id} below .fanwise/buckets: were they moved?")
    return [commit_ramp(_commit_decoder.decode(path.read_bytes()), path.stat().st_mtime) for path in paths]


def compare(predictions: Sequence[PredictionLine], scores: Scores) -> Agreement:
    """fanwise's lines against the loop's scores, float32 (count, classes).

    A label differs when the loop's best is another; a score, when any that fanwise kept is off by more than 1e-4.
    """
    if [line.index for line in predictions] != list(range(len(scores))):
        raise BenchmarkError(
            f"predictions.jsonl has not each of the items 0 … {len(scores) - 1} once, in order"
        )
    other_label = other_score = 0
    largest = 0.0
    for line, row in zip(predictions, scores, strict=True):
        off = max(abs(top.score - float(row[int(top.label)])) for top in line.tops)
        other_label += int(line.tops[0].label) != int(row.argmax())
        other_score += off > SCORE_TOLERANCE
        largest = max(largest, off)
    return Agreement(
        compared=len(predictions),
        other_label=other_label,
        other_score=other_score,
        largest_difference=largest,
    )


def combined(agreements: Sequence[Agreement]) -> Agreement:
    """Those of several repetitions, as one."""
    return Agreement(
        compared=sum(a.compared for a in agreements),
        other_label=sum(a.other_label for a in agreements),
        other_score=sum(a.other_score for a in agreements),
        largest_difference=max(a.largest_difference for a in agreements),
    )


class MobilenetBenchmark:
    """The workload and the two ways through it, in a folder of their own."""

    def __init__(self, work: Path, *, images: int, items: int) -> None:
        """`images` are made, once; the first `items` of them are predicted in every repetition."""
        self._work = work
        self._folder = work / "mobilenet"
        self._images = images
        self._items = items
        self._cache = work / "cache"

    def run(self, repetitions: int, say: Callable[[str], None]) -> Mobilenet:
        """Measure. `say` is told, line by line, what happens."""
        say(f"workload: {self._images:,} JPEGs and MobileNetV2")
        prepare_workload(self._folder, self._images)
        shutil.rmtree(self._cache, ignore_errors=True)
        say("warm-up: both once, not counted")
        self.loop()
        first = self.fanwise()
        say(f"fanwise, first run ever on this machine: {first.whole_s:.1f} s")
        loops, ours, agreements = [], [], []
        last = first
        for repetition in range(repetitions):
            # Whoever goes first takes turns, so that a machine that slows down or speeds up favours neither.
            if repetition % 2 == 0:
                loop, scores = self.loop()
                last = self.fanwise()
            else:
                last = self.fanwise()
                loop, scores = self.loop()
            loops.append(loop)
            ours.append(last.throughput)
            agreements.append(compare(last.predictions, scores))
            say(
                f"{repetition + 1} of {repetitions}: items/s steady, whole:"
                f" loop {loop.steady_items_per_s:.1f}, {loop.whole_items_per_s:.1f};"
                f" fanwise {last.throughput.steady_items_per_s:.1f}, {last.throughput.whole_items_per_s:.1f}"
            )
        return Mobilenet(
            items=self._items,
            loop=tuple(loops),
            fanwise=tuple(ours),
            first_run_s=round(first.whole_s, 2),
            frozen=last.frozen,
            invocations=last.summary["invocations"],
            cold_starts=last.summary["cold_starts"],
            agreement=combined(agreements),
        )

    def loop(self) -> tuple[Throughput, Scores]:
        """The hand-written loop, once; its scores, float32 (items, classes)."""
        with _fresh(self._work / "loop") as folder:
            path = folder / "scores.npy"
            arguments = (str(self._folder), str(self._items), str(path))
            finished = run_module("benchmarks.tensorflow_loop", *arguments, **ONEDNN)
            report = msgspec.json.decode(finished.stdout, type=LoopReport)
            scores: Scores = np.load(path)
        last_s = report.mini_batches[-1].ended_s
        return _throughput(self._items, finished, last_s, report.ramps()), scores

    def fanwise(self) -> FanwiseRun:
        """`fanwise run` from the command line, once, into a fresh folder."""
        with _fresh(self._work / "run") as folder:
            out = folder / "out"
            command = [
                str(_fanwise_command()),
                *("run", str(first_items(self._folder, self._items))),
                *("--model", str(self._folder / "model")),
                *("--runtime", "tensorflow"),
                *("--out", str(out)),
                "--json",
            ]
            variables = environment(FANWISE_CACHE_DIR=str(self._cache), **ONEDNN)
            finished = run_process(command, variables, cwd=folder)
            summary: dict[str, Any] = msgspec.json.decode(finished.stdout)
            ramps = commit_ramps(out, summary["job_id"])
            frozen = any(out.glob(".fanwise/buckets/*model*/models/*/*/frozen"))
            lines = (out / "predictions.jsonl").read_bytes()
        return FanwiseRun(
            throughput=_throughput(self._items, finished, finished.ended_s, ramps),
            whole_s=finished.ended_s - finished.started_s,
            frozen=frozen,
            summary=summary,
            predictions=msgspec.json.Decoder(PredictionLine).decode_lines(lines),
        )


def _throughput(items: int, finished: Finished, last_s: float, ramps: Sequence[Ramp]) -> Throughput:
    done = sum(ramp.count for ramp in ramps)
    if done != items:
        raise BenchmarkError(f"{done} items were done; it was asked for {items}")
    return Throughput(
        whole_items_per_s=round(items / (last_s - finished.started_s), 2),
        steady_items_per_s=round(steady_items_per_s(ramps), 2),
        processor_s=round(finished.processor_s, 2),
    )


def _fanwise_command() -> Path:
    command = Path(sys.executable).with_name("fanwise")
    if not command.exists():
        raise BenchmarkError("there is no command fanwise beside this Python: `make setup` installs it")
    return command


@contextmanager
def _fresh(folder: Path) -> Iterator[Path]:
    """An empty folder, gone afterwards."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


IMAGES = 2_000
QUICK_ITEMS = 300


def measure(run: Run) -> Mobilenet:
    """Measure."""
    benchmark = MobilenetBenchmark(run.work, images=IMAGES, items=QUICK_ITEMS if run.quick else IMAGES)
    return benchmark.run(run.repetitions, run.say)


def tables(measured: Mobilenet) -> list[Table]:
    """One table."""
    rows = [
        _ratio_row(
            name,
            bar,
            [getattr(t, field) for t in measured.loop],
            [getattr(t, field) for t in measured.fanwise],
        )
        for name, field, bar in (
            ("steady, items/s", "steady_items_per_s", STEADY_BAR),
            ("whole, items/s", "whole_items_per_s", WHOLE_BAR),
        )
    ]
    loop_ms, fanwise_ms = (_processor_ms(runs, measured.items) for runs in (measured.loop, measured.fanwise))
    rows.append(
        (
            "processor, ms/item",
            f"{median(loop_ms):.1f}",
            f"{median(fanwise_ms):.1f}",
            *_spread_ratio(fanwise_ms, loop_ms),
            "",
        )
    )
    table = Table(
        title=f"fanwise run and the loop by hand: {measured.items:,} JPEGs, MobileNetV2 224, TensorFlow",
        columns=(f"median of {len(measured.loop)}", "loop", "fanwise", "ratio", "from … to", "bar"),
        rows=tuple(rows),
        notes=(
            f"{measured.invocations} invocations, {measured.cold_starts} cold starts;"
            f" the bundle's model is {'frozen' if measured.frozen else 'NOT frozen'}."
            f" The first run ever, which also prepares the model's bundle: {measured.first_run_s:.1f} s.",
            _agreement_note(measured.agreement),
            f"Spread of the steady rate, largest less smallest over median:"
            f" loop {spread([t.steady_items_per_s for t in measured.loop]):.0%},"
            f" fanwise {spread([t.steady_items_per_s for t in measured.fanwise]):.0%}.",
        ),
    )
    return [table]


def _ratio_row(name: str, bar: float, loop: Sequence[float], fanwise: Sequence[float]) -> tuple[str, ...]:
    ratio = median_ratio(fanwise, loop)
    return (
        name,
        f"{median(loop):.1f}",
        f"{median(fanwise):.1f}",
        *_spread_ratio(fanwise, loop),
        f"≥ {bar:.2f} {verdict(met=ratio >= bar)}",
    )


def _spread_ratio(ours: Sequence[float], theirs: Sequence[float]) -> tuple[str, str]:
    """The median of the ratios, and the smallest and the largest."""
    ratios = [our / their for our, their in zip(ours, theirs, strict=True)]
    return f"{median_ratio(ours, theirs):.2f}", f"{min(ratios):.2f} … {max(ratios):.2f}"


def _processor_ms(runs: Iterable[Throughput], items: int) -> list[float]:
    return [run.processor_s * 1000 / items for run in runs]


def _agreement_note(agreement: Agreement) -> str:
    compared = f"{agreement.compared:,} predictions"
    largest = f"largest difference of a score {agreement.largest_difference:.1e}"
    if not agreement.other_label and not agreement.other_score:
        return (
            f"All {compared} have the loop's label and, within {SCORE_TOLERANCE:g}, its scores ({largest})."
        )
    return (
        f"NOT EQUAL to the loop: of {compared}, {agreement.other_label:,} have another label and"
        f" {agreement.other_score:,} a score off by more than {SCORE_TOLERANCE:g} ({largest})."
    )


PART = Part("mobilenet", Mobilenet, measure, tables)
