"""Retry and Catch: who matches, how long it waits, what the next state gets."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwise_local.states.payloads import JSON
from fanwise_local.states.retries import RetryCount, matches
from fanwise_local.states.syntax import Retrier

from .machines import Cloud, duration_s, event_types, fails, run, takes, task

CAUGHT: dict[str, Any] = {"Type": "Pass", "End": True}


def retrier(*errors: str, **more: Any) -> Retrier:
    defaults: dict[str, Any] = {
        "interval_s": 1.0,
        "max_attempts": 3,
        "backoff_rate": 2.0,
        "max_delay_s": None,
        "full_jitter": False,
    }
    return Retrier(error_equals=errors, **{**defaults, **more})


@pytest.mark.parametrize(
    ("named", "error", "expected"),
    [
        ("E", "E", True),
        ("E", "e", False),
        ("States.ALL", "E", True),
        ("States.ALL", "States.Timeout", True),
        ("States.ALL", "States.QueryEvaluationError", True),
        ("States.ALL", "States.DataLimitExceeded", False),
        ("States.ALL", "States.Runtime", False),
        ("States.TaskFailed", "E", True),
        ("States.TaskFailed", "Lambda.TooManyRequestsException", True),
        ("States.TaskFailed", "States.Timeout", False),
        ("States.TaskFailed", "States.DataLimitExceeded", False),
        ("States.Timeout", "States.Timeout", True),
        ("States.DataLimitExceeded", "States.DataLimitExceeded", True),
        ("States.Runtime", "States.Runtime", False),
    ],
)
def test_who_matches(named: str, error: str, expected: bool) -> None:
    assert matches((named,), error) is expected


@pytest.mark.parametrize(
    ("fields", "waits"),
    [
        ({}, [1, 2, 4]),  # IntervalSeconds 1, MaxAttempts 3, BackoffRate 2
        ({"IntervalSeconds": 3, "BackoffRate": 1.5, "MaxAttempts": 4}, [3, 4.5, 6.75, 10.125]),
        ({"BackoffRate": 1, "MaxAttempts": 5}, [1, 1, 1, 1, 1]),
        ({"MaxAttempts": 6, "MaxDelaySeconds": 5}, [1, 2, 4, 5, 5, 5]),
        ({"MaxAttempts": 0}, []),
    ],
)
def test_a_task_is_tried_again_so_often_and_so_late(fields: dict[str, JSON], waits: list[float]) -> None:
    execution = run(
        {"A": task(Retry=[{"ErrorEquals": ["E"], **fields}])}, 0, cloud := Cloud({"work": fails(*["E"] * 20)})
    )
    assert (execution.error, execution.cause) == ("E", "cause of E")
    assert len(cloud.calls) == len(waits) + 1
    assert duration_s(execution) == sum(waits)


def test_success_after_retries() -> None:
    execution = run(
        {"A": task(Retry=[{"ErrorEquals": ["E"]}])}, 0, Cloud({"work": fails("E", "E", answer="done")})
    )
    assert execution.output["Payload"] == "done"
    attempt = ["TaskScheduled", "TaskStarted", "TaskFailed"]
    assert event_types(execution) == [
        "ExecutionStarted", "TaskStateEntered", *attempt, *attempt,
        "TaskScheduled", "TaskStarted", "TaskSucceeded", "TaskStateExited", "ExecutionSucceeded",
    ]  # fmt: skip


def test_each_retrier_counts_its_own() -> None:
    retry = [
        {"ErrorEquals": ["A"], "MaxAttempts": 2, "BackoffRate": 1},
        {"ErrorEquals": ["States.ALL"], "MaxAttempts": 2, "IntervalSeconds": 10, "BackoffRate": 1},
    ]
    execution = run({"A": task(Retry=retry)}, 0, Cloud({"work": fails("A", "B", "A", "C")}))
    assert (execution.status, duration_s(execution)) == ("SUCCEEDED", 22)
    used_up = run({"A": task(Retry=retry)}, 0, Cloud({"work": fails("A", "A", "A")}))
    assert (used_up.error, duration_s(used_up)) == ("A", 2)  # the later retrier is not asked


def test_a_new_visit_counts_anew() -> None:
    states = {
        "A": task(
            Retry=[{"ErrorEquals": ["E"], "MaxAttempts": 1}], Output="{% $states.result.Payload %}", Next="B"
        ),
        "B": {
            "Type": "Choice",
            "Choices": [{"Condition": "{% $states.input = 'again' %}", "Next": "A"}],
            "Default": "C",
        },
        "C": {"Type": "Succeed"},
    }
    answers: list[Any] = ["E", "again", "E", "end"]

    def work(_: JSON) -> JSON:
        answer = answers.pop(0)
        return fails("E")(0) if answer == "E" else answer

    assert run(states, 0, Cloud({"work": work})).output == "end"


@given(used=st.integers(0, 2000), seed=st.integers(0, 9), limit=st.none() | st.floats(1.5, 60))
def test_jitter_lies_between_nothing_and_the_delay(used: int, seed: int, limit: float | None) -> None:
    plain = RetryCount([retrier("E", max_attempts=5000, max_delay_s=limit)])
    jittered = RetryCount([retrier("E", max_attempts=5000, max_delay_s=limit, full_jitter=True)])
    for _ in range(min(used, 20)):
        plain.next_delay_s("E", random.Random(0))
        jittered.next_delay_s("E", random.Random(0))
    longest, delay = (
        plain.next_delay_s("E", random.Random(0)),
        jittered.next_delay_s("E", random.Random(seed)),
    )
    assert longest is not None
    assert delay is not None
    assert 0 <= delay <= longest <= (limit or float("inf"))


def test_an_enormous_backoff_meets_the_longest_delay() -> None:
    count = RetryCount([retrier("E", max_attempts=5, backoff_rate=1e300, max_delay_s=9.0)])
    assert [count.next_delay_s("E", random.Random(0)) for _ in range(4)] == [1, 9, 9, 9]


class TestCatch:
    def test_default_output_is_the_error_output(self) -> None:
        states = {"A": task(Catch=[{"ErrorEquals": ["E"], "Next": "B"}]), "B": CAUGHT}
        execution = run(states, 0, Cloud({"work": fails("E")}))
        assert execution.output == {"Error": "E", "Cause": "cause of E"}

    def test_output_and_assign_see_input_and_error(self) -> None:
        catcher = {
            "ErrorEquals": ["E"],
            "Next": "B",
            "Output": "{% $merge([$states.input, {'failure': $states.errorOutput}]) %}",
            "Assign": {"name": "{% $states.errorOutput.Error %}"},
        }
        states = {
            "A": task(Catch=[catcher], Assign={"name": "never"}),
            "B": {**CAUGHT, "Output": ["{% $states.input %}", "{% $name %}"]},
        }
        execution = run(states, {"n": 1}, Cloud({"work": fails("E")}))
        assert execution.output == [{"n": 1, "failure": {"Error": "E", "Cause": "cause of E"}}, "E"]

    def test_retry_comes_first_and_the_first_catcher_that_matches_counts(self) -> None:
        state = task(
            Retry=[{"ErrorEquals": ["E"], "MaxAttempts": 2}],
            Catch=[
                {"ErrorEquals": ["X"], "Next": "B", "Output": "x"},
                {"ErrorEquals": ["E", "F"], "Next": "B", "Output": "e or f"},
                {"ErrorEquals": ["States.ALL"], "Next": "B", "Output": "all"},
            ],
        )
        for errors, output, calls in ((["E"] * 9, "e or f", 3), (["G"], "all", 1), (["E", "X"], "x", 2)):
            execution = run({"A": state, "B": CAUGHT}, 0, cloud := Cloud({"work": fails(*errors)}))
            assert (execution.output, len(cloud.calls)) == (output, calls)

    @pytest.mark.parametrize("named", ["States.ALL", "States.TaskFailed", "States.QueryEvaluationError"])
    def test_a_failed_expression_is_caught_and_retried(self, named: str) -> None:
        state = task(
            Output="{% $states.result.absent %}",
            Retry=[{"ErrorEquals": [named], "MaxAttempts": 1}],
            Catch=[{"ErrorEquals": [named], "Next": "B", "Output": "{% $states.errorOutput.Error %}"}],
        )
        execution = run({"A": state, "B": CAUGHT}, 0, cloud := Cloud({"work": lambda _: 0}))
        assert (execution.output, len(cloud.calls)) == ("States.QueryEvaluationError", 2)
        assert event_types(execution).count("EvaluationFailed") == 2

    @pytest.mark.parametrize(
        ("named", "status"),
        [
            ("States.ALL", "FAILED"),
            ("States.TaskFailed", "FAILED"),
            ("States.DataLimitExceeded", "SUCCEEDED"),
        ],
    )
    def test_too_much_data_is_caught_only_by_name(self, named: str, status: str) -> None:
        states = {"A": task(Catch=[{"ErrorEquals": [named], "Next": "B"}]), "B": CAUGHT}
        execution = run(states, 0, Cloud({"work": lambda _: "x" * 300_000}))
        assert execution.status == status

    def test_what_fails_in_a_catcher_is_not_caught_again(self) -> None:
        catcher = {"ErrorEquals": ["States.ALL"], "Next": "B", "Output": "{% $states.result %}"}
        execution = run({"A": task(Catch=[catcher]), "B": CAUGHT}, 0, Cloud({"work": fails("E")}))
        assert execution.error == "States.QueryEvaluationError"

    def test_timeouts_are_caught(self) -> None:
        state = task(
            TimeoutSeconds=5, Catch=[{"ErrorEquals": ["States.Timeout"], "Next": "B", "Output": "late"}]
        )
        assert run({"A": state, "B": CAUGHT}, 0, Cloud({"work": takes(6)})).output == "late"
