"""MockConfigFile.json, read as Step Functions Local reads it (sfn-local-mock-cfg-file).

A test case names a mocked response for a state. Its answers are numbered by the state's invocations in one
execution, `"0"`, `"1-2"`: retries count, and entering the state again begins no new count.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from fanwise_local.states.payloads import JSON

PATH = Path(__file__).with_name("MockConfigFile.json")
_NUMBERS = re.compile(r"(\d{1,6})(?:-(\d{1,6}))?", re.ASCII)


class MockConfigError(ValueError):
    """The file is no mock configuration; the message names the place."""


class Thrown(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="pascal"):
    """An error as Retry and Catch meet it."""

    error: str
    cause: str


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a state's invocation is answered with: its result, or an error."""

    returned: JSON = msgspec.field(name="Return", default=msgspec.UNSET)
    thrown: Thrown | None = msgspec.field(name="Throw", default=None)


class _Machine(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="pascal"):
    test_cases: dict[str, dict[str, str]]


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="pascal"):
    state_machines: dict[str, _Machine]
    mocked_responses: dict[str, dict[str, Answer]]


@dataclass(frozen=True)
class Response:
    """A mocked response: what the invocations `first` … `last` of its state are answered with."""

    spans: tuple[tuple[int, int, Answer], ...]

    def at(self, number: int) -> Answer | None:
        """The answer to an invocation, from 0; None where there is none."""
        return next((answer for first, last, answer in self.spans if first <= number <= last), None)

    @property
    def count(self) -> int:
        """How many invocations it answers."""
        return self.spans[-1][1] + 1

    @property
    def last(self) -> Answer:
        """The answer to the last of them."""
        return self.spans[-1][2]


@dataclass(frozen=True)
class MockConfig:
    """`cases`: by machine and test case, the name of each state's response."""

    cases: Mapping[str, Mapping[str, Mapping[str, str]]]
    responses: Mapping[str, Response]

    def mocked(self, machine: str, case: str) -> dict[str, Response]:
        """A test case's responses, by state. Raises `KeyError`."""
        return {state: self.responses[name] for state, name in self.cases[machine][case].items()}


def read_mock_config(text: bytes | str) -> MockConfig:
    """Raises `MockConfigError` for what Step Functions Local would refuse or never use."""
    try:
        file = msgspec.json.decode(text, type=_File)
    except msgspec.DecodeError as error:
        raise MockConfigError(f"no mock configuration: {error}") from error
    responses = {name: _response(name, numbered) for name, numbered in file.mocked_responses.items()}
    cases = {name: machine.test_cases for name, machine in file.state_machines.items()}
    for machine, by_name in cases.items():
        for case, states in by_name.items():
            for state, response in states.items():
                if response not in responses:
                    place = f"StateMachines.{machine}.TestCases.{case}.{state}"
                    raise MockConfigError(f"{place}: MockedResponses has no {response!r}")
    return MockConfig(cases, responses)


def _response(name: str, numbered: Mapping[str, Answer]) -> Response:
    place = f"MockedResponses.{name}"
    spans = []
    for numbers, answer in numbered.items():
        found = _NUMBERS.fullmatch(numbers)
        first = int(found[1]) if found else 0
        last = int(found[2] or found[1]) if found else -1
        if last < first:
            raise MockConfigError(f'{place}: {numbers!r} is no number of an invocation; "0", or "1-2"')
        if (answer.returned is msgspec.UNSET) is (answer.thrown is None):
            raise MockConfigError(f"{place}.{numbers}: has to have one of Return and Throw")
        spans.append((first, last, answer))
    if not spans:
        raise MockConfigError(f"{place}: answers no invocation")
    spans.sort(key=lambda span: span[:2])
    awaited = 0
    for first, last, _ in spans:
        if first < awaited:
            raise MockConfigError(f"{place}: invocation {first} is answered twice")
        if first > awaited:
            raise MockConfigError(f"{place}: invocation {awaited} is not answered")
        awaited = last + 1
    return Response(tuple(spans))
