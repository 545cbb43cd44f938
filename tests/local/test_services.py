"""What Step Functions sees of Lambda, SQS, EventBridge and S3: results, and errors by their names."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fanwise.storage import FolderBackend, Storage
from fanwise_local.functions import FunctionService
from fanwise_local.outbox import FileOutbox
from fanwise_local.runtime_api import MAX_PAYLOAD_BYTES
from fanwise_local.services import (
    EVENTS_PUT_EVENTS,
    LAMBDA_INVOKE,
    MAX_MESSAGE_BYTES,
    SQS_SEND_MESSAGE,
    LocalServices,
)
from fanwise_local.states.errors import StatesError

from .invoking import made, run

QUEUE = "https://sqs.us-east-1.amazonaws.com/123456789012/dead"


class Services:
    """Local services in a folder, one call after the other."""

    def __init__(self, work_dir: Path) -> None:
        self.work_dir = work_dir
        self.told: list[Any] = []
        (work_dir / "bucket").mkdir()
        (work_dir / "items").mkdir()

    async def _with(self, call: str, *arguments: Any) -> Any:
        functions = FunctionService(
            {"ObedientFunction": made(timeout_s=1, memory_mb=128)},
            environments=1,
            extra_environment={},
            work_dir=self.work_dir,
        )
        storage = Storage(
            {
                "bucket": FolderBackend(self.work_dir / "bucket", writable=True),
                "items": FolderBackend(self.work_dir / "items", writable=False),
            },
            s3=False,
        )
        services = LocalServices(
            functions,
            storage,
            queues={"Q": QUEUE},
            outbox=FileOutbox(self.work_dir),
            told=lambda entry, event_id: self.told.append((entry, event_id)),
        )
        await functions.start()
        try:
            return await getattr(services, call)(*arguments)
        finally:
            await functions.close()

    def call(self, resource: str, arguments: Any) -> Any:
        return run(self._with("call", resource, arguments))

    def get_object(self, bucket: str, key: str) -> Any:
        return run(self._with("get_object", bucket, key))

    def put_object(self, bucket: str, key: str, body: bytes) -> None:
        run(self._with("put_object", bucket, key, body))

    def invoke(self, do: str, value: Any = None, name: str = "obedient") -> Any:
        payload = {"do": do, "with": value}
        return self.call(LAMBDA_INVOKE, {"FunctionName": name, "Payload": payload})

    def kept(self, name: str) -> list[Any]:
        path = self.work_dir / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    yield Services(tmp_path)


# Lambda.


def test_an_invocation_gives_what_step_functions_gives(services: Services) -> None:
    result = services.invoke("echo", {"ä": [1, None]}, made().arn)
    request_id = result["SdkResponseMetadata"]["RequestId"]
    assert result == {
        "ExecutedVersion": "$LATEST",
        "Payload": {"ä": [1, None]},
        "SdkHttpMetadata": {"HttpHeaders": {"x-amzn-RequestId": request_id}, "HttpStatusCode": 200},
        "SdkResponseMetadata": {"RequestId": request_id},
        "StatusCode": 200,
    }


@pytest.mark.parametrize(
    ("do", "value", "error", "message"),
    [
        ("raise", "no luck", "PoisonItem", "no luck"),
        ("sleep", 60, "Sandbox.Timedout", "Task timed out after 1.00 seconds"),
        ("exit at once", 1, "Runtime.ExitError", "Runtime exited with error: exit status 1"),
        ("return an object", None, "Runtime.MarshalError", "Unable to marshal response"),
        ("return text of", MAX_PAYLOAD_BYTES, "Function.ResponseSizeTooLarge", "exceeded maximum"),
    ],
)
def test_an_error_of_the_function_is_told_by_its_type_with_its_payload_as_cause(
    services: Services, do: str, value: Any, error: str, message: str
) -> None:
    with pytest.raises(StatesError) as raised:
        services.invoke(do, value)
    assert raised.value.error == error
    cause = json.loads(raised.value.cause)
    assert cause["errorType"] == error
    assert message in cause["errorMessage"]


@pytest.mark.parametrize("do", ["return NaN", "return bytes"])
def test_an_answer_that_is_not_json_ends_the_state(services: Services, do: str) -> None:
    with pytest.raises(StatesError, match="answered what is not JSON") as raised:
        services.invoke(do)
    assert raised.value.error == "States.Runtime"


def test_a_function_that_is_not_there(services: Services) -> None:
    with pytest.raises(StatesError, match="Function not found: nobody") as raised:
        services.invoke("echo", 1, "nobody")
    assert raised.value.error == "Lambda.ResourceNotFoundException"


def test_a_request_over_six_megabytes(services: Services) -> None:
    with pytest.raises(StatesError, match=f"at most {MAX_PAYLOAD_BYTES}") as raised:
        services.invoke("echo", "x" * MAX_PAYLOAD_BYTES)
    assert raised.value.error == "Lambda.RequestTooLargeException"


@pytest.mark.parametrize(
    ("resource", "arguments", "cause"),
    [
        ("arn:aws:states:::sns:publish", {}, "sns:publish is not served on this machine"),
        (LAMBDA_INVOKE, [1], "wants an object of arguments"),
    ],
)
def test_what_is_not_served_ends_the_state(
    services: Services, resource: str, arguments: Any, cause: str
) -> None:
    with pytest.raises(StatesError, match=cause) as raised:
        services.call(resource, arguments)
    assert raised.value.error == "States.Runtime"


# SQS.


@pytest.mark.parametrize(("body", "text"), [("grüße", "grüße"), ({"a": "ü"}, '{"a":"ü"}'), ([1], "[1]")])
def test_a_message_is_kept_and_told_by_id_and_digest(services: Services, body: Any, text: str) -> None:
    first = services.call(SQS_SEND_MESSAGE, {"QueueUrl": QUEUE, "MessageBody": body})
    second = services.call(SQS_SEND_MESSAGE, {"QueueUrl": QUEUE, "MessageBody": "more"})
    assert services.kept("queues/dead.jsonl") == [
        {"MessageId": first["MessageId"], "Body": text},
        {"MessageId": second["MessageId"], "Body": "more"},
    ]
    assert first["MD5OfMessageBody"] == hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        ({"QueueUrl": QUEUE + "x", "MessageBody": "m"}, "queue does not exist: .*/deadx"),
        ({"MessageBody": "m"}, "queue does not exist: None"),
        ({"QueueUrl": QUEUE}, "must contain the parameter MessageBody"),
        ({"QueueUrl": QUEUE, "MessageBody": ""}, "must contain the parameter MessageBody"),
        ({"QueueUrl": QUEUE, "MessageBody": "ä" * MAX_MESSAGE_BYTES}, f"shorter than {MAX_MESSAGE_BYTES}"),
    ],
)
def test_a_message_that_sqs_refuses(services: Services, arguments: Any, cause: str) -> None:
    with pytest.raises(StatesError, match=cause) as raised:
        services.call(SQS_SEND_MESSAGE, arguments)
    assert raised.value.error == "SQS.AmazonSQSException"
    assert services.kept("queues/dead.jsonl") == []


# EventBridge.

EVENT = {"Source": "fanwise", "DetailType": "Batch Inference Job Ended", "Detail": {"total": 3}}


def test_events_are_kept_and_told_by_id(services: Services) -> None:
    as_text = {**EVENT, "Detail": '{"total": 4}'}
    answer = services.call(EVENTS_PUT_EVENTS, {"Entries": [EVENT, as_text]})
    ids = [entry["EventId"] for entry in answer["Entries"]]
    assert answer["FailedEntryCount"] == 0
    assert services.kept("events.jsonl") == [{"id": ids[0], **EVENT}, {"id": ids[1], **as_text}]
    assert services.told == [(EVENT, ids[0]), (as_text, ids[1])]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"Source": ""}, "InvalidArgument"),
        ({"DetailType": None}, "InvalidArgument"),
        ({"Detail": None}, "InvalidArgument"),
        ({"Detail": "no JSON"}, "MalformedDetail"),
        ({"Detail": [1]}, "MalformedDetail"),
    ],
)
def test_one_refused_event_fails_the_state_and_the_others_go_out(
    services: Services, change: dict[str, Any], code: str
) -> None:
    with pytest.raises(StatesError) as raised:
        services.call(EVENTS_PUT_EVENTS, {"Entries": [{**EVENT, **change}, EVENT]})
    assert raised.value.error == "EventBridge.FailedEntry"
    told = json.loads(raised.value.cause)
    assert told["FailedEntryCount"] == 1
    assert told["Entries"][0]["ErrorCode"] == code
    assert [event["id"] for event in services.kept("events.jsonl")] == [told["Entries"][1]["EventId"]]
    assert services.told == [(EVENT, told["Entries"][1]["EventId"])]


@pytest.mark.parametrize("entries", [None, [], [EVENT] * 11, {"a": 1}, ["text"]])
def test_a_call_that_eventbridge_refuses_whole(services: Services, entries: Any) -> None:
    with pytest.raises(StatesError) as raised:
        services.call(EVENTS_PUT_EVENTS, {"Entries": entries})
    assert raised.value.error == "EventBridge.ValidationException"
    assert services.kept("events.jsonl") == []


# S3.


def test_an_object_comes_back_as_it_was_put(services: Services) -> None:
    services.put_object("bucket", "jobs/1/manifest.json", b"{}")
    assert services.get_object("bucket", "jobs/1/manifest.json") == b"{}"


@pytest.mark.parametrize(
    ("bucket", "key", "error"),
    [
        ("bucket", "none", "S3.NoSuchKeyException"),
        ("bucket", "../secret", "S3.S3Exception"),
        ("elsewhere", "x", "S3.S3Exception"),
    ],
)
def test_an_object_that_cannot_be_read(services: Services, bucket: str, key: str, error: str) -> None:
    with pytest.raises(StatesError, match=f"s3://{bucket}/{key}") as raised:
        services.get_object(bucket, key)
    assert raised.value.error == error


@pytest.mark.parametrize(("bucket", "key"), [("items", "x"), ("elsewhere", "x"), ("bucket", "../x")])
def test_an_object_that_cannot_be_written(services: Services, bucket: str, key: str) -> None:
    with pytest.raises(StatesError, match=f"s3://{bucket}/{key}") as raised:
        services.put_object(bucket, key, b"1")
    assert raised.value.error == "S3.S3Exception"
