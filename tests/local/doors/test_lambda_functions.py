"""The Lambda door, driven by boto3: what an invocation answers, and what is refused."""

import asyncio
import base64
import json
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from aiohttp import web
from botocore.config import Config
from botocore.exceptions import ClientError

from fanwise_local.doors.lambda_functions import MAX_ASYNC_PAYLOAD_BYTES, LambdaDoor
from fanwise_local.doors.wsgi import received
from fanwise_local.functions import FunctionService
from fanwise_local.runtime_api import MAX_PAYLOAD_BYTES
from local.invoking import made

NAMES = [f"f{number:02d}" for number in range(60)]
ARN = "arn:aws:lambda:eu-west-3:123456789012:function:obedient"


async def _serve(work_dir: Path, told: Callable[[str, asyncio.Event], None]) -> None:
    functions = {name: made(name=name) for name in [*NAMES, "obedient"]}
    service = FunctionService(functions, environments=1, extra_environment={}, work_dir=work_dir)
    await service.start()
    door = LambdaDoor(service, service, opened_at="2026-01-01T00:00:00.000Z")

    async def handle(request: web.BaseRequest) -> web.Response:
        async with received(request) as body:
            return await door.handle(request, body)

    requests, end = web.Server(handle), asyncio.Event()
    server = await asyncio.get_running_loop().create_server(requests, "127.0.0.1", 0)
    told("{}:{}".format(*server.sockets[0].getsockname()[:2]), end)
    await end.wait()
    server.close()
    await requests.shutdown(0.1)
    await door.close()
    await service.close()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """boto3's client of a door on the obedient function, and many that only have another name."""
    found: list[tuple[str, asyncio.Event, asyncio.AbstractEventLoop]] = []
    ready = threading.Event()

    def told(address: str, end: asyncio.Event) -> None:
        found.append((address, end, asyncio.get_running_loop()))
        ready.set()

    work_dir = tmp_path_factory.mktemp("functions")
    thread = threading.Thread(target=lambda: asyncio.run(_serve(work_dir, told)))
    thread.start()
    assert ready.wait(30)
    address, end, loop = found[0]
    made_client = boto3.client(
        "lambda",
        endpoint_url=f"http://{address}",
        region_name="eu-west-3",
        aws_access_key_id="x",
        aws_secret_access_key="x",  # noqa: S106
        config=Config(retries={"max_attempts": 0}, proxies={}),
    )
    yield made_client
    made_client.close()
    loop.call_soon_threadsafe(end.set)
    thread.join()


def event(do: str, value: Any = None) -> bytes:
    return json.dumps({"do": do, "with": value}).encode()


def code(call: Callable[..., Any], **members: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**members)
    return str(caught.value.response["Error"]["Code"])


@pytest.mark.parametrize(
    "name",
    [
        "obedient",
        "obedient:$LATEST",
        ARN,
        f"{ARN}:$LATEST",
        "123456789012:function:obedient",
    ],
)
def test_a_function_answers_by_each_of_its_names(client: Any, name: str) -> None:
    answer = client.invoke(FunctionName=name, Payload=event("tell"))
    assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, "$LATEST")
    assert "FunctionError" not in answer
    assert json.loads(answer["Payload"].read())["function"][0] == "obedient"


def test_an_error_of_the_function_is_an_answer(client: Any) -> None:
    answer = client.invoke(FunctionName="obedient", Payload=event("raise"))
    assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")
    assert json.loads(answer["Payload"].read())["errorType"] == "PoisonItem"
    died = client.invoke(FunctionName="obedient", Payload=event("exit", 3))
    assert died["FunctionError"] == "Unhandled"
    assert json.loads(died["Payload"].read())["errorType"] == "Runtime.ExitError"


def test_without_a_payload_the_event_is_an_empty_object(client: Any) -> None:
    answer = client.invoke(FunctionName="f00")
    assert json.loads(answer["Payload"].read())["errorType"] == "KeyError"  # of "do", which is not there


def test_an_event_is_taken_and_run_later(client: Any, tmp_path: Path) -> None:
    path = tmp_path / "written"
    deed = event("append", {"path": str(path), "text": "x"})
    answer = client.invoke(FunctionName="f01", InvocationType="Event", Payload=deed)
    assert (answer["StatusCode"], answer["Payload"].read()) == (202, b"")
    client.invoke(FunctionName="f01", Payload=event("tell"))  # its turn is after the event's
    assert path.exists()


def test_a_dry_run_runs_nothing(client: Any) -> None:
    assert (
        client.invoke(FunctionName="f02", InvocationType="DryRun", Payload=event("exit", 1))["StatusCode"]
        == 204
    )
    assert code(client.invoke, FunctionName="nope", InvocationType="DryRun") == "ResourceNotFoundException"


def test_what_is_wrong_with_a_request_is_said(client: Any) -> None:
    with pytest.raises(client.exceptions.ResourceNotFoundException, match="nope; here are: f00"):
        client.invoke(FunctionName="nope")
    assert code(client.invoke, FunctionName="obedient", Qualifier="3") == "ResourceNotFoundException"
    assert code(client.invoke, FunctionName="obedient:3") == "ResourceNotFoundException"
    with pytest.raises(client.exceptions.InvalidRequestContentException, match="Could not parse"):
        client.invoke(FunctionName="obedient", Payload=b"{")
    big = json.dumps("x" * MAX_PAYLOAD_BYTES).encode()
    with pytest.raises(client.exceptions.RequestTooLargeException, match=str(MAX_PAYLOAD_BYTES)):
        client.invoke(FunctionName="obedient", Payload=big)
    big = json.dumps("x" * MAX_ASYNC_PAYLOAD_BYTES).encode()
    assert code(client.invoke, FunctionName="obedient", InvocationType="Event", Payload=big) == (
        "RequestTooLargeException"
    )
    assert code(client.get_policy, FunctionName="obedient") == "UnknownOperationException"
    with pytest.raises(ClientError, match="Invoke, ListFunctions, GetFunction"):
        client.list_layers()


def test_functions_are_listed_in_pages(client: Any) -> None:
    first = client.list_functions()
    assert len(first["Functions"]) == 50
    rest = client.list_functions(Marker=first["NextMarker"])
    assert "NextMarker" not in rest
    names = [function["FunctionName"] for page in (first, rest) for function in page["Functions"]]
    assert names == [*NAMES, "obedient"]
    pages = client.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 7})
    assert [one["FunctionName"] for page in pages for one in page["Functions"]] == names


def test_a_function_is_described(client: Any) -> None:
    told = client.get_function(FunctionName=ARN)["Configuration"]
    alone = client.get_function_configuration(FunctionName="obedient")
    assert {name: value for name, value in alone.items() if name != "ResponseMetadata"} == told
    assert (told["FunctionArn"], told["MemorySize"], told["Timeout"]) == (ARN, 512, 30)
    assert (told["Runtime"], told["Handler"]) == ("python3.12", "handler.lambda_handler")


def told(answer: dict[str, Any]) -> dict[str, Any]:
    """What the handler says of its process."""
    found: dict[str, Any] = json.loads(answer["Payload"].read())
    return found


def test_a_version_keeps_the_memory_size_that_it_was_published_with(client: Any) -> None:
    changed = client.update_function_configuration(FunctionName="f03", MemorySize=1024)
    assert (changed["MemorySize"], changed["Version"]) == (1024, "$LATEST")
    client.get_waiter("function_updated").wait(FunctionName="f03")
    version = client.publish_version(FunctionName="f03", RevisionId=changed["RevisionId"])
    assert (version["Version"], version["MemorySize"]) == ("1", 1024)
    assert client.publish_version(FunctionName="f03")["Version"] == "1"  # nothing has changed since
    client.get_waiter("published_version_active").wait(FunctionName="f03", Qualifier="1")
    client.update_function_configuration(FunctionName="f03", MemorySize=512)

    of_version = client.invoke(FunctionName="f03", Qualifier="1", Payload=event("tell"))
    latest = client.invoke(FunctionName="f03", Payload=event("tell"))
    assert (of_version["ExecutedVersion"], latest["ExecutedVersion"]) == ("1", "$LATEST")
    arn = ARN.replace("obedient", "f03")
    assert [told(one)["function"] for one in (of_version, latest)] == [
        ["f03", "1024", f"{arn}:1"],
        ["f03", "512", arn],
    ]
    listed = client.list_versions_by_function(FunctionName="f03")["Versions"]
    assert [(one["Version"], one["MemorySize"]) for one in listed] == [("$LATEST", 512), ("1", 1024)]

    client.delete_function(FunctionName="f03", Qualifier="1")
    assert code(client.invoke, FunctionName="f03", Qualifier="1") == "ResourceNotFoundException"
    assert client.publish_version(FunctionName="f03")["Version"] == "2"


def test_what_may_not_be_changed_is_said(client: Any) -> None:
    change = client.update_function_configuration
    assert code(change, FunctionName="f04", MemorySize=20_000) == "InvalidParameterValueException"
    assert code(change, FunctionName="f04", Timeout=3) == "InvalidParameterValueException"
    stale = {"FunctionName": "f04", "RevisionId": "of another time"}
    assert code(change, MemorySize=256, **stale) == "PreconditionFailedException"
    assert code(client.publish_version, **stale) == "PreconditionFailedException"
    assert code(client.delete_function, FunctionName="f04") == "InvalidParameterValueException"
    assert client.get_function_configuration(FunctionName="f04")["MemorySize"] == 512


def test_the_tail_of_the_log_has_the_report(client: Any) -> None:
    def report(**words: Any) -> dict[str, Any]:
        answer = client.invoke(FunctionName="f05", LogType="Tail", **words)
        line = json.loads(base64.b64decode(answer["LogResult"]))
        assert (line["type"], line["record"]["requestId"]) == (
            "platform.report",
            answer["ResponseMetadata"]["RequestId"],
        )
        record: dict[str, Any] = line["record"]
        return record

    cold, warm = (report(Payload=event("tell"))["metrics"] for _ in range(2))
    assert (
        cold["billedDurationMs"] >= cold["initDurationMs"] + cold["durationMs"] > cold["initDurationMs"] > 0
    )
    assert "initDurationMs" not in warm
    assert warm["memorySizeMB"] == 512
    assert sys.platform != "linux" or 5 < warm["maxMemoryUsedMB"] < 512
    assert report(Payload=event("exit", 3))["status"] == "error"
    assert "LogResult" not in client.invoke(FunctionName="f05", Payload=event("tell"))
