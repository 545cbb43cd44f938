"""The history of a Standard execution, as GetExecutionHistory tells it (API_HistoryEvent)."""

from collections.abc import Mapping
from dataclasses import dataclass

from fanwise_local.clock import Clock
from fanwise_local.states.errors import RUNTIME, StatesError
from fanwise_local.states.payloads import JSON

MAX_EVENTS = 25_000  # of a Standard execution, which fails there (service-quotas)
WHOLE: Mapping[str, JSON] = {"truncated": False}  # inputDetails and outputDetails: nothing was cut


@dataclass(frozen=True, slots=True)
class HistoryEvent:
    """One event; `timestamp` in seconds since the epoch, `details` by the names of its …EventDetails."""

    id: int
    previous_event_id: int
    timestamp: float
    type: str
    details: Mapping[str, JSON]

    @property
    def details_name(self) -> str:
        """The member that holds the details: `stateEnteredEventDetails` for every `…StateEntered`."""
        for ending, name in (("StateEntered", "stateEntered"), ("StateExited", "stateExited")):
            if self.type.endswith(ending):
                return f"{name}EventDetails"
        return f"{self.type[0].lower()}{self.type[1:]}EventDetails"

    def described(self) -> dict[str, JSON]:
        """The event in the form of GetExecutionHistory."""
        event: dict[str, JSON] = {
            "id": self.id,
            "previousEventId": self.previous_event_id,
            "timestamp": self.timestamp,
            "type": self.type,
        }
        return {**event, self.details_name: dict(self.details)} if self.details else event


class History:
    """Events in order. The first event after ExecutionStarted has, as on AWS, no previous one either."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.events: list[HistoryEvent] = []

    def add(self, event_type: str, **details: JSON) -> int:
        """Appends an event and returns its id.

        Raises `StatesError` with States.Runtime where only the event that ends the execution has room left.
        """
        if len(self.events) >= MAX_EVENTS - 1:
            raise StatesError(
                RUNTIME, f"The execution reached the maximum number of history events ({MAX_EVENTS})."
            )
        return self.append(event_type, **details)

    def append(self, event_type: str, **details: JSON) -> int:
        """Appends an event that ends something, if there is room; returns the id of the last event."""
        count = len(self.events)
        if count < MAX_EVENTS:
            previous = count if count > 1 else 0
            self.events.append(HistoryEvent(count + 1, previous, self._clock.now(), event_type, details))
        return len(self.events)
