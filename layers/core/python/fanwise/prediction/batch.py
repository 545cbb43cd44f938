"""One invocation of PredictBatch: read the entry, predict its items, write the parts, commit.

Per item nothing escapes: whatever is wrong with one becomes its dead letter. Near its deadline it commits what it
has and leaves the rest to the next round. An entry that is decided already is not predicted again.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import msgspec

from fanwise import limits
from fanwise.commits import answer_of, decide, read_commit, unheard
from fanwise.digests import code_digest, sha256_of_bytes
from fanwise.errors import ItemError, ItemsChanged, ModelError, StoreUnavailable, UnreadableObject
from fanwise.items.lines import (
    Record,
    bytes_to_read,
    rest_in_invocations,
    rest_with_first_alone,
    split_records,
)
from fanwise.items.parsing import Item, parse_record
from fanwise.model.model import Model
from fanwise.prediction.kept import Kept
from fanwise.prediction.parts import EntryParts
from fanwise.prediction.pipeline import OutOfTime, Pipeline
from fanwise.prediction.recompute import recompute
from fanwise.recomputation import read_drawn
from fanwise.records import Commit, Entry, Invocation, Job, Recompute, home_of, started_text
from fanwise.storage import Requests, Storage


class BatchEvent(msgspec.Struct, frozen=True):
    """An entry to predict and commit; a probe to predict and forget; predictions to make again; or nothing but the
    model to load."""

    job_id: str
    entry: Entry | None = None
    probe: Entry | None = None
    recompute: Recompute | None = None
    load_only: bool = False


@dataclass(frozen=True)
class Request:
    """What Lambda says of this invocation. `started` is `time.monotonic()` when it began.

    `committed` is told the commit, if this invocation is the one that decides.
    """

    request_id: str
    started: float
    time_left_s: Callable[[], float]
    init_ms: float
    cold: bool
    committed: Callable[[Commit], None] = unheard


@dataclass(frozen=True)
class Environment:
    """What an execution environment has between invocations."""

    storage: Storage
    kept: Kept
    pipeline: Pipeline
    results_bucket: str


def predict_batch(event: Mapping[str, Any], environment: Environment, request: Request) -> dict[str, Any]:
    """Do what the event asks; of an entry, answer as `commits.answer_of` has it.

    Raises `ModelError` (stops the job), `StoreUnavailable` (worth another attempt), `ItemsChanged`.
    """
    asked = msgspec.convert(event, BatchEvent)
    before = environment.storage.requests()
    home = home_of(environment.results_bucket, asked.job_id)
    job = environment.kept.job(home)
    if asked.load_only:
        environment.kept.model(job.model)
        return {"loaded": job.model.digest}
    if asked.probe is not None:
        return _probe(asked.probe, job, environment, request)
    if asked.recompute is not None:
        return _recompute(asked.recompute, job, home, environment, request)
    if asked.entry is None:
        raise msgspec.ValidationError("PredictBatch wants an entry, a probe, recompute or load_only")
    commit = read_commit(environment.storage, home, asked.entry.entry)
    if commit is None:
        commit = _predict_and_commit(asked.entry, job, home, environment, request, before)
    return answer_of(commit)


def _probe(probe: Entry, job: Job, environment: Environment, request: Request) -> dict[str, Any]:
    """Predict a few items and keep nothing; raises `ModelError` if the model rejects every one it was given.

    A store that does not answer, or not in time, says nothing of the model.
    """
    model = environment.kept.model(job.model)
    _, records = _read(environment.storage, job, probe)
    results: list[object] = []
    try:
        items = _items(records, probe, job)
        for outcomes in environment.pipeline.run(items, model, lambda: _time_to_work_s(request)):
            results += [result for _, result in outcomes]  # what comes before an error counts
    except OutOfTime:
        pass
    errors = [result for result in results if isinstance(result, ItemError)]
    rejected = [error for error in errors if error.stage in ("predict", "result")]
    if rejected and len(rejected) == len(results):
        # Not what the model said: it may quote an item, and this goes into logs and events.
        names = Counter(type(error).__name__ for error in rejected)
        raise ModelError(
            f"the model rejects every one of the first {len(results)} items"
            f" ({', '.join(f'{name} {n}' for name, n in names.most_common())});"
            f" run it on a few: their dead letters have what it says of each"
        )
    return {"probed": len(results), "failed": len(errors)}


def _recompute(
    asked: Recompute, job: Job, home: str, environment: Environment, request: Request
) -> dict[str, Any]:
    """Predict again what AggregateResults has drawn, and answer with what came of it."""
    ref = msgspec.structs.replace(job.model, runtime=asked.runtime)
    recomputed = recompute(
        read_drawn(environment.storage, home),
        job,
        home,
        environment.kept.model(ref),
        asked.runtime,
        storage=environment.storage,
        pipeline=environment.pipeline,
        time_left_s=lambda: _time_to_work_s(request),
    )
    answer: dict[str, Any] = msgspec.to_builtins(recomputed)
    return answer


def _time_to_work_s(request: Request) -> float:
    return request.time_left_s() - limits.DEADLINE_RESERVE_S


def _read(storage: Storage, job: Job, entry: Entry) -> tuple[bytes, list[Record]]:
    data = storage.read(job.items.uri, *bytes_to_read(entry), job.items.pin())
    records = list(
        split_records(data, job.items.kind, start=entry.start, first_line=entry.first_line, end=entry.end)
    )
    if len(records) != entry.count:
        raise ItemsChanged(
            f"entry {entry.entry} was planned with {entry.count} items and its bytes hold {len(records)};"
            f" {job.items.uri} is no longer the version that was planned: start the job again"
        )
    return data, records


def _items(records: Sequence[Record], entry: Entry, job: Job) -> Iterator[Item | ItemError]:
    """The items of an entry, each made when its turn comes, or why a record is none."""
    return (_parsed(record, index, job) for index, record in enumerate(records, entry.first))


def _parsed(record: Record, index: int, job: Job) -> Item | ItemError:
    try:
        return parse_record(record, index, job.items, job.model.kinds)
    except ItemError as error:
        return error.with_traceback(None)  # which would keep the item's values, however large


def _predict_and_commit(
    entry: Entry, job: Job, home: str, environment: Environment, request: Request, before: Requests
) -> Commit:
    """Decide the entry; `before` are the requests that had been made when the invocation began."""
    storage, loading = environment.storage, time.monotonic()
    model = environment.kept.model(job.model)
    load_ms = (time.monotonic() - loading) * 1000
    if request.time_left_s() < limits.AFTER_LOAD_S:
        # Timed out, the environment would be gone, and the entry cut for nothing; kept, it has the model.
        raise StoreUnavailable(
            f"the model took {load_ms / 1000:.0f} s to load, which left no time; the next attempt finds it loaded"
        )
    data, records = _read(storage, job, entry)
    working = time.monotonic()
    gathered, unread = _gather(entry, records, job, model, environment.pipeline, request)
    rest: tuple[Entry, ...] = ()
    if gathered.items < entry.count and unread is not None:
        rest = rest_with_first_alone(entry, data, job.items.kind, gathered.items)
    elif gathered.items < entry.count:
        item_s = (time.monotonic() - working) / gathered.items
        invocation_s = time.monotonic() - request.started + max(_time_to_work_s(request), 0.0)
        rest = rest_in_invocations(
            entry, data, job.items.kind, gathered.items, item_s=item_s, invocation_s=invocation_s
        )
    predictions = gathered.predictions.write(storage, home)
    failures = gathered.failures.write(storage, home)
    after = storage.requests()
    commit = Commit(
        entry=entry.entry,
        attempt=entry.attempt,
        invocation=Invocation(
            request_id=request.request_id,
            duration_ms=round((time.monotonic() - request.started) * 1000, 1),
            load_ms=round(load_ms, 1),
            init_ms=round(request.init_ms, 1),
            cold=request.cold,
            gets=after.gets - before.gets,
            puts=after.puts - before.puts + 1,
        ),
        predicted=len(gathered.predictions),
        dead_lettered=len(gathered.failures),
        predictions=predictions,
        failures=failures,
        failures_by_error=dict(gathered.failures_by_error),
        rest=rest,
        items_sha256=sha256_of_bytes(data),
        started_at=started_text(time.monotonic() - request.started),
        code=code_digest(),
    )
    return decide(storage, home, commit, request.committed)


def _gather(
    entry: Entry, records: Sequence[Record], job: Job, model: Model, pipeline: Pipeline, request: Request
) -> tuple[EntryParts, StoreUnavailable | None]:
    """Predict as many of an entry's items as time, the store and memory allow, and why the next was not read.

    It gets somewhere, or raises `StoreUnavailable`. An item whose object is not to be had ends the run, for it may
    be the store as a whole; tried again, it is set apart, so that its neighbours need not wait for it; and alone,
    tried yet again while the store gives the items file, it is `UnreadableObject`.
    """
    gathered = EntryParts(entry, records, job, request.request_id)
    unread: StoreUnavailable | None = None
    try:
        items = _items(records, entry, job)
        with closing(pipeline.run(items, model, lambda: _time_to_work_s(request))) as run:
            for outcomes in run:
                gathered.add(outcomes)
                if gathered.is_full:
                    break
    except StoreUnavailable as error:
        unread = error
    except OutOfTime:
        if not gathered.items:
            unread = StoreUnavailable("the first items were not read before the deadline")
    if unread is None or gathered.items:
        return gathered, unread
    if entry.count == 1 and entry.attempt >= limits.UNREADABLE_ATTEMPT:
        why = UnreadableObject(f"could not be read in {entry.attempt} attempts; the last: {unread}")
        gathered.add([(_parsed(records[0], entry.first, job), why)])
        return gathered, None
    if entry.count > 1 and entry.attempt >= limits.ALONE_ATTEMPT:
        return gathered, unread
    raise unread
