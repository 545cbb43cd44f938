"""The Step Functions door, driven by boto3 as anybody would."""

import asyncio
import http.client
import json
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_model import FakeModel
from fanwise_local.clock import Clock
from fanwise_local.doors.aws_json import CONTENT_TYPE, MAX_REQUEST_BYTES, is_loopback
from fanwise_local.doors.step_functions import StepFunctionsDoor
from fanwise_local.states.definition import parse_definition
from fanwise_local.states.errors import StatesError
from fanwise_local.states.executions import StateMachine
from fanwise_local.states.payloads import JSON
from jobs import DEFINITION, MACHINE, JobCloud, JobResults
from local.states.machines import ARN, Cloud, fails, machine_text, task
from local.states.test_states_distributed_map import mapped

_Result = TypeVar("_Result")
TASK = {"A": task(Output="{% $states.result.Payload %}")}
EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:machine:"
MAP_RUN = "arn:aws:states:us-east-1:123456789012:mapRun:machine/Each:"


def client(address: str) -> Any:
    return boto3.client(
        "stepfunctions",
        endpoint_url=f"http://{address}",
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",  # noqa: S106
        config=Config(retries={"max_attempts": 1}),
    )


def through(machine: StateMachine, talk: Callable[[str], _Result]) -> _Result:
    """Opens a door on a machine and has a thread talk through it, by its address."""

    async def main() -> _Result:
        door = StepFunctionsDoor(machine)
        address = await door.open()
        try:
            return await asyncio.to_thread(talk, address)
        finally:
            for execution in machine.executions.values():
                execution.stop()
                await execution.wait()
            await door.close()

    return asyncio.run(main())


def machine(states: dict[str, Any], cloud: Cloud | None = None) -> StateMachine:
    return StateMachine(
        parse_definition(machine_text(states)),
        arn=ARN,
        services=cloud or Cloud(),
        clock=Clock(),
        random=random.Random(5),
    )


def talk(states: dict[str, Any], cloud: Cloud, work: Callable[[Any], None]) -> None:
    """Has boto3 talk to a machine."""
    through(machine(states, cloud), lambda address: work(client(address)))


def ended(sfn: Any, arn: str) -> dict[str, Any]:
    """Asks until it has ended."""
    while (described := sfn.describe_execution(executionArn=arn))["status"] == "RUNNING":
        pass
    answer: dict[str, Any] = described
    return answer


def refusal(call: Callable[..., Any], **members: Any) -> tuple[str, str]:
    """What a call is refused with."""
    with pytest.raises(ClientError) as caught:
        call(**members)
    error = caught.value.response
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 400
    return error["Error"]["Code"], error["Error"]["Message"]


def hangs() -> Cloud:
    async def work(_: JSON) -> JSON:
        await asyncio.Event().wait()

    return Cloud({"work": work})


class TestExecutions:
    def test_start_and_describe(self) -> None:
        def work(sfn: Any) -> None:
            started = sfn.start_execution(stateMachineArn=ARN, name="nightly", input='{"a": [1]}')
            assert started["executionArn"] == EXECUTION + "nightly"
            described = ended(sfn, started["executionArn"])
            assert abs(datetime.now(UTC) - described["startDate"]).total_seconds() < 60
            assert described["startDate"] == started["startDate"]
            assert {
                name: described[name] for name in ("name", "status", "input", "output", "redriveCount")
            } == {
                "name": "nightly",
                "status": "SUCCEEDED",
                "input": '{"a":[1]}',
                "output": '{"got":{"a":[1]}}',
                "redriveCount": 0,
            }
            assert described["stateMachineArn"] == ARN
            assert described["stopDate"] >= described["startDate"]
            assert described["redriveStatus"] == "NOT_REDRIVABLE"
            assert described["redriveStatusReason"] == "Execution is SUCCEEDED and cannot be redriven"
            assert not {"error", "cause", "redriveDate"} & described.keys()
            metadata = sfn.describe_execution(
                executionArn=EXECUTION + "nightly", includedData="METADATA_ONLY"
            )
            assert not {"input", "output"} & metadata.keys()

        talk(TASK, Cloud({"work": lambda payload: {"got": payload}}), work)

    def test_without_name_and_input(self) -> None:
        def work(sfn: Any) -> None:
            arns = {sfn.start_execution(stateMachineArn=ARN)["executionArn"] for _ in range(2)}
            assert [ended(sfn, arn)["input"] for arn in arns] == ["{}", "{}"]

        talk(TASK, Cloud({"work": lambda payload: payload}), work)

    @pytest.mark.parametrize(
        ("members", "code"),
        [
            ({"input": "{"}, "InvalidExecutionInput"),
            ({"input": '"' + "x" * 262_143 + '"'}, "InvalidExecutionInput"),
            ({"input": "[" * 100_000}, "InvalidExecutionInput"),
            ({"input": '"\\ud800"'}, "InvalidExecutionInput"),
            ({"input": "NaN"}, "InvalidExecutionInput"),
            ({"name": "a b"}, "InvalidName"),
            ({"name": "taken"}, "ExecutionAlreadyExists"),
            ({"stateMachineArn": ARN + "2"}, "StateMachineDoesNotExist"),
            ({"stateMachineArn": EXECUTION + "x"}, "InvalidArn"),
            ({"stateMachineArn": "machine"}, "InvalidArn"),
        ],
    )
    def test_starts_that_are_refused(self, members: dict[str, str], code: str) -> None:
        def work(sfn: Any) -> None:
            sfn.start_execution(stateMachineArn=ARN, name="taken", input="1")
            assert refusal(sfn.start_execution, **{"stateMachineArn": ARN, **members})[0] == code

        talk(TASK, Cloud({"work": lambda payload: payload}), work)

    def test_stop(self) -> None:
        def work(sfn: Any) -> None:
            arn = sfn.start_execution(stateMachineArn=ARN, name="long")["executionArn"]
            assert sfn.describe_execution(executionArn=arn)["redriveStatusReason"] == (
                "Execution is RUNNING and cannot be redriven"
            )
            stopped = sfn.stop_execution(executionArn=arn, error="Mine", cause="enough")["stopDate"]
            described = sfn.describe_execution(executionArn=arn)
            assert [
                described[name] for name in ("status", "error", "cause", "stopDate", "redriveStatus")
            ] == [
                "ABORTED",
                "Mine",
                "enough",
                stopped,
                "REDRIVABLE",
            ]
            assert sfn.stop_execution(executionArn=arn)["stopDate"] == stopped
            assert sfn.describe_execution(executionArn=arn)["error"] == "Mine"

        talk(TASK, hangs(), work)

    def test_redrive(self) -> None:
        def work(sfn: Any) -> None:
            arn = sfn.start_execution(stateMachineArn=ARN, name="a", input="1")["executionArn"]
            assert ended(sfn, arn)["error"] == "Bad"
            redriven = sfn.redrive_execution(executionArn=arn)["redriveDate"]
            described = ended(sfn, arn)
            assert [described[name] for name in ("status", "output", "redriveCount", "redriveDate")] == [
                "SUCCEEDED",
                '"well"',
                1,
                redriven,
            ]
            code, message = refusal(sfn.redrive_execution, executionArn=arn)
            assert code == "ExecutionNotRedrivable"
            assert "is SUCCEEDED" in message
            code, message = refusal(sfn.redrive_execution, executionArn=EXECUTION + "nobody")
            assert code == "ExecutionDoesNotExist"

        talk(TASK, Cloud({"work": fails("Bad", answer="well")}), work)

    def test_a_redrive_that_is_sent_twice_is_one(self) -> None:
        def work(sfn: Any) -> None:
            arn = sfn.start_execution(stateMachineArn=ARN)["executionArn"]
            ended(sfn, arn)
            dates = {
                sfn.redrive_execution(executionArn=arn, clientToken="t")["redriveDate"] for _ in range(2)
            }
            assert len(dates) == 1
            assert ended(sfn, arn)["redriveCount"] == 1

        talk(TASK, Cloud({"work": fails("Bad")}), work)

    def test_lists_the_newest_first_in_pages(self) -> None:
        def work(sfn: Any) -> None:
            for number in range(7):
                ended(
                    sfn,
                    sfn.start_execution(stateMachineArn=ARN, name=f"n{number}", input=str(number))[
                        "executionArn"
                    ],
                )
            pages = list(
                sfn.get_paginator("list_executions").paginate(
                    stateMachineArn=ARN, PaginationConfig={"PageSize": 3}
                )
            )
            names = [[execution["name"] for execution in page["executions"]] for page in pages]
            assert names == [["n6", "n5", "n4"], ["n3", "n2", "n1"], ["n0"]]
            first = pages[0]["executions"][0]
            assert (first["status"], first["stateMachineArn"], first["redriveCount"]) == ("SUCCEEDED", ARN, 0)
            failed = sfn.list_executions(stateMachineArn=ARN, statusFilter="FAILED", maxResults=1)
            assert [execution["name"] for execution in failed["executions"]] == ["n5"]
            sfn.start_execution(stateMachineArn=ARN, name="later", input="0")
            rest = sfn.list_executions(
                stateMachineArn=ARN, statusFilter="FAILED", nextToken=failed["nextToken"]
            )
            assert [execution["name"] for execution in rest["executions"]] == ["n3", "n1"]
            assert "nextToken" not in rest

        def odd_fail(payload: JSON) -> JSON:
            if payload % 2:
                raise StatesError("Odd")

        talk(TASK, Cloud({"work": odd_fail}), work)

    def test_lists_that_are_refused(self) -> None:
        def work(sfn: Any) -> None:
            list_executions = sfn.list_executions
            for members, code in (
                ({"stateMachineArn": ARN, "statusFilter": "PENDING_REDRIVE"}, "ValidationException"),
                ({"stateMachineArn": ARN, "statusFilter": "DONE"}, "ValidationException"),
                ({"stateMachineArn": ARN, "redriveFilter": "REDRIVEN"}, "ValidationException"),
                ({"stateMachineArn": ARN, "nextToken": "!"}, "InvalidToken"),
                ({"stateMachineArn": ARN, "nextToken": "ZXZlbnRzOjE="}, "InvalidToken"),  # of a history
                ({"mapRunArn": MAP_RUN + "x"}, "ResourceNotFound"),
                ({}, "ValidationException"),
            ):
                assert refusal(list_executions, **members)[0] == code, members

        talk(TASK, Cloud(), work)


class TestHistory:
    def test_in_pages_and_both_directions(self) -> None:
        def work(sfn: Any) -> None:
            arn = sfn.start_execution(stateMachineArn=ARN, input='{"n": 1}')["executionArn"]
            ended(sfn, arn)
            paginate = sfn.get_paginator("get_execution_history").paginate
            forward = [
                event
                for page in paginate(executionArn=arn, PaginationConfig={"PageSize": 2})
                for event in page["events"]
            ]
            assert [event["type"] for event in forward] == [
                "ExecutionStarted", "TaskStateEntered", "TaskScheduled", "TaskStarted", "TaskSucceeded",
                "TaskStateExited", "ExecutionSucceeded",
            ]  # fmt: skip
            assert [event["id"] for event in forward] == list(range(1, 8))
            assert forward[0]["executionStartedEventDetails"]["input"] == '{"n":1}'
            assert json.loads(forward[2]["taskScheduledEventDetails"]["parameters"])["Payload"] == {"n": 1}
            backward = [
                event
                for page in paginate(executionArn=arn, reverseOrder=True, PaginationConfig={"PageSize": 3})
                for event in page["events"]
            ]
            assert backward == forward[::-1]
            bare = sfn.get_execution_history(executionArn=arn, includeExecutionData=False)["events"]
            assert "input" not in bare[0]["executionStartedEventDetails"]
            assert bare[1]["stateEnteredEventDetails"]["name"] == "A"
            assert "output" not in bare[-1]["executionSucceededEventDetails"]
            code, _ = refusal(sfn.get_execution_history, executionArn=EXECUTION + "nobody")
            assert code == "ExecutionDoesNotExist"
            first = sfn.get_execution_history(executionArn=arn, maxResults=1)["nextToken"]
            code, _ = refusal(sfn.get_execution_history, executionArn=arn, reverseOrder=True, nextToken=first)
            assert code == "InvalidToken"

        talk(TASK, Cloud({"work": lambda payload: payload}), work)


class TestMapRuns:
    def test_list_describe_and_redrive(self) -> None:
        bad = [2]

        def work_once(payload: JSON) -> JSON:
            if payload in bad:
                bad.remove(payload)
                raise StatesError("Bad")
            return payload

        def work(sfn: Any) -> None:
            arn = sfn.start_execution(stateMachineArn=ARN)["executionArn"]
            assert ended(sfn, arn)["status"] == "FAILED"
            (listed,) = sfn.list_map_runs(executionArn=arn)["mapRuns"]
            assert listed["executionArn"] == arn
            assert listed["stateMachineArn"] == ARN + "/Each"
            described = sfn.describe_map_run(mapRunArn=listed["mapRunArn"])
            assert [described[name] for name in ("status", "maxConcurrency", "toleratedFailureCount")] == [
                "FAILED",
                1,
                0,
            ]
            assert (described["redriveCount"], "redriveDate" in described) == (0, False)
            assert described["executionCounts"] == {
                "pending": 1, "running": 0, "succeeded": 1, "failed": 1, "timedOut": 0, "aborted": 0, "total": 3,
                "resultsWritten": 0, "failuresNotRedrivable": 0, "pendingRedrive": 0,
            }  # fmt: skip
            sfn.redrive_execution(executionArn=arn)
            assert ended(sfn, arn)["output"] == "[1,2,3]"
            described = sfn.describe_map_run(mapRunArn=listed["mapRunArn"])
            assert (described["status"], described["redriveCount"]) == ("SUCCEEDED", 1)
            assert described["itemCounts"]["succeeded"] == 3
            history = sfn.get_execution_history(executionArn=arn)["events"]
            (redriven,) = (event for event in history if event["type"] == "MapRunRedriven")
            assert redriven["mapRunRedrivenEventDetails"] == {
                "mapRunArn": listed["mapRunArn"],
                "redriveCount": 1,
            }
            code, _ = refusal(sfn.list_executions, mapRunArn=listed["mapRunArn"])
            assert code == "StateMachineTypeNotSupported"

        cloud = Cloud({"work": work_once}, {"items": b"1\n2\n3\n"})
        talk({"A": mapped(MaxConcurrency=1)}, cloud, work)

    def test_update(self) -> None:
        released: list[asyncio.Event] = []

        async def waits(payload: JSON) -> JSON:
            released.append(event := asyncio.Event())
            await event.wait()
            return payload

        def work(sfn: Any) -> None:
            arn = sfn.start_execution(stateMachineArn=ARN)["executionArn"]
            while not (runs := sfn.list_map_runs(executionArn=arn)["mapRuns"]):
                pass
            map_run = runs[0]["mapRunArn"]

            def running(number: int) -> None:
                while sfn.describe_map_run(mapRunArn=map_run)["executionCounts"]["running"] != number:
                    pass

            running(1)
            sfn.update_map_run(mapRunArn=map_run, maxConcurrency=3, toleratedFailurePercentage=12.5)
            running(3)
            described = sfn.describe_map_run(mapRunArn=map_run)
            assert (described["maxConcurrency"], described["toleratedFailurePercentage"]) == (3, 12.5)
            sfn.update_map_run(mapRunArn=map_run, toleratedFailureCount=4)
            assert sfn.describe_map_run(mapRunArn=map_run)["toleratedFailureCount"] == 4
            sfn.stop_execution(executionArn=arn)
            code, message = refusal(sfn.update_map_run, mapRunArn=map_run, maxConcurrency=1)
            assert code == "ValidationException"
            assert "is ABORTED" in message
            assert refusal(sfn.update_map_run, mapRunArn=MAP_RUN + "x")[0] == "ResourceNotFound"
            assert refusal(sfn.describe_map_run, mapRunArn=arn)[0] == "InvalidArn"

        cloud = Cloud({"work": waits}, {"items": b"1\n2\n3\n4\n"})
        talk({"A": mapped(MaxConcurrency=1)}, cloud, work)


def test_state_machines() -> None:
    def work(sfn: Any) -> None:
        (listed,) = sfn.list_state_machines()["stateMachines"]
        assert (listed["stateMachineArn"], listed["name"], listed["type"]) == (ARN, "machine", "STANDARD")
        described = sfn.describe_state_machine(stateMachineArn=ARN)
        assert json.loads(described["definition"])["States"] == TASK
        assert (described["status"], described["creationDate"]) == ("ACTIVE", listed["creationDate"])
        assert "definition" not in sfn.describe_state_machine(
            stateMachineArn=ARN, includedData="METADATA_ONLY"
        )
        assert refusal(sfn.describe_state_machine, stateMachineArn=ARN + "2")[0] == "StateMachineDoesNotExist"
        arn = sfn.start_execution(stateMachineArn=ARN)["executionArn"]
        of = sfn.describe_state_machine_for_execution(executionArn=arn)
        assert (of["definition"], of["stateMachineArn"]) == (described["definition"], ARN)

    talk(TASK, Cloud({"work": fails()}), work)


def test_an_operation_that_is_not_served_is_said_so() -> None:
    def work(sfn: Any) -> None:
        code, message = refusal(sfn.delete_state_machine, stateMachineArn=ARN)
        assert code == "UnknownOperationException"
        assert "'DeleteStateMachine' is not served on this machine; these are: DescribeExecution, " in message

    talk(TASK, Cloud(), work)


def post(
    address: str,
    body: bytes,
    target: str = "AWSStepFunctions.ListStateMachines",
    *,
    method: str = "POST",
    **headers: str,
) -> tuple[int, dict[str, Any], str]:
    """A request by hand: status, answer, content type."""
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        connection.request(method, "/", body, {"X-Amz-Target": target, **headers})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read()), answer.headers["Content-Type"]
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "SerializationException"),
        (b"[]", "SerializationException"),
        (b"\xff", "SerializationException"),
        (b"[" * 100_000, "SerializationException"),
        (b'{"maxResults": "2"}', "SerializationException"),
        (b'{"maxResults": 1.5}', "SerializationException"),
        (b'{"maxResults": true}', "SerializationException"),
        (b'{"maxResults": 1001}', "ValidationException"),
        (b'{"maxResults": -1}', "ValidationException"),
        (b'{"nextToken": 1}', "SerializationException"),
        (b'{"nextToken": "\xc3\xa9"}', "InvalidToken"),
        (b'{"x": "' + b"x" * MAX_REQUEST_BYTES + b'"}', "ValidationException"),
    ],
)
def test_requests_that_no_client_sends(body: bytes, code: str) -> None:
    status, answer, content_type = through(machine(TASK), lambda address: post(address, body))
    assert (status, answer["__type"], content_type) == (400, code, CONTENT_TYPE)
    assert answer["message"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost"}, 200),
        ({"Host": "[::1]:80"}, 200),
        ({"Host": "rebound.example:80"}, 403),
        ({"Host": "127.0.0.1.nip.example"}, 403),
        ({"Host": ""}, 403),
        ({"Origin": "http://127.0.0.1"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_no_web_page_gets_in(headers: dict[str, str], status: int) -> None:
    got, answer, _ = through(machine(TASK), lambda address: post(address, b"{}", **headers))
    assert (got, answer.get("__type")) == (status, None if status == 200 else "AccessDeniedException")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8:1", True),
        ("LOCALHOST:4566", True),
        ("[::1]", True),
        ("[::1]:4566", True),
        ("::1", False),
        ("localhost.example", False),
        ("example:127.0.0.1", False),
        ("10.0.0.1:80", False),
        ("[::2]:80", False),
        ("localhost:", False),
        ("localhost:80:80", False),
        ("0.0.0.0", False),  # noqa: S104
        ("2130706433", False),
    ],
)
def test_hosts(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@given(st.text(max_size=30))
def test_any_host_is_decided(host: str) -> None:
    assert is_loopback(host) in (True, False)


def test_other_methods_paths_and_services_are_not_served() -> None:
    def talk(address: str) -> list[str]:
        targets = ("AWSStepFunctions", "AWSStepFunctions.", "DynamoDB.ListStateMachines", "")
        answers = [post(address, b"{}", target) for target in targets]
        answers.append(post(address, b"{}", method="PUT"))
        return [answer["__type"] for _, answer, _ in answers]

    assert through(machine(TASK), talk) == ["UnknownOperationException"] * 5


def strange(shape: Any, value: JSON, path: str) -> list[str]:
    """Where a value is not as the API's model has it: members that it does not have, or has to have."""
    if shape.type_name == "structure":
        found = [f"{path}.{name}: not in the model" for name in value.keys() - shape.members.keys()]
        found += [f"{path}.{name}: is required" for name in set(shape.required_members) - value.keys()]
        for name in value.keys() & shape.members.keys():
            found += strange(shape.members[name], value[name], f"{path}.{name}")
        return found
    if shape.type_name == "list":
        return [line for part in value for line in strange(shape.member, part, path)]
    if shape.type_name == "map":
        return [line for part in value.values() for line in strange(shape.value, part, path)]
    number: Any = int | float
    types: dict[str, Any] = {
        "string": str,
        "boolean": bool,
        "timestamp": number,
        "float": number,
        "integer": int,
        "long": int,
    }
    right = isinstance(value, types[shape.type_name]) and value in (shape.metadata.get("enum") or [value])
    return [] if right else [f"{path}: {value!r}"]


def test_every_answer_is_as_the_model_has_it() -> None:
    states = {
        "A": {"Type": "Pass", "Assign": {"a": 1}, "Next": "B"},
        "B": mapped(MaxConcurrency=1, Retry=[{"ErrorEquals": ["States.ALL"], "MaxAttempts": 1}], Next="C"),
        "C": task(TimeoutSeconds=9, Output="{% $absent %}"),
    }
    cloud = Cloud({"work": fails(*["Bad"] * 4)}, {"items": b"1\n"})

    def talk(address: str) -> None:
        model = client(address).meta.service_model

        def ask(operation: str, **members: JSON) -> dict[str, Any]:
            status, answer, _ = post(address, json.dumps(members).encode(), f"AWSStepFunctions.{operation}")
            assert status == 200
            assert strange(model.operation_model(operation).output_shape, answer, operation) == []
            return answer

        arn = ask("StartExecution", stateMachineArn=ARN)["executionArn"]
        for _ in range(3):
            while ask("DescribeExecution", executionArn=arn)["status"] == "RUNNING":
                pass
            ask("RedriveExecution", executionArn=arn)
        ask("StopExecution", executionArn=arn)
        events = ask("GetExecutionHistory", executionArn=arn)["events"]
        assert {event["type"] for event in events} >= {
            "EvaluationFailed", "ExecutionRedriven", "MapRunFailed", "MapRunRedriven", "TaskSucceeded",
            "ExecutionFailed",
        }  # fmt: skip
        ask("GetExecutionHistory", executionArn=arn, includeExecutionData=False)
        ask("DescribeMapRun", mapRunArn=ask("ListMapRuns", executionArn=arn)["mapRuns"][0]["mapRunArn"])
        ask("ListExecutions", stateMachineArn=ARN)
        ask("ListStateMachines")
        ask("DescribeStateMachine", stateMachineArn=ARN)
        ask("DescribeStateMachineForExecution", executionArn=arn)

    through(machine(states, cloud), talk)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
OPERATIONS = [
    "StartExecution", "DescribeExecution", "ListExecutions", "GetExecutionHistory", "StopExecution",
    "RedriveExecution", "DescribeMapRun", "ListMapRuns", "UpdateMapRun", "ListStateMachines",
    "DescribeStateMachine", "DescribeStateMachineForExecution",
]  # fmt: skip
MEMBERS = [
    "stateMachineArn", "executionArn", "mapRunArn", "name", "input", "maxResults", "nextToken", "statusFilter",
    "reverseOrder", "includeExecutionData", "error", "cause", "clientToken", "maxConcurrency", "includedData",
    "toleratedFailurePercentage", "toleratedFailureCount",
]  # fmt: skip
sent = st.tuples(
    st.sampled_from(OPERATIONS),
    st.dictionaries(
        st.sampled_from(MEMBERS), st.sampled_from([ARN, EXECUTION + "there", "{}", 5, True]) | values
    ),
)


@given(st.lists(sent, min_size=30, max_size=30))
@settings(max_examples=10, deadline=None)
def test_whatever_is_sent_is_answered_or_refused(requests: list[tuple[str, dict[str, JSON]]]) -> None:
    def talk(address: str) -> list[tuple[int, str | None]]:
        post(
            address,
            json.dumps({"stateMachineArn": ARN, "name": "there"}).encode(),
            "AWSStepFunctions.StartExecution",
        )
        answers = [
            post(address, json.dumps(members).encode(), f"AWSStepFunctions.{operation}")
            for operation, members in requests
        ]
        return [(status, answer.get("__type")) for status, answer, _ in answers]

    for status, code in through(machine(TASK, Cloud({"work": lambda payload: payload})), talk):
        assert (status, code is None) in {(200, True), (400, False)}


def test_a_defect_is_told_without_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    made = machine(TASK)
    del made.definition

    def talk(address: str) -> tuple[int, dict[str, Any], str]:
        members = json.dumps({"stateMachineArn": ARN}).encode()
        return post(address, members, "AWSStepFunctions.DescribeStateMachine")

    status, answer, _ = through(made, talk)
    assert (status, answer) == (500, {"__type": "InternalFailure", "message": "AttributeError"})
    assert "a request failed" in caplog.text


def test_a_port_of_its_own_and_closing_frees_it() -> None:
    async def main() -> None:
        door = StepFunctionsDoor(machine(TASK))
        address = await door.open()
        host, _, port = address.partition(":")
        assert host == "127.0.0.1"
        with pytest.raises(OSError, match="address already in use"):
            await StepFunctionsDoor(machine(TASK), port=int(port)).open()
        await door.close()
        await door.close()
        again = StepFunctionsDoor(machine(TASK), port=int(port))
        assert await again.open() == address
        await again.close()

    asyncio.run(main())


def test_closing_does_not_wait_for_clients_that_keep_their_connection() -> None:
    async def main() -> None:
        door = StepFunctionsDoor(machine(TASK))
        connection = http.client.HTTPConnection(await door.open())

        def ask() -> bytes:
            connection.request("POST", "/", b"{}", {"X-Amz-Target": "AWSStepFunctions.ListStateMachines"})
            return connection.getresponse().read()

        assert b"stateMachines" in await asyncio.to_thread(ask)
        async with asyncio.timeout(30):
            await door.close()
        connection.close()

    asyncio.run(main())


class AtOnce(random.Random):
    """Delays of nothing, for the real clock."""

    def random(self) -> float:
        return 0.0


def run_job(*, disturbed: bool) -> tuple[JobCloud, JobResults]:
    """A job of the deployed definition, started and redriven as a person would with the CLI."""
    cloud = JobCloud(model=FakeModel(2))
    cloud.random = AtOnce()
    lines = (json.dumps({"inputs": {"x": i, "order": "NotFound" if i == 5 else ""}}) for i in range(12))
    start = cloud.start({"items": cloud.put_items("items.jsonl", "\n".join(lines).encode()), "batch_size": 3})
    functions = cloud._functions

    def forbidden(_: JSON) -> JSON:
        raise StatesError("Lambda.AccessDeniedException", "not authorized to perform: InvokeFunction")

    if disturbed:
        cloud._functions = lambda: {**functions(), "AggregateResults": forbidden}  # type: ignore[method-assign]

    def work(sfn: Any) -> None:
        arn = sfn.start_execution(stateMachineArn=MACHINE, input=json.dumps(start))["executionArn"]
        described = ended(sfn, arn)
        if disturbed:
            assert (described["status"], described["error"]) == ("FAILED", "Lambda.AccessDeniedException")
            cloud._functions = functions  # type: ignore[method-assign]
            sfn.redrive_execution(executionArn=arn)
            described = ended(sfn, arn)
        assert described["status"] == "SUCCEEDED"
        outputs.append(json.loads(described["output"]))

    outputs: list[dict[str, Any]] = []
    made = StateMachine(DEFINITION, arn=MACHINE, services=cloud, clock=Clock())
    through(made, lambda address: work(client(address)))
    cloud.close()
    return cloud, JobResults.of(cloud, outputs[0]["job_id"])


def test_a_job_that_is_redriven_through_the_door_ends_as_one_that_was_not_disturbed() -> None:
    _, expected = run_job(disturbed=False)
    cloud, results = run_job(disturbed=True)
    assert sum(name == "PredictBatch" for name, _ in cloud.calls) == 4
    assert results.text("predictions/") == expected.text("predictions/")
    assert results.text("failures/") == expected.text("failures/")
    for name in ("status", "reason", "items", "entries", "rounds", "invocations", "failures", "job_id"):
        assert results.summary[name] == expected.summary[name], name
    assert cloud.decided_before == []
    assert len(cloud.events) == len(cloud.messages) == 1
