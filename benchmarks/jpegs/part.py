"""The part `jpegs`: who takes part, with which settings, and which bars there are."""

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.comparison import ONCE, Answer, Comparison, Contender, Labels, compare
from benchmarks.comparison_tables import Ratio, chart_of, table_of
from benchmarks.errors import BenchmarkError
from benchmarks.fanwise_run import ONEDNN, Job, fanwise_run
from benchmarks.jpegs.workload import first_items, prepare_workload
from benchmarks.part import Part, Run
from benchmarks.scripts import by_hand, by_peer
from benchmarks.tables import Chart, Table
from benchmarks.told import Scores

IMAGES = 2_000
QUICK_IMAGES = 64
WARM_UP_IMAGES = 256

LITERT, TENSORFLOW = "fanwise, LiteRT", "fanwise, TensorFlow"
LITERT_LOOP, TENSORFLOW_LOOP = "loop by hand, LiteRT", "loop by hand, TensorFlow"
RAY_ONEDNN, RAY = "Ray Data, oneDNN on", "Ray Data, oneDNN off"
KERAS, LITHOPS = "Keras predict", "Lithops, localhost"

RATIOS = (
    Ratio(LITERT, (LITERT_LOOP,), 0.95),
    Ratio(TENSORFLOW, (TENSORFLOW_LOOP,), 0.95),
    Ratio(LITERT, (RAY_ONEDNN,), 3.3),
    Ratio(TENSORFLOW, (RAY_ONEDNN,), 1.3),
)
NO_ONEDNN = {"TF_ENABLE_ONEDNN_OPTS": "0"}


class Top(msgspec.Struct, frozen=True):
    """One of an item's best labels: of this model, without `labels`, the index as text."""

    label: str
    score: float


class PredictionLine(msgspec.Struct, frozen=True):
    """A line of predictions.jsonl; the outputs by name, best label first."""

    index: int
    prediction: dict[str, list[Top]]


def contenders(folder: Path, work: Path) -> list[Contender]:
    """The first is the one that all are held against."""
    here = "benchmarks.jpegs"
    return [
        Contender(
            TENSORFLOW_LOOP, "loop", "TensorFlow", by_hand(f"{here}.tensorflow_loop", folder, **ONEDNN)
        ),
        Contender(TENSORFLOW, "fanwise", "TensorFlow", by_fanwise("tensorflow", folder, work)),
        Contender(LITERT_LOOP, "loop", "LiteRT", by_hand(f"{here}.litert_loop", folder)),
        Contender(LITERT, "fanwise", "LiteRT", by_fanwise("litert", folder, work)),
        Contender(RAY_ONEDNN, "peer", "TensorFlow", by_peer(f"{here}.ray_data", folder, **ONEDNN), every=2),
        Contender(RAY, "peer", "TensorFlow", by_peer(f"{here}.ray_data", folder, **NO_ONEDNN), every=ONCE),
        Contender(
            KERAS, "peer", "TensorFlow", by_peer(f"{here}.keras_predict", folder, **ONEDNN), every=ONCE
        ),
        Contender(
            LITHOPS, "peer", "TensorFlow", by_peer(f"{here}.lithops_map", folder, **ONEDNN), every=ONCE
        ),
    ]


def tensorflow_loop(folder: Path) -> Contender:
    """The loop by hand with TensorFlow."""
    return Contender(
        TENSORFLOW_LOOP, "loop", "TensorFlow", by_hand("benchmarks.jpegs.tensorflow_loop", folder, **ONEDNN)
    )


def by_fanwise(runtime: str, folder: Path, work: Path) -> Callable[[int, bool], Answer]:
    """`fanwise run` with this runtime."""

    def answer(count: int, weighed: bool) -> Answer:
        job = Job(first_items(folder, count), folder / "model", runtime)
        with fanwise_run(job, work, weighed=weighed) as ran:
            scores, labels = best_of(msgspec.json.Decoder(PredictionLine).decode_lines(ran.predictions))
            return Answer(ran.finished, ran.ramps(), ran.finished.ended_s, scores, labels)

    return answer


def best_of(lines: Sequence[PredictionLine]) -> tuple[Scores, Labels]:
    """The best scores of each item and the classes that they are of, (items, k). Raises `BenchmarkError`."""
    if [line.index for line in lines] != list(range(len(lines))):
        raise BenchmarkError(f"predictions.jsonl has not each of its {len(lines):,} items once, in order")
    tops = [next(iter(line.prediction.values())) for line in lines]
    scores = np.array([[top.score for top in row] for row in tops], np.float32)
    return scores, np.array([[int(top.label) for top in row] for row in tops])


def measure(run: Run) -> Comparison:
    """Make the workload, and measure everybody."""
    folder = run.work / "jpegs"
    run.say(f"workload: {IMAGES:,} JPEGs and MobileNetV2")
    prepare_workload(folder, IMAGES)
    items = QUICK_IMAGES if run.quick else IMAGES
    return compare(run, contenders(folder, run.work), items=items, warm_up_items=min(items, WARM_UP_IMAGES))


def tables(measured: Comparison) -> list[Table]:
    """One table."""
    return [table_of(measured, f"{measured.items:,} JPEGs of 320 by 320, MobileNetV2 224", RATIOS)]


def charts(measured: Comparison) -> list[Chart]:
    """Who is how fast."""
    return [chart_of(measured, "jpegs", f"{measured.items:,} JPEGs, MobileNetV2 224")]


PART = Part("jpegs", Comparison, measure, tables, charts)
