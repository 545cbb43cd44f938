"""The shipped definition against the template, the handlers and the errors: one thing, one name."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from fanwise import errors
from fanwise_local.faults.plan import state_name
from fanwise_local.intrinsics import load_template
from fanwise_local.states.definition import parse_definition
from fanwise_local.template import Function, read_stack, stack_root

ROOT = stack_root()
DEFINITION: dict[str, Any] = json.loads((ROOT / "statemachine/batch_inference.asl.json").read_bytes())
CHILD: dict[str, Any] = DEFINITION["States"]["PredictItems"]["ItemProcessor"]
STACK = read_stack(ROOT)

# What AWS itself raises: Step Functions' and Lambda's own names (concepts-error-handling, sfn-best-practices).
AWS_PREFIXES = ("States.", "Lambda.", "Sandbox.", "Runtime.", "EventBridge.", "SQS.")


def every_state() -> dict[str, dict[str, Any]]:
    return {**DEFINITION["States"], **CHILD["States"]}


def named_errors() -> set[str]:
    return {
        error
        for state in every_state().values()
        for rule in [*state.get("Retry", []), *state.get("Catch", [])]
        for error in rule["ErrorEquals"]
    }


def test_every_error_named_is_awss_or_a_class_of_ours() -> None:
    ours = {name for name in named_errors() if not name.startswith(AWS_PREFIXES)}
    assert ours  # the definition does name errors of ours
    for name in ours:
        assert issubclass(getattr(errors, name), errors.FanwiseError)
        assert not getattr(errors, name).__subclasses__(), "Step Functions sees the class name alone"


def test_it_loads_with_the_templates_substitutions_and_uses_each() -> None:
    assert parse_definition(STACK.definition, STACK.substitutions)
    used = set(re.findall(r"\$\{(\w+)\}", STACK.definition))
    assert used == set(STACK.substitutions)


def test_a_functions_state_folder_and_resource_have_one_name() -> None:
    called = set(re.findall(r"\$\{(\w+)Arn\}", STACK.definition))
    assert called == set(STACK.functions)
    for name in map(state_name, called):
        folder = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
        assert (ROOT / "lambdas" / folder / "handler.py").is_file()
        assert name in every_state()


def test_every_state_can_be_reached() -> None:
    for machine in (DEFINITION, CHILD):
        reached, todo = set(), [machine["StartAt"]]
        while todo:
            name = todo.pop()
            if name in reached:
                continue
            reached.add(name)
            state = machine["States"][name]
            todo += [rule["Next"] for key in ("Catch", "Choices") for rule in state.get(key, [])]
            todo += [state[key] for key in ("Next", "Default") if key in state]
        assert reached == set(machine["States"])


def packagings(name: str) -> list[Function]:
    """The functions that a state may call, one or one for each runtime, with timeouts as long as they may be."""
    timeout = load_template((ROOT / "template.yaml").read_text(), "template")["Parameters"][
        "PredictBatchTimeoutS"
    ]
    stack = read_stack(ROOT, parameters={"PredictBatchTimeoutS": str(timeout["MaxValue"])})
    return [function for logical_id, function in stack.functions.items() if state_name(logical_id) == name]


def waits_s(retry: dict[str, Any]) -> float:
    """The longest that a retrier waits over all its attempts, jitter or not."""
    waits, wait = 0.0, float(retry["IntervalSeconds"])
    for _ in range(retry["MaxAttempts"]):
        waits += min(wait, retry["MaxDelaySeconds"])
        wait *= retry["BackoffRate"]
    return waits


def test_a_child_fits_the_five_minutes_of_an_express_execution() -> None:
    predict, handle = CHILD["States"]["PredictBatch"], CHILD["States"]["HandleFailure"]
    longest_s = (
        max(function.timeout_s for function in packagings("PredictBatch"))
        + sum(waits_s(retry) for retry in predict["Retry"])
        + STACK.functions["HandleFailureFunction"].timeout_s
        + sum(waits_s(retry) for retry in handle["Retry"])
    )
    assert longest_s < 300


@pytest.mark.parametrize("name", ["PlanJob", "PredictBatch", "HandleFailure", "AggregateResults"])
def test_a_task_waits_longer_than_its_functions_timeout(name: str) -> None:
    for function in packagings(name):
        assert every_state()[name]["TimeoutSeconds"] > function.timeout_s


def test_the_death_of_an_invocation_is_never_retried_as_it_is() -> None:
    deaths = {
        "Sandbox.Timedout",
        "Runtime.ExitError",
        "Runtime.OutOfMemory",
        "Lambda.Unknown",
        "States.Timeout",
    }
    predict = CHILD["States"]["PredictBatch"]
    assert not deaths & {error for retry in predict["Retry"] for error in retry["ErrorEquals"]}
    assert deaths == {error for catch in predict["Catch"] for error in catch["ErrorEquals"]}


def test_the_definition_is_strict_json() -> None:
    def no_constants(name: str) -> None:
        raise AssertionError(name)

    text = Path(ROOT / "statemachine/batch_inference.asl.json").read_text()
    json.loads(text, parse_constant=no_constants)
