"""The functions Step Functions adds to JSONata, or changes: $partition, $range, $hash, $random, $uuid, $parse.

Rules: transforming-data (JSONata functions provided by Step Functions). `$now` and `$millis` are JSONata's own;
they are here because the clock of the execution tells them. As in all of JSONata, an undefined argument (None
here) gives undefined. An error is a `ValueError`, which fails the expression.
"""

import hashlib
import json
import math
import random as randoms
import uuid
from collections.abc import Callable
from typing import Any, TypeAlias

from jsonata.functions import Functions
from jsonata.jsonata import Jsonata

from fanwise_local.clock import Clock
from fanwise_local.states.payloads import JSON

Function: TypeAlias = Any  # jsonata-python's JFunction; it has no types
Frame: TypeAlias = Any  # jsonata-python's Frame

MAX_RANGE_ITEMS = 1_000  # states-language.net/spec.html, States.ArrayRange
_ALGORITHMS = {"MD5": "md5", "SHA-1": "sha1", "SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512"}


def partition(items: list[JSON] | None, size: float | None = None) -> list[list[JSON]] | None:
    """Cuts an array into arrays of `size`; the last may be shorter."""
    if items is None or size is None:
        return None
    length = _whole(size, "$partition: the size")
    if length <= 0:
        raise ValueError(f"$partition: the size is {length}; it has to be positive")
    return [items[start : start + length] for start in range(0, len(items), length)]


def number_range(
    first: float | None, last: float | None = None, step: float | None = None
) -> list[int] | None:
    """Whole numbers from `first` to `last`, both included, at most 1,000."""
    if first is None or last is None or step is None:
        return None
    start, end = _whole(first, "$range: the first number"), _whole(last, "$range: the last number")
    increment = _whole(step, "$range: the step")
    if increment == 0:
        raise ValueError("$range: the step is 0; it must not be")
    numbers = range(start, end + (1 if increment > 0 else -1), increment)
    if len(numbers) > MAX_RANGE_ITEMS:
        raise ValueError(f"$range: {len(numbers)} numbers; at most {MAX_RANGE_ITEMS}")
    return list(numbers)


def hash_text(data: str | None, algorithm: str | None = None) -> str | None:
    """The hexadecimal digest of a text's UTF-8 bytes."""
    if data is None or algorithm is None:
        return None
    if algorithm not in _ALGORITHMS:
        raise ValueError(f"$hash: {algorithm!r} is no algorithm; one of {', '.join(_ALGORITHMS)}")
    return hashlib.new(_ALGORITHMS[algorithm], data.encode(), usedforsecurity=False).hexdigest()


def parse(text: str | None = None) -> JSON:
    """The value of a JSON text. Strict: one document, no repeated key, no number beyond a double."""
    if text is None:
        return None
    try:
        value = json.loads(
            text, object_pairs_hook=_unique, parse_float=_finite, parse_int=_integer, parse_constant=_refuse
        )
    except (ValueError, RecursionError) as error:
        raise ValueError(f"D3137: Invalid JSON: {error}") from error
    return value


def bindings(clock: Clock, random: randoms.Random) -> dict[str, Function]:
    """The functions whose answer depends on the execution: by name, as jsonata-python binds them."""

    def draw(seed: float | None = None) -> float:
        return random.random() if seed is None else randoms.Random(seed).random()

    def new_uuid() -> str:
        return str(uuid.UUID(int=random.getrandbits(128), version=4))

    def millis() -> int:
        return int(clock.now() * 1000)

    def now(picture: str | None = None, timezone: str | None = None) -> str:
        return str(Functions.datetime_from_millis(millis(), picture, timezone))

    return {
        "random": _bound(draw, "<n?:n>"),
        "uuid": _bound(new_uuid, "<:s>"),
        "millis": _bound(millis, "<:n>"),
        "now": _bound(now, "<s?s?:s>"),
    }


def _bound(function: Callable[..., Any], signature: str) -> Function:
    return Jsonata.JFunction(Jsonata.JLambda(function), signature)


def frame() -> Frame:
    """A JSONata frame with the functions that depend on nothing; below it lie JSONata's own."""
    made = Jsonata.Frame(Jsonata.static_frame)
    made.bind("partition", _bound(partition, "<an?:a<a>>"))
    made.bind("range", _bound(number_range, "<nn?n?:a<n>>"))
    made.bind("hash", _bound(hash_text, "<ss?:s>"))
    made.bind("parse", _bound(parse, "<s?:x>"))
    return made


def _whole(number: float, what: str) -> int:
    if isinstance(number, float) and not number.is_integer():
        raise ValueError(f"{what} is {number}; it has to be whole")
    return int(number)


def _unique(pairs: list[tuple[str, JSON]]) -> dict[str, JSON]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key is repeated")
    return value


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is beyond a double")
    return number


def _integer(text: str) -> float:
    number = int(text)
    # AWS keeps an integer exact while it fits in 64 bits.
    return number if -(2**63) <= number < 2**63 else _finite(text)


def _refuse(text: str) -> float:
    raise ValueError(f"{text} is no JSON")
