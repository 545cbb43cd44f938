"""What Step Functions tells of a job at work: its state, its round, and the counts of the round's Map Run."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fanwise.errors import message_of_cause
from fanwise_cli.stack.connection import DeployedStack

# The last state entered is among these: a Task that is retried six times has four events for each.
_EVENTS = 60


@dataclass(frozen=True)
class Ending:
    """An execution, as far as it has come. `status` is Step Functions', `why` one line where it went wrong."""

    status: str
    started: datetime
    stopped: datetime | None = None
    output: Any = None
    why: str = ""

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self.status == "RUNNING"


@dataclass(frozen=True)
class Moment:
    """Where an execution stands: the state that it entered last, with its input, and its last Map Run's ARN."""

    state: str
    state_input: Any
    map_run: str | None


@dataclass(frozen=True)
class MapCounts:
    """Entries of a round: `ended` of `total`, of which `failed` were left as they are, to be tried again."""

    ended: int
    failed: int
    total: int

    def of_items(self, items: int) -> int:
        """How many of the round's items that is about: entries have nearly as many each."""
        return items * (self.ended - self.failed) // self.total if self.total else 0


def describe(stack: DeployedStack, execution: str) -> Ending:
    """An execution as it is now."""
    told = stack.step_functions.describe_execution(executionArn=execution)
    cause = " ".join(message_of_cause(told.get("cause", "")).split())
    why = ": ".join(part for part in (told.get("error", ""), cause) if part)
    output = json.loads(told["output"]) if "output" in told else None
    return Ending(told["status"], told["startDate"], told.get("stopDate"), output, why)


def moment(stack: DeployedStack, execution: str) -> Moment | None:
    """Where a running execution stands; None where its last events do not say."""
    events = stack.step_functions.get_execution_history(
        executionArn=execution, reverseOrder=True, maxResults=_EVENTS
    )["events"]
    map_run = None
    for event in events:
        if event["type"] in ("MapRunStarted", "MapRunRedriven"):
            details = event.get("mapRunStartedEventDetails") or event.get("mapRunRedrivenEventDetails") or {}
            map_run = map_run or details.get("mapRunArn")
        entered = event.get("stateEnteredEventDetails")
        if entered is not None:
            return Moment(entered["name"], _input(entered), map_run)
    return None


def _input(entered: dict[str, Any]) -> Any:
    try:
        return json.loads(entered.get("input", "null"))
    except ValueError:  # cut, over 256 KiB
        return None


def map_counts(stack: DeployedStack, map_run: str) -> MapCounts:
    """The counts of a Map Run."""
    counts = stack.step_functions.describe_map_run(mapRunArn=map_run)["itemCounts"]
    failed = counts["failed"] + counts["timedOut"] + counts["aborted"]
    return MapCounts(counts["succeeded"] + failed, failed, counts["total"])
