"""The shipped definition as the two machines that mocks can drive.

Only Task states can be mocked (sfn-local-test-sm-exec), and a Distributed Map would read S3. So a job is run with
its Map as a Task of the same name, output and way on, and a child (the states of the Map's ItemProcessor) as a
machine of its own: a Standard one, since an Express execution has no history. Nothing else is changed.
"""

import json

from fanwise_local.states.definition import parse_definition
from fanwise_local.states.executions import EXPRESS_TIMEOUT_S
from fanwise_local.states.payloads import JSON
from fanwise_local.template import Stack

JOB, CHILD = "FanwiseJob", "FanwiseChild"


def substitutions(stack: Stack) -> dict[str, str]:
    """The template's; of functions ARNs that tell their names, the optional ones among them."""
    prefix = f"arn:aws:lambda:{stack.region}:{stack.account_id}:function"
    names = (name for name in stack.substitutions if name.endswith("FunctionArn"))
    return {**stack.substitutions, **{name: f"{prefix}:{name.removesuffix('Arn')}" for name in names}}


def definitions(stack: Stack) -> dict[str, str]:
    """The text of both machines, by name."""
    whole = json.loads(parse_definition(stack.definition, substitutions(stack)).text)
    (map_name,) = (name for name, state in whole["States"].items() if state["Type"] == "Map")
    processor = whole["States"][map_name]["ItemProcessor"]
    child = {
        "QueryLanguage": whole["QueryLanguage"],
        "TimeoutSeconds": int(EXPRESS_TIMEOUT_S),
        "StartAt": processor["StartAt"],
        "States": processor["States"],
    }
    job = {**whole, "States": {**whole["States"], map_name: _task(whole["States"][map_name], map_name)}}
    return {JOB: json.dumps(job), CHILD: json.dumps(child)}


def _task(state: JSON, name: str) -> JSON:
    """A Map state as a Task whose result is mocked."""
    kept = {key: state[key] for key in ("Retry", "Catch", "Output", "Assign", "Next", "End") if key in state}
    arguments = {"FunctionName": name, "Payload": "{% $states.input %}"}
    return {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Arguments": arguments, **kept}
