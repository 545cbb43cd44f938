"""A job's own durations → its model's profile, so that the next estimate rests on them (`fanwise profile`).

What the handlers measured is an invocation's time and its number of items, at one memory size. How that is made up
of computing and decoding, and what other memory sizes would change, is taken from the profile that there was.
"""

from collections.abc import Sequence
from statistics import fmean

import msgspec

from fanwise.limits import VCPU_MB
from fanwise.model.profile import MeasuredOn, RuntimeProfile, told_by_batch
from fanwise.records import Commit

_ROUNDING = 1e-9
MIN_SPREAD = (
    0.1  # of batch sizes around their mean, from which they tell an invocation's time from its items'
)


def fed_back(
    prior: RuntimeProfile | None,
    commits: Sequence[Commit],
    measured_on: MeasuredOn,
    *,
    memory_mb: int,
    tells_invocation: bool,
) -> RuntimeProfile | None:
    """The profile of what a job measured; None where it measured nothing.

    `tells_invocation`: whether what an invocation takes beside its items was that of Lambda. A laptop's folders
    answer at once, and say nothing of S3.
    """
    counted = [
        (commit.predicted + commit.dead_lettered, commit.invocation)
        for commit in commits
        if commit.died is None and commit.predicted
    ]
    if not counted:
        return None
    items = [float(count) for count, _ in counted]
    work_ms = [invocation.duration_ms - invocation.load_ms for _, invocation in counted]
    cold = [invocation for _, invocation in counted if invocation.cold]
    vcpus = memory_mb / VCPU_MB
    before = prior or _unknown(measured_on)
    invocation_ms, item_ms = before.invocation_ms, fmean(work_ms) / fmean(items)
    if tells_invocation:
        invocation_ms, item_ms = _split(items, work_ms, before.invocation_ms)
    was_ms = before.item_ms_at(vcpus)
    factor = item_ms / was_ms if was_ms > 0 else 1.0
    compute_ms = {cores: round(ms * factor, 4) for cores, ms in before.compute_ms.items()}
    fed = msgspec.structs.replace(
        before,
        measured_on=measured_on,
        init_ms=round(fmean(one.init_ms for one in cold), 1) if cold else before.init_ms,
        load_ms=round(fmean(one.load_ms for one in cold), 1) if cold else before.load_ms,
        invocation_ms=round(invocation_ms, 1),
        compute_ms=compute_ms,
        decode_ms=round(before.decode_ms * factor, 4),
    )
    return told_by_batch(fed)


def _split(items: Sequence[float], work_ms: Sequence[float], invocation_ms: float) -> tuple[float, float]:
    """What an invocation takes, and what an item: the line through them, by least squares.

    Batches of one size lie on many lines. Then an invocation takes what it was known to, half of all at most.
    """
    mean_items, mean_ms = fmean(items), fmean(work_ms)
    spread = fmean([(count - mean_items) ** 2 for count in items])
    if spread > (MIN_SPREAD * mean_items) ** 2:
        together = fmean(
            [(count - mean_items) * (ms - mean_ms) for count, ms in zip(items, work_ms, strict=True)]
        )
        item_ms = together / spread
        if 0 <= item_ms * mean_items <= mean_ms * (1 + _ROUNDING):
            return max(0.0, mean_ms - item_ms * mean_items), item_ms
    invocation_ms = min(invocation_ms, mean_ms / 2)
    return invocation_ms, (mean_ms - invocation_ms) / mean_items


def _unknown(measured_on: MeasuredOn) -> RuntimeProfile:
    """What is assumed of a model that nobody has measured: all of it computing, as fast on any number of vCPUs."""
    return RuntimeProfile(
        measured_on=measured_on,
        init_ms=0.0,
        load_ms=0.0,
        invocation_ms=0.0,
        mini_batch=1,
        compute_ms={1: 1.0},
        decode_ms=0.0,
        peak_memory_mb=0,
    )
