"""Where a record of an items file ends: one rule, for the planner that cuts and for the stages that read.

JSONL: a record is a line, up to its `\\n`. CSV: a record is a row as Python's csv module reads it (excel dialect,
strict): a quote opens only at the start of a field, `""` inside is a quote, a line break inside quotes is text.
A line of nothing but white space between two records is no record. A carriage return belongs to the `\\n` after
it. What strict reading refuses, text after a closing quote or a carriage return elsewhere, ends with its line, as
csv resumes; a quote that is never closed takes the rest of the file. `columns` refuses both. A BOM at the file's
start is skipped.

Each rule is one regular expression that matches blank lines and then one whole record, so that what the planner
counts (`cutting`), one by one or in runs, and what `split_records` splits cannot differ. JSONL alone is split as
lines, which is faster; tests hold the two against each other.
"""

import math
import re
from collections.abc import Iterator
from functools import cache
from itertools import chain, islice, pairwise
from typing import Literal, NamedTuple

import msgspec

from fanwise.errors import ItemsChanged
from fanwise.limits import MAX_ENTRY_BYTES, MAX_LINE_BYTES, MAX_REST_ENTRIES, RAW_KEPT_BYTES
from fanwise.records import Entry

LineKind = Literal["jsonl", "csv"]

BOM = b"\xef\xbb\xbf"
_CARRIAGE_RETURN = ord("\r")
_ENDS_AT_ONCE = 65_536  # records looked at together: bounds the memory of a file of very short lines
_RUNS = (256, 64, 16, 4, 1)  # records matched at once
_RUN_BYTES = 1024 * 1024  # looked at for a run: long records are as quick one by one

# Possessive throughout: nothing is tried twice, so the time is linear in the bytes whatever they are.
_BLANK_LINES = rb"(?:[ \t\r\v\f]*+\n)*+"
_QUOTED = rb'[^"]*+(?:""[^"]*+)*+'  # between the quotes of a field
_FIELD = rb'(?:"' + _QUOTED + rb'"|(?!")[^,\r\n]*+)'
_ROW_END = rb"(?:\n|[^,\n][^\n]*+\n)"  # after \r, or text after a closing quote, the end of the line
_LINE = rb".*+\n"  # the dot is all but \n, and half as quick again as [^\n]
_ROW = _FIELD + rb"(?:," + _FIELD + rb")*+" + _ROW_END
_UNFINISHED = rb"|((?s:.+))"  # group 1: what no record's end was found in, up to the end of the data

_RECORD: dict[LineKind, bytes] = {"jsonl": _BLANK_LINES + _LINE, "csv": _BLANK_LINES + _ROW}
_RECORDS = {kind: re.compile(record + _UNFINISHED) for kind, record in _RECORD.items()}
_LEADING_BLANK_LINES = re.compile(_BLANK_LINES)

# An unfinished CSV row → the state its reader is in.
_ROW_STATE = re.compile(
    rb"(?:" + _FIELD + rb",)*+(?:"
    rb'(?P<quoted>"' + _QUOTED + rb"\Z)"
    rb'|(?P<closed>"' + _QUOTED + rb'"\Z)'  # unless the next byte is a quote, which doubles this one
    rb"|(?P<begins>\Z)"
    rb"|" + _FIELD + rb"(?:(?P<refused>[^,\n])|(?P<bare>\Z)))"
)
_SHORTEST = {"quoted": b'"', "closed": b'""', "begins": b",", "bare": b"x", "refused": b"x\r", None: b"x"}
_ACCEPTED_FIELDS = re.compile(rb"(?:" + _FIELD + rb",)*+")
_QUOTED_TEXT = re.compile(rb'"(' + _QUOTED + rb')(?:(")|\Z)')


class RefusedQuote(NamedTuple):
    """A quote that opens in `line` and is never closed, or is closed in line `closed` with text after it.

    `lines_inside` are the lines after the one that it opens in, up to the end of the row.
    """

    line: int
    closed: int | None
    lines_inside: int
    follows_backslash: bool = False


class Record(msgspec.Struct, frozen=True):
    """One record: its bytes [start, end) of the items file without line end, and the 1-based line it starts in.

    `text` is the record, or, where `is_too_long`, the first `limits.RAW_KEPT_BYTES` of it. Of a CSV row that is
    too long, `line_ends` are those inside, as far as it was read, and `is_open` says that it ends inside quotes.
    """

    start: int
    end: int
    line: int
    text: bytes
    line_ends: int = 0
    is_open: bool = False

    @property
    def is_too_long(self) -> bool:
        """Whether it has more bytes than `limits.MAX_LINE_BYTES`."""
        return self.end - self.start > MAX_LINE_BYTES


def ends_of_records(kind: LineKind, data: bytes, begin: int = 0) -> Iterator[list[int]]:
    """Where each whole record of `data` ends, after its line end, some at a time.

    Blank lines belong to the record after them.
    """
    matches = _RECORDS[kind].finditer(data, begin)
    while ends := [match.end() for match in islice(matches, _ENDS_AT_ONCE) if match.lastindex is None]:
        yield ends


def run_of_records(kind: LineKind, data: bytes, begin: int, most: int) -> tuple[int, int]:
    """How many whole records, at most `most`, were found from `begin` on, many at once, and where the last ends.

    Where those are fewer than `most` there may be more, which `ends_of_records` finds.
    """
    count, end = 0, begin
    for size, run in _runs(kind):
        while most - count >= size:
            match = run.match(data, end, end + _RUN_BYTES)
            if match is None:
                return count, end
            count, end = count + size, match.end()
    return count, end


@cache
def _runs(kind: LineKind) -> tuple[tuple[int, re.Pattern[bytes]], ...]:
    """What matches so many records at once, the longest run first; made where something is planned."""
    return tuple((size, re.compile(rb"(?:" + _RECORD[kind] + rb"){%d}+" % size)) for size in _RUNS)


def shortest_in_same_state(kind: LineKind, unfinished: bytes) -> bytes:
    """The shortest text, without line ends, that a reader goes on from as from `unfinished`."""
    blank = _LEADING_BLANK_LINES.match(unfinished)
    text = unfinished[blank.end() :] if blank else unfinished
    if not text.strip():
        return b"\r" if b"\r" in text else text[:1]
    if kind == "jsonl":
        return b"x"
    state = _ROW_STATE.match(text)
    return _SHORTEST[state.lastgroup if state else None]


def split_records(
    data: bytes, kind: LineKind, *, start: int, first_line: int, end: int | None = None
) -> Iterator[Record]:
    """Split the bytes of an entry, which lie at `start` of the file, into its records.

    `end` is where the entry ends, for one of which only the beginning was read (`bytes_to_read`). A record over
    `limits.MAX_LINE_BYTES` comes cut short and `is_too_long`.
    """
    split = _split_lines if kind == "jsonl" else _split_rows
    return split(data, _bom_bytes(data, start), start, first_line, end)


def _split_lines(data: bytes, at: int, start: int, line: int, end: int | None) -> Iterator[Record]:
    """By the rule of `_RECORDS`, several times as fast: in JSONL every line feed is a border."""
    begin, after_all = start + at, start + len(data)
    for number, text in enumerate(data[at:].split(b"\n"), line):
        stop = begin + len(text)
        if text and not text.isspace():
            is_finished = stop < after_all
            record = text[:-1] if is_finished and text[-1] == _CARRIAGE_RETURN else text
            last = begin + len(record) if is_finished or end is None else end
            kept = record if len(record) <= MAX_LINE_BYTES else record[:RAW_KEPT_BYTES]
            yield Record(begin, last, number, kept)
        begin = stop + 1


def _split_rows(data: bytes, at: int, start: int, line: int, end: int | None) -> Iterator[Record]:
    counted = 0
    for match in _RECORDS["csv"].finditer(data, at):
        blank = _LEADING_BLANK_LINES.match(data, match.start())
        begin = blank.end() if blank else match.start()
        stop = match.end()
        is_finished = match.lastindex is None
        if is_finished:
            stop -= 2 if data.endswith(b"\r\n", begin, stop) else 1
        elif not data[begin:stop].strip():
            return
        line += data.count(b"\n", counted, begin)
        counted = begin
        last = start + stop if is_finished or end is None else end
        if stop - begin <= MAX_LINE_BYTES:
            yield Record(start + begin, last, line, data[begin:stop])
        else:
            line_ends = data.count(b"\n", begin, stop)
            is_open = not is_finished and shortest_in_same_state("csv", data[begin:stop]) == b'"'
            kept = data[begin : begin + RAW_KEPT_BYTES]
            yield Record(start + begin, last, line, kept, line_ends, is_open)


def refused_quote(text: bytes, line: int) -> RefusedQuote | None:
    """The quote for which strict reading refuses a row that begins in `line`; None where none is at fault."""
    accepted = _ACCEPTED_FIELDS.match(text)
    begin = accepted.end() if accepted else 0
    quoted = _QUOTED_TEXT.match(text, begin)
    if (
        quoted is None
        or text[quoted.end() : quoted.end() + 1] == b"\r"
        or (quoted[2] and quoted.end() == len(text))
    ):
        return None
    opened = line + text.count(b"\n", 0, begin)
    lines_inside = text.rstrip(b"\r\n").count(b"\n", begin)
    closed = opened + quoted[1].count(b"\n") if quoted[2] else None
    return RefusedQuote(opened, closed, lines_inside, quoted[1].endswith(b"\\"))


def bytes_to_read(entry: Entry) -> tuple[int, int]:
    """The range of the items file that says all of an entry.

    All of it, save for a single record that is longer than any entry may be: the beginning tells that it is too
    long, and the rest of it may not fit in memory.
    """
    if entry.count == 1:
        return entry.start, min(entry.end, entry.start + MAX_ENTRY_BYTES)
    return entry.start, entry.end


def _bom_bytes(data: bytes, start: int) -> int:
    return len(BOM) if start == 0 and data.startswith(BOM) else 0


def cut(data: bytes, kind: LineKind, entry: Entry, into: int) -> tuple[Entry, ...]:
    """Cut an entry, whose bytes are `data`, into up to `into` entries of as equal counts as possible.

    They are named `ENTRY.0`, `ENTRY.1` … and are one attempt further. Raises `ItemsChanged` where `data` does not
    hold the entry's records.
    """
    pieces = min(into, entry.count)
    borders = [entry.count * piece // pieces for piece in range(pieces + 1)]
    return _pieces(data, kind, entry, borders)


def rest_of(entry: Entry, data: bytes, kind: LineKind, done: int) -> Entry:
    """What is left of an entry after its first `done` items, as the entry `ENTRY.0`, one attempt further.

    Raises `ItemsChanged` like `cut`, and `ValueError` unless something is left.
    """
    if not 0 <= done < entry.count:
        raise ValueError(f"{done} of the {entry.count} items of entry {entry.entry} leave no rest")
    (rest,) = _pieces(data, kind, entry, [done, entry.count])
    return rest


def rest_in_invocations(
    entry: Entry, data: bytes, kind: LineKind, done: int, *, item_s: float, invocation_s: float
) -> tuple[Entry, ...]:
    """What is left of an entry after `done` items, in as many entries as have work for an invocation each.

    `item_s` is what an item took, `invocation_s` how long an invocation may work. One entry would be a chain: a
    round for each invocation, where they could all run in one. Raises like `rest_of`.
    """
    rest = rest_of(entry, data, kind, done)
    invocations = min(math.ceil(rest.count * item_s / invocation_s), rest.count, MAX_REST_ENTRIES)
    if invocations <= 1:
        return (rest,)
    pieces = cut(data[rest.start - entry.start :], kind, rest, invocations)
    return tuple(msgspec.structs.replace(piece, attempt=rest.attempt) for piece in pieces)


def rest_with_first_alone(entry: Entry, data: bytes, kind: LineKind, done: int) -> tuple[Entry, ...]:
    """What is left of an entry after its first `done` items: the next one in an entry of its own, then the others.

    Raises like `rest_of`.
    """
    if not 0 <= done < entry.count:
        raise ValueError(f"{done} of the {entry.count} items of entry {entry.entry} leave no rest")
    return _pieces(data, kind, entry, sorted({done, done + 1, entry.count}))


def _pieces(data: bytes, kind: LineKind, entry: Entry, borders: list[int]) -> tuple[Entry, ...]:
    """The entries between the given borders, which count the entry's items; the last ends with the entry."""
    ends = list(
        chain([_bom_bytes(data, entry.start)], *ends_of_records(kind, data, _bom_bytes(data, entry.start)))
    )
    if data[ends[-1] :].strip():
        ends.append(len(data))
    if len(ends) - 1 != entry.count:
        raise ItemsChanged(
            f"entry {entry.entry} was planned with {entry.count} items and its bytes hold {len(ends) - 1};"
            f" the items file is no longer the version that was planned: start the job again"
        )
    ends[0], ends[-1] = 0, len(data)
    return tuple(
        Entry(
            entry=f"{entry.entry}.{piece}",
            start=entry.start + ends[begin],
            end=entry.start + ends[stop],
            first=entry.first + begin,
            first_line=entry.first_line + data.count(b"\n", 0, ends[begin]),
            count=stop - begin,
            attempt=entry.attempt + 1,
        )
        for piece, (begin, stop) in enumerate(pairwise(borders))
    )
