"""The services that answer from mocks: numbered by state and execution, and nothing without a mock."""

import asyncio
import json
from typing import Any

import pytest

from fanwise_local.states.errors import StatesError
from fanwise_local.states.payloads import JSON
from sfn_local.mock_config import Response, read_mock_config
from sfn_local.mocked_services import MockedServices

TWO: JSON = {"0": {"Return": {"Payload": "first"}}, "1": {"Return": {"Payload": "second"}}}
ROUND: JSON = {"0-9": {"Return": {"Payload": {"work_key": "work/0.jsonl", "entries": 3}}}}


def mocked(**responses: JSON) -> dict[str, Response]:
    machines = {"M": {"TestCases": {"C": {state: state for state in responses}}}}
    text = json.dumps({"StateMachines": machines, "MockedResponses": responses})
    return read_mock_config(text).mocked("M", "C")


def call(services: MockedServices, state: str, entry: str = "0") -> Any:
    arguments = {"Payload": {"entry": {"entry": entry}}}
    return asyncio.run(services.call(f"mocked:{state}:lambda:invoke", arguments))["Payload"]


def test_invocations_are_numbered_by_state() -> None:
    services = MockedServices(mocked(A=TWO, B=TWO))
    assert [call(services, state) for state in "ABAB"] == ["first", "first", "second", "second"]


def test_children_count_for_themselves() -> None:
    services = MockedServices(mocked(A=TWO), mocked(Child=TWO))
    given = [call(services, "Child", entry) for entry in ("0", "1", "1", "0")]
    assert given == ["first", "first", "second", "second"]
    assert services.used["Child"] == 4


def test_what_is_not_mocked_ends_the_execution() -> None:
    services = MockedServices(mocked(A={"0": {"Return": {"Payload": 1}}}))
    assert call(services, "A") == 1
    with pytest.raises(StatesError, match=r"^States\.Runtime: .* of A has no invocation 1"):
        call(services, "A")
    with pytest.raises(StatesError, match=r"^States\.Runtime: .* mocks no B"):
        call(services, "B")


def test_the_work_is_that_of_the_round_that_was_answered() -> None:
    services = MockedServices(mocked(PlanJob=ROUND, PredictItems={"0-1": {"Return": {}}}))
    call(services, "PlanJob")
    lines = asyncio.run(services.get_object("results", "work/0.jsonl")).splitlines()
    assert [json.loads(line)["entry"] for line in lines] == ["00000000", "00000001", "00000002"]
    with pytest.raises(StatesError, match=r"work/1\.jsonl is the work of no round"):
        asyncio.run(services.get_object("results", "work/1.jsonl"))
