"""A job's home for tests of the ledger: a plan of entries, and the commits that a test lets happen."""

from collections.abc import Sequence
from typing import Any

import msgspec
from obstore.store import MemoryStore

from fanwise.commits import decide, write_work
from fanwise.records import Commit, Entry, Invocation, ItemsSource, Job, ModelRef, Part, Round
from fanwise.storage import ObstoreBackend, Storage

BUCKET = "results"
JOB_ID = "items-0123456789abcdef"
HOME = f"s3://{BUCKET}/jobs/{JOB_ID}/"


def entries_of(counts: Sequence[int]) -> list[Entry]:
    """One planned entry for each count, ten bytes an item."""
    entries, first = [], 0
    for number, count in enumerate(counts):
        entries.append(
            Entry(
                entry=f"{number:06d}",
                start=first * 10,
                end=(first + count) * 10,
                first=first,
                first_line=first + 1,
                count=count,
            )
        )
        first += count
    return entries


class Ledger:
    """The home of a job whose entries have the given counts."""

    def __init__(self, counts: Sequence[int], *, tolerated: float = 100) -> None:
        self.storage = Storage({BUCKET: ObstoreBackend(MemoryStore())}, s3=False)
        self.entries = entries_of(counts)
        self.total = sum(counts)
        write_work(self.storage, HOME, 0, self.entries)
        job = Job(
            job_id=JOB_ID,
            name=None,
            scheduled_time=None,
            items=ItemsSource(
                uri="s3://in/items.jsonl", kind="jsonl", size_bytes=self.total * 10, etag="e", base="s3://in/"
            ),
            items_uri="s3://in/items.jsonl",
            model=ModelRef(
                name="m",
                version="1",
                digest="sha256:0",
                uri="s3://models/m/1",
                runtime="tensorflow",
                kinds={},
            ),
            batch_size=256,
            max_concurrency=10,
            tolerated_failure_percentage=tolerated,
            total=self.total,
            entries=len(self.entries),
        )
        self.storage.write(HOME + "job.json", msgspec.json.encode(job))

    def round(self, **changes: Any) -> dict[str, Any]:
        """The Round that PlanJob answered with."""
        first = Round(
            job_id=JOB_ID,
            duplicate=False,
            round=0,
            entries=len(self.entries),
            work_key=f"jobs/{JOB_ID}/work/0.jsonl",
            runtime="tensorflow",
            max_concurrency=10,
            wait_s=0,
            decided=0,
            stalled=0,
            started_at="2026-11-24T10:00:00.000Z",
            execution="arn:aws:states:us-east-1:123456789012:execution:fanwise-batch-inference:x",
        )
        answer: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(first, **changes))
        return answer

    def commit(
        self,
        entry: Entry,
        *,
        predicted: int | None = None,
        dead: int = 0,
        rest: Sequence[Entry] = (),
        died: str | None = None,
        request_id: str = "r",
    ) -> Commit:
        """Decide an entry: all of it predicted, unless said otherwise."""
        if predicted is None:
            predicted = entry.count - dead - sum(r.count for r in rest)
        return decide(
            self.storage,
            HOME,
            Commit(
                entry=entry.entry,
                attempt=entry.attempt,
                invocation=Invocation(request_id=request_id, duration_ms=1000, cold=True, init_ms=500),
                predicted=predicted,
                dead_lettered=dead,
                predictions=self._part("predictions", entry, predicted, request_id),
                failures=self._part("failures", entry, dead, request_id),
                failures_by_error={"NotFound": dead} if dead else {},
                rest=tuple(rest),
                died=died,
            ),
        )

    def _part(self, folder: str, entry: Entry, count: int, request_id: str) -> Part | None:
        if not count:
            return None
        key = f"{folder}/{entry.entry}-{request_id}.jsonl"
        self.storage.write(HOME + key, b"{}\n" * count)
        return Part(key=key, first=entry.first, count=count, size_bytes=3 * count)

    def keys(self, folder: str) -> list[str]:
        """What lies in a folder of the job's home, by name."""
        return sorted(info.key.rpartition("/")[2] for info in self.storage.list(f"{HOME}{folder}/"))


def cut_by_count(entry: Entry, into: int) -> list[Entry]:
    """An entry of ten-byte items cut into pieces of as equal count as can be."""
    pieces, first = [], 0
    for number in range(min(into, entry.count)):
        count = (entry.count - first) // (min(into, entry.count) - number)
        pieces.append(
            msgspec.structs.replace(
                entry,
                entry=f"{entry.entry}.{number}",
                start=entry.start + first * 10,
                end=entry.start + (first + count) * 10,
                first=entry.first + first,
                first_line=entry.first_line + first,
                count=count,
                attempt=entry.attempt + 1,
            )
        )
        first += count
    return pieces
