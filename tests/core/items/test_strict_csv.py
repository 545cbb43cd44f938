"""CSV is read strictly: what Python's csv module accepts comes out equal, what it refuses is a dead letter.

The small files are public reports rebuilt (apple/turicreate#1692, osiegmar/FastCSV#173).
"""

import csv
import json
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fanwise import limits
from fanwise.errors import BadRow, ItemsFileError, LineTooLong
from fanwise.items.columns import read_header
from fanwise.items.cutting import cut_entries
from fanwise.items.lines import Record, bytes_to_read, split_records
from fanwise.items.parsing import read_fields
from fanwise.records import Entry, ItemsSource

COLUMNS = ("uri", "text")
SOURCE = ItemsSource(
    uri="s3://b/in/items.csv",
    kind="csv",
    size_bytes=0,
    etag="e",
    base="s3://b/in/",
    columns=COLUMNS,
    readable=("s3://",),
)

Outcome = tuple[str, str] | str


def outcome(record: Record) -> Outcome:
    """The values of a row's two columns, or why it was refused."""
    try:
        fields = read_fields(record, SOURCE, {})
    except BadRow as error:
        return str(error)
    return json.loads(bytes(fields.uri or b'""')), json.loads(bytes(fields.carried["text"]))


def rows(data: bytes) -> list[tuple[int, Outcome]]:
    """The line that each row begins in, and what became of it; line 1 is the header."""
    return [(r.line, outcome(r)) for r in split_records(data, "csv", start=10, first_line=2)]


TWICE = 'close it, or write a quote inside quotes twice ("")'


@pytest.mark.parametrize(
    ("data", "outcomes"),
    [
        (
            b'1,"fine"\n2,"never closed\n3,third row\n4,fourth row\n',
            [
                (2, ("1", "fine")),
                (3, f"line 3 opens a quote that is never closed; 2 lines lie inside; {TWICE}"),
            ],
        ),
        (
            b'"fine",1\n"never closed,2\nthird row,3\n',
            [
                (2, ("fine", "1")),
                (3, f"line 3 opens a quote that is never closed; 1 line lies inside; {TWICE}"),
            ],
        ),
        (b'1,"', [(2, f"line 2 opens a quote that is never closed; {TWICE}")]),
        (
            b'1,fine\n2,"6 inch\n3,third row\n4,"7 inch"\n5,fifth\n',
            [
                (2, ("1", "fine")),
                (
                    3,
                    f"line 3 opens a quote that line 5 closes with text after it; 2 lines lie inside; {TWICE}",
                ),
                (6, ("5", "fifth")),
            ],
        ),
        (
            b'1,"he said \\"hi\\" to me"\n2,"5" disk"\n3,"a ""b"" c"\n4, "lead space, quoted"\n5,5" disk\n',
            [
                (
                    2,
                    f"line 2 opens a quote that it closes with text after it; {TWICE};"
                    " a backslash does not escape it",
                ),
                (3, f"line 3 opens a quote that it closes with text after it; {TWICE}"),
                (4, ("3", 'a "b" c')),
                (
                    5,
                    "the row has 3 fields and the header 2 columns; quote fields that hold commas;"
                    " a quote after a space does not quote, remove the space",
                ),
                (6, ("5", '5" disk')),
            ],
        ),
        (  # the quote at fault opens in a later line than the row
            b'"a\nb","c\nd\n',
            [(2, f"line 3 opens a quote that is never closed; 1 line lies inside; {TWICE}")],
        ),
        (b'"a\rb",c\r\n', [(2, ("a\rb", "c"))]),
        (b'"a"\r,c\nd,e\n', [(2, "the row cannot be read as CSV: new-line character seen"), (3, ("d", "e"))]),
    ],
)
def test_rows_of_reported_files(data: bytes, outcomes: list[tuple[int, Outcome]]) -> None:
    for (line, found), (wanted_line, wanted) in zip(rows(data), outcomes, strict=True):
        assert line == wanted_line
        assert found == wanted if isinstance(wanted, tuple) else found[: len(wanted)] == wanted


fields = st.lists(
    st.sampled_from(['"', '"', '""', "x", " ", "\n", "\r\n", "\r", '\\"', "ä", ";", "\0", "'"]), max_size=6
).map("".join)
quoted_fields = fields.map(lambda field: '"' + field.replace('"', '""') + '"')
lines_of_two = st.tuples(st.one_of(fields, quoted_fields), st.one_of(fields, quoted_fields)).map(",".join)
files = st.tuples(st.lists(lines_of_two, max_size=6).map("\n".join), st.sampled_from(["", "\n", "\r\n"]))


def strictly(text: str) -> Iterator[list[str] | None]:
    """The rows that csv reads, None for what it refuses; without rows of nothing but white space."""
    physical = text.split("\n")
    physical = [line + "\n" for line in physical[:-1]] + [line for line in physical[-1:] if line]
    reader = csv.reader(physical, strict=True)
    while reader.line_num < len(physical):
        begin = reader.line_num
        try:
            row: list[str] | None = next(reader)
        except csv.Error:
            row = None
        if "".join(physical[begin : reader.line_num]).strip(" \t\r\n\v\f"):
            yield row


@given(files)
@example(('x,"a"\r"\n', ""))
@example(('"a"",b\n"\n', ""))
@example(('"a"x,"b\nc"', "\n"))
def test_what_csv_accepts_comes_out_equal_and_what_it_refuses_is_refused(file: tuple[str, str]) -> None:
    text = "".join(file)
    found = [outcome(r) for r in split_records(text.encode(), "csv", start=0, first_line=1)]
    wanted = list(strictly(text))
    assert len(found) == len(wanted)
    for ours, row in zip(found, wanted, strict=True):
        if row is None or len(row) > len(COLUMNS):
            assert isinstance(ours, str), (ours, row)
        else:
            assert ours == (row[0], row[1] if len(row) > 1 else "")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b'id,"text\n1,a\n2,b\n', "header: line 1 opens a quote that is never closed; 2 lines lie inside"),
        (b'\n"id"s,text\n', "header: line 2 opens a quote that it closes with text after it"),
    ],
)
def test_a_header_is_read_strictly_too(header: bytes, message: str) -> None:
    with pytest.raises(ItemsFileError, match=f"^s3://b/items.csv, {message}"):
        read_header(header, "s3://b/items.csv", is_whole_file=True)


def test_a_header_whose_quote_takes_more_than_a_header_may_have_names_it() -> None:
    with pytest.raises(ItemsFileError, match=r"are its quotes closed\? \(line 1 opens a quote that is not\)"):
        read_header(b'id,"text\n' + b"1,2\n" * 2600, "items.csv", is_whole_file=False)


def _records(data: bytes) -> list[Record]:
    """As an invocation reads them: of one row longer than an entry only the beginning."""
    found: list[Record] = []
    for entry in cut_entries([data], "csv", 10, first_line=2):
        begin, end = bytes_to_read(entry)
        found += split_records(
            data[begin:end], "csv", start=begin, first_line=entry.first_line, end=entry.end
        )
    return found


def test_a_quote_that_takes_a_large_file_is_named_with_all_lines_inside() -> None:
    line = b"7," + b"x" * 997 + b"\n"
    closed = b'a,b\nc,"' + line * 9_000 + b'"\n'
    _, never = _records(closed.removesuffix(b'"\n'))
    _, wide = _records(closed)
    _, huge = _records(b'a,b\nc,"' + line * 40_000)
    for record, wanted in (
        (never, "line 3 opens a quote that is never closed; 9,000 lines lie inside"),
        (wide, "line 3 opens a quote that is not closed within 8,388,608 bytes; 9,000 lines lie inside"),
        (
            huge,
            "line 3 opens a quote that is not closed in the next 33,554,432 bytes;"
            " at least 33,554 lines lie inside",
        ),
    ):
        assert record.is_too_long
        assert str(outcome(record)).startswith(wanted)
        assert record.text == closed[4:][: limits.RAW_KEPT_BYTES]


def test_a_long_row_whose_quotes_are_closed_is_said_to_be_too_long() -> None:
    (long,) = _records(b'"a","b",' + b"x" * limits.MAX_LINE_BYTES + b"\n")
    with pytest.raises(LineTooLong, match="the line has 8,388,616 bytes"):
        read_fields(long, SOURCE, {})


@given(files, st.integers(1, 5), st.integers(1, 3))
def test_cut_anywhere_the_rows_are_the_same(file: tuple[str, str], chunk_bytes: int, batch_size: int) -> None:
    data = "".join(file).encode()
    chunks = [data[at : at + chunk_bytes] for at in range(0, len(data), chunk_bytes)]
    entries: list[Entry] = list(cut_entries(chunks, "csv", batch_size))
    found = [
        record
        for entry in entries
        for record in split_records(
            data[entry.start : entry.end], "csv", start=entry.start, first_line=entry.first_line
        )
    ]
    assert found == list(split_records(data, "csv", start=0, first_line=1))
