"""summary.json: the verdict, and all that is told of a job that has ended."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import fanwise
from fanwise.aggregation.accounting import Accounted
from fanwise.aggregation.recomputed import difference_in
from fanwise.commits import Walk
from fanwise.pricing import billed_ms, price, prices_of
from fanwise.reckoning.job_usage import Others, parts_of_duration, usage_of_job
from fanwise.records import Job, Round, moment_text


def summary_of(
    before: Round,
    after: Accounted,
    job: Job,
    ledger: Walk,
    *,
    reason: str | None,
    memory_mb: int,
    rounds: int,
    region: str | None,
    others: Others,
    recomputed: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """summary.json, but for its replays (docs/contracts.md)."""
    commits = ledger.commits
    predicted = sum(commit.predicted for commit in commits)
    dead_lettered = sum(commit.dead_lettered for commit in commits)
    failures: Counter[str] = Counter()
    for commit in commits:
        failures.update(commit.failures_by_error)
    missing = job.total - predicted - dead_lettered
    status, why = verdict(job, predicted, dead_lettered, missing, failures)
    if (differs := difference_in(recomputed)) is not None:
        status, why = "FAILED", differs
    invocations = [commit.invocation for commit in commits]
    unfinished = before.unfinished + after.unfinished
    usage = usage_of_job(
        job, commits, memory_mb=memory_mb, rounds=rounds, unfinished=unfinished, others=others
    )
    prices = prices_of(region)
    started, ended = datetime.fromisoformat(before.started_at), datetime.now(UTC)
    duration_s = max((ended - started).total_seconds(), 0.001)
    return {
        "fanwise": fanwise.__version__,
        "job_id": job.job_id,
        "execution": before.execution,
        "parent": job.parent,
        "name": job.name,
        "status": status,
        "reason": reason if reason and status == "FAILED" else why,
        "model": {
            "name": job.model.name,
            "version": job.model.version,
            "digest": job.model.digest,
            "runtime": job.model.runtime,
        },
        "items_uri": job.items_uri,
        "items": {
            "total": job.total,
            "predicted": predicted,
            "dead_lettered": dead_lettered,
            "missing": missing,
            "duplicated": 0,
        },
        "entries": {
            "planned": ledger.planned,
            "cut": sum(len(commit.rest) for commit in commits),
            "died": sum(1 for commit in commits if commit.died),
        },
        "rounds": rounds,
        "invocations": len(commits) + unfinished,
        "cold_starts": sum(invocation.cold for invocation in invocations),
        "started_at": before.started_at,
        "ended_at": moment_text(ended),
        "duration_s": round(duration_s, 3),
        "items_per_s": round((after.decided - before.decided_before) / duration_s, 1),
        "billed_gb_s": round(usage.gb_s, 3),
        "cost_usd": price(usage, prices).described(prices),
        "duration_parts_s": parts_of_duration(commits),
        "estimate": job.estimate,
        "latency_ms": percentiles([billed_ms(invocation) for invocation in invocations]),
        "recomputed": recomputed,
        "failures": dict(sorted(failures.items(), key=lambda pair: (-pair[1], pair[0]))),
    }


def verdict(
    job: Job, predicted: int, dead_lettered: int, missing: int, failures: Counter[str]
) -> tuple[str, str | None]:
    """The status of a job by what became of its items, and why where that is FAILED."""
    if missing:
        return "FAILED", f"{missing} of {job.total} items were not tried to the end; resume takes them up"
    if dead_lettered == 0:
        return "SUCCEEDED", None
    most = ", ".join(f"{error} {n}" for error, n in failures.most_common(3))
    if predicted == 0:
        return "FAILED", f"none of {job.total} items could be predicted ({most})"
    percentage = 100 * dead_lettered / job.total
    if percentage > job.tolerated_failure_percentage:
        return "FAILED", (
            f"{dead_lettered} of {job.total} items ({_above(percentage, job.tolerated_failure_percentage)} %) are"
            f" dead letters ({most}); {job.tolerated_failure_percentage:.15g} % are tolerated"
        )
    return "PARTIALLY_FAILED", None


def _above(percentage: float, tolerated: float) -> str:
    """A percentage in as few digits as still say that it is above the other: 10.004 is not 10."""
    texts = (f"{percentage:.{digits}g}" for digits in range(3, 18))
    return next((text for text in texts if float(text) > tolerated), repr(percentage))


def percentiles(values: Sequence[int]) -> dict[str, int]:
    """p50, p95 and p99 of the invocations' billed milliseconds, by nearest rank."""
    ranked = sorted(values) or [0]
    return {f"p{p}": ranked[max(-(-len(ranked) * p // 100) - 1, 0)] for p in (50, 95, 99)}
