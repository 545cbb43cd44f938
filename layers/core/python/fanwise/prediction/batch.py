"""One invocation of PredictBatch: read the entry, predict its items, write the parts, commit.

Per item nothing escapes: whatever is wrong with one becomes its dead letter. Near its deadline it commits what it
has and leaves the rest to the next round. An entry that is decided already is not predicted again.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from typing import Any

import msgspec

from fanwise import limits
from fanwise.commits import answer_of, decide, read_commit, unheard
from fanwise.digests import code_digest, sha256_of_bytes
from fanwise.errors import (
    ItemError,
    MissingInput,
    ModelError,
    StoreUnavailable,
    UnreadableObject,
)
from fanwise.items.lines import (
    Record,
    rest_in_invocations,
    rest_with_first_alone,
)
from fanwise.items.parsing import Item
from fanwise.model.missing import named
from fanwise.model.model import Model
from fanwise.prediction.entry_items import item_of_record, items_of, read_records
from fanwise.prediction.kept import Kept
from fanwise.prediction.parts import EntryParts
from fanwise.prediction.pipeline import OutOfTime, Pipeline
from fanwise.prediction.recompute import recompute
from fanwise.recomputation import read_drawn
from fanwise.records import Commit, Entry, Invocation, Job, Probe, Recompute, home_of, started_text
from fanwise.storage import Requests, Storage


class BatchEvent(msgspec.Struct, frozen=True):
    """An entry to predict and commit; a probe to predict and forget; predictions to make again; or nothing but the
    model to load."""

    job_id: str
    entry: Entry | None = None
    probe: Probe | None = None
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


def _probe(probe: Probe, job: Job, environment: Environment, request: Request) -> dict[str, Any]:
    """Predict a few items and keep nothing.

    Raises `ModelError` if the model rejects every one it was given, `MissingInput` if all lack the same input. A
    few are tried first, and the others only where that would be so. A store that does not answer, or not in time,
    says nothing of either.
    """
    model = environment.kept.model(job.model)
    ranges = [(entry, read_records(environment.storage, job, entry)[1]) for entry in probe.ranges()]
    each = max(1, limits.PROBE_ITEMS // len(ranges))
    firsts = chain.from_iterable(items_of(records[:each], entry.first, job) for entry, records in ranges)
    results = _tried(firsts, model, environment.pipeline, request)
    if _why_to_stop(results, job) is not None:
        others = (items_of(records[each:], entry.first + each, job) for entry, records in ranges)
        results += _tried(chain.from_iterable(others), model, environment.pipeline, request)
    why = _why_to_stop(results, job)
    if why is not None:
        raise why
    return {"probed": len(results), "failed": sum(isinstance(result, ItemError) for result in results)}


def _tried(
    items: Iterator[Item | ItemError], model: Model, pipeline: Pipeline, request: Request
) -> list[object]:
    """What becomes of the items, as far as time allows."""
    results: list[object] = []
    try:
        for outcomes in pipeline.run(items, model, lambda: _time_to_work_s(request)):
            results += [result for _, result in outcomes]  # what comes before an error counts
    except OutOfTime:
        pass
    return results


def _why_to_stop(results: Sequence[object], job: Job) -> ModelError | MissingInput | None:
    """What is wrong with all of them; None where one was predicted, or they fail for reasons of their own."""
    errors = [result for result in results if isinstance(result, ItemError)]
    if not errors or len(errors) < len(results):
        return None
    if all(error.stage in ("predict", "result") for error in errors):
        # Not what the model said: it may quote an item, and this goes into logs and events.
        names = Counter(type(error).__name__ for error in errors)
        return ModelError(
            f"the model rejects every one of the first {len(results)} items"
            f" ({', '.join(f'{name} {n}' for name, n in names.most_common())}) that were drawn over the whole job;"
            f" run it on a few: their dead letters have what it says of each"
        )
    read = [error for error in errors if error.stage != "read"]  # a line that is no item lacks nothing
    if 2 * len(read) < len(errors):
        return None
    common = [name for name in job.model.kinds if all(name in error.lacks for error in read)]
    if not common:
        return None
    return MissingInput(
        f"none of {len(read)} items drawn over the whole job has a value for {named(common)}; the first: {read[0]}"
    )


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
    data, records = read_records(storage, job, entry)
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
        items = items_of(records, entry.first, job)
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
        gathered.add([(item_of_record(records[0], entry.first, job), why)])
        return gathered, None
    if entry.count > 1 and entry.attempt >= limits.ALONE_ATTEMPT:
        return gathered, unread
    raise unread
