"""The jobs of a stack: which job and execution a person means, and how an execution is started.

Two records in the results bucket link the two: `jobs/JOB_ID/claim.json` has the execution of a job,
`executions/NAME.json` the job of an execution.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from fanwise.errors import JobError, LocationError
from fanwise.planning.claim import read_claim
from fanwise.records import ExecutionRecord, execution_key, home_of
from fanwise.replays import read_summary
from fanwise_cli.stack.connection import DeployedStack

MAX_NAME_CHARACTERS = 80  # of an execution (StartExecution)


@dataclass(frozen=True)
class StackJob:
    """What a person means by JOB. `job_id` is None of an execution that has planned nothing yet."""

    execution: str  # ARN
    job_id: str | None = None

    @property
    def name(self) -> str:
        """What to call it."""
        return self.job_id or self.execution.rpartition(":")[2]


def find_job(stack: DeployedStack, given: str) -> StackJob:
    """The job that a job's id, or an execution's ARN or name, stands for. Raises `JobError`."""
    is_arn = given.startswith("arn:")
    execution = given if is_arn else stack.execution_arn(given)
    if is_arn and execution.rpartition(":")[0] != stack.execution_arn("").rstrip(":"):
        raise JobError(f"{given}: is no execution of stack {stack.name!r} ({stack.state_machine_arn})")
    try:
        if not is_arn and (claim := read_claim(stack.storage, home_of(stack.results_bucket, given))):
            return StackJob(claim.execution, given)
        job_id = job_of(stack, execution)
    except (LocationError, UnicodeEncodeError) as error:
        raise _unknown(stack, given) from error
    if job_id is not None or _is_there(stack, execution):
        return StackJob(execution, job_id)
    raise _unknown(stack, given)


def find_planned(stack: DeployedStack, given: str) -> tuple[StackJob, str]:
    """`find_job`, of what has a job: with the home of that job. Raises `JobError`."""
    job = find_job(stack, given)
    if job.job_id is None:
        raise JobError(
            f"{given}: has no job yet; fanwise watch {given}{stack.options.again()} says what becomes of it"
        )
    return job, home_of(stack.results_bucket, job.job_id)


def job_of(stack: DeployedStack, execution: str) -> str | None:
    """The id of the job that an execution has; None where it has none."""
    try:
        record = stack.storage.read(f"s3://{stack.results_bucket}/{execution_key(execution)}")
    except FileNotFoundError:
        return None
    return msgspec.json.decode(record, type=ExecutionRecord).job_id


def summary_of(stack: DeployedStack, job_id: str) -> dict[str, Any] | None:
    """The summary of a job that has ended; of one that is gone on with, the last one."""
    return read_summary(stack.storage, home_of(stack.results_bucket, job_id))


def start(stack: DeployedStack, start_input: Mapping[str, Any], name: str) -> StackJob:
    """Start the state machine, once: the same name and input again are the same execution, while it runs.

    A name that an execution had before (they are kept for 90 days) gets a number.
    """
    text = msgspec.json.encode(start_input).decode()
    name = name[: MAX_NAME_CHARACTERS - 17]  # room for the number
    step_functions = stack.step_functions
    try:
        started = step_functions.start_execution(
            stateMachineArn=stack.state_machine_arn, name=name, input=text
        )
    except step_functions.exceptions.ExecutionAlreadyExists:
        started = step_functions.start_execution(
            stateMachineArn=stack.state_machine_arn, name=f"{name}-{time.time_ns():x}", input=text
        )
    return StackJob(started["executionArn"])


def _is_there(stack: DeployedStack, execution: str) -> bool:
    step_functions = stack.step_functions
    try:
        step_functions.describe_execution(executionArn=execution, includedData="METADATA_ONLY")
    except (step_functions.exceptions.ExecutionDoesNotExist, step_functions.exceptions.InvalidArn):
        return False
    return True


def _unknown(stack: DeployedStack, given: str) -> JobError:
    return JobError(
        f"{given!r}: stack {stack.name!r} in {stack.place} has no such job or execution;"
        f" fanwise status{stack.options.again()} lists the recent ones"
    )
