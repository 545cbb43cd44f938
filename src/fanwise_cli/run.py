"""`fanwise run`: a job on this machine, on the deployed definition.

`preparation` makes what the cloud finds in its buckets; here an execution of the state machine is started and
followed, and its results are brought home. Everything that decides lies in the handlers.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fanwise.records import job_prefix
from fanwise.storage import FolderBackend, Storage
from fanwise_cli.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OF_STATUS
from fanwise_cli.home import JobHome
from fanwise_cli.interruption import interruption
from fanwise_cli.preparation import Prepared, RunOptions, prepare
from fanwise_cli.progress import JobProgress, Ledger, counted
from fanwise_cli.summary import print_summary
from fanwise_cli.terminal import JobConsole, for_results, print_document
from fanwise_local.cloud import LocalCloud
from fanwise_local.states.executions import Execution

__all__ = ["RunOptions", "RunResult", "run"]


@dataclass(frozen=True)
class RunResult:
    """How the command ends: its exit code, and the summary where the job came to one."""

    exit_code: int
    summary: dict[str, Any] | None = None


def run(
    options: RunOptions, *, console: JobConsole, further: Callable[[], dict[str, str]] = dict
) -> RunResult:
    """Run the job; `console` is where people look (stderr). Raises `InputError` before any work is done.

    `further` adds lines to the summary, label → text, once the results are there.
    """
    home = JobHome(options.out)
    with home.held():
        prepared = prepare(options, home, console)
        summary = home.summary(prepared.held)
        if summary is not None and not summary["items"]["missing"]:
            if not options.quiet:
                console.tell(
                    f"{options.out} holds this job already; nothing was run (--again runs it anew)", "dim"
                )
            return _ended(options, summary, further)
        home.hold(prepared.held, prepared.jobs_folder)
        if not options.quiet:
            for note in prepared.notes:
                console.tell(note, "dim")
        progress = JobProgress(console, quiet=options.quiet, ledger=_ledger(prepared))
        try:
            with progress, _log_kept(home.work_dir / "logs"):
                execution = asyncio.run(_execute(options, home, prepared, progress))
            if execution.status != "ABORTED":
                return _finish(options, home, prepared, execution, console, further)
        except KeyboardInterrupt:  # while the results were brought home, or before the loop was there
            pass
        if not options.quiet:
            _say_interrupted(console, progress, again=options.again)
        return RunResult(EXIT_INTERRUPTED)


def _ledger(prepared: Prepared) -> Ledger:
    bucket = prepared.mounts.folder_of(prepared.stack.buckets["ResultsBucket"])
    storage = Storage({"results": FolderBackend(bucket, writable=False)}, s3=False)
    return Ledger(storage, f"s3://results/{job_prefix(prepared.held.job_id)}")


async def _execute(
    options: RunOptions, home: JobHome, prepared: Prepared, progress: JobProgress
) -> Execution:
    """One execution, to its end or until it is interrupted: then it is ABORTED, and its processes are gone."""
    with interruption() as interrupted:
        async with LocalCloud(
            prepared.stack,
            work_dir=home.work_dir,
            mounts=prepared.mounts,
            environments=options.environments,
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
    options: RunOptions,
    home: JobHome,
    prepared: Prepared,
    execution: Execution,
    console: JobConsole,
    further: Callable[[], dict[str, str]],
) -> RunResult:
    """Bring the results home, or say in one line why there are none."""
    if not (prepared.job_folder / "summary.json").exists() or execution.error not in (None, "JobFailed"):
        console.tell(f"fanwise: the job could not be run: {_why(execution)}", "red")
        if not options.quiet:
            console.tell(f"Logs: {home.work_dir / 'logs'}", "dim")
        return RunResult(EXIT_FAILED)
    return _ended(options, home.collect(prepared.job_folder), further)


def _why(execution: Execution) -> str:
    try:
        message = json.loads(execution.cause or "")["errorMessage"]
    except (ValueError, KeyError, TypeError):
        message = execution.cause
    return " ".join(f"{execution.error}: {message}".split()) if message else str(execution.error)


def _ended(options: RunOptions, summary: dict[str, Any], further: Callable[[], dict[str, str]]) -> RunResult:
    if options.as_json:
        print_document(summary)
    elif not options.quiet:
        print_summary(for_results(), summary, options.out, extra=further())
    return RunResult(EXIT_OF_STATUS[summary["status"]], summary)


def _say_interrupted(console: JobConsole, progress: JobProgress, *, again: bool) -> None:
    done = f"{progress.done:,} of {counted(progress.total, 'item')}" if progress.total else "nothing yet"
    same = "The same command, without --again," if again else "The same command"
    console.tell(f"Interrupted. Done: {done}. {same} goes on from there.", "yellow", wrap=True)


class _LogFile(logging.FileHandler):
    """A log that cannot be written, on a full disk, is not worth a traceback."""

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):  # of opening it
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        pass


@contextmanager
def _log_kept(folder: Path) -> Iterator[None]:
    """Write what libraries and the local cloud log into a file, beside the functions' own, not to the terminal."""
    handler = _LogFile(folder / "fanwise.log", delay=True, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    folder.mkdir(parents=True, exist_ok=True)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()
