"""Errors in the words that their caller speaks: XML of S3, XML of a query protocol, or JSON."""

from xml.sax.saxutils import escape

from aiohttp import web

from fanwise_local.doors.aws_json import CONTENT_TYPE
from fanwise_local.states.payloads import encode


class Malformed(Exception):
    """A request that nobody can read; `code` is its service's."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


def protocol_of(request: web.BaseRequest, service: str) -> str:
    """`json`, `query` or `xml`: how a request's answers are written."""
    kind = request.headers.get("Content-Type", "")
    if "json" in kind or service in ("lambda", "states"):
        return "json"
    return "query" if "form-urlencoded" in kind and service != "s3" else "xml"


def refused(protocol: str, status: int, code: str, message: str) -> web.Response:
    """An error as an answer."""
    message = _printable(message)
    if protocol == "json":
        told = {"__type": code, "message": message, "Message": message}
        headers = {"x-amzn-ErrorType": code}
        return web.Response(status=status, body=encode(told), headers=headers, content_type=CONTENT_TYPE)
    error = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    if protocol == "query":
        error = f"<ErrorResponse>{error}</ErrorResponse>"
    return web.Response(status=status, text=f'<?xml version="1.0"?>{error}', content_type="application/xml")


def _printable(text: str) -> str:
    """XML has no way to write control characters, nor JSON what is not Unicode."""
    return "".join(one if one.isprintable() else "\ufffd" for one in text)
