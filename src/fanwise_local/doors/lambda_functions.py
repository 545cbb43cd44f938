"""The Lambda API of a stack's functions, as a service on loopback answers it: Invoke, and what describes them.

REST-JSON (smithy.io, aws-restjson1-protocol): operations by method and path, errors by a header and a status.
Functions come from the template alone: none is created here, and of one that is there the memory size can be
changed and a version published (`lambda_versions`).
"""

import asyncio
import base64
import logging
import re
from collections.abc import Mapping
from typing import IO
from urllib.parse import unquote

import msgspec
from aiohttp import web

from fanwise_local.doors.lambda_versions import Refused, Versions, report_of
from fanwise_local.environment import EnvironmentClosed, InvokeResult
from fanwise_local.functions import FunctionService, RequestTooLargeError, UnknownFunctionError
from fanwise_local.runtime_api import MAX_PAYLOAD_BYTES
from fanwise_local.services import Functions
from fanwise_local.states.payloads import JSON, encode
from fanwise_local.template import LATEST, Function

PATH = "/2015-03-31/functions"
MAX_ASYNC_PAYLOAD_BYTES = 1024 * 1024  # gettingstarted-limits
MAX_PAGE = 50  # API_ListFunctions
_SERVED = (
    "is not served on this machine; Invoke, ListFunctions, GetFunction, GetFunctionConfiguration,"
    " UpdateFunctionConfiguration, PublishVersion, ListVersionsByFunction and DeleteFunction of a version are"
)

# NAME, 123456789012:function:NAME or the ARN; a version may follow (API_Invoke).
_FUNCTION = re.compile(r"(?:(?:arn:aws:lambda:[a-z0-9-]+:)?\d{12}:function:)?([^:]+)(?::([^:]+))?")
_log = logging.getLogger(__name__)


class LambdaDoor:
    """Answers for the functions that a service has; `invoked` runs them (itself, or one under a fault plan)."""

    def __init__(self, functions: FunctionService, invoked: Functions, *, opened_at: str) -> None:
        """`opened_at` is what is told as the time of their last change."""
        self._functions = functions
        self._invoked = invoked
        self._versions = Versions(functions)
        self._opened_at = opened_at
        self._at_work: set[asyncio.Task[None]] = set()

    async def handle(self, request: web.BaseRequest, body: IO[bytes]) -> web.Response:
        """Answers one request, whatever it is."""
        try:
            return await self._answer(request, body)
        except Refused as refusal:
            told = {"Type": "User", "Message": str(refusal), "message": str(refusal)}
            headers = {"x-amzn-ErrorType": refusal.shape}
            return web.json_response(told, status=refusal.status, headers=headers)

    async def close(self) -> None:
        """Forget asynchronous invocations that are at work."""
        for task in self._at_work:
            task.cancel()
        await asyncio.gather(*self._at_work, return_exceptions=True)

    async def _answer(self, request: web.BaseRequest, body: IO[bytes]) -> web.Response:
        path = request.raw_path.partition("?")[0].rstrip("/")
        parts = path.removeprefix(PATH).strip("/").split("/")
        qualifier = request.query.get("Qualifier")
        match request.method, parts:
            case "GET", [""]:
                told = self._list(request.query)
            case "GET", [name]:
                function = self._found(unquote(name), qualifier)
                told = {"Configuration": self._described(function), "Code": {}, "Tags": {}}
            case "GET", [name, "configuration"]:
                told = self._described(self._found(unquote(name), qualifier))
            case "POST", [name, "invocations"]:
                function = self._found(unquote(name), qualifier)
                return await self._invoke(function, request.headers, body)
            case "PUT", [name, "configuration"]:
                function = self._found(unquote(name), None)
                told = self._described(self._versions.update(function, _members(body)))
            case "GET", [name, "versions"]:
                function = self._found(unquote(name), None)
                told = {
                    "Versions": [self._described(one) for one in (function, *self._versions.of(function))]
                }
            case "POST", [name, "versions"]:
                function = self._found(unquote(name), None)
                told = self._described(self._versions.publish(function, _members(body)))
                return web.json_response(told, status=201)
            case "DELETE", [name]:
                self._versions.delete(self._found(unquote(name), qualifier))
                return web.Response(status=204)
            case _:
                raise Refused("UnknownOperationException", 404, f"{request.method} {path} {_SERVED}")
        return web.json_response(told)

    def _found(self, given: str, qualifier: str | None) -> Function:
        """A function as a request names it."""
        named = _FUNCTION.fullmatch(given)
        name, version = named.groups() if named is not None else (given, None)
        try:
            function = self._functions.find(name)
        except UnknownFunctionError as error:
            known = ", ".join(function.name for function in self._functions.all())
            message = f"Function not found: {given}; here are: {known}"
            raise Refused("ResourceNotFoundException", 404, message) from error
        return self._versions.find(function, version or qualifier or LATEST)

    async def _invoke(self, function: Function, headers: Mapping[str, str], body: IO[bytes]) -> web.Response:
        kind = headers.get("X-Amz-Invocation-Type", "RequestResponse")
        if kind not in ("RequestResponse", "Event", "DryRun"):
            message = f"X-Amz-Invocation-Type is {kind[:80]!r}; one of RequestResponse, Event, DryRun"
            raise Refused("InvalidParameterValueException", 400, message)
        event = _event(body, MAX_ASYNC_PAYLOAD_BYTES if kind == "Event" else MAX_PAYLOAD_BYTES)
        if kind == "DryRun":
            return web.Response(status=204)
        if kind == "Event":
            task = asyncio.create_task(self._later(function, event), name=f"event for {function.name}")
            self._at_work.add(task)
            task.add_done_callback(self._at_work.discard)
            return web.Response(status=202)
        result = await self._run(function, event)
        return _answered(function, result, wants_log=headers.get("X-Amz-Log-Type") == "Tail")

    async def _run(self, function: Function, event: JSON) -> InvokeResult:
        try:
            return await self._invoked.invoke(function.arn, event)
        except RequestTooLargeError as error:
            raise Refused("RequestTooLargeException", 413, str(error)) from error
        except (EnvironmentClosed, OSError) as error:
            raise Refused("ServiceException", 500, f"{function.name} could not be run: {error}") from error

    async def _later(self, function: Function, event: JSON) -> None:
        """An asynchronous invocation; who asked for it does not hear of its end, and it is not tried again."""
        try:
            result = await self._run(function, event)
        except Refused as refusal:
            _log.warning("an event was lost: %s", refusal)
            return
        if result.fault is not None:
            _log.warning("an event failed in %s: %s", function.name, result.fault.error_type)

    def _list(self, query: Mapping[str, str]) -> dict[str, JSON]:
        functions = sorted(self._functions.all(), key=lambda function: function.name)
        most = _whole(query, "MaxItems", MAX_PAGE)
        marker = query.get("Marker", "")
        left = [function for function in functions if function.name > marker]
        page = left[: min(most, MAX_PAGE)]
        more = {"NextMarker": page[-1].name} if len(left) > len(page) else {}
        return {"Functions": [self._described(function) for function in page], **more}

    def _described(self, function: Function) -> dict[str, JSON]:
        return {
            "FunctionName": function.name,
            "FunctionArn": function.arn,
            "RevisionId": self._versions.revision_of(function),
            "Runtime": function.runtime,
            "Role": "",
            "Handler": function.handler,
            "CodeSize": 0,
            "Description": self._versions.description_of(function),
            "Timeout": function.timeout_s,
            "MemorySize": function.memory_mb,
            "LastModified": self._opened_at,
            "Version": function.version,
            "Environment": {"Variables": dict(function.environment)},
            "PackageType": "Zip",
            "State": "Active",
            "LastUpdateStatus": "Successful",
            "EphemeralStorage": {"Size": function.ephemeral_storage_mb},
        }


def _members(body: IO[bytes]) -> dict[str, JSON]:
    """The members of a request whose body is a JSON object."""
    body.seek(0)
    try:
        members = msgspec.json.decode(body.read() or b"{}")
    except (msgspec.DecodeError, RecursionError) as error:
        raise Refused("SerializationException", 400, f"the request is not JSON: {error}") from error
    if not isinstance(members, dict):
        raise Refused("SerializationException", 400, "the request is no JSON object")
    return members


def _event(body: IO[bytes], most_bytes: int) -> JSON:
    size_bytes = body.tell()
    if size_bytes > most_bytes:
        message = f"{size_bytes} byte payload is too large; at most {most_bytes} (gettingstarted-limits)"
        raise Refused("RequestTooLargeException", 413, message)
    body.seek(0)
    try:
        return msgspec.json.decode(body.read() or b"{}")
    except (msgspec.DecodeError, RecursionError) as error:
        message = f"Could not parse request body into json: {error}"
        raise Refused("InvalidRequestContentException", 400, message) from error


def _answered(function: Function, result: InvokeResult, *, wants_log: bool) -> web.Response:
    headers = {"X-Amz-Executed-Version": function.version, "x-amzn-RequestId": result.request_id}
    if wants_log:
        headers["X-Amz-Log-Result"] = base64.b64encode(encode(report_of(function, result))).decode()
    body = result.payload
    if result.fault is not None:
        headers["X-Amz-Function-Error"] = "Unhandled"
        body = encode(result.fault.payload)
    return web.Response(status=200, headers=headers, body=body, content_type="application/json")


def _whole(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not text.isdecimal() or not 1 <= int(text) <= 10_000:
        raise Refused("InvalidParameterValueException", 400, f"{name} is {text[:20]!r}; from 1 to 10000")
    return int(text)
