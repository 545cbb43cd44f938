"""`fanwise stop`, and with `--stack` `resume`, `replay` and `verify`: what is done with a job that is there."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fanwise.errors import InputError, JobError
from fanwise.records import home_of
from fanwise.replays import replays_of
from fanwise_cli.exit_codes import EXIT_FAILED, EXIT_OK
from fanwise_cli.progress import Ledger, waiting
from fanwise_cli.recomputing import recompute_here
from fanwise_cli.stack.connection import DeployedStack
from fanwise_cli.stack.executions import describe
from fanwise_cli.stack.jobs import StackJob, find_job, find_planned, start, summary_of
from fanwise_cli.stack.submit import reference_of
from fanwise_cli.stack.watch import on_stack_lines
from fanwise_cli.terminal import JobConsole, for_results, print_document
from fanwise_cli.verification import verify_job
from fanwise_cli.verify import document, print_verification, split_roots

_CAUSE = "stopped with fanwise stop"


def stop(given: str, stack: DeployedStack, console: JobConsole, *, as_json: bool, quiet: bool) -> int:
    """Stop a job's execution; what has a commit stays. Raises `JobError`."""
    job = find_job(stack, given)
    ending = describe(stack, job.execution)
    if ending.is_running:
        stack.step_functions.stop_execution(executionArn=job.execution, cause=_CAUSE)
    if as_json:
        told = {"job_id": job.job_id, "execution": job.execution, "was_running": ending.is_running}
        print_document({**told, "status": "ABORTED" if ending.is_running else ending.status})
    elif not quiet and not ending.is_running:
        console.tell(f"{job.name} has ended already ({ending.status}); there is nothing to stop", "dim")
    elif not quiet:
        again = stack.options.again_on_stack(stack.name)
        ledger = Ledger(stack.storage, f"s3://{stack.results_bucket}/")
        is_planned = job.job_id is not None and ledger.has_plan(job.job_id)
        goes_on = f" fanwise resume {job.job_id}{again} goes on with it." if is_planned else ""
        console.tell(f"Stopped {job.name}. What it has finished stays.{goes_on}", "yellow", wrap=True)
    return EXIT_OK


def resume(given: str, stack: DeployedStack, *, max_concurrency: int | None) -> StackJob:
    """Start what goes on with a job. Raises `JobError` where there is nothing to go on with, or it is at work."""
    job, _ = find_planned(stack, given)
    if describe(stack, job.execution).is_running:
        raise JobError(
            f"{job.name}: is at work; fanwise watch {job.name}{stack.options.again()} shows how far it is"
        )
    summary = summary_of(stack, job.name)
    if summary is not None and summary.get("execution") == job.execution and not summary["items"]["missing"]:
        raise JobError(f"{job.name}: every item was tried to its end; there is nothing to resume")
    return _started(stack, job.name, {"resume": job.name}, "resume", max_concurrency=max_concurrency)


def replay(
    given: str,
    stack: DeployedStack,
    console: JobConsole,
    *,
    model: Path | None,
    batch_size: int | None,
    max_concurrency: int | None,
    quiet: bool,
) -> StackJob:
    """Start a job of the dead letters that a job and its replays left. Raises `JobError`."""
    job, _ = find_planned(stack, given)
    parent = (summary_of(stack, job.name) or {}).get(
        "parent"
    ) or job.name  # what a replay left is a matter of its parent's next one
    last = [parent, *replays_of(stack.storage, home_of(stack.results_bucket, parent))][-1]
    summary = summary_of(stack, last)
    if summary is None:
        raise JobError(f"{last}: has not ended; fanwise watch {last}{stack.options.again()} waits for it")
    if summary["items"]["missing"]:
        first = "; ".join(on_stack_lines(summary, stack).values())
        raise JobError(f"{last}: has items that were not tried to the end, so nothing is replayed; {first}")
    if not summary["items"]["dead_lettered"]:
        raise JobError(f"{last}: no dead letters are left; there is nothing to replay")
    words: dict[str, Any] = {"replay": parent, "batch_size": batch_size}
    if model is not None:
        words["model"] = reference_of(model, stack, console, quiet=quiet)
    return _started(stack, parent, words, "replay", max_concurrency=max_concurrency)


def _started(
    stack: DeployedStack, job_id: str, words: dict[str, Any], what: str, *, max_concurrency: int | None
) -> StackJob:
    said = {key: value for key, value in {**words, "max_concurrency": max_concurrency}.items() if value}
    job = start(stack, said, f"{what}-{job_id[:40].strip('-')}-{time.time_ns():x}")
    return StackJob(job.execution, job_id if what == "resume" else None)


def verify(
    given: str,
    stack: DeployedStack,
    console: JobConsole,
    *,
    roots: Sequence[str] = (),
    recompute: int = 0,
    as_json: bool = False,
) -> int:
    """Verify a job of the stack and say what it comes to; the exit code. Raises `JobError`."""
    folders, root = split_roots(roots)
    if folders:
        raise InputError(
            f"--root {folders[0]}: with --stack it is the root of the job, 64 hexadecimal digits"
        )
    _, home = find_planned(stack, given)
    again = recompute_here(stack.storage, recompute) if recompute else None
    with waiting(console, "reading every line", quiet=False):
        found = verify_job(stack.storage, home, root=root, recompute=again)
    if as_json:
        print_document(document(found))
    else:
        print_verification(for_results(), found)
    return EXIT_OK if found.is_proved else EXIT_FAILED
