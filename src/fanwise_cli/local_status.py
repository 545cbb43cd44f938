"""`fanwise status OUT`: where a job of this machine stands, and what to do next."""

import shlex
from typing import Any

from rich.text import Text

from fanwise.commits import read_job, walk
from fanwise_cli.local_jobs import LocalJob
from fanwise_cli.progress import counted
from fanwise_cli.summary import print_lines, print_summary
from fanwise_cli.terminal import JobConsole

INTERRUPTED = "INTERRUPTED"  # nobody is at work on it, and it has not ended


def print_local_status(console: JobConsole, job: LocalJob) -> None:
    """Print where it stands."""
    found = local_status(job)
    if found["summary"] is not None:
        when = {"ended": found["ended_at"]}
        print_summary(console, found["summary"], job.results, extra=when, home=job.home.out)
        return
    style = "cyan" if found["status"] == "RUNNING" else "yellow"
    console.tell(Text.assemble((found["status"], f"bold {style}"), f"  {job.job_id}"))
    lines = {"started": found["started_at"] or ""}
    if found["total"] is not None:
        lines["items"] = f"{found['decided']:,} of {counted(found['total'], 'item')} decided"
    if found["status"] == INTERRUPTED:
        lines["next"] = f"fanwise resume {shlex.quote(job.name)} goes on with it"
    print_lines(console, {label: text for label, text in lines.items() if text})


def local_status(job: LocalJob) -> dict[str, Any]:
    """What `--json` prints: the keys of a job on a stack."""
    claim, is_at_work = job.claim(), job.is_at_work()
    summary = None if is_at_work else job.summary()
    found: dict[str, Any] = {
        "job_id": job.job_id,
        "execution": None if claim is None else claim.execution,
        "status": "RUNNING" if is_at_work else INTERRUPTED,
        "reason": None,
        "started_at": None if claim is None else claim.started_at,
        "ended_at": None,
        "state": None,
        "round": None,
        "decided": None,
        "total": None,
        "entries": None,
        "summary": summary,
    }
    if summary is not None:
        same = ("status", "reason", "started_at", "ended_at")
        return found | {key: summary[key] for key in same}
    return found | _decided(job)


def _decided(job: LocalJob) -> dict[str, int]:
    try:
        total = read_job(job.storage, job.job_home).total
        commits = walk(job.storage, job.job_home).commits
    except FileNotFoundError:  # it has no plan yet
        return {}
    return {"decided": sum(commit.predicted + commit.dead_lettered for commit in commits), "total": total}
