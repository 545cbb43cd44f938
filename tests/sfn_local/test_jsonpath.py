"""The machines in JSONPath decide and pass on as they do in JSONata: each visit of each case in both."""

import fnmatch
import json
from functools import cache
from typing import Any

import pytest

from fanwise_local.clock import Clock, run_virtual
from fanwise_local.doors.descriptions import described_event
from fanwise_local.states.definition import parse_definition
from fanwise_local.states.executions import Execution, StateMachine
from fanwise_local.states.payloads import JSON
from fanwise_local.states.retries import matches
from fanwise_local.template import read_stack, stack_root
from sfn_local.cases import CASES, Case
from sfn_local.jsonpath import Untranslated, in_jsonpath, in_jsonpath_comes_to
from sfn_local.machines import definitions
from sfn_local.mock_config import PATH, read_mock_config
from sfn_local.mocked_services import MockedServices, told_by_state
from sfn_local.visits import Visit, visits_of

CONFIG = read_mock_config(PATH.read_bytes())
DEFINITIONS = definitions(read_stack(stack_root()))
STATES = {name: json.loads(in_jsonpath(text))["States"] for name, text in DEFINITIONS.items()}
PARSED = {name: told_by_state(parse_definition(text)) for name, text in DEFINITIONS.items()}
MISSING = object()


@cache
def ran(case: int) -> Execution:
    """A case on the machine that is translated, in JSONata."""

    async def main() -> Execution:
        machine = StateMachine(
            PARSED[CASES[case].machine],
            arn=f"arn:aws:states:us-east-1:123456789012:stateMachine:{CASES[case].machine}",
            services=MockedServices(CONFIG.mocked(CASES[case].machine, CASES[case].name)),
            clock=Clock(),
        )
        return await machine.start_execution(CASES[case].input, CASES[case].name).wait()

    return run_virtual(main())


def at(value: JSON, path: str) -> JSON:
    """What a reference path such as `$.summary.items` leads to."""
    for name in path.split(".")[1:]:
        value = value.get(name, MISSING) if isinstance(value, dict) else MISSING
    return value


def holds(rule: JSON, value: JSON) -> bool:
    """A Choice rule, as states-language.net/spec.html has it."""
    if "And" in rule:
        return all(holds(part, value) for part in rule["And"])
    found = at(value, rule["Variable"])
    if "IsPresent" in rule:
        return (found is not MISSING) is rule["IsPresent"]
    assert found is not MISSING, f"States.Runtime: there is no {rule['Variable']}"
    match rule:
        case {"BooleanEquals": wanted} | {"NumericEquals": wanted} | {"StringEquals": wanted}:
            return bool(type(found) is type(wanted) and found == wanted)
        case {"NumericGreaterThan": least}:
            return bool(found > least)
        case {"StringMatches": pattern}:
            return fnmatch.fnmatchcase(found, pattern)
    raise AssertionError(rule)


def passed_on(rule: JSON, value: JSON, result: JSON) -> JSON:
    """ResultPath, then OutputPath, of a state or a catcher."""
    path = rule.get("ResultPath", "$")
    if path is None:
        result = value
    elif path != "$":
        result = {**value, path.removeprefix("$."): result}
    return at(result, rule.get("OutputPath", "$"))


def results(execution: Execution) -> list[JSON]:
    """Of each visit, what its last attempt gave: result, or error and cause; None where nothing was tried."""
    given: list[JSON] = []
    for event in execution.history:
        if event.type.endswith("StateEntered"):
            given.append(None)
        elif event.type == "TaskSucceeded":
            given[-1] = json.loads(event.details["output"])
        elif event.type in ("TaskFailed", "TaskTimedOut"):
            given[-1] = {"Error": event.details["error"], "Cause": event.details["cause"]}
    return given


def way_on(state: JSON, visit: Visit, given: JSON) -> tuple[str | None, JSON]:
    """The next state and its input; none, and the output, at the end."""
    value = json.loads(visit.input)
    if state["Type"] == "Choice":
        chosen = (rule["Next"] for rule in state["Choices"] if holds(rule, value))
        return next(chosen, state["Default"]), value
    if not visit.errors:
        return state.get("Next"), passed_on({**state, "ResultPath": None}, value, None)
    error = visit.errors[-1]
    if error is None:
        return state.get("Next"), passed_on(state, value, given)
    for catcher in state.get("Catch", []):
        if matches(catcher["ErrorEquals"], error):
            return catcher["Next"], passed_on(catcher, value, given)
    return None, given


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda number: CASES[number].name)
def test_every_visit_leads_to_the_same(number: int) -> None:
    case: Case = CASES[number]
    execution = ran(number)
    visits = visits_of(described_event(event, with_data=True) for event in execution.history)
    given = results(execution)
    for visit, result, following in zip(visits, given, [*visits[1:], None], strict=True):
        state = STATES[case.machine][visit.state]
        name, value = way_on(state, visit, result)
        if following is not None:
            assert (name, value) == (following.state, json.loads(following.input))
            continue
        assert name is None
        if state["Type"] == "Fail":
            assert (state["Error"], at(value, state["CausePath"])) == (execution.error, execution.cause)
        elif execution.status == "SUCCEEDED":
            assert value == in_jsonpath_comes_to(case).end(CONFIG)["output"]


def test_a_wait_has_its_seconds() -> None:
    (wait,) = (state for state in STATES["FanwiseJob"].values() if state["Type"] == "Wait")
    assert wait["SecondsPath"] == "$.wait_s"


def test_nothing_of_jsonata_is_left_and_the_flow_is_as_it_was() -> None:
    for name, text in DEFINITIONS.items():
        assert "{%" not in in_jsonpath(text)
        assert "QueryLanguage" not in in_jsonpath(text)
        for state_name, state in json.loads(text)["States"].items():
            made = STATES[name][state_name]
            flow = ("Type", "Resource", "TimeoutSeconds", "Retry", "Next", "Default", "End", "Error")
            assert {key: made.get(key) for key in flow} == {key: state.get(key) for key in flow}
            for rules in ("Catch", "Choices"):
                wanted = [(rule.get("ErrorEquals"), rule["Next"]) for rule in state.get(rules, [])]
                assert [(rule.get("ErrorEquals"), rule["Next"]) for rule in made.get(rules, [])] == wanted


@pytest.mark.parametrize(
    ("changed", "place"),
    [
        ({"Type": "Succeed", "Output": "{% $now() %}"}, "New.Output"),
        ({"Type": "Choice", "Choices": [{"Condition": "{% $now() %}", "Next": "New"}]}, "New.Choices"),
        ({"Type": "Wait", "Seconds": "{% $now() %}", "End": True}, "New.Seconds"),
    ],
)
def test_an_expression_that_the_tables_lack_is_named(changed: Any, place: str) -> None:
    machine = json.dumps({"QueryLanguage": "JSONata", "StartAt": "New", "States": {"New": changed}})
    with pytest.raises(Untranslated, match=rf"^{place} is {{% \$now\(\) %}}; add it"):
        in_jsonpath(machine)
