"""One invocation of PredictBatch: read the entry, predict its items, write the parts, commit.

Per item nothing escapes: whatever is wrong with one becomes its dead letter. Near its deadline it commits what it
has and leaves the rest to the next round. An entry that is decided already is not predicted again.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from fanwise import limits
from fanwise.commits import decide, read_commit
from fanwise.errors import ItemError, ModelError, StoreUnavailable
from fanwise.items.dead_letters import dead_letter_of_item, dead_letter_of_record, prediction_line
from fanwise.items.lines import Record, bytes_to_read, rest_of, split_records
from fanwise.items.parsing import Item, parse_record
from fanwise.prediction.kept import Kept
from fanwise.prediction.parts import PartWriter
from fanwise.prediction.pipeline import OutOfTime, Pipeline
from fanwise.records import Commit, Entry, Failure, Invocation, Job, job_prefix
from fanwise.storage import Storage


class BatchEvent(msgspec.Struct, frozen=True):
    """An entry to predict and commit; a probe to predict and forget; or nothing but the model to load."""

    job_id: str
    entry: Entry | None = None
    probe: Entry | None = None
    load_only: bool = False


@dataclass(frozen=True)
class Request:
    """What Lambda says of this invocation. `started` is `time.monotonic()` when it began."""

    request_id: str
    started: float
    time_left_s: Callable[[], float]
    init_ms: float
    cold: bool


@dataclass(frozen=True)
class Environment:
    """What an execution environment has between invocations."""

    storage: Storage
    kept: Kept
    pipeline: Pipeline
    results_bucket: str


def predict_batch(event: Mapping[str, Any], environment: Environment, request: Request) -> dict[str, Any]:
    """Do what the event asks and answer with counts, small enough for 10,000 children.

    Raises `ModelError` (stops the job), `StoreUnavailable` (worth another attempt), `ItemsChanged`.
    """
    asked = msgspec.convert(event, BatchEvent)
    home = f"s3://{environment.results_bucket}/{job_prefix(asked.job_id)}"
    job = environment.kept.job(home)
    if asked.load_only:
        environment.kept.model(job.model)
        return {"loaded": job.model.digest}
    if asked.probe is not None:
        return _probe(asked.probe, job, environment, request)
    if asked.entry is None:
        raise msgspec.ValidationError("PredictBatch wants an entry, a probe, or load_only")
    commit = read_commit(environment.storage, home, asked.entry.entry)
    if commit is None:
        commit = _predict_and_commit(asked.entry, job, home, environment, request)
    return {
        "entry": commit.entry,
        "predicted": commit.predicted,
        "dead_lettered": commit.dead_lettered,
        "rest": sum(rest.count for rest in commit.rest),
    }


def _probe(probe: Entry, job: Job, environment: Environment, request: Request) -> dict[str, Any]:
    """Predict a few items and keep nothing; raises `ModelError` if the model rejects every one it was given."""
    model = environment.kept.model(job.model)
    _, records = _read(environment.storage, job, probe)
    items = [_parsed(record, probe.first + i, job) for i, record in enumerate(records)]
    outcomes = list(environment.pipeline.run(items, model, lambda: _time_to_work_s(request)))
    errors = [o.result for o in outcomes if isinstance(o.result, ItemError)]
    rejected = [error for error in errors if error.stage in ("predict", "result")]
    if rejected and len(rejected) == len(outcomes):
        raise ModelError(
            f"the model rejects every one of the first {len(outcomes)} items;"
            f" the first: {type(rejected[0]).__name__}: {rejected[0]}"
        )
    return {"probed": len(outcomes), "failed": len(errors)}


def _time_to_work_s(request: Request) -> float:
    return request.time_left_s() - limits.DEADLINE_RESERVE_S


def _read(storage: Storage, job: Job, entry: Entry) -> tuple[bytes, list[Record]]:
    data = storage.read(job.items.uri, *bytes_to_read(entry), job.items.pin())
    records = split_records(
        data, job.items.kind, start=entry.start, first_line=entry.first_line, end=entry.end
    )
    return data, list(records)


def _parsed(record: Record, index: int, job: Job) -> Item | ItemError:
    try:
        return parse_record(record, index, job.items, job.model.kinds)
    except ItemError as error:
        return error


def _predict_and_commit(
    entry: Entry, job: Job, home: str, environment: Environment, request: Request
) -> Commit:
    storage = environment.storage
    before, loading = storage.requests(), time.monotonic()
    model = environment.kept.model(job.model)
    load_ms = (time.monotonic() - loading) * 1000
    data, records = _read(storage, job, entry)
    items = [_parsed(record, entry.first + i, job) for i, record in enumerate(records)]
    predictions = PartWriter("predictions", entry.entry, request.request_id)
    failures = PartWriter("failures", entry.entry, request.request_id)
    failures_by_error: Counter[str] = Counter()
    done = 0
    try:
        for outcome in environment.pipeline.run(items, model, lambda: _time_to_work_s(request)):
            index, item, record = entry.first + done, items[done], records[done]
            if not isinstance(outcome.result, ItemError) and isinstance(item, Item):
                predictions.add(index, prediction_line(item, outcome.result))
            elif isinstance(outcome.result, ItemError):
                failure = _failure(outcome.result, entry, record)
                failures.add(index, _dead_letter(item, record, index, job, failure))
                failures_by_error[failure.error] += 1
            done += 1
            if predictions.size_bytes + failures.size_bytes > limits.MAX_PART_BYTES:
                break
    except (OutOfTime, StoreUnavailable) as error:
        if done == 0:
            if isinstance(error, OutOfTime):
                raise StoreUnavailable("the first items were not read before the deadline") from error
            raise
    rest = () if done == len(records) else (rest_of(entry, data, job.items.kind, done),)
    predictions_part = predictions.write(storage, home)
    failures_part = failures.write(storage, home)
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
        predicted=len(predictions),
        dead_lettered=len(failures),
        predictions=predictions_part,
        failures=failures_part,
        failures_by_error=dict(failures_by_error),
        rest=rest,
    )
    return decide(storage, home, commit)


def _failure(error: ItemError, entry: Entry, record: Record) -> Failure:
    return Failure(
        error=type(error).__name__,
        message=str(error),
        stage=error.stage,
        attempts=entry.attempt,
        line=record.line,
    )


def _dead_letter(item: Item | ItemError, record: Record, index: int, job: Job, failure: Failure) -> bytes:
    if isinstance(item, ItemError):
        return dead_letter_of_record(record, index, job.items, job.model.kinds, failure)
    return dead_letter_of_item(item, failure)
