"""What an execution went through, read from its history: Step Functions Local's, or our interpreter's."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fanwise_local.states.payloads import JSON

_ATTEMPTED = ("TaskScheduled", "MapRunStarted")
_FAILED = ("TaskFailed", "TaskTimedOut", "MapRunFailed")


@dataclass
class Visit:
    """One visit to a state. `errors`: of each attempt of a Task or Map, its error's name, or None if it went well.

    `arguments`: of each attempt of a Task, the text of what was sent.
    """

    state: str
    input: str
    errors: list[str | None] = field(default_factory=list)
    arguments: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The state's name, and how often it was tried if more than once: `PlanJob*7`."""
        return self.state if len(self.errors) < 2 else f"{self.state}*{len(self.errors)}"


def visits_of(events: Iterable[Mapping[str, JSON]]) -> list[Visit]:
    """Visits in their order, from the events of GetExecutionHistory, the earliest first."""
    visits: list[Visit] = []
    for event in events:
        details = _details(event)
        if event["type"].endswith("StateEntered"):
            visits.append(Visit(details["name"], details.get("input", "")))
        elif event["type"] in _ATTEMPTED:
            visits[-1].errors.append(None)
            if "parameters" in details:
                visits[-1].arguments.append(details["parameters"])
        elif event["type"] in _FAILED:
            visits[-1].errors[-1] = details.get("error")
    return visits


def path_of(visits: Sequence[Visit]) -> str:
    """The states in their order: `Started PlanJob*7 Planned …`."""
    return " ".join(visit.text for visit in visits)


def _details(event: Mapping[str, Any]) -> Mapping[str, Any]:
    return next((value for name, value in event.items() if name.endswith("EventDetails")), {})
