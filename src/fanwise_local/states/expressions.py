"""JSONata: one expression of a definition, parsed once and evaluated to plain JSON.

Parsed when the definition is loaded; evaluated over a `Scope`, inside the event loop. jsonata-python does the
work; here its nulls, sequences and functions become plain JSON or an error, so that none of them leaks.

What comes out, by rule: an expression that gives nothing is an error, as JSON has no undefined
(transforming-data); so are a function, NaN and infinity. A whole number comes out as an integer (`1.0` as `1`),
as AWS writes it.

A bare path like `$states.input.job_id` is walked directly, and so is a choice between two texts by what one says
(`$states.input.runtime = 'litert' ? 'a' : 'b'`), where that gives exactly what JSONata would: a Map Run of 10,000
children evaluates 50,000 of them. Anything with an array on its way goes through JSONata.
"""

import math
import re
import time
from dataclasses import dataclass
from typing import Any, TypeAlias

from jsonata.jexception import JException
from jsonata.jsonata import Jsonata
from jsonata.parser import Parser
from jsonata.utils import Utils

from fanwise_local.states import functions
from fanwise_local.states.errors import QueryEvaluationError
from fanwise_local.states.payloads import JSON, text
from fanwise_local.states.scope import Scope

MAX_DEPTH = 500  # nested evaluations; AWS allows about 125 (unverified)
MAX_EVALUATION_S = 5.0  # an expression holds the event loop: a runaway one must end

# Of jsonata-python: JSON, its own null and lists, functions, undefined; or its syntax trees.
Value: TypeAlias = Any

_PATH = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)((?:\.[A-Za-z_][A-Za-z0-9_]*)*)")
# A text without escapes, in either quotes, three times: what is compared, and the two that are chosen between.
_TEXT = r"""(?:'[^'\\]*'|"[^"\\]*")"""
_CHOICE = re.compile(rf"([^\s=]+)\s*=\s*({_TEXT})\s*\?\s*({_TEXT})\s*:\s*({_TEXT})")
_WORDS = frozenset({"and", "or", "in", "true", "false", "null", "function"})  # not names to JSONata's parser
_LARGEST_EXACT = 2.0**63


class ExpressionSyntaxError(ValueError):
    """The text between `{%` and `%}` is not JSONata, or uses what Step Functions does not offer."""


@dataclass(frozen=True, slots=True, eq=False)
class Expression:
    """One `{% … %}`. `field` is where it stands in its state, as in `Arguments/Payload/job_id`."""

    source: str
    field: str
    path: tuple[str, ...] | None  # of a bare path, or that a choice looks at: the variable, then the names
    choice: tuple[str, str, str] | None  # what is compared; what it is if equal, and if not
    compiled: Value
    per_execution: bool  # whether it calls a function that depends on the execution

    def evaluate(self, scope: Scope) -> JSON:
        """The value, as plain JSON; it may share parts with the scope's values. Raises `QueryEvaluationError`."""
        value = _walk(self.path, scope) if self.path is not None else _JSONATA
        if self.choice is not None:
            compared, equal, other = self.choice
            # Of two texts alone: JSONata unpacks arrays of one, and has its own mind about undefined.
            value = (equal if value == compared else other) if type(value) is str else _JSONATA
        if value is _JSONATA:
            value = self._evaluate_jsonata(scope)
        if value is _UNDEFINED:
            raise QueryEvaluationError(f"{self._place()} returned nothing (undefined).", self.field)
        try:
            return plain(value)
        except ValueError as error:
            raise QueryEvaluationError(f"{self._place()} returned {error}.", self.field) from error

    def wrong_type(self, expected: str, value: JSON) -> QueryEvaluationError:
        """The error for a value of another type than the field takes."""
        shown = text(value)[:200]
        cause = f"{self._place()} returned an unexpected result type. Expected '{expected}', but was {shown}."
        return QueryEvaluationError(cause, self.field)

    def _place(self) -> str:
        return f"The JSONata expression '{self.source}' specified for the field '{self.field}'"

    def _evaluate_jsonata(self, scope: Scope) -> Value:
        bound = {name: prepared(value) for name, value in scope.variables.items()}
        bound["states"] = prepared(scope.states)
        if self.per_execution:
            bound.update(functions.bindings(scope.clock, scope.random))
        bounds = _Bounds()
        bound["__evaluate_entry"], bound["__evaluate_exit"] = bounds.entered, bounds.left
        try:
            value = self.compiled.evaluate(None, bound)
        except JException as error:
            reason = f"{error.get_error()}: {error}"
        # The library lets Python's own errors through where a value has a type it did not expect.
        except Exception as error:
            reason = str(error) or type(error).__name__
        else:
            return _UNDEFINED if value is None else value
        raise QueryEvaluationError(f"{self._place()} threw an error during evaluation. {reason}", self.field)


class _Bounds:
    """Ends an evaluation that nests or lasts too long. jsonata-python's own counts from when it was parsed."""

    __slots__ = ("deadline_s", "depth", "steps")

    def __init__(self) -> None:
        self.depth = self.steps = 0
        self.deadline_s = 0.0

    def entered(self, _expression: Value, _input: Value, _environment: Value) -> None:
        self.depth += 1
        self.steps += 1
        if self.depth > MAX_DEPTH:
            raise RecursionError(f"Stack overflow: evaluations nested deeper than {MAX_DEPTH}")
        if self.steps % 1024 == 0:
            if not self.deadline_s:
                self.deadline_s = time.monotonic() + MAX_EVALUATION_S
            elif time.monotonic() > self.deadline_s:
                raise TimeoutError(f"Expression evaluation timeout: more than {MAX_EVALUATION_S} s")

    def left(self, _expression: Value, _input: Value, _environment: Value, _result: Value) -> None:
        self.depth -= 1


_UNDEFINED: Value = object()
_JSONATA: Value = object()  # the path has to be left to JSONata


def compile_expression(source: str, field: str) -> Expression:
    """Parses the text between `{%` and `%}`. Raises `ExpressionSyntaxError`."""
    try:
        compiled = Jsonata(source)
    except JException as error:
        raise ExpressionSyntaxError(f"not JSONata: {error.get_error()}: {error}") from error
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ExpressionSyntaxError(f"not JSONata: {error}") from error
    names = _variables(compiled.ast)
    if "eval" in names:
        raise ExpressionSyntaxError("$eval is not available in Step Functions; use $parse for JSON")
    if _starts_outside(compiled.ast):
        raise ExpressionSyntaxError("there is no context at the top: start with $states or a variable")
    compiled.set_output_convert_nulls(False)
    compiled.set_validate_input(False)
    compiled.environment = Jsonata.Frame(_FUNCTIONS)
    looked_at, choice = _bare_choice(source)
    return Expression(
        source, field, _bare_path(looked_at), choice, compiled, not names.isdisjoint(_PER_EXECUTION)
    )


_FUNCTIONS = functions.frame()
_PER_EXECUTION = frozenset({"random", "uuid", "now", "millis"})


def _bare_choice(source: str) -> tuple[str, tuple[str, str, str] | None]:
    """What a choice between two texts looks at, and the three texts; of any other expression, itself."""
    match = _CHOICE.fullmatch(source)
    if match is None or _bare_path(match[1]) is None:
        return source, None
    return match[1], (match[2][1:-1], match[3][1:-1], match[4][1:-1])


def _bare_path(source: str) -> tuple[str, ...] | None:
    match = _PATH.fullmatch(source)
    if match is None:
        return None
    path = (match[1], *match[2].split(".")[1:])
    return None if any(name in _WORDS for name in path) else path


def _walk(path: tuple[str, ...], scope: Scope) -> Value:
    value: Value = scope.states if path[0] == "states" else scope.variables.get(path[0], _JSONATA)
    for name in path[1:]:
        if not isinstance(value, dict):
            return _JSONATA
        value = value.get(name, _UNDEFINED)
        if value is _UNDEFINED:
            return _UNDEFINED
    return value


def _variables(node: Value) -> set[str]:
    """The names of all variables and functions of a syntax tree."""
    found: set[str] = set()
    seen: set[int] = set()
    waiting = [node]
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, Parser.Symbol):
            if part.type == "variable":
                found.add(str(part.value))
            waiting += [value for name, value in vars(part).items() if name != "_outer_instance"]
        elif isinstance(part, list | tuple):
            waiting += part
    return found


def _starts_outside(node: Value) -> bool:
    first = node.steps[0] if node.type == "path" else node
    return first.type == "name" or (first.type == "variable" and first.value in ("", "$"))


def prepared(value: Value) -> Value:
    """The value as jsonata-python takes it; itself, not a copy, where it is so already.

    To it None is undefined, null is a value of its own, and `1.0` is written otherwise than `1`.
    """
    if value is None:
        return Utils.NULL_VALUE
    if isinstance(value, float):
        return _plain_number(value)
    if isinstance(value, dict):
        fields = {name: prepared(part) for name, part in value.items()}
        return fields if any(fields[name] is not part for name, part in value.items()) else value
    if isinstance(value, list):
        parts = [prepared(part) for part in value]
        return parts if any(new is not old for new, old in zip(parts, value, strict=True)) else value
    return value


def plain(value: Value) -> JSON:
    """The value as plain JSON; itself, not a copy, where it is plain already.

    Raises `ValueError` for what is no JSON: a function, a regular expression, NaN, infinity.
    """
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return value
    if kind is float:
        return _plain_number(value)
    if kind is dict:
        return _plain_object(value)
    if isinstance(value, Utils.RangeList):
        return list(range(value.a, value.b + 1))
    if isinstance(value, list):
        return _plain_array(value)
    if value is Utils.NULL_VALUE:
        return None
    raise ValueError("a function, which is no JSON value")


def _plain_number(number: float) -> float:
    if not math.isfinite(number):
        raise ValueError("a number that is not finite")
    return int(number) if number.is_integer() and abs(number) < _LARGEST_EXACT else number


def _plain_object(value: dict[str, Value]) -> dict[str, JSON]:
    changed: dict[str, JSON] | None = None
    for name, part in value.items():
        new = plain(part)
        if new is not part:
            changed = changed if changed is not None else dict(value)
            changed[name] = new
    return value if changed is None else changed


def _plain_array(value: list[Value]) -> list[JSON]:
    parts = [plain(part) for part in value]
    if type(value) is list and all(new is old for new, old in zip(parts, value, strict=True)):
        return value
    return parts
