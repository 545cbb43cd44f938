"""A record of either kind → an item, value for value as it came in, or the error that names what is wrong."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwise import errors, limits
from fanwise.items.lines import LineKind, Record, split_records
from fanwise.items.nesting import is_deeper_than
from fanwise.items.parsing import Item, Kinds, parse_record
from fanwise.records import ItemsSource

KINDS: Kinds = {"photo": "image", "age": "number", "note": "text"}


def source(columns: tuple[str, ...] | None = None) -> ItemsSource:
    kind: LineKind = "jsonl" if columns is None else "csv"
    return ItemsSource(
        uri=f"s3://b/in/items.{kind}",
        kind=kind,
        size_bytes=0,
        etag="e",
        base="s3://b/in/",
        columns=columns,
        readable=("s3://b/in/", "s3://o/"),
    )


def record(text: bytes) -> Record:
    return Record(0, len(text), 8, text)


def parsed(text: str | bytes, kinds: Kinds = KINDS) -> Item:
    return parse_record(record(text.encode() if isinstance(text, str) else text), 7, source(), kinds)


def row(text: str, *columns: str, kinds: Kinds = KINDS) -> Item:
    return parse_record(record(text.encode()), 7, source(columns), kinds)


def plain(values: dict[str, msgspec.Raw]) -> dict[str, bytes]:
    return {name: bytes(raw) for name, raw in values.items()}


def test_an_item_keeps_what_came_in_byte_for_byte() -> None:
    item = parsed(
        '{"id": 12345678901234567890123, "uri": "7.png", "label": 1.10, "big": 1E400, "t": "\\u00e4\\/",'
        ' "inputs": {"age": 31.0, "other": [1,  2]}, "index": 99,'
        ' "failure": {"error": "x", "stage": "read", "attempts": 1}}'
    )
    assert (item.index, item.line, item.uri) == (7, 8, "s3://b/in/7.png")
    assert bytes(item.id or b"") == b"12345678901234567890123"
    assert bytes(item.uri_given or b"") == b'"7.png"'
    assert plain(item.inputs) == {"age": b"31.0", "other": b"[1,  2]"}
    assert plain(item.carried) == {"label": b"1.10", "big": b"1E400", "t": b'"\\u00e4\\/"'}
    assert item.resolve("8.png") == "s3://b/in/8.png"


def test_without_id_and_uri() -> None:
    item = parsed('{"inputs": {}}')
    assert (item.id, item.uri, item.uri_given, item.inputs, item.carried) == (None, None, None, {}, {})


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ('{"uri": "a", "uri": "b"}', errors.NotJson, '"uri" stands there twice; keep one'),
        ('{"uri": "a", "x": 1, "\\u0078": {"y": 2}}', errors.NotJson, '"x" stands there twice'),
        ('{"inputs": {"k": 1}, "inputs": {"k": 2}}', errors.NotJson, '"inputs" stands there twice'),
        ('{"inputs": {"k": 1}, "a:b": 2, "a:b": ":"}', errors.NotJson, '"a:b" stands there twice'),
        ('{"inputs": {"k": 1, "k": 2}}', errors.BadInputs, '"k" stands in "inputs" twice; keep one'),
        ('{"inputs": {"a:": ":", "k": ":", "a:": 2}}', errors.BadInputs, '"a:" stands in "inputs" twice'),
    ],
)
def test_a_key_that_is_there_twice_is_refused(text: str, error: type[errors.ItemError], message: str) -> None:
    with pytest.raises(error, match=message):
        parsed(text)


pairs = st.lists(
    st.tuples(st.sampled_from(["a", "a:", ":", "inputs", "failure", "index", "b"]), st.sampled_from("12345")),
    max_size=5,
)


@given(pairs, pairs, st.booleans())
def test_keys_are_there_twice_or_they_are_not(
    given_pairs: list[tuple[str, str]], input_pairs: list[tuple[str, str]], is_letter: bool
) -> None:
    """Values with colons, keys with colons, objects inside: what is refused is what has a key twice."""

    def spelled(pairs: list[tuple[str, str]]) -> str:
        values = {
            "1": '":"',
            "2": '{"a": {"a": ":"}, "b:": 2}',
            "3": "3",
            "4": '["a:", {"c":1}]',
            "5": '"\\":"',
        }
        return "".join(f', "{key}" : {values[value]}' for key, value in pairs)

    failure = f', "failure": {OUR_FAILURE}' if is_letter else ""
    text = f'{{"uri": "s3://o/a", "inputs": {{"x":1{spelled(input_pairs)}}}{spelled(given_pairs)}{failure}}}'
    outer = ["inputs", *(key for key, _ in given_pairs), *(["failure"] if is_letter else [])]
    inner = [key for key, _ in input_pairs]
    try:
        item = parsed(text)
    except errors.NotJson:
        assert len(set(outer)) < len(outer)
    except errors.BadInputs:
        assert len(set(inner)) < len(inner) or outer.count("inputs") > 1
    else:
        assert len(set(outer)) == len(outer)
        assert len(set(inner)) == len(inner)
        assert set(inner) <= item.inputs.keys()


@pytest.mark.parametrize(
    ("value", "absolute"),
    [
        ('"x.png"', '"s3://b/in/x.png"'),
        ('"c/\\u0078.png"', '"s3://b/in/c/x.png"'),
        ('"s3://o/x"', '"s3://o/x"'),
        ('"data:image/png;base64,AA=="', '"data:image/png;base64,AA=="'),
        ("3", "3"),
    ],
)
def test_images_among_the_inputs_are_made_absolute(value: str, absolute: str) -> None:
    item = parsed(f'{{"inputs": {{"photo": {value}, "note": "x.png"}}}}')
    assert plain(item.inputs) == {"photo": absolute.encode(), "note": b'"x.png"'}


def test_a_carriage_return_between_values_does_not_reach_the_lines_we_write() -> None:
    assert plain(parsed('{"uri": "a",\r "v": [1,\r2]}\r').carried) == {"v": b"[1, 2]"}


PNG = "iVBORw0KGgoAAAANSUhEUgAAAAQAAAAECAIAAAAmkwkpAAAAP0lEQVR4nAE0AMv/AajluAMJ82ngSoX+EAJ9UB0j0gLyqkrHIH4EUc+C0"


@pytest.mark.parametrize(
    ("given_uri", "kind"),
    [
        (PNG, "png"),
        (f" {PNG}\n{PNG[:76]}\n", "png"),
        (PNG.replace("+", "-").replace("/", "_"), "png"),
        ("/9j/" + PNG[20:], "jpeg"),
        ("R0lGODlhAQABAIAAAP///////yH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==", "gif"),
        ("UklGRiQAAABXRUJQVlA4" + PNG[20:], "webp"),
        ("AAAAHGZ0eXBhdmlm" + PNG[20:], "…"),
        (PNG[20:] * 20, "…"),
        ("image/png;base64," + PNG, "…"),
    ],
)
def test_base64_without_data_is_named_and_not_repeated(given_uri: str, kind: str) -> None:
    for item in ({"uri": given_uri}, {"inputs": {"photo": given_uri}}):
        with pytest.raises(errors.BadUri, match=f"write data:image/{kind};base64,…") as refused:
            parsed(json.dumps(item))
        assert PNG[30:60] not in str(refused.value)


@pytest.mark.parametrize("name", ["a" * 200, "scans/2026/10/" + "b" * 40, "UklGRa.png", "R0lGOD", "x" * 31])
def test_names_that_only_look_like_base64_are_names(name: str) -> None:
    assert parsed(json.dumps({"uri": name})).uri == f"s3://b/in/{name}"


@pytest.mark.parametrize("value", ['"a"', '""', "0", "-7", "18446744073709551616", '"\\ud83d\\ude00"'])
def test_ids(value: str) -> None:
    assert bytes(parsed(f'{{"id": {value}, "uri": "a"}}').id or b"") == value.encode()


@pytest.mark.parametrize("value", ["true", "null", "1.0", "1e3", "[1]", '{"a": 1}'])
def test_what_is_no_id(value: str) -> None:
    with pytest.raises(errors.BadId, match=r'"id" is .*; text or a whole number, or leave it out'):
        parsed(f'{{"id": {value}, "uri": "a"}}')


DEEPEST = b'{"inputs": ' + b"[" * 63 + b"]" * 63 + b"}"


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (b'{"uri": "\xff"}', errors.NotUtf8, "not UTF-8 at its byte 9; save the file as UTF-8"),
        (b'{"\xc3": 1}', errors.NotUtf8, "not UTF-8"),
        (b'{"uri": "a"', errors.NotJson, "the line is not JSON"),
        (b'{"uri": "a",}', errors.NotJson, "trailing comma"),
        (b'{"uri": "a"} {"uri": "b"}', errors.NotJson, "trailing characters .*; one object is one line"),
        (
            b'{"uri": "a", "v": NaN}',
            errors.NotJson,
            "invalid character .*; NaN is not JSON; write a number, or",
        ),
        (b'{"v": [-Infinity]}', errors.NotJson, "; -Infinity is not JSON; write a number, or null"),
        (
            b'{"s": "x", "big": 1, "t": "\\ud83d"}',
            errors.NotJson,
            r'a lone surrogate, \\ud83d in "t"; write both',
        ),
        (b'{"s": {"deep": ["\\udc00 x"]}}', errors.NotJson, r'a lone surrogate, \\udc00 in "deep"; write'),
        (b'{"\\ud83d": 1}', errors.NotJson, r"a lone surrogate, \\ud83d in a key; write"),
        (b'{"uri": "a", "v": {"w": 01}}', errors.NotJson, "invalid number"),
        (b'{"uri": "a", "v": "\\ud800"}', errors.NotJson, "not JSON"),
        (
            '{"uri": "äää"},'.encode(),
            errors.NotJson,
            "trailing characters .*; lines have no comma between them",
        ),
        (b"{'uri': 'a'}", errors.NotJson, "not JSON: .*; JSON has double quotes"),
        (b'\xef\xbb\xbf{"uri": "a"}', errors.NotJson, "not JSON"),
        (b"[1", errors.NotJson, "not JSON"),
        (b"[1]", errors.NotAnObject, "the line is JSON, but no object .*array"),
        (b'"a"', errors.NotAnObject, "no object"),
        (b"null", errors.NotAnObject, "no object"),
        (DEEPEST.replace(b"[]", b"[{}]"), errors.TooDeep, "nested deeper than 64; flatten it"),
        (b'{"v": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", errors.TooDeep, "nested deeper than 64"),
        (b'{"v": ' + b"[" * 100_000, errors.TooDeep, "nested deeper than 64"),
        (b"[" * 100_000, errors.TooDeep, "nested deeper than 64"),
        (b"[" * 100_000 + b"]" * 100_000, errors.TooDeep, "nested deeper than 64"),
        (b'{"label": 3}', errors.BadInputs, 'neither "uri" nor "inputs"'),
        (b'{"inputs": [1, 2]}', errors.BadInputs, r'"inputs" is \[1, 2\]; an object of values'),
        (b'{"inputs": null}', errors.BadInputs, '"inputs" is null'),
        (b'{"uri": 7}', errors.BadUri, '"uri" is 7; text, or leave it out'),
        (b'{"uri": "data:,x"}', errors.BadUri, 'put it under "inputs"'),
        (b'{"uri": "file:///x"}', errors.BadUri, "neither s3:// nor relative"),
        (b'{"inputs": {"photo": "../x"}}', errors.BadUri, "an empty, '.' or '..' part"),
        (
            b'{"uri": "s3://b/x"}',
            errors.BadUri,
            r"s3://b/x is outside .* \(s3://b/in/, s3://o/\)",
        ),
        (
            b'{"inputs": {"photo": "s3://models/x"}}',
            errors.BadUri,
            "or allow its prefix: FurtherItems",
        ),
    ],
)
def test_what_is_no_item(text: bytes, error: type[errors.ItemError], message: str) -> None:
    with pytest.raises(error, match=message):
        parsed(text)


def test_the_deepest_allowed() -> None:
    with pytest.raises(errors.BadInputs):  # read, and then found to be no object
        parsed(DEEPEST)


def test_a_line_that_is_too_long() -> None:
    data = b'{"uri": "' + b"x" * limits.MAX_LINE_BYTES + b'"}\n'
    (long,) = split_records(data, "jsonl", start=10, first_line=3)
    with pytest.raises(
        errors.LineTooLong, match=r"8,388,619 bytes \(10 to 8388629 of .*\); at most 8,388,608"
    ):
        parse_record(long, 0, source(), KINDS)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=25,
)


@given(
    st.dictionaries(
        st.sampled_from(["index", "failure", "item", "raw"])
        | st.text().filter(lambda name: name not in ("id", "inputs")),
        json_values,
    )
)
def test_whatever_is_carried_comes_back(carried: dict[str, object]) -> None:
    carried.pop("uri", None)
    item = parsed(json.dumps(carried | {"uri": "a"}))
    assert {name: json.loads(bytes(raw)) for name, raw in item.carried.items()} == carried


def depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


@given(json_values, st.integers(0, 5))
def test_nesting_is_counted_without_decoding(value: object, levels: int) -> None:
    assert is_deeper_than(levels, json.dumps(value).encode()) == (depth(value) > levels)


def test_brackets_in_text_do_not_nest() -> None:
    assert not is_deeper_than(1, json.dumps({"a": '[[["\\{{'}).encode())


def test_a_row() -> None:
    item = row('r-1,3.5,"a ""b""\nc",left', "id", "age", "note", "side")
    assert bytes(item.id or b"") == b'"r-1"'
    assert plain(item.inputs) == {"age": b"3.5", "note": b'"a \\"b\\"\\nc"'}
    assert plain(item.carried) == {"side": b'"left"'}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("31", b"31"),
        (" -1.5e3 ", b"-1.5e3"),
        ('"[1, [2, 3]]"', b"[1, [2, 3]]"),
        ('"[1,\n2]"', b"[1, 2]"),
        ("true", b"true"),
        ("thirty", b'"thirty"'),
        ("1.", b'"1."'),
        ("+1", b'"+1"'),
        ("1 2", b'"1 2"'),
        ("NaN", b'"NaN"'),
        ('"{""a"": 1}"', b'"{\\"a\\": 1}"'),
    ],
)
def test_a_number_of_a_row(field: str, value: bytes) -> None:
    assert plain(row(f"{field},x", "age", "uri").inputs) == {"age": value}


def test_empty_fields() -> None:
    item = row(",,,,,", "id", "uri", "photo", "age", "note", "side")
    assert (item.id, item.uri, plain(item.inputs), plain(item.carried)) == (
        None,
        None,
        {"note": b'""'},
        {"side": b'""'},
    )


def test_a_short_row_is_padded_and_no_column_is_left_out() -> None:
    item = row("x.png,5,broke", "uri", "index", "failure", "raw", "item", "side")
    assert item.uri == "s3://b/in/x.png"
    assert plain(item.carried) == {
        "index": b'"5"',
        "failure": b'"broke"',
        "raw": b'""',
        "item": b'""',
        "side": b'""',
    }


OUR_FAILURE = '{"error": "x", "message": "m", "stage": "read", "attempts": 1, "line": 2}'


@pytest.mark.parametrize(
    ("keys", "carried"),
    [
        ('"index": 500', {"index": b"500"}),
        ('"failure": "engine broke", "index": 1', {"failure": b'"engine broke"', "index": b"1"}),
        ('"failure": {"error": "x"}', {"failure": b'{"error": "x"}'}),
        ('"failure": {"error": "x", "stage": "s", "attempts": "1"}, "index": 1', None),
        ('"failure": null', {"failure": b"null"}),
        ('"item": {"index": 3}', {"item": b'{"index": 3}'}),
        ('"raw": "r", "raw_encoding": 2', {"raw": b'"r"', "raw_encoding": b"2"}),
        (f'"index": 3, "failure": {OUR_FAILURE}', {}),
        (f'"failure": {OUR_FAILURE}, "item": {{"index": 5}}', {"index": b"5"}),
        (
            f'"index": 3, "failure": {OUR_FAILURE}, "item": {{"failure": 1, "item": 2}}',
            {"failure": b"1", "item": b"2"},
        ),
        (f'"failure": {OUR_FAILURE}, "item": {{"sku": 5}}', {"item": b'{"sku": 5}'}),
        (f'"failure": {OUR_FAILURE}, "item": 7, "raw": 1', {"item": b"7", "raw": b"1"}),
    ],
)
def test_keys_that_a_dead_letter_has_too_are_ours_only_where_failure_is(
    keys: str, carried: dict[str, bytes] | None
) -> None:
    item = parsed(f'{{"uri": "a", {keys}}}')
    if carried is None:
        assert item.carried.keys() == {"failure", "index"}
    else:
        assert plain(item.carried) == carried


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f'{{"index": 3, "id": 3, "raw": "x", "failure": {OUR_FAILURE}}}', "a line that could not be read"),
        ('{"id": 3, "raw": "x"}', "nothing to predict from"),
        (f'{{"id": 3, "raw": "x", "y": 1, "failure": {OUR_FAILURE}}}', "nothing to predict from"),
    ],
)
def test_raw_is_a_line_that_could_not_be_read_only_in_a_dead_letter(text: str, message: str) -> None:
    with pytest.raises(errors.BadInputs, match=message):
        parsed(text)


@pytest.mark.parametrize("where", ["the item", '"inputs"'])
def test_an_item_has_at_most_so_many_keys(where: str) -> None:
    def line(keys: int) -> str:
        values = {f"k{n}": n for n in range(keys)}
        return json.dumps({"uri": "x"} | (values if where == "the item" else {"inputs": values}))

    item = parsed(line(limits.MAX_COLUMNS))
    assert len(item.carried) + len(item.inputs) == limits.MAX_COLUMNS
    with pytest.raises(errors.TooManyKeys, match=f"{where} has 2,001 keys; at most 2,000: put what belongs"):
        parsed(line(limits.MAX_COLUMNS + 1))


def test_an_image_of_a_row_is_made_absolute() -> None:
    assert plain(row("x.png", "photo").inputs) == {"photo": b'"s3://b/in/x.png"'}


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("a,b,c", errors.BadRow, "the row has 3 fields and the header 2 columns"),
        ("a\rb,c", errors.BadRow, "cannot be read as CSV: new-line character"),
        (",3", errors.BadInputs, "neither"),
        ("../x", errors.BadUri, "an empty"),
    ],
)
def test_rows_that_are_no_items(text: str, error: type[errors.ItemError], message: str) -> None:
    with pytest.raises(error, match=message):
        row(text, "uri", "side")


@pytest.mark.parametrize("levels", [63, 100_000])
def test_an_array_nested_too_deep_in_a_row(levels: int) -> None:
    with pytest.raises(errors.TooDeep, match="an array nested deeper than 62"):
        row("[" * levels + "]" * levels, "age")
    assert row("[" * 62 + "]" * 62, "age").inputs["age"]


def test_a_field_longer_than_the_csv_modules_default_is_read() -> None:
    assert len(row("x" * 200_000, "note").inputs["note"]) == 200_002
