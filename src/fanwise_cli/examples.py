"""A few dead letters of each error, for a person to see what is wrong without opening a file."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from rich.text import Text

from fanwise.records import Part
from fanwise.storage import Storage
from fanwise_cli.progress import counted
from fanwise_cli.terminal import JobConsole

MAX_ERRORS = 5  # kinds of dead letters that are listed, those with the most first
MAX_EXAMPLES = 3  # of each
MAX_CHARACTERS = 500  # of a reason that goes to a file, and not to a terminal, which has its width
_LOOKED_AT_BYTES = 64 * 1024 * 1024  # of a file of this machine
_PART_BYTES, _PARTS = 1024 * 1024, 16  # looked at in a bucket


class Example(NamedTuple):
    """One dead letter: where its item stands, and why it is one."""

    where: str
    message: str


class _Failure(msgspec.Struct):
    error: str
    message: str
    line: int = 0


class _Letter(msgspec.Struct):
    """All that is read of a dead letter."""

    index: int
    failure: _Failure
    id: msgspec.Raw = msgspec.Raw(b"null")


_decoder = msgspec.json.Decoder(_Letter)


def examples_of(lines: Iterable[bytes], summary: Mapping[str, Any]) -> dict[str, list[Example]]:
    """Up to three dead letters of each of the errors that a job's summary counts most of, in its order."""
    counts: dict[str, int] = dict(list(summary["failures"].items())[:MAX_ERRORS])
    found: dict[str, list[Example]] = {error: [] for error in counts}
    wanted = {error: min(MAX_EXAMPLES, count) for error, count in counts.items()}
    has_lines = summary.get("parent") is None and not str(summary.get("items_uri") or "").endswith("/")
    for line in lines if counts else ():
        with suppress(msgspec.DecodeError, UnicodeDecodeError):
            letter = _decoder.decode(line)
            error = letter.failure.error
            if wanted.get(error):
                found[error].append(_example(letter, has_lines=has_lines))
                wanted[error] -= 1
                if not any(wanted.values()):
                    break
    return {error: examples for error, examples in found.items() if examples}


def _example(letter: _Letter, *, has_lines: bool) -> Example:
    where = [f"line {letter.failure.line}"] if has_lines and letter.failure.line else []
    id_ = msgspec.json.decode(letter.id)
    where.append(f"index {letter.index}" if id_ in (None, letter.index) else f"id {_cut(str(id_), 60)}")
    return Example(", ".join(where), " ".join(letter.failure.message.split()))


def lines_of_file(path: Path) -> Iterator[bytes]:
    """The lines that a failures file begins with; none where there is no such file."""
    with suppress(FileNotFoundError), path.open("rb") as file:
        seen = 0
        for line in file:
            yield line
            seen += len(line)
            if seen > _LOOKED_AT_BYTES:
                return


def lines_of_parts(storage: Storage, home: str, parts: Iterable[Part]) -> Iterator[bytes]:
    """Lines of a job's dead letters in its bucket: those that its first parts begin with."""
    failures = [part for part in parts if part.key.startswith("failures/")]
    for part in failures[:_PARTS]:
        text = storage.read(home + part.key, 0, min(part.size_bytes, _PART_BYTES))
        yield from text.splitlines(keepends=True)


def print_examples(
    console: JobConsole, examples: Mapping[str, list[Example]], counts: Mapping[str, int]
) -> None:
    """Print them below their errors, each in a line that fits the terminal."""
    for error, shown in examples.items():
        more = ", such as" if counts[error] > len(shown) else ""
        console.tell(Text.assemble("  ", (error, "red"), f" {counts[error]:,}{more}"))
        for example in shown:
            line = Text.assemble("    ", (example.where, "dim"), f"  {_cut(example.message, MAX_CHARACTERS)}")
            if console.is_terminal:
                line.truncate(console.width, overflow="ellipsis")
            console.tell(line)
    left = len(counts) - len(examples)
    if examples and left > 0:
        console.tell(f"  and {counted(left, 'other kind')}", "dim")


def first_of(examples: Mapping[str, list[Example]]) -> str | None:
    """The first example of the commonest error, as one line."""
    for error, shown in examples.items():
        return f"for example {shown[0].where}: {error}: {_cut(shown[0].message, MAX_CHARACTERS)}"
    return None


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[: characters - 1] + "…"
