"""The AWS JSON 1.0 protocol, as a service on loopback answers it (smithy.io, aws-json-1_0-protocol).

`POST /` with `X-Amz-Target: PREFIX.Operation` and a JSON object of members; the answer is one, too. A refusal has
status 400 and names its shape in `__type`. Who may call is decided by the way in (loopback, by a name of loopback,
and no web page), and where an endpoint has a secret, by that (`signed_requests`).
"""

import ipaddress
import logging
import os
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import IO
from urllib.parse import urlsplit

import msgspec
from aiohttp import ClientPayloadError, web

from fanwise_local.states.errors import CallRefused
from fanwise_local.states.payloads import JSON, encode

MAX_REQUEST_BYTES = 2 * 1024 * 1024  # 256 KiB of input may be four times as long inside a JSON string
CONTENT_TYPE = "application/x-amz-json-1.0"

_log = logging.getLogger(__name__)


class AccessDeniedException(CallRefused):
    """The request came by another name than loopback's, or from a web page."""


class UnknownOperationException(CallRefused):
    """No operation of that name is served."""


class SerializationException(CallRefused):
    """The request is no JSON object, or a member has the wrong type."""


class ValidationException(CallRefused):
    """A member is missing, or has a value that it may not have."""


class Members:
    """The members of a request, read with the types and bounds of the API's model.

    A reader gives None for a member that is absent. Raises `SerializationException` for a wrong type,
    `ValidationException` for a value out of bounds.
    """

    def __init__(self, values: Mapping[str, JSON]) -> None:
        self._values = values

    def text(self, name: str) -> str | None:
        """A string."""
        value = self._values.get(name)
        if value is not None and not isinstance(value, str):
            raise SerializationException(f"{name} is {_shown(value)}; a string")
        return value

    def needed(self, name: str) -> str:
        """A string that has to be there."""
        value = self.text(name)
        if not value:
            raise ValidationException(f"{name} is missing")
        return value

    def choice(self, name: str, options: Sequence[str]) -> str | None:
        """One of an enumeration's strings."""
        value = self.text(name)
        if value is not None and value not in options:
            raise ValidationException(f"{name} is {_shown(value)}; one of {', '.join(options)}")
        return value

    def flag(self, name: str) -> bool | None:
        """A boolean."""
        value = self._values.get(name)
        if value is not None and not isinstance(value, bool):
            raise SerializationException(f"{name} is {_shown(value)}; true or false")
        return value

    def whole(self, name: str, most: int) -> int | None:
        """A whole number from 0."""
        value = self.number(name, most)
        if value is None or value == int(value):
            return None if value is None else int(value)
        raise SerializationException(f"{name} is {_shown(value)}; a whole number")

    def number(self, name: str, most: float) -> float | None:
        """A number from 0."""
        value = self._values.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise SerializationException(f"{name} is {_shown(value)}; a number")
        if not 0 <= value <= most:
            raise ValidationException(f"{name} is {_shown(value)}; from 0 to {most}")
        return value


Operation = Callable[[Members], Awaitable[JSON]]


class JsonRequests:
    """Answers requests with the operations of one service, by name. `prefix` is the model's targetPrefix."""

    def __init__(self, prefix: str, operations: Mapping[str, Operation]) -> None:
        self._prefix = prefix
        self._operations = operations

    async def handle(self, request: web.BaseRequest, body: IO[bytes] | None = None) -> web.StreamResponse:
        """Answers one request, whatever it is; to be mounted wherever requests for `/` arrive.

        `body` is its body, where that was read already.
        """
        try:
            check_caller(request)
            operation = self._operation(request)
            text = await _read(request) if body is None else _whole(body)
            return _response(200, await operation(Members(_members(text))))
        except AccessDeniedException as refusal:
            return _refused(403, refusal)
        except CallRefused as refusal:
            return _refused(400, refusal)
        except (ConnectionError, ClientPayloadError) as error:  # it went away in the middle of its request
            _log.debug("a client went away: %r", error)
            return _response(400, {"__type": "SerializationException", "message": "the request broke off"})
        except Exception as error:
            _log.exception("a request failed")
            return _response(500, {"__type": "InternalFailure", "message": type(error).__name__})

    def _operation(self, request: web.BaseRequest) -> Operation:
        target = request.headers.get("X-Amz-Target", "")
        prefix, _, name = target.partition(".")
        if request.method != "POST" or request.path != "/" or prefix != self._prefix:
            raise UnknownOperationException(f"served is POST / with X-Amz-Target: {self._prefix}.OPERATION")
        if name not in self._operations:
            known = ", ".join(sorted(self._operations))
            raise UnknownOperationException(
                f"{name[:80]!r} is not served on this machine; these are: {known}"
            )
        return self._operations[name]


def check_caller(request: web.BaseRequest) -> None:
    """Raises `AccessDeniedException` for what is not a program of this machine.

    A web page that is open on it can send requests here, too: by a name of its own that leads to loopback (DNS
    rebinding), or across origins. Browsers say of each request whose it is; "none" is a person's own, from the
    address bar.
    """
    if "Origin" in request.headers or request.headers.get("Sec-Fetch-Site", "none") != "none":
        raise AccessDeniedException("requests of web pages are refused; this is for the AWS CLI and SDKs")
    hosts = request.headers.getall("Host", [])
    if len(hosts) != 1 or not is_loopback(hosts[0]):
        raise AccessDeniedException("the Host header names another machine; call this one by 127.0.0.1")
    if any(_host_of(referer) != hosts[0] for referer in request.headers.getall("Referer", [])):
        raise AccessDeniedException("the Referer header names a web page; this is for the AWS CLI and SDKs")
    if _is_a_form(request):
        raise AccessDeniedException(
            "forms are refused, as a web page may send them; upload by PutObject, or by a signed link"
        )


def _host_of(address: str) -> str:
    try:
        return urlsplit(address).netloc
    except ValueError:
        return ""


def _is_a_form(request: web.BaseRequest) -> bool:
    """Whether a page's form could have sent it: by POST, in three encodings, and with no header of its own."""
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return True
    is_bare = "Authorization" not in request.headers and "X-Amz-Target" not in request.headers
    return (
        request.method == "POST" and is_bare and kind in ("application/x-www-form-urlencoded", "text/plain")
    )


def is_loopback(host: str) -> bool:
    """Whether `NAME` or `NAME:PORT` is localhost or an address of loopback; IPv6 in brackets."""
    name, colon, port = host.rpartition(":")
    if not colon or host.endswith("]"):
        name, port = host, "0"
    if not (port.isascii() and port.isdecimal()):
        return False
    if name.lower() == "localhost":
        return True
    try:
        if name.startswith("[") and name.endswith("]"):
            return ipaddress.IPv6Address(name[1:-1]).is_loopback
        return ipaddress.IPv4Address(name).is_loopback
    except ValueError:
        return False


async def _read(request: web.BaseRequest) -> bytes:
    parts: list[bytes] = []
    size_bytes = 0
    async for part in request.content.iter_any():
        size_bytes += len(part)
        _check_size(size_bytes)
        parts.append(part)
    return b"".join(parts)


def _whole(body: IO[bytes]) -> bytes:
    _check_size(body.seek(0, os.SEEK_END))
    body.seek(0)
    return body.read()


def _check_size(size_bytes: int) -> None:
    if size_bytes > MAX_REQUEST_BYTES:
        raise ValidationException(f"the request has over {MAX_REQUEST_BYTES} bytes, the most that are read")


def _members(text: bytes) -> dict[str, JSON]:
    try:
        members = msgspec.json.decode(text or b"{}")
    except (msgspec.DecodeError, RecursionError) as error:
        raise SerializationException(f"the request is not JSON: {error}") from error
    if not isinstance(members, dict):
        raise SerializationException("the request is no JSON object")
    return members


def _shown(value: JSON) -> str:
    return encode(value).decode()[:80]


def _refused(status: int, refusal: CallRefused) -> web.Response:
    return _response(status, {"__type": type(refusal).__name__, "message": str(refusal)})


def _response(status: int, answer: JSON) -> web.Response:
    headers = {"x-amzn-RequestId": str(uuid.uuid4())}
    return web.Response(status=status, body=encode(answer), content_type=CONTENT_TYPE, headers=headers)
