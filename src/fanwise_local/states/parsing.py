"""Turns the JSON of states into `syntax`: the fields of the Amazon States Language, each by its rule.

Rules without a page here: states-language.net/spec.html.
"""

import re
from collections.abc import Callable
from datetime import datetime

from fanwise_local.states.errors import ALL
from fanwise_local.states.fields import DefinitionError, Fields
from fanwise_local.states.map_parsing import parse_map
from fanwise_local.states.payloads import JSON
from fanwise_local.states.syntax import (
    Assignments,
    Catcher,
    ChoiceRule,
    ChoiceState,
    FailState,
    Flow,
    PassState,
    Retrier,
    State,
    SucceedState,
    TaskState,
    WaitState,
)
from fanwise_local.states.templates import Computed, Literal

MAX_NAME_LENGTH = 80  # of a state or a variable (service-quotas, workflow-variables)
MAX_SECONDS = 99_999_999  # TimeoutSeconds, Seconds, IntervalSeconds, MaxAttempts
MAX_DELAY_S = 31_622_400  # MaxDelaySeconds (concepts-error-handling)
RESOURCES = (
    "arn:aws:states:::lambda:invoke",
    "arn:aws:states:::sqs:sendMessage",
    "arn:aws:states:::events:putEvents",
)
_VARIABLE = re.compile(r"[^\W\d]\w*")
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def parse_flow(fields: Fields, default_language: str) -> Flow:
    """Takes StartAt and States."""
    start_at = fields.text("StartAt")
    named = Fields(fields.raw("States"), fields.at("States"))
    names = named.left()
    if not names:
        raise DefinitionError(named.path, "has no state")
    states = {name: _parse_state(name, named.raw(name), named.at(name), default_language) for name in names}
    if start_at not in states:
        raise fields.error("StartAt", f"names {start_at!r}, which is not among States")
    flow = Flow(start_at, states)
    _check_transitions(flow, named)
    return flow


def targets(state: State) -> list[str]:
    """The states that may follow a state."""
    found = [state.next] if state.next is not None else []
    if isinstance(state, ChoiceState):
        found += [rule.next for rule in state.rules]
    return found + [catcher.next for catcher in getattr(state, "catchers", ())]


def _check_transitions(flow: Flow, named: Fields) -> None:
    for name, state in flow.states.items():
        for target in targets(state):
            if target not in flow.states:
                raise named.error(name, f"leads to {target!r}, which is not among its States")
    reached: set[str] = set()
    waiting = [flow.start_at]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += targets(flow.states[name])
    for name in flow.states:
        if name not in reached:
            raise named.error(name, "cannot be reached from StartAt")


def _parse_state(name: str, value: JSON, path: str, default_language: str) -> State:
    if not name or len(name) > MAX_NAME_LENGTH:
        raise DefinitionError(path, f"a state's name has {len(name)} characters; 1 to {MAX_NAME_LENGTH}")
    fields = Fields(value, path)
    fields.skip("Comment")
    language = fields.choice("QueryLanguage", ("JSONata", "JSONPath"), default_language)
    if language != "JSONata":
        raise fields.error("QueryLanguage", 'is JSONPath (the default); supported: "JSONata"')
    state = _STATES[fields.choice("Type", tuple(_STATES))](name, fields, default_language)
    fields.finish()
    return state


def _parse_task(name: str, fields: Fields, _language: str) -> State:
    resource = fields.text("Resource")
    if resource not in RESOURCES:
        raise fields.error("Resource", f"is {resource!r}; supported: {', '.join(RESOURCES)}")
    arguments = fields.template("Arguments") or Literal({})
    if isinstance(arguments, Literal) and not isinstance(arguments.value, dict):
        raise fields.error("Arguments", "has to be an object or an expression that gives one")
    return TaskState(
        name=name,
        type="Task",
        resource=resource,
        arguments=arguments,
        timeout_s=fields.number_field("TimeoutSeconds", 1, MAX_SECONDS),
        retriers=parse_retriers(fields),
        catchers=parse_catchers(fields),
        output=fields.template("Output"),
        assign=parse_assign(fields),
        next=parse_next(fields),
    )


def _parse_choice(name: str, fields: Fields, _language: str) -> State:
    rules = tuple(_parse_rule(rule) for rule in fields.objects("Choices"))
    if not rules:
        raise fields.error("Choices", "missing; it is required")
    return ChoiceState(
        name=name,
        type="Choice",
        rules=rules,
        next=fields.text("Default") if fields.has("Default") else None,
        output=fields.template("Output"),
        assign=parse_assign(fields),
    )


def _parse_rule(fields: Fields) -> ChoiceRule:
    fields.skip("Comment")
    if not fields.has("Condition"):
        raise fields.error("Condition", "missing; it is required")
    condition = fields.template("Condition")
    if condition is None or not (isinstance(condition, Computed) or _is_boolean(condition)):
        raise fields.error("Condition", "has to be true, false, or an expression that gives one")
    rule = ChoiceRule(condition, fields.text("Next"), fields.template("Output"), parse_assign(fields))
    fields.finish()
    return rule


def _is_boolean(template: object) -> bool:
    return isinstance(template, Literal) and isinstance(template.value, bool)


def _parse_pass(name: str, fields: Fields, _language: str) -> State:
    output, assign = fields.template("Output"), parse_assign(fields)
    return PassState(name=name, type="Pass", next=parse_next(fields), output=output, assign=assign)


def _parse_wait(name: str, fields: Fields, _language: str) -> State:
    if fields.has("Seconds") == fields.has("Timestamp"):
        raise DefinitionError(fields.path, "a Wait state has either Seconds or Timestamp")
    seconds = fields.number_field("Seconds", 0, MAX_SECONDS)
    stamp = fields.text_field("Timestamp")
    if stamp is not None and isinstance(stamp.template, Literal) and instant(stamp.template.value) is None:
        raise fields.error(
            "Timestamp", f"is {stamp.template.value!r}; has to be RFC 3339: 2026-01-01T00:00:00Z"
        )
    return WaitState(
        name=name,
        type="Wait",
        seconds=seconds,
        timestamp=stamp,
        output=fields.template("Output"),
        assign=parse_assign(fields),
        next=parse_next(fields),
    )


def _parse_succeed(name: str, fields: Fields, _language: str) -> State:
    return SucceedState(name=name, type="Succeed", next=None, output=fields.template("Output"), assign=())


def _parse_fail(name: str, fields: Fields, _language: str) -> State:
    error, cause = fields.text_field("Error"), fields.text_field("Cause")
    return FailState(name=name, type="Fail", next=None, output=None, assign=(), error=error, cause=cause)


def _parse_map(name: str, fields: Fields, language: str) -> State:
    return parse_map(
        name,
        fields,
        parse_flow=lambda processor: parse_flow(processor, language),
        retriers=parse_retriers(fields),
        catchers=parse_catchers(fields),
        assign=parse_assign(fields),
        following=parse_next(fields),
    )


_STATES: dict[str, Callable[[str, Fields, str], State]] = {
    "Task": _parse_task,
    "Choice": _parse_choice,
    "Pass": _parse_pass,
    "Wait": _parse_wait,
    "Succeed": _parse_succeed,
    "Fail": _parse_fail,
    "Map": _parse_map,
}


def parse_next(fields: Fields) -> str | None:
    """Next, or None for End."""
    if fields.has("End"):
        if fields.raw("End") is not True:
            raise fields.error("End", "has to be true")
        if fields.has("Next"):
            raise fields.error("Next", "there is End too; a state has one of the two")
        return None
    return fields.text("Next")


def parse_assign(fields: Fields) -> Assignments:
    """Assign: names of variables and their values (workflow-variables)."""
    assign = fields.object_template("Assign")
    for name, _ in assign:
        if name == "states":
            raise fields.error(f"Assign.{name}", "is reserved by Step Functions")
        if not _VARIABLE.fullmatch(name) or len(name) > MAX_NAME_LENGTH:
            problem = f"is no name of a variable: a letter, letters and digits, at most {MAX_NAME_LENGTH}"
            raise fields.error(f"Assign.{name}", problem)
    return assign


def parse_retriers(fields: Fields) -> tuple[Retrier, ...]:
    """Retry (concepts-error-handling)."""
    retriers = tuple(_parse_retrier(part) for part in fields.objects("Retry"))
    _check_wildcards([retrier.error_equals for retrier in retriers], fields.at("Retry"))
    return retriers


def _parse_retrier(fields: Fields) -> Retrier:
    fields.skip("Comment")
    interval_s = fields.whole("IntervalSeconds", 1, MAX_SECONDS, 1)
    max_delay_s = fields.whole("MaxDelaySeconds", 1, MAX_DELAY_S)
    if interval_s is not None and max_delay_s is not None and max_delay_s <= interval_s:
        raise fields.error(
            "MaxDelaySeconds", f"is {max_delay_s}; has to be over IntervalSeconds, {interval_s}"
        )
    retrier = Retrier(
        error_equals=_parse_error_equals(fields),
        interval_s=float(interval_s or 1),
        max_attempts=fields.whole("MaxAttempts", 0, MAX_SECONDS, 3) or 0,
        backoff_rate=fields.number("BackoffRate", 1, 1e9, whole=False) if fields.has("BackoffRate") else 2.0,
        max_delay_s=None if max_delay_s is None else float(max_delay_s),
        full_jitter=fields.choice("JitterStrategy", ("FULL", "NONE"), "NONE") == "FULL",
    )
    fields.finish()
    return retrier


def parse_catchers(fields: Fields) -> tuple[Catcher, ...]:
    """Catch (concepts-error-handling)."""
    catchers = tuple(_parse_catcher(part) for part in fields.objects("Catch"))
    _check_wildcards([catcher.error_equals for catcher in catchers], fields.at("Catch"))
    return catchers


def _parse_catcher(fields: Fields) -> Catcher:
    fields.skip("Comment")
    error_equals, following = _parse_error_equals(fields), fields.text("Next")
    catcher = Catcher(error_equals, following, fields.template("Output"), parse_assign(fields))
    fields.finish()
    return catcher


def _parse_error_equals(fields: Fields) -> tuple[str, ...]:
    names = fields.raw("ErrorEquals")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        raise fields.error("ErrorEquals", "has to be an array of error names, with at least one")
    return tuple(names)


def _check_wildcards(error_equals: list[tuple[str, ...]], path: str) -> None:
    for index, names in enumerate(error_equals):
        if ALL in names and (len(names) > 1 or index < len(error_equals) - 1):
            raise DefinitionError(
                f"{path}[{index}].ErrorEquals", f"{ALL} has to stand alone, and in the last one"
            )


def instant(text: JSON) -> float | None:
    """Seconds since the epoch of an RFC 3339 time, or None if it is none."""
    if not isinstance(text, str) or not _RFC3339.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None
