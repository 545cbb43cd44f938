"""The files that a person takes away, held against the job's own: the same lines, the same numbers."""

from collections.abc import Iterator
from itertools import chain, takewhile
from typing import Any

import msgspec

from fanwise.errors import ItemsChanged
from fanwise.records import Part
from fanwise.storage import Storage
from fanwise_cli.verification.ledger import is_there

_READABLE_REMEDY = "remove it, and the same run brings the results home again"


def other_than_the_parts(
    storage: Storage, home: str, parts: list[Part], summary: dict[str, Any] | None, collected: str
) -> list[str]:
    """What is wrong with the predictions.jsonl, failures.jsonl and summary.json of a folder, in words."""
    found = []
    for folder in ("predictions", "failures"):
        uris = [home + part.key for part in parts if part.key.startswith(folder + "/")]
        name = f"{folder}.jsonl"
        try:
            line = first_difference(_bytes_of(storage, uris), _bytes_of(storage, [collected + name]))
        except (FileNotFoundError, ItemsChanged):
            if all(is_there(storage, uri) for uri in uris):  # else it is said already
                found.append(f"{name} is not there; the same run brings the results home again")
            continue
        if line is not None:
            found.append(f"{name} is not what the job wrote, from its line {line} on; {_READABLE_REMEDY}")
    if summary is not None:
        found += _other_summary(storage, summary, collected)
    return found


def first_difference(ours: Iterator[bytes], theirs: Iterator[bytes]) -> int | None:
    """The line, from 1, in which two streams of bytes begin to differ; None where they do not."""
    left = right = b""
    line = 1
    while True:
        left, right = left or next(ours, b""), right or next(theirs, b"")
        common = min(len(left), len(right))
        if left[:common] != right[:common]:
            pairs = zip(left[:common].split(b"\n"), right[:common].split(b"\n"), strict=False)
            return line + sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        if not common:
            return line if left or right else None
        line += left.count(b"\n", 0, common)
        left, right = left[common:], right[common:]


def _bytes_of(storage: Storage, uris: list[str]) -> Iterator[bytes]:
    return chain.from_iterable(storage.stream(uri, storage.head(uri)) for uri in uris)


def _other_summary(storage: Storage, summary: dict[str, Any], collected: str) -> list[str]:
    try:
        found = msgspec.json.decode(storage.read(collected + "summary.json"))
    except FileNotFoundError:
        return ["summary.json is not there; the same run brings the results home again"]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = None
    # What the job's own says of its replays, and not of itself, may have changed since.
    same = isinstance(found, dict) and all(found.get(key) == summary.get(key) for key in ("job_id", "items"))
    return [] if same else [f"summary.json is not the job's own; {_READABLE_REMEDY}"]
