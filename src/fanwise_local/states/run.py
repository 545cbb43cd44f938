"""What one execution runs on, parent or child: services, clock, variables, context object, history."""

import random as randoms
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from fanwise_local.clock import Clock
from fanwise_local.states.errors import DATA_LIMIT_EXCEEDED, StatesError
from fanwise_local.states.history import WHOLE, History
from fanwise_local.states.payloads import JSON, MAX_PAYLOAD_BYTES, encode, text, timestamp
from fanwise_local.states.scope import Scope
from fanwise_local.states.services import Services
from fanwise_local.states.syntax import Assignments, FailState, MapState, State

MAX_VARIABLES_BYTES = 10 * 1024 * 1024  # of all variables of an execution together (workflow-variables)


class UnfinishedMapRun(Protocol):
    """A Map Run that ended before all of its children were well."""

    async def redrive(self) -> JSON:
        """Goes on with it and returns the state's result. Raises `StatesError`."""


@dataclass(slots=True)
class Visit:
    """One visit to a state; a redrive goes on with the one that did not end (redrive-executions).

    `unfinished` is the Map Run that a redrive would go on with, and all that is kept of it.
    """

    state: State
    input: JSON
    entered_time: str
    event_id: int
    unfinished: UnfinishedMapRun | None = None


class MapRunner(Protocol):
    """Runs a Map state once, over all its items; returns its result."""

    async def __call__(self, state: MapState, visit: Visit, scope: Scope) -> JSON:
        """Leaves in the visit what a redrive would go on with. Raises `StatesError`."""


class Entered(Protocol):
    """Told of each state that is entered."""

    def __call__(self, state_name: str, state_input: JSON) -> None:
        """Must not raise."""


@dataclass(slots=True)
class Run:
    """A parent has a history, a map runner, and somebody to tell; an Express child has none of them."""

    services: Services
    clock: Clock
    random: randoms.Random
    execution_context: Mapping[str, JSON]  # $states.context.Execution
    machine_context: Mapping[str, JSON]  # $states.context.StateMachine
    history: History | None = None
    run_map: MapRunner | None = None
    entered: Entered | None = None
    variables: dict[str, JSON] = field(default_factory=dict)
    visit: Visit | None = None  # the last state entered
    _variable_sizes: dict[str, int] = field(default_factory=dict)

    @property
    def region(self) -> str:
        """The Region of the execution's ARN."""
        return str(self.execution_context["Id"]).split(":")[3]

    def scope(self, state: State, state_input: JSON, entered_time: str, retry_count: int) -> Scope:
        """What the state's expressions see (input-output-contextobject)."""
        context = {
            "Execution": self.execution_context,
            "State": {"EnteredTime": entered_time, "Name": state.name, "RetryCount": retry_count},
            "StateMachine": self.machine_context,
        }
        return Scope({"input": state_input, "context": context}, self.variables, self.clock, self.random)

    def enter(self, state: State, state_input: JSON) -> Visit:
        """A state is entered."""
        event_id = 0
        if self.history is not None:
            event_id = self.history.add(
                f"{state.type}StateEntered", name=state.name, input=text(state_input), inputDetails=WHOLE
            )
        if self.entered is not None:
            self.entered(state.name, state_input)
        self.visit = Visit(state, state_input, timestamp(self.clock.now()), event_id)
        return self.visit

    def reenter(self, visit: Visit) -> Visit:
        """A redrive goes on with a state. Its entry stands in the history already, but for a Fail state's."""
        if isinstance(visit.state, FailState):
            return self.enter(visit.state, visit.input)
        if self.entered is not None:
            self.entered(visit.state.name, visit.input)
        return visit

    def exit(self, state: State, output: JSON, assigned: Mapping[str, JSON]) -> None:
        """A state ends well, and what it assigned takes effect."""
        if self.history is not None:
            details: dict[str, JSON] = {"name": state.name, "output": text(output), "outputDetails": WHOLE}
            if assigned:
                details["assignedVariables"] = {name: text(value) for name, value in assigned.items()}
                details["assignedVariablesDetails"] = WHOLE
            self.history.add(f"{state.type}StateExited", **details)
        if assigned:
            self.variables = {**self.variables, **assigned}

    def evaluate_assign(self, assign: Assignments, scope: Scope) -> Mapping[str, JSON]:
        """The values of an Assign, within the limits of variables (workflow-variables)."""
        if not assign:
            return {}
        values = {name: template.evaluate(scope) for name, template in assign}
        sizes = {name: len(encode(value)) for name, value in values.items()}
        all_sizes = {**self._variable_sizes, **sizes}
        for size, limit, what in (
            (sum(sizes.values()), MAX_PAYLOAD_BYTES, "The variables that one state assigns"),
            (sum(all_sizes.values()), MAX_VARIABLES_BYTES, "The variables of the execution"),
        ):
            if size > limit:
                raise StatesError(
                    DATA_LIMIT_EXCEEDED, f"{what} have {size} bytes, exceeding the maximum of {limit}."
                )
        self._variable_sizes = all_sizes
        return values

    def note(self, event_type: str, **details: JSON) -> None:
        """An event of the history, where there is one."""
        if self.history is not None:
            self.history.add(event_type, **details)
