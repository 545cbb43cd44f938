"""What happens in a simulation, counted as it happens: told by the interpreter, the pool and the functions.

What is told meanwhile (`fanwise_cli.simulation_progress`) reads it from another thread.
"""

import asyncio
from dataclasses import dataclass

from fanwise.pricing import Usage, child_gb_s, gb_s, storage_gb_s
from fanwise_local.simulation.curve import Curve
from fanwise_local.states.executions import Execution
from fanwise_local.states.map_run import Child, MapRun
from fanwise_local.states.observer import Observer
from fanwise_local.states.payloads import JSON

PART_OF_STATE = {
    "PlanJob": "start",
    "ProbeModel": "start",
    "LoadModel": "start",
    "PredictItems": "rounds",
    "WaitBeforeRound": "waits",
    "RecomputeItems": "account",
    "AggregateResults": "account",
}
_START_AND_END = 2  # transitions that are no states
_CLOCK_MS = 3  # digits of milliseconds that the times of an execution have


@dataclass
class RoundCounts:
    """One Map Run so far; `ended` are its children that are over, well or not."""

    entries: int
    began_s: float
    ended_s: float = 0.0
    ended: int = 0
    unfinished: int = 0
    died: int = 0
    rest: int = 0
    throttles: int = 0


class Counts(Observer):
    """Everything that is counted. Usage is summed as it is billed, invocation by invocation."""

    def __init__(self) -> None:
        self.curve = Curve()
        self.rounds: list[RoundCounts] = []
        self.parts_s = dict.fromkeys(PART_OF_STATE.values(), 0.0)
        self.invocations = self.cold_starts = 0  # of PredictBatch
        self.throttles = self.slow_downs = 0
        self.running = self.peak_running = self.peak_waiting = 0  # invocations at once, of all functions
        self.reached_s = 0.0  # when it was last that anything changed
        self.phase: str | None = None  # the state that the job is in; of those that take time, the last
        self.gets = self.puts = 0
        self._billed_invocations = 0
        self._gb_s = self._storage_gb_s = 0.0
        self._transitions = _START_AND_END
        self._children = 0
        self._child_gb_s = 0.0
        self._waiting: set[str] = set()
        self._state: tuple[str, float] | None = None

    @property
    def usage(self) -> Usage:
        """What AWS bills."""
        return Usage(
            invocations=self._billed_invocations,
            gb_s=self._gb_s,
            storage_gb_s=self._storage_gb_s,
            transitions=self._transitions,
            children=self._children,
            child_gb_s=self._child_gb_s,
            gets=self.gets,
            puts=self.puts,
        )

    def billed(self, duration_s: float, memory_mb: int, storage_mb: int) -> None:
        """An invocation has ended."""
        duration_ms = round(duration_s * 1000, _CLOCK_MS)
        self._billed_invocations += 1
        self._gb_s += gb_s(duration_ms, memory_mb)
        self._storage_gb_s += storage_gb_s(duration_ms, storage_mb)

    def running_changed(self, running: int) -> None:
        """So many invocations run now, of all functions."""
        self.running = running
        self.peak_running = max(self.peak_running, running)
        self._draw()

    def throttled(self, entry: str | None) -> None:
        """429; the child of the entry waits."""
        self.throttles += 1
        if self.rounds and not self.rounds[-1].ended_s:
            self.rounds[-1].throttles += 1
        if entry is not None:
            self._waiting.add(entry)
            self.peak_waiting = max(self.peak_waiting, len(self._waiting))
            self._draw()

    def no_longer_waits(self, entry: str | None) -> None:
        """The child of the entry was let in, or has given up."""
        if entry in self._waiting:
            self._waiting.discard(entry)
            self._draw()

    def died(self) -> None:
        """An invocation of an entry took longer than its timeout."""
        self.rounds[-1].died += 1

    def left_rest(self) -> None:
        """An invocation left items over."""
        self.rounds[-1].rest += 1

    def state_entered(self, execution: Execution, state_name: str, state_input: JSON) -> None:
        self._transitions += 1
        self._leave_state()
        self.reached_s = _now_s()
        if state_name in PART_OF_STATE:
            self.phase = state_name
        self._state = (state_name, self.reached_s)

    def execution_ended(self, execution: Execution) -> None:
        self._leave_state()

    def map_run_started(self, map_run: MapRun) -> None:
        self.rounds.append(RoundCounts(map_run.total, _now_s()))

    def child_ended(self, map_run: MapRun, child: Child) -> None:
        self._children += 1
        duration_s = (child.stop_date or child.start_date) - child.start_date
        self._child_gb_s += child_gb_s(round(duration_s * 1000, _CLOCK_MS))
        self.rounds[-1].ended += 1
        if child.status != "SUCCEEDED":
            self.rounds[-1].unfinished += 1
        self.no_longer_waits(child.input["entry"]["entry"])

    def _leave_state(self) -> None:
        if self._state is None:
            return
        name, entered_s = self._state
        if name in PART_OF_STATE:
            self.parts_s[PART_OF_STATE[name]] += _now_s() - entered_s
        if name == "PredictItems" and self.rounds:
            self.rounds[-1].ended_s = _now_s()
        self._state = None

    def _draw(self) -> None:
        self.reached_s = _now_s()
        self.curve.add(self.reached_s, self.running, len(self._waiting))


def _now_s() -> float:
    return asyncio.get_running_loop().time()
