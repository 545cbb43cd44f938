"""The two machines in JSONPath, which is all that Step Functions Local knows: its image is older than JSONata.

What makes the flow (order, Next, Default, Retry, Catch) is taken as it stands. Expressions that decide or pass on
are in the tables below, and one that is not there is an error. What Tasks are sent does not matter, since they are
mocked; variables serve nothing else.
"""

import json
from collections.abc import Mapping
from dataclasses import replace

from fanwise_local.states.payloads import JSON
from sfn_local.cases import Case

_CLOSING = "Step Functions Execution Status Change"
_CONDITIONS: Mapping[str, JSON] = {
    "{% $exists($states.input.detail.input)"
    f" and $contains($string($states.input.detail.input), '{_CLOSING}') %}}": {
        "And": [
            {"Variable": "$.detail.input", "IsPresent": True},
            {"Variable": "$.detail.input", "StringMatches": f"*{_CLOSING}*"},
        ]
    },
    "{% $states.input.duplicate %}": {"Variable": "$.duplicate", "BooleanEquals": True},
    "{% $exists($states.input.summary) %}": {"Variable": "$.summary", "IsPresent": True},
    "{% $exists($states.input.probe) %}": {"Variable": "$.probe", "IsPresent": True},
    "{% $exists($states.input.recompute) %}": {"Variable": "$.recompute", "IsPresent": True},
    "{% $states.input.entries = 0 %}": {"Variable": "$.entries", "NumericEquals": 0},
    "{% $states.input.wait_s > 0 %}": {"Variable": "$.wait_s", "NumericGreaterThan": 0},
    "{% $states.input.summary.items.dead_lettered > 0 %}": {
        "Variable": "$.summary.items.dead_lettered",
        "NumericGreaterThan": 0,
    },
    "{% $states.input.summary.status = 'FAILED' and $not($exists($states.input.closes)) %}": {
        "And": [
            {"Variable": "$.summary.status", "StringEquals": "FAILED"},
            {"Variable": "$.closes", "IsPresent": False},
        ]
    },
}
_OUTPUTS: Mapping[str, JSON] = {
    "{% $states.input %}": {"ResultPath": None},
    "{% $states.result.Payload %}": {"OutputPath": "$.Payload"},
    "{% $states.input.summary %}": {"OutputPath": "$.summary"},
    "{% $merge([$states.input, {'map_run': $states.result}]) %}": {"ResultPath": "$.map_run"},
    "{% $merge([$states.input, {'recomputed': $states.result}]) %}": {"ResultPath": "$.recomputed"},
    "{% $merge([$states.input, {'recomputed': $states.errorOutput}]) %}": {"ResultPath": "$.recomputed"},
    "{% $merge([$states.input, {'stop': $states.errorOutput}]) %}": {"ResultPath": "$.stop"},
    "{% $merge([$states.input, {'failure': $states.errorOutput}]) %}": {"ResultPath": "$.failure"},
    '{"job_id": "{% $job_id %}", "duplicate": true}': {},  # what DuplicateJob gets is that already
    '{"closed": false}': {},  # `in_jsonpath_comes_to`
}
_REFERENCES: Mapping[str, JSON] = {
    "{% $states.input.wait_s %}": "$.wait_s",
    "{% $states.input.summary.reason %}": "$.summary.reason",
}
_KEPT = ("Type", "Comment", "Resource", "TimeoutSeconds", "Retry", "Default", "Next", "End", "Error")


class Untranslated(Exception):
    """An expression of the definition that the tables lack."""


def in_jsonpath(definition: str) -> str:
    """The text of a machine that `machines.definitions` made. Raises `Untranslated`."""
    machine = {name: value for name, value in json.loads(definition).items() if name != "QueryLanguage"}
    states = {name: _state(name, state) for name, state in machine["States"].items()}
    return json.dumps({**machine, "States": states})


def in_jsonpath_comes_to(case: Case) -> Case:
    """What a case has to come to there: a Succeed state makes no output, but ends with its input."""
    return replace(case, output=case.input) if case.path.endswith("NotClosed") else case


def _state(name: str, state: JSON) -> JSON:
    made = {key: state[key] for key in _KEPT if key in state}
    if "Arguments" in state:
        made["Parameters"] = {**_sent(state["Arguments"]), **_function(name, state["Arguments"])}
    for key in ("Seconds", "Cause"):
        if key in state:
            made[f"{key}Path"] = _looked_up(_REFERENCES, state[key], f"{name}.{key}")
    if "Choices" in state:
        made["Choices"] = [
            {**_looked_up(_CONDITIONS, rule["Condition"], f"{name}.Choices"), "Next": rule["Next"]}
            for rule in state["Choices"]
        ]
    if "Catch" in state:
        made["Catch"] = [
            {"ErrorEquals": rule["ErrorEquals"], "Next": rule["Next"], **_output(name, rule)}
            for rule in state["Catch"]
        ]
    return {**made, **_output(name, state)}


def _output(name: str, state: JSON) -> JSON:
    return _looked_up(_OUTPUTS, state["Output"], f"{name}.Output") if "Output" in state else {}


def _looked_up(table: Mapping[str, JSON], value: JSON, place: str) -> JSON:
    expression = value if isinstance(value, str) else json.dumps(value)
    if expression not in table:
        raise Untranslated(f"{place} is {expression}; add it, with what it is in JSONPath, to {__name__}")
    return table[expression]


def _function(name: str, arguments: JSON) -> JSON:
    return {"FunctionName": name} if "FunctionName" in arguments else {}


def _sent(value: JSON) -> JSON:
    """Arguments whose computed parts are the whole input."""
    if isinstance(value, list):
        return [_sent(part) for part in value]
    if not isinstance(value, dict):
        return value
    computed = {name for name, part in value.items() if isinstance(part, str) and part.startswith("{%")}
    plain = {name: _sent(part) for name, part in value.items() if name not in computed}
    return plain | {f"{name}.$": "$" for name in computed if name != "FunctionName"}
