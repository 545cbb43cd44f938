"""What a job costs at list price: our reckoning, not AWS's bill.

Prices are those of us-east-1, x86_64, read in August 2026 from the pricing pages of Lambda, Step Functions and
S3 (first tiers, no free tier).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from fanwise.records import Invocation

PRICES = "us-east-1 x86_64 2026-08"
LAMBDA_USD_PER_GB_S = 0.0000166667
LAMBDA_USD_PER_REQUEST = 0.20 / 1e6
STANDARD_USD_PER_TRANSITION = 25 / 1e6
EXPRESS_USD_PER_REQUEST = 1 / 1e6
EXPRESS_USD_PER_GB_S = 0.00001667
EXPRESS_GB = 64 / 1024  # a child as small as ours is billed the least: 64 MB
EXPRESS_STEP_MS = 100  # duration is rounded up to it
S3_USD_PER_PUT = 0.005 / 1e3
S3_USD_PER_GET = 0.0004 / 1e3

# Start, Started, PlanJob, Planned, AnyWork (the last), JudgeJob, Announce, JobEnded, JobSucceeded, end.
TRANSITIONS_OF_A_JOB = 10
TRANSITIONS_OF_A_ROUND = 3  # AnyWork, PredictItems, AggregateResults


@dataclass(frozen=True)
class Cost:
    """Dollars of a job, by service."""

    billed_gb_s: float
    lambda_usd: float
    step_functions_usd: float
    s3_usd: float

    @property
    def total_usd(self) -> float:
        """All services together."""
        return self.lambda_usd + self.step_functions_usd + self.s3_usd


def billed_ms(invocation: Invocation) -> int:
    """What Lambda bills of an invocation: whole milliseconds, its cold start included (since 2025-08-01)."""
    return math.ceil(invocation.duration_ms + (invocation.init_ms if invocation.cold else 0.0))


def cost_of(invocations: Iterable[Invocation], *, memory_mb: int, rounds: int) -> Cost:
    """The cost of PredictBatch's invocations at their memory size, with their children and requests."""
    count, gb_s, child_gb_s, gets, puts = 0, 0.0, 0.0, 0, 0
    for invocation in invocations:
        duration_ms = billed_ms(invocation)
        count += 1
        gb_s += duration_ms / 1000 * memory_mb / 1024
        child_gb_s += -(-duration_ms // EXPRESS_STEP_MS) * EXPRESS_STEP_MS / 1000 * EXPRESS_GB
        gets += invocation.gets
        puts += invocation.puts
    transitions = TRANSITIONS_OF_A_JOB + rounds * TRANSITIONS_OF_A_ROUND
    return Cost(
        billed_gb_s=gb_s,
        lambda_usd=gb_s * LAMBDA_USD_PER_GB_S + count * LAMBDA_USD_PER_REQUEST,
        step_functions_usd=transitions * STANDARD_USD_PER_TRANSITION
        + count * EXPRESS_USD_PER_REQUEST
        + child_gb_s * EXPRESS_USD_PER_GB_S,
        s3_usd=gets * S3_USD_PER_GET + puts * S3_USD_PER_PUT,
    )
