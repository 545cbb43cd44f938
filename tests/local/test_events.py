"""Rules of the template, and the event that Step Functions tells of an execution with."""

import json
from typing import Any

import pytest

from fanwise_local.clock import Clock, run_virtual
from fanwise_local.event_patterns import UnknownPatternError, check_pattern
from fanwise_local.events import Rule, execution_status_event
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


@pytest.mark.parametrize("pattern", [{}, None, {"a": "text"}, {"a": [{"prefix": "x"}]}, {"a": {"b": [[1]]}}])
def test_comparisons_that_are_not_made_here_are_refused(pattern: object) -> None:
    with pytest.raises(UnknownPatternError):
        check_pattern(pattern)


def ended(error: str | None) -> Execution:
    end = (
        {"Type": "Fail", "Error": error, "Cause": "why"} if error else {"Type": "Succeed", "Output": {"a": 1}}
    )
    text = json.dumps({"QueryLanguage": "JSONata", "StartAt": "End", "States": {"End": end}})

    async def main() -> Execution:
        machine = StateMachine(parse_definition(text, {}), arn=ARN, services=Cloud({}), clock=Clock())
        return await machine.start_execution({"in": "put"}, "name").wait()

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
    (rule,) = stack.rules.values()
    machine = stack.state_machine_arn
    assert not rule.matches(execution_status_event(ended(None), machine))
    assert rule.matches(execution_status_event(ended("JobFailed"), machine))
    assert not rule.matches(execution_status_event(ended("JobFailed"), machine + "-another"))
