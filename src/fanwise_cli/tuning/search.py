"""Which settings and batch sizes are tried, and when larger ones are no use. Says what to do; others do it.

Batch sizes grow by fours from the mini-batch, until the time an item no longer falls by more than it varies, an
invocation would work longer than `auto` has it, or something fails. Memory sizes grow until more vCPUs are no
faster. What a person names is tried as it is.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from fanwise.limits import MAX_BATCH_SIZE
from fanwise.reckoning.batching import TARGET_WORK_S
from fanwise.records import Entry
from fanwise_cli.tuning.trials import Bench, Invoke, Measured, Searched, Setting, Trial

GROWS_BY = 4
FLAT, MOST_FLAT = 0.03, 0.10  # a gain that counts as none: at least, and however much the invocations vary

Tell = Callable[[Setting, str], None]  # what is tried now
Entries = Callable[[int], Sequence[Entry]]  # batches of so many items; none where the sample has no such


@dataclass(frozen=True)
class Search:
    """What is tried at each setting: batch sizes that were asked for, or those that `grown` gives."""

    entries: Entries
    repeats: int
    mini_batch: int
    largest: int  # batch that the sample has
    batch_sizes: Sequence[int] = ()
    most_work_s: float = TARGET_WORK_S

    def at(self, setting: Setting, invoke: Invoke, tell: Tell) -> Searched:
        """Start a setting and try its batch sizes, the smallest first."""
        measured: list[Measured] = []
        sizes = iter(self.batch_sizes or grown(self.mini_batch, self.largest))
        first = next(sizes)
        tell(setting, "a cold start")
        start = invoke(self.entries(first)[0])
        if start.failed is not None:
            return Searched(setting, start, (Measured(first, failed=start.failed),), start.failed)
        ended = "as asked for" if self.batch_sizes else f"the sample has {self.largest:,} items"
        for size in (first, *sizes):
            if measured and not self.batch_sizes and self._is_too_long(measured[-1], size):
                ended = f"larger ones work longer than {self.most_work_s:.0f} s"
                break
            if not self.entries(size):  # an entry holds so many bytes at most
                break
            tell(setting, f"batches of {size:,}")
            one = self._measured(size, invoke)
            measured.append(one)
            if one.failed is not None:
                ended = one.failed
                break
            if len(measured) > 1 and not self.batch_sizes and is_flat(measured[-2], one):
                ended = "larger ones are no faster an item"
                break
        return Searched(setting, start, tuple(measured), ended)

    def _is_too_long(self, last: Measured, size: int) -> bool:
        return last.item_ms * size > self.most_work_s * 1000

    def _measured(self, size: int, invoke: Invoke) -> Measured:
        entries = self.entries(size)
        trials: list[Trial] = []
        for number in range(self.repeats):
            trial = invoke(entries[number % len(entries)])
            if trial.failed is not None:
                return Measured(size, tuple(trials), trial.failed)
            trials.append(trial)
        return Measured(size, tuple(trials))

    def most_invocations(self, item_ms: float) -> list[tuple[int, int]]:
        """Batch sizes and how often each is invoked, if none is cut short, at so many milliseconds an item."""
        sizes = list(self.batch_sizes or grown(self.mini_batch, self.largest))
        kept = [size for size in sizes if item_ms * size <= self.most_work_s * 1000 or size == sizes[0]]
        return [(size, self.repeats + (size == sizes[0])) for size in (sizes if self.batch_sizes else kept)]


def grown(mini_batch: int, largest: int) -> Iterator[int]:
    """Batch sizes by fours, in whole mini-batches, up to what the sample has; at least one."""
    size = min(mini_batch, largest)
    while size <= min(largest, MAX_BATCH_SIZE):
        yield size
        size *= GROWS_BY


def is_flat(before: Measured, after: Measured) -> bool:
    """Whether a larger batch takes as long an item, within what the invocations vary."""
    noise = min(max(FLAT, before.spread, after.spread), MOST_FLAT)
    return after.item_ms >= before.item_ms * (1 - noise)


def search(
    bench: Bench, settings: Sequence[Setting], what: Search, tell: Tell, *, stops: bool
) -> tuple[list[Searched], list[str]]:
    """Try the settings, which are sorted, and say which were left out: with `stops`, memory that is no use."""
    found: list[Searched] = []
    notes: list[str] = []
    for setting in settings:
        before = [one for one in found if one.setting.runtime == setting.runtime]
        if stops and len(before) > 1 and not _gained(before[-2], before[-1]):
            note = f"{before[-1].setting} is no faster than with less memory; more was not tried."
            if note not in notes:
                notes.append(note)
            continue
        with bench.at(setting) as invoke:
            found.append(what.at(setting, invoke, tell))
    return found, notes


def _gained(less: Searched, more: Searched) -> bool:
    """Whether more memory makes an item faster; where the smaller size did not work, it may."""
    if less.item_ms is None or more.item_ms is None:
        return True
    return more.item_ms < less.item_ms * (1 - FLAT)
