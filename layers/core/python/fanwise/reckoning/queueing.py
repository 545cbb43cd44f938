"""When environments come up and entries are finished, by closed forms: each entry is taken by who is free first.

Lambda adds 1,000 environments each 10 s to a function (scaling-behavior), the first 1,000 at once. Each starts
cold and takes one entry after the other. S3 gives 5,500 objects a second of one prefix (optimizing-performance),
where all that items point at is taken to lie, in the order in which it was asked for.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

RAMP_ENVIRONMENTS, RAMP_S = 1000, 10.0
S3_GETS_PER_S, S3_PUTS_PER_S = 5500, 3500  # of each prefix
S3_BURST_S = 1.0  # of them at once, where nothing was asked for before
_SAME_TIME_S = 1e-6  # less than this apart is at once: sums of floats


class _Group(NamedTuple):
    """Environments that come up, and are ready, together: seconds after the first."""

    environments: int
    comes_s: float
    ready_s: float


class _Asked(NamedTuple):
    """Entries of which the objects were asked for before a moment: S3 has given no more than those by then."""

    at_s: float
    entries: int


@dataclass(frozen=True)
class Queue:
    """Entries that wait for environments: `start_s` is a cold start, `work_s` an entry without waiting for S3.

    Of the first environments `warm` are there already: the probe's. `reading_s` is how long S3 takes for what the
    items of an entry point at, if it gives nothing else.
    """

    entries: int
    max_concurrency: int
    start_s: float
    work_s: float
    warm: int = 0
    reading_s: float = 0.0

    @cached_property
    def waves(self) -> list[int]:
        """How many environments come up each 10 s: no more than there is work for when they do."""
        waves: list[int] = []
        while sum(waves) < self.max_concurrency:
            groups = self._groups(waves)
            left = self.entries - self._taken(groups, len(waves) * RAMP_S, self._asked(groups))
            more = min(RAMP_ENVIRONMENTS, self.max_concurrency - sum(waves), left)
            if more <= 0:
                break
            waves.append(more)
        return waves

    @property
    def environments(self) -> int:
        """All that come up."""
        return sum(self.waves)

    @cached_property
    def end_s(self) -> float:
        """When the last entry is finished; 0 where there is none."""
        if not self.entries:
            return 0.0
        asked = self._asked(self._groups(self.waves))
        return max([self._end_of_work_s, *(self._all_read_s(before) for before in asked)])

    @property
    def waiting_s(self) -> float:
        """Seconds that all environments together wait for S3; what they wait until it sets the pace is not in it.

        An environment takes an entry whenever it has finished one, so all that it took adds up to its time from
        being ready to its last end; and where S3 sets the pace, these ends come one `reading_s` after the other.
        """
        if not self.reading_s or not self.entries or self.end_s <= self._end_of_work_s:
            return 0.0
        first_end_s = self.start_s + self.work_s
        apart = min(self.environments, math.floor((self.end_s - first_end_s) / self.reading_s) + 1)
        ends_s = apart * self.end_s - apart * (apart - 1) / 2 * self.reading_s
        ends_s += (self.environments - apart) * first_end_s
        ready_s = sum(group.environments * group.ready_s for group in self._groups(self.waves))
        return max(0.0, ends_s - ready_s - self.entries * self.work_s)

    @cached_property
    def _end_of_work_s(self) -> float:
        groups = self._groups(self.waves)
        longest_s = (self.entries / self.environments + 2) * self.work_s
        early, late = 0.0, len(self.waves) * RAMP_S + self.start_s + longest_s
        while late - early > _SAME_TIME_S / 10:  # when the last one is taken
            middle = (early + late) / 2
            if self._taken_of_work(groups, middle) >= self.entries:
                late = middle
            else:
                early = middle
        return max(
            group.ready_s + (self._worked_off(late - group.ready_s) + 1) * self.work_s
            for group in groups
            if group.comes_s <= late + _SAME_TIME_S
        )

    def _groups(self, waves: list[int]) -> list[_Group]:
        groups = [
            _Group(count, wave * RAMP_S, wave * RAMP_S + self.start_s) for wave, count in enumerate(waves)
        ]
        if groups and self.warm:
            groups[0] = groups[0]._replace(environments=groups[0].environments - self.warm)
            groups.insert(0, _Group(self.warm, 0.0, 0.0))
        return [group for group in groups if group.environments]

    def _taken(self, groups: list[_Group], at_s: float, asked: list[_Asked]) -> int:
        """How many entries are taken: one by each environment as it comes, and one whenever one is finished."""
        taken = self._taken_of_work(groups, at_s)
        there = sum(group.environments for group in groups if group.comes_s <= at_s + _SAME_TIME_S)
        return min([taken, *(there + self._read(before, at_s) for before in asked if before.at_s <= at_s)])

    def _taken_of_work(self, groups: list[_Group], at_s: float) -> int:
        """The same, if S3 gave everything at once."""
        return sum(
            group.environments * (1 + self._worked_off(at_s - group.ready_s))
            for group in groups
            if group.comes_s <= at_s + _SAME_TIME_S
        )

    def _worked_off(self, for_s: float) -> int:
        """Entries that an environment has finished which has been working for so long."""
        return max(0, math.floor((for_s + _SAME_TIME_S) / self.work_s))

    def _asked(self, groups: list[_Group]) -> list[_Asked]:
        """What was asked for when each group began to ask; nothing, where items point at nothing."""
        asked: list[_Asked] = []
        for count, group in enumerate(groups if self.reading_s else []):
            before = self._taken(groups[:count], group.ready_s, asked)
            asked.append(_Asked(group.ready_s, min(before, self.entries)))
        return asked

    def _read(self, before: _Asked, at_s: float) -> int:
        """The most entries that S3 can have given everything of by now."""
        return before.entries + math.floor((at_s - before.at_s + S3_BURST_S + _SAME_TIME_S) / self.reading_s)

    def _all_read_s(self, before: _Asked) -> float:
        """The earliest that S3 can have given everything of all entries."""
        return before.at_s + max(0.0, (self.entries - before.entries) * self.reading_s - S3_BURST_S)
