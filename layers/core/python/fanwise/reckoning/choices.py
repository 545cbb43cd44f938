"""The memory sizes that PredictBatch could have, each with its best batch size, held against each other by price.

More memory is more vCPUs at a higher price a second: it pays as far as the model has use for them. The cheapest is
best; of those that cost about as much, the fastest.
"""

import msgspec

from fanwise.model.profile import RuntimeProfile
from fanwise.pricing import Prices
from fanwise.reckoning.batching import FunctionSize, auto_batch_size
from fanwise.reckoning.estimate import Work, estimate
from fanwise.records import Runtime

# What the template allows (1,024 to 10,240 MB), at whole vCPUs and what people take between them.
MEMORY_SIZES_MB = (1024, 1769, 2048, 2654, 3538, 5307, 7076, 8845, 10240)
HEADROOM = 1.3  # over the peak that was measured: batches differ, and a death costs more than memory
ABOUT_AS_MUCH = 1.05


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """A memory size with the batch size that fits it, and what the job comes to."""

    memory_mb: int
    batch_size: int
    duration_s: float
    total_usd: float


class Best(msgspec.Struct, frozen=True, kw_only=True):
    """What we would choose, and why."""

    memory_mb: int
    batch_size: int
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
        batch = auto_batch_size(
            profile,
            items=work.items,
            size_bytes=work.size_bytes,
            max_concurrency=work.max_concurrency,
            size=at,
            reads=work.reads,
        )
        reckoned = estimate(
            msgspec.structs.replace(work, batch_size=batch.items),
            profile,
            runtime=runtime,
            size=at,
            prices=prices,
        )
        made.append(
            Choice(
                memory_mb=memory_mb,
                batch_size=batch.items,
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
    batch = auto_batch_size(
        profile,
        items=work.items,
        size_bytes=work.size_bytes,
        max_concurrency=work.max_concurrency,
        size=FunctionSize(best.memory_mb, size.timeout_s),
        reads=work.reads,
    )
    return Best(
        memory_mb=best.memory_mb,
        batch_size=best.batch_size,
        duration_s=best.duration_s,
        total_usd=best.total_usd,
        reason=f"{best.memory_mb:,} MB: {why}; {best.batch_size:,} items a batch: {batch.reason}",
    )
