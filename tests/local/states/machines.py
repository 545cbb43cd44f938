"""What the tests of the interpreter share: services that behave, and short ways to build and run a machine."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fanwise_local.clock import Clock, run_virtual
from fanwise_local.states.definition import parse_definition
from fanwise_local.states.errors import StatesError
from fanwise_local.states.executions import Execution, StateMachine
from fanwise_local.states.observer import Observer
from fanwise_local.states.payloads import JSON

ARN = "arn:aws:states:us-east-1:123456789012:stateMachine:machine"
LAMBDA = "arn:aws:states:::lambda:invoke"

Function = Callable[[JSON], JSON | Awaitable[JSON]]


@dataclass
class Cloud:
    """Lambda functions by name, a bucket's objects by key; everything called is kept."""

    functions: Mapping[str, Function] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    calls: list[tuple[str, JSON]] = field(default_factory=list)
    running: int = 0
    most_running: int = 0

    async def call(self, resource: str, arguments: JSON) -> JSON:
        name = arguments.get("FunctionName", resource.rpartition(":")[2])
        payload = arguments.get("Payload") if "FunctionName" in arguments else arguments
        self.calls.append((name, payload))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            answer = self.functions[name](payload)
            if isinstance(answer, Awaitable):
                answer = await answer
        finally:
            self.running -= 1
        return {"StatusCode": 200, "Payload": answer} if resource == LAMBDA else answer

    async def get_object(self, bucket: str, key: str) -> bytes:
        if key not in self.objects:
            raise StatesError("S3.NoSuchKey", f"s3://{bucket}/{key}")
        return self.objects[key]

    async def put_object(self, bucket: str, key: str, body: bytes) -> None:
        if bucket == "forbidden":
            raise StatesError("S3.AccessDenied", f"s3://{bucket}/{key}")
        self.objects[key] = body

    def named(self, name: str) -> list[JSON]:
        return [payload for called, payload in self.calls if called == name]


def fails(*errors: str | None, answer: JSON = None) -> Function:
    """A function that fails with these errors, call by call (None is a success), and then succeeds."""
    waiting = list(errors)

    def function(_payload: JSON) -> JSON:
        error = waiting.pop(0) if waiting else None
        if error is not None:
            raise StatesError(error, f"cause of {error}")
        return answer

    return function


def takes(seconds: float, answer: JSON = None) -> Function:
    """A function that takes some time."""

    async def function(_payload: JSON) -> JSON:
        await asyncio.sleep(seconds)
        return answer

    return function


def machine_text(states: Mapping[str, Any], **top: JSON) -> str:
    """A definition that starts at its first state."""
    return json.dumps({"QueryLanguage": "JSONata", "StartAt": next(iter(states)), "States": states, **top})


def task(**more: JSON) -> dict[str, Any]:
    """A Task state that calls the function `work` with its input, and ends."""
    base: dict[str, Any] = {
        "Type": "Task",
        "Resource": LAMBDA,
        "Arguments": {"FunctionName": "work", "Payload": "{% $states.input %}"},
    }
    return {**base, **({} if "Next" in more else {"End": True}), **more}


def run(
    states: Mapping[str, Any],
    state_input: JSON = None,
    cloud: Cloud | None = None,
    *,
    top: Mapping[str, JSON] | None = None,
    observer: Observer | None = None,
    then: Callable[[Execution], Awaitable[None]] | None = None,
    express_timeout_s: float = 300,
) -> Execution:
    """Runs a machine in virtual time to its end; `then` runs beside it."""

    async def main() -> Execution:
        machine = StateMachine(
            parse_definition(machine_text(states, **(top or {}))),
            arn=ARN,
            services=cloud or Cloud(),
            clock=Clock(),
            observer=observer,
            random=random.Random(7),
            express_timeout_s=express_timeout_s,
        )
        execution = machine.start_execution(state_input)
        if then is not None:
            await then(execution)
        return await execution.wait()

    return run_virtual(main())


def output_of(expression: str, state_input: JSON = None, **variables: JSON) -> JSON:
    """What a Pass state gives for an expression, or the execution's error name."""
    states = {
        "Assign": {"Type": "Pass", "Assign": variables, "Next": "Show"},
        "Show": {"Type": "Pass", "Output": f"{{% {expression} %}}", "End": True},
    }
    execution = run(states, state_input)
    return execution.output if execution.status == "SUCCEEDED" else execution.error


def event_types(execution: Execution) -> list[str]:
    return [event.type for event in execution.history]


def duration_s(execution: Execution) -> float:
    assert execution.stop_date is not None
    return round(execution.stop_date - execution.start_date, 3)
