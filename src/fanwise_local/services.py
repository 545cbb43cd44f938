"""What the state machine calls on this machine: Lambda, SQS, EventBridge and S3, as Step Functions calls them."""

import asyncio
import hashlib
import json
import uuid
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from fanwise.errors import LocationError, StoreUnavailable
from fanwise.storage import Storage
from fanwise_local.functions import FunctionService, RequestTooLargeError, UnknownFunctionError
from fanwise_local.states.errors import StatesError
from fanwise_local.states.payloads import JSON

LAMBDA_INVOKE = "arn:aws:states:::lambda:invoke"
SQS_SEND_MESSAGE = "arn:aws:states:::sqs:sendMessage"
EVENTS_PUT_EVENTS = "arn:aws:states:::events:putEvents"
MAX_EVENT_ENTRIES = 10  # API_PutEvents


class LocalServices:
    """The services around the interpreter. Messages and events are kept as lines of files in `work_dir`."""

    def __init__(
        self, functions: FunctionService, storage: Storage, *, queues: Mapping[str, str], work_dir: Path
    ) -> None:
        self._functions = functions
        self._storage = storage
        self._queue_urls = set(queues.values())
        self._work_dir = work_dir
        self._calls: dict[str, Callable[[dict[str, Any]], Awaitable[JSON]]] = {
            LAMBDA_INVOKE: self._invoke,
            SQS_SEND_MESSAGE: self._send_message,
            EVENTS_PUT_EVENTS: self._put_events,
        }

    async def call(self, resource: str, arguments: JSON) -> JSON:
        """Call a Task's resource; raises `StatesError` with the name that Step Functions would report."""
        if not isinstance(arguments, dict):
            raise StatesError("States.Runtime", f"{resource} wants an object of arguments")
        return await self._calls[resource](arguments)

    async def get_object(self, bucket: str, key: str) -> bytes:
        """Read an object, for an ItemReader."""
        try:
            return await asyncio.to_thread(self._storage.read, f"s3://{bucket}/{key}")
        except (FileNotFoundError, PermissionError, LocationError, StoreUnavailable) as error:
            raise StatesError("S3.NoSuchKey", str(error)) from error

    async def put_object(self, bucket: str, key: str, body: bytes) -> None:
        """Write an object, for a ResultWriter."""
        try:
            await asyncio.to_thread(self._storage.write, f"s3://{bucket}/{key}", body)
        except (PermissionError, LocationError, StoreUnavailable) as error:
            raise StatesError("S3.S3Exception", str(error)) from error

    async def _invoke(self, arguments: dict[str, Any]) -> JSON:
        name = str(arguments.get("FunctionName"))
        try:
            result = await self._functions.invoke(name, arguments.get("Payload", {}))
        except UnknownFunctionError as error:
            raise StatesError("Lambda.ResourceNotFoundException", f"Function not found: {name}") from error
        except RequestTooLargeError as error:
            raise StatesError("Lambda.RequestTooLargeException", str(error)) from error
        if result.fault is not None:
            raise StatesError(result.fault.error_type, json.dumps(result.fault.payload, ensure_ascii=False))
        metadata = {"HttpStatusCode": 200, "HttpHeaders": {"x-amzn-RequestId": result.request_id}}
        return {
            "ExecutedVersion": "$LATEST",
            "Payload": json.loads(result.payload or b"null"),
            "SdkHttpMetadata": metadata,
            "SdkResponseMetadata": {"RequestId": result.request_id},
            "StatusCode": 200,
        }

    async def _send_message(self, arguments: dict[str, Any]) -> JSON:
        url, body = arguments.get("QueueUrl"), arguments.get("MessageBody")
        if url not in self._queue_urls:
            raise StatesError("Sqs.QueueDoesNotExistException", f"The specified queue does not exist: {url}")
        text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
        message = {"MessageId": str(uuid.uuid4()), "Body": text}
        self._append(Path("queues") / f"{url.rpartition('/')[2]}.jsonl", message)
        digest = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
        return {"MessageId": message["MessageId"], "MD5OfMessageBody": digest}

    async def _put_events(self, arguments: dict[str, Any]) -> JSON:
        entries = arguments.get("Entries")
        if not isinstance(entries, list) or not 1 <= len(entries) <= MAX_EVENT_ENTRIES:
            raise StatesError(
                "EventBridge.ValidationException", f"Entries must be 1 to {MAX_EVENT_ENTRIES} events"
            )
        answers = []
        for entry in entries:
            missing = {"Source", "DetailType", "Detail"} - entry.keys()
            if missing:
                raise StatesError(
                    "EventBridge.ValidationException", f"an event lacks {', '.join(sorted(missing))}"
                )
            answers.append({"EventId": str(uuid.uuid4())})
            self._append(Path("events.jsonl"), {"id": answers[-1]["EventId"], **entry})
        return {"Entries": answers, "FailedEntryCount": 0}

    def _append(self, name: Path, record: dict[str, Any]) -> None:
        path = self._work_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
