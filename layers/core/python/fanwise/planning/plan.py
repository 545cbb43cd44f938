"""PlanJob: pin items and model, derive the job's id, claim it, cut entries into `work/0.jsonl`.

Every step may be tried again after dying at any line: the id is derived, the claim knows its execution, the plan's
bytes are the same again, and `job.json` is written last, so that where it is, the plan is whole.
"""

import hashlib
import io
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import msgspec

from fanwise import limits
from fanwise.commits import read_job, read_work, walk, work_key, write_work
from fanwise.items.columns import check_columns
from fanwise.items.cutting import cut_entries
from fanwise.items.folder import write_items_of_folder
from fanwise.items.lines import bytes_to_read
from fanwise.items.readable import Readable, check_readable
from fanwise.model import bundle
from fanwise.planning.source import PinnedItems, pin_items, pin_items_of_folder
from fanwise.planning.start import Start, read_start
from fanwise.records import Claim, Entry, ItemsSource, Job, ModelRef, Round, job_prefix
from fanwise.storage import Location, Storage

_SLUG_CHARACTERS = 40
_FIRST_ENTRY_BYTES = 4096  # more than one line of a work file

_encoder = msgspec.json.Encoder()
_work_file = re.compile(r"work/(\d+)\.jsonl$")


class PlanEvent(msgspec.Struct, frozen=True):
    """What the definition hands to PlanJob; `start` is the execution's input."""

    execution: str
    started_at: str
    start: Any


class PinnedJob(NamedTuple):
    """A start with its items and model pinned, and the id that follows from them."""

    start: Start
    items: PinnedItems
    model: ModelRef
    job_id: str


def pin_job(given: object, storage: Storage, *, model_bucket: str, readable: Readable) -> PinnedJob:
    """Pin what an execution's input names; nothing is written.

    `readable` is what its manifest, items file and items may be. Raises the `InputError`s, `StoreUnavailable`.
    """
    start = read_start(given, storage, readable)
    check_readable(start.manifest.items, readable)
    items = pin_items(storage, start.manifest.items)
    model = bundle.resolve(storage, model_bucket, start.manifest.model, start.manifest.runtime)
    if items.source is not None and items.source.columns is not None:
        check_columns(items.source.columns, items.uri, model.kinds)
    return PinnedJob(start, items, model, derive_job_id(start, items, model))


def plan_job(
    event: Mapping[str, Any],
    storage: Storage,
    *,
    model_bucket: str,
    results_bucket: str,
    readable: Readable,
) -> dict[str, Any]:
    """Plan a job and answer with its first `records.Round`, or with `{"duplicate": true, "job_id"}`.

    A resume of a job that is planned answers with the round of what has no commit. Raises the `InputError`s,
    `ItemsChanged`, `StoreUnavailable`.
    """
    asked = msgspec.convert(event, PlanEvent)
    start, items, model, job_id = pin_job(asked.start, storage, model_bucket=model_bucket, readable=readable)
    home = f"s3://{results_bucket}/{job_prefix(job_id)}"
    if not _claim(
        storage, home, Claim(job_id=job_id, execution=asked.execution, started_at=asked.started_at), start
    ):
        return {"duplicate": True, "job_id": job_id}
    job = _planned(storage, home)
    if job is not None and start.resume:
        return _answer(_round_of_the_rest(storage, home, job, asked, start))
    if job is None:
        job = _plan(storage, home, job_id, start, items, model, readable)
    return _answer(_first_round(storage, home, job, asked))


def _answer(round_: Round) -> dict[str, Any]:
    answer: dict[str, Any] = msgspec.to_builtins(round_)
    return answer


def derive_job_id(start: Start, items: PinnedItems, model: ModelRef) -> str:
    """The job's id: the same for the same items, model, options that change the output, name, time and run.

    Batch size and concurrency are not among them: they change how the work is done, not what comes out.
    """
    manifest = start.manifest
    identity = (
        items.uri,
        items.version,
        model.digest,
        model.runtime,
        float(manifest.tolerated_failure_percentage),
        manifest.name,
        start.scheduled_time,
        start.run,
    )
    digest = hashlib.sha256(_encoder.encode(identity)).hexdigest()
    readable = manifest.name or PurePosixPath(items.uri.rstrip("/")).stem
    slug = re.sub(r"[^a-z0-9]+", "-", readable.lower()).strip("-")[:_SLUG_CHARACTERS].strip("-")
    return f"{slug or 'job'}-{digest[:16]}"


def _claim(storage: Storage, home: str, claim: Claim, start: Start) -> bool:
    """Take the job for this execution, for good; False where another has it. A resume takes it over."""
    body = _encoder.encode(claim)
    winner = msgspec.json.decode(storage.create(home + "claim.json", body), type=Claim)
    if winner.execution == claim.execution:
        return True
    if start.resume:
        storage.write(home + "claim.json", body)
    return start.resume


def _planned(storage: Storage, home: str) -> Job | None:
    try:
        return read_job(storage, home)
    except FileNotFoundError:
        return None


def _plan(
    storage: Storage,
    home: str,
    job_id: str,
    start: Start,
    items: PinnedItems,
    model: ModelRef,
    readable: Readable,
) -> Job:
    manifest = start.manifest
    source = items.source or _source_of_folder(storage, home, items)
    source = msgspec.structs.replace(source, readable=readable)
    batch_size = limits.DEFAULT_BATCH_SIZE if manifest.batch_size == "auto" else manifest.batch_size
    chunks = storage.stream(source.uri, source.pin(), start=items.begin)
    work, entries, total = io.BytesIO(), 0, 0
    for entry in cut_entries(chunks, source.kind, batch_size, start=items.begin, first_line=items.first_line):
        work.write(_encoder.encode(entry))
        work.write(b"\n")
        entries += 1
        total += entry.count
    storage.write(home + work_key(0), work.getvalue())
    job = Job(
        job_id=job_id,
        name=manifest.name,
        scheduled_time=start.scheduled_time,
        items=source,
        items_uri=items.uri,
        model=model,
        batch_size=batch_size,
        max_concurrency=manifest.max_concurrency,
        tolerated_failure_percentage=manifest.tolerated_failure_percentage,
        total=total,
        entries=entries,
    )
    storage.write(home + "job.json", _encoder.encode(job))
    return job


def _source_of_folder(storage: Storage, home: str, items: PinnedItems) -> ItemsSource:
    """The folder's items, written into the job's home; what a try before this one wrote there is the same."""
    items_uri = home + "items.jsonl"
    try:
        return pin_items_of_folder(storage, items.uri, items_uri)
    except FileNotFoundError:
        write_items_of_folder(storage, items.uri, items_uri, items.version)
    return pin_items_of_folder(storage, items.uri, items_uri)


def _first_round(storage: Storage, home: str, job: Job, asked: PlanEvent) -> Round:
    return Round(
        job_id=job.job_id,
        duplicate=False,
        round=0,
        entries=job.entries,
        work_key=Location.parse(home).key + work_key(0),
        max_concurrency=job.max_concurrency,
        wait_s=0,
        decided=0,
        stalled=0,
        started_at=asked.started_at,
        execution=asked.execution,
        probe=_probe(storage, home, job) if job.entries > limits.PROBE_ENTRIES else None,
    )


def _probe(storage: Storage, home: str, job: Job) -> Entry:
    """The first few items of the first entry, as an entry of their own."""
    line = storage.read(home + work_key(0), 0, _FIRST_ENTRY_BYTES).partition(b"\n")[0]
    first = msgspec.json.decode(line, type=Entry)
    data = storage.read(job.items.uri, *bytes_to_read(first), job.items.pin())
    pieces = cut_entries(
        [data], job.items.kind, limits.PROBE_ITEMS, start=first.start, first_line=first.first_line
    )
    return msgspec.structs.replace(next(pieces), entry="probe")


def _round_of_the_rest(storage: Storage, home: str, job: Job, asked: PlanEvent, start: Start) -> Round:
    """What has no commit, as the next round that no execution has used."""
    left = walk(storage, home).left
    last = max(_rounds(storage, home))
    attempts = {entry.entry: entry.attempt for entry in read_work(storage, home, last)}
    entries = [_tried_again(entry, attempts.get(entry.entry)) for entry in left]
    decided = job.total - sum(entry.count for entry in entries)
    return Round(
        job_id=job.job_id,
        duplicate=False,
        round=last + 1,
        entries=len(entries),
        work_key=Location.parse(home).key + write_work(storage, home, last + 1, entries),
        max_concurrency=start.manifest.max_concurrency,
        wait_s=0,
        decided=decided,
        stalled=0,
        started_at=asked.started_at,
        execution=asked.execution,
        decided_before=decided,
    )


def _tried_again(entry: Entry, last_attempt: int | None) -> Entry:
    """One attempt further, if the last round had the entry; else it has not been tried as it is."""
    return entry if last_attempt is None else msgspec.structs.replace(entry, attempt=last_attempt + 1)


def _rounds(storage: Storage, home: str) -> list[int]:
    """The rounds that have a work file."""
    found = (_work_file.search(info.key) for info in storage.list(home + "work/"))
    return [int(match[1]) for match in found if match]
