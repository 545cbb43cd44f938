"""Items of a zoo's model through the product: plan, PredictBatch and its parts, in this process.

Cut, ordered and tried again as a test says; what comes out is read from the files that the commits name.
"""

import json
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
from obstore.store import MemoryStore

from fanwise.commits import commit_key, read_commit
from fanwise.planning import plan_job
from fanwise.prediction.batch import Environment, Request, predict_batch
from fanwise.prediction.kept import Kept
from fanwise.prediction.pipeline import Pipeline
from fanwise.records import Entry, Runtime, home_of
from fanwise.storage import FolderBackend, ObstoreBackend, Storage

INPUT, MODELS, RESULTS = "input", "models", "results"


class Bench:
    """A model of the zoo on one of its runtimes, in one execution environment, which keeps it loaded."""

    def __init__(self, published: Path, kept: Path, name: str, runtime: Runtime) -> None:
        self._results = MemoryStore()
        self._storage = Storage(
            {
                INPUT: ObstoreBackend(MemoryStore()),
                MODELS: FolderBackend(published, writable=False),
                RESULTS: ObstoreBackend(self._results),
            },
            s3=False,
        )
        self._model, self._runtime = f"{name}@1", runtime
        self._environment = Environment(
            self._storage,
            Kept(self._storage, kept, memory_mb=1769),
            Pipeline(self._storage, threads=2),
            RESULTS,
        )
        self._runs = 0

    def close(self) -> None:
        """End the threads."""
        self._environment.pipeline._pool.shutdown()

    def run(
        self,
        lines: Sequence[bytes],
        cuts: Sequence[int] = (),
        order: Sequence[int] = (),
        again: int | None = None,
    ) -> "Ran":
        """A job over these lines of an items file.

        `cuts`: positions at which entries begin, beside the first; `order`: the entries' numbers, in the order in
        which they are predicted (by default their own); `again`: an entry that is predicted, loses its commit, and
        is predicted once more at the end.
        """
        self._runs += 1
        uri = f"s3://{INPUT}/{self._runs}/items.jsonl"
        self._storage.write(uri, b"".join(line + b"\n" for line in lines))
        manifest = {"model": self._model, "items": uri, "runtime": self._runtime, "batch_size": 100_000}
        start = {"manifest": manifest, "run": f"run {self._runs}"}
        planned = plan_job(
            {"execution": "arn:x", "started_at": "2026-01-01T00:00:00.000Z", "start": start},
            self._storage,
            model_bucket=MODELS,
            results_bucket=RESULTS,
            readable=(f"s3://{INPUT}/",),
        )
        job_id = planned["job_id"]
        entries = _entries(lines, cuts)
        for number in order or range(len(entries)):
            self._predict(job_id, entries[number])
        home = home_of(RESULTS, job_id)
        if again is not None:
            entry = entries[again]
            self._results.delete(home.removeprefix(f"s3://{RESULTS}/") + commit_key(entry.entry))
            self._predict(job_id, msgspec.structs.replace(entry, attempt=2))
        return Ran(self._storage, home, entries)

    def _predict(self, job_id: str, entry: Entry) -> None:
        request = Request(
            request_id=f"{self._runs:08x}-0000-4000-8000-{entry.attempt:012d}",
            started=time.monotonic(),
            time_left_s=lambda: 1000.0,
            init_ms=0.0,
            cold=False,
        )
        predict_batch({"job_id": job_id, "entry": msgspec.to_builtins(entry)}, self._environment, request)


class Ran:
    """What a job left: by index, the line of its prediction or dead letter; and the bytes of its parts."""

    def __init__(self, storage: Storage, home: str, entries: Sequence[Entry]) -> None:
        self.predictions: dict[int, dict[str, Any]] = {}
        self.failures: dict[int, dict[str, Any]] = {}
        self.parts: list[bytes] = []
        for entry in entries:
            commit = read_commit(storage, home, entry.entry)
            assert commit is not None
            assert not commit.rest
            for parts, kept in ((commit.predictions, self.predictions), (commit.failures, self.failures)):
                for part in _parts(parts):
                    body = storage.read(home + part.key)
                    self.parts.append(body)
                    for line in body.splitlines():
                        row = json.loads(line)
                        assert row["index"] not in self.predictions.keys() | self.failures.keys()
                        kept[row["index"]] = row


def _parts(parts: Any) -> list[Any]:
    if parts is None:
        return []
    return list(parts) if isinstance(parts, tuple | list) else [parts]


def _entries(lines: Sequence[bytes], cuts: Sequence[int]) -> list[Entry]:
    borders = [0, *sorted({cut for cut in cuts if 0 < cut < len(lines)}), len(lines)]
    at = [0]
    for line in lines:
        at.append(at[-1] + len(line) + 1)
    return [
        Entry(
            entry=f"0-{number}",
            start=at[first],
            end=at[last],
            first=first,
            first_line=first + 1,
            count=last - first,
        )
        for number, (first, last) in enumerate(pairwise(borders))
    ]
