"""A manifest: what a person asks for, checked value by value, so that each mistake is said in its own line."""

import difflib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import msgspec

from fanwise import limits
from fanwise.errors import BadUri, ManifestError
from fanwise.items.uris import absolute_folder_uri, absolute_uri
from fanwise.records import Manifest

MAX_NAME_CHARACTERS = 200
_RUNTIMES = ("auto", "tensorflow", "litert")
_SURROGATE = re.compile("[\ud800-\udfff]")
_BOM = b"\xef\xbb\xbf"


def read_manifest(given: bytes | Mapping[str, Any], where: str, base: str | None = None) -> Manifest:
    """The manifest in a file's bytes, or one given inline, with `items` absolute.

    `where` names it in messages; `base` is the folder (`s3://bucket/prefix/`) that `items` may be relative to.
    Raises `ManifestError`.
    """
    values = _object(given, where) if isinstance(given, bytes) else dict(given)
    check_keys(values, Manifest.__struct_fields__, where)
    for key in ("items", "model"):
        if key not in values:
            raise ManifestError(f'{where}: "{key}" is missing; a manifest names "items" and "model"')
    check_values(values, where)
    return msgspec.convert({**values, "items": _items(values["items"], where, base)}, Manifest)


def check_keys(values: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    """Raises `ManifestError` for a key that is not known, naming the one that may be meant."""
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            remedy = f'did you mean "{near[0]}"?' if near else f"known are {', '.join(known)}"
            raise ManifestError(f'{where}: unknown key "{_printable(str(key))}"; {remedy}')


def check_values(values: Mapping[str, Any], where: str) -> None:
    """Raises `ManifestError` for a value that a manifest could not have under its key."""
    for key, check in _CHECKS.items():
        if key in values:
            wanted = check(values[key])
            if wanted:
                _refuse(where, key, values[key], wanted)


def _refuse(where: str, key: str, value: object, wanted: str) -> NoReturn:
    shown = _printable(json.dumps(value, ensure_ascii=False, default=str))
    raise ManifestError(f'{where}: "{key}" is {shown if len(shown) <= 80 else shown[:79] + "…"}; {wanted}')


def _printable(text: str) -> str:
    """Text in which half a surrogate pair, which JSON can spell, stands as its escape: no message can hold it."""
    return text.encode("utf-8", "backslashreplace").decode()


def _items(given: str, where: str, base: str | None) -> str:
    if base is None and not given.startswith("s3://"):
        _refuse(
            where, "items", given, "a manifest given inline is relative to nothing: write s3://bucket/key"
        )
    try:
        return (absolute_folder_uri if given.endswith("/") else absolute_uri)(given, base or "")
    except BadUri as error:
        raise ManifestError(f'{where}: "items": {error}') from error


def _is_text(value: object) -> bool:
    """Whether it is text that is not blank, nor half a surrogate pair, which cannot be written down."""
    return isinstance(value, str) and bool(value.strip()) and not _SURROGATE.search(value)


def _text(value: object) -> str | None:
    return None if _is_text(value) else "text that is not empty"


def _name(value: object) -> str | None:
    if value is None or (isinstance(value, str) and _is_text(value) and len(value) <= MAX_NAME_CHARACTERS):
        return None
    return f"text of 1 to {MAX_NAME_CHARACTERS} characters"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole_number(smallest: int, largest: int, why: str, also: str = "") -> Callable[[object], str | None]:
    def check(value: object) -> str | None:
        if also and value == also:
            return None
        if not _is_number(value) or not isinstance(value, int):
            return f"a whole number from {smallest} to {largest:,}" + (f', or "{also}"' if also else "")
        if value > largest:
            return f"at most {largest}{why}"
        return f"at least {smallest}" if value < smallest else None

    return check


def _percentage(value: object) -> str | None:
    if isinstance(value, int | float) and _is_number(value) and 0 <= value <= 100:
        return None
    return "a number from 0 to 100, in percent"


def _runtime(value: object) -> str | None:
    return None if value in _RUNTIMES else f"one of {', '.join(_RUNTIMES)}"


_CHECKS: Mapping[str, Callable[[object], str | None]] = {
    "items": _text,
    "model": _text,
    "name": _name,
    "batch_size": _whole_number(limits.MIN_BATCH_SIZE, limits.MAX_BATCH_SIZE, "", also="auto"),
    "max_concurrency": _whole_number(
        limits.MIN_CONCURRENCY, limits.MAX_CONCURRENCY, " (Step Functions' hard cap)"
    ),
    "tolerated_failure_percentage": _percentage,
    "runtime": _runtime,
    "recompute": _whole_number(0, limits.MAX_RECOMPUTED, " (each is predicted alone, in one invocation)"),
}


def _object(data: bytes, where: str) -> dict[str, Any]:
    """The JSON object in a file; what is wrong is said with its line and column."""
    if len(data) > limits.MAX_MANIFEST_BYTES:
        raise ManifestError(
            f"{where}: {len(data):,} bytes; a manifest has at most {limits.MAX_MANIFEST_BYTES:,}."
            f' Is it the items file? Name that in a manifest\'s "items"'
        )
    data = data.removeprefix(_BOM)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line, column = _place(data.decode("latin-1"), error.start)
        raise ManifestError(f"{where}, line {line}, column {column}: not UTF-8; save it as UTF-8") from error

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) < len(pairs):
            twice = next(key for i, (key, _) in enumerate(pairs) if key in dict(pairs[:i]))
            raise ManifestError(
                f'{where}{_second(text, twice)}: "{_printable(twice)}" stands there twice; keep one'
            )
        return values

    def no_constant(name: str) -> NoReturn:
        line, column = _place(text, max(text.find(name), 0))
        raise ManifestError(f"{where}, line {line}, column {column}: {name} is not JSON; write a number")

    try:
        values = json.loads(text, object_pairs_hook=unique, parse_constant=no_constant)
    except json.JSONDecodeError as error:
        why, at = _why(text, error)
        line, column = _place(text, at)
        raise ManifestError(f"{where}, line {line}, column {column}: {why}") from error
    except (RecursionError, ValueError) as error:  # ValueError: a number of more digits than Python converts
        raise ManifestError(f"{where}: not a manifest: {error}") from error
    if not isinstance(values, dict):
        raise ManifestError(f'{where}: a manifest is one JSON object, such as {{"items": …, "model": …}}')
    return values


def _place(text: str, at: int) -> tuple[int, int]:
    """Line and column, from 1, of a position in a text."""
    return text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)


def _second(text: str, key: str) -> str:
    """Where a key stands for the second time, if it can be found as it is spelled."""
    found = list(re.finditer(re.escape(json.dumps(key, ensure_ascii=False)) + r"\s*:", text))
    return ", line {}, column {}".format(*_place(text, found[1].start())) if len(found) > 1 else ""


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
