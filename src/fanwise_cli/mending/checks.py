"""Whether the files of a job's home are what was written: what is found wrong is a text, what is right is None.

A job of this machine lies on a disk that may lose or alter what it holds. `mending` acts on what is found here.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from fanwise.records import Commit, Entry, Job, Part

_T = TypeVar("_T")
_READ_BYTES = 4 * 1024 * 1024


class Unusable(Exception):
    """A file that is not what was written; the message says in a few words what is wrong with it."""


def read_file(path: Path) -> bytes:
    """The bytes of a file; raises `Unusable` where it is gone, empty or cannot be read."""
    try:
        body = path.read_bytes()
    except FileNotFoundError as error:
        raise Unusable("is gone") from error
    except OSError as error:
        raise Unusable(f"cannot be read ({error.strerror})") from error
    if not body:
        raise Unusable("is empty")
    return body


def decoded(path: Path, type_: type[_T]) -> _T:
    """A JSON file as one of the records; raises `Unusable`."""
    try:
        return msgspec.json.decode(read_file(path), type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unusable(f"is damaged ({error})") from error


def decoded_lines(path: Path, type_: type[_T]) -> list[_T]:
    """A file of JSON lines as records; raises `Unusable`."""
    body = path.read_bytes() if path.exists() and not path.stat().st_size else read_file(path)
    if body and not body.endswith(b"\n"):
        raise Unusable("ends within a line")
    try:
        return msgspec.json.Decoder(type_).decode_lines(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unusable(f"is damaged ({error})") from error


def check_plan(job: Job, entries: Sequence[Entry]) -> None:
    """Raises `Unusable` unless the entries of work/0.jsonl tile the items and number what job.json says."""
    if len(entries) != job.entries:
        raise Unusable(f"has {len(entries):,} of {job.entries:,} entries")
    first, start = 0, entries[0].start if entries else 0
    for number, entry in enumerate(entries):
        expected = (f"{number:06d}", first, start, 1)
        if (entry.entry, entry.first, entry.start, entry.attempt) != expected or entry.count < 1:
            raise Unusable(f"is damaged (line {number + 1} does not follow from the one before)")
        first, start = first + entry.count, entry.end
    if first != job.total or start > job.items.size_bytes:
        raise Unusable(f"is damaged (it has {first:,} items, job.json {job.total:,})")


def check_commit(entry: Entry, commit: Commit) -> None:
    """Raises `Unusable` where something in a commit does not follow from its entry or from the rest of it."""
    if commit.entry != entry.entry:
        raise Unusable(f"is damaged (it names entry {commit.entry!r})")
    decided = commit.predicted + commit.dead_lettered
    if decided + sum(rest.count for rest in commit.rest) != entry.count:
        raise Unusable("is damaged (its counts do not add up to its entry's)")
    parts = ((commit.predictions, commit.predicted), (commit.failures, commit.dead_lettered))
    for part, count in parts:
        if count != (part.count if part else 0):
            raise Unusable("is damaged (its counts are not those of its parts)")
        if part and not entry.first <= part.first < entry.first + entry.count:
            raise Unusable("is damaged (its parts are of other items)")
    if sum(commit.failures_by_error.values()) != commit.dead_lettered:
        raise Unusable("is damaged (its errors do not add up to its dead letters)")
    for rest in commit.rest:
        is_below = rest.entry.startswith(f"{entry.entry}.")
        is_inside = entry.start <= rest.start <= rest.end <= entry.end
        if not (
            is_below and is_inside and entry.first <= rest.first <= entry.first + entry.count - rest.count
        ):
            raise Unusable("is damaged (it leaves over what is no part of its entry)")


def check_part(home: Path, part: Part) -> None:
    """Raises `Unusable` where a part's file has not the size, or the hash, that its commit says."""
    path = home / part.key
    try:
        found_bytes = path.stat().st_size
        if found_bytes != part.size_bytes:
            raise Unusable(f"has {found_bytes:,} bytes, its commit says {part.size_bytes:,}")
        if part.sha256 and _sha256(path) != part.sha256:
            raise Unusable("has other bytes than its commit says")
    except FileNotFoundError as error:
        raise Unusable("is gone") from error
    except OSError as error:
        raise Unusable(f"cannot be read ({error.strerror})") from error


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(_READ_BYTES):
            digest.update(data)
    return digest.hexdigest()
