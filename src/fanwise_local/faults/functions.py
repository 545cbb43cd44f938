"""What Step Functions sees of Lambda under a fault plan: the functions of a stack, and around them the plan.

Every invocation is numbered here and its faults looked up. Those that strike inside of it go with the event, to
`bootstrap` in the function's process. What an invocation was given is kept in `faults.jsonl`.
"""

import asyncio
import json
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from fanwise_local.environment import ORDINARY, Conditions, FunctionFault, InvokeResult
from fanwise_local.faults.plan import Coordinates, FaultPlan, Invocations, state_name
from fanwise_local.faults.rules import (
    Delay,
    DropResponse,
    Error,
    ExceedMemory,
    ExceedTime,
    Fault,
    Kill,
    RepeatInvocation,
    RepeatResponse,
    StoreRule,
    Throttle,
    WriteLate,
)
from fanwise_local.functions import FunctionService
from fanwise_local.states.payloads import JSON, encode

_INSIDE = (Kill, ExceedMemory, ExceedTime, RepeatResponse, WriteLate, StoreRule)
_Fault = TypeVar("_Fault")


class FaultyFunctions:
    """The functions, as a plan has them; `kept` is the file of what befell whom."""

    def __init__(self, functions: FunctionService, plan: FaultPlan, *, kept: Path) -> None:
        self._functions = functions
        self._plan = plan
        self._kept = kept
        self._invocations = Invocations()

    def follow(self, plan: FaultPlan, *, kept: Path) -> None:
        """Go by another plan from now on, with numbers from 0: for jobs one after the other in one cloud."""
        self._plan, self._kept, self._invocations = plan, kept, Invocations()

    async def invoke(self, function: str, payload: JSON) -> InvokeResult:
        """As `FunctionService.invoke`, with whatever befalls this invocation."""
        name = state_name(self._functions.find(function).logical_id)
        at = self._invocations.next(name, payload)
        faults = self._plan.faults_of(*at)
        if faults:
            self._keep(at, faults)
        refusal = refusal_of(faults)
        if refusal is not None:
            return _failed(*refusal)
        await asyncio.sleep(delay_s(faults))
        conditions = _conditions(faults)
        result = await self._functions.invoke(function, payload, conditions)
        if _first(faults, RepeatInvocation):
            result = await self._functions.invoke(function, payload, conditions)
        return _failed(*DROPPED) if _first(faults, DropResponse) else result

    def _keep(self, at: Coordinates, faults: Sequence[Fault]) -> None:
        lines = [encode({**at._asdict(), "fault": msgspec.to_builtins(fault)}) + b"\n" for fault in faults]
        with self._kept.open("ab") as file:
            file.write(b"".join(lines))


# What the caller is told, error and message, where the function has no part in it.
DROPPED = (
    "Lambda.SdkClientException",
    "Unable to execute HTTP request: Connection reset (of the fault plan)",
)
_THROTTLED = (
    "Lambda.TooManyRequestsException",
    "Rate Exceeded. (Service: AWSLambda; Status Code: 429; of the fault plan)",
)


def refusal_of(faults: Sequence[Fault]) -> tuple[str, str] | None:
    """Error and message of an invocation that never runs; None where it does."""
    if _first(faults, Throttle):
        return _THROTTLED
    error = _first(faults, Error)
    return (error.error, f"{error.error} (of the fault plan)") if error else None


def delay_s(faults: Sequence[Fault]) -> float:
    """How long the function is not yet run."""
    return sum(fault.seconds for fault in faults if isinstance(fault, Delay))


def _conditions(faults: Sequence[Fault]) -> Conditions:
    inside = [msgspec.to_builtins(fault) for fault in faults if isinstance(fault, _INSIDE)]
    if not inside:
        return ORDINARY
    in_time, late = _first(faults, ExceedTime), _first(faults, WriteLate)
    return Conditions(
        client_context=json.dumps({"custom": {"faults": inside}}),
        timeout_s=in_time.seconds if in_time else None,
        late_s=late.seconds if late else 0.0,
    )


def _first(faults: Sequence[Fault], kind: type[_Fault]) -> _Fault | None:
    return next((fault for fault in faults if isinstance(fault, kind)), None)


def _failed(error: str, message: str) -> InvokeResult:
    fault = FunctionFault(error, {"errorType": error, "errorMessage": message})
    return InvokeResult(str(uuid.uuid4()), b"null", fault, duration_ms=0.0, init_ms=0.0, cold=False)
