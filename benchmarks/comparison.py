"""Contenders over the same items, side by side: what is measured of each, and whether they answer the same.

In each repetition every contender whose turn it is runs once, each in a process of its own with nothing beside it;
the order is turned around from one repetition to the next, so that a machine that slows down favours nobody. One
that cannot be run is left out, and the run says so.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np

from benchmarks.errors import BenchmarkError
from benchmarks.part import Run
from benchmarks.processes import Finished
from benchmarks.rates import Ramp, steady_items_per_s
from benchmarks.told import Scores

SCORE_TOLERANCE = 1e-4
ONCE = 1_000_000  # `every` of one whose turn is the first repetition alone

Labels = np.ndarray[Any, np.dtype[np.intp]]
Kind = Literal["fanwise", "loop", "peer"]
RuntimeName = Literal["LiteRT", "TensorFlow"]


class Throughput(msgspec.Struct, frozen=True, kw_only=True):
    """One repetition over all items.

    `whole` counts from the start of the process to the last prediction (of fanwise: to the exit of the command),
    `steady` over the middle 80 % of the items. `processor_s` is that of the process and of all that it started.
    """

    repetition: int
    whole_items_per_s: float
    steady_items_per_s: float
    processor_s: float


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """A contender's scores against those of the first one, over all repetitions; the largest difference of any."""

    compared: int
    other_label: int
    other_score: int
    largest_difference: float


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """A contender. `peak_memory_mb` is from a run that is not timed; 0 where this system does not tell."""

    name: str
    kind: Kind
    runtime: RuntimeName
    runs: tuple[Throughput, ...]
    peak_memory_mb: float
    agreement: Agreement


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """All of them, repetition by repetition; `absent` are those that could not be run, and why."""

    items: int
    measured: tuple[Measured, ...]
    absent: dict[str, str] = {}


@dataclass(frozen=True)
class Answer:
    """What a contender gave: when which items were done, and of each item its scores.

    `scores` are float32 (items, kept); `labels` the classes that they are of, (items, kept), best first, where not
    all are kept in order. `ended_s` is when the last prediction was in its place.
    """

    finished: Finished
    ramps: Sequence[Ramp]
    ended_s: float
    scores: Scores
    labels: Labels | None = None


@dataclass(frozen=True)
class Contender:
    """`answer` runs it once over the first so many items, weighed or timed.

    Its turn is the first repetition and then each `every`th: the slow ones are seldom, or it would take an hour.
    """

    name: str
    kind: Kind
    runtime: RuntimeName
    answer: Callable[[int, bool], Answer]
    every: int = 1


def compare(run: Run, contenders: Sequence[Contender], *, items: int, warm_up_items: int) -> Comparison:
    """Measure; the first contender is the one that all are held against. Raises `BenchmarkError` if it fails."""
    runs: dict[str, list[Throughput]] = {}
    agreements: dict[str, list[Agreement]] = {}
    peaks: dict[str, float] = {}
    absent: dict[str, str] = {}
    run.say(f"warm-up: each over {warm_up_items:,} items, weighed and not counted")
    for contender in contenders:
        try:
            peaks[contender.name] = peak_mb = contender.answer(warm_up_items, True).finished.peak_memory_mb
            run.say(f"{contender.name}: {peak_mb:,.0f} MB")
        except BenchmarkError as error:
            absent[contender.name] = _last_line(error)
            run.say(f"CANNOT RUN {contender.name}: {error}")
    if contenders[0].name in absent:
        raise BenchmarkError(f"{contenders[0].name}: {absent[contenders[0].name]}")
    for repetition in range(run.repetitions):
        turn = [c for c in contenders if c.name not in absent and repetition % c.every == 0]
        answers: dict[str, Answer] = {}
        for contender in turn if repetition % 2 == 0 else reversed(turn):
            try:
                answers[contender.name] = answer = contender.answer(items, False)
            except BenchmarkError as error:
                run.say(f"{contender.name} FAILED: {error}")
                if contender is contenders[0]:
                    raise
                absent[contender.name] = _last_line(error)
                continue
            throughput = _throughput(answer, items, repetition)
            runs.setdefault(contender.name, []).append(throughput)
            run.say(
                f"{repetition + 1} of {run.repetitions}: {contender.name}:"
                f" {throughput.steady_items_per_s:,.1f} items/s steady, {throughput.whole_items_per_s:,.1f} whole"
            )
        reference = answers[contenders[0].name].scores
        for name, answer in answers.items():
            agreements.setdefault(name, []).append(agreement(answer, reference))
    return Comparison(
        items=items,
        measured=tuple(
            Measured(
                name=c.name,
                kind=c.kind,
                runtime=c.runtime,
                runs=tuple(runs[c.name]),
                peak_memory_mb=round(peaks[c.name], 1),
                agreement=combined(agreements[c.name]),
            )
            for c in contenders
            if c.name in runs
        ),
        absent=absent,
    )


def agreement(answer: Answer, reference: Scores) -> Agreement:
    """A label differs when the best is another; an item's score, when any that was given is off by more than 1e-4.

    Raises `BenchmarkError` where there is not one answer an item.
    """
    if len(answer.scores) != len(reference):
        raise BenchmarkError(f"{len(answer.scores)} answers were given for {len(reference)} items")
    if answer.labels is None:
        best, expected = answer.scores.argmax(axis=1), reference
    else:
        best, expected = answer.labels[:, 0], np.take_along_axis(reference, answer.labels, axis=1)
    off = np.abs(answer.scores - expected).max(axis=1)
    return Agreement(
        compared=len(reference),
        other_label=int((best != reference.argmax(axis=1)).sum()),
        other_score=int((~(off <= SCORE_TOLERANCE)).sum()),
        largest_difference=float(off.max()),
    )


def combined(agreements: Sequence[Agreement]) -> Agreement:
    """Those of several repetitions, as one."""
    return Agreement(
        compared=sum(a.compared for a in agreements),
        other_label=sum(a.other_label for a in agreements),
        other_score=sum(a.other_score for a in agreements),
        largest_difference=max(a.largest_difference for a in agreements),
    )


def _throughput(answer: Answer, items: int, repetition: int) -> Throughput:
    done = sum(ramp.count for ramp in answer.ramps)
    if done != items:
        raise BenchmarkError(f"{done} items were done; it was asked for {items}")
    return Throughput(
        repetition=repetition,
        whole_items_per_s=round(items / (answer.ended_s - answer.finished.started_s), 2),
        steady_items_per_s=round(steady_items_per_s(answer.ramps), 2),
        processor_s=round(answer.finished.processor_s, 2),
    )


def _last_line(error: BenchmarkError) -> str:
    return (str(error).splitlines() or ["no reason given"])[-1][:300]
