"""An aiohttp request → a WSGI application → an aiohttp response: how moto's services are called (PEP 3333).

The application runs in a thread, with the request's path as it came: whether a key was sent as `a/b` or `a%2Fb`,
with spaces or emoji, is for it to decode.
"""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import IO, Any
from urllib.parse import unquote_to_bytes

from aiohttp import ClientPayloadError, web
from multidict import CIMultiDict

from fanwise_local.doors.refusals import Malformed

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

IN_MEMORY_BYTES = 8 * 1024 * 1024  # of a request; the rest of a longer one waits on disk
SLOWEST_BYTES_S = 1024  # of a body, on average; a connection is not kept for less
_OF_THE_BODY = frozenset(("content-length", "transfer-encoding", "expect"))  # it is there as a whole
# Of the connection, not of the message (RFC 9110, 7.6.1); what aiohttp writes itself.
_OWN_HEADERS = frozenset(("connection", "keep-alive", "transfer-encoding", "date", "server"))


@asynccontextmanager
async def received(
    request: web.BaseRequest, most_bytes: int | None = None, idle_s: float | None = None
) -> AsyncIterator[IO[bytes]]:
    """The whole body, as it came: neither unpacked nor decoded.

    Raises `ClientPayloadError` if it breaks off, nothing of it comes for `idle_s`, or it comes slower than
    `SLOWEST_BYTES_S`; `Malformed` if it is larger than `most_bytes`.
    """
    if (request.content_length or 0) > (most_bytes or float("inf")):
        raise _too_large(most_bytes)
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    with tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES) as body:
        loop, size_bytes = asyncio.get_running_loop(), 0
        began_s = loop.time()
        while part := await _next_part(request, _deadline_s(began_s, loop.time(), size_bytes, idle_s)):
            size_bytes += len(part)
            body.write(part)
            if most_bytes is not None and size_bytes > most_bytes:
                raise _too_large(most_bytes)
        yield body


async def _next_part(request: web.BaseRequest, deadline_s: float | None) -> bytes:
    try:
        async with asyncio.timeout_at(deadline_s):
            return await request.content.readany()
    except TimeoutError as error:
        if request.transport is not None:
            request.transport.abort()  # it is not worth an answer, nor the wait for the rest
        raise ClientPayloadError("its body did not come in time") from error


def _deadline_s(began_s: float, now_s: float, size_bytes: int, idle_s: float | None) -> float | None:
    """When a body that has come so far is given up."""
    if idle_s is None:
        return None
    return min(now_s + idle_s, began_s + idle_s + size_bytes / SLOWEST_BYTES_S)


def _too_large(most_bytes: int | None) -> Malformed:
    return Malformed("EntityTooLarge", f"the request's body is larger than {most_bytes} bytes", status=413)


def environ_of(request: web.BaseRequest, body: IO[bytes], further: Mapping[str, Any]) -> dict[str, Any]:
    """The environment of a request; its body is read from its beginning. `further` goes beside."""
    size_bytes = body.tell()
    body.seek(0)
    target = request.raw_path
    path, _, query = target.partition("?")
    host, _, port = request.headers.get("Host", "").rpartition(":")
    return {
        **_headers(request),
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "RAW_URI": target,
        "REQUEST_URI": target,
        "CONTENT_LENGTH": str(size_bytes),
        "REMOTE_ADDR": request.remote or "127.0.0.1",
        "SERVER_NAME": host or "127.0.0.1",
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": body,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **further,
    }


def environ_name(header: str) -> str:
    """The name that WSGI gives a header."""
    name = header.upper().replace("-", "_")
    return name if name == "CONTENT_TYPE" else f"HTTP_{name}"


def _headers(request: web.BaseRequest) -> dict[str, str]:
    """To WSGI `a_b` and `a-b` are one name; where both were sent, the former does not stand in for the latter."""
    told: dict[str, str] = {}
    for name, value in sorted(request.headers.items(), key=lambda header: "_" in header[0]):
        key, text = environ_name(name), value.encode("utf-8", "surrogateescape").decode("latin-1")
        if name.lower() in _OF_THE_BODY or ("_" in name and key in told):
            continue
        told[key] = f"{told[key]},{text}" if key in told else text
    return told


def answered(application: Application, environ: dict[str, Any]) -> web.Response:
    """What the application answers; called in a thread."""
    begun: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], _: Any = None) -> None:
        begun.append((status, headers))

    chunks = application(environ, start_response)
    try:
        parts = list(chunks)
    finally:
        if hasattr(chunks, "close"):
            chunks.close()
    status, given = begun[-1]
    headers = CIMultiDict(
        (name, value)
        for name, value in given
        # moto invites every web page; none is let in here.
        if name.lower() not in _OWN_HEADERS and not name.lower().startswith("access-control-")
    )
    is_head = environ["REQUEST_METHOD"] == "HEAD"
    if not is_head:  # of a HEAD it is the size of what is not sent
        headers.popall("Content-Length", None)
    body = None if is_head else parts[0] if len(parts) == 1 else b"".join(parts)
    return web.Response(status=int(status.split()[0]), headers=headers, body=body)
