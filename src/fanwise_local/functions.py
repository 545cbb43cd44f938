"""Lambda on this machine: functions, each with a few execution environments, and the one way to invoke them.

An environment takes one event at a time and stays warm; the one used last is used first. Past `environments` of a
function further invocations wait in order: a laptop queues where AWS would scale. Throttling as on AWS comes from a
fault plan or the simulator alone.
"""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fanwise_local.environment import INIT_LIMIT_S, Environment, InvokeResult
from fanwise_local.runtime_api import MAX_PAYLOAD_BYTES, RuntimeApi
from fanwise_local.template import Function, Stack

VCPU_MB = 1769  # of memory make one vCPU (configuration-memory)


class UnknownFunctionError(KeyError):
    """There is no function of that name or ARN."""


class RequestTooLargeError(ValueError):
    """The event is over the 6 MB of a synchronous invocation."""


def default_environments(stack: Stack) -> int:
    """As many of the largest function as cores and free memory hold at once; at least one."""
    largest = max(function.memory_mb for function in stack.functions.values())
    if sys.platform == "linux":
        cores = len(os.sched_getaffinity(0))
        free_mb = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20
    else:
        cores, free_mb = os.cpu_count() or 1, 2**20
    by_cores = int(cores / max(1.0, largest / VCPU_MB))
    return max(1, min(by_cores, free_mb // largest))


@dataclass
class _Pool:
    """The environments of one function: how many there may be, and those that are idle, the last used last."""

    slots: asyncio.Semaphore
    idle: list[Environment] = field(default_factory=list)
    all: list[Environment] = field(default_factory=list)


class FunctionService:
    """All functions of a stack. `work_dir` gets their logs and their /tmp folders."""

    def __init__(
        self,
        functions: Mapping[str, Function],
        *,
        environments: int,
        extra_environment: Mapping[str, str],
        work_dir: Path,
        init_limit_s: float = INIT_LIMIT_S,
    ) -> None:
        self._by_arn = {function.arn: function for function in functions.values()}
        self._by_name = {function.name: function for function in functions.values()}
        self._extra_environment = extra_environment
        self._work_dir = work_dir
        self._init_limit_s = init_limit_s
        self._pools = {arn: _Pool(asyncio.Semaphore(environments)) for arn in self._by_arn}
        self._api = RuntimeApi()
        self._logs = ExitStack()

    async def start(self) -> None:
        """Ready to invoke."""
        await self._api.start()

    async def invoke(self, function: str, payload: Any) -> InvokeResult:
        """Run a function by name or ARN; deaths and errors of the function are in the result.

        Raises `UnknownFunctionError`, `RequestTooLargeError`. Cancelled while the function runs, it ends the process.
        """
        found = self._by_arn.get(function) or self._by_name.get(function)
        if found is None:
            raise UnknownFunctionError(function)
        event = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
        if len(event) > MAX_PAYLOAD_BYTES:
            raise RequestTooLargeError(
                f"{len(event)} bytes; at most {MAX_PAYLOAD_BYTES} (gettingstarted-limits)"
            )
        pool = self._pools[found.arn]
        async with pool.slots:
            environment = pool.idle.pop() if pool.idle else await self._new(found, pool)
            try:
                return await environment.invoke(event)
            finally:
                pool.idle.append(environment)

    async def _new(self, function: Function, pool: _Pool) -> Environment:
        name = f"{function.logical_id}-{len(pool.all)}"
        logs = self._work_dir / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        log = self._logs.enter_context((logs / f"{function.logical_id}.log").open("ab"))
        environment = Environment(
            function,
            await self._api.open(),
            folder=self._work_dir / "tmp" / name,
            log=log,
            extra_environment=self._extra_environment,
            init_limit_s=self._init_limit_s,
        )
        pool.all.append(environment)
        return environment

    def pids(self) -> list[int]:
        """The processes alive now."""
        return [e.pid for pool in self._pools.values() for e in pool.all if e.pid is not None]

    async def close(self) -> None:
        """End every process and free every port."""
        await asyncio.gather(*(e.kill() for pool in self._pools.values() for e in pool.all))
        await self._api.close()
        self._logs.close()
