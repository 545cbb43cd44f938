"""The part `rows`: who takes part, with which settings."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.comparison import ONCE, Answer, Comparison, Contender, compare
from benchmarks.comparison_tables import Ratio, chart_of, table_of
from benchmarks.errors import BenchmarkError
from benchmarks.fanwise_run import ONEDNN, Job, fanwise_run
from benchmarks.jpegs.part import (
    KERAS,
    LITERT,
    LITERT_LOOP,
    LITHOPS,
    RAY_ONEDNN,
    TENSORFLOW,
    TENSORFLOW_LOOP,
)
from benchmarks.part import Part, Run
from benchmarks.rows.workload import first_items, prepare_workload
from benchmarks.scripts import by_hand, by_peer
from benchmarks.tables import Chart, Table
from benchmarks.told import Scores

ROWS = 1_000_000
QUICK_ROWS = 40_000
REPETITIONS = 3  # at most: no bar rests on them
WARM_UP_ROWS = 40_000
RATIOS = (
    Ratio(LITERT, (LITERT_LOOP,)),
    Ratio(TENSORFLOW, (TENSORFLOW_LOOP,)),
    Ratio(LITERT, (RAY_ONEDNN,)),
)


class PredictionLine(msgspec.Struct, frozen=True):
    """A line of predictions.jsonl; the outputs by name."""

    index: int
    prediction: dict[str, list[float]]


def contenders(folder: Path, work: Path) -> list[Contender]:
    """The first is the one that all are held against."""
    here = "benchmarks.rows"
    return [
        Contender(
            TENSORFLOW_LOOP, "loop", "TensorFlow", by_hand(f"{here}.tensorflow_loop", folder, **ONEDNN)
        ),
        Contender(TENSORFLOW, "fanwise", "TensorFlow", by_fanwise("tensorflow", folder, work)),
        Contender(LITERT_LOOP, "loop", "LiteRT", by_hand(f"{here}.litert_loop", folder)),
        Contender(LITERT, "fanwise", "LiteRT", by_fanwise("litert", folder, work)),
        Contender(
            RAY_ONEDNN, "peer", "TensorFlow", by_peer(f"{here}.ray_data", folder, **ONEDNN), every=ONCE
        ),
        Contender(
            KERAS, "peer", "TensorFlow", by_peer(f"{here}.keras_predict", folder, **ONEDNN), every=ONCE
        ),
        Contender(
            LITHOPS, "peer", "TensorFlow", by_peer(f"{here}.lithops_map", folder, **ONEDNN), every=ONCE
        ),
    ]


def by_fanwise(runtime: str, folder: Path, work: Path) -> Callable[[int, bool], Answer]:
    """`fanwise run` with this runtime."""

    def answer(count: int, weighed: bool) -> Answer:
        job = Job(first_items(folder, count), folder / "model", runtime)
        with fanwise_run(job, work, weighed=weighed) as ran:
            scores = scores_of(msgspec.json.Decoder(PredictionLine).decode_lines(ran.predictions))
            return Answer(ran.finished, ran.ramps(), ran.finished.ended_s, scores)

    return answer


def scores_of(lines: Sequence[PredictionLine]) -> Scores:
    """The scores of each row, (rows, classes). Raises `BenchmarkError`."""
    if [line.index for line in lines] != list(range(len(lines))):
        raise BenchmarkError(f"predictions.jsonl has not each of its {len(lines):,} rows once, in order")
    return np.array([next(iter(line.prediction.values())) for line in lines], np.float32)


def measure(run: Run) -> Comparison:
    """Make the workload, and measure everybody."""
    folder = run.work / "rows"
    rows = QUICK_ROWS if run.quick else ROWS
    run.say(f"workload: {ROWS:,} rows and a dense network")
    prepare_workload(folder, ROWS)
    run = replace(run, repetitions=min(run.repetitions, REPETITIONS))
    return compare(run, contenders(folder, run.work), items=rows, warm_up_items=WARM_UP_ROWS)


def tables(measured: Comparison) -> list[Table]:
    """One table."""
    return [
        table_of(
            measured, f"{measured.items:,} rows of 20 features in JSON lines, a small dense network", RATIOS
        )
    ]


def charts(measured: Comparison) -> list[Chart]:
    """Who is how fast."""
    return [chart_of(measured, "rows", f"{measured.items:,} rows, a small dense network")]


PART = Part("rows", Comparison, measure, tables, charts)
