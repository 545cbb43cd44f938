"""A Map Run: its children, counted by status (API_DescribeMapRun)."""

from collections.abc import Callable
from typing import Literal as OneOf
from typing import TypeAlias

from fanwise_local.states.payloads import JSON, text, timestamp

ChildStatus: TypeAlias = OneOf["RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"]
MapRunStatus: TypeAlias = OneOf["RUNNING", "SUCCEEDED", "FAILED", "ABORTED"]

MAX_REDRIVES = 1_000  # of one Map Run (redrive-map-run)
_COUNTED_AS = {"SUCCEEDED": "succeeded", "FAILED": "failed", "TIMED_OUT": "timedOut", "ABORTED": "aborted"}
_UNSUCCESSFUL = ("failed", "timedOut", "aborted")


class Child:
    """One Express child of a Map Run. Times are seconds since the epoch."""

    __slots__ = (
        "arn",
        "cause",
        "error",
        "index",
        "input",
        "name",
        "output",
        "start_date",
        "status",
        "stop_date",
    )

    def __init__(self, arn: str, name: str, index: int, child_input: JSON, start_date: float) -> None:
        self.arn = arn
        self.name = name
        self.index = index
        self.input = child_input
        self.status: ChildStatus = "RUNNING"
        self.output: JSON = None
        self.error: str | None = None
        self.cause: str | None = None
        self.start_date = start_date
        self.stop_date: float | None = None

    def end(
        self, status: ChildStatus, stop_date: float, error: str | None = None, cause: str | None = None
    ) -> None:
        """Sets what an ended child has, but for its output."""
        self.status, self.stop_date, self.error, self.cause = status, stop_date, error, cause

    def described(self, state_machine_arn: str) -> dict[str, JSON]:
        """The child with its metadata: a row of a result file under NONE (input-output-resultwriter)."""
        row: dict[str, JSON] = {
            "ExecutionArn": self.arn,
            "Input": text(self.input),
            "InputDetails": {"Included": True},
            "Name": self.name,
        }
        if self.status == "SUCCEEDED":
            row |= {"Output": text(self.output), "OutputDetails": {"Included": True}}
        else:
            row |= {
                name: value
                for name, value in (("Error", self.error), ("Cause", self.cause))
                if value is not None
            }
        row |= {"RedriveCount": 0, **_redrive(self.status)}
        row |= {
            "StartDate": timestamp(self.start_date),
            "StateMachineArn": state_machine_arn,
            "Status": self.status,
        }
        return row if self.stop_date is None else {**row, "StopDate": timestamp(self.stop_date)}


def _redrive(status: ChildStatus) -> dict[str, JSON]:
    if status != "SUCCEEDED":
        return {"RedriveStatus": "REDRIVABLE_BY_MAP_RUN"}
    reason = "Execution is SUCCEEDED and cannot be redriven"
    return {"RedriveStatus": "NOT_REDRIVABLE", "RedriveStatusReason": reason}


class MapRun:
    """One run of a Map state over its items. Without ItemBatcher an item is a child: both counts are the same.

    A tolerance that is None is not looked at; where both are, one failure is too many (state-map-distributed).
    """

    def __init__(
        self,
        *,
        arn: str,
        execution_arn: str,
        state_machine_arn: str,
        label: str,
        max_concurrency: int,
        tolerated_failure_percentage: float | None,
        tolerated_failure_count: int | None,
        start_date: float,
    ) -> None:
        self.arn = arn
        self.execution_arn = execution_arn
        self.state_machine_arn = state_machine_arn  # of its children: the machine's, with the label
        self.label = label
        self.status: MapRunStatus = "RUNNING"
        self.max_concurrency = max_concurrency
        self.tolerated_failure_percentage = tolerated_failure_percentage
        self.tolerated_failure_count = tolerated_failure_count
        self.start_date = start_date
        self.stop_date: float | None = None
        self.results_written = 0
        self.redrive_count = 0
        self.redrive_date: float | None = None
        self.concurrency_changed: Callable[[], None] | None = None  # called while children run
        self._unsuccessful = dict.fromkeys(
            _UNSUCCESSFUL, 0
        )  # of those counted as pendingRedrive, what they were
        self._counts = dict.fromkeys(("pending", "running", *_COUNTED_AS.values(), "total"), 0)

    @property
    def failures(self) -> int:
        """Children that ended otherwise than well."""
        return sum(self._counts[name] for name in _UNSUCCESSFUL)

    @property
    def is_intolerable(self) -> bool:
        """Whether more children failed than one of the thresholds allows."""
        count, percentage = self.tolerated_failure_count, self.tolerated_failure_percentage
        if count is not None and self.failures > count:
            return True
        if percentage is None and count is not None:
            return False
        return self.failures * 100 > (percentage or 0.0) * self.total

    @property
    def total(self) -> int:
        """All its children, those that have not started among them."""
        return self._counts["total"]

    @property
    def execution_counts(self) -> dict[str, int]:
        """Children by status, with the fields of MapRunExecutionCounts."""
        # Express children can always be started again.
        redrive = {"failuresNotRedrivable": 0, "pendingRedrive": sum(self._unsuccessful.values())}
        return {**self._counts, "resultsWritten": self.results_written, **redrive}

    @property
    def item_counts(self) -> dict[str, int]:
        """Items by what became of their child, with the fields of MapRunItemCounts."""
        return self.execution_counts

    def expect(self, total: int) -> None:
        """Items have been read, and wait."""
        self._counts["total"] = self._counts["pending"] = total

    def update(
        self,
        *,
        max_concurrency: int | None = None,
        tolerated_failure_percentage: float | None = None,
        tolerated_failure_count: int | None = None,
    ) -> None:
        """Changes what is given while it runs (API_UpdateMapRun): for children that start or end from now on."""
        if tolerated_failure_percentage is not None:
            self.tolerated_failure_percentage = tolerated_failure_percentage
        if tolerated_failure_count is not None:
            self.tolerated_failure_count = tolerated_failure_count
        if max_concurrency is not None:
            self.max_concurrency = max_concurrency
            if self.concurrency_changed is not None:
                self.concurrency_changed()

    def redrive(self, redrive_date: float) -> None:
        """It runs again: children that were not successful wait to be started again (redrive-map-run)."""
        self.status, self.stop_date = "RUNNING", None
        self.redrive_count, self.redrive_date = self.redrive_count + 1, redrive_date
        for name in _UNSUCCESSFUL:
            self._unsuccessful[name], self._counts[name] = self._counts[name], 0

    def child_started(self, before: ChildStatus | None = None) -> None:
        """One that waited runs; `before` is how it had ended, where it is started again."""
        if before is None:
            self._counts["pending"] -= 1
        else:
            self._unsuccessful[_COUNTED_AS[before]] -= 1
        self._counts["running"] += 1

    def child_ended(self, status: ChildStatus) -> None:
        """One that ran ended."""
        self._counts["running"] -= 1
        self._counts[_COUNTED_AS[status]] += 1

    def end(self, status: MapRunStatus, stop_date: float) -> None:
        """The run is over. What waited to be started again is what it was."""
        for name in _UNSUCCESSFUL:
            self._counts[name] += self._unsuccessful[name]
            self._unsuccessful[name] = 0
        self.status, self.stop_date = status, stop_date
