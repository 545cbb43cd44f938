"""Lambda's execution environments: how many there may be, who is warm, and who is turned away.

A function gets 1,000 environments at once and at most 1,000 in any 10 s (scaling-behavior); all functions of the
account together run no more than its concurrency, and start no more than ten times as many invocations a second
(gettingstarted-limits). What is beyond is a 429. Idle environments stay: a job is shorter than they live. One that
died is gone. Nothing here looks through environments: those of a function are alike, so they are counted.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from fanwise.reckoning.queueing import RAMP_ENVIRONMENTS, RAMP_S
from fanwise_local.clock import VIRTUAL_RESOLUTION_S
from fanwise_local.simulation.rates import TokenBucket

REQUESTS_OF_AN_ENVIRONMENT = 10  # a second (gettingstarted-limits)


class Throttled(Exception):
    """429: no environment may be had now."""


@dataclass(frozen=True, kw_only=True)
class PoolLimits:
    """`environments` of each function are all that a laptop has; without, Lambda's limits hold.

    Whoever finds no environment waits, unless it is `throttled`.
    """

    account_concurrency: int
    environments: int | None = None
    throttled: bool = True
    ramp_environments: int = RAMP_ENVIRONMENTS
    ramp_s: float = RAMP_S


@dataclass
class _Function:
    """The environments of one function; `starts` are times and numbers of those of the last 10 s."""

    alive: int = 0
    idle: int = 0
    started: int = 0
    recent: int = 0
    starts: deque[list[float]] = field(default_factory=deque)
    waiting: deque[asyncio.Future[bool]] = field(default_factory=deque)
    timer: asyncio.TimerHandle | None = None


class Pool:
    """All functions of an account. `changed` is called whenever more or fewer run."""

    def __init__(self, limits: PoolLimits, changed: Callable[[], None]) -> None:
        self.running = 0
        self._limits = limits
        self._changed = changed
        self._functions: dict[str, _Function] = {}
        self._requests = TokenBucket(limits.account_concurrency * REQUESTS_OF_AN_ENVIRONMENT)

    def environments(self, function: str) -> int:
        """How many environments a function has had."""
        return self._functions[function].started if function in self._functions else 0

    async def take(self, name: str) -> bool:
        """Take an environment; whether it is a new one. Raises `Throttled`."""
        function = self._functions.setdefault(name, _Function())
        now_s = asyncio.get_running_loop().time()
        if self._limits.environments is None and self._limits.throttled and not self._requests.take(now_s):
            raise Throttled
        cold = None if function.waiting else self._found(function, now_s)
        if cold is not None:
            return cold
        if self._limits.throttled and self._limits.environments is None:
            raise Throttled
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        function.waiting.append(waiter)
        self._wait_for_the_ramp(function)
        return await waiter

    def give_back(self, name: str, *, alive: bool) -> None:
        """The invocation is over; what died is no environment any more."""
        function = self._functions[name]
        self.running -= 1
        if alive:
            function.idle += 1
        else:
            function.alive -= 1
        self._changed()
        self._serve(function)
        for other in self._functions.values():
            if other.waiting and other is not function:
                self._serve(other)

    def _found(self, function: _Function, now_s: float) -> bool | None:
        """Whether an environment is new, and None where there is none."""
        limits = self._limits
        if limits.environments is None and self.running >= limits.account_concurrency:
            return None
        cold = not function.idle
        if not cold:
            function.idle -= 1
        elif not self._may_start(function, now_s):
            return None
        else:
            function.alive += 1
            function.started += 1
        self.running += 1
        self._changed()
        return cold

    def _may_start(self, function: _Function, now_s: float) -> bool:
        if self._limits.environments is not None:
            return function.alive < self._limits.environments
        starts = function.starts
        while starts and starts[0][0] <= now_s - self._limits.ramp_s:
            function.recent -= int(starts.popleft()[1])
        if function.recent >= self._limits.ramp_environments:
            return False
        function.recent += 1
        if starts and starts[-1][0] == now_s:
            starts[-1][1] += 1
        else:
            starts.append([now_s, 1])
        return True

    def _serve(self, function: _Function) -> None:
        """Give whoever waits what there is, first come first served."""
        now_s = asyncio.get_running_loop().time()
        while function.waiting:
            if function.waiting[0].done():  # its child was stopped
                function.waiting.popleft()
                continue
            cold = self._found(function, now_s)
            if cold is None:
                self._wait_for_the_ramp(function)
                return
            function.waiting.popleft().set_result(cold)

    def _wait_for_the_ramp(self, function: _Function) -> None:
        """Look again when more may start; a little later, so that those who are free by then come first."""
        if self._limits.environments is not None or function.timer is not None or not function.starts:
            return
        loop = asyncio.get_running_loop()
        at_s = function.starts[0][0] + self._limits.ramp_s + 2 * VIRTUAL_RESOLUTION_S
        if at_s <= loop.time():  # it is the account that is full, and who gives back will look
            return

        def look_again() -> None:
            function.timer = None
            self._serve(function)

        function.timer = loop.call_at(at_s, look_again)
