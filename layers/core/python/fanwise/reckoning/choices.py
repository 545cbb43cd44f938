"""The memory sizes that PredictBatch could have, each with its best batch size, held against each other by price.

More memory is more vCPUs at a higher price a second: it pays as far as the model has use for them. The cheapest is
best; of those that cost about as much, the fastest. None is given more environments than S3 has objects for: they
would wait for it, and be paid for.
"""

import math

import msgspec

from fanwise.model.profile import RuntimeProfile
from fanwise.pricing import Prices
from fanwise.reckoning.batching import BatchSize, FunctionSize, auto_batch_size, work_ms
from fanwise.reckoning.estimate import Work, estimate
from fanwise.reckoning.queueing import S3_GETS_PER_S
from fanwise.records import Runtime

# What the template allows (1,024 to 10,240 MB), at whole vCPUs and what people take between them.
MEMORY_SIZES_MB = (1024, 1769, 2048, 2654, 3538, 5307, 7076, 8845, 10240)
HEADROOM = 1.3  # over the peak that was measured: batches differ, and a death costs more than memory
ABOUT_AS_MUCH = 1.05


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """A memory size with the batch size and the concurrency that fit it, and what the job comes to."""

    memory_mb: int
    batch_size: int
    max_concurrency: int
    duration_s: float
    total_usd: float


class Best(msgspec.Struct, frozen=True, kw_only=True):
    """What we would choose, and why."""

    memory_mb: int
    batch_size: int
    max_concurrency: int
    duration_s: float
    total_usd: float
    reason: str


def choices(
    work: Work, profile: RuntimeProfile, *, runtime: Runtime, size: FunctionSize, prices: Prices
) -> list[Choice]:
    """Each memory size that has room for the model, smallest first; the one that is asked for is among them."""
    room_mb = profile.peak_memory_mb * HEADROOM
    sizes = sorted({mb for mb in MEMORY_SIZES_MB if mb >= room_mb} | {size.memory_mb})
    made = []
    for memory_mb in sizes:
        at = FunctionSize(memory_mb, size.timeout_s)
        batch, at_once = _fitting(work, profile, at)
        reckoned = estimate(
            msgspec.structs.replace(work, batch_size=batch.items, max_concurrency=at_once),
            profile,
            runtime=runtime,
            size=at,
            prices=prices,
        )
        made.append(
            Choice(
                memory_mb=memory_mb,
                batch_size=batch.items,
                max_concurrency=at_once,
                duration_s=round(reckoned.duration_s.total, 3),
                total_usd=reckoned.cost_usd["total"],
            )
        )
    return made


def best_of(made: list[Choice], work: Work, profile: RuntimeProfile, size: FunctionSize) -> Best:
    """The best of them, with the reason for its memory size and for its batch size."""
    cheapest = min(made, key=lambda choice: (choice.total_usd, choice.duration_s))
    close = [choice for choice in made if choice.total_usd <= cheapest.total_usd * ABOUT_AS_MUCH]
    best = min(close, key=lambda choice: (choice.duration_s, choice.total_usd))
    if best is cheapest:
        why = "the cheapest" + (", and none about as cheap is faster" if len(close) > 1 else "")
    else:
        more = 100 * (best.total_usd / cheapest.total_usd - 1)
        why = (
            f"the fastest of those that cost about as much ({more:.1f} % more than {cheapest.memory_mb:,} MB,"
            f" the cheapest)"
        )
    batch, _ = _fitting(work, profile, FunctionSize(best.memory_mb, size.timeout_s))
    reason = f"{best.memory_mb:,} MB: {why}; {best.batch_size:,} items a batch: {batch.reason}"
    if best.max_concurrency < work.max_concurrency:
        reason += (
            f"; {best.max_concurrency:,} at once: S3 gives {S3_GETS_PER_S:,} objects a second of one prefix"
        )
    return Best(
        memory_mb=best.memory_mb,
        batch_size=best.batch_size,
        max_concurrency=best.max_concurrency,
        duration_s=best.duration_s,
        total_usd=best.total_usd,
        reason=reason,
    )


def _fitting(work: Work, profile: RuntimeProfile, size: FunctionSize) -> tuple[BatchSize, int]:
    """The batch size that fits a memory size, and how many batches at once S3 has objects enough for."""
    batch = auto_batch_size(
        profile,
        items=work.items,
        size_bytes=work.size_bytes,
        max_concurrency=work.max_concurrency,
        size=size,
        reads=work.reads,
    )
    if not work.reads:
        return batch, work.max_concurrency
    work_s = work_ms(profile, batch.items, size.memory_mb, reads=work.reads) / 1000
    enough = max(1, math.floor(work_s * S3_GETS_PER_S / (batch.items * work.reads)))
    return batch, min(work.max_concurrency, enough)
