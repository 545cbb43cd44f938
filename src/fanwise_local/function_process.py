"""One process of an execution environment: the function's handler under awslambdaric, in a session of its own."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from fanwise_local.memory_watch import MemoryWatch
from fanwise_local.runtime_api import Invocation, RuntimeApi, RuntimeEvent
from fanwise_local.template import Function
from fanwise_local.this_machine import hold_to_cores

# The module that a process runs; of a cloud with a fault plan the second.
BOOTSTRAP, FAULTY_BOOTSTRAP = "fanwise_local.bootstrap", "fanwise_local.faults.bootstrap"

# What a program needs to start at all on this machine. Credentials are not among it.
_KEPT_FROM_THE_CALLER = ("PATH", "HOME", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "VIRTUAL_ENV")


@dataclass(frozen=True, slots=True)
class Ended:
    """The process is gone; `status` as subprocess has it, negative for a signal."""

    status: int


@dataclass(frozen=True, slots=True)
class OutOfMemory:
    """The process and what it started held more than the function's memory, and were killed for it."""


ProcessEvent = RuntimeEvent | Ended | OutOfMemory


class FunctionProcess:
    """A process, from its start to its end. Its events are read one by one, in order."""

    def __init__(
        self,
        function: Function,
        *,
        folder: Path,
        log: IO[bytes],
        extra_environment: Mapping[str, str],
        bootstrap: str = BOOTSTRAP,
        cores: int | None = None,
    ) -> None:
        """`cores`, where it is said, is how many of this machine it may use (Linux)."""
        self._function = function
        self._bootstrap = bootstrap
        self._cores = cores
        self._folder = folder
        self._log = log
        self._extra_environment = extra_environment
        self._events: asyncio.Queue[ProcessEvent] = asyncio.Queue()
        self._api = RuntimeApi(self._events.put_nowait)
        self._process: asyncio.subprocess.Process | None = None
        self._end: asyncio.Task[None] | None = None
        self._memory: MemoryWatch | None = None
        self._is_killed = False

    @property
    def pid(self) -> int | None:
        """Its id, as long as it is there."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    @property
    def is_alive(self) -> bool:
        """Whether it can be given events: started, not gone and not killed."""
        return self.pid is not None and not self._is_killed and not _has_ended(self.pid)

    async def start(self) -> None:
        """Start it; it goes through its init by itself. Raises `OSError` where this machine cannot."""
        address = await self._api.open()
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                self._bootstrap,
                str(os.getpid()),
                self._function.handler,
                cwd=self._function.task_root,
                env=self._variables(address),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                start_new_session=True,  # a Ctrl-C at the terminal is the cloud's; and its group can be killed
            )
        except BaseException:
            await self._api.close()
            raise
        hold_to_cores(self._process.pid, self._cores)  # before it has threads, which go by their maker
        self._memory = MemoryWatch(self._process.pid, self._function.memory_mb, self._exceeded)
        self._end = asyncio.create_task(self._wait(self._process), name=f"end of {self._function.name}")
        if self._is_killed:  # while it was being started
            self.kill()

    async def _wait(self, process: asyncio.subprocess.Process) -> None:
        status = await process.wait()
        if self._memory is not None:
            self._memory.stop()
        self._signal_group(process.pid)  # what it leaves behind
        self._events.put_nowait(Ended(status))
        await self._api.close()

    def _exceeded(self) -> None:
        self._events.put_nowait(OutOfMemory())
        self.kill()

    def offer(self, invocation: Invocation) -> None:
        """Give it an event, as soon as it asks for one."""
        self._api.offer(invocation)

    async def event(self, deadline_s: float) -> ProcessEvent | None:
        """What it does next; None if the loop's time reaches `deadline_s` before."""
        try:
            async with asyncio.timeout_at(deadline_s):
                return await self._events.get()
        except TimeoutError:
            return None

    def kill(self) -> None:
        """End it and what it started, now; does not wait."""
        self._is_killed = True
        if self.pid is not None:
            self._signal_group(self.pid)

    def _signal_group(self, pid: int) -> None:
        with suppress(ProcessLookupError, PermissionError):  # gone; on macOS also where only zombies are left
            os.killpg(pid, signal.SIGKILL)

    async def ended(self) -> None:
        """Wait until it is gone and its port is free."""
        if self._end is not None:
            await asyncio.shield(self._end)

    def _variables(self, address: str) -> dict[str, str]:
        """Its environment (configuration-envvars): Lambda's variables, the function's, little of the caller's."""
        function, region = self._function, self._function.arn.split(":")[3]
        caller_path = [os.path.abspath(p) for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p]
        path = [str(function.task_root), *map(str, function.layers), *caller_path]
        return {
            **{name: os.environ[name] for name in _KEPT_FROM_THE_CALLER if name in os.environ},
            "LANG": "en_US.UTF-8",
            "PYTHONUTF8": "1",
            "TZ": ":UTC",
            **function.environment,
            **self._extra_environment,
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{function.runtime}",
            "AWS_LAMBDA_RUNTIME_API": address,
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_FUNCTION_NAME": function.name,
            "AWS_LAMBDA_FUNCTION_VERSION": function.version,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": self._folder.name,
            "LAMBDA_TASK_ROOT": str(function.task_root),
            "_HANDLER": function.handler,
            "TMPDIR": str(self._folder),
            "PYTHONPATH": os.pathsep.join(path),
        }


def _has_ended(pid: int) -> bool:
    """Whether a child is gone, also where the event loop has not been told of it yet; does not collect it."""
    if not hasattr(os, "waitid"):
        return False
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # the loop has collected it, and will hear of it
        return True
