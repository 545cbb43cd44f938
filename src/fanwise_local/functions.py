"""Lambda on this machine: functions, each with a few execution environments, and the one way to invoke them.

An environment takes one event at a time and stays warm; the one used last is used first. Past `environments` of a
function further invocations wait in order: a laptop queues where AWS would scale. Throttling as on AWS comes from
a fault plan or the simulator alone.
"""

import asyncio
import os
import shutil
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from fanwise.limits import VCPU_MB
from fanwise_local.environment import (
    INIT_LIMIT_S,
    ORDINARY,
    Conditions,
    Environment,
    EnvironmentClosed,
    InvokeResult,
)
from fanwise_local.function_process import BOOTSTRAP
from fanwise_local.runtime_api import MAX_PAYLOAD_BYTES
from fanwise_local.states.payloads import JSON, encode
from fanwise_local.template import LATEST, Function, Stack
from fanwise_local.this_machine import available_cores

_CGROUP = Path("/sys/fs/cgroup")  # of a container; on the machine itself these files are not there


class UnknownFunctionError(KeyError):
    """There is no function of that name or ARN."""


class RequestTooLargeError(ValueError):
    """The event is over the 6 MB of a synchronous invocation."""


def default_environments(stack: Stack) -> int:
    """As many of the largest function as cores and free memory hold at once; at least one."""
    largest_mb = max(function.memory_mb for function in stack.functions.values())
    by_cores = int(_cores() / max(1.0, largest_mb / VCPU_MB))
    return max(1, min(by_cores, int(_free_memory_mb() / largest_mb)))


def _cores() -> float:
    """Processors that this process may use; a container's quota counts (cgroup-v2, cpu.max)."""
    cores = float(available_cores())
    match _text(_CGROUP / "cpu.max").split():
        case [quota, period] if quota.isdigit():
            return min(cores, int(quota) / int(period))
    return cores


def _free_memory_mb() -> float:
    """Memory to be had without swapping; a container's limit counts (cgroup-v2, memory.max)."""
    free_mb = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**20
    for line in _text(Path("/proc/meminfo")).splitlines():
        if line.startswith("MemAvailable:"):
            free_mb = int(line.split()[1]) / 1024
    stat = _text(_CGROUP / "memory.stat").splitlines()
    limit, used = _text(_CGROUP / "memory.max").strip(), _text(_CGROUP / "memory.current").strip()
    if limit.isdigit() and used.isdigit():
        cached = next((line.split()[1] for line in stat if line.startswith("inactive_file ")), "0")
        free_mb = min(free_mb, (int(limit) - int(used) + int(cached)) / 2**20)
    return free_mb


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


@dataclass
class _Pool:
    """The environments of one function: how many there may be, and those that are idle, the last used last."""

    slots: asyncio.Semaphore
    idle: list[Environment] = field(default_factory=list)
    all: list[Environment] = field(default_factory=list)
    log: IO[bytes] | None = None

    def take(self) -> Environment | None:
        """The idle one used last; one whose process died only where no other is warm."""
        if not self.idle:
            return None
        found = next(
            (environment for environment in reversed(self.idle) if environment.is_warm), self.idle[-1]
        )
        self.idle.remove(found)
        return found


class FunctionService:
    """All functions of a stack, on one event loop. `work_dir` gets their logs and, while they live, their /tmp.

    `environments` bounds the processes of each function; at least 1. `bootstrap` is the module that they run,
    `cores` how many of this machine each may use; all, where it is not said.
    """

    def __init__(
        self,
        functions: Mapping[str, Function],
        *,
        environments: int,
        extra_environment: Mapping[str, str],
        work_dir: Path,
        init_limit_s: float = INIT_LIMIT_S,
        bootstrap: str = BOOTSTRAP,
        cores: int | None = None,
    ) -> None:
        if environments < 1:
            raise ValueError(f"environments is {environments}; at least 1 is needed to run anything")
        self._by_arn = {function.arn: function for function in functions.values()}
        self._by_name = {function.name: function for function in functions.values()}
        self._extra_environment = extra_environment
        self._logs_folder = work_dir / "logs"
        self._tmp_folder = work_dir / "tmp"
        self._init_limit_s = init_limit_s
        self._bootstrap = bootstrap
        self._cores = cores
        self._environments = environments
        self._going_on: set[asyncio.Task[None]] = (
            set()
        )  # until what was taken for dead is, and what was replaced
        self._pools = {arn: _Pool(asyncio.Semaphore(environments)) for arn in self._by_arn}
        self._retired: list[_Pool] = []
        self._made: Counter[str] = Counter()  # environments, by logical id
        self._logs = ExitStack()
        self._is_closed = False

    async def start(self) -> None:
        """Ready to invoke. An environment begins with an empty /tmp: what a killed cloud left is removed."""
        await asyncio.to_thread(shutil.rmtree, self._tmp_folder, ignore_errors=True)
        self._logs_folder.mkdir(parents=True, exist_ok=True)

    def find(self, function: str) -> Function:
        """The function of that name or ARN; raises `UnknownFunctionError`."""
        found = self._by_arn.get(function) or self._by_name.get(function)
        if found is None:
            raise UnknownFunctionError(function)
        return found

    def all(self) -> list[Function]:
        """Every function, in the template's order."""
        return list(self._by_name.values())

    def put(self, function: Function) -> None:
        """Have a function, or a published version of one, from now on; in place of what has its ARN.

        Invocations that are at work end as they began; the next one gets a new environment.
        """
        self.remove(function.arn)
        self._by_arn[function.arn] = function
        if function.version == LATEST:
            self._by_name[function.name] = function
        self._pools[function.arn] = _Pool(asyncio.Semaphore(self._environments))

    def remove(self, arn: str) -> None:
        """Have it no longer; invocations that are at work end as they began."""
        pool = self._pools.pop(arn, None)
        if pool is None:
            return
        del self._by_arn[arn]
        self._retired.append(pool)

        async def until_idle() -> None:
            for _ in range(self._environments):
                await pool.slots.acquire()
            await asyncio.gather(*(environment.close() for environment in pool.all))

        self._keep(asyncio.create_task(until_idle(), name=f"retired {arn}"))

    def _keep(self, task: "asyncio.Task[None]") -> None:
        self._going_on.add(task)
        task.add_done_callback(self._going_on.discard)

    async def invoke(self, function: str, payload: JSON, conditions: Conditions = ORDINARY) -> InvokeResult:
        """Run a function by name or ARN; deaths and errors of the function are in the result.

        Raises `UnknownFunctionError`, `RequestTooLargeError`, `EnvironmentClosed`. Cancelled while the function
        runs, it ends the process.
        """
        found = self.find(function)
        event = encode(payload)
        if len(event) > MAX_PAYLOAD_BYTES:
            raise RequestTooLargeError(
                f"{len(event)} bytes; at most {MAX_PAYLOAD_BYTES} (gettingstarted-limits)"
            )
        pool = self._pools[found.arn]
        await pool.slots.acquire()
        with ExitStack() as held:
            held.callback(pool.slots.release)
            if self._is_closed:
                raise EnvironmentClosed(f"{found.name} was closed before it was invoked")
            environment = pool.take() or self._new(found, pool)
            held.callback(pool.idle.append, environment)
            result = await environment.invoke(event, conditions)
            if environment.is_taken_for_dead:
                self._let_go_on(environment, held.pop_all())
            return result

    def _let_go_on(self, environment: Environment, held: ExitStack) -> None:
        """Have an environment come back to its pool, and its place be free, when its process has ended."""

        async def until_dead() -> None:
            with held:
                await environment.until_dead()

        self._keep(asyncio.create_task(until_dead(), name=f"late {environment.function.name}"))

    def _new(self, function: Function, pool: _Pool) -> Environment:
        if pool.log is None:
            log = (self._logs_folder / f"{function.logical_id}.log").open("ab", buffering=0)
            pool.log = self._logs.enter_context(log)
        environment = Environment(
            function,
            folder=self._tmp_folder / f"{function.logical_id}-{self._made[function.logical_id]}",
            log=pool.log,
            extra_environment=self._extra_environment,
            init_limit_s=self._init_limit_s,
            bootstrap=self._bootstrap,
            cores=self._cores,
        )
        self._made[function.logical_id] += 1
        pool.all.append(environment)
        return environment

    def pids(self) -> list[int]:
        """The processes alive now."""
        return [e.pid for e in self._all_environments() if e.pid is not None]

    def _all_environments(self) -> list[Environment]:
        return [e for pool in (*self._pools.values(), *self._retired) for e in pool.all]

    async def close(self) -> None:
        """End every process and free every port, whatever is at work; who waits gets `EnvironmentClosed`."""
        self._is_closed = True
        await asyncio.gather(*(e.close() for e in self._all_environments()))
        await asyncio.gather(*self._going_on)
        self._logs.close()
        await asyncio.to_thread(shutil.rmtree, self._tmp_folder, ignore_errors=True)
