"""A JSON file that a person writes, read strictly: what is wrong has its line, its column and the remedy.

A key that stands in an object twice, NaN and Infinity, and numbers beyond float64 are refused: readers differ in
what they take them for. Items are read by msgspec, which is faster; `items.parsing` asks here for the reason where
that refuses a line.
"""

import json
import math
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from fanwise.file_kinds import BEGINNING_BYTES, conversion, other_encoding, why_no_text

_BOM = b"\xef\xbb\xbf"
_SURROGATE = re.compile("[\ud800-\udfff]")
_SHOWN_CHARACTERS = 60


class Malformed(ValueError):
    """Why a text is not JSON as it is read here. `line` and `column` count from 1, 0 where they are not known."""

    def __init__(self, why: str, line: int = 0, column: int = 0) -> None:
        super().__init__(why)
        self.why, self.line, self.column = why, line, column

    @property
    def place(self) -> str:
        """`, line 3, column 7`, or nothing."""
        return f", line {self.line}, column {self.column}" if self.line else ""


class OtherFile(Malformed):
    """The file is of another kind altogether. `why` goes on after its name."""


class RepeatedKey(Malformed):
    """A key stands in an object twice."""


def read_json(data: bytes, name: str) -> Any:
    """The value in the bytes of the file `name`. Raises `Malformed`."""
    encoding = other_encoding(data[:BEGINNING_BYTES])
    if encoding is not None:
        why = f"not UTF-8; save it as UTF-8 (it is {encoding}: {conversion(encoding, name)})"
        raise Malformed(why, 1, 1)
    other = why_no_text(data, name)
    if other is not None:
        raise OtherFile(other)
    data = data.removeprefix(_BOM)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise Malformed(
            "not UTF-8; save it as UTF-8", *_place(data.decode("latin-1"), error.start)
        ) from error
    return read_text(text)


def read_text(text: str) -> Any:
    """The value in a text. Raises `Malformed`."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) < len(pairs):
            twice = next(key for i, (key, _) in enumerate(pairs) if key in dict(pairs[:i]))
            raise RepeatedKey(f'"{_shown(twice)}" stands there twice; keep one', *_second(text, twice))
        return values

    def no_constant(name: str) -> NoReturn:
        raise Malformed(f"{name} is not JSON; write a number", *_place(text, max(text.find(name), 0)))

    def number(literal: str) -> float:
        value = float(literal)
        if math.isinf(value):
            raise Malformed(f"{literal[:20]} is beyond float64", *_place(text, max(text.find(literal), 0)))
        return value

    try:
        return json.loads(text, object_pairs_hook=unique, parse_constant=no_constant, parse_float=number)
    except json.JSONDecodeError as error:
        why, at = _why(text, error)
        raise Malformed(why, *_place(text, at)) from error


def repeated_key(text: bytes) -> str | None:
    """The first key that valid JSON, an object, names twice, as a message shows it."""
    pairs: list[tuple[str, Any]] = json.loads(
        bytes(text), object_pairs_hook=list, parse_int=str, parse_float=str
    )
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            return f'"{_shown(key)}"'
        seen.add(key)
    return None


def lone_surrogate(text: bytes) -> str | None:
    """Where a line holds half a surrogate pair, which JSON can spell and UTF-8 cannot hold; else None."""
    try:
        value = json.loads(text, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return None
    for key, part in _texts(value):
        found = _SURROGATE.search(part)
        if found:
            return f"\\u{ord(found[0]):04x} in {key}"
    return None


def _texts(value: Any) -> Iterator[tuple[str, str]]:
    """Every text of a value, with the key that it stands under."""
    todo = [("", value)]
    while todo:
        key, value = todo.pop()
        if isinstance(value, str):
            yield f'"{key}"' if key else "the text", value
        elif isinstance(value, dict):
            for name, inner in value.items():
                yield "a key", name
                todo.append((_shown(name), inner))
        elif isinstance(value, list):
            todo += [(key, inner) for inner in value]


def hint_at(text: bytes) -> str | None:
    """What is wrong with a line that is not JSON, where that is one of the usual things."""

    def no_constant(name: str) -> NoReturn:
        raise Malformed(f"{name} is not JSON; write a number, or null")

    line = text.decode("utf-8", "replace")
    try:
        json.loads(line, parse_constant=no_constant, parse_int=str, parse_float=str)
    except Malformed as error:
        return error.why
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            comma = line[error.pos :].strip() == ","
            return "lines have no comma between them" if comma else "one object is one line"
        return "JSON has double quotes" if line[error.pos : error.pos + 1] == "'" else None
    except (ValueError, RecursionError):
        pass
    return None


def _shown(text: str) -> str:
    """Text in which half a surrogate pair stands as its escape: no message can hold it."""
    short = text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
    return short.encode("utf-8", "backslashreplace").decode()


def _place(text: str, at: int) -> tuple[int, int]:
    """Line and column, from 1, of a position in a text."""
    return text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)


def _second(text: str, key: str) -> tuple[int, int]:
    """Where a key stands for the second time, if it can be found as it is spelled."""
    found = list(re.finditer(re.escape(json.dumps(key, ensure_ascii=False)) + r"\s*:", text))
    return _place(text, found[1].start()) if len(found) > 1 else (0, 0)


def _why(text: str, error: json.JSONDecodeError) -> tuple[str, int]:
    """What is wrong, and where: a comma too many is told in the same words by every Python."""
    before = text[: error.pos].rstrip()
    after = text[error.pos :].lstrip()
    if before.endswith(",") and after[:1] in ("}", "]"):
        return f"a comma before the closing {after[0]}; remove it", len(before) - 1
    if text[error.pos : error.pos + 1] == "," and text[error.pos + 1 :].lstrip()[:1] in ("}", "]"):
        return f"a comma before the closing {text[error.pos + 1 :].lstrip()[0]}; remove it", error.pos
    if not after:
        return "the file ends where more JSON is expected", error.pos
    return f"not JSON: {error.msg[:1].lower()}{error.msg[1:]}", error.pos
