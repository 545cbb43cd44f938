"""The part `cold`: from nothing to the first predictions, each time in a fresh process.

fanwise: a new execution environment of PredictBatch, with an empty /tmp, over the Runtime API, until its first
batch is answered (`cold_environment`). Naive TensorFlow: a script that imports, loads and predicts
(`cold_tensorflow`). All predict the same eight JPEGs.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from statistics import median

import msgspec

from benchmarks.fanwise_run import ONEDNN, Job, fanwise_run
from benchmarks.jpegs.part import IMAGES
from benchmarks.jpegs.workload import first_items, prepare_workload
from benchmarks.part import Part, Run
from benchmarks.processes import run_module
from benchmarks.tables import Bar, Chart, Table

ITEMS = 8
NAIVE = "TensorFlow: import, load, predict"
RUNTIMES = {"litert": "fanwise, LiteRT", "tensorflow": "fanwise, TensorFlow"}
FUNCTIONS = {"litert": "PredictBatchLiteRTFunction", "tensorflow": "PredictBatchTensorFlowFunction"}


class Cold(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds to the first predictions by name, by repetition; `init_s` are those before the handler."""

    items: int
    seconds: dict[str, tuple[float, ...]]
    init_s: dict[str, tuple[float, ...]]


class Answered(msgspec.Struct, frozen=True):
    """What `cold_environment` says."""

    seconds: float
    init_s: float


def measure(run: Run) -> Cold:
    """Measure all three, in turns."""
    folder = run.work / "jpegs"
    prepare_workload(folder, IMAGES)
    seconds: dict[str, list[float]] = {}
    init_s: dict[str, list[float]] = {}
    with ExitStack() as kept:
        jobs = {}
        for runtime in RUNTIMES:
            job = Job(first_items(folder, ITEMS), folder / "model", runtime, batch_size=ITEMS)
            ran = kept.enter_context(fanwise_run(job, run.work))
            jobs[runtime] = (str(ran.out), ran.summary["job_id"], str(folder), FUNCTIONS[runtime])
        for repetition in range(
            run.repetitions + 1
        ):  # the first one warms the disk's cache, and does not count
            for runtime, name in RUNTIMES.items():
                said = run_module("benchmarks.cold_environment", *jobs[runtime], variables=ONEDNN).stdout
                answered = msgspec.json.decode(said, type=Answered)
                seconds.setdefault(name, []).append(round(answered.seconds, 3))
                init_s.setdefault(name, []).append(round(answered.init_s, 3))
            finished = run_module("benchmarks.cold_tensorflow", str(folder), str(ITEMS), variables=ONEDNN)
            took_s = msgspec.json.decode(finished.stdout, type=float) - finished.started_s
            seconds.setdefault(NAIVE, []).append(round(took_s, 3))
            if repetition:
                run.say(f"{repetition} of {run.repetitions}: {_said(seconds)}")
    return Cold(
        items=ITEMS,
        seconds={name: tuple(values[1:]) for name, values in seconds.items()},
        init_s={name: tuple(values[1:]) for name, values in init_s.items()},
    )


def _said(seconds: dict[str, list[float]]) -> str:
    return ", ".join(f"{name} {values[-1]:.2f} s" for name, values in seconds.items())


def tables(measured: Cold) -> list[Table]:
    """One table."""
    times = max(len(values) for values in measured.seconds.values())
    return [
        Table(
            title=f"Time to the first predictions, cold: {measured.items} JPEGs, MobileNetV2 224",
            columns=(f"median of {times}", "seconds", "from … to", "of it before the handler"),
            rows=tuple(
                _row(name, values, measured.init_s.get(name, ())) for name, values in measured.seconds.items()
            ),
        )
    ]


def _row(name: str, seconds: Sequence[float], init_s: Sequence[float]) -> tuple[str, ...]:
    before = f"{median(init_s):.2f}" if init_s else ""
    return (name, f"{median(seconds):.2f}", f"{min(seconds):.2f} … {max(seconds):.2f}", before)


def charts(measured: Cold) -> list[Chart]:
    """Seconds as bars."""
    bars = tuple(
        Bar(name, median(values), ours=name in RUNTIMES.values()) for name, values in measured.seconds.items()
    )
    return [Chart("cold", "Time to the first predictions, cold", "seconds", bars)]


PART = Part("cold", Cold, measure, tables, charts)
