"""An execution that died, timed out or was stopped: what this one, started by that event, has to account for.

Whoever ended an execution from outside also ended the states that would have told of it. A rule of the template
starts an execution with Step Functions' own event, and that one accounts for the job and announces what came of
it, by the same states as any (docs/adr/0008-closing-executions.md).
"""

from datetime import UTC, datetime
from typing import Any

import msgspec

import fanwise
from fanwise.errors import message_of_cause
from fanwise.planning.claim import planned, read_claim
from fanwise.planning.resume import last_round
from fanwise.planning.start import Ended
from fanwise.records import ExecutionRecord, Round, execution_key, home_of, job_prefix, moment_text
from fanwise.redaction import redacted
from fanwise.replays import read_summary
from fanwise.storage import Storage

_ENDINGS = {
    "FAILED": "ExecutionFailed",
    "TIMED_OUT": "ExecutionTimedOut",
    "ABORTED": "ExecutionAborted",
}
_MAX_REASON_CHARACTERS = 500


def close_execution(ended: Ended, storage: Storage, bucket: str) -> dict[str, Any]:
    """Answer with the Round that accounts for it; or a duplicate, where all has been told or another has the job.

    An execution that came to no plan is told of by itself: the answer has its `summary`.
    """
    job_id = _job_of(ended, storage, bucket)
    if job_id is None:
        return _untold(ended, None)
    home = home_of(bucket, job_id)
    holder = read_claim(storage, home)
    if holder is not None and holder.execution != ended.execution_arn:
        return {"duplicate": True, "job_id": job_id}
    summary = read_summary(storage, home)
    if (
        ended.status == "FAILED"
        and summary is not None
        and (summary.get("execution"), summary["status"]) == (ended.execution_arn, "FAILED")
    ):
        return {"duplicate": True, "job_id": job_id}
    job = planned(storage, home)
    if job is None:
        storage.delete(home + "claim.json")  # so that the next start of this job is no duplicate
        return _untold(ended, job_id)
    closing = Round(
        job_id=job_id,
        duplicate=False,
        round=last_round(storage, home) + 1,
        entries=0,
        work_key=job_prefix(job_id),
        runtime=job.model.runtime,
        max_concurrency=job.max_concurrency,
        wait_s=0,
        decided=0,
        stalled=0,
        started_at=_started_at(ended),
        execution=ended.execution_arn,
        stop={"Error": _ENDINGS.get(ended.status, ended.status), "Cause": _why(ended)},
        closes=True,
    )
    answer: dict[str, Any] = msgspec.to_builtins(closing)
    return answer


def _job_of(ended: Ended, storage: Storage, bucket: str) -> str | None:
    try:
        text = storage.read(f"s3://{bucket}/{execution_key(ended.execution_arn)}")
    except FileNotFoundError:
        return None
    return msgspec.json.decode(text, type=ExecutionRecord).job_id


def _untold(ended: Ended, job_id: str | None) -> dict[str, Any]:
    """What to announce of an execution that planned nothing: there is no job that could be accounted for."""
    summary = {
        "fanwise": fanwise.__version__,
        "job_id": job_id,
        "execution": ended.execution_arn,
        "name": None,
        "status": "FAILED",
        "reason": _why(ended),
        "model": None,
        "items_uri": None,
        "items": {"total": 0, "predicted": 0, "dead_lettered": 0, "missing": 0, "duplicated": 0},
        "started_at": _started_at(ended),
        "ended_at": moment_text(datetime.now(UTC)),
    }
    return {"duplicate": False, "job_id": job_id, "entries": 0, "closes": True, "summary": summary}


def _started_at(ended: Ended) -> str:
    return moment_text(datetime.fromtimestamp(ended.start_date / 1000, UTC))


def _why(ended: Ended) -> str:
    """One line of why, from what the event says; a Lambda error's cause is JSON with the message in it."""
    cause = message_of_cause(ended.cause or "")
    told = ": ".join(part for part in (ended.error, " ".join(cause.split())) if part)
    how = {"ABORTED": "the execution was stopped", "TIMED_OUT": "the execution ran out of time"}
    parts = [how.get(ended.status), told]
    why = ": ".join(part for part in parts if part) or "the execution failed, and no error was reported"
    return redacted(why, _MAX_REASON_CHARACTERS)
