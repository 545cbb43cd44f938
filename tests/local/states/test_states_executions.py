"""Executions: names, stopping, time limits, and the history they leave."""

import asyncio
import json
import random
from typing import Any

import pytest

from fanwise_local.clock import Clock, run_virtual
from fanwise_local.states import history as histories
from fanwise_local.states.definition import parse_definition
from fanwise_local.states.errors import (
    ExecutionAlreadyExists,
    InvalidExecutionInput,
    InvalidName,
    StatesError,
)
from fanwise_local.states.executions import Execution, StateMachine
from fanwise_local.states.observer import Observer
from fanwise_local.states.payloads import JSON

from .machines import ARN, Cloud, duration_s, event_types, fails, machine_text, run, takes, task

WAIT: dict[str, Any] = {"A": {"Type": "Wait", "Seconds": 10, "End": True}}


def machine(states: dict[str, Any], cloud: Cloud | None = None) -> StateMachine:
    definition = parse_definition(machine_text(states))
    return StateMachine(
        definition, arn=ARN, services=cloud or Cloud(), clock=Clock(), random=random.Random(3)
    )


def test_a_running_name_with_the_same_input_is_the_same_execution() -> None:
    async def main() -> None:
        made = machine(WAIT)
        first = made.start_execution({"a": 1}, "nightly")
        assert first.arn == "arn:aws:states:us-east-1:123456789012:execution:machine:nightly"
        assert made.start_execution({"a": 1}, "nightly") is first
        with pytest.raises(ExecutionAlreadyExists):
            made.start_execution({"a": 2}, "nightly")
        await first.wait()
        with pytest.raises(ExecutionAlreadyExists, match="SUCCEEDED; start under another name"):
            made.start_execution({"a": 1}, "nightly")
        assert made.start_execution({"a": 1}).name != made.start_execution({"a": 1}).name
        assert len(made.executions) == 3
        assert made.executions[first.arn] is first
        for execution in made.executions.values():
            await execution.wait()

    run_virtual(main())


@pytest.mark.parametrize("name", ["", "x" * 81, "a b", "a/b", "a:b", "a*", "a\n"])
def test_names_that_aws_refuses(name: str) -> None:
    async def main() -> None:
        with pytest.raises(InvalidName):
            machine(WAIT).start_execution({}, name)

    run_virtual(main())


@pytest.mark.parametrize("value", ["x" * 262_143, object(), {"a": float("nan")}])
def test_inputs_that_are_too_large_or_no_json(value: JSON) -> None:
    async def main() -> None:
        with pytest.raises(InvalidExecutionInput):
            machine(WAIT).start_execution(value)

    run_virtual(main())


def test_an_arn_of_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match="is no ARN of a state machine"):
        StateMachine(
            parse_definition(machine_text(WAIT)), arn="arn:aws:lambda:::f", services=Cloud(), clock=Clock()
        )


async def stop_after(execution: Execution, seconds: float) -> None:
    await asyncio.sleep(seconds)
    execution.stop("Mine", "enough")


def test_stop_ends_the_running_call() -> None:
    cloud = Cloud({"work": takes(100)})
    catch = [{"ErrorEquals": ["States.ALL"], "Next": "B"}]
    states = {"A": task(Catch=catch), "B": {"Type": "Succeed"}}
    execution = run(states, 0, cloud, then=lambda running: stop_after(running, 5))
    assert (execution.status, execution.error, execution.cause) == ("ABORTED", "Mine", "enough")
    assert (duration_s(execution), cloud.running) == (5, 0)
    assert execution.history[-1].details == {"error": "Mine", "cause": "enough"}
    execution.stop("again")
    assert execution.error == "Mine"


def test_stop_before_the_first_step() -> None:
    execution = run(WAIT, 0, then=lambda running: stop_after(running, 0))
    assert (execution.status, event_types(execution)[-1]) == ("ABORTED", "ExecutionAborted")

    async def at_once() -> Execution:
        started = machine(WAIT).start_execution({})
        started.stop()
        return await started.wait()

    stopped = run_virtual(at_once())
    assert (stopped.status, event_types(stopped)) == ("ABORTED", ["ExecutionStarted", "ExecutionAborted"])


def test_the_time_of_the_whole_machine() -> None:
    cloud = Cloud({"work": takes(1000)})
    catch = [{"ErrorEquals": ["States.ALL"], "Next": "B"}]
    states = {"A": task(Catch=catch), "B": {"Type": "Succeed"}}
    execution = run(states, 0, cloud, top={"TimeoutSeconds": 60})
    assert (execution.status, execution.error, duration_s(execution)) == ("TIMED_OUT", "States.Timeout", 60)
    assert event_types(execution)[-1] == "ExecutionTimedOut"
    assert cloud.running == 0


def test_history_has_the_events_and_details_of_aws() -> None:
    states = {
        "A": task(Assign={"v": [1]}, TimeoutSeconds=9, Next="B"),
        "B": {"Type": "Choice", "Choices": [{"Condition": True, "Next": "C"}]},
        "C": {"Type": "Wait", "Seconds": 4, "Next": "D"},
        "D": {"Type": "Succeed", "Output": "{% $v %}"},
    }
    execution = run(states, {"n": 1}, Cloud({"work": lambda _: "done"}))
    assert event_types(execution) == [
        "ExecutionStarted",
        "TaskStateEntered", "TaskScheduled", "TaskStarted", "TaskSucceeded", "TaskStateExited",
        "ChoiceStateEntered", "ChoiceStateExited",
        "WaitStateEntered", "WaitStateExited",
        "SucceedStateEntered", "SucceedStateExited",
        "ExecutionSucceeded",
    ]  # fmt: skip
    assert [event.id for event in execution.history] == list(range(1, 14))
    assert [event.previous_event_id for event in execution.history] == [0, 0, *range(2, 13)]
    described = [event.described() for event in execution.history]
    whole = {"truncated": False}
    role = "arn:aws:iam::123456789012:role/machine"
    assert described[0]["executionStartedEventDetails"] == {
        "input": '{"n":1}',
        "inputDetails": whole,
        "roleArn": role,
    }
    assert described[1]["stateEnteredEventDetails"] == {
        "name": "A",
        "input": '{"n":1}',
        "inputDetails": whole,
    }
    scheduled = described[2]["taskScheduledEventDetails"]
    assert (scheduled["resourceType"], scheduled["resource"], scheduled["timeoutInSeconds"]) == (
        "lambda",
        "invoke",
        9,
    )
    assert scheduled["region"] == "us-east-1"
    assert json.loads(scheduled["parameters"]) == {"FunctionName": "work", "Payload": {"n": 1}}
    assert described[3]["taskStartedEventDetails"] == {"resourceType": "lambda", "resource": "invoke"}
    assert json.loads(described[4]["taskSucceededEventDetails"]["output"])["Payload"] == "done"
    assert described[5]["stateExitedEventDetails"]["assignedVariables"] == {"v": "[1]"}
    assert described[9]["timestamp"] - described[8]["timestamp"] == 4
    assert described[-1]["executionSucceededEventDetails"] == {"output": "[1]", "outputDetails": whole}


def test_a_failed_expression_is_told_with_its_place() -> None:
    execution = run({"A": {"Type": "Pass", "Output": {"x": "{% $nope %}"}, "End": True}})
    assert event_types(execution) == [
        "ExecutionStarted",
        "PassStateEntered",
        "EvaluationFailed",
        "ExecutionFailed",
    ]
    details = execution.history[2].described()["evaluationFailedEventDetails"]
    assert (details["state"], details["location"], details["error"]) == ("A", "Output/x", execution.error)
    assert details["cause"] == execution.cause


def test_a_full_history_ends_the_execution(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(histories, "MAX_EVENTS", 20)
    states = {
        "A": task(Catch=[{"ErrorEquals": ["States.ALL"], "Next": "B"}], Next="B"),
        "B": {"Type": "Choice", "Choices": [{"Condition": True, "Next": "A"}]},
    }
    execution = run(states, 0, Cloud({"work": fails()}))
    assert (execution.status, execution.error) == ("FAILED", "States.Runtime")
    assert "maximum number of history events (20)" in str(execution.cause)
    assert len(execution.history) == 20
    assert execution.history[-1].type == "ExecutionFailed"


def test_the_observer_is_told() -> None:
    told: list[Any] = []

    class Notes(Observer):
        def state_entered(self, execution: Execution, state_name: str, state_input: JSON) -> None:
            told.append((execution.status, state_name, state_input))

        def execution_ended(self, execution: Execution) -> None:
            told.append((execution.status, execution.error))

    run(
        {"A": {"Type": "Pass", "Output": 2, "Next": "B"}, "B": {"Type": "Fail", "Error": "E"}},
        1,
        observer=Notes(),
    )
    assert told == [("RUNNING", "A", 1), ("RUNNING", "B", 2), ("FAILED", "E")]


def test_executions_run_beside_each_other_without_seeing_each_others_variables() -> None:
    async def slow(payload: JSON) -> JSON:
        await asyncio.sleep(payload)
        return payload

    async def main() -> list[JSON]:
        states = {
            "A": {"Type": "Pass", "Assign": {"mine": "{% $states.input %}"}, "Next": "B"},
            "B": task(Output="{% $mine %}"),
        }
        made = machine(states, Cloud({"work": slow}))
        started = [made.start_execution(number) for number in (3, 1, 2)]
        return [(await execution.wait()).output for execution in started]

    assert run_virtual(main()) == [3, 1, 2]


def test_a_states_error_reads_as_name_and_cause() -> None:
    assert str(StatesError("E", "why")) == "E: why"
    assert str(StatesError("E")) == "E"
