"""The files that a person takes away, held against the job's own: the same lines, the same values.

Where a part is gone, or is not what its commit says, its lines in those files are held against the digest in the
commit: which of the two is wrong is said, and a file that was cut to match the ledger is noticed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Any

import msgspec

from fanwise.digests import root_of, sha256_of_bytes
from fanwise.errors import ItemsChanged
from fanwise.records import Part
from fanwise.storage import Storage

_READABLE_REMEDY = "remove it, and the same run brings the results home again"
_REPLAYS = "replays"  # of which the job's own summary may know more by now


def other_than_the_parts(
    storage: Storage, home: str, parts: list[Part], summary: dict[str, Any] | None, collected: str
) -> list[str]:
    """What is wrong with the predictions.jsonl, failures.jsonl and summary.json of a folder, in words."""
    found: list[str] = []
    for folder in ("predictions", "failures"):
        own = [part for part in parts if part.key.startswith(folder + "/")]
        found += _Collected(storage, home, own, collected, f"{folder}.jsonl").differences()
    if summary is not None:
        found += _other_summary(storage, summary, collected)
    return found


@dataclass(frozen=True)
class _Collected:
    """One file that was brought home, with the parts that it is made of."""

    storage: Storage
    home: str
    parts: Sequence[Part]
    folder: str
    name: str

    def differences(self) -> Iterator[str]:
        try:
            whole = self.storage.head(self.folder + self.name)
            line = first_difference(
                self._bytes_of_parts(), self.storage.stream(self.folder + self.name, whole)
            )
        except FileNotFoundError:
            yield f"{self.name} is not there; the same run brings the results home again"
            return
        except (_PartIsGone, ItemsChanged):
            yield from self._other_lines(whole.size_bytes)
            return
        if line is None:
            return
        part, its_line = self._part_at(line)
        where = f"; {part.key} has it in its line {its_line}" if part is not None else ""
        if part is not None and self._is_as_committed(part):
            yield (
                f"{part.key} is not what its commit says, from its line {its_line} on; {self.name} has the right"
                " lines"
            )
            return
        yield f"{self.name} is not what the job wrote, from its line {line} on{where}; {_READABLE_REMEDY}"

    def _bytes_of_parts(self) -> Iterator[bytes]:
        for part in self.parts:
            try:
                yield from self.storage.stream(self.home + part.key, self.storage.head(self.home + part.key))
            except FileNotFoundError as error:
                raise _PartIsGone(part.key) from error

    def _part_at(self, line: int) -> tuple[Part | None, int]:
        """The part that has a line, and which of its own that is, both from 1."""
        before = 0
        for part in self.parts:
            if line <= before + part.count:
                return part, line - before
            before += part.count
        return None, 0

    def _lines_of(self, part: Part) -> bytes:
        """What stands in the file where the lines of a part belong."""
        start = sum(other.size_bytes for other in islice(self.parts, self.parts.index(part)))
        return self.storage.read(self.folder + self.name, start, start + part.size_bytes)

    def _is_as_committed(self, part: Part) -> bool:
        return bool(part.sha256) and sha256_of_bytes(self._lines_of(part)) == part.sha256

    def _other_lines(self, size_bytes: int) -> Iterator[str]:
        """Where not all parts are there: by the digests alone."""
        line = 1
        for part in self.parts:
            if part.sha256 and not self._is_as_committed(part):
                yield (
                    f"{self.name} is not what the job wrote, in its lines {line} to {line + part.count - 1},"
                    f" by the digest of {part.key}"
                )
                return
            line += part.count
        if size_bytes != sum(part.size_bytes for part in self.parts):
            yield f"{self.name} is not what the job wrote, from its line {line} on"


class _PartIsGone(Exception):
    """A part that counts is not there."""


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


def _other_summary(storage: Storage, summary: dict[str, Any], collected: str) -> list[str]:
    try:
        found = msgspec.json.decode(storage.read(collected + "summary.json"))
    except FileNotFoundError:
        return ["summary.json is not there; the same run brings the results home again"]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = None
    if not isinstance(found, dict):
        return [f"summary.json is not the job's own; {_READABLE_REMEDY}"]
    other = sorted(
        name
        for name in found.keys() | summary.keys()
        if found.get(name) != summary.get(name) and not (name == _REPLAYS and _are_earlier(found, summary))
    )
    if not other:
        return []
    if "root" in found and root_of(found) == found["root"]:
        which = "it is whole by its root, so that the job's own was changed, or is of another run"
    else:
        which = _READABLE_REMEDY
    return [f"summary.json is not the job's own; it has another {', '.join(map(repr, other[:5]))}: {which}"]


def _are_earlier(found: dict[str, Any], summary: dict[str, Any]) -> bool:
    """Whether a summary has the first replays of the other: it was brought home before the next ones ended."""
    ours, theirs = summary.get(_REPLAYS), found.get(_REPLAYS)
    return isinstance(ours, list) and isinstance(theirs, list) and ours[: len(theirs)] == theirs
