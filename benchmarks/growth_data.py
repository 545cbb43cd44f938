"""What growth is measured on: items files, a folder's listing, and jobs all of whose entries are decided.

Planning looks at bytes and not at what they mean, so a file is one block of seeded records over and over: made at
the speed of the disk, and in little memory.
"""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec
from obstore.store import MemoryStore

from fanwise.commits import MAP_RUNS, answer_of, commit_key, work_key
from fanwise.records import (
    Commit,
    Entry,
    Invocation,
    ItemsSource,
    Job,
    ModelRef,
    Part,
    Round,
    job_prefix,
)
from fanwise.storage import FolderBackend, ObjectInfo, ObstoreBackend, Storage

ItemsKind = Literal["jsonl", "csv"]
JOB_ID, RESULTS = "growth-0123456789abcdef", "results"
ITEMS_AN_ENTRY = 100
_RECORDS_A_BLOCK = 10_000
_NUMBERS_A_LINE = 11  # 156 bytes a line
_HEADER = b"id,text,x,answer\n"
SEED = 0


def write_items(kind: ItemsKind, count: int, path: Path) -> None:
    """Write an items file of so many records."""
    records = list(_lines() if kind == "jsonl" else _rows())
    with path.open("wb") as file:
        if kind == "csv":
            file.write(_HEADER)
        block = b"".join(records)
        for _ in range(count // len(records)):
            file.write(block)
        file.write(b"".join(records[: count % len(records)]))


def _lines() -> Iterator[bytes]:
    drawn = random.Random(SEED)
    for number in range(_RECORDS_A_BLOCK):
        values = [round(drawn.uniform(-1, 1), 6) for _ in range(_NUMBERS_A_LINE)]
        yield json.dumps({"id": f"item-{number:07d}", "inputs": {"x": values}}).encode() + b"\n"


def _rows() -> Iterator[bytes]:
    """Rows with quoted fields: commas and quotes in them, and in a tenth of them a line break."""
    drawn = random.Random(SEED)
    for number in range(_RECORDS_A_BLOCK):
        text = "a text, of " + "word " * drawn.randrange(1, 9) + 'with ""quotes""'
        broken = " and\na line break" if drawn.random() < 0.1 else ""
        answer = drawn.choice(["yes", "no"])
        yield f'{number},"{text}{broken}",{drawn.random():.6f},"{answer}"\n'.encode()


class ListedFolder(ObstoreBackend):
    """A bucket that lists so many objects, a thousand in a folder, and holds none."""

    def __init__(self, count: int) -> None:
        super().__init__(MemoryStore())
        self._count = count

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        for number in range(self._count):
            key = f"{prefix}{number // 1000:06d}/image-{number:09d}.jpg"
            yield ObjectInfo(key, 50_000 + number % 999, f'"{number:032x}"')


def results_in(folder: Path) -> Storage:
    """A results bucket that is a folder."""
    return Storage({RESULTS: FolderBackend(folder, writable=True)}, s3=False)


def write_decided_job(entries: int, folder: Path, *, told: bool) -> None:
    """Write a job whose entries are all predicted; `told`: by the ResultWriter's files too."""
    below = folder / job_prefix(JOB_ID)
    work, rows = below / work_key(0), below / MAP_RUNS / "map-run-id/SUCCEEDED_0.json"
    for path in (work.parent, rows.parent, below / "commits", below / "predictions"):
        path.mkdir(parents=True)
    (below / "job.json").write_bytes(msgspec.json.encode(_job(entries)))
    with work.open("wb") as plan, rows.open("wb") as file:
        for entry in map(_entry, range(entries)):
            plan.write(msgspec.json.encode(entry) + b"\n")
            commit = _commit(entry)
            (below / commit_key(entry.entry)).write_bytes(msgspec.json.encode(commit))
            if commit.predictions is not None:
                (below / commit.predictions.key).touch()
            if told:
                file.write(msgspec.json.encode(answer_of(commit)) + b"\n")


def round_of(entries: int) -> Round:
    """The round in which they were."""
    return Round(
        job_id=JOB_ID,
        duplicate=False,
        round=0,
        entries=entries,
        work_key=f"{job_prefix(JOB_ID)}work/0.jsonl",
        runtime="litert",
        max_concurrency=1000,
        wait_s=0,
        decided=0,
        stalled=0,
        started_at="2026-01-01T00:00:00.000Z",
        execution="arn:aws:states:us-east-1:123456789012:execution:benchmark:growth",
    )


def _entry(number: int) -> Entry:
    first = number * ITEMS_AN_ENTRY
    return Entry(
        entry=f"{number:06d}",
        start=first * 150,
        end=(first + ITEMS_AN_ENTRY) * 150,
        first=first,
        first_line=first + 1,
        count=ITEMS_AN_ENTRY,
    )


def _commit(entry: Entry) -> Commit:
    request_id = f"{entry.first:08x}-1111-4222-8333-444455556666"
    is_cold = entry.first % 1000 == 0
    return Commit(
        entry=entry.entry,
        attempt=1,
        invocation=Invocation(
            request_id=request_id,
            duration_ms=1234.5 + entry.first % 997,
            load_ms=80.0 if is_cold else 0.0,
            init_ms=500.0 if is_cold else 0.0,
            cold=is_cold,
            gets=2,
            puts=2,
        ),
        predicted=entry.count,
        predictions=Part(
            key=f"predictions/{entry.entry}-{request_id}.jsonl",
            first=entry.first,
            count=entry.count,
            size_bytes=12_345,
        ),
    )


def _job(entries: int) -> Job:
    total = entries * ITEMS_AN_ENTRY
    uri = "s3://input/items.jsonl"
    return Job(
        job_id=JOB_ID,
        name=None,
        scheduled_time=None,
        items=ItemsSource(uri=uri, kind="jsonl", size_bytes=total * 150, etag="e", base="s3://input/"),
        items_uri=uri,
        model=ModelRef(
            name="m", version="1", digest="sha256:0", uri="s3://models/m/1", runtime="litert", kinds={}
        ),
        batch_size=ITEMS_AN_ENTRY,
        max_concurrency=1000,
        tolerated_failure_percentage=100,
        total=total,
        entries=entries,
    )
