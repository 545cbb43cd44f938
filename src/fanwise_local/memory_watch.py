"""How much memory a process of an execution environment holds, with all that it started. Linux alone tells."""

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

SAMPLE_S = 0.05
SAMPLES_PER_FAMILY = (
    5  # between two looks for processes that it started: there may be many threads to look at
)
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20


class MemoryWatch:
    """Samples a process on the running loop, and calls `exceeded` once, when it holds more than `limit_mb`.

    What is taken and given back between two samples is not seen.
    """

    def __init__(self, pid: int, limit_mb: int, exceeded: Callable[[], None]) -> None:
        self._pid = pid
        self._limit_mb = limit_mb
        self._exceeded = exceeded
        self._family: list[int] = []
        self._samples = 0
        self._timer: asyncio.TimerHandle | None = None
        if sys.platform == "linux":
            self._sample()

    def stop(self) -> None:
        """Take no more samples."""
        if self._timer is not None:
            self._timer.cancel()

    def _sample(self) -> None:
        if self._samples % SAMPLES_PER_FAMILY == 0:
            self._family = [self._pid, *_descendants(self._pid)]
        self._samples += 1
        if self._is_over():
            self._exceeded()
        else:
            self._timer = asyncio.get_running_loop().call_later(SAMPLE_S, self._sample)

    def _is_over(self) -> bool:
        if sum(map(_resident_mb, self._family)) <= self._limit_mb:
            return False
        # What a process shares with its children is resident in each; the dearer proportional size counts it once.
        return len(self._family) == 1 or sum(map(_proportional_mb, self._family)) > self._limit_mb


def _read(path: str) -> bytes:
    """A file of /proc; empty where the process is gone."""
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


def _resident_mb(pid: int) -> float:
    fields = _read(f"/proc/{pid}/statm").split()
    return int(fields[1]) * _PAGE_MB if fields else 0.0


def _proportional_mb(pid: int) -> float:
    for line in _read(f"/proc/{pid}/smaps_rollup").splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _descendants(pid: int) -> Iterator[int]:
    """What a process started, and what that started: each thread has children of its own (proc(5))."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return
    for thread in threads:
        for child in map(int, _read(f"/proc/{pid}/task/{thread}/children").split()):
            yield child
            yield from _descendants(child)
