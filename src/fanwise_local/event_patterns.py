"""Event patterns: which events a rule takes (eb-event-patterns, eb-create-pattern-operators).

`check_pattern` refuses whatever `matches` would not compare as EventBridge does, with its place in the pattern, so
that a rule is never half understood. Where the guide leaves something open, aws/event-ruler, the library that
EventBridge matches with, decides.
"""

import ipaddress
import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, NoReturn, TypeGuard

OR = "$or"
_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "=": lambda value, bound: value == bound,
    "<": lambda value, bound: value < bound,
    "<=": lambda value, bound: value <= bound,
    ">": lambda value, bound: value > bound,
    ">=": lambda value, bound: value >= bound,
}
_RANGES = ({">", ">="}, {"<", "<="})  # the two ends that a numeric range may have
_MAX_NUMBER = 5e9  # in a numeric comparison, to either side
_WILDCARD_PART = re.compile(r"\\([*\\])|(\*)|([^\\*]+)", re.DOTALL)
_ABSENT = object()  # what a field has that is not there


class UnknownPatternError(ValueError):
    """A pattern that EventBridge would refuse, or with a comparison that this machine does not make."""


def check_pattern(pattern: object) -> None:
    """Raises `UnknownPatternError`, naming the place, for what is no pattern that can be matched here."""
    _check_fields(pattern, "")


def matches(pattern: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    """Whether a pattern, which has been checked, takes an event: one of the values in each of its fields."""
    return _matches(pattern, event)


def _refuse(place: str, why: str) -> NoReturn:
    raise UnknownPatternError(f"{place}: {why}" if place else why)


def _check_fields(pattern: object, place: str) -> None:
    if not isinstance(pattern, Mapping) or not pattern:
        _refuse(place, f"{pattern!r} is not an object of fields")
    for field, wanted in pattern.items():
        at = f"{place}.{field}" if place else str(field)
        if field == OR:
            if not isinstance(wanted, list) or len(wanted) < 2:
                _refuse(at, "is not a list of at least two patterns")
            for number, option in enumerate(wanted):
                _check_fields(option, f"{at}[{number}]")
        elif isinstance(wanted, Mapping):
            _check_fields(wanted, at)
        elif isinstance(wanted, list) and wanted:
            for number, one in enumerate(wanted):
                _check_value(one, f"{at}[{number}]")
        else:
            _refuse(at, f"{wanted!r} is neither an object of fields nor a list of values")


def _check_value(wanted: object, place: str) -> None:
    if isinstance(wanted, list):
        _refuse(place, f"{wanted!r}: a list in a list compares with nothing")
    if not isinstance(wanted, Mapping):
        return
    if len(wanted) != 1:
        _refuse(place, f"{wanted!r} is not one comparison")
    ((name, operand),) = wanted.items()
    if name not in _CHECKS:
        _refuse(place, f"{name!r} is no comparison; known are {', '.join(_CHECKS)}")
    why = _CHECKS[name](operand)
    if why is not None:
        _refuse(f"{place}.{name}", f"{operand!r} is {why}")


def _no_text(operand: object) -> str | None:
    return None if isinstance(operand, str) and operand else "not text that is not empty"


def _no_affix(operand: object) -> str | None:
    if isinstance(operand, Mapping):
        if operand.keys() != {"equals-ignore-case"}:
            return 'neither text nor {"equals-ignore-case": text}'
        return _no_text(operand["equals-ignore-case"])
    return None if isinstance(operand, str) else "not text"


def _no_wildcard(operand: object) -> str | None:
    if not isinstance(operand, str):
        return "not text"
    parts = list(_wildcard_parts(operand))
    if "".join(part for part, _ in parts) != operand:
        return "no wildcard: a backslash stands before * or another backslash alone"
    stars = [meaning is None for _, meaning in parts]
    if any(one and other for one, other in itertools.pairwise(stars)):
        return "no wildcard: two * in a row"
    return None


def _no_truth(operand: object) -> str | None:
    return None if isinstance(operand, bool) else "neither true nor false"


def _no_numeric(operand: object) -> str | None:
    if not isinstance(operand, list) or len(operand) not in (2, 4):
        return "not [comparison, number], nor a range of two of them"
    signs, numbers = operand[::2], operand[1::2]
    if any(sign not in _COMPARISONS for sign in signs):
        return f"not made of {', '.join(_COMPARISONS)}"
    if not all(_is_number(number) and abs(number) <= _MAX_NUMBER for number in numbers):
        return f"not about numbers from {-_MAX_NUMBER:g} to {_MAX_NUMBER:g}"
    if len(signs) == 2 and not all(sign in end for sign, end in zip(signs, _RANGES, strict=True)):
        return "no range: its lower end (> or >=) comes first, its upper end (< or <=) second"
    if len(numbers) == 2 and numbers[0] >= numbers[1]:
        return "an empty range"
    return None


def _no_network(operand: object) -> str | None:
    try:
        ipaddress.ip_network(str(operand), strict=False)
    except ValueError:
        return "no block of IP addresses, such as 10.0.0.0/24"
    return None if isinstance(operand, str) and "/" in operand else "no block of IP addresses"


def _no_exclusion(operand: object) -> str | None:
    if not isinstance(operand, Mapping):
        values = operand if isinstance(operand, list) else [operand]
        is_uniform = all(isinstance(v, str) for v in values) or all(_is_number(v) for v in values)
        return None if values and is_uniform else "neither texts nor numbers"
    if len(operand) != 1:
        return "not one comparison"
    ((name, inner),) = operand.items()
    checks = {
        "prefix": _no_text,
        "suffix": _no_text,
        "equals-ignore-case": _no_text,
        "wildcard": _no_wildcard,
    }
    if name not in checks:
        return f"not one of {', '.join(checks)}"
    values = inner if isinstance(inner, list) else [inner]
    why = "an empty list" if not values else None
    return next((found for value in values if (found := checks[name](value))), why)


_CHECKS: Mapping[str, Callable[[object], str | None]] = {
    "prefix": _no_affix,
    "suffix": _no_affix,
    "wildcard": _no_wildcard,
    "equals-ignore-case": lambda operand: None if isinstance(operand, str) else "not text",
    "anything-but": _no_exclusion,
    "exists": _no_truth,
    "numeric": _no_numeric,
    "cidr": _no_network,
}


def _matches(pattern: Mapping[str, Any], event: object) -> bool:
    """Fields are matched within one object: of an array of objects, one has to match in all of them."""
    return any(_matches_object(pattern, one) for one in _objects(event))


def _matches_object(pattern: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    for field, wanted in pattern.items():
        if field == OR:
            if not any(_matches_object(option, event) for option in wanted):
                return False
        elif isinstance(wanted, Mapping):
            if not _matches(wanted, event.get(field)):
                return False
        else:
            values = list(_leaves(event.get(field, _ABSENT)))
            if not any(_compare(one, value) for one in wanted for value in values or [_ABSENT]):
                return False
    return True


def _objects(value: object) -> Iterator[Mapping[str, Any]]:
    """The objects that a field holds: its value, or the elements of its array. Of none, an empty one.

    So a field below one that is not there is not there either, which `exists: false` asks for.
    """
    elements = list(_elements(value))
    objects = [one for one in elements if isinstance(one, Mapping)]
    yield from objects or [{}]


def _elements(value: object) -> Iterator[object]:
    if isinstance(value, list):
        for one in value:
            yield from _elements(one)
    else:
        yield value


def _leaves(value: object) -> Iterator[object]:
    """What a field's values are compared by: each element of an array. Objects are no leaves."""
    return (one for one in _elements(value) if not isinstance(one, Mapping) and one is not _ABSENT)


def _compare(wanted: object, value: object) -> bool:
    if isinstance(wanted, Mapping):
        ((name, operand),) = wanted.items()
        if name == "exists":
            return (value is not _ABSENT) is operand
        return value is not _ABSENT and _COMPARES[name](operand, value)
    return _equals(wanted, value)


def _equals(wanted: object, value: object) -> bool:
    """Numbers as numbers (300, 300.0 and 3.0e2 are one); true is not 1."""
    if _is_number(wanted) and _is_number(value):
        return wanted == value
    return type(wanted) is type(value) and wanted == value


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _affix(holds: Callable[[str, str], bool]) -> Callable[[Any, object], bool]:
    def compare(operand: Any, value: object) -> bool:
        if not isinstance(value, str):
            return False
        if isinstance(operand, Mapping):
            return holds(value.lower(), str(operand["equals-ignore-case"]).lower())
        return holds(value, operand)

    return compare


def _equals_ignoring_case(operand: str, value: object) -> bool:
    return isinstance(value, str) and value.lower() == operand.lower()


def _wildcard_parts(pattern: str) -> Iterator[tuple[str, str | None]]:
    """A wildcard's parts as they are spelled, each with the text that it stands for; None is any text."""
    for match in _WILDCARD_PART.finditer(pattern):
        escaped, star, plain = match.groups()
        yield match[0], None if star else escaped or plain


@cache
def _wildcard_expression(pattern: str) -> re.Pattern[str]:
    return re.compile(
        "".join(".*" if meaning is None else re.escape(meaning) for _, meaning in _wildcard_parts(pattern)),
        re.DOTALL,
    )


def _wildcard(operand: str, value: object) -> bool:
    return isinstance(value, str) and _wildcard_expression(operand).fullmatch(value) is not None


def _numeric(operand: list[Any], value: object) -> bool:
    pairs = zip(operand[::2], operand[1::2], strict=True)
    return _is_number(value) and all(_COMPARISONS[sign](value, bound) for sign, bound in pairs)


def _cidr(operand: str, value: object) -> bool:
    try:
        return isinstance(value, str) and ipaddress.ip_address(value) in ipaddress.ip_network(
            operand, strict=False
        )
    except ValueError:
        return False


def _anything_but(operand: Any, value: object) -> bool:
    """Whatever is there, null too, but what is named. Numbers are no text, and so are anything but a text."""
    if not isinstance(operand, Mapping):
        return not any(_equals(one, value) for one in (operand if isinstance(operand, list) else [operand]))
    ((name, inner),) = operand.items()
    return not any(_COMPARES[name](one, value) for one in (inner if isinstance(inner, list) else [inner]))


_COMPARES: Mapping[str, Callable[[Any, object], bool]] = {
    "prefix": _affix(str.startswith),
    "suffix": _affix(str.endswith),
    "wildcard": _wildcard,
    "equals-ignore-case": _equals_ignoring_case,
    "anything-but": _anything_but,
    "numeric": _numeric,
    "cidr": _cidr,
}
