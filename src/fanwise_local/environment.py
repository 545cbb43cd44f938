"""One execution environment: a process that keeps warm, takes one event at a time, and dies as it would on AWS.

Init has ten seconds; if it takes longer or fails, it is tried again inside the first invocation, under the function's
timeout. An invocation past its timeout, a process past its memory, a process that ends: each kills the process, not
the environment. Its folder, which the process sees as /tmp (TMPDIR), stays (lambda-runtime-environment).
"""

import asyncio
import os
import signal
import sys
import time
import uuid
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from fanwise_local.runtime_api import FunctionFault, Invocation, RuntimeDoor
from fanwise_local.template import Function

INIT_LIMIT_S = 10.0
MEMORY_SAMPLE_S = 0.05
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20
_KEPT_FROM_THE_CALLER = ("PATH", "HOME", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "PYTHONPATH", "VIRTUAL_ENV")


@dataclass(frozen=True)
class InvokeResult:
    """What Lambda answers: the payload as JSON text, or the fault; and what the invocation took."""

    request_id: str
    payload: bytes
    fault: FunctionFault | None
    duration_ms: float
    init_ms: float
    cold: bool


class Environment:
    """One environment of a function. `invoke` is called by one caller at a time."""

    def __init__(
        self,
        function: Function,
        door: RuntimeDoor,
        *,
        folder: Path,
        log: IO[bytes],
        extra_environment: Mapping[str, str],
        init_limit_s: float = INIT_LIMIT_S,
    ) -> None:
        self.function = function
        self._door = door
        self._folder = folder
        self._log = log
        self._extra_environment = extra_environment
        self._init_limit_s = init_limit_s
        self._process: asyncio.subprocess.Process | None = None
        self._started = 0.0
        self._init_ms = 0.0
        self._is_warm = False

    @property
    def pid(self) -> int | None:
        """The process at work, if there is one."""
        return self._process.pid if self._process is not None else None

    async def invoke(self, event: bytes) -> InvokeResult:
        """Run one event to its end, whatever end that is. Cancelled, it kills the process."""
        request_id = str(uuid.uuid4())
        cold, self._init_ms = not self._is_warm, 0.0
        began = time.monotonic()
        payload, fault = b"null", None
        try:
            if cold:
                await self._init_before_invocation()
                began = time.monotonic()
            try:
                async with asyncio.timeout(self.function.timeout_s):
                    if not self._is_warm:
                        await self._init(None)
                    payload = await self._run(request_id, event)
            except TimeoutError:
                await self.kill()
                message = f"Task timed out after {self.function.timeout_s:.2f} seconds"
                raise _death("Sandbox.Timedout", request_id, message) from None
        except FunctionFault as caught:
            fault = caught if "RequestId: " in str(caught) else _with_request_id(caught, request_id)
        except BaseException:
            await self.kill()
            raise
        duration_ms = (time.monotonic() - began) * 1000
        return InvokeResult(request_id, payload, fault, duration_ms, self._init_ms, cold)

    async def _init_before_invocation(self) -> None:
        """The init phase proper. What goes wrong here goes wrong again inside the invocation, and is told there."""
        try:
            async with asyncio.timeout(self._init_limit_s):
                await self._init(None)
        except (TimeoutError, FunctionFault):
            await self.kill()

    async def _init(self, request_id: str | None) -> None:
        """Start the process, if there is none, and wait until it asks for an event."""
        if self._process is None:
            await self.start()
        await self._until(self._door.ready.wait(), request_id)
        if self._door.init_fault is not None:
            fault = self._door.init_fault
            await self.kill()
            raise fault
        self._init_ms = (time.monotonic() - self._started) * 1000
        self._is_warm = True

    async def start(self) -> None:
        """Start the process; it goes through its init by itself."""
        if not self.function.task_root.is_dir():
            raise FunctionFault("Runtime.ImportModuleError", f"there is no folder {self.function.task_root}")
        self._door.reset()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._started = time.monotonic()
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "fanwise_local.bootstrap",
            str(os.getpid()),
            self.function.handler,
            cwd=self.function.task_root,
            env=self._variables(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )

    def _variables(self) -> dict[str, str]:
        """The process's environment: Lambda's own variables, the function's, and little of the caller's."""
        function = self.function
        kept = {name: os.environ[name] for name in _KEPT_FROM_THE_CALLER if name in os.environ}
        path = [str(function.task_root), *map(str, function.layers), *filter(None, [kept.get("PYTHONPATH")])]
        return {
            **kept,
            "LANG": "en_US.UTF-8",
            "PYTHONUTF8": "1",
            "TMPDIR": str(self._folder),
            "AWS_LAMBDA_RUNTIME_API": self._door.address,
            "AWS_LAMBDA_FUNCTION_NAME": function.name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": self._folder.name,
            "AWS_REGION": function.arn.split(":")[3],
            "AWS_DEFAULT_REGION": function.arn.split(":")[3],
            "LAMBDA_TASK_ROOT": str(function.task_root),
            "_HANDLER": function.handler,
            **function.environment,
            **self._extra_environment,
            "PYTHONPATH": os.pathsep.join(path),
        }

    async def _run(self, request_id: str, event: bytes) -> bytes:
        deadline_ms = int((time.time() + self.function.timeout_s) * 1000)
        invocation = Invocation(request_id, self.function.arn, event, deadline_ms)
        self._door.give(invocation)
        await self._until(asyncio.wait([invocation.answer]), request_id)
        return invocation.answer.result()

    async def _until(self, happens: Coroutine[Any, Any, object], request_id: str | None) -> None:
        """Wait for something the process does; raises `FunctionFault` if it dies before that."""
        assert self._process is not None  # noqa: S101 - only called with one
        wanted = asyncio.ensure_future(happens)
        ends = asyncio.ensure_future(self._process.wait())
        too_much = asyncio.ensure_future(self._memory_exceeded(self._process.pid))
        try:
            await asyncio.wait([wanted, ends, too_much], return_when=asyncio.FIRST_COMPLETED)
            if wanted.done():
                return
            if too_much.done() and not ends.done():
                await self.kill()
                raise _death("Runtime.OutOfMemory", request_id, "Runtime exited with error: signal: killed")
            status = await ends
            self._forget()
            raise _death("Runtime.ExitError", request_id, f"Runtime exited with error: {_status(status)}")
        finally:
            for task in (wanted, ends, too_much):
                task.cancel()
            await asyncio.gather(wanted, ends, too_much, return_exceptions=True)

    async def _memory_exceeded(self, pid: int) -> None:
        """Return when the process and its children hold more memory than the function has."""
        if sys.platform != "linux":
            await asyncio.Event().wait()
        while _resident_mb(pid) <= self.function.memory_mb:
            await asyncio.sleep(MEMORY_SAMPLE_S)

    def _forget(self) -> None:
        self._process, self._is_warm = None, False

    async def kill(self) -> None:
        """End the process and all it started, now."""
        process = self._process
        if process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        self._forget()


def _death(error_type: str, request_id: str | None, message: str) -> FunctionFault:
    return FunctionFault(error_type, f"RequestId: {request_id} Error: {message}" if request_id else message)


def _with_request_id(fault: FunctionFault, request_id: str) -> FunctionFault:
    """A death during init, told as the invocation that it made fail; what a handler raised stays as it is."""
    if not fault.error_type.startswith(("Runtime.Exit", "Runtime.OutOf")):
        return fault
    return _death(fault.error_type, request_id, str(fault.payload["errorMessage"]))


def _status(returncode: int) -> str:
    if returncode >= 0:
        return f"exit status {returncode}"
    names = {signal.SIGKILL: "killed", signal.SIGSEGV: "segmentation fault", signal.SIGABRT: "aborted"}
    number = signal.Signals(-returncode)
    return f"signal: {names.get(number, number.name)}"


def _resident_mb(pid: int) -> float:
    """Resident memory of a process and its children; 0 for one that is gone."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            resident = int(file.read().split()[1]) * _PAGE_MB
        with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:
            children = file.read().split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return resident + sum(_resident_mb(int(child)) for child in children)
