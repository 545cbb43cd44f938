"""The stage between rounds, for an entry whose invocation died: fence it off, and cut it.

The process is gone, so any of the entry's items is a suspect. HandleFailure commits for the entry before anything
else may: `rest` is the entry cut in four, or, for a single item, its dead letter. A zombie that writes later finds
the commit there and goes by it. One poison among 256 stands alone after four rounds of small invocations.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from fanwise import limits
from fanwise.commits import answer_of, decide, read_commit, read_job, unheard
from fanwise.digests import code_digest, sha256_of_bytes
from fanwise.errors import ItemsChanged
from fanwise.items.dead_letters import dead_letter_of_record
from fanwise.items.lines import bytes_to_read, cut, split_records
from fanwise.pricing import Meter
from fanwise.records import Commit, Entry, Failure, Invocation, Job, Part, home_of, moment_text
from fanwise.redaction import redacted
from fanwise.storage import Storage

MAX_MESSAGE_CHARACTERS = 1000

_PAYLOAD_MESSAGE = re.compile(r'"errorMessage":\s*("(?:[^"\\]|\\.)*")')
# What Lambda puts before its message: `RequestId: 0f… Error: `, or (Lambda.Unknown) a time and the request's id.
_REQUEST = re.compile(r"RequestId: \S+ Error: |\d{4}-\d\d-\d\dT\S+ [0-9a-f-]{36} ")


class FailedBatch(msgspec.Struct, frozen=True):
    """What the Catch of PredictBatch hands on. `failure` is Step Functions' `{"Error", "Cause"}`."""

    job_id: str
    entry: Entry
    failure: dict[str, str]


def handle_failure(
    event: Mapping[str, Any],
    storage: Storage,
    *,
    results_bucket: str,
    timeout_s: float,
    request_id: str,
    committed: Callable[[Commit], None] = unheard,
    meter: Meter | None = None,
) -> dict[str, Any]:
    """Decide an entry whose invocation died; answers like PredictBatch does.

    `timeout_s` is PredictBatch's: what the death is billed to. `committed` is told the commit, if this invocation
    is the one that decides; `meter` measures this invocation for the job's cost. Raises `StoreUnavailable`,
    `ItemsChanged`.
    """
    failed = msgspec.convert(event, FailedBatch)
    entry = failed.entry
    home = home_of(results_bucket, failed.job_id)
    commit = read_commit(storage, home, entry.entry)
    if commit is None:
        job = read_job(storage, home)
        invocation = Invocation(request_id=request_id, duration_ms=timeout_s * 1000)
        made = _commit_of(failed, job, storage, home, invocation)
        if meter is not None:
            invocation = msgspec.structs.replace(invocation, others_gb_s=meter.gb_s())
            made = msgspec.structs.replace(made, invocation=invocation)
        commit = decide(storage, home, made, committed)
    return answer_of(commit)


def _commit_of(failed: FailedBatch, job: Job, storage: Storage, home: str, invocation: Invocation) -> Commit:
    entry, error = failed.entry, failed.failure.get("Error", "Lambda.Unknown")
    started_at = moment_text(datetime.now(UTC))
    data = storage.read(job.items.uri, *bytes_to_read(entry), job.items.pin())
    if entry.count > 1:
        return Commit(
            entry=entry.entry,
            attempt=entry.attempt,
            invocation=invocation,
            rest=cut(data, job.items.kind, entry, limits.CUT_INTO),
            died=error,
            items_sha256=sha256_of_bytes(data),
            started_at=started_at,
            code=code_digest(),
        )
    records = list(
        split_records(data, job.items.kind, start=entry.start, first_line=entry.first_line, end=entry.end)
    )
    if len(records) != 1:
        raise ItemsChanged(f"entry {entry.entry} was planned with 1 item and its bytes hold {len(records)}")
    (record,) = records
    failure = Failure(
        error=error,
        message=_message(error, failed.failure.get("Cause", "")),
        stage="invocation",
        attempts=entry.attempt,
        line=record.line,
    )
    line = dead_letter_of_record(record, entry.first, job.items, job.model.kinds, failure)
    key = f"failures/{entry.entry}-{invocation.request_id}.jsonl"
    storage.write(home + key, line)
    return Commit(
        entry=entry.entry,
        attempt=entry.attempt,
        invocation=invocation,
        dead_lettered=1,
        failures=Part(
            key=key, first=entry.first, count=1, size_bytes=len(line), sha256=sha256_of_bytes(line)
        ),
        failures_by_error={error: 1},
        died=error,
        items_sha256=sha256_of_bytes(data),
        started_at=started_at,
        code=code_digest(),
    )


def _message(error: str, cause: str) -> str:
    """One line of why: the message that Lambda put into the cause, without the request's id.

    The cause is JSON with an `errorMessage`. Of Lambda.Unknown it is a sentence that ends in such JSON.
    """
    found = _PAYLOAD_MESSAGE.search(cause)
    try:
        text = msgspec.json.decode(found[1], type=str) if found else cause
    except msgspec.DecodeError:
        text = cause
    text = _REQUEST.sub("", text, count=1).strip()
    return redacted(text.splitlines()[0], MAX_MESSAGE_CHARACTERS) if text else error
