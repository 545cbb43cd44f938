"""How many invocations run and how many children wait after a 429, over time; in few points, however long."""

import msgspec

MAX_POINTS = 600
FIRST_STEP_S = 0.05


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """The most at once in the time from `t_s` to the next point: of all functions, and of children that wait."""

    t_s: float
    running: int
    waiting: int


class Curve:
    """Takes every change, and keeps the peaks of equal steps of time; steps double when there are too many."""

    def __init__(self) -> None:
        self._step_s = FIRST_STEP_S
        self._running = [0]
        self._waiting = [0]
        self._last = (0, 0)

    def add(self, t_s: float, running: int, waiting: int) -> None:
        """From `t_s` on, which does not go back, so many run and wait."""
        index = int(t_s / self._step_s)
        while index >= MAX_POINTS:
            self._double()
            index = int(t_s / self._step_s)
        missing = index + 1 - len(self._running)
        if missing > 0:
            self._running += [self._last[0]] * missing
            self._waiting += [self._last[1]] * missing
        self._running[index] = max(self._running[index], running)
        self._waiting[index] = max(self._waiting[index], waiting)
        self._last = (running, waiting)

    def _double(self) -> None:
        self._step_s *= 2
        self._running = _pairs(self._running)
        self._waiting = _pairs(self._waiting)

    def points(self) -> list[Point]:
        """What was kept, in order."""
        return [
            Point(t_s=round(index * self._step_s, 3), running=running, waiting=waiting)
            for index, (running, waiting) in enumerate(zip(self._running, self._waiting, strict=True))
        ]


def _pairs(peaks: list[int]) -> list[int]:
    return [max(peaks[index : index + 2]) for index in range(0, len(peaks), 2)]
