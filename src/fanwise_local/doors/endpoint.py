"""The local cloud behind one loopback endpoint, which `AWS_ENDPOINT_URL` names: for the AWS CLI and SDKs.

A request goes where it was signed for: Step Functions and Lambda are this machine's own (`step_functions`,
`lambda_functions`), what keeps data is moto's (`in_memory`); nothing else is served. Before all of it stand the
guard of `aws_json`, against web pages, and the gate of `signed_requests`, which asks for the endpoint's secret.
"""

import asyncio
import logging
import re
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import HttpProcessingError, TransferEncodingError

from fanwise_local.clock import Clock
from fanwise_local.cloud import LocalCloud
from fanwise_local.doors.aws_json import AccessDeniedException, check_caller
from fanwise_local.doors.claims import SignatureRefused
from fanwise_local.doors.in_memory import SERVICES, EndpointBuckets, InMemoryServices
from fanwise_local.doors.lambda_functions import PATH as LAMBDA_PATH
from fanwise_local.doors.lambda_functions import LambdaDoor
from fanwise_local.doors.object_events import Created
from fanwise_local.doors.refusals import Malformed, protocol_of, refused
from fanwise_local.doors.signatures import KeyPair
from fanwise_local.doors.signed_requests import Gate
from fanwise_local.doors.step_functions import CLOSING_S, TARGET_PREFIX, StepFunctionsDoor
from fanwise_local.doors.wsgi import received
from fanwise_local.events import s3_event
from fanwise_local.schedules import Schedules
from fanwise_local.states.observer import Observer
from fanwise_local.states.payloads import timestamp
from fanwise_local.template import Stack
from fanwise_local.template_resources import REGION

HOST = "127.0.0.1"
ANY_KEYS = KeyPair("local", "local")  # for the SDKs, which sign, where nobody asks for a signature
MAX_LINE_BYTES = 64 * 1024  # of a request's target and of a header: presigned URLs are long
MAX_OBJECT_BYTES = 5 * 1024**3
MAX_REQUEST_BYTES = 16 * 1024 * 1024
IDLE_S = 30.0  # a connection may be open without a whole request's headers

_SIGNED_FOR = re.compile(
    r"Credential=[^/\s]+/\d{8}/[^/]+/([^/\s]+)/aws4_request"
)  # sigv4-auth-using-authorization-header
_log = logging.getLogger(__name__)


class Endpoint:
    """A stack at work behind `address`, from `async with` to its end; all that it keeps is gone after it.

    `work_dir`, `environments` and `observer` are the cloud's. One in a process. Raises `OSError` where the port is
    taken, and `InputError` where moto is not installed.
    """

    def __init__(
        self,
        stack: Stack,
        *,
        work_dir: Path,
        port: int = 0,
        environments: int | None = None,
        observer: Observer | None = None,
        keys: KeyPair | None = None,
        idle_s: float = IDLE_S,
    ) -> None:
        """Requests are to be signed with `keys`; without, nothing is asked for."""
        self.keys = keys or ANY_KEYS
        self._gate = Gate(keys)
        self._idle_s = idle_s
        self._stack = stack
        self._work_dir = work_dir
        self._port = port
        self._environments = environments
        self._observer = observer
        self._open = AsyncExitStack()
        self.services = InMemoryServices(stack, self._created)
        self.address = ""
        self._server: asyncio.Server | None = None
        self._connections: web.Server | None = None
        self.cloud: LocalCloud
        self._states: StepFunctionsDoor
        self._functions: LambdaDoor

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opening:
            server = await self._bind()
            opening.push_async_callback(self._close)
            await self.services.open()
            opening.push_async_callback(self.services.close)
            self.cloud = await opening.enter_async_context(
                LocalCloud(
                    self._stack,
                    work_dir=self._work_dir,
                    mounts=EndpointBuckets(self.services, self.address, self._credentials()),
                    environments=self._environments,
                    observer=self._observer,
                    outbox=self.services,
                )
            )
            self.cloud.event_bus.listen(self.services.tell)
            schedules = Schedules(self._stack.schedules, Clock(), self.cloud.event_bus.deliver)
            firing = asyncio.create_task(schedules.run(), name="schedules")
            opening.callback(firing.cancel)
            self._states = StepFunctionsDoor(self.cloud.state_machine)
            self._functions = LambdaDoor(
                self.cloud.functions, self.cloud.invoked, opened_at=timestamp(time.time())
            )
            opening.push_async_callback(self._functions.close)
            await server.start_serving()
            opening.push_async_callback(self._close)  # first at the end: nobody is to meet half of it
            self._open = opening.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    @property
    def port(self) -> int:
        """Of 127.0.0.1."""
        return int(self.address.rpartition(":")[2])

    def environment(self) -> dict[str, str]:
        """What points the AWS CLI and SDKs here."""
        return {
            "AWS_ENDPOINT_URL": f"http://{self.address}",
            **self._credentials(),
            "AWS_DEFAULT_REGION": REGION,
        }

    def _credentials(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": self.keys.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.keys.secret_access_key,
        }

    async def _bind(self) -> asyncio.Server:
        """Take the port; nothing is answered yet."""
        self._connections = web.Server(
            self._handle,
            access_log=None,
            logger=_http_log(),
            keepalive_timeout=self._idle_s,
            auto_decompress=False,  # an object comes back as it was sent
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_LINE_BYTES,
        )
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connections, HOST, self._port, start_serving=False)
        self.address = "{}:{}".format(*self._server.sockets[0].getsockname()[:2])
        return self._server

    async def _close(self) -> None:
        """Drop every connection and free the port; a second time it does nothing."""
        server, self._server = self._server, None
        if server is not None and self._connections is not None:
            server.close()
            await self._connections.shutdown(CLOSING_S)
            await server.wait_closed()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        service = _service_of(request)
        try:
            return await self._admitted(request, service)
        except Exception as error:
            return _refusal(error, protocol_of(request, service))

    async def _admitted(self, request: web.BaseRequest, service: str) -> web.StreamResponse:
        """Raises `SignatureRefused`, `AccessDeniedException`, `Malformed` and what happens on the way."""
        check_caller(request)
        claim = self._gate.admit(request, service)
        async with received(request, _most_bytes(service), self._idle_s) as sent:
            body, further = await self._gate.opened(request, service, claim, sent)
            with body:
                return await self._answer(service, request, body, further)

    async def _answer(
        self, service: str, request: web.BaseRequest, body: IO[bytes], further: Mapping[str, str]
    ) -> web.StreamResponse:
        if not request.raw_path.startswith("/"):
            raise Malformed("InvalidURI", f"{request.raw_path[:80]!r} is no path")
        if service == "states":
            return await self._states.handle(request, body)
        if service == "lambda":
            return await self._functions.handle(request, body)
        if service not in SERVICES:
            known = ", ".join(sorted({*SERVICES, "states", "lambda"}))
            raise Malformed(
                "NotImplemented", f"{service[:40]!r} is not served on this machine; {known} are", status=501
            )
        return await self.services.handle(service, request, body, further)

    def _created(self, created: Created) -> None:
        """An object is there: to the rules of the template, and to those that people have made."""
        event = s3_event(
            created.bucket,
            created.key,
            size_bytes=created.size_bytes,
            etag=created.etag,
            time_s=created.time_s,
            version_id=created.version_id,
            reason=created.reason,
            sequencer=created.sequencer,
        )
        self.cloud.put_event(event)


def _service_of(request: web.BaseRequest) -> str:
    """What a request was signed for; S3 where it was not, as links that anyone may follow are S3's."""
    target = request.headers.get("X-Amz-Target", "")
    if target.startswith(f"{TARGET_PREFIX}."):
        return "states"
    signed = _SIGNED_FOR.search(request.headers.get("Authorization", ""))
    if signed is not None:
        return signed[1]
    return "lambda" if request.raw_path.startswith(f"{LAMBDA_PATH}/") else "s3"


def _refusal(error: Exception, protocol: str) -> web.Response:
    """What is answered in place of what was asked for."""
    match error:
        case SignatureRefused():
            return refused(protocol, error.why.status, error.why.code(protocol), str(error))
        case AccessDeniedException():
            return refused(protocol, 403, "AccessDenied", str(error))
        case Malformed():
            return refused(protocol, error.status, error.code, str(error))
        case ConnectionError() | ClientPayloadError() | TransferEncodingError():
            _log.debug("a client went away: %r", error)
            return refused(protocol, 400, "IncompleteBody", "the request broke off")
        case NotImplementedError():
            return refused(protocol, 501, "NotImplemented", f"not served on this machine: {error}")
    _log.error("a request failed", exc_info=error)
    return refused(protocol, 500, "InternalError", type(error).__name__)


def _most_bytes(service: str) -> int:
    """Of a request's body: of S3, an object in one piece (qfacts); of others, more than any of them takes."""
    return MAX_OBJECT_BYTES if service == "s3" else MAX_REQUEST_BYTES


def _http_log() -> logging.Logger:
    """aiohttp's: what is no HTTP is a line in the log, without a traceback."""
    log = logging.getLogger(f"{__name__}.http")
    if not log.filters:
        log.addFilter(_without_traceback)
    return log


def _without_traceback(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
    if isinstance(error, HttpProcessingError):
        record.msg, record.args, record.exc_info = "refused what is no HTTP: %s", (error.message,), None
        record.levelno, record.levelname = logging.WARNING, "WARNING"
    return True
