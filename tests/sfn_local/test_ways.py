"""The ways through a definition: what is added without a test case is found."""

from typing import Any

import pytest

from sfn_local.visits import Visit
from sfn_local.ways import taken, ways

TASK: dict[str, Any] = {
    "Type": "Task",
    "Arguments": {"FunctionName": "{% $x ? 'arn:aws:a' : 'arn:aws:b' %}"},
    "Retry": [{"ErrorEquals": ["A", "B"]}, {"ErrorEquals": ["States.ALL"]}],
    "Catch": [{"ErrorEquals": ["C", "D"], "Next": "E"}],
}
CHOICE: dict[str, Any] = {"Type": "Choice", "Choices": [{"Next": "Task"}], "Default": "End"}


def test_all_of_a_choice_and_a_task() -> None:
    wanted = ways({"Choice": CHOICE, "Task": TASK, "End": {"Type": "Succeed"}})
    assert wanted == {
        *(("Choice", how) for how in ("entered", "rule 0", "default")),
        *(("Task", how) for how in ("entered", "retry 0: A", "retry 0: B", "retry 1: States.ALL")),
        *(("Task", f"retry {n} {how}") for n in (0, 1) for how in ("helped", "used up")),
        *(("Task", how) for how in ("catch 0: C", "catch 0: D", "fails")),
        *(("Task", how) for how in ("calls arn:aws:a", "calls arn:aws:b")),
        ("End", "entered"),
    }


@pytest.mark.parametrize(
    ("errors", "hows"),
    [
        ([None], set()),
        (["A", "X", None], {"retry 0: A", "retry 1: States.ALL", "retry 0 helped", "retry 1 helped"}),
        (["B", "B"], {"retry 0: B", "retry 0 used up", "fails"}),
        (["D"], {"retry 1 used up", "catch 0: D"}),
    ],
)
def test_what_a_task_took(errors: list[str | None], hows: set[str]) -> None:
    visit = Visit("Task", "", errors, ['{"FunctionName": "arn:aws:b"}'])
    assert taken({"Task": TASK}, [visit]) == {("Task", how) for how in (*hows, "entered", "calls arn:aws:b")}


def test_what_a_choice_took() -> None:
    states = {"Choice": CHOICE, "End": {"Type": "Succeed"}}
    assert ("Choice", "default") in taken(states, [Visit("Choice", ""), Visit("End", "")])


def test_a_choice_whose_ways_lead_to_one_state_is_refused() -> None:
    """A path would not tell which it took."""
    states = {"Choice": {**CHOICE, "Default": "Task"}, "Task": TASK}
    with pytest.raises(ValueError, match="too many values"):
        taken(states, [Visit("Choice", ""), Visit("Task", "")])
