"""The first thing a process of an execution environment runs: it dies with its cloud, then it is awslambdaric.

`python -m fanwise_local.bootstrap CLOUD_PID HANDLER`. A preexec function would run between fork and exec, where
another thread of the cloud may hold a lock; here nothing is shared any more.
"""

import ctypes
import io
import os
import signal
import sys
from contextlib import suppress

from awslambdaric import bootstrap
from awslambdaric.__main__ import main

PR_SET_PDEATHSIG = 1  # prctl(2)


def _die_with(cloud_pid: int) -> None:
    """SIGKILL when the cloud ends, however it ends (Linux); at once if it has ended already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != cloud_pid:
        sys.exit("the cloud that started this process is gone")


class _Log(io.TextIOBase):
    """A log on a disk that may be full: what cannot be written is left out, and is never the function's error."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        left = memoryview(text.encode("utf-8", "backslashreplace"))
        with suppress(OSError):
            while left:
                left = left[os.write(self._descriptor, left) :]
        return len(text)


def start(words: list[str]) -> None:
    """Be awslambdaric until the cloud ends; `words` are this program, CLOUD_PID and HANDLER."""
    _die_with(int(words.pop(1)))
    sys.stdout, sys.stderr = _Log(1), _Log(2)
    bootstrap.ERROR_LOG_LINE_TERMINATE = (
        "\n"  # "\r" keeps a traceback one event of CloudWatch; here it is read
    )
    main(words)


if __name__ == "__main__":
    start(sys.argv)
