"""The Lambda Runtime API on loopback (runtimes-api), as one process of an execution environment is served by it.

A server, and so a port, for each process: nothing else in a request says who asks, and what a dead process still
has on the wire cannot reach the one after it. What the process does there is told as events, in order.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import ClientPayloadError, web

MAX_PAYLOAD_BYTES = 6 * 1024 * 1024  # of a synchronous invocation, each way (gettingstarted-limits)
KEEPALIVE_S = 3600.0  # the answer comes on the connection that brought the event, up to 15 minutes later
_VERSION = "/2018-06-01/runtime/"
TAKEN_FOR_DEAD_PATH = _VERSION + "invocation/{request_id}/taken-for-dead"  # of a fault plan, not of Lambda
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Invocation:
    """One event on its way to a process. `deadline_ms` is in milliseconds since the epoch.

    `client_context` is JSON in ASCII, or nothing; the handler's context gives it.
    """

    request_id: str
    function_arn: str
    event: bytes
    deadline_ms: int
    client_context: str = ""


@dataclass(frozen=True, slots=True)
class Polled:
    """The process asks for an event: its init, or its last event, is behind it."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The handler returned `body`, JSON text."""

    body: bytes


@dataclass(frozen=True, slots=True)
class Failed:
    """The handler or its import raised; `body` is `{errorType, errorMessage, stackTrace, …}`, JSON text."""

    body: bytes


@dataclass(frozen=True, slots=True)
class AnsweredTooMuch:
    """The handler returned more than `MAX_PAYLOAD_BYTES`."""

    size_bytes: int


@dataclass(frozen=True, slots=True)
class TakenForDead:
    """The process goes on with its event, and its caller shall hear that it timed out."""


RuntimeEvent = Polled | Answered | Failed | AnsweredTooMuch | TakenForDead


class RuntimeApi:
    """The API for one process; `tell` hears what it does."""

    def __init__(self, tell: Callable[[RuntimeEvent], None]) -> None:
        self._tell = tell
        self._requests = web.Server(
            self._handle,
            access_log=None,
            logger=_log,
            handler_cancellation=True,
            keepalive_timeout=KEEPALIVE_S,
        )
        self._server: asyncio.Server | None = None
        self._invocation: Invocation | None = None
        self._poll: asyncio.Future[Invocation] | None = None
        self._is_delivered = False

    async def open(self) -> str:
        """Listen on a free loopback port; `host:port`, as AWS_LAMBDA_RUNTIME_API tells it."""
        self._server = await asyncio.get_running_loop().create_server(self._requests, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"{host}:{port}"

    async def close(self) -> None:
        """Drop every connection and free the port."""
        if self._server is not None:
            self._server.close()
            await self._requests.shutdown(0)
            await self._server.wait_closed()
            self._server = None

    def offer(self, invocation: Invocation) -> None:
        """Give the process its next event, as soon as it asks."""
        self._invocation, self._is_delivered = invocation, False
        if self._poll is not None and not self._poll.done():
            self._deliver(self._poll, invocation)

    def _deliver(self, poll: "asyncio.Future[Invocation]", invocation: Invocation) -> None:
        poll.set_result(invocation)
        self._is_delivered = True

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._routed(request)
        except (ConnectionError, ClientPayloadError) as error:  # it died in the middle of its request
            _log.debug("a process went away: %r", error)
            return web.Response(status=400)

    async def _routed(self, request: web.BaseRequest) -> web.StreamResponse:
        match request.method, request.path.removeprefix(_VERSION).split("/"):
            case "GET", ["invocation", "next"]:
                return await self._next()
            case "POST", ["init", "error"]:
                body, _ = await _read(request)
                self._tell(Failed(body))
                return _accepted()
            case "POST", ["invocation", request_id, "response" | "error" as outcome]:
                body, size_bytes = await _read(request)
                if not self._takes_answer(request_id):
                    return web.json_response({"errorType": "InvalidRequestID"}, status=400)
                if size_bytes > MAX_PAYLOAD_BYTES:
                    self._tell(AnsweredTooMuch(size_bytes))
                else:
                    self._tell(Answered(body) if outcome == "response" else Failed(body))
                # Also where it was too much: awslambdaric would end the process over a 413, and the next
                # invocation need not pay for it.
                return _accepted()
            case "POST", ["invocation", request_id, "taken-for-dead"] if self._is_at_work(request_id):
                self._tell(TakenForDead())
                return _accepted()
        return web.json_response({"errorType": "NotFound"}, status=404)

    async def _next(self) -> web.Response:
        self._poll = poll = asyncio.get_running_loop().create_future()
        self._tell(Polled())
        if self._invocation is not None and not self._is_delivered:
            self._deliver(poll, self._invocation)
        invocation = await poll
        trace = invocation.request_id.replace("-", "")
        headers = {
            "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
            "Lambda-Runtime-Deadline-Ms": str(invocation.deadline_ms),
            "Lambda-Runtime-Invoked-Function-Arn": invocation.function_arn,
            "Lambda-Runtime-Trace-Id": f"Root=1-{trace[:8]}-{trace[8:]};Sampled=0",
        }
        if invocation.client_context:
            headers["Lambda-Runtime-Client-Context"] = invocation.client_context
        return web.Response(body=invocation.event, content_type="application/json", headers=headers)

    def _is_at_work(self, request_id: str) -> bool:
        at_work = self._invocation
        return at_work is not None and self._is_delivered and at_work.request_id == request_id

    def _takes_answer(self, request_id: str) -> bool:
        """Whether that event is at work here; it is answered once."""
        if not self._is_at_work(request_id):
            return False
        self._invocation = None
        return True


def _accepted() -> web.Response:
    return web.json_response({"status": "OK"}, status=202)


async def _read(request: web.BaseRequest) -> tuple[bytes, int]:
    """The body and its size; of a body over the limit nothing is kept but what came before it."""
    parts: list[bytes] = []
    size_bytes = 0
    async for part in request.content.iter_any():
        size_bytes += len(part)
        if size_bytes <= MAX_PAYLOAD_BYTES:
            parts.append(part)
    return b"".join(parts), size_bytes
