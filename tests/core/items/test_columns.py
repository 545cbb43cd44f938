"""The CSV header: its columns, where it ends, and what is refused with the place and the remedy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwise import limits
from fanwise.errors import ItemsFileError
from fanwise.items.columns import check_columns, read_header

URI = "s3://b/items.csv"


@pytest.mark.parametrize(
    ("beginning", "columns", "end", "line"),
    [
        (b"id,uri\n1,a\n", ("id", "uri"), 7, 2),
        (b"\xef\xbb\xbfid,uri\r\n1,a\n", ("id", "uri"), 11, 2),
        (b'\n \r\n"a\nb","c ""d"""\r\nx', ("a\nb", 'c "d"'), 21, 5),
        (b"id", ("id",), 2, 1),
    ],
)
def test_a_header(beginning: bytes, columns: tuple[str, ...], end: int, line: int) -> None:
    assert read_header(beginning, URI, is_whole_file=True) == (columns, end, line)


@given(st.lists(st.text('ab,"\n é', min_size=1).filter(str.strip), min_size=1, unique=True))
def test_any_names_come_back(names: list[str]) -> None:
    header = ",".join('"' + name.replace('"', '""') + '"' for name in names).encode() + b"\n"
    assert read_header(header + b"1,2\n", URI, is_whole_file=True)[:2] == (tuple(names), len(header))


@pytest.mark.parametrize(
    ("beginning", "is_whole", "message"),
    [
        (b"", True, "has no header line; its first line names the columns, such as id,uri"),
        (b"\n \n", True, "has no header line"),
        (
            b"x" * (limits.MAX_CSV_HEADER_BYTES + 1) + b"\n",
            True,
            "line 1: the header has more than 10,240 bytes",
        ),
        (b'"id,uri\n' + b"1,2\n" * 2600, False, "are its quotes closed"),
        (b"\n" * 10_256, False, "more than 10,240 bytes"),
        (b"id,\xff\n", True, "line 1: the header is not UTF-8; save it as UTF-8"),
        (
            b"\nid,uri\r1,a\r2,b\n",
            True,
            "line 2: the header cannot be read as CSV .* end each line with a line feed",
        ),
    ],
)
def test_what_is_no_header(beginning: bytes, is_whole: bool, message: str) -> None:
    with pytest.raises(ItemsFileError, match=f"^{URI}.*{message}"):
        read_header(beginning, URI, is_whole_file=is_whole)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (("id", "", "uri"), "header: column 2 has no name; name it or remove it"),
        (("uri", "a", "b", "a"), "header: columns 2, 4 are all named 'a'; rename all but one"),
        (
            ("uri", "inputs"),
            r'a column cannot be named "inputs"; make one column of each input \(\'age\', \'note\'\)',
        ),
        (
            ("id", "Age"),
            "no column is named \"uri\" or like an input .*'age', 'note'.*the columns are 'id', 'Age'$",
        ),
        (("id;age;note",), "are 'id;age;note'; separate columns with commas, not with ';'$"),
        (("sep=;",), "remove the first line, which only Excel reads, and separate columns with commas"),
        (("id\tage",), r"separate columns with commas, not with '\\t'$"),
    ],
)
def test_headers_that_no_row_could_be_an_item_with(columns: tuple[str, ...], message: str) -> None:
    with pytest.raises(ItemsFileError, match=message):
        check_columns(columns, URI, {"age": "number", "note": "text"})


def test_a_header_has_at_most_so_many_columns() -> None:
    columns = tuple(f"c{n}" for n in range(limits.MAX_COLUMNS - 1))
    check_columns((*columns, "uri"), URI, {})
    with pytest.raises(ItemsFileError, match=r"header: 2,001 columns; at most 2,000: put .* as \[1, 2, 3\]"):
        check_columns((*columns, "one more", "uri"), URI, {})


def test_a_long_list_of_names_is_cut_short() -> None:
    with pytest.raises(ItemsFileError, match="'c19', and 5 more"):
        check_columns(tuple(f"c{n}" for n in range(25)), URI, {"age": "number"})


@pytest.mark.parametrize("columns", [("uri",), ("age", "other"), ("note",)])
def test_headers_that_will_do(columns: tuple[str, ...]) -> None:
    check_columns(columns, URI, {"age": "number", "note": "text"})


def test_a_model_may_have_an_input_of_that_name() -> None:
    check_columns(("inputs",), URI, {"inputs": "number"})
