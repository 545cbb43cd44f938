"""Time and price of a job, in parts, by closed forms: no jitter, no heavy tail, no throttling, nothing that dies.

What environments and S3's pace come to is `queueing`'s; `fanwise simulate` is for what chance adds.
"""

import math
from dataclasses import dataclass
from typing import Any

import msgspec

from fanwise.limits import MAX_BATCH_SIZE, PROBE_ENTRIES, PROBE_ITEMS
from fanwise.model.profile import RuntimeProfile
from fanwise.pricing import STORAGE_MB, Prices, Usage, child_gb_s, gb_s, price, storage_gb_s, transitions_of
from fanwise.reckoning.batching import FunctionSize, reads_of, work_ms
from fanwise.reckoning.queueing import RAMP_S, S3_GETS_PER_S, Queue
from fanwise.records import Job, Runtime
from fanwise.storage import STREAM_CHUNK_BYTES

# PlanJob and AggregateResults, of which nobody has measured more than that on a laptop: a cold start and some
# requests, then by what they read.
OTHERS_MEMORY_MB = 1769
OTHERS_START_S = 1.0
PLAN_BYTES_PER_S = 100e6
# Measured on one core of a laptop (benchmarks/growth.py): 0.00005 s to read a commit's row and count it. The rest
# is assumed: 0.1 s for each LIST of a thousand parts, one after the other.
ACCOUNT_S_A_COMMIT = 0.00015

# Requests to S3, as the stages make them: the commit that may be there, and the items; the plan and the model's
# files for a new environment; predictions and commit.
GETS_OF_AN_INVOCATION, GETS_OF_A_START, PUTS_OF_AN_INVOCATION = 2, 6, 2
GETS_OF_A_JOB, PUTS_OF_A_JOB = 14, 13
PROMISED_EXECUTIONS = 20_000  # for a dollar
LISTED_AT_ONCE = 1000  # objects a LIST tells of: predictions; failures, replays and the Map's files are few
ROW_BYTES = 950  # of a commit in the Map's files, which are read instead of the commits


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """A job to be reckoned: what is to be done. `reads` are the objects that an item points at."""

    items: int
    batch_size: int
    max_concurrency: int
    size_bytes: int = 0
    reads: int = 0

    @property
    def entries(self) -> int:
        """The batches that the items make."""
        return math.ceil(self.items / self.batch_size)

    @property
    def reading_s(self) -> float:
        """How long S3 takes, if it gives nothing else, for what the items of an entry point at."""
        return min(self.batch_size, self.items) * self.reads / S3_GETS_PER_S


class Duration(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of a job, by what they go into; the parts are the total.

    `start` is PlanJob and the probe, whose environment stays. `compute` is all work, shared among the environments
    as if all were there from the beginning; `s3_wait` what it takes longer because S3 gives only so many objects a
    second, `ramp_up` because the environments are not there; `tail` what is waited for the last.
    """

    total: float
    start: float
    ramp_up: float
    cold_starts: float
    compute: float
    s3_wait: float
    tail: float
    account: float


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """What `fanwise estimate` prints and a plan keeps; docs/contracts.md says it field by field."""

    items: int
    batch_size: int
    batches: int
    invocations: int
    environments: int
    runtime: Runtime
    memory_mb: int
    max_concurrency: int
    duration_s: Duration
    billed_gb_s: float
    cost_usd: dict[str, Any]
    executions_per_usd: dict[str, int]
    measured_on: str
    stands_in: bool


def estimate(
    work: Work,
    profile: RuntimeProfile,
    *,
    runtime: Runtime,
    size: FunctionSize,
    prices: Prices,
) -> Estimate:
    """Reckon a job, of no items too."""
    entries, memory_mb = work.entries, size.memory_mb
    start_ms = profile.start_ms(memory_mb)
    full_ms = work_ms(profile, work.batch_size, memory_mb, reads=work.reads)
    last_ms = work_ms(profile, work.items - (entries - 1) * work.batch_size, memory_mb, reads=work.reads)
    is_probed = entries > PROBE_ENTRIES
    queue = Queue(
        entries,
        work.max_concurrency,
        start_s=start_ms / 1000,
        work_s=(full_ms if entries > 1 else last_ms) / 1000,
        warm=int(is_probed),
        reading_s=work.reading_s,
    )
    environments = queue.environments
    probe_ms = start_ms + work_ms(profile, PROBE_ITEMS, memory_mb, reads=work.reads) if is_probed else 0.0
    plan_s = OTHERS_START_S + work.size_bytes / PLAN_BYTES_PER_S
    account_s = OTHERS_START_S + entries * ACCOUNT_S_A_COMMIT
    duration = _duration(queue, before_s=plan_s + probe_ms / 1000, account_s=account_s)
    in_batches = Usage()
    if entries:
        waiting_ms = queue.waiting_s / entries * 1000
        in_batches = (
            _of_invocations(entries - 1, full_ms + waiting_ms, memory_mb, runtime)
            + _of_invocations(1, last_ms + waiting_ms, memory_mb, runtime)
            + _of_starts(environments - is_probed, start_ms, full_ms + waiting_ms, memory_mb, runtime)
            + Usage(
                gets=entries * GETS_OF_AN_INVOCATION
                + work.items * work.reads
                + environments * GETS_OF_A_START,
                puts=entries * PUTS_OF_AN_INVOCATION,
            )
        )
    usage = in_batches + Usage(
        invocations=2 + is_probed,
        gb_s=gb_s((plan_s + account_s) * 1000, OTHERS_MEMORY_MB) + gb_s(probe_ms, memory_mb),
        storage_gb_s=storage_gb_s(probe_ms, STORAGE_MB[runtime]),
        transitions=transitions_of(rounds=1 if entries else 0) + is_probed,
    )
    usage += usage_of_accounting(entries)
    cost = price(usage, prices)
    return Estimate(
        items=work.items,
        batch_size=work.batch_size,
        batches=entries,
        invocations=entries + is_probed,
        environments=environments,
        runtime=runtime,
        memory_mb=memory_mb,
        max_concurrency=work.max_concurrency,
        duration_s=duration,
        billed_gb_s=round(usage.gb_s, 3),
        cost_usd=cost.described(prices),
        executions_per_usd={
            "lambda": _a_dollar(entries, price(in_batches, prices).lambda_usd),
            "all": _a_dollar(entries, cost.total_usd),
            "items_at_20000": _items_of_promised(profile, work.reads, memory_mb, prices),
        },
        measured_on=profile.measured_on.headline,
        stands_in=profile.measured_on.kind != "lambda",
    )


@dataclass(frozen=True)
class Reckoner:
    """What PlanJob leaves in the plan: the estimate of a job that is cut, where its model has a profile."""

    profile: RuntimeProfile | None
    size: FunctionSize
    prices: Prices

    def of(self, job: Job) -> dict[str, Any] | None:
        """The job's estimate, as job.json has it."""
        if self.profile is None:
            return None
        # Entries of large items have fewer than the batch size.
        work = Work(
            items=job.total,
            batch_size=min(job.batch_size, math.ceil(job.total / job.entries))
            if job.entries
            else job.batch_size,
            max_concurrency=job.max_concurrency,
            size_bytes=job.items.size_bytes,
            reads=reads_of(job.model.kinds),
        )
        reckoned = estimate(work, self.profile, runtime=job.model.runtime, size=self.size, prices=self.prices)
        described: dict[str, Any] = msgspec.to_builtins(reckoned)
        return described


def usage_of_accounting(commits: int) -> Usage:
    """The requests to S3 that PlanJob, AggregateResults and the Map make for so many entries."""
    return Usage(
        gets=GETS_OF_A_JOB + math.ceil(commits * ROW_BYTES / STREAM_CHUNK_BYTES),
        puts=PUTS_OF_A_JOB + math.ceil(commits / LISTED_AT_ONCE) + 4,
    )


def _duration(queue: Queue, *, before_s: float, account_s: float) -> Duration:
    ramp_up = cold_starts = compute = s3_wait = 0.0
    if queue.entries:
        environments = queue.environments
        ramp_up = sum(count * wave * RAMP_S for wave, count in enumerate(queue.waves)) / environments
        cold_starts = queue.start_s * (environments - queue.warm) / environments
        compute = queue.entries * queue.work_s / environments
        s3_wait = queue.waiting_s / environments
    parts = {
        "start": before_s,
        "ramp_up": ramp_up,
        "cold_starts": cold_starts,
        "compute": compute,
        "s3_wait": s3_wait,
        "tail": max(0.0, queue.end_s - ramp_up - cold_starts - compute - s3_wait),
        "account": account_s,
    }
    return Duration(
        total=round(sum(parts.values()), 3), **{name: round(part_s, 3) for name, part_s in parts.items()}
    )


def _of_invocations(count: int, duration_ms: float, memory_mb: int, runtime: Runtime) -> Usage:
    return Usage(
        invocations=count,
        gb_s=count * gb_s(duration_ms, memory_mb),
        storage_gb_s=count * storage_gb_s(duration_ms, STORAGE_MB[runtime]),
        children=count,
        child_gb_s=count * child_gb_s(duration_ms),
    )


def _of_starts(count: int, start_ms: float, before_ms: float, memory_mb: int, runtime: Runtime) -> Usage:
    """What cold starts add to the invocations that they are part of."""
    return Usage(
        gb_s=count * gb_s(start_ms, memory_mb),
        storage_gb_s=count * storage_gb_s(start_ms, STORAGE_MB[runtime]),
        child_gb_s=count * (child_gb_s(start_ms + before_ms) - child_gb_s(before_ms)),
    )


def _items_of_promised(profile: RuntimeProfile, reads: int, memory_mb: int, prices: Prices) -> int:
    """The largest batch of which 20,000 warm executions cost less than a dollar of Lambda."""
    compute_usd = 1 / PROMISED_EXECUTIONS - prices.usd.lambda_usd_per_request
    limit_ms = compute_usd / prices.lambda_usd_per_gb_s * 1024 / memory_mb * 1000

    def fits(items: int) -> bool:
        return math.ceil(work_ms(profile, items, memory_mb, reads=reads)) <= limit_ms

    few, many = 0, MAX_BATCH_SIZE + 1
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (middle, many) if fits(middle) else (few, middle)
    return few


def _a_dollar(executions: int, usd: float) -> int:
    return math.floor(executions / usd) if usd > 0 else 0
