"""The columns of a CSV items file: the header at planning, the values of a row when it is read.

`id` and `uri` are what they are in JSONL; a column that the model reads by name is an input; all others are
carried, as text. Both sides use Python's csv module, strictly, whose rule for quotes is also that of `lines`.
"""

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from fanwise.errors import BadRow, ItemsFileError, TooDeep
from fanwise.items.lines import Record, RefusedQuote, refused_quote, split_records
from fanwise.items.nesting import is_deeper_than
from fanwise.limits import MAX_COLUMNS, MAX_CSV_HEADER_BYTES, MAX_ENTRY_BYTES, MAX_LINE_BYTES, MAX_NESTING
from fanwise.records import Kind

csv.field_size_limit(MAX_LINE_BYTES)  # the module's own default of 128 KiB is for the process as a whole

_OWN = ("id", "uri")
_NAMES_SHOWN = 20
_NUMBERS_BEGIN = frozenset(bytes([byte]) for byte in b"-0123456789[tf")
_TOO_DEEP = f"the row holds an array nested deeper than {MAX_NESTING - 2}; flatten it"
_decoder = msgspec.json.Decoder(msgspec.Raw)
_encoder = msgspec.json.Encoder()


def read_header(beginning: bytes, uri: str, *, is_whole_file: bool) -> tuple[tuple[str, ...], int, int]:
    """The columns of a CSV file, the byte after its header, and the line that stands there.

    `beginning` is its first `limits.MAX_CSV_HEADER_BYTES` bytes or more. Raises `ItemsFileError`.
    """
    record = next(split_records(beginning, "csv", start=0, first_line=1), None)
    end = 0 if record is None else beginning.find(b"\n", record.end) + 1
    if record is None and is_whole_file:
        raise ItemsFileError(f"{uri} has no header line; its first line names the columns, such as id,uri")
    if record is None or record.end > MAX_CSV_HEADER_BYTES or (end == 0 and not is_whole_file):
        quote = None if record is None else refused_quote(record.text, record.line)
        opens = f" ({_opens(quote)} that is not)" if quote and quote.closed is None else ""
        raise ItemsFileError(
            f"{uri}, line 1: the header has more than {MAX_CSV_HEADER_BYTES:,} bytes;"
            f" is it CSV, with a first line that names the columns, and are its quotes closed?{opens}"
        )
    end = end or len(beginning)
    try:
        (columns,) = csv.reader([record.text.decode()], strict=True)
    except UnicodeDecodeError as error:
        raise ItemsFileError(
            f"{uri}, line {record.line}: the header is not UTF-8; save it as UTF-8"
        ) from error
    except csv.Error as error:
        quote = refused_quote(record.text, record.line)
        raise ItemsFileError(
            f"{uri}, header: {_why_refused(quote)}"
            if quote
            else f"{uri}, line {record.line}: the header cannot be read as CSV ({error});"
            f" end each line with a line feed and quote names that hold line breaks"
        ) from error
    return tuple(columns), end, 1 + beginning.count(b"\n", 0, end)


def check_columns(columns: Sequence[str], uri: str, kinds: Mapping[str, Kind]) -> None:
    """Raises `ItemsFileError` for a header that no row could be an item with, or whose names are not clear."""
    if len(columns) > MAX_COLUMNS:
        raise ItemsFileError(
            f"{uri}, header: {len(columns):,} columns; at most {MAX_COLUMNS:,}: put numbers that belong together"
            f" into one column, as [1, 2, 3]"
        )
    for number, name in enumerate(columns, 1):
        if not name.strip():
            raise ItemsFileError(f"{uri}, header: column {number} has no name; name it or remove it")
    for name, times in Counter(columns).items():
        if times > 1:
            places = ", ".join(str(number) for number, other in enumerate(columns, 1) if other == name)
            raise ItemsFileError(
                f"{uri}, header: columns {places} are all named {name!r}; rename all but one"
            )
    if "inputs" in columns and "inputs" not in kinds:
        raise ItemsFileError(
            f'{uri}, header: a column cannot be named "inputs"; make one column of each input ({_names(kinds)})'
        )
    if "uri" not in columns and not any(name in kinds for name in columns):
        raise ItemsFileError(
            f'{uri}, header: no column is named "uri" or like an input of the model ({_names(kinds)}), so no row'
            f" could be predicted; the columns are {_names(columns)}{_other_delimiter(columns)}"
        )


def _other_delimiter(columns: Sequence[str]) -> str:
    """What to say of a header that is separated by something else; `sep=;` is a line that Excel alone reads."""
    found = next((character for character in ";\t|" if any(character in name for name in columns)), None)
    if found is None:
        return ""
    line = "; remove the first line, which only Excel reads, and" if columns[0].startswith("sep=") else ";"
    return f"{line} separate columns with commas, not with {found!r}"


def _names(names: Mapping[str, Kind] | Sequence[str]) -> str:
    shown = [repr(name) for name in list(names)[:_NAMES_SHOWN]]
    return ", ".join([*shown, f"and {len(names) - len(shown)} more"] if len(names) > len(shown) else shown)


def refuse_long_row(record: Record) -> None:
    """Raises `BadRow` for a row that is too long because a quote in it is not closed, naming where it opens."""
    quote = refused_quote(record.text, record.line)
    if quote is None or quote.closed is not None:
        return
    ends_inside = record.line_ends + record.line - quote.line
    if record.is_open and record.end - record.start <= MAX_ENTRY_BYTES:
        raise BadRow(_why_refused(quote._replace(lines_inside=ends_inside)))
    if record.is_open:
        where = f"in the next {MAX_ENTRY_BYTES:,} bytes; at least {_lines(ends_inside)} inside"
    else:
        where = f"within {MAX_LINE_BYTES:,} bytes; {_lines(ends_inside)} inside"
    raise BadRow(f"{_opens(quote)} that is not closed {where}; {_REMEDY}")


_REMEDY = 'close it, or write a quote inside quotes twice ("")'


def _why_refused(quote: RefusedQuote) -> str:
    inside = f"; {_lines(quote.lines_inside)} inside" if quote.lines_inside else ""
    if quote.closed is None:
        return f"{_opens(quote)} that is never closed{inside}; {_REMEDY}"
    closes = "it closes" if quote.closed == quote.line else f"line {quote.closed} closes"
    backslash = "; a backslash does not escape it" if quote.follows_backslash else ""
    return f"{_opens(quote)} that {closes} with text after it{inside}; {_REMEDY}{backslash}"


def _opens(quote: RefusedQuote) -> str:
    return f"line {quote.line} opens a quote"


def _lines(count: int) -> str:
    return f"{count:,} lines lie" if count != 1 else "1 line lies"


def fields_of_row(
    record: Record, text: str, columns: Sequence[str], kinds: Mapping[str, Kind]
) -> dict[str, msgspec.Raw]:
    """A row, whose text is decoded, as the JSON object that a JSONL line would hold. Raises `BadRow`.

    Missing fields at the end are empty, as Step Functions has it (input-output-itemreader). An empty `id`, `uri`,
    image or number is no value; an empty text is one.
    """
    try:
        (row,) = csv.reader([text], strict=True)
    except csv.Error as error:
        quote = refused_quote(record.text, record.line)
        why = _why_refused(quote) if quote else f"the row cannot be read as CSV: {error}"
        raise BadRow(why) from error
    if len(row) > len(columns):
        spaced = "; a quote after a space does not quote, remove the space" if ', "' in text else ""
        raise BadRow(
            f"the row has {len(row)} fields and the header {len(columns)} columns;"
            f" quote fields that hold commas{spaced}"
        )
    fields = dict(zip(columns, [*row, *[""] * (len(columns) - len(row))], strict=True))
    values = {name: _raw(fields[name]) for name in _OWN if fields.get(name)}
    inputs = dict(_inputs(fields, kinds))
    if inputs:
        values["inputs"] = msgspec.Raw(_encoder.encode(inputs))
    for name, field in fields.items():
        if name not in kinds and name not in _OWN:
            values[name] = _raw(field)
    return values


def _inputs(fields: Mapping[str, str], kinds: Mapping[str, Kind]) -> Iterator[tuple[str, msgspec.Raw]]:
    for name, kind in kinds.items():
        field = fields.get(name)
        if field is None or name in _OWN:
            continue
        if kind == "number":
            field = field.strip()
        if field or kind == "text":
            yield name, (_number(field) if kind == "number" else _raw(field))


def _number(field: str) -> msgspec.Raw:
    """The field itself where it is JSON and may be a number or an array; else as text, which the model refuses."""
    text = field.encode()
    if text[:1] in _NUMBERS_BEGIN:
        try:
            _decoder.decode(text)
        except msgspec.DecodeError:
            return _raw(field)
        except RecursionError as error:
            raise TooDeep(_TOO_DEEP) from error
        if is_deeper_than(MAX_NESTING - 2, text):  # inside `inputs`, inside the item
            raise TooDeep(_TOO_DEEP)
        return msgspec.Raw(
            text.replace(b"\r", b" ").replace(b"\n", b" ")
        )  # white space; the line we write is one
    return _raw(field)


def _raw(text: str) -> msgspec.Raw:
    return msgspec.Raw(_encoder.encode(text))
