"""The processes that a measured one starts: ours to wait for, to weigh and to end.

Ray's workers, and others that are started by a process that ends before them, would go to init, and their
processor time with them. On Linux a process can have them come to it instead (prctl(2), PR_SET_CHILD_SUBREAPER).
Elsewhere nothing of this is known, and what it would tell is left out.
"""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

_PR_SET_CHILD_SUBREAPER = 36
_PROC = Path("/proc")
_LOOK_EVERY_S = 0.1
_WEIGH_EVERY_S = 0.25

IS_KNOWN = sys.platform == "linux"


@contextmanager
def adopted(grace_s: float) -> Iterator[None]:
    """What is started within and loses its parent comes to this process, and is gone when this ends.

    What still runs at the end has `grace_s` to end by itself, and is killed then.
    """
    if not IS_KNOWN:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    before = set(_children(os.getpid()))
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        _end(before, grace_s)
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def _end(before: set[int], grace_s: float) -> None:
    """Wait for our new children, and for theirs, which become ours."""
    until_s = time.monotonic() + grace_s
    while children := set(_children(os.getpid())) - before:
        for pid in children:
            with suppress(ChildProcessError, ProcessLookupError):
                if time.monotonic() > until_s:
                    os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, os.WNOHANG)
        time.sleep(_LOOK_EVERY_S)


class MemoryScale:
    """Weighs a process with its descendants from time to time: memory shared among them counts once (Pss)."""

    def __init__(self, pid: int) -> None:
        self.peak_mb = 0.0
        self._pid = pid
        self._ended = Event()
        self._thread = Thread(target=self._weigh, daemon=True)

    def __enter__(self) -> "MemoryScale":
        if IS_KNOWN:
            self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _weigh(self) -> None:
        is_ended = False
        while not is_ended:
            self.peak_mb = max(self.peak_mb, sum(_pss_mb(pid) for pid in _family(self._pid)))
            is_ended = self._ended.wait(_WEIGH_EVERY_S)


def _family(pid: int) -> list[int]:
    """A process and all that stem from it, as far as their parents live."""
    parents: dict[int, list[int]] = {}
    for child, parent in _parents():
        parents.setdefault(parent, []).append(child)
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        todo += parents.get(found[-1], [])
    return found


def _children(pid: int) -> list[int]:
    return [child for child, parent in _parents() if parent == pid]


def _parents() -> Iterator[tuple[int, int]]:
    """Each process and its parent (proc_pid_stat(5)); a name may hold spaces and parentheses."""
    for path in _PROC.glob("[0-9]*/stat"):
        with suppress(OSError):
            yield int(path.parent.name), int(path.read_text().rpartition(")")[2].split()[1])


def _pss_mb(pid: int) -> float:
    with suppress(OSError):
        for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0
