"""Told as things happen, for progress bars and for tests."""

from typing import TYPE_CHECKING

from fanwise_local.states.map_run import Child, MapRun
from fanwise_local.states.payloads import JSON

if TYPE_CHECKING:
    from fanwise_local.states.executions import Execution


class Observer:
    """Does nothing; override what you want to know. Called inside the event loop: return soon, raise nothing."""

    def state_entered(self, execution: "Execution", state_name: str, state_input: JSON) -> None:
        """The execution (a parent, never a child) entered a state, or a redrive goes on with it."""

    def map_run_started(self, map_run: MapRun) -> None:
        """A Map Run has read its items, `map_run.total` is known; or it was redriven."""

    def child_ended(self, map_run: MapRun, child: Child) -> None:
        """A child ended, well or not; `map_run` counts it already."""

    def execution_ended(self, execution: "Execution") -> None:
        """The execution ended; its output or error is set."""
