"""`fanwise status`: the stack's recent executions as a table, or where one job stands now."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from rich.text import Text

from fanwise.records import moment_text
from fanwise_cli.progress import WIDE_COLUMNS, Ledger, counted
from fanwise_cli.stack.connection import DeployedStack
from fanwise_cli.stack.executions import Ending, describe, map_counts, moment
from fanwise_cli.stack.jobs import StackJob, job_of, summary_of
from fanwise_cli.stack.watch import next_lines
from fanwise_cli.summary import lasted, print_lines, print_verdict, told_lines
from fanwise_cli.terminal import JobConsole

READERS = 16
_STYLES = {
    "SUCCEEDED": "green",
    "PARTIALLY_FAILED": "yellow",
    "RUNNING": "cyan",
    "FAILED": "red",
    "TIMED_OUT": "red",
    "ABORTED": "red",
}


@dataclass(frozen=True)
class Recent:
    """One execution of the table. `status` is the job's where the execution came to one, else Step Functions'."""

    execution: str
    job_id: str | None
    status: str
    started: datetime
    stopped: datetime | None
    items: dict[str, int] | None = None

    def described(self) -> dict[str, Any]:
        """What `--json` prints of it."""
        return {
            "job_id": self.job_id,
            "execution": self.execution,
            "status": self.status,
            "started_at": moment_text(self.started),
            "ended_at": None if self.stopped is None else moment_text(self.stopped),
            "items": self.items,
        }


def recent(stack: DeployedStack, limit: int) -> list[Recent]:
    """The last executions of the stack, newest first, without those that only accounted for another."""
    pages = stack.step_functions.get_paginator("list_executions").paginate(
        stateMachineArn=stack.state_machine_arn, PaginationConfig={"PageSize": limit}
    )
    found: list[Recent] = []
    with ThreadPoolExecutor(READERS) as readers:
        for page in pages:
            rows = readers.map(lambda told: _recent(stack, told), page["executions"])
            # What ended well and has no job has accounted for an execution that died.
            found += [row for row in rows if row.job_id is not None or row.status != "SUCCEEDED"]
            if len(found) >= limit:
                break
    return found[:limit]


def _recent(stack: DeployedStack, told: dict[str, Any]) -> Recent:
    execution, status = told["executionArn"], told["status"]
    job_id = job_of(stack, execution)
    summary = None if job_id is None or status == "RUNNING" else summary_of(stack, job_id)
    items = None
    if summary is not None and summary.get("execution") == execution:
        status, items = summary["status"], summary["items"]
    elif status == "SUCCEEDED" and job_id is not None:
        status = "DUPLICATE"  # another execution has the job
    return Recent(execution, job_id, status, told["startDate"], told.get("stopDate"), items)


def print_recent(console: JobConsole, rows: Sequence[Recent], stack: DeployedStack) -> None:
    """Print the table; on a narrow terminal with fewer columns."""
    if not rows:
        console.tell(
            f"stack {stack.name!r} in {stack.place} has run nothing yet; fanwise submit{stack.options.again()}"
            f" ITEMS --model NAME@VERSION starts a job",
            wrap=True,
        )
        return
    now = datetime.now(UTC)
    is_wide = console.width >= WIDE_COLUMNS
    table = [_Line("status", "items", "started", "took", "job"), *(_line(row, now) for row in rows)]
    widths = [max(len(line[column]) for line in table) for column in range(4)]
    for number, line in enumerate(table):
        text = Text(style="dim" if number == 0 else "")
        text.append(line.status.ljust(widths[0]), _STYLES.get(line.status, ""))
        text.append(f"  {line.items.rjust(widths[1])}")
        if is_wide:
            text.append(f"  {line.started.ljust(widths[2])}  {line.took.rjust(widths[3])}")
        console.tell(text.append(f"  {line.job}"))  # the last and never cut, so that it can be copied


class _Line(NamedTuple):
    """A line of the table."""

    status: str
    items: str
    started: str
    took: str
    job: str


def _line(row: Recent, now: datetime) -> _Line:
    took = lasted(((row.stopped or now) - row.started).total_seconds())
    name = row.job_id or row.execution.rpartition(":")[2]
    return _Line(row.status, _items(row.items), f"{row.started.astimezone():%Y-%m-%d %H:%M}", took, name)


def _items(items: dict[str, int] | None) -> str:
    if items is None:
        return ""
    return f"{items['predicted']:,}/{items['total']:,}"


def print_status(console: JobConsole, job: StackJob, stack: DeployedStack) -> None:
    """Print where one job stands."""
    found = status_of(job, stack)
    if found["summary"] is not None:
        summary = found["summary"]
        print_verdict(console, summary, {**told_lines(summary), **next_lines(summary, stack)})
        return
    console.tell(
        Text.assemble((found["status"], f"bold {_STYLES.get(found['status'], '')}"), f"  {job.name}")
    )
    lines = {"state": found["state"] or "", "items": "", "entries": ""}
    if found["total"] is not None:
        decided = found["decided"] or 0
        lines["items"] = f"{decided:,} of {counted(found['total'], 'item')} decided in the rounds before"
    if counts := found["entries"]:
        lines["entries"] = f"{counts['ended']:,} of {counts['total']:,} of this round"
        lines["entries"] += f", {counts['failed']:,} to be tried again" if counts["failed"] else ""
    lines |= {"reason": found["reason"] or "", "execution": job.execution}
    lines["console"] = stack.console_url(job.execution) or ""
    if found["status"] == "RUNNING":
        lines["next"] = f"fanwise watch {job.name}{stack.options.again()}"
    print_lines(console, {label: text for label, text in lines.items() if text})


def status_of(job: StackJob, stack: DeployedStack) -> dict[str, Any]:
    """What `--json` prints of one job: where its execution stands, and the summary it came to."""
    ending = describe(stack, job.execution)
    found: dict[str, Any] = {
        "job_id": job.job_id,
        "execution": job.execution,
        "status": ending.status,
        "reason": ending.why or None,
        "started_at": moment_text(ending.started),
        "ended_at": None if ending.stopped is None else moment_text(ending.stopped),
        "state": None,
        "round": None,
        "decided": None,
        "total": None,
        "entries": None,
        "summary": None,
    }
    if ending.is_running:
        return found | _at_work(job, stack)
    return found | _ended(job, ending, stack)


def _at_work(job: StackJob, stack: DeployedStack) -> dict[str, Any]:
    now = moment(stack, job.execution)
    round_ = now.state_input if now is not None and isinstance(now.state_input, dict) else {}
    job_id = job.job_id or round_.get("job_id")  # it may have been claimed since the job was looked for
    ledger = Ledger(stack.storage, f"s3://{stack.results_bucket}/")
    total = ledger.total(job_id) if job_id is not None and ledger.has_plan(job_id) else None
    found: dict[str, Any] = {"job_id": job_id, "total": total}
    if now is None:
        return found
    found["state"] = now.state
    if "round" in round_:
        found |= {key: round_[key] for key in ("round", "decided")}
    if now.state == "PredictItems" and now.map_run is not None:
        counts = map_counts(stack, now.map_run)
        found["entries"] = {"ended": counts.ended, "failed": counts.failed, "total": counts.total}
    return found


def _ended(job: StackJob, ending: Ending, stack: DeployedStack) -> dict[str, Any]:
    summary = None if job.job_id is None else summary_of(stack, job.job_id)
    if summary is None or summary.get("execution") != job.execution:
        return {}
    return {"status": summary["status"], "reason": summary["reason"], "summary": summary}
