"""`fanwise run`: a job on this machine, on the deployed definition.

`preparation` makes what the cloud finds in its buckets; here an execution of the state machine is started and
followed, and its results are brought home. Everything that decides lies in the handlers. `going_on` runs what is
there already by the same way.
"""

import asyncio
import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from fanwise.errors import message_of_cause
from fanwise.records import ExecutionRecord, execution_key
from fanwise_cli.advice import can_be_resumed, remedy_of_missing
from fanwise_cli.collecting import PartDamaged
from fanwise_cli.examples import examples_of, lines_of_file
from fanwise_cli.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OF_STATUS
from fanwise_cli.home import JobHome
from fanwise_cli.interruption import interruption
from fanwise_cli.log_file import log_kept
from fanwise_cli.preparation import HowToRun, Prepared, RunOptions, prepare
from fanwise_cli.progress import JobProgress, Ledger, counted
from fanwise_cli.summary import print_summary, say_why_failed
from fanwise_cli.terminal import JobConsole, for_results, print_document
from fanwise_local.cloud import LocalCloud
from fanwise_local.states.executions import Execution

__all__ = ["HowToRun", "RunOptions", "RunResult", "run", "run_prepared", "tell_summary"]

Further = Callable[[], dict[str, str]]  # lines for the summary, label → text, once the results are there


@dataclass(frozen=True)
class RunResult:
    """How the command ends: its exit code, and the summary where the job came to one."""

    exit_code: int
    summary: dict[str, Any] | None = None


def run(options: RunOptions, *, console: JobConsole, further: Further = dict) -> RunResult:
    """Run the job; `console` is where people look (stderr). Raises `InputError` before any work is done."""
    home = JobHome(options.out)
    with home.held():
        prepared, held = prepare(options, home, console)
        mended = prepared.mend(home.work_dir, held.job_id, prepared.start, console)
        summary = home.summary(held)
        if (
            summary is not None
            and not summary["items"]["missing"]
            and mended.is_whole
            and home.are_whole(mended.size_bytes, console)
        ):
            if not options.how.quiet:
                console.tell(
                    f"{options.out} holds this job already; nothing was run (--again runs it anew)", "dim"
                )
            return tell_summary(options.how, summary, options.out, further=further)
        home.hold(held, prepared.jobs_folder)
        same = "The same command, without --again," if options.again else "The same command"
        return run_prepared(options.how, home, prepared, console, goes_on=lambda: same, further=further)


def run_prepared(
    how: HowToRun,
    home: JobHome,
    prepared: Prepared,
    console: JobConsole,
    *,
    goes_on: Callable[[], str],
    further: Further = dict,
) -> RunResult:
    """Run what is prepared, to its end or until it is interrupted; `goes_on` says what then takes it up."""
    if not how.quiet:
        for note in prepared.notes:
            console.tell(note, "dim")
    progress = JobProgress(
        console, quiet=how.quiet, ledger=Ledger(prepared.results_bucket(), "s3://results/")
    )
    try:
        with progress, log_kept(home.work_dir / "logs"):
            execution = asyncio.run(_execute(how, home, prepared, progress))
        if execution.status != "ABORTED":
            return _finish(how, home, prepared, execution, console, further)
    except KeyboardInterrupt:  # while the results were brought home, or before the loop was there
        pass
    if not how.quiet:
        done = f"{progress.done:,} of {counted(progress.total, 'item')}" if progress.total else "nothing yet"
        console.tell(f"Interrupted. Done: {done}. {goes_on()} goes on from there.", "yellow", wrap=True)
    return RunResult(EXIT_INTERRUPTED)


async def _execute(how: HowToRun, home: JobHome, prepared: Prepared, progress: JobProgress) -> Execution:
    """One execution, to its end or until it is interrupted: then it is ABORTED, and its processes are gone."""
    with interruption() as interrupted:
        async with LocalCloud(
            prepared.stack,
            work_dir=home.work_dir,
            mounts=prepared.mounts,
            environments=how.environments,
            observer=progress,
            faults=prepared.faults,
        ) as cloud:
            execution = cloud.start_execution(prepared.start)
            ends = asyncio.create_task(cloud.settled(execution))
            stops = asyncio.create_task(interrupted.wait())
            await asyncio.wait([ends, stops], return_when=asyncio.FIRST_COMPLETED)
            stops.cancel()
            await cloud.go_down("interrupted")  # nothing, where all has ended
            return await ends


def _finish(
    how: HowToRun,
    home: JobHome,
    prepared: Prepared,
    execution: Execution,
    console: JobConsole,
    further: Further,
) -> RunResult:
    """Bring the results home, or say in one line why there are none."""
    folder = _job_folder(prepared, execution)
    if folder is None or _execution_of(folder / "summary.json") != execution.arn:
        return _tell_not_run(how, home, folder, execution, console)
    try:
        summary = home.collect(folder, prepared.results)
    except PartDamaged:
        if prepared.is_mended:
            raise  # again: this disk does not keep what is written
        prepared.mend(home.work_dir, folder.name, None, console)
        again = replace(prepared, start={"resume": folder.name}, notes=(), is_mended=True)
        resumes = shlex.quote(str(home.out))
        return run_prepared(
            how, home, again, console, goes_on=lambda: f"fanwise resume {resumes}", further=further
        )
    return tell_summary(how, summary, prepared.results, further=further, home=home.out)


def _tell_not_run(
    how: HowToRun, home: JobHome, folder: Path | None, execution: Execution, console: JobConsole
) -> RunResult:
    """Say why there is no summary, and offer `resume` where there is a plan and the reason allows it."""
    why = _why(execution)
    if how.as_json:
        job_id = None if folder is None else folder.name
        print_document({"job_id": job_id, "execution": execution.arn, "status": "FAILED", "reason": why})
    console.tell(f"fanwise: the job could not be run: {why}", "red")
    if not how.quiet:
        console.tell(f"Logs: {home.work_dir / 'logs'}", "dim")
        is_planned = folder is not None and (folder / "job.json").exists()
        if is_planned and can_be_resumed(remedy_of_missing(why)):
            console.tell(f"fanwise resume {shlex.quote(str(home.out))} goes on with it", "dim")
    return RunResult(EXIT_FAILED)


def _job_folder(prepared: Prepared, execution: Execution) -> Path | None:
    """Where the results bucket has the job of an execution; None where it claimed none."""
    try:
        record = prepared.results_bucket().read(f"s3://results/{execution_key(execution.arn)}")
    except FileNotFoundError:
        return None
    return prepared.jobs_folder / msgspec.json.decode(record, type=ExecutionRecord).job_id


def _execution_of(summary: Path) -> str | None:
    """The execution that a summary tells of."""
    try:
        found: str | None = json.loads(summary.read_bytes()).get("execution")
    except FileNotFoundError:
        return None
    return found


def _why(execution: Execution) -> str:
    message = message_of_cause(execution.cause or "")
    return " ".join(f"{execution.error}: {message}".split()) if message else str(execution.error)


def tell_summary(
    how: HowToRun,
    summary: dict[str, Any],
    results: Path,
    *,
    further: Further = dict,
    home: Path | None = None,
) -> RunResult:
    """Print a summary as it was asked for; answers with the exit code that is its status'."""
    if how.as_json:
        print_document(summary)
    elif not how.quiet:
        print_summary(for_results(), summary, results, extra=further(), home=home)
    if how.as_json or how.quiet:
        say_why_failed(summary, examples_of(lines_of_file(results / "failures.jsonl"), summary))
    return RunResult(EXIT_OF_STATUS[summary["status"]], summary)
