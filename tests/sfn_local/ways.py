"""Every way through a definition, and those that an execution took: what test cases have to cover, and do.

Of each state that it is entered; of a Choice each rule and its Default; of Retry each error that it names, that it
helped, and that it was used up; of Catch each error that it names; of a state that may fail uncaught that it does;
of a function that is chosen each choice.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from fanwise_local.states.errors import ALL
from fanwise_local.states.payloads import JSON
from fanwise_local.states.retries import matches
from sfn_local.visits import Visit

Way = tuple[str, str]  # state, and how
_CHOSEN = re.compile(r"'(arn:[^']*)'")


def ways(states: Mapping[str, JSON]) -> set[Way]:
    """All of a flow, from its states as JSON."""
    return {(name, how) for name, state in states.items() for how in _ways_of(state)}


def taken(states: Mapping[str, JSON], visits: Sequence[Visit]) -> set[Way]:
    """Those that one execution took."""
    after: list[str | None] = [*(visit.state for visit in visits[1:]), None]
    found: set[Way] = set()
    for visit, following in zip(visits, after, strict=True):
        state = states[visit.state]
        found |= {(visit.state, how) for how in ("entered", *_taken_of(state, visit, following))}
    return found


def _ways_of(state: JSON) -> Iterator[str]:
    yield "entered"
    yield from (f"rule {number}" for number, _ in enumerate(state.get("Choices", [])))
    if "Default" in state:
        yield "default"
    for number, rule in enumerate(state.get("Retry", [])):
        yield from (f"retry {number}: {error}" for error in rule["ErrorEquals"])
        yield from (f"retry {number} helped", f"retry {number} used up")
    for number, rule in enumerate(state.get("Catch", [])):
        yield from (f"catch {number}: {error}" for error in rule["ErrorEquals"])
    if state["Type"] in ("Task", "Map") and not any(
        ALL in rule["ErrorEquals"] for rule in state.get("Catch", [])
    ):
        yield "fails"
    yield from (f"calls {function}" for function in _CHOSEN.findall(_function_name(state)))


def _taken_of(state: JSON, visit: Visit, following: str | None) -> Iterator[str]:
    if state["Type"] == "Choice":
        nexts = [*(rule["Next"] for rule in state["Choices"]), state.get("Default")]
        (number,) = (number for number, name in enumerate(nexts) if name == following)  # else no path tells
        yield f"rule {number}" if number < len(state["Choices"]) else "default"
    retries, catches = state.get("Retry", []), state.get("Catch", [])
    retried: set[int] = set()
    for error in visit.errors[:-1]:
        number = _rule_of(retries, error)
        retried.add(number)
        yield f"retry {number}: {_name_in(retries[number], error)}"
    if visit.errors and visit.errors[-1] is None:
        yield from (f"retry {number} helped" for number in retried)
    elif visit.errors:
        yield from _given_up(retries, catches, visit.errors[-1])
    if chosen := set(_CHOSEN.findall(_function_name(state))):
        called = {json.loads(arguments)["FunctionName"] for arguments in visit.arguments}
        yield from (f"calls {function}" for function in called & chosen)


def _given_up(retries: Sequence[JSON], catches: Sequence[JSON], error: str | None) -> Iterator[str]:
    retry, catch = _rule_of(retries, error), _rule_of(catches, error)
    if retry >= 0:
        yield f"retry {retry} used up"
    yield f"catch {catch}: {_name_in(catches[catch], error)}" if catch >= 0 else "fails"


def _rule_of(rules: Sequence[JSON], error: str | None) -> int:
    """The number of the first rule that names an error, or -1."""
    return next((n for n, rule in enumerate(rules) if matches(rule["ErrorEquals"], error or "")), -1)


def _name_in(rule: JSON, error: str | None) -> str:
    return error if error is not None and error in rule["ErrorEquals"] else ALL


def _function_name(state: JSON) -> str:
    arguments = state.get("Arguments")
    return str(arguments.get("FunctionName", "")) if isinstance(arguments, dict) else ""
