"""Rules of the template, and the event that Step Functions tells of an execution with."""

import json
from typing import Any

import pytest

from fanwise_local.clock import Clock, run_virtual
from fanwise_local.events import MAX_TOLD_BYTES, Rule, event_of_entry, execution_status_event
from fanwise_local.states.definition import parse_definition
from fanwise_local.states.executions import Execution, StateMachine
from fanwise_local.template import read_stack, stack_root

from .states.machines import ARN, Cloud

RULE = Rule("R", {"source": ["a", "b"], "detail": {"status": ["FAILED"], "n": [1]}}, ())


@pytest.mark.parametrize(
    ("event", "taken"),
    [
        ({"source": "a", "detail": {"status": "FAILED", "n": 1, "more": True}}, True),
        ({"source": "b", "detail": {"status": "FAILED", "n": 1}}, True),
        ({"source": "c", "detail": {"status": "FAILED", "n": 1}}, False),
        ({"source": "a", "detail": {"status": "SUCCEEDED", "n": 1}}, False),
        ({"source": "a", "detail": {"status": "FAILED"}}, False),
        ({"source": "a", "detail": "FAILED"}, False),
        ({"detail": {"status": "FAILED", "n": 1}}, False),
    ],
)
def test_a_rule_takes_what_has_one_of_the_values_in_every_field(event: dict[str, Any], taken: bool) -> None:
    assert RULE.matches(event) == taken


def ended(error: str | None, given: Any = None, output: Any = None) -> Execution:
    succeed = {"Type": "Succeed", "Output": output or {"a": 1}}
    end = {"Type": "Fail", "Error": error, "Cause": "why"} if error else succeed
    text = json.dumps({"QueryLanguage": "JSONata", "StartAt": "End", "States": {"End": end}})

    async def main() -> Execution:
        machine = StateMachine(parse_definition(text, {}), arn=ARN, services=Cloud({}), clock=Clock())
        return await machine.start_execution(given or {"in": "put"}, "name").wait()

    return run_virtual(main())


def test_an_execution_that_failed_is_told_of() -> None:
    event = execution_status_event(ended("JobFailed"), ARN)
    detail: Any = event["detail"]
    assert (event["source"], event["detail-type"]) == ("aws.states", "Step Functions Execution Status Change")
    assert (detail["status"], detail["name"], detail["output"]) == ("FAILED", "name", None)
    assert (detail["error"], detail["cause"]) == ("JobFailed", "why")
    assert json.loads(detail["input"]) == {"in": "put"}
    assert detail["startDate"] == 1_767_225_600_000


def test_the_templates_rule_takes_no_execution_that_went_well() -> None:
    stack = read_stack(stack_root())
    rule = stack.rules["ExecutionEndedRule"]
    machine = stack.state_machine_arn
    assert not rule.matches(execution_status_event(ended(None), machine))
    assert rule.matches(execution_status_event(ended("JobFailed"), machine))
    assert not rule.matches(execution_status_event(ended("JobFailed"), machine + "-another"))


def test_what_is_too_long_for_an_event_is_left_out_of_it() -> None:
    quotes = '"' * (MAX_TOLD_BYTES // 6)  # escaped in the input, and again in the event: four times as long
    detail: Any = execution_status_event(ended("JobFailed", {"in": quotes}), ARN)["detail"]
    assert (json.loads(detail["input"]), detail["inputDetails"]) == ({"in": quotes}, {"included": True})
    detail = execution_status_event(ended("JobFailed", {"in": quotes * 2}), ARN)["detail"]
    assert (detail["input"], detail["inputDetails"]) == (None, {"included": False})
    detail = execution_status_event(ended(None, {"in": quotes}, {"out": "x" * 150_000}), ARN)["detail"]
    assert (detail["inputDetails"], detail["outputDetails"]) == ({"included": False}, {"included": True})
    detail = execution_status_event(ended(None, {"in": "put"}, {"out": "x" * MAX_TOLD_BYTES}), ARN)["detail"]
    assert (detail["output"], detail["outputDetails"]) == (None, {"included": False})
    assert detail["inputDetails"] == {"included": True}


@pytest.mark.parametrize("given", [{"a": 1}, '{"a": 1}'])
def test_an_entry_of_put_events_becomes_an_event(given: object) -> None:
    entry = {"Source": "fanwise", "DetailType": "Batch Inference Job Ended", "Detail": given}
    assert event_of_entry(entry, "one", 1_767_225_600.9) == {
        "version": "0",
        "id": "one",
        "detail-type": "Batch Inference Job Ended",
        "source": "fanwise",
        "account": "123456789012",
        "time": "2026-01-01T00:00:00Z",
        "region": "us-east-1",
        "resources": [],
        "detail": {"a": 1},
    }
