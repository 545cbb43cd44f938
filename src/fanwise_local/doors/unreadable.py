"""What moto raises on a request that it cannot read, as the service would answer it.

moto checks less than the services do: a body that is no XML, an element that is missing or a number that is none
ends as an exception of Python somewhere inside. That is the request's fault, and no defect to be logged with a
traceback.
"""

import logging
from typing import IO
from xml.parsers.expat import ExpatError

import msgspec
from aiohttp import web

from fanwise_local.doors.refusals import Malformed, protocol_of

UNREADABLE = (ExpatError, ValueError, TypeError, LookupError, AttributeError, AssertionError, RecursionError)
_BEGINNING_BYTES = 64

_log = logging.getLogger(__name__)


def malformed(service: str, request: web.BaseRequest, body: IO[bytes], error: Exception) -> Malformed:
    """What to answer; one line in the log says where it arose."""
    what = f"{type(error).__name__}: {error}"[:200]
    _log.warning("%s %s of %s was not understood (%s)", request.method, request.path[:200], service, what)
    protocol = protocol_of(request, service)
    if protocol == "json":
        return _of_json(body, what)
    if protocol == "query" or service != "s3":
        return Malformed("ValidationError", f"the request was not understood ({what}); see the service's API")
    body.seek(0)
    if isinstance(error, ExpatError) or body.read(_BEGINNING_BYTES).lstrip().startswith(b"<"):
        return Malformed(
            "MalformedXML", f"the XML is not well-formed, or lacks what this request needs of it ({what})"
        )
    return Malformed("InvalidArgument", f"the request was not understood ({what}); see S3's API Reference")


def _of_json(body: IO[bytes], what: str) -> Malformed:
    body.seek(0)
    try:
        is_object = isinstance(msgspec.json.decode(body.read() or b"{}"), dict)
    except (msgspec.DecodeError, RecursionError):
        is_object = False
    if not is_object:
        return Malformed("SerializationException", "the request is no JSON object")
    return Malformed("ValidationException", f"the request was not understood ({what}); see the service's API")
