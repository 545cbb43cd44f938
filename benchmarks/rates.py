"""The arithmetic of the measurements: how fast items were done in the steady state, and what a median is worth."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

MIDDLE = (
    0.8  # the share of the items that counts as the steady state: what lies between the first and last tenth
)


@dataclass(frozen=True, slots=True)
class Ramp:
    """`count` items, done evenly over the seconds from `start_s` to `end_s` of any one clock."""

    start_s: float
    end_s: float
    count: int


def reached_s(ramps: Iterable[Ramp], items: float) -> float:
    """The earliest moment at which `items` items were done, on the clock of the ramps.

    Ramps may overlap (their rates add up) and may leave gaps. A ramp of no length is a jump. Raises `ValueError`
    where the ramps hold fewer items than that.
    """
    ramps = [ramp for ramp in ramps if ramp.count]
    total = sum(ramp.count for ramp in ramps)
    if not ramps or items > total:
        raise ValueError(f"{items} items were never done; the ramps hold {total}")
    done, rate, now_s = 0.0, 0.0, min(ramp.start_s for ramp in ramps)
    for at_s, rate_change, jump in _changes(ramps):
        grown = rate * (at_s - now_s)
        if rate > 0 and done + grown >= items:
            return now_s + max(0.0, items - done) / rate
        done, rate, now_s = done + grown + jump, rate + rate_change, at_s
        if done >= items:
            return now_s
    return now_s  # all of them: what is missing to `items` is rounding


def _changes(ramps: Sequence[Ramp]) -> list[tuple[float, float, int]]:
    """When the rate changes, by how much, and how many items are done at that very moment; in order of time."""
    changes: list[tuple[float, float, int]] = []
    for ramp in ramps:
        if ramp.end_s > ramp.start_s:
            rate = ramp.count / (ramp.end_s - ramp.start_s)
            changes += [(ramp.start_s, rate, 0), (ramp.end_s, -rate, 0)]
        else:
            changes.append((ramp.end_s, 0.0, ramp.count))
    return sorted(changes)


def steady_items_per_s(ramps: Sequence[Ramp]) -> float:
    """Items a second over the middle 80 % of the items. Raises `ValueError` where these took no time."""
    total = sum(ramp.count for ramp in ramps)
    edge = (1 - MIDDLE) / 2
    took_s = reached_s(ramps, total * (1 - edge)) - reached_s(ramps, total * edge)
    if took_s <= 0:
        raise ValueError(f"the middle {MIDDLE:.0%} of {total} items took no time; measure more of them")
    return total * MIDDLE / took_s


def median_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the ratios, pair by pair: a pair was measured close together, on a machine equally busy."""
    return median(our / their for our, their in zip(ours, theirs, strict=True))


def spread(values: Sequence[float]) -> float:
    """The largest less the smallest, as a share of the median: how far to trust it."""
    return (max(values) - min(values)) / median(values)
