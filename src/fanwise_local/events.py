"""Events and the template's rules for them: which event starts what (eb-event-patterns).

Step Functions tells EventBridge when the status of a Standard execution changes (eventbridge-integration).
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fanwise.planning.start import STATUS_CHANGE
from fanwise_local.states.executions import Execution
from fanwise_local.states.payloads import JSON, text, timestamp


class UnknownPatternError(ValueError):
    """A pattern with a comparison that this machine does not make."""


@dataclass(frozen=True)
class Rule:
    """A rule of the template: events that match `pattern` go to each of `targets`, by ARN."""

    name: str
    pattern: Mapping[str, Any]
    targets: tuple[str, ...]

    def matches(self, event: Mapping[str, Any]) -> bool:
        """Whether it takes an event."""
        return _matches(self.pattern, event)


def check_pattern(pattern: object) -> None:
    """Raises `UnknownPatternError` for a pattern that is not lists of texts and numbers at the ends of objects."""
    if not isinstance(pattern, Mapping) or not pattern:
        raise UnknownPatternError(f"{pattern!r} is not an object of fields")
    for value in pattern.values():
        if isinstance(value, Mapping):
            check_pattern(value)
        elif not isinstance(value, list) or any(isinstance(one, Mapping | list) for one in value):
            raise UnknownPatternError(f"{value!r}: here only lists of texts and numbers are compared")


def _matches(pattern: Mapping[str, Any], event: object) -> bool:
    if not isinstance(event, Mapping):
        return False
    return all(
        _matches(wanted, event.get(field)) if isinstance(wanted, Mapping) else event.get(field) in wanted
        for field, wanted in pattern.items()
    )


def execution_status_event(execution: Execution, machine_arn: str) -> dict[str, JSON]:
    """The event that an execution's present status is told by; its dates are milliseconds since the epoch."""
    region, account = machine_arn.split(":")[3:5]
    changed_s = execution.start_date if execution.stop_date is None else execution.stop_date
    output = text(execution.output) if execution.status == "SUCCEEDED" else None
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": STATUS_CHANGE,
        "source": "aws.states",
        "account": account,
        "time": timestamp(changed_s),
        "region": region,
        "resources": [execution.arn],
        "detail": {
            "executionArn": execution.arn,
            "stateMachineArn": machine_arn,
            "name": execution.name,
            "status": execution.status,
            "startDate": int(execution.start_date * 1000),
            "stopDate": None if execution.stop_date is None else int(execution.stop_date * 1000),
            "input": text(execution.input),
            "inputDetails": {"included": True},
            "output": output,
            "outputDetails": None if output is None else {"included": True},
            "error": execution.error,
            "cause": execution.cause,
        },
    }
