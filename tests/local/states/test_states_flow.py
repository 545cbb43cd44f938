"""Each type of state: what it gives, where it goes on, and what it refuses."""

from typing import Any

import pytest

from fanwise_local.clock import VIRTUAL_START_S
from fanwise_local.states import run as runs
from fanwise_local.states.payloads import JSON, MAX_PAYLOAD_BYTES

from .machines import ARN, Cloud, duration_s, event_types, fails, output_of, run, takes, task

QUERY = "States.QueryEvaluationError"
LIMIT = "States.DataLimitExceeded"
END: dict[str, Any] = {"Type": "Pass", "End": True}


def choice(*rules: dict[str, Any], **more: JSON) -> dict[str, Any]:
    return {"Type": "Choice", "Choices": [{"Next": "Yes", **rule} for rule in rules], **more}


class TestTask:
    def test_result_is_the_output_unless_there_is_one(self) -> None:
        cloud = Cloud({"work": lambda payload: {"got": payload}})
        assert run({"A": task()}, 5, cloud).output == {"StatusCode": 200, "Payload": {"got": 5}}
        shaped = task(
            Output={"was": "{% $states.input %}", "is": "{% $states.result.Payload.got %}", "so": 1}
        )
        assert run({"A": shaped}, 5, cloud).output == {"was": 5, "is": 5, "so": 1}

    @pytest.mark.parametrize(
        ("resource", "arguments", "named"),
        [
            ("sqs:sendMessage", {"QueueUrl": "q", "MessageBody": "b"}, "sendMessage"),
            ("events:putEvents", {"Entries": [{"Detail": {"a": 1}}]}, "putEvents"),
        ],
    )
    def test_other_integrations_get_their_arguments(self, resource: str, arguments: JSON, named: str) -> None:
        cloud = Cloud({named: lambda _: {"MessageId": "m"}})
        states = {"A": task(Resource=f"arn:aws:states:::{resource}", Arguments=arguments)}
        assert run(states, 1, cloud).output == {"MessageId": "m"}
        assert cloud.calls == [(named, arguments)]

    def test_timeout_ends_the_call_and_is_states_timeout(self) -> None:
        execution = run({"A": task(TimeoutSeconds=30)}, 0, cloud := Cloud({"work": takes(31)}))
        assert (execution.status, execution.error, duration_s(execution)) == ("FAILED", "States.Timeout", 30)
        assert cloud.running == 0
        assert event_types(execution)[-2:] == ["TaskTimedOut", "ExecutionFailed"]

    @pytest.mark.parametrize(
        ("seconds", "error"),
        [(10, None), (5, "States.Timeout"), ("x", QUERY), (0, QUERY), (2.5, QUERY), (True, QUERY)],
    )
    def test_timeout_may_be_an_expression(self, seconds: JSON, error: str | None) -> None:
        cloud = Cloud({"work": takes(7)})
        assert run({"A": task(TimeoutSeconds="{% $states.input %}")}, seconds, cloud).error == error

    def test_arguments_have_to_be_an_object(self) -> None:
        assert run({"A": task(Arguments="{% $states.input %}")}, [1], cloud := Cloud()).error == QUERY
        assert cloud.calls == []

    def test_a_timeout_inside_a_service_is_not_the_states(self) -> None:
        def breaks(_: JSON) -> JSON:
            raise TimeoutError("of a socket")

        execution = run({"A": task(TimeoutSeconds=30)}, 0, Cloud({"work": breaks}))
        assert (execution.error, execution.cause) == ("States.Runtime", "TimeoutError: of a socket")

    def test_a_service_that_breaks_fails_the_execution(self, caplog: pytest.LogCaptureFixture) -> None:
        def breaks(_: JSON) -> JSON:
            raise ZeroDivisionError("of the service")

        catch = [{"ErrorEquals": ["States.ALL"], "Next": "B"}]
        execution = run({"A": task(Catch=catch), "B": END}, 0, Cloud({"work": breaks}))
        assert (execution.error, execution.cause) == ("States.Runtime", "ZeroDivisionError: of the service")
        assert "otherwise than with a StatesError" in caplog.text


YES_AND_NO: dict[str, Any] = {"Yes": {**END, "Output": "yes"}, "No": {**END, "Output": "no"}}


class TestChoice:
    @pytest.mark.parametrize(
        ("condition", "expected"),
        [
            ("$states.input.n = 1", "yes"),
            ("$states.input.n > 1", "no"),
            ("$states.input.absent > 1", QUERY),  # undefined is not false
            ("$states.input.n", QUERY),
            ("'true'", QUERY),
            ("null", QUERY),
        ],
    )
    def test_conditions_have_to_be_boolean(self, condition: str, expected: str) -> None:
        rule = {"Condition": f"{{% {condition} %}}"}
        execution = run({"A": choice(rule, Default="No"), **YES_AND_NO}, {"n": 1})
        assert (execution.output or execution.error) == expected

    def test_the_first_true_rule_counts_and_later_ones_are_not_asked(self) -> None:
        rules = ({"Condition": False}, {"Condition": True}, {"Condition": "{% $absent %}"})
        assert run({"A": choice(*rules, Default="No"), **YES_AND_NO}).output == "yes"

    def test_no_rule_and_no_default(self) -> None:
        execution = run({"A": choice({"Condition": False}), "Yes": END}, 1)
        assert execution.error == "States.NoChoiceMatched"
        assert "the state 'A' (entered at the event id #2)" in str(execution.cause)

    def test_each_way_has_its_output_and_assign(self) -> None:
        rule = {"Condition": "{% $states.input %}", "Output": "rule", "Assign": {"v": "rule's"}}
        state = choice(rule, Default="Yes", Output="default", Assign={"v": "default's"})
        shown = {"Yes": {**END, "Output": ["{% $states.input %}", "{% $v %}"]}}
        assert run({"A": state, **shown}, True).output == ["rule", "rule's"]
        assert run({"A": state, **shown}, False).output == ["default", "default's"]


class TestWait:
    def test_seconds(self) -> None:
        execution = run({"A": {"Type": "Wait", "Seconds": 90, "End": True}}, {"kept": 1})
        assert (execution.output, duration_s(execution)) == ({"kept": 1}, 90)

    @pytest.mark.parametrize(("seconds", "waited"), [(0, 0), (3.0, 3), (-1, None), ("3", None), (1.5, None)])
    def test_seconds_by_expression(self, seconds: JSON, waited: float | None) -> None:
        execution = run({"A": {"Type": "Wait", "Seconds": "{% $states.input %}", "End": True}}, seconds)
        assert execution.error == (QUERY if waited is None else None)
        assert duration_s(execution) == (waited or 0)

    @pytest.mark.parametrize(
        ("stamp", "waited"),
        [
            ("2026-01-01T00:01:00Z", 60),
            ("2026-01-01T02:00:30.5+02:00", 30.5),
            ("2020-01-01T00:00:00Z", 0),
            ("2026-13-01T00:00:00Z", None),
            ("2026-01-01", None),
            (5, None),
        ],
    )
    def test_timestamp_by_expression(self, stamp: JSON, waited: float | None) -> None:
        execution = run({"A": {"Type": "Wait", "Timestamp": "{% $states.input %}", "End": True}}, stamp)
        assert execution.error == (QUERY if waited is None else None)
        assert duration_s(execution) == (waited or 0)


class TestSucceedAndFail:
    def test_succeed(self) -> None:
        assert run({"A": {"Type": "Succeed"}}, [1]).output == [1]
        assert run({"A": {"Type": "Succeed", "Output": "{% $states.input[0] %}"}}, [1]).output == 1

    @pytest.mark.parametrize(
        ("fields", "error", "cause"),
        [
            ({}, None, None),
            ({"Error": "Mine", "Cause": "because"}, "Mine", "because"),
            ({"Error": "{% $states.input.e %}", "Cause": "{% 'for ' & $states.input.e %}"}, "E", "for E"),
        ],
    )
    def test_fail(self, fields: dict[str, JSON], error: str | None, cause: str | None) -> None:
        execution = run({"A": {"Type": "Fail", **fields}}, {"e": "E"})
        assert (execution.status, execution.error, execution.cause) == ("FAILED", error, cause)

    @pytest.mark.parametrize("expression", ["$states.input.absent", "5", "null"])
    def test_a_cause_that_is_no_text_fails_otherwise(self, expression: str) -> None:
        assert run({"A": {"Type": "Fail", "Error": "E", "Cause": f"{{% {expression} %}}"}}, {}).error == QUERY


class TestVariables:
    def test_assign_takes_effect_when_its_state_ends(self) -> None:
        states = {
            "A": {"Type": "Pass", "Assign": {"x": 1, "y": 1}, "Next": "B"},
            "B": {
                "Type": "Pass",
                "Assign": {"x": "{% $y + 1 %}", "y": "{% $x + 2 %}"},
                "Output": "{% $x %}",
                "Next": "C",
            },
            "C": {**END, "Output": ["{% $states.input %}", "{% $x %}", "{% $y %}"]},
        }
        assert run(states).output == [1, 2, 3]

    def test_variables_stay_until_they_are_assigned_again(self) -> None:
        states = {
            "A": {"Type": "Pass", "Assign": {"x": 1, "y": 1}, "Next": "B"},
            "B": {"Type": "Pass", "Assign": {"y": 2}, "Next": "C"},
            "C": {**END, "Output": ["{% $x %}", "{% $y %}"]},
        }
        assert run(states).output == [1, 2]

    def test_a_failed_attempt_assigns_nothing(self) -> None:
        caught = {
            "ErrorEquals": ["States.ALL"],
            "Next": "B",
            "Assign": {"why": "{% $states.errorOutput.Error %}"},
        }
        states = {
            "A": task(Assign={"v": "{% $states.result.Payload.absent %}", "w": 1}, Catch=[caught]),
            "B": {**END, "Output": ["{% $why %}", "{% $exists($w) %}"]},
        }
        assert run(states, 0, Cloud({"work": lambda _: {}})).output == [QUERY, False]

    def test_unknown_variables_are_errors(self) -> None:
        execution = run({"A": {**END, "Output": "{% $unknown %}"}})
        assert execution.error == QUERY
        assert execution.cause == (
            "An error occurred while executing the state 'A' (entered at the event id #2). The JSONata expression "
            "'$unknown' specified for the field 'Output' returned nothing (undefined)."
        )

    def test_what_one_state_assigns_is_limited(self) -> None:
        half = "x" * (MAX_PAYLOAD_BYTES // 2)
        assert run({"A": {**END, "Assign": {"a": half}}}).status == "SUCCEEDED"
        assert run({"A": {**END, "Assign": {"a": half, "b": half}}}).error == LIMIT

    def test_what_an_execution_keeps_is_limited(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(runs, "MAX_VARIABLES_BYTES", 30)
        first: dict[str, Any] = {"Type": "Pass", "Assign": {"a": "x" * 20}}
        same = {"A": {**first, "Next": "B"}, "B": {**first, "End": True}}
        assert run(same).status == "SUCCEEDED"  # the same variable again
        other = {"A": {**first, "Next": "B"}, "B": {"Type": "Pass", "Assign": {"b": "x" * 20}, "End": True}}
        assert run(other).error == LIMIT


class TestContext:
    def test_context_object(self) -> None:
        states = {
            "Wait": {"Type": "Wait", "Seconds": 2, "Next": "A"},
            "A": {**END, "Output": "{% $states.context %}"},
        }
        execution = run(states, {"in": None})
        assert execution.output == {
            "Execution": {
                "Id": execution.arn,
                "Input": {"in": None},
                "Name": execution.name,
                "RedriveCount": 0,
                "RoleArn": "arn:aws:iam::123456789012:role/machine",
                "StartTime": "2026-01-01T00:00:00.000Z",
            },
            "State": {"EnteredTime": "2026-01-01T00:00:02.000Z", "Name": "A", "RetryCount": 0},
            "StateMachine": {"Id": ARN, "Name": "machine"},
        }
        assert execution.start_date == VIRTUAL_START_S

    def test_retry_count(self) -> None:
        arguments = {"FunctionName": "work", "Payload": "{% $states.context.State.RetryCount %}"}
        state = task(Arguments=arguments, Retry=[{"ErrorEquals": ["E"]}])
        run({"A": state}, 0, cloud := Cloud({"work": fails("E", "E")}))
        assert cloud.named("work") == [0, 1, 2]

    def test_no_context_of_a_map_outside_of_one(self) -> None:
        assert output_of("$states.context.Map.Item.Value") == QUERY


class TestPayloads:
    """262,144 bytes of UTF-8 JSON, the quotation marks of a string among them."""

    exact = "x" * (MAX_PAYLOAD_BYTES - 2)

    def test_output(self) -> None:
        state = {**END, "Output": "{% $states.input & $states.input %}"}
        half = "x" * (MAX_PAYLOAD_BYTES // 2 - 1)
        assert run({"A": state}, half).status == "SUCCEEDED"
        assert run({"A": state}, half + "x").error == LIMIT
        assert run({"A": state}, "é" * (MAX_PAYLOAD_BYTES // 4)).error == LIMIT  # two bytes each

    @pytest.mark.parametrize(("extra", "error"), [("", None), ("x", LIMIT)])
    def test_result(self, extra: str, error: str | None) -> None:
        envelope_bytes = len('{"MessageBody":""}') - 2
        answer = {"MessageBody": self.exact[envelope_bytes:] + extra}
        states = {"A": task(Resource="arn:aws:states:::sqs:sendMessage", Arguments={})}
        execution = run(states, 0, Cloud({"sendMessage": lambda _: answer}))
        assert execution.error == error

    def test_arguments(self) -> None:
        execution = run({"A": task()}, self.exact, cloud := Cloud({"work": lambda _: 0}))
        assert (execution.error, cloud.calls) == (LIMIT, [])
        assert "of 262178 bytes, exceeding the maximum of 262144 bytes" in str(execution.cause)


def test_thousands_of_states_are_no_recursion() -> None:
    states = {
        "Start": {"Type": "Pass", "Output": 0, "Next": "Count"},
        "Count": {"Type": "Pass", "Output": "{% $states.input + 1 %}", "Next": "More"},
        "More": {
            "Type": "Choice",
            "Choices": [{"Condition": "{% $states.input < 2000 %}", "Next": "Count"}],
            "Default": "End",
        },
        "End": {"Type": "Succeed"},
    }
    assert run(states).output == 2000
