"""What is refused when a definition is loaded, and with which path."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwise_local.states.definition import DefinitionError, parse_definition
from fanwise_local.states.payloads import JSON
from fanwise_local.states.syntax import MapState, TaskState

from .machines import machine_text, task

MAP: dict[str, Any] = {
    "Type": "Map",
    "ItemReader": {
        "Resource": "arn:aws:states:::s3:getObject",
        "ReaderConfig": {"InputType": "JSONL"},
        "Arguments": {"Bucket": "b", "Key": "k"},
    },
    "ItemProcessor": {
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"},
        "StartAt": "Work",
        "States": {"Work": {**task(), "Assign": {"inner": 1}}},
    },
    "ResultWriter": {
        "Resource": "arn:aws:states:::s3:putObject",
        "Arguments": {"Bucket": "b", "Prefix": "p"},
        "WriterConfig": {"Transformation": "COMPACT", "OutputType": "JSONL"},
    },
    "End": True,
}
CHOICE: dict[str, Any] = {"Type": "Choice", "Choices": [{"Condition": True, "Next": "B"}], "Default": "B"}
WAIT: dict[str, Any] = {"Type": "Wait", "Seconds": 1, "End": True}
RETRY: dict[str, Any] = {"ErrorEquals": ["E"]}
CATCH: dict[str, Any] = {"ErrorEquals": ["E"], "Next": "B"}
END: dict[str, Any] = {"Type": "Pass", "End": True}


def changed(base: dict[str, Any], path: str, value: JSON) -> dict[str, Any]:
    """The base with one field set; None takes it away."""
    copy: dict[str, Any] = json.loads(json.dumps(base))
    at: Any = copy
    *way, last = path.split("/")
    for name in way:
        at = at[int(name)] if isinstance(at, list) else at[name]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return copy


def refused(text: str) -> str:
    with pytest.raises(DefinitionError) as raised:
        parse_definition(text)
    assert str(raised.value).startswith(raised.value.path)
    return str(raised.value)


def test_a_definition_with_every_state_is_taken() -> None:
    states = {
        "A": task(Retry=[RETRY], Catch=[CATCH], Next="Map"),
        "Map": {**changed(MAP, "End", None), "Next": "Choose"},
        "Choose": {**CHOICE, "Default": "Wait"},
        "Wait": {"Type": "Wait", "Timestamp": "2026-01-01T00:00:00Z", "Next": "B"},
        "B": {"Type": "Pass", "Next": "End"},
        "End": {"Type": "Succeed", "Output": "{% $states.input %}", "Comment": "the end"},
    }
    definition = parse_definition(machine_text(states, TimeoutSeconds=60, Comment="all", Version="1.0"))
    assert definition.timeout_s == 60
    first = definition.flow.states["A"]
    assert isinstance(first, TaskState)
    retrier = first.retriers[0]
    assert (retrier.interval_s, retrier.max_attempts, retrier.backoff_rate) == (1, 3, 2)
    assert (retrier.max_delay_s, retrier.full_jitter) == (None, False)
    child = definition.flow.states["Map"]
    assert isinstance(child, MapState)
    assert child.label == "Map"


@pytest.mark.parametrize(
    ("base", "path", "value", "message"),
    [
        (MAP, "ItemReader/ReaderConfig/MaxItem", 1, "ItemReader.ReaderConfig.MaxItem: unknown field"),
        (
            MAP,
            "ItemReader/ReaderConfig/InputType",
            "CSV",
            "ReaderConfig.InputType: is 'CSV'; supported: JSONL",
        ),
        (MAP, "ItemReader/ReaderConfig/MaxItems", 0, "MaxItems: is 0; has to be integer from 1 to 100000000"),
        (MAP, "ItemReader/Resource", "arn:aws:states:::s3:listObjectsV2", "ItemReader.Resource: is "),
        (MAP, "ItemReader/Arguments/VersionId", "v", "VersionId: not supported here"),
        (MAP, "ItemReader/Arguments/Key", None, "ItemReader.Arguments.Key: missing"),
        (MAP, "ItemReader/Parameters", {}, "ItemReader.Parameters: a field of JSONPath states"),
        (MAP, "Items", [1], "Items: there is an ItemReader too"),
        (MAP, "ItemBatcher", {"MaxItemsPerBatch": 2}, "ItemBatcher: not supported here"),
        (MAP, "ItemProcessor/ProcessorConfig", None, "ProcessorConfig.Mode: missing, which means INLINE"),
        (MAP, "ItemProcessor/ProcessorConfig/Mode", "INLINE", "Mode: is 'INLINE'; supported: DISTRIBUTED"),
        (MAP, "ItemProcessor/ProcessorConfig/ExecutionType", "STANDARD", "ExecutionType: is 'STANDARD'"),
        (MAP, "ItemProcessor/States/Work/Resourc", 1, "ItemProcessor.States.Work.Resourc: unknown field"),
        (MAP, "ItemProcessor/States/Work", MAP, "an Express child cannot run a Map Run"),
        (MAP, "Label", "a b", "Label: is 'a b'; at most 40 characters"),
        (MAP, "Label", "x" * 41, "at most 40 characters"),
        (
            MAP,
            "ToleratedFailurePercentage",
            101,
            "ToleratedFailurePercentage: is 101; has to be number from 0 to 100",
        ),
        (MAP, "ToleratedFailureCount", -1, "ToleratedFailureCount: is -1"),
        (MAP, "MaxConcurrency", 1.5, "MaxConcurrency: is 1.5; has to be integer"),
        (MAP, "MaxConcurrency", "10", "MaxConcurrency: is '10'"),
        (MAP, "ResultWriter", {}, "ResultWriter: has neither WriterConfig, nor Resource and Arguments"),
        (MAP, "ResultWriter/WriterConfig/Transformation", "ZIP", "Transformation: is 'ZIP'"),
        (MAP, "ResultWriter/Arguments/Key", "k", "ResultWriter.Arguments.Key: unknown field"),
        (MAP, "ResultWriter", {"WriterConfig": {"OutputType": "JSONL"}}, "OutputType: is JSONL"),
        (MAP, "TimeoutSeconds", 5, "TimeoutSeconds: unknown field"),
        (
            task(),
            "Resource",
            "arn:aws:states:::dynamodb:putItem",
            "Resource: is 'arn:aws:states:::dynamodb:putItem'",
        ),
        (task(), "Resource", "arn:aws:states:::lambda:invoke.waitForTaskToken", "Resource: is "),
        (task(), "Resource", "arn:aws:lambda:us-east-1:1:function:f", "Resource: is "),
        (task(), "Resource", "{% 'x' %}", "Resource: has to be plain text"),
        (task(), "HeartbeatSeconds", 5, "HeartbeatSeconds: not supported here"),
        (task(), "TimeoutSeconds", 0, "TimeoutSeconds: is 0; has to be integer from 1 to 99999999"),
        (task(), "TimeoutSeconds", True, "TimeoutSeconds: is True"),
        (task(), "InputPath", "$", "InputPath: a field of JSONPath states"),
        (task(), "Arguments", [1], "Arguments: has to be an object"),
        (task(), "Arguments/x", "{% 1 + %}", "Arguments/x: not JSONata"),
        (task(), "Arguments/x", "{% $eval('1') %}", "$eval is not available"),
        (task(), "Assign", [], "Assign: has to be an object, not empty array"),
        (task(), "Assign", {"states": 1}, "Assign.states: is reserved"),
        (task(), "Assign", {"a-b": 1}, "Assign.a-b: is no name of a variable"),
        (task(), "Assign", {"x" * 81: 1}, "at most 80"),
        (task(), "Retry", [], "Retry: has to be an array with at least one object"),
        (task(), "Retry", [{**RETRY, "MaxAttempt": 1}], "Retry[0].MaxAttempt: unknown field"),
        (task(), "Retry", [{**RETRY, "BackoffRate": 0.5}], "Retry[0].BackoffRate: is 0.5"),
        (task(), "Retry", [{**RETRY, "MaxAttempts": -1}], "Retry[0].MaxAttempts: is -1"),
        (
            task(),
            "Retry",
            [{**RETRY, "IntervalSeconds": 5, "MaxDelaySeconds": 5}],
            "has to be over IntervalSeconds, 5",
        ),
        (task(), "Retry", [{**RETRY, "JitterStrategy": "HALF"}], "JitterStrategy: is 'HALF'"),
        (task(), "Retry", [{"ErrorEquals": []}], "ErrorEquals: has to be an array of error names"),
        (
            task(),
            "Retry",
            [{"ErrorEquals": ["States.ALL", "E"]}],
            "Retry[0].ErrorEquals: States.ALL has to stand alone",
        ),
        (
            task(),
            "Retry",
            [{"ErrorEquals": ["States.ALL"]}, RETRY],
            "States.ALL has to stand alone, and in the last",
        ),
        (task(), "Catch", [{"ErrorEquals": ["E"], "Next": "C"}], "States.A: leads to 'C'"),
        (
            task(),
            "Catch",
            [{**CATCH, "ResultPath": "$.e"}],
            "Catch[0].ResultPath: a field of JSONPath states",
        ),
        (task(), "Next", "B", "Next: there is End too"),
        (task(), "End", False, "End: has to be true"),
        (task(), "End", None, "Next: missing; it is required"),
        (task(), "QueryLanguage", "JSONPath", "QueryLanguage: is JSONPath"),
        (task(), "Type", "Parallel", "Type: is 'Parallel'; supported: Task, Choice"),
        (WAIT, "Timestamp", "2026-01-01T00:00:00Z", "either Seconds or Timestamp"),
        (WAIT, "Seconds", -1, "Seconds: is -1; has to be integer from 0"),
        (
            changed(WAIT, "Seconds", None),
            "Timestamp",
            "tomorrow",
            "Timestamp: is 'tomorrow'; has to be RFC 3339",
        ),
        (CHOICE, "Choices/0/Condition", "yes", "Condition: has to be true, false, or an expression"),
        (CHOICE, "Choices/0/And", [], "Choices[0].And: unknown field"),
        (CHOICE, "Choices", None, "Choices: missing"),
        (CHOICE, "End", True, "End: unknown field"),
        (END, "Result", 1, "Result: a field of JSONPath states"),
        ({"Type": "Fail"}, "Next", "B", "Next: unknown field"),
        ({"Type": "Fail"}, "Error", 5, "Error: has to be text or an expression, not a number"),
        ({"Type": "Succeed"}, "Assign", {"a": 1}, "Assign: unknown field"),
    ],
)
def test_refused_with_its_path(base: dict[str, Any], path: str, value: JSON, message: str) -> None:
    needs_b = '"B"' in json.dumps(base) or value == [CATCH]
    states = {"A": changed(base, path, value), **({"B": END} if needs_b else {})}
    said = refused(machine_text(states))
    assert message in said
    assert said.startswith("States.A")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "the definition is not JSON"),
        ('{"a": 1, "a": 2}', "a: the field stands twice"),
        ('{"StartAt": NaN}', "the definition is not JSON: NaN"),
        (
            json.dumps({"StartAt": "A", "States": {"A": END}}),
            "States.A.QueryLanguage: is JSONPath (the default)",
        ),
        (machine_text({"A": END}, StartAt="B"), "StartAt: names 'B', which is not among States"),
        (machine_text({"A": END}, States={}), "States: has no state"),
        (machine_text({"A": END}, Timeout=1), "Timeout: unknown field"),
        (machine_text({"A": END}, Version="2.0"), "Version: is '2.0'; supported: 1.0"),
        (machine_text({"A": END, "B": END}), "States.B: cannot be reached from StartAt"),
        (machine_text({"A": END, "B" * 81: END}), "a state's name has 81 characters; 1 to 80"),
        (machine_text({"Work": MAP}), "another state has this name: States.Work"),
        (
            machine_text({"A": {**changed(MAP, "End", None), "Assign": {"inner": 1}, "Next": "B"}, "B": END}),
            "States.A.ItemProcessor.States: assigns $inner, which the outer scope assigns",
        ),
        ("[]", "has to be an object, not empty array"),
        (json.dumps("x" * 1_100_000), "over 1048576 bytes"),
    ],
)
def test_refused_as_a_whole(text: str, message: str) -> None:
    assert message in refused(text)


def test_labels_are_unique_in_a_machine() -> None:
    second = changed(MAP, "ItemProcessor", {**MAP["ItemProcessor"], "StartAt": "W", "States": {"W": task()}})
    states = {
        "A": {**changed(MAP, "End", None), "Label": "same", "Next": "B"},
        "B": {**second, "Label": "same"},
    }
    assert "States.B.Label: another Map has 'same'" in refused(machine_text(states))


def test_substitutions_stand_in_any_string_and_have_to_be_defined() -> None:
    text = machine_text({"A": {"Type": "Pass", "Output": ["${Bucket}/${Bucket}"], "End": True}})
    state = parse_definition(text, {"Bucket": 'say "b"'}).flow.states["A"]
    assert state.output is not None
    assert 'say "b"/say "b"' in str(state.output)
    with pytest.raises(DefinitionError, match=r"States.A.Output\[0\]: \$\{Bucket\} has no value.*: Other"):
        parse_definition(text, {"Other": "x"})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from(
    [
        "Type",
        "Next",
        "End",
        "Output",
        "Assign",
        "Arguments",
        "Retry",
        "Catch",
        "Choices",
        "ItemReader",
        "Resource",
    ]
)


@given(base=st.sampled_from([MAP, CHOICE, WAIT, END, task()]), name=names, value=json_values)
def test_no_value_of_any_field_breaks_the_parser(base: dict[str, Any], name: str, value: JSON) -> None:
    try:
        parse_definition(machine_text({"A": {**base, name: value}, "B": END}))
    except DefinitionError as error:
        assert str(error)
