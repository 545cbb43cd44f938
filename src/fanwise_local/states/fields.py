"""Reads the fields of a definition's objects: each by name and type, and none left over.

A field that nothing has taken is refused with its path, so that a typo or a part of the language that this
interpreter does not have is an error when the definition is loaded, never something ignored.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from fanwise_local.states.expressions import ExpressionSyntaxError
from fanwise_local.states.payloads import JSON
from fanwise_local.states.scope import Scope
from fanwise_local.states.templates import Computed, Literal, Template, compile_template, is_expression

_JSONPATH = "a field of JSONPath states; this one is JSONata"
_UNSUPPORTED = {
    **dict.fromkeys(
        ("InputPath", "OutputPath", "ResultPath", "ResultSelector", "Parameters", "Result"), _JSONPATH
    ),
    **dict.fromkeys(
        ("TimeoutSecondsPath", "SecondsPath", "TimestampPath", "ErrorPath", "CausePath"), _JSONPATH
    ),
    **dict.fromkeys(("ItemsPath", "MaxConcurrencyPath", "Variable", "MaxItemsPath"), _JSONPATH),
    **dict.fromkeys(("ToleratedFailureCountPath", "ToleratedFailurePercentagePath"), _JSONPATH),
    **dict.fromkeys(("HeartbeatSeconds", "Credentials", "ItemBatcher", "Iterator"), "not supported here"),
    "HeartbeatSecondsPath": _JSONPATH,
}


class DefinitionError(ValueError):
    """A definition that this interpreter does not run. `path` is the field, as in `States.Plan.Retry[0]`."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}" if path else problem)
        self.path = path


@dataclass(frozen=True, slots=True)
class NumberField:
    """A number, or an expression that gives one, within limits that hold when it is used."""

    template: Template
    minimum: float
    maximum: float
    whole: bool

    def evaluate(self, scope: Scope) -> float:
        """The number; an integer if `whole`. Raises `QueryEvaluationError` for anything else."""
        value = self.template.evaluate(scope)
        if isinstance(self.template, Computed) and not self.allows(value):
            raise self.template.expression.wrong_type(self.expected(), value)
        return float(value) if not self.whole else int(value)

    def allows(self, value: JSON) -> bool:
        """Whether a value is a number within the limits."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return False
        return self.minimum <= value <= self.maximum and (not self.whole or value == int(value))

    def expected(self) -> str:
        """What the field takes, in words."""
        return f"{'integer' if self.whole else 'number'} from {self.minimum:.0f} to {self.maximum:.0f}"


@dataclass(frozen=True, slots=True)
class TextField:
    """A string, or an expression that gives one."""

    template: Template

    def evaluate(self, scope: Scope) -> str:
        """The string. Raises `QueryEvaluationError` for anything else."""
        value = self.template.evaluate(scope)
        if isinstance(value, str):
            return value
        if isinstance(self.template, Computed):
            raise self.template.expression.wrong_type("string", value)
        raise TypeError(f"{value!r} is not text")  # refused when it was loaded


class Fields:
    """The fields of one object, each to be taken once. `path` is where it stands in the definition."""

    def __init__(self, value: JSON, path: str) -> None:
        if not isinstance(value, dict):
            raise DefinitionError(path, f"has to be an object, not {_kind(value)}")
        self.path = path
        self._left = dict(value)

    def at(self, name: str) -> str:
        """The path of a field of this object."""
        return f"{self.path}.{name}" if self.path else name

    def error(self, name: str, problem: str) -> DefinitionError:
        """An error about one field."""
        return DefinitionError(self.at(name), problem)

    def has(self, name: str) -> bool:
        """Whether the field is there and not yet taken."""
        return name in self._left

    def left(self) -> tuple[str, ...]:
        """The names of the fields not yet taken."""
        return tuple(self._left)

    def raw(self, name: str) -> JSON:
        """The field's value as it is, which must be there."""
        if name not in self._left:
            raise self.error(name, "missing; it is required")
        return self._left.pop(name)

    def skip(self, name: str) -> None:
        """Takes a field that means nothing to the interpreter, such as Comment."""
        self._left.pop(name, None)

    def text(self, name: str) -> str:
        """A string that must be there, and be no expression."""
        value = self.raw(name)
        if not isinstance(value, str) or not value:
            raise self.error(name, f"has to be text, not {_kind(value)}")
        if is_expression(value):
            raise self.error(name, "has to be plain text: JSONata is not evaluated in this field")
        return value

    def choice(self, name: str, known: tuple[str, ...], default: str | None = None) -> str:
        """One of some words."""
        if default is not None and not self.has(name):
            return default
        value = self.raw(name)
        if value not in known:
            raise self.error(name, f"is {value!r}; supported: {', '.join(known)}")
        return str(value)

    def whole(self, name: str, minimum: int, maximum: int, default: int | None = None) -> int | None:
        """A whole number that is no expression."""
        return int(self.number(name, minimum, maximum)) if self.has(name) else default

    def number(self, name: str, minimum: float, maximum: float, whole: bool = True) -> float:
        """A number that is no expression and must be there."""
        value = self.raw(name)
        field = NumberField(Literal(value), minimum, maximum, whole)
        if not field.allows(value):
            raise self.error(name, f"is {value!r}; has to be {field.expected()}")
        return float(value)

    def number_field(
        self, name: str, minimum: float, maximum: float, whole: bool = True
    ) -> NumberField | None:
        """A number or an expression that gives one."""
        if not self.has(name):
            return None
        value = self._left[name]
        if is_expression(value):
            template = self._compiled(name)
        else:
            self.number(name, minimum, maximum, whole)
            template = Literal(value)
        return NumberField(template, minimum, maximum, whole)

    def text_field(self, name: str) -> TextField | None:
        """A string or an expression that gives one."""
        if not self.has(name):
            return None
        value = self._left[name]
        if not isinstance(value, str):
            raise self.error(name, f"has to be text or an expression, not {_kind(value)}")
        return TextField(self._compiled(name))

    def template(self, name: str) -> Template | None:
        """A value with expressions at any depth."""
        return self._compiled(name) if self.has(name) else None

    def object_template(self, name: str) -> tuple[tuple[str, Template], ...]:
        """An object whose values may hold expressions, field by field; empty without the field."""
        if not self.has(name):
            return ()
        value = self.raw(name)
        if not isinstance(value, dict):
            raise self.error(name, f"has to be an object, not {_kind(value)}")
        return tuple((key, self._compile(part, f"{name}/{key}")) for key, part in value.items())

    def objects(self, name: str) -> Iterator["Fields"]:
        """The objects of an array; none without the field."""
        if not self.has(name):
            return
        value = self.raw(name)
        if not isinstance(value, list) or not value:
            raise self.error(name, f"has to be an array with at least one object, not {_kind(value)}")
        for index, part in enumerate(value):
            yield Fields(part, f"{self.at(name)}[{index}]")

    def finish(self) -> None:
        """Refuses whatever nobody took."""
        for name in self._left:
            raise self.error(name, _UNSUPPORTED.get(name, "unknown field"))

    def _compiled(self, name: str) -> Template:
        return self._compile(self.raw(name), name)

    def _compile(self, value: JSON, field: str) -> Template:
        try:
            return compile_template(value, field)
        except ExpressionSyntaxError as error:
            raise DefinitionError(self.path, str(error)) from error


def _kind(value: JSON) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    names = {dict: "an object", list: "an array", str: "text", int: "a number", float: "a number"}
    return f"empty {names[type(value)].split()[-1]}" if value in ("", [], {}) else names[type(value)]
