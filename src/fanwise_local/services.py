"""What the state machine calls on this machine: Lambda, SQS, EventBridge and S3, as Step Functions calls them."""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import msgspec

from fanwise.errors import DISK_FULL, LocationError, StoreFull, StoreUnavailable
from fanwise.storage import Storage
from fanwise_local.environment import InvokeResult
from fanwise_local.functions import RequestTooLargeError, UnknownFunctionError
from fanwise_local.outbox import Outbox
from fanwise_local.states.errors import RUNTIME, StatesError
from fanwise_local.states.payloads import JSON, text

LAMBDA_INVOKE = "arn:aws:states:::lambda:invoke"
SQS_SEND_MESSAGE = "arn:aws:states:::sqs:sendMessage"
EVENTS_PUT_EVENTS = "arn:aws:states:::events:putEvents"
MAX_EVENT_ENTRIES = 10  # API_PutEvents
MAX_MESSAGE_BYTES = 1_048_576  # quotas-messages
SQS_ERROR = "SQS.AmazonSQSException"  # whatever SQS refuses (connect-sqs)


class Functions(Protocol):
    """Lambda: a `FunctionService`, or one under a fault plan."""

    async def invoke(self, function: str, payload: JSON) -> InvokeResult:
        """Run a function by name or ARN."""


class LocalServices:
    """The services around the interpreter; `told` is given each entry of PutEvents that is taken, and its id."""

    def __init__(
        self,
        functions: Functions,
        storage: Storage,
        *,
        queues: Mapping[str, str],
        outbox: Outbox,
        told: Callable[[Mapping[str, Any], str], None] = lambda entry, event_id: None,
    ) -> None:
        self._functions = functions
        self._storage = storage
        self._queue_urls = set(queues.values())
        self._outbox = outbox
        self._told = told
        self._calls: dict[str, Callable[[dict[str, Any]], Awaitable[JSON]]] = {
            LAMBDA_INVOKE: self._invoke,
            SQS_SEND_MESSAGE: self._send_message,
            EVENTS_PUT_EVENTS: self._put_events,
        }

    async def call(self, resource: str, arguments: JSON) -> JSON:
        """Call a Task's resource; raises `StatesError` with the name that Step Functions would report."""
        if resource not in self._calls:
            raise StatesError(RUNTIME, f"{resource} is not served on this machine")
        if not isinstance(arguments, dict):
            raise StatesError(RUNTIME, f"{resource} wants an object of arguments")
        return await self._calls[resource](arguments)

    async def get_object(self, bucket: str, key: str) -> bytes:
        """Read an object, for an ItemReader."""
        try:
            return await asyncio.to_thread(self._storage.read, f"s3://{bucket}/{key}")
        except FileNotFoundError as error:
            raise StatesError("S3.NoSuchKeyException", str(error)) from error
        except (OSError, LocationError, StoreFull, StoreUnavailable) as error:
            raise StatesError("S3.S3Exception", str(error)) from error

    async def put_object(self, bucket: str, key: str, body: bytes) -> None:
        """Write an object, for a ResultWriter."""
        try:
            await asyncio.to_thread(self._storage.write, f"s3://{bucket}/{key}", body)
        except (OSError, LocationError, StoreFull, StoreUnavailable) as error:
            raise StatesError("S3.S3Exception", str(error)) from error

    async def _invoke(self, arguments: dict[str, Any]) -> JSON:
        name = str(arguments.get("FunctionName"))
        try:
            result = await self._functions.invoke(name, arguments.get("Payload", {}))
        except UnknownFunctionError as error:
            raise StatesError("Lambda.ResourceNotFoundException", f"Function not found: {name}") from error
        except RequestTooLargeError as error:
            raise StatesError("Lambda.RequestTooLargeException", str(error)) from error
        except OSError as error:  # this machine could start no process
            kind = StoreFull.__name__ if error.errno in DISK_FULL else "Lambda.ServiceException"
            raise StatesError(kind, f"{name} could not be started: {error}") from error
        if result.fault is not None:
            raise StatesError(result.fault.error_type, text(result.fault.payload))
        try:
            payload = msgspec.json.decode(result.payload)
        except (msgspec.DecodeError, RecursionError) as error:  # NaN, which awslambdaric writes, or bytes
            raise StatesError(RUNTIME, f"{name} answered what is not JSON: {error}") from error
        metadata = {"HttpStatusCode": 200, "HttpHeaders": {"x-amzn-RequestId": result.request_id}}
        return {
            "ExecutedVersion": "$LATEST",
            "Payload": payload,
            "SdkHttpMetadata": metadata,
            "SdkResponseMetadata": {"RequestId": result.request_id},
            "StatusCode": 200,
        }

    async def _send_message(self, arguments: dict[str, Any]) -> JSON:
        url, body = arguments.get("QueueUrl"), arguments.get("MessageBody")
        if url not in self._queue_urls:
            raise StatesError(SQS_ERROR, f"The specified queue does not exist: {url}")
        if body in (None, ""):
            raise StatesError(SQS_ERROR, "The request must contain the parameter MessageBody.")
        message = body if isinstance(body, str) else text(body)
        if len(message.encode()) > MAX_MESSAGE_BYTES:
            raise StatesError(SQS_ERROR, f"MessageBody must be shorter than {MAX_MESSAGE_BYTES} bytes.")
        try:
            message_id = await self._outbox.send_message(str(url), message)
        except OSError as error:
            raise StatesError(SQS_ERROR, _cause(error)) from error
        digest = hashlib.md5(message.encode(), usedforsecurity=False).hexdigest()
        return {"MessageId": message_id, "MD5OfMessageBody": digest}

    async def _put_events(self, arguments: dict[str, Any]) -> JSON:
        entries = arguments.get("Entries")
        if not isinstance(entries, list) or not 1 <= len(entries) <= MAX_EVENT_ENTRIES:
            raise StatesError(
                "EventBridge.ValidationException", f"Entries must be 1 to {MAX_EVENT_ENTRIES} events"
            )
        answers = []
        for entry in entries:
            refusal = _refusal(entry)
            if refusal is None:
                event_id = await self._put_event(entry)
                self._told(entry, event_id)
                answers.append({"EventId": event_id})
            else:
                answers.append(refusal)
        failed = sum("ErrorCode" in answer for answer in answers)
        answer = {"Entries": answers, "FailedEntryCount": failed}
        if failed:  # the others have gone out (connect-eventbridge)
            raise StatesError("EventBridge.FailedEntry", text(answer))
        return answer

    async def _put_event(self, entry: Mapping[str, Any]) -> str:
        try:
            return await self._outbox.put_event(entry)
        except OSError as error:
            raise StatesError("EventBridge.InternalException", _cause(error)) from error


def _cause(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}"


def _refusal(entry: JSON) -> dict[str, str] | None:
    """Why EventBridge would not take an entry (API_PutEventsResultEntry); None if it would."""
    if not isinstance(entry, dict):
        raise StatesError("EventBridge.ValidationException", "an entry is not an object")
    for name in ("Source", "DetailType", "Detail"):
        if not entry.get(name):
            message = f"Parameter {name} is not valid. Reason: {name} is a required argument."
            return {"ErrorCode": "InvalidArgument", "ErrorMessage": message}
    try:
        detail = json.loads(entry["Detail"]) if isinstance(entry["Detail"], str) else entry["Detail"]
    except ValueError:
        detail = None
    if not isinstance(detail, dict):
        return {"ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed."}
    return None
