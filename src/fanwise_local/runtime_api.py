"""The Lambda Runtime API on loopback (runtimes-api): where each execution environment asks for its next event.

One port per environment, since nothing else in a request says who asks.
"""

import asyncio
import json
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

MAX_PAYLOAD_BYTES = 6 * 1024 * 1024  # of a synchronous invocation, each way (gettingstarted-limits)
_VERSION = "/2018-06-01/runtime"


@dataclass
class Invocation:
    """One event on its way through an environment. `answer` becomes the response's body, or a `FunctionFault`."""

    request_id: str
    function_arn: str
    event: bytes
    deadline_ms: int
    answer: "asyncio.Future[bytes]" = field(default_factory=asyncio.Future)


class FunctionFault(Exception):
    """An error as Lambda answers it: `error_type` and the payload `{errorType, errorMessage, stackTrace?}`."""

    def __init__(self, error_type: str, message: str, payload: dict[str, Any] | None = None) -> None:
        super().__init__(f"{error_type}: {message}")
        self.error_type = error_type
        self.payload = payload or {"errorType": error_type, "errorMessage": message}


class RuntimeDoor:
    """The API as one process sees it: `next` waits here for an invocation, the answer comes back here."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.ready = asyncio.Event()
        self.init_fault: FunctionFault | None = None
        self._waiting: asyncio.Queue[Invocation] = asyncio.Queue(1)
        self._current: Invocation | None = None

    def reset(self) -> None:
        """A new process comes to this door."""
        self.ready.clear()
        self.init_fault = None
        self._waiting = asyncio.Queue(1)
        self._current = None

    def give(self, invocation: Invocation) -> None:
        """Hand the process its next event; it takes one at a time."""
        self._waiting.put_nowait(invocation)

    async def next(self) -> Invocation:
        """What GET next waits for. The first time it is asked, the process has finished its init."""
        self.ready.set()
        self._current = await self._waiting.get()
        return self._current

    def current(self, request_id: str) -> Invocation | None:
        """The invocation of that id, if it is the one at work."""
        current = self._current
        return current if current is not None and current.request_id == request_id else None


class RuntimeApi:
    """The server of all doors."""

    def __init__(self) -> None:
        self._doors: dict[int, RuntimeDoor] = {}
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Ready to open doors."""
        app = web.Application(client_max_size=MAX_PAYLOAD_BYTES + 1024 * 1024)
        app.router.add_get(f"{_VERSION}/invocation/next", self._next)
        app.router.add_post(f"{_VERSION}/invocation/{{id}}/response", self._response)
        app.router.add_post(f"{_VERSION}/invocation/{{id}}/error", self._error)
        app.router.add_post(f"{_VERSION}/init/error", self._init_error)
        self._runner = web.AppRunner(
            app, access_log=None, handle_signals=False, handler_cancellation=True, shutdown_timeout=0.1
        )
        await self._runner.setup()
        logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # a process that dies mid-request

    async def open(self) -> RuntimeDoor:
        """A door on a free loopback port."""
        if self._runner is None:
            raise RuntimeError("the Runtime API has not been started")
        listener = socket.create_server(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        door = self._doors[port] = RuntimeDoor(f"127.0.0.1:{port}")
        await web.SockSite(self._runner, listener).start()
        return door

    async def close(self) -> None:
        """Free all ports."""
        if self._runner is not None:
            await self._runner.cleanup()

    def _door(self, request: web.Request) -> RuntimeDoor:
        assert request.transport is not None  # noqa: S101 - there is one while a request is handled
        return self._doors[request.transport.get_extra_info("sockname")[1]]

    async def _next(self, request: web.Request) -> web.Response:
        invocation = await self._door(request).next()
        return web.Response(
            body=invocation.event,
            content_type="application/json",
            headers={
                "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
                "Lambda-Runtime-Deadline-Ms": str(invocation.deadline_ms),
                "Lambda-Runtime-Invoked-Function-Arn": invocation.function_arn,
                "Lambda-Runtime-Trace-Id": f"Root=1-{invocation.deadline_ms // 1000:08x}-{'0' * 24};Sampled=0",
            },
        )

    async def _response(self, request: web.Request) -> web.Response:
        body = await request.read()
        if len(body) > MAX_PAYLOAD_BYTES:
            message = (
                f"Response payload size exceeded maximum allowed payload size ({MAX_PAYLOAD_BYTES} bytes)."
            )
            fault = FunctionFault("Function.ResponseSizeTooLarge", message)
            return self._answer(request, lambda answer: answer.set_exception(fault))
        return self._answer(request, lambda answer: answer.set_result(body))

    async def _error(self, request: web.Request) -> web.Response:
        fault = _fault_of(await request.read())
        return self._answer(request, lambda answer: answer.set_exception(fault))

    async def _init_error(self, request: web.Request) -> web.Response:
        door = self._door(request)
        door.init_fault = _fault_of(await request.read())
        door.ready.set()
        return web.json_response({"status": "OK"}, status=202)

    def _answer(
        self, request: web.Request, answer: Callable[["asyncio.Future[bytes]"], None]
    ) -> web.Response:
        invocation = self._door(request).current(request.match_info["id"])
        if invocation is None or invocation.answer.done():
            return web.json_response({"errorType": "InvalidRequestID"}, status=400)
        answer(invocation.answer)
        return web.json_response({"status": "OK"}, status=202)


def _fault_of(body: bytes) -> FunctionFault:
    try:
        payload = json.loads(body)
        return FunctionFault(str(payload["errorType"]), str(payload.get("errorMessage", "")), payload)
    except (ValueError, KeyError, TypeError):
        return FunctionFault("Runtime.Unknown", body.decode(errors="replace"))
