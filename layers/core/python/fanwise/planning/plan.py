"""PlanJob: pin items and model, derive the job's id, claim it, cut entries into `work/0.jsonl`.

Every step may be tried again after dying at any line: the id is derived, the claim knows its execution, the plan's
bytes are the same again, and `job.json` is written last, so that where it is, the plan is whole. A job that is
there may be gone on with (`resume`), its dead letters tried again (`replay`), or an execution of it accounted for
(`ended`).
"""

import hashlib
import io
import re
from collections.abc import Collection, Mapping
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import msgspec

from fanwise.commits import work_key
from fanwise.errors import ItemsChanged, ItemsFileError, ManifestError
from fanwise.items.columns import check_columns, read_header
from fanwise.items.cutting import count_about, cut_entries
from fanwise.items.folder import write_items_of_folder
from fanwise.items.readable import Readable, check_readable
from fanwise.model import bundle
from fanwise.model.missing import refuse_misspelt_columns
from fanwise.planning.claim import PlanEvent, claim, planned
from fanwise.planning.ended import close_execution
from fanwise.planning.job_limits import NO_LIMITS, JobLimits
from fanwise.planning.probing import probe_of
from fanwise.planning.replay import SLUG_CHARACTERS, derive_replay_id, find_replayed, write_dead_letters
from fanwise.planning.resume import resume_job, round_of_the_rest
from fanwise.planning.source import PinnedItems, header_bytes, pin_items, pin_written_items
from fanwise.planning.start import Ended, Replay, Resume, Start, read_start
from fanwise.pricing import Prices, prices_of
from fanwise.reckoning.batching import DEFAULT_SIZE, FunctionSize, auto_batch_size, reads_of
from fanwise.reckoning.estimate import Reckoner
from fanwise.records import ItemsSource, Job, ModelRef, Recompute, Round, home_of
from fanwise.replays import register_replay
from fanwise.storage import Location, Storage

_LOOKED_AT_BYTES = 1024 * 1024  # of the items file, for how many there are

_encoder = msgspec.json.Encoder()


class PinnedJob(NamedTuple):
    """A start with its items and model pinned, and the id that follows from them."""

    start: Start
    items: PinnedItems
    model: ModelRef
    job_id: str


def pin_job(
    given: object,
    storage: Storage,
    *,
    model_bucket: str,
    readable: Readable,
    runtimes: Collection[str] = bundle.RUNTIMES,
    job_limits: JobLimits = NO_LIMITS,
) -> PinnedJob:
    """Pin what an execution's input names; nothing is written.

    `readable` is what its manifest, items file and items may be, `runtimes` what PredictBatch is packaged with,
    `job_limits` how large it may be, as far as that is known without reading it.
    Raises the `InputError`s, `StoreUnavailable`.
    """
    start = read_start(given, storage, readable)
    if not isinstance(start, Start):
        raise ManifestError("the execution's input names no manifest")
    pinned = _pinned(start, storage, model_bucket, readable, runtimes)
    _check_bytes(pinned.items, job_limits)
    return pinned


def plan_job(
    event: Mapping[str, Any],
    storage: Storage,
    *,
    model_bucket: str,
    results_bucket: str,
    readable: Readable,
    runtimes: Collection[str] = bundle.RUNTIMES,
    size: FunctionSize = DEFAULT_SIZE,
    region: str | None = None,
    job_limits: JobLimits = NO_LIMITS,
) -> dict[str, Any]:
    """Plan a job and answer with its first `records.Round`, or with `{"duplicate": true, "job_id"}`.

    `size` is PredictBatch's, which batch sizes go by, `region` the one whose prices the estimate goes by,
    `job_limits` how large a new job may be. A resume of a job that is planned answers with the round of what has
    no commit. Raises the `InputError`s, `ItemsChanged`, `StoreUnavailable`.
    """
    asked = msgspec.convert(event, PlanEvent)
    match read_start(asked.start, storage, readable):
        case Ended() as ended:
            return close_execution(ended, storage, results_bucket)
        case Resume() as resume:
            return _answer(resume_job(resume, asked, storage, results_bucket))
        case Replay() as replay:
            return _replayed(
                replay,
                asked,
                storage,
                model_bucket,
                results_bucket,
                readable,
                runtimes,
                size,
                prices_of(region),
            )
        case start:
            pinned = _pinned(start, storage, model_bucket, readable, runtimes)
            return _started(
                pinned,
                asked,
                storage,
                results_bucket,
                readable,
                runtimes,
                size,
                prices_of(region),
                job_limits,
            )


def _answer(round_: Round) -> dict[str, Any]:
    answer: dict[str, Any] = msgspec.to_builtins(round_)
    return answer


def _pinned(
    start: Start, storage: Storage, model_bucket: str, readable: Readable, runtimes: Collection[str]
) -> PinnedJob:
    check_readable(start.manifest.items, readable)
    items = pin_items(storage, start.manifest.items, start.upload)
    model = bundle.resolve(storage, model_bucket, start.manifest.model, start.manifest.runtime, runtimes)
    if items.source is not None and items.source.columns is not None:
        refuse_misspelt_columns(items.source.columns, items.uri, model.kinds)
        check_columns(items.source.columns, items.uri, model.kinds)
    return PinnedJob(start, items, model, derive_job_id(start, items, model))


def _check_bytes(items: PinnedItems, job_limits: JobLimits) -> None:
    """Of an items file; those of a folder are counted when they are written down."""
    if items.source is not None:
        job_limits.check(items.uri, size_bytes=items.source.size_bytes)


def _started(
    pinned: PinnedJob,
    asked: PlanEvent,
    storage: Storage,
    bucket: str,
    readable: Readable,
    runtimes: Collection[str],
    size: FunctionSize,
    prices: Prices,
    job_limits: JobLimits,
) -> dict[str, Any]:
    start, items, model, job_id = pinned
    home = home_of(bucket, job_id)
    try:
        _check_bytes(items, job_limits)
    except ItemsFileError:
        if planned(storage, home) is None:  # one that is planned may be resumed
            raise
    if not claim(storage, bucket, job_id, asked, take_over=start.resume):
        return {"duplicate": True, "job_id": job_id}
    job = planned(storage, home)
    if job is not None and start.resume:
        return _answer(round_of_the_rest(storage, home, job, asked, start.manifest.max_concurrency))
    if job is None:
        manifest = start.manifest
        source = items.source or _source_of_folder(storage, home, items, job_limits)
        profile = bundle.profile_of(storage, model)
        batch_size = manifest.batch_size
        if batch_size == "auto":
            batch_size = auto_batch_size(
                profile,
                items=_items_about(storage, source, items.begin),
                size_bytes=source.size_bytes,
                max_concurrency=manifest.max_concurrency,
                size=size,
                reads=reads_of(model.kinds),
            ).items
        job = Job(
            job_id=job_id,
            name=manifest.name,
            scheduled_time=start.scheduled_time,
            items=msgspec.structs.replace(source, readable=readable),
            items_uri=items.uri,
            model=model,
            batch_size=batch_size,
            max_concurrency=manifest.max_concurrency,
            tolerated_failure_percentage=manifest.tolerated_failure_percentage,
            total=0,
            entries=0,
            recompute=_recompute(manifest.recompute, model, storage, runtimes),
        )
        reckon = Reckoner(profile, size, prices)
        job = _cut(storage, home, job, reckon, items.begin, items.first_line, job_limits)
    return _answer(_first_round(storage, home, job, asked))


def _replayed(
    replay: Replay,
    asked: PlanEvent,
    storage: Storage,
    model_bucket: str,
    bucket: str,
    readable: Readable,
    runtimes: Collection[str],
    size: FunctionSize,
    prices: Prices,
) -> dict[str, Any]:
    """The dead letters of a job as a job of their own, linked to its parent when its plan is whole."""
    replayed = find_replayed(replay, asked, storage, bucket)
    parent = replayed.parent
    model = parent.model
    if replay.model is not None:
        model = bundle.resolve(storage, model_bucket, replay.model, offered=runtimes)
    job_id = derive_replay_id(replayed, model.digest, model.runtime)
    if not claim(storage, bucket, job_id, asked, take_over=replay.resume):
        return {"duplicate": True, "job_id": job_id}
    home = home_of(bucket, job_id)
    job = planned(storage, home)
    if job is None:
        items_uri = home + "items.jsonl"
        suspects = write_dead_letters(replayed, storage, bucket, items_uri)
        source = pin_written_items(storage, parent.items.base, items_uri)
        job = msgspec.structs.replace(
            parent,
            job_id=job_id,
            items=msgspec.structs.replace(source, readable=readable),
            items_uri=items_uri,
            model=model,
            batch_size=replay.batch_size or parent.batch_size,
            max_concurrency=replay.max_concurrency or parent.max_concurrency,
            parent=parent.job_id,
            suspects=suspects,
            recompute=_recompute(parent.recompute.items if parent.recompute else 0, model, storage, runtimes),
        )
        job = _cut(storage, home, job, Reckoner(bundle.profile_of(storage, model), size, prices), 0, 1)
    register_replay(storage, home_of(bucket, parent.job_id), replayed.number, job_id)
    return _answer(_first_round(storage, home, job, asked))


def _recompute(items: int, model: ModelRef, storage: Storage, runtimes: Collection[str]) -> Recompute | None:
    if not items:
        return None
    return Recompute(items=items, runtime=bundle.reference_runtime(storage, model, runtimes))


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
    slug = re.sub(r"[^a-z0-9]+", "-", readable.lower()).strip("-")[:SLUG_CHARACTERS].strip("-")
    return f"{slug or 'job'}-{digest[:16]}"


def _items_about(storage: Storage, source: ItemsSource, begin: int) -> int:
    """How many items there are, by the first of them: the same each time, and without a scan of its own."""
    end = min(source.size_bytes, begin + _LOOKED_AT_BYTES)
    beginning = storage.read(source.uri, begin, end, source.pin()) if end > begin else b""
    return count_about(beginning, source.kind, source.size_bytes - begin)


def _cut(
    storage: Storage,
    home: str,
    job: Job,
    reckoner: Reckoner,
    begin: int,
    first_line: int,
    job_limits: JobLimits = NO_LIMITS,
) -> Job:
    """Cut a job's items, from byte `begin` on, into entries; the plan is whole when `job.json` is there."""
    work, entries, total = _work_of(storage, job, begin, first_line, job_limits)
    storage.write(home + work_key(0), work)
    job = msgspec.structs.replace(job, total=total, entries=entries)
    job = msgspec.structs.replace(job, estimate=reckoner.of(job))
    storage.write(home + "job.json", _encoder.encode(job))
    return job


def _work_of(
    storage: Storage, job: Job, begin: int, first_line: int, job_limits: JobLimits = NO_LIMITS
) -> tuple[bytes, int, int]:
    """`work/0.jsonl` of a job whose items begin at a byte, with how many entries and items it has."""
    chunks = storage.stream(job.items.uri, job.items.pin(), start=begin)
    work, entries, total = io.BytesIO(), 0, 0
    for entry in cut_entries(chunks, job.items.kind, job.batch_size, start=begin, first_line=first_line):
        work.write(_encoder.encode(entry))
        work.write(b"\n")
        entries += 1
        total += entry.count
        job_limits.check(job.items_uri, items=total)
    return work.getvalue(), entries, total


def cut_again(storage: Storage, home: str, job: Job) -> None:
    """Write a planned job's `work/0.jsonl` as it was. Raises `ItemsChanged`."""
    begin, first_line = 0, 1
    if job.items.kind == "csv":
        beginning = storage.read(job.items.uri, 0, header_bytes(job.items.size_bytes), job.items.pin())
        is_whole = len(beginning) == job.items.size_bytes
        _, begin, first_line = read_header(beginning, job.items.uri, is_whole_file=is_whole)
    work, entries, total = _work_of(storage, job, begin, first_line)
    if (entries, total) != (job.entries, job.total):
        raise ItemsChanged(f"{job.items.uri} gives {total} items in {entries} entries, other than planned")
    storage.write(home + work_key(0), work)


def _source_of_folder(storage: Storage, home: str, items: PinnedItems, job_limits: JobLimits) -> ItemsSource:
    """The folder's items, written into the job's home; what a try before this one wrote there is the same."""
    items_uri = home + "items.jsonl"
    try:
        return pin_written_items(storage, items.uri, items_uri)
    except FileNotFoundError:
        write_items_of_folder(storage, items.uri, items_uri, items.listing, job_limits.check)
    return pin_written_items(storage, items.uri, items_uri)


def _first_round(storage: Storage, home: str, job: Job, asked: PlanEvent) -> Round:
    return Round(
        job_id=job.job_id,
        duplicate=False,
        round=0,
        entries=job.entries,
        work_key=Location.parse(home).key + work_key(0),
        runtime=job.model.runtime,
        max_concurrency=job.max_concurrency,
        wait_s=0,
        decided=0,
        stalled=0,
        started_at=asked.started_at,
        execution=asked.execution,
        probe=probe_of(storage, home, job),
    )
