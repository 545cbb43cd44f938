"""`batch_size: "auto"`: how many items an entry is given (docs/contracts.md, Manifest).

Twenty seconds of work an invocation: long enough that what an invocation takes beside its items does not show,
short enough that a lost one costs little and the last ones are not long waited for. Fewer, where there would be
fewer entries than may run at once; but not so few that an environment spends more of its time starting than
working, for that is paid for.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from fanwise.limits import (
    DEADLINE_RESERVE_S,
    DEFAULT_BATCH_SIZE,
    MAX_BATCH_SIZE,
    VCPU_MB,
    decode_threads,
)
from fanwise.model.profile import RuntimeProfile
from fanwise.records import Kind

TARGET_WORK_S = 20.0
GET_MS = 20.0  # of a small object from S3; hidden by the threads that fetch, up to a point


# Of the items file, in an entry that nobody chose the size of: an entry is held whole, and each of its values is
# an object of 140 bytes, which may have been two bytes of the file. So at most 560 MB, and mostly a tenth of it.
MAX_AUTO_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class FunctionSize:
    """PredictBatch, as it is deployed."""

    memory_mb: int = VCPU_MB
    timeout_s: float = 120.0


DEFAULT_SIZE = FunctionSize()  # as template.yaml has it


@dataclass(frozen=True)
class BatchSize:
    """A batch size, and what it came from."""

    items: int
    reason: str


def reads_of(kinds: Mapping[str, Kind]) -> int:
    """How many objects an item of a model points at: its images."""
    return sum(kind == "image" for kind in kinds.values())


def item_ms(profile: RuntimeProfile, memory_mb: int, *, reads: int) -> float:
    """What an item adds to an invocation; `reads` are the objects that one points at."""
    computing = profile.item_ms_at(memory_mb / VCPU_MB)
    return max(computing, fetching_ms(profile, memory_mb, reads=reads))


def fetching_ms(profile: RuntimeProfile, memory_mb: int, *, reads: int) -> float:
    """What an item takes of the threads that fetch and decode, all of them at work."""
    if not reads or profile.measured_on.kind == "lambda":  # whose figures have it in them
        return 0.0
    return (reads * GET_MS + profile.decode_ms) / decode_threads(memory_mb)


def work_ms(profile: RuntimeProfile, items: int, memory_mb: int, *, reads: int) -> float:
    """A warm invocation with so many items."""
    fetching = profile.invocation_ms + items * fetching_ms(profile, memory_mb, reads=reads)
    return max(profile.work_ms(items, memory_mb), fetching)


def auto_batch_size(
    profile: RuntimeProfile | None,
    *,
    items: int,
    size_bytes: int,
    max_concurrency: int,
    size: FunctionSize,
    reads: int,
) -> BatchSize:
    """The batch size that fits a profile, in whole mini-batches where it has several; 256 without one.

    `items` of `size_bytes` together; `reads` are the objects that each points at.
    """
    if profile is None:
        return BatchSize(DEFAULT_BATCH_SIZE, "the model has no profile of its runtime")
    each_ms = max(item_ms(profile, size.memory_mb, reads=reads), 1e-6)
    work_s = min(TARGET_WORK_S, (size.timeout_s - DEADLINE_RESERVE_S) / 2)
    by_time = work_s * 1000 / each_ms
    by_entries = items / max_concurrency
    by_start = (profile.start_ms(size.memory_mb) + profile.invocation_ms) / each_ms
    if by_time <= max(by_entries, by_start):
        wanted, reason = by_time, f"{work_s:.0f} s of work an invocation"
    elif by_entries >= by_start:
        wanted, reason = by_entries, f"as many batches as may run at once ({max_concurrency:,})"
    else:
        wanted, reason = by_start, "as much work as a cold start takes"
    by_memory = MAX_AUTO_BYTES * items / max(size_bytes, 1) if items else wanted
    if by_memory < wanted:
        wanted, reason = by_memory, f"as many as {MAX_AUTO_BYTES // 2**20} MB of the items file hold"
    whole = max(1, int(wanted / profile.mini_batch)) * profile.mini_batch
    if whole > MAX_BATCH_SIZE:
        return BatchSize(MAX_BATCH_SIZE, "the largest that there is")
    return BatchSize(whole, reason)
