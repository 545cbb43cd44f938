"""Where records end: every chunking of every file, against the json and csv modules reading the whole text."""

import csv
import json
from collections.abc import Iterator
from itertools import chain, pairwise, product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fanwise import limits
from fanwise.errors import ItemsChanged
from fanwise.items import cutting, lines
from fanwise.items.cutting import count_about, cut_entries
from fanwise.items.lines import LineKind, Record, bytes_to_read, cut, rest_of, split_records
from fanwise.records import Entry

BOM = b"\xef\xbb\xbf"

KINDS: tuple[LineKind, ...] = ("jsonl", "csv")
kinds = st.sampled_from(KINDS)
pieces = st.sampled_from(
    [
        '"',
        '"',
        '""',
        ",",
        ',"',
        '",',
        "\n",
        "\n",
        "\r\n",
        "\r",
        " ",
        "\t",
        "\v",
        "a",
        "ä",
        "日",
        '{"a": 1}',
        "\0",
    ]
)
texts = st.lists(pieces, max_size=40).map(lambda parts: "".join(parts).encode())
files = st.builds(lambda bom, text: bom + text, st.sampled_from([b"", b"", BOM]), texts)
sizes = st.integers(1, 12)


def chunked(data: bytes, chunk_bytes: int) -> list[bytes]:
    return [data[at : at + chunk_bytes] for at in range(0, len(data), chunk_bytes)]


def reference(data: bytes, kind: LineKind) -> list[tuple[int, list[str] | str | None]]:
    """The line each record begins in (from 1), and what it reads as: a row, a line, None for a refused row."""
    physical = data.removeprefix(BOM).decode("latin-1").split("\n")
    physical = [line + "\n" for line in physical[:-1]] + ([physical[-1]] if physical[-1] else [])
    if kind == "jsonl":
        return [(n, line.rstrip("\r\n")) for n, line in enumerate(physical, 1) if line.strip(" \t\r\n\v\f")]
    found: list[tuple[int, list[str] | str | None]] = []
    reader = csv.reader(physical, strict=True)
    while reader.line_num < len(physical):
        begin = reader.line_num
        try:
            row: list[str] | None = next(reader)
        except csv.Error:
            row = None
        if "".join(physical[begin : reader.line_num]).strip(" \t\r\n\v\f"):
            found.append((begin + 1, row))
    return found


def reading(record: Record, kind: LineKind) -> list[str] | str | None:
    text = record.text.decode("latin-1")
    if kind == "jsonl":
        return text.rstrip("\r\n")
    try:
        (row,) = csv.reader([text], strict=True)
    except csv.Error:
        return None
    return row


def split(data: bytes, kind: LineKind, entry: Entry) -> list[Record]:
    piece = data[entry.start : entry.end]
    return list(split_records(piece, kind, start=entry.start, first_line=entry.first_line))


@given(files, kinds)
@example(b'a\r"b\nc"\n', "csv")
@example(b'"a"x"y,\n",1\n', "csv")
@example(b'"never closed\n\nto the end\n', "csv")
@example(b"\r\r\n \v\n", "csv")
@example(BOM, "jsonl")
@example(BOM + b"\n", "csv")
def test_records_are_those_of_the_json_and_csv_modules(data: bytes, kind: LineKind) -> None:
    records = list(split_records(data, kind, start=0, first_line=1))
    assert [(r.line, reading(r, kind)) for r in records] == reference(data, kind)


@given(files, kinds)
def test_a_record_is_its_bytes_of_the_file(data: bytes, kind: LineKind) -> None:
    last = 0
    for record in split_records(data, kind, start=0, first_line=1):
        assert data[record.start : record.end] == record.text
        assert record.start >= last
        assert data[last : record.start].strip() in (b"", BOM)
        last = record.end
    assert data[last:].strip() in (b"", BOM)


@given(files, kinds, sizes, sizes, st.integers(4, 100))
@example(b"1\n" * 9, "jsonl", 1, 4, 4)
def test_entries_are_the_same_at_every_chunking_and_hold_the_records_of_the_whole(
    data: bytes, kind: LineKind, chunk_bytes: int, batch_size: int, max_entry_bytes: int
) -> None:
    whole = list(split_records(data, kind, start=0, first_line=1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cutting, "MAX_ENTRY_BYTES", max_entry_bytes)
        patch.setattr(lines, "_ENDS_AT_ONCE", 3)
        entries = list(cut_entries(chunked(data, chunk_bytes), kind, batch_size))
        assert entries == list(cut_entries([data], kind, batch_size))
    assert [r for entry in entries for r in split(data, kind, entry)] == whole
    first, position = 0, 0
    for number, entry in enumerate(entries):
        assert (entry.entry, entry.first, entry.start) == (f"{number:06d}", first, position)
        assert 1 <= entry.count <= batch_size
        assert entry.count == len(split(data, kind, entry))
        assert entry.first_line == 1 + data.count(b"\n", 0, entry.start)
        is_last = entry is entries[-1]
        assert entry.count == 1 or is_last or entry.end - entry.start <= max_entry_bytes
        first, position = first + entry.count, entry.end
    assert first == len(whole)
    assert not entries or position == len(data)


@given(files, kinds, st.integers(1, 400), st.integers(1, 400), st.sampled_from([1, 7, 64, lines._RUN_BYTES]))
@example(b"1\n", "jsonl", 400, 256 + 64 + 16 + 4 + 1, lines._RUN_BYTES)
@example(b'"\n",\n', "csv", 300, 299, lines._RUN_BYTES)
@example(b" \n\r\n1\n", "csv", 300, 400, 64)
def test_a_run_of_records_ends_where_the_last_of_them_does(
    text: bytes, kind: LineKind, times: int, most: int, run_bytes: int
) -> None:
    data = text * times
    ends = [0, *chain(*lines.ends_of_records(kind, data))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "_RUN_BYTES", run_bytes)
        count, end = lines.run_of_records(kind, data, 0, most)
    assert end == ends[count]
    if run_bytes > len(data) and most < len(ends):
        assert count == most
    else:
        assert count <= most


@given(files, kinds, sizes, st.integers(4, 100), st.sampled_from([1, 7, 64, lines._RUN_BYTES]))
@example(b"\r\n1\r\n \n" * 9 + b"1", "jsonl", 4, 100, lines._RUN_BYTES)
@example(BOM + b'"\n""",\n\n' * 9, "csv", 5, 30, lines._RUN_BYTES)
def test_a_plan_made_in_runs_is_the_one_made_record_by_record_wherever_a_chunk_ends(
    data: bytes, kind: LineKind, batch_size: int, max_entry_bytes: int, run_bytes: int
) -> None:
    def none_at_once(_kind: LineKind, _data: bytes, begin: int, _most: int) -> tuple[int, int]:
        return 0, begin

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cutting, "MAX_ENTRY_BYTES", max_entry_bytes)
        patch.setattr(lines, "_RUN_BYTES", run_bytes)
        in_runs = [list(cut_entries([data[:at], data[at:]], kind, batch_size)) for at in range(len(data) + 1)]
        patch.setattr(cutting, "run_of_records", none_at_once)
        one_by_one = list(cut_entries([data], kind, batch_size))
    assert all(entries == one_by_one for entries in in_runs)


@given(texts, kinds, sizes, sizes)
def test_a_plan_may_begin_after_a_header(
    text: bytes, kind: LineKind, chunk_bytes: int, batch_size: int
) -> None:
    header = b'"id",\n'
    entries = list(cut_entries(chunked(text, chunk_bytes), kind, batch_size, start=len(header), first_line=2))
    found = [r for entry in entries for r in split(header + text, kind, entry)]
    assert found == list(split_records(text, kind, start=len(header), first_line=2))
    assert not entries or (entries[0].start, entries[-1].end) == (len(header), len(header + text))


@pytest.mark.parametrize("kind", KINDS)
def test_every_short_file_is_cut_the_same_at_every_byte(kind: LineKind) -> None:
    for length in range(1, 6):
        for symbols in product((b'"', b",", b"\n", b"\r", b" ", b"a"), repeat=length):
            data = b"".join(symbols) + b'"\n",\n'
            whole = [(r.line, r.start) for r in split_records(data, kind, start=0, first_line=1)]
            for at in range(1, length + 3):
                entries = list(cut_entries([data[:at], data[at:]], kind, 1))
                assert len(entries) == len(whole), data
                assert all(e.start <= start < e.end for e, (_, start) in zip(entries, whole, strict=True)), (
                    data
                )


def test_entries_are_full_unless_they_would_be_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "MAX_ENTRY_BYTES", 10)
    data = b"1\n22\n" + b"x" * 50 + b"\n4\n5\n6\n7\n8\n9\n"
    counts = [(e.count, e.end - e.start) for e in cut_entries(chunked(data, 7), "jsonl", 4)]
    assert counts == [(2, 5), (1, 51), (4, 8), (2, 4)]


@st.composite
def entries_of_files(draw: st.DrawFn) -> tuple[bytes, LineKind, Entry]:
    data, kind = draw(files), draw(kinds)
    entries = list(cut_entries([data], kind, draw(st.integers(1, 30))))
    if not entries:
        return b"1\n", kind, next(cut_entries([b"1\n"], kind, 1))
    entry = draw(st.sampled_from(entries))
    return data, kind, entry


@given(entries_of_files(), st.integers(1, 6))
def test_the_pieces_of_a_cut_entry_are_the_entry(case: tuple[bytes, LineKind, Entry], into: int) -> None:
    data, kind, entry = case
    made = cut(data[entry.start : entry.end], kind, entry, into)
    check_pieces(data, kind, entry, made)
    counts = [piece.count for piece in made]
    assert len(made) == min(into, entry.count)
    assert max(counts) - min(counts) <= 1
    assert (made[0].start, made[-1].end) == (entry.start, entry.end)
    assert split(data, kind, entry) == [r for piece in made for r in split(data, kind, piece)]


@given(entries_of_files(), st.data())
def test_the_rest_is_what_was_not_done(case: tuple[bytes, LineKind, Entry], draws: st.DataObject) -> None:
    data, kind, entry = case
    done = draws.draw(st.integers(0, entry.count - 1))
    rest = rest_of(entry, data[entry.start : entry.end], kind, done)
    check_pieces(data, kind, entry, (rest,))
    assert (rest.count, rest.end) == (entry.count - done, entry.end)
    assert split(data, kind, rest) == split(data, kind, entry)[done:]


def check_pieces(data: bytes, kind: LineKind, entry: Entry, made: tuple[Entry, ...]) -> None:
    assert [piece.entry for piece in made] == [f"{entry.entry}.{n}" for n in range(len(made))]
    for piece in made:
        assert piece.attempt == entry.attempt + 1
        assert piece.first_line == 1 + data.count(b"\n", 0, piece.start)
        assert piece.count == len(split(data, kind, piece))
    for before, after in pairwise(made):
        assert (before.end, before.first + before.count) == (after.start, after.first)


def test_bytes_that_are_not_the_entrys_are_refused() -> None:
    (entry,) = cut_entries([b"1\n2\n3\n"], "jsonl", 3)
    with pytest.raises(ItemsChanged, match="entry 000000 was planned with 3 items and its bytes hold 2"):
        cut(b"1\n2  \n", "jsonl", entry, 4)
    with pytest.raises(ValueError, match="3 of the 3 items of entry 000000 leave no rest"):
        rest_of(entry, b"1\n2\n3\n", "jsonl", 3)


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b""])
def test_a_line_that_is_too_long_comes_cut_short_and_its_neighbours_whole(line_end: bytes) -> None:
    longest = b"x" * limits.MAX_LINE_BYTES
    data = b"1\n" + longest + b"\n" + longest + b"y" + line_end
    one, two, three = split_records(data, "jsonl", start=100, first_line=1)
    assert (one.text, one.is_too_long) == (b"1", False)
    assert (two.text == longest, two.is_too_long) == (True, False)
    assert (three.text, three.is_too_long) == (b"x" * limits.RAW_KEPT_BYTES, True)
    assert (three.start, three.end) == (100 + 3 + len(longest), 100 + 4 + 2 * len(longest))


def test_a_line_longer_than_any_entry_is_an_entry_of_its_own_and_read_in_part() -> None:
    def stream() -> Iterator[bytes]:
        yield b"1\n2"
        for _ in range(40):
            yield b"2" * 1024 * 1024
        yield b"\n3\n"

    before, long, after = cut_entries(stream(), "jsonl", 10)
    assert (before.count, long.count, after.count) == (1, 1, 1)
    assert (long.end - long.start, long.first, long.first_line) == (40 * 1024 * 1024 + 2, 1, 2)
    assert bytes_to_read(before) == (0, 2)
    begin, end = bytes_to_read(long)
    assert (begin, end) == (2, 2 + limits.MAX_ENTRY_BYTES)
    (record,) = split_records(b"2" * (end - begin), "jsonl", start=2, first_line=2, end=long.end)
    assert (record.is_too_long, record.start, record.end) == (True, 2, long.end)


@given(st.lists(st.dictionaries(st.text(), st.text()), max_size=20), sizes, sizes)
def test_json_lines_come_back(objects: list[dict[str, str]], chunk_bytes: int, batch_size: int) -> None:
    data = b"\r\n".join(json.dumps(value, ensure_ascii=False).encode() for value in objects)
    entries = cut_entries(chunked(data, chunk_bytes), "jsonl", batch_size)
    assert [json.loads(r.text) for entry in entries for r in split(data, "jsonl", entry)] == objects


@given(files, kinds)
def test_a_file_that_is_seen_whole_is_counted_as_it_is_cut(data: bytes, kind: LineKind) -> None:
    assert count_about(data, kind, len(data)) == sum(e.count for e in cut_entries([data], kind, 1))


@pytest.mark.parametrize(
    ("beginning", "size_bytes", "about"),
    [
        (b'{"a": 1}\n{"a": 2}\n{"a"', 9 * 1000, 1000),  # what is cut off has no say
        (b'{"a": 1}\n' * 3, 28, 3),
        (b'{"a": "' + b"x" * 100, 10_000, 1),
        (b"", 0, 0),
        (b"\n\n\n", 3, 0),
    ],
)
def test_a_file_that_is_seen_in_part_is_counted_by_what_it_begins_with(
    beginning: bytes, size_bytes: int, about: int
) -> None:
    assert count_about(beginning, "jsonl", size_bytes) == about
