"""What a job that has ended took, from what its handlers measured, in the parts that an estimate has.

A death counts to its timeout. What nobody measures is reckoned: the probe, by the invocations that came after it,
and requests of the other functions. Tries that left no commit are counted as requests alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fanwise.limits import PROBE_ENTRIES, PROBE_ITEMS
from fanwise.pricing import STORAGE_MB, Usage, gb_s, storage_gb_s, transitions_of, usage_of
from fanwise.reckoning.estimate import usage_of_accounting
from fanwise.records import Commit, Invocation, Job


@dataclass(frozen=True)
class Others:
    """PlanJob's and AggregateResults' invocations, of this execution."""

    invocations: int = 0
    gb_s: float = 0.0


def usage_of_job(
    job: Job, commits: Sequence[Commit], *, memory_mb: int, rounds: int, unfinished: int, others: Others
) -> Usage:
    """All that AWS bills of a job, as well as the handlers can tell."""
    storage_mb = STORAGE_MB[job.model.runtime]
    invocations = [commit.invocation for commit in commits]
    died = sum(commit.died is not None for commit in commits)
    usage = usage_of(invocations, memory_mb=memory_mb, storage_mb=storage_mb)
    usage += Usage(invocations=unfinished, children=unfinished)
    usage += Usage(
        invocations=others.invocations + died,
        gb_s=others.gb_s + sum(invocation.others_gb_s for invocation in invocations),
        transitions=transitions_of(rounds),
    )
    usage += usage_of_accounting(len(commits))
    if job.entries > PROBE_ENTRIES:
        probe_ms = _probe_ms(commits)
        usage += Usage(
            invocations=1,
            gb_s=gb_s(probe_ms, memory_mb),
            storage_gb_s=storage_gb_s(probe_ms, storage_mb),
            transitions=1,
        )
    return usage


def parts_of_duration(commits: Sequence[Commit]) -> dict[str, float]:
    """What the invocations measured, in seconds, as an estimate has it: a cold start, and work, shared."""
    invocations = [commit.invocation for commit in commits]
    cold = [invocation for invocation in invocations if invocation.cold]
    work_s = sum(invocation.duration_ms - invocation.load_ms for invocation in invocations) / 1000
    return {
        "cold_starts": round(_mean([start_ms(invocation) for invocation in cold]) / 1000, 3),
        "compute": round(work_s / max(1, len(cold)), 3),
    }


def start_ms(invocation: Invocation) -> float:
    """What a cold invocation took before it had a model."""
    return invocation.init_ms + invocation.load_ms


def _probe_ms(commits: Sequence[Commit]) -> float:
    """A cold start and a few items, each as long as it took in the job."""
    ended = [commit for commit in commits if commit.died is None]
    items = sum(commit.predicted + commit.dead_lettered for commit in ended)
    work_ms = sum(commit.invocation.duration_ms - commit.invocation.load_ms for commit in ended)
    starts = [start_ms(commit.invocation) for commit in ended if commit.invocation.cold]
    return _mean(starts) + PROBE_ITEMS * work_ms / max(1, items)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
