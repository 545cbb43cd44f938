"""Values of a definition that may hold JSONata at any depth: Arguments, Output, Assign, ItemSelector and others.

A string is an expression if it starts with `{%` and ends with `%}`, otherwise it is itself; the keys of objects
are literal (states-language.net/spec.html, JSONata).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from fanwise_local.states.expressions import Expression, ExpressionSyntaxError, compile_expression
from fanwise_local.states.payloads import JSON
from fanwise_local.states.scope import Scope


class Template:
    """A value of a definition that may hold expressions at any depth; keys are literal."""

    __slots__ = ()

    def evaluate(self, scope: Scope) -> JSON:
        """The value with every expression evaluated. Raises `QueryEvaluationError`."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Literal(Template):
    """A value without an expression."""

    value: JSON

    def evaluate(self, scope: Scope) -> JSON:
        """The value itself."""
        return self.value


@dataclass(frozen=True, slots=True)
class Computed(Template):
    """A string that is an expression."""

    expression: Expression

    def evaluate(self, scope: Scope) -> JSON:
        """The expression's value."""
        return self.expression.evaluate(scope)


@dataclass(frozen=True, slots=True)
class ObjectTemplate(Template):
    """An object with an expression somewhere below it."""

    fields: tuple[tuple[str, Template], ...]

    def evaluate(self, scope: Scope) -> JSON:
        """A new object."""
        return {name: template.evaluate(scope) for name, template in self.fields}


@dataclass(frozen=True, slots=True)
class ArrayTemplate(Template):
    """An array with an expression somewhere below it."""

    parts: tuple[Template, ...]

    def evaluate(self, scope: Scope) -> JSON:
        """A new array."""
        return [part.evaluate(scope) for part in self.parts]


def is_expression(value: JSON) -> bool:
    """Whether a value of a definition is a JSONata string (states-language.net/spec.html, JSONata)."""
    return isinstance(value, str) and len(value) >= 4 and value.startswith("{%") and value.endswith("%}")


def compile_template(value: JSON, field: str) -> Template:
    """Parses every expression in a value. Raises `ExpressionSyntaxError`, its message led by the place."""
    if is_expression(value):
        try:
            return Computed(compile_expression(value[2:-2].strip(), field))
        except ExpressionSyntaxError as error:
            raise ExpressionSyntaxError(f"{field}: {error}") from error
    if isinstance(value, Mapping):
        fields = tuple((name, compile_template(part, f"{field}/{name}")) for name, part in value.items())
        constant = all(isinstance(template, Literal) for _, template in fields)
        return Literal(value) if constant else ObjectTemplate(fields)
    if isinstance(value, list):
        parts = tuple(compile_template(part, f"{field}[{index}]") for index, part in enumerate(value))
        return Literal(value) if all(isinstance(part, Literal) for part in parts) else ArrayTemplate(parts)
    return Literal(value)
