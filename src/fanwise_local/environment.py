"""One execution environment: a process that keeps warm, takes one event at a time, and dies as it would on AWS.

Init has ten seconds; if it takes longer or fails, it is done again inside the first invocation, under the
function's timeout. An invocation past its timeout, a process past its memory, a process that ends: each costs the
process, not the environment. Its folder, which the process sees as /tmp (TMPDIR), stays
(lambda-runtime-environment).
"""

import asyncio
import json
import shutil
import signal
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from fanwise_local.function_process import BOOTSTRAP, Ended, FunctionProcess, OutOfMemory, ProcessEvent
from fanwise_local.runtime_api import (
    MAX_PAYLOAD_BYTES,
    Answered,
    AnsweredTooMuch,
    Failed,
    Invocation,
    Polled,
    TakenForDead,
)
from fanwise_local.template import Function

INIT_LIMIT_S = 10.0


class EnvironmentClosed(RuntimeError):
    """The cloud was closed while the invocation waited or was at work."""


@dataclass(frozen=True)
class FunctionFault:
    """An error as Lambda answers it: its type and the payload `{errorType, errorMessage, stackTrace?}`."""

    error_type: str
    payload: dict[str, Any]


@dataclass(frozen=True)
class InvokeResult:
    """What Lambda answers: the payload as JSON text, or the fault; and what the invocation took.

    `cold`: its process was new. `init_ms` is the init phase before it, billed beside `duration_ms`; an init that
    was done again inside the invocation is part of `duration_ms`. `pid` is the process, while it is there.
    """

    request_id: str
    payload: bytes
    fault: FunctionFault | None
    duration_ms: float
    init_ms: float
    cold: bool
    pid: int | None = None


@dataclass(frozen=True)
class Conditions:
    """What is out of the ordinary about an invocation (fanwise_local.faults); by default nothing.

    `client_context` goes with the event, as JSON in ASCII. `timeout_s` is in place of the function's. `late_s` is
    how long after its deadline a process that was taken for dead may still be at work.
    """

    client_context: str = ""
    timeout_s: float | None = None
    late_s: float = 0.0


ORDINARY = Conditions()


class Environment:
    """One environment of a function.

    `is_taken_for_dead`: its caller has heard that it timed out, and its process is still at work.
    """

    def __init__(
        self,
        function: Function,
        *,
        folder: Path,
        log: IO[bytes],
        extra_environment: Mapping[str, str],
        init_limit_s: float = INIT_LIMIT_S,
        bootstrap: str = BOOTSTRAP,
        cores: int | None = None,
    ) -> None:
        self.function = function
        self.is_taken_for_dead = False
        self._dead_s = 0.0  # of the loop's time; when that process is not waited for any longer
        self._bootstrap = bootstrap
        self._cores = cores
        self._folder = folder
        self._log = log
        self._extra_environment = extra_environment
        self._init_limit_s = init_limit_s
        self._process: FunctionProcess | None = None
        self._is_asking = False  # the process waits for an event, as far as we know
        self._is_closed = False
        self._at_work = asyncio.Lock()  # one event at a time; and close waits for the end of the last

    @property
    def pid(self) -> int | None:
        """The process at work, if there is one."""
        return self._process.pid if self._process is not None else None

    @property
    def is_warm(self) -> bool:
        """Whether there is a process that takes events. Between invocations it is initialised too."""
        return self._process is not None and self._process.is_alive

    async def invoke(self, event: bytes, conditions: Conditions = ORDINARY) -> InvokeResult:
        """Run one event to its end, whatever end that is; with `is_taken_for_dead`, `until_dead` waits for it.

        Cancelled, it kills the process, where on Lambda the function would run on; the next invocation gets a new
        one. Raises `EnvironmentClosed`, and `OSError` where this machine can start no process.
        """
        request_id = str(uuid.uuid4())
        async with self._at_work:
            try:
                result = await self._invoke(request_id, event, conditions)
            except BaseException:
                self.kill()
                raise
        if self._is_closed:
            raise EnvironmentClosed(f"{self.function.name} was closed while request {request_id} was at work")
        return result

    async def _invoke(self, request_id: str, event: bytes, conditions: Conditions) -> InvokeResult:
        loop = asyncio.get_running_loop()
        cold, init_ms = not await self._is_done_with_the_last(), 0.0
        if cold:
            began_s = loop.time()
            await self._init(began_s + self._init_limit_s)
            init_ms = (loop.time() - began_s) * 1000
        began_s = loop.time()
        timeout_s = self.function.timeout_s if conditions.timeout_s is None else conditions.timeout_s
        deadline_s = began_s + timeout_s
        end = Polled() if self._is_asking else await self._init(deadline_s)
        if isinstance(end, Polled):
            end = await self._run(request_id, event, deadline_s, conditions.client_context)
        self.is_taken_for_dead = isinstance(end, TakenForDead)
        self._dead_s = deadline_s + conditions.late_s
        payload, fault = self._told(end, request_id, timeout_s)
        duration_ms = (loop.time() - began_s) * 1000
        return InvokeResult(request_id, payload, fault, duration_ms, init_ms, cold, self.pid)

    async def _is_done_with_the_last(self) -> bool:
        """Whether there is a process that asks for an event again, or will in a moment.

        One that dies after its answer takes nothing with it: the next event gets a new process.
        """
        if self._process is None or not self._process.is_alive:
            self._is_asking = False
            return False
        if not self._is_asking:
            deadline_s = asyncio.get_running_loop().time() + self.function.timeout_s
            self._is_asking = isinstance(await self._process.event(deadline_s), Polled)
            if not self._is_asking:
                self.kill()
        return self._is_asking

    async def _init(self, deadline_s: float) -> ProcessEvent | None:
        """Start a process and wait until it asks for an event; anything but `Polled` means that it did not."""
        if self._process is not None:
            self._process.kill()
            await self._process.ended()
        if self._is_closed:
            raise EnvironmentClosed(f"{self.function.name} was closed")
        self._folder.mkdir(parents=True, exist_ok=True)
        self._process = process = FunctionProcess(
            self.function,
            folder=self._folder,
            log=self._log,
            extra_environment=self._extra_environment,
            bootstrap=self._bootstrap,
            cores=self._cores,
        )
        await process.start()
        happened = await process.event(deadline_s)
        self._is_asking = isinstance(happened, Polled)
        if not self._is_asking:
            process.kill()
        return happened

    async def _run(
        self, request_id: str, event: bytes, deadline_s: float, client_context: str
    ) -> ProcessEvent | None:
        """Hand the event over and wait for what becomes of it."""
        process = self._process
        assert process is not None  # noqa: S101 - it is warm
        left_s = deadline_s - asyncio.get_running_loop().time()
        deadline_ms = int((time.time() + left_s) * 1000)
        self._is_asking = False
        process.offer(Invocation(request_id, self.function.arn, event, deadline_ms, client_context))
        while isinstance(happened := await process.event(deadline_s), Polled):
            pass  # it asked again, over another connection
        return happened

    def _told(
        self, end: ProcessEvent | None, request_id: str, timeout_s: float
    ) -> tuple[bytes, FunctionFault | None]:
        """What Lambda tells of an end (troubleshooting-invocation): the payload, or the fault."""
        match end:
            case Answered(body):
                return body, None
            case Failed(body):
                return b"null", _fault_of(body)
            case AnsweredTooMuch(size_bytes):
                message = (
                    f"Response payload size ({size_bytes} bytes) exceeded maximum allowed payload size"
                    f" ({MAX_PAYLOAD_BYTES} bytes)."
                )
                return b"null", _fault("Function.ResponseSizeTooLarge", message)
            case Ended(status):
                error_type, message = "Runtime.ExitError", f"Runtime exited {_how(status)}"
            case OutOfMemory():
                error_type, message = "Runtime.OutOfMemory", "Runtime exited with error: signal: killed"
            case Polled() | TakenForDead() | None:
                if not self.is_taken_for_dead:
                    self.kill()
                error_type = "Sandbox.Timedout"
                message = f"Task timed out after {timeout_s:.2f} seconds"
        message = f"RequestId: {request_id} Error: {message}"
        with suppress(OSError):  # a log on a full disk
            self._log.write(f"{message} ({error_type})\n".encode())
        return b"null", _fault(error_type, message)

    async def until_dead(self) -> None:
        """Wait until a process that was taken for dead has done what it still does, and end it."""
        async with self._at_work:
            if self.is_taken_for_dead and self._process is not None:
                await self._process.event(self._dead_s)
                self.kill()
                self.is_taken_for_dead = False

    def kill(self) -> None:
        """End the process and all it started, now; does not wait."""
        if self._process is not None:
            self._process.kill()

    async def close(self) -> None:
        """End the process, for good, and remove the folder."""
        self._is_closed = True
        self.kill()
        async with self._at_work:
            if self._process is not None:
                await self._process.ended()
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)


def _fault(error_type: str, message: str) -> FunctionFault:
    return FunctionFault(error_type, {"errorType": error_type, "errorMessage": message})


def _fault_of(body: bytes) -> FunctionFault:
    """What awslambdaric told of a handler's own error."""
    try:
        payload = json.loads(body)
        return FunctionFault(str(payload["errorType"]), payload)
    except (ValueError, KeyError, TypeError):
        return _fault("Runtime.Unknown", body.decode(errors="replace"))


def _how(status: int) -> str:
    if status == 0:
        return "without providing a reason"
    if status > 0:
        return f"with error: exit status {status}"
    return f"with error: signal: {(signal.strsignal(-status) or str(-status)).lower()}"
