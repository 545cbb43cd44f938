"""Inside the measured process: items planned or simulated, or commits aggregated, by their own code, on one core.

`python -m benchmarks.growth_process WORK COUNT FOLDER` prints a `Measure`. FOLDER holds what `growth_data` made.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

from benchmarks.errors import BenchmarkError
from benchmarks.growth_data import ITEMS_AN_ENTRY, RESULTS, ListedFolder, results_in, round_of
from benchmarks.measured import pin_to_one_core
from benchmarks.simulated_process import scenario_of
from fanwise.aggregation import aggregate_results
from fanwise.model.bundle import Digest, digest_of
from fanwise.model.signature import Signature, TensorSpec
from fanwise.planning import plan_job
from fanwise.storage import FolderBackend, Storage
from fanwise_cli.measuring import peak_memory_mb
from fanwise_local.simulation import simulate

Work = Literal["jsonl", "csv", "folder", "commits", "commits alone", "simulated"]
WORKS: tuple[Work, ...] = get_args(Work)
MEMORY_MB = 1769
SIMULATED_BATCH, SIMULATED_CONCURRENCY, SIMULATED_ITEM_MS = 500, 10_000, 10.0


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement. `processor_s` leaves out the imports; `peak_memory_mb` is that of the whole process."""

    work: Work
    count: int
    duration_s: float
    processor_s: float
    peak_memory_mb: float
    pinned: bool


def measure(work: Work, count: int, folder: Path) -> Measure:
    """Plan or simulate so many items, or aggregate so many commits.

    Raises `BenchmarkError` unless each is accounted for.
    """
    pinned = pin_to_one_core()
    match work:
        case "simulated":
            do = _simulation(count)
        case "commits" | "commits alone":
            do = _aggregation(count, folder)
        case _:
            do = _planning(work, count, folder)
    started_s, processor_s = time.perf_counter(), time.process_time()
    accounted = do()
    duration_s, processor_s = time.perf_counter() - started_s, time.process_time() - processor_s
    if accounted != count:
        raise BenchmarkError(f"{work}: {accounted:,} of {count:,} came out")
    return Measure(
        work=work,
        count=count,
        duration_s=round(duration_s, 4),
        processor_s=round(processor_s, 4),
        peak_memory_mb=round(peak_memory_mb(), 1),
        pinned=pinned,
    )


def _planning(work: str, count: int, folder: Path) -> Callable[[], int]:
    buckets = {name: folder / name for name in ("input", "models", RESULTS)}
    for path in buckets.values():
        path.mkdir(exist_ok=True)
    backends = {name: FolderBackend(path, writable=True) for name, path in buckets.items()}
    storage = Storage({**backends, "listed": ListedFolder(count)}, s3=False)
    storage.write("s3://models/models/m/1/digest.json", msgspec.json.encode(_model()))
    items = "s3://listed/folder/" if work == "folder" else f"s3://input/items.{work}"
    manifest = {"items": items, "model": "m@1", "batch_size": ITEMS_AN_ENTRY}
    event = {"execution": "arn:benchmark", "started_at": "2026-01-01T00:00:00.000Z"}

    def plan() -> int:
        planned = plan_job(
            {**event, "start": {"manifest": manifest}},
            storage,
            model_bucket="models",
            results_bucket=RESULTS,
            readable=("s3://input/", "s3://listed/"),
        )
        job = msgspec.json.decode(storage.read(f"s3://{RESULTS}/jobs/{planned['job_id']}/job.json"))
        total: int = job["total"]
        return total

    return plan


def _model() -> Digest:
    number = TensorSpec("float32", (None,))
    return Digest(
        digest=digest_of({}),
        files={},
        runtimes=("litert",),
        signature=Signature({"x": number}, {"y": number}),
        prepared_by="the benchmarks",
    )


def _aggregation(count: int, folder: Path) -> Callable[[], int]:
    storage = results_in(folder)
    event: dict[str, Any] = msgspec.to_builtins(round_of(count))

    def aggregate() -> int:
        answer = aggregate_results(event, storage, results_bucket=RESULTS, memory_mb=MEMORY_MB)
        predicted: int = answer["summary"]["items"]["predicted"]
        return predicted // ITEMS_AN_ENTRY

    return aggregate


def _simulation(count: int) -> Callable[[], int]:
    scenario = scenario_of(
        count, SIMULATED_BATCH, SIMULATED_CONCURRENCY, SIMULATED_CONCURRENCY, SIMULATED_ITEM_MS
    )
    return lambda: simulate(scenario).items.predicted


if __name__ == "__main__":
    words = sys.argv[1:]
    measured = measure(msgspec.convert(words[0], Work), int(words[1]), Path(words[2]))
    sys.stdout.buffer.write(msgspec.json.encode(measured))
