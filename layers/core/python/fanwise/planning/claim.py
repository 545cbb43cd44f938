"""What an execution asks of PlanJob, and the claim: one job is one execution's, until a resume takes it over."""

from typing import Any

import msgspec

from fanwise.commits import read_job
from fanwise.records import Claim, ExecutionRecord, Job, execution_key, home_of
from fanwise.storage import Storage


class PlanEvent(msgspec.Struct, frozen=True):
    """What the definition hands to PlanJob; `start` is the execution's input."""

    execution: str
    started_at: str
    start: Any


def claim(storage: Storage, bucket: str, job_id: str, asked: PlanEvent, *, take_over: bool) -> bool:
    """Take the job for this execution, for good; False where another has it and it is not to be taken over.

    First of all it is written down by the execution's name, so that whoever hears of its end finds the job.
    """
    record = msgspec.json.encode(ExecutionRecord(job_id=job_id))
    storage.write(f"s3://{bucket}/{execution_key(asked.execution)}", record)
    mine = Claim(job_id=job_id, execution=asked.execution, started_at=asked.started_at)
    key, body = home_of(bucket, job_id) + "claim.json", msgspec.json.encode(mine)
    winner = msgspec.json.decode(storage.create(key, body), type=Claim)
    if winner.execution != asked.execution:
        if not take_over:
            return False
        storage.write(key, body)
    return True


def read_claim(storage: Storage, home: str) -> Claim | None:
    """Who has a job; None where nobody does."""
    try:
        return msgspec.json.decode(storage.read(home + "claim.json"), type=Claim)
    except FileNotFoundError:
        return None


def planned(storage: Storage, home: str) -> Job | None:
    """The plan of a job; None while it is not whole."""
    try:
        return read_job(storage, home)
    except FileNotFoundError:
        return None
