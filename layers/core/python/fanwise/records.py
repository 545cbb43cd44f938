"""The words of docs/design.md as types: what is written to and read from a job's home.

```
s3://RESULTS/jobs/JOB_ID/
  claim.json  job.json  work/0.jsonl …  [items.jsonl]
  commits/ENTRY.json  predictions/….jsonl  failures/….jsonl  map-run/…
  parts.jsonl  digests.txt  summary.json  _SUCCESS  [replays/NUMBER-JOB_ID.json]
s3://RESULTS/executions/NAME.json      which job an execution has
```
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec

from fanwise.limits import DEFAULT_CONCURRENCY
from fanwise.storage import ObjectInfo


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person asks for. `items` is absolute (`s3://…`) once it is read."""

    items: str
    model: str
    name: str | None = None
    batch_size: int | Literal["auto"] = "auto"
    max_concurrency: int = DEFAULT_CONCURRENCY
    tolerated_failure_percentage: float = 100
    runtime: Literal["auto", "tensorflow", "litert"] = "auto"
    recompute: int = 0


class ItemsSource(msgspec.Struct, frozen=True, kw_only=True):
    """The items file, pinned. `base` is what relative URIs are relative to, with its last slash.

    `readable` are the prefixes (`s3://bucket/prefix/`) that items may point at, as they were when the job was
    planned; nothing, until a plan pins them.
    """

    uri: str
    kind: Literal["jsonl", "csv"]
    size_bytes: int
    etag: str
    version_id: str | None = None
    columns: tuple[str, ...] | None = None  # the CSV header
    base: str
    readable: tuple[str, ...] = ()

    def pin(self) -> ObjectInfo:
        """The version that was planned, as the store pins it."""
        return ObjectInfo(self.uri, self.size_bytes, self.etag, self.version_id)


Kind = Literal["image", "number", "text"]
Runtime = Literal["tensorflow", "litert"]


class ModelRef(msgspec.Struct, frozen=True, kw_only=True):
    """A published bundle, pinned by digest. `uri` is its folder, without a last slash.

    `kinds` are the names under which items carry what the model reads, with the kind of each: all that reading a
    CSV needs to know of the model.
    """

    name: str
    version: str
    digest: str
    uri: str
    runtime: Runtime
    kinds: dict[str, Kind]


class Recompute(msgspec.Struct, frozen=True, kw_only=True):
    """A job's items that are predicted again alone before its verdict: how many, and on which runtime."""

    items: int
    runtime: Runtime


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A unit of work: items `first` … `first + count - 1`, in bytes [start, end) of the items file.

    `first_line` is the 1-based line that `start` stands in; `attempt` is 1 at first and one more each time the
    entry, or the one it was cut from, is tried again.
    """

    entry: str
    start: int
    end: int
    first: int
    first_line: int
    count: int
    attempt: int = 1


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """job.json: the plan. Everything that an invocation needs beside its entry.

    `parent` is the job whose dead letters are the items of this one, a replay; `suspects` how many of them had
    killed their process alone, and may do so again. `estimate` is what the job was reckoned to take, where its
    model has a profile (`fanwise.reckoning.estimate`).
    """

    job_id: str
    name: str | None
    scheduled_time: str | None
    items: ItemsSource
    items_uri: str  # as given: of a folder, the folder
    model: ModelRef
    batch_size: int
    max_concurrency: int
    tolerated_failure_percentage: float
    total: int
    entries: int
    parent: str | None = None
    suspects: int = 0
    estimate: dict[str, Any] | None = None
    recompute: Recompute | None = None


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """claim.json: the execution that has the job; written once, and again only by a resume."""

    job_id: str
    execution: str
    started_at: str


class ExecutionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """executions/NAME.json: the job that an execution has, for whoever hears that the execution ended."""

    job_id: str


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A file of predictions or dead letters, of the items `first` … in index order. `sha256` is of its bytes."""

    key: str
    first: int
    count: int
    size_bytes: int
    sha256: str = ""  # in hex; none in a ledger that was written before there were digests


class Invocation(msgspec.Struct, frozen=True, kw_only=True):
    """One invocation of PredictBatch, as its handler measured it (a death: its timeout).

    `load_ms` is the part of `duration_ms` that the model took to load and warm up; `init_ms` comes on top.
    `others_gb_s` is what HandleFailure took to commit for it.
    """

    request_id: str
    duration_ms: float
    load_ms: float = 0.0
    init_ms: float = 0.0
    cold: bool = False
    gets: int = 0
    puts: int = 0
    others_gb_s: float = 0.0


class Commit(msgspec.Struct, frozen=True, kw_only=True):
    """commits/ENTRY.json: what became of an entry, decided once.

    `predicted + dead_lettered + sum(rest counts)` is the entry's count. `died` is the error that Step Functions
    saw, where HandleFailure decided. `failures_by_error` counts this entry's dead letters.

    `items_sha256` is of the bytes of the items file that were read for the entry (`items.lines.bytes_to_read`),
    `started_at` when the invocation began, `code` a short digest of the code that wrote this
    (`digests.code_digest`). Commits that were written before there were digests have none of the three.
    """

    entry: str
    attempt: int
    invocation: Invocation
    predicted: int = 0
    dead_lettered: int = 0
    predictions: Part | None = None
    failures: Part | None = None
    failures_by_error: dict[str, int] = {}
    rest: tuple[Entry, ...] = ()
    died: str | None = None
    items_sha256: str = ""
    started_at: str = ""
    code: str = ""


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """The `failure` of a dead letter."""

    error: str
    message: str
    stage: str
    attempts: int
    line: int


class Round(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What runs through the state machine between its states: where the next round's work lies.

    PlanJob and AggregateResults answer with it. `entries` is 0 when nothing is left to do; then AggregateResults
    has put `summary` there. `decided` counts the items that have become a prediction or a dead letter so far,
    `decided_before` those that had when this execution began (a resume), which was with round `first_round`;
    `stalled` the rounds in a row that decided nothing; `unfinished` the tries so far that left no commit. `stop`
    is why no further round may run, as Step Functions has it (`{"Error", "Cause"}`). `others` and `others_gb_s`
    are the invocations of PlanJob and AggregateResults so far, and what they took. With `recompute` every item is
    decided, and some are predicted again before the verdict. With `closes` this execution
    accounts for another one, `execution`, which died or was stopped.
    """

    job_id: str
    duplicate: bool
    round: int
    entries: int
    work_key: str  # whole key in the results bucket
    runtime: Runtime  # which packaging of PredictBatch is called
    max_concurrency: int
    wait_s: int
    decided: int
    stalled: int
    started_at: str  # of the execution, ISO 8601
    execution: str
    decided_before: int = 0
    unfinished: int = 0
    others: int = 0
    others_gb_s: float = 0.0
    first_round: int = 0
    stop: dict[str, str] | None = None
    closes: bool = False
    probe: Entry | None = None
    recompute: Recompute | None = None
    summary: dict[str, Any] | None = None
    failures_uri: str | None = None


def started_text(ago_s: float) -> str:
    """When something began that has taken `ago_s` seconds so far, as a job's files have a moment."""
    return moment_text(datetime.now(UTC) - timedelta(seconds=ago_s))


def moment_text(moment: datetime) -> str:
    """A moment as a job's files have it: ISO 8601, UTC, milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def job_prefix(job_id: str) -> str:
    """The key prefix of a job's home, with its last slash."""
    return f"jobs/{job_id}/"


def home_of(bucket: str, job_id: str) -> str:
    """The URI of a job's home, with its last slash."""
    return f"s3://{bucket}/{job_prefix(job_id)}"


def execution_key(execution: str) -> str:
    """The key of an execution's record, by its ARN."""
    return f"executions/{execution.rpartition(':')[2]}.json"
