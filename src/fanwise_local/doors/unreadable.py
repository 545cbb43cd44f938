"""What moto raises on a request that it cannot read, as the service would answer it.

moto checks less than the services do: a body that is no XML, an element that is missing or a number that is none
ends as an exception of Python somewhere inside. That is the request's fault, and no defect to be logged with a
traceback.
"""

import logging
from typing import IO
from xml.parsers.expat import ExpatError, ParserCreate

import msgspec
from aiohttp import web

from fanwise_local.doors.refusals import Malformed, protocol_of

_RAISED = (ExpatError, ValueError, TypeError, LookupError, AttributeError, AssertionError, RecursionError)
_NO_OPERATION = "OperationNotFoundError"  # botocore's, which moto's dispatch lets through
MAX_XML_BYTES = 4 * 1024 * 1024  # 10,000 parts of an upload are 2 MB
_BEGINNING_BYTES = 64
# What is said of a bucket or an object by XML in the request's body (API_Operations).
_BY_XML = frozenset(
    (
        "accelerate",
        "analytics",
        "cors",
        "delete",
        "encryption",
        "intelligent-tiering",
        "inventory",
        "legal-hold",
        "lifecycle",
        "logging",
        "metrics",
        "notification",
        "object-lock",
        "ownershipControls",
        "publicAccessBlock",
        "replication",
        "requestPayment",
        "restore",
        "retention",
        "select",
        "tagging",
        "versioning",
        "website",
    )
)

_log = logging.getLogger(__name__)


def check_xml(request: web.BaseRequest, body: IO[bytes]) -> None:
    """Raises `Malformed` where a request of S3 is to say something by XML, and what came is none.

    moto looks for some of it by regular expressions, and answers what it did not find in ways of its own.
    """
    query = {part.partition("=")[0] for part in request.raw_path.partition("?")[2].split("&")}
    is_needed = request.method in ("PUT", "POST") and not _BY_XML.isdisjoint(query)
    is_needed = is_needed or (request.method == "POST" and "uploadId" in query)
    size_bytes = body.tell()
    is_bucket = request.method == "PUT" and not request.path.strip("/").count("/") and not query - {""}
    may_be = is_needed or (request.method == "PUT" and "acl" in query) or is_bucket
    if not may_be or (not size_bytes and not is_needed):
        return
    if not size_bytes:
        raise Malformed("MissingRequestBodyError", "the request's body is empty; it is to be XML")
    if size_bytes > MAX_XML_BYTES:
        raise Malformed("MalformedXML", f"the XML has {size_bytes} bytes; at most {MAX_XML_BYTES}")
    body.seek(0)
    parser = ParserCreate()
    parser.EntityDeclHandler = _no_entities
    try:
        parser.Parse(body.read(), True)
    except (ExpatError, ValueError) as error:
        raise Malformed("MalformedXML", f"the XML is not well-formed ({error})") from error


def _no_entities(*_: object) -> None:
    raise ValueError("it declares entities")


def is_unreadable(error: Exception) -> bool:
    """Whether moto raised it since it could not read a request."""
    return isinstance(error, _RAISED) or type(error).__name__ == _NO_OPERATION


def malformed(service: str, request: web.BaseRequest, body: IO[bytes], error: Exception) -> Malformed:
    """What to answer; one line in the log says where it arose."""
    what = f"{type(error).__name__}: {error}"[:200]
    _log.warning("%s %s of %s was not understood (%s)", request.method, request.path[:200], service, what)
    protocol = protocol_of(request, service)
    if type(error).__name__ == _NO_OPERATION:
        code = "UnknownOperationException" if protocol == "json" else "InvalidAction"
        return Malformed(code, f"there is no such operation of {service}")
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
