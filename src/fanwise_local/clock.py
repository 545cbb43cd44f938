"""Where the local cloud reads time from, and the event loop on which time jumps.

Everything that waits (a state, a retry, a timeout, a simulated Lambda) waits on the running asyncio loop, so one
`Clock` serves the real loop and the virtual one alike.
"""

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple

VIRTUAL_RESOLUTION_S = (
    1e-6  # timers so near are due together; asyncio's own 1e-9 vanishes in 194 days of seconds
)
VIRTUAL_START_S = 1_767_225_600.0  # 2026-01-01T00:00:00Z: a virtual run tells the same times every time

_Result = TypeVar("_Result")
_Arguments = TypeVarTuple("_Arguments")


class Deadlock(RuntimeError):
    """On a virtual loop every task waits, and no timer is set that could wake one."""


class Clock:
    """The time of the running loop, as seconds since the epoch."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._epoch_s = 0.0

    def now(self) -> float:
        """Seconds since the epoch. Needs a running loop; never goes back while that loop runs."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            start_s = VIRTUAL_START_S if isinstance(loop, VirtualTimeLoop) else time.time() - loop.time()
            self._loop, self._epoch_s = loop, start_s
        return self._epoch_s + loop.time()

    async def sleep(self, seconds: float) -> None:
        """Waits on the running loop; zero or less lets other tasks run once."""
        await asyncio.sleep(max(0.0, seconds))


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop that jumps to its next timer whenever nothing is ready, instead of waiting for it.

    `asyncio.sleep`, `asyncio.timeout` and all that is built on `call_later` run in virtual time. While a thread
    of an executor works, virtual time stands still. Sockets are polled, never waited for.
    """

    def __init__(self) -> None:
        self._virtual_s = 0.0
        self._threads_busy = 0
        super().__init__(_JumpingSelector(self))
        self._clock_resolution = VIRTUAL_RESOLUTION_S

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._virtual_s

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*_Arguments], _Result], *args: *_Arguments
    ) -> asyncio.Future[_Result]:
        """As asyncio's; time stands still until it is done."""
        future = super().run_in_executor(executor, func, *args)
        self._threads_busy += 1
        future.add_done_callback(self._thread_done)
        return future

    async def shutdown_default_executor(self) -> None:
        """As asyncio's, which waits for a thread."""
        self._threads_busy += 1
        try:
            await super().shutdown_default_executor()
        finally:
            self._threads_busy -= 1

    def _thread_done(self, _future: asyncio.Future[Any]) -> None:
        self._threads_busy -= 1

    def wait_for(self, timeout_s: float | None) -> float | None:
        """What the selector shall really wait: nothing, after time has jumped; or for a thread.

        Raises `Deadlock` where neither a timer nor a thread can wake anything.
        """
        if self._threads_busy and timeout_s != 0:
            return None
        if timeout_s is None:
            names = sorted(task.get_name() for task in asyncio.all_tasks(self))
            raise Deadlock(f"{len(names)} tasks wait and no timer is set: {', '.join(names[:10])}")
        self._virtual_s += timeout_s
        return 0


class _JumpingSelector(selectors.DefaultSelector):
    """Asks its loop how long to wait: the loop lets its own time pass instead."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready:
            return ready
        really_s = self._loop.wait_for(timeout)
        return [] if really_s == 0 else super().select(really_s)


def run_virtual(main: Coroutine[Any, Any, _Result]) -> _Result:
    """Runs a coroutine to its end in virtual time and returns what it returns.

    Raises `Deadlock` instead of hanging.
    """
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
