"""The services of a test case, for our interpreter: it hears what MockConfigFile.json says.

The shipped definition runs as it is, Map included: PredictItems' mocked response then stands for its ItemReader
(an error is the reader's), and children are answered by a test case of their own.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from fanwise_local.states.errors import RUNTIME, StatesError
from fanwise_local.states.payloads import JSON
from fanwise_local.states.syntax import Flow, MapState, State, StateMachineDefinition, TaskState
from sfn_local.cases import CHILD_INPUT
from sfn_local.mock_config import Answer, Response

_MARK = "mocked"


@dataclass
class MockedServices:
    """Answers by state. `children` are the responses of every child, each of which counts for itself.

    `used`: the invocations of each state, those of all children together.
    """

    responses: Mapping[str, Response]
    children: Mapping[str, Response] = field(default_factory=dict)
    map_state: str = "PredictItems"
    used: Counter[str] = field(default_factory=Counter)
    _of_children: Counter[tuple[str, str]] = field(default_factory=Counter)
    _entries: dict[str, int] = field(default_factory=dict)  # by the key of the file that holds them

    async def call(self, resource: str, arguments: JSON) -> JSON:
        """For a definition that `told_by_state` made. Raises `StatesError`: States.Runtime where no mock is."""
        _, state, *_ = resource.split(":")
        if state in self.responses or state not in self.children:
            return self._result(_answer(self.responses, state, self.used[state]), state)
        child = (state, arguments["Payload"]["entry"]["entry"])
        answer = _answer(self.children, state, self._of_children[child])
        self._of_children[child] += 1
        return self._result(answer, state)

    def _result(self, answer: Answer, state: str) -> JSON:
        self.used[state] += 1
        if answer.thrown is not None:
            raise StatesError(answer.thrown.error, answer.thrown.cause)
        payload = answer.returned.get("Payload")
        if isinstance(payload, dict) and "work_key" in payload:
            self._entries[payload["work_key"]] = payload["entries"]
        return answer.returned

    async def get_object(self, bucket: str, key: str) -> bytes:
        """The work of the round that was answered last, as many entries as it says."""
        self._result(_answer(self.responses, self.map_state, self.used[self.map_state]), self.map_state)
        if key not in self._entries:
            raise StatesError("S3.NoSuchKey", f"{key} is the work of no round that was answered")
        entries = range(self._entries[key])
        return b"\n".join(
            json.dumps({**CHILD_INPUT["entry"], "entry": f"{number:08}"}).encode() for number in entries
        )

    async def put_object(self, bucket: str, key: str, body: bytes) -> None:
        """The ResultWriter's files are nobody's to read: AggregateResults is mocked."""


def _answer(responses: Mapping[str, Response], state: str, number: int) -> Answer:
    if state not in responses:
        raise StatesError(RUNTIME, f"the test case mocks no {state}")
    answer = responses[state].at(number)
    if answer is None:
        raise StatesError(RUNTIME, f"the mocked response of {state} has no invocation {number}")
    return answer


def told_by_state(definition: StateMachineDefinition) -> StateMachineDefinition:
    """The definition whose Tasks call services by the state's name: mocks are by state, services by resource."""
    return replace(definition, flow=_flow(definition.flow))


def _flow(flow: Flow) -> Flow:
    return replace(flow, states={name: _state(state) for name, state in flow.states.items()})


def _state(state: State) -> State:
    if isinstance(state, TaskState):
        kind_and_action = state.resource.split(":")[-2:]
        return replace(state, resource=":".join([_MARK, state.name, *kind_and_action]))
    return replace(state, flow=_flow(state.flow)) if isinstance(state, MapState) else state
