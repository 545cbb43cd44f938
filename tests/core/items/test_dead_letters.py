"""The lines that are left behind, byte for byte, and that they are items again."""

import base64
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwise import limits
from fanwise.errors import ItemError
from fanwise.items.dead_letters import dead_letter_of_item, dead_letter_of_record, prediction_lines
from fanwise.items.lines import Record, split_records
from fanwise.items.parsing import Item, Kinds, parse_record
from fanwise.records import Failure, ItemsSource

KINDS: Kinds = {"photo": "image", "age": "number"}
SOURCE = ItemsSource(
    uri="s3://b/in/items.jsonl", kind="jsonl", size_bytes=0, etag="e", base="s3://b/in/", readable=("s3://",)
)
ELSEWHERE = msgspec.structs.replace(SOURCE, uri="s3://r/failures.jsonl", base="s3://r/")
FAILURE = Failure(error="NotFound", message="no such object", stage="fetch", attempts=1, line=8)
FAILURE_JSON = b'{"error":"NotFound","message":"no such object","stage":"fetch","attempts":1,"line":8}'


def record(text: bytes) -> Record:
    return Record(0, len(text), 8, text)


def item(text: bytes, source: ItemsSource = SOURCE) -> Item:
    return parse_record(record(text), 7, source, KINDS)


def dead_letter(text: bytes, source: ItemsSource = SOURCE) -> bytes:
    return dead_letter_of_record(record(text), 7, source, KINDS, FAILURE)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            b'{"label": 1.10, "uri": "7.png", "id": "scan-7", "inputs": {"age": 3}}',
            b'{"index":7,"id":"scan-7","prediction":{"y":[0.5]},"item":{"uri":"7.png","label":1.10}}\n',
        ),
        (b'{"inputs": {"age": 3}}', b'{"index":7,"id":7,"prediction":{"y":[0.5]}}\n'),
        (b'{"inputs": {}, "a": null}', b'{"index":7,"id":7,"prediction":{"y":[0.5]},"item":{"a":null}}\n'),
    ],
)
def test_a_prediction(text: bytes, line: bytes) -> None:
    assert prediction_lines([(item(text), {"y": [0.5]})] * 2) == line * 2


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            b'{"label": 1.10, "uri": "7.png", "id": 12345678901234567890, "inputs": {"age": 3}}',
            b'{"index":7,"id":12345678901234567890,"uri":"s3://b/in/7.png","inputs":{"age":3},"label":1.10,"failure":',
        ),
        (b'{"uri": "a"}', b'{"index":7,"id":7,"uri":"s3://b/in/a","failure":'),
        (b'{"inputs": {}}', b'{"index":7,"id":7,"inputs":{},"failure":'),
        (
            b'{"inputs":{}, "index": 500, "failure":"engine broke","item":{"a":1},"raw":"r"}',
            b'{"index":7,"id":7,"inputs":{},"raw":"r",'
            b'"item":{"index":500,"failure":"engine broke","item":{"a":1}},"failure":',
        ),
        (b'{"inputs":{"photo":"p"}}', b'{"index":7,"id":7,"inputs":{"photo":"s3://b/in/p"},"failure":'),
    ],
)
def test_a_dead_letter_of_an_item(text: bytes, line: bytes) -> None:
    assert dead_letter_of_item(item(text), FAILURE) == line + FAILURE_JSON + b"}\n"
    assert dead_letter(text) == line + FAILURE_JSON + b"}\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b'{"id": 1.0, "uri": "a", "x": 2}', b'{"index":7,"id":1.0,"uri":"s3://b/in/a","x":2,"failure":'),
        (b'{"uri": "data:,x"}', b'{"index":7,"id":7,"uri":"data:,x","failure":'),
        (b'{"uri": "../a"}', b'{"index":7,"id":7,"uri":"../a","failure":'),
        (b'{"uri": 3, "inputs": [1]}', b'{"index":7,"id":7,"uri":3,"inputs":[1],"failure":'),
        (b'{"id": 4}', b'{"index":7,"id":4,"failure":'),
        (b"[1]", b'{"index":7,"id":7,"raw":"[1]","failure":'),
        ('{"ä"'.encode(), '{"index":7,"id":7,"raw":"{\\"ä\\"","failure":'.encode()),
        (b"\xff\x00", b'{"index":7,"id":7,"raw":"/wA=","raw_encoding":"base64","failure":'),
    ],
)
def test_a_dead_letter_of_what_is_no_item_keeps_what_came_in(text: bytes, line: bytes) -> None:
    assert dead_letter(text) == line + FAILURE_JSON + b"}\n"


def test_a_row_becomes_a_json_item() -> None:
    source = msgspec.structs.replace(SOURCE, kind="csv", columns=("id", "photo", "age", "side"))
    assert dead_letter(b'r1,p.png,"[1,\n2]",l', source) == (
        b'{"index":7,"id":"r1","inputs":{"photo":"s3://b/in/p.png","age":[1, 2]},"side":"l","failure":'
        + FAILURE_JSON
        + b"}\n"
    )
    assert b'"raw":"a,b,c,d,\\"e\\n\\""' in dead_letter(b'a,b,c,d,"e\n"', source)


@pytest.mark.parametrize("character", ["x", "ä", "日", "😀"])
@pytest.mark.parametrize("shift", range(4))
def test_of_a_line_that_is_too_long_whole_characters_are_kept(character: str, shift: int) -> None:
    text = b"y" * shift + character.encode() * (limits.MAX_LINE_BYTES // len(character.encode()) + 1)
    (long,) = split_records(text + b"\n", "jsonl", start=0, first_line=8)
    raw = json.loads(dead_letter_of_record(long, 7, SOURCE, KINDS, FAILURE))["raw"]
    assert limits.RAW_KEPT_BYTES - 4 < len(raw.encode()) <= limits.RAW_KEPT_BYTES
    assert text.decode().startswith(raw)


def test_a_long_line_that_is_no_text_is_kept_in_base64() -> None:
    raw = json.loads(dead_letter(b"\xff" * 100_000))
    assert base64.b64decode(raw["raw"]).startswith(b"\xff" * (limits.RAW_KEPT_BYTES - 4))


values = st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=5)
items = st.fixed_dictionaries(
    {"uri": st.sampled_from(["a.png", "c/b", "s3://o/c"])},
    optional={
        "id": st.text() | st.integers(),
        "inputs": st.dictionaries(st.sampled_from(["age", "note"]), values),
        "label": values,
    }
    # what a dead letter has itself, what a prediction has, and what a line that could not be read has
    | dict.fromkeys(("index", "failure", "item", "raw", "raw_encoding", "prediction", "line"), values),
)
ours = st.fixed_dictionaries({"error": st.text(), "stage": st.text(), "attempts": st.integers(1, 9)})


@given(items)
def test_a_dead_letter_is_an_item_again_wherever_it_lies(given_item: dict[str, object]) -> None:
    first = item(json.dumps(given_item).encode())
    again = item(dead_letter_of_item(first, FAILURE), ELSEWHERE)
    assert again.uri == first.uri
    assert (again.inputs, again.carried) == (first.inputs, first.carried)
    assert json.loads(bytes(again.id or b"")) == given_item.get("id", 7)
    assert dead_letter_of_item(again, FAILURE) == dead_letter_of_item(first, FAILURE)


@given(items, ours)
def test_a_replay_has_the_same_items_without_their_failures(
    given_item: dict[str, object], failure: dict[str, object]
) -> None:
    first = item(json.dumps(given_item).encode())
    letter = json.loads(dead_letter_of_item(first, FAILURE))
    assert letter.pop("failure") == json.loads(FAILURE_JSON)
    replay = msgspec.structs.replace(SOURCE, uri="s3://r/jobs/j/items.jsonl")
    again = item(json.dumps(letter | {"index": 90}, ensure_ascii=False).encode(), replay)
    assert {name: json.loads(bytes(raw)) for name, raw in again.carried.items()} == {
        name: value for name, value in given_item.items() if name not in ("id", "uri", "inputs")
    }
    # what looks like ours is taken for ours, so that a failures file is an items file
    marked = item(json.dumps(given_item | {"failure": failure}).encode())
    assert "failure" not in marked.carried


@given(st.binary(max_size=40))
def test_whatever_comes_in_there_is_one_line_for_it(text: bytes) -> None:
    try:
        line = dead_letter_of_item(item(text), FAILURE)
    except ItemError:
        line = dead_letter(text)
    assert line.count(b"\n") == 1
    assert b"\r" not in line
    assert json.loads(line)["failure"]["line"] == 8
