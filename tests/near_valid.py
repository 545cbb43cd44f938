"""Strategies for what people nearly get right: items files, manifests, contracts and digests, valid and broken.

Structure-aware: most of what comes out is well formed but for one thing or two, so that it gets past the first
check. Everything is bytes as they would lie in a file.
"""

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

# Pieces of JSON, right and wrong, that stand where a value may.
NUMBERS = [
    "0",
    "-0",
    "1.10",
    "1e5",
    "1E400",
    "-1e-400",
    "9" * 400,
    "-9223372036854775809",
    "1e",
    "01",
    "+1",
    ".5",
]
CONSTANTS = ["true", "false", "null", "NaN", "-Infinity", "nul", "undefined"]
TEXTS = [
    '""',
    '"a"',
    '"ünï\\u2028"',
    '"\\ud83d\\ude00"',
    '"\\ud800"',
    '"\\udc00\\ud800"',
    '"\\u0000"',
    '"\\/\\b\\n"',
    '"\\x"',
    '"\\u12"',
    '"',
    "'a'",
    '"a\tb"',
]
URIS = [
    '"a/b"',
    '"../x"',
    '"a/../../../x"',
    '"s3://input/a"',
    '"s3://input/../models/a"',
    '"s3://input//a"',
    '"s3://"',
    '"s3:/a"',
    '"S3://input/a"',
    '"s3://nowhere/a"',
    '"file:///etc/passwd"',
    '"http://169.254.169.254/latest"',
    '"/etc/passwd"',
    '"%2e%2e/x"',
    '"data:image/png;base64,iVBORw0KGgo="',
    '"data:,"',
    '"data:image/png;base64,%%%"',
    '"\\u0000"',
    '"."',
    '"a/"',
    '"\\ud800"',
    '"' + "a/" * 700 + 'b"',
]
NESTED = [
    "[1,2]",
    "[[1],[2]]",
    "[[1],[2,3]]",
    "[]",
    "{}",
    '{"a":{"b":[1]}}',
    "[1,]",
    "[1",
    "{1:2}",
    '{"a":1,"a":2}',
    "[" * 40 + "]" * 40,
    "[" * 70 + "]" * 70,
    '{"a":' * 70 + "1" + "}" * 70,
    "[" * 3000,
    "[" * 3000 + "]" * 3000,
    '{"a":' * 3000,
]
LIKE_OURS = ['{"error":"x","stage":"read","attempts":1}', '{"index":1,"item":{}}', '{"failure":null}']
VALUES = [*NUMBERS, *CONSTANTS, *TEXTS, *URIS, *NESTED, *LIKE_OURS]
KEYS = [
    "id",
    "uri",
    "inputs",
    "index",
    "failure",
    "raw",
    "item",
    "note",
    "x",
    "flag",
    "text",
    "table",
    "photo",
    "",
    "\\u0000",
]

LINE_ENDS = [
    b"\n",
    b"\n",
    b"\n",
    b"\r\n",
    b"\n\n",
    b"\r",
    b"\n \t\n",
    b"\x0b\n",
    b"\xe2\x80\xa8",
    b"\x00\n",
    b"",
]
BYTES = [
    b"",
    b"\x00",
    b"\xff",
    b"\xc3",
    b"\xed\xa0\x80",
    b'"',
    b'""',
    b"\\",
    b"\r",
    b"\n",
    b"{",
    b"}",
    b"]",
    b",",
    b":",
]
BOMS = [b"", b"", b"", b"\xef\xbb\xbf", b"\xef\xbb", b"\xff\xfe", b"\xef\xbb\xbf\xef\xbb\xbf"]

values = st.sampled_from(VALUES)
good_inputs = st.sampled_from(
    [
        '{"x":1,"flag":true,"text":"a","table":[[1,2]]}',
        '{"x":-1.5e3,"flag":0,"text":"ü","table":[]}',
        '{"x":1,"flag":true,"text":"a"}',
        '{"x":1e39,"flag":1,"text":"a","table":[[300]]}',
        '{"x":"NaN","flag":1,"text":"a","table":[[1],[1,2]]}',
        '{"photo":"data:image/png;base64,iVBORw0KGgo="}',
        '{"photo":"a/b"}',
    ]
)
members = st.tuples(st.sampled_from(KEYS), values).map(lambda pair: f'"{pair[0]}":{pair[1]}')
inputs = good_inputs | st.lists(members, max_size=4).map(lambda found: "{" + ",".join(found) + "}") | values


def _object(parts: tuple[str, list[str], str]) -> bytes:
    given, others, opening = parts
    return (opening + ",".join([f'"inputs":{given}', *others]) + "}").encode("utf-8", "surrogatepass")


GOOD_LINES = [
    b'{"id":"a","inputs":{"x":1,"flag":true,"text":"a","table":[[1,2]]},"note":1.10}',
    b'{"id":2,"inputs":{"x":-1.5e3,"flag":0,"text":"","table":[[-128],[127]]}}',
    b'{ "inputs" : {"table":[[]], "text":"\\u2028\\n", "flag":false, "x":0.1} , "index" : 7 }',
    b'{"uri":"a/b","inputs":{"x":1,"flag":true,"text":"a","table":[[1,2]]},"note":{"a":[null]}}',
    b'{"id":"p","uri":"a/b"}',
]
lines_of_items = st.one_of(
    st.sampled_from(GOOD_LINES),
    st.sampled_from(GOOD_LINES),
    st.sampled_from(GOOD_LINES),
    st.tuples(good_inputs, st.lists(members, max_size=2), st.just("{")).map(_object),
    st.tuples(inputs, st.lists(members, max_size=4), st.sampled_from(["{", "{ ", "\t{", "{{", "", "[{"])).map(
        _object
    ),
    values.map(str.encode),
)

# One small thing that is wrong with a whole file.
Damage = tuple[int, int, bytes]
damages = st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 3), st.sampled_from(BYTES)), max_size=2)


def damaged(data: bytes, wrong: Sequence[Damage]) -> bytes:
    """Data with some bytes replaced: `(where, how many go, what comes)` each."""
    for where, go, come in wrong:
        at = where % (len(data) + 1)
        data = data[:at] + come + data[at + go :]
    return data


def _file(parts: tuple[bytes, list[tuple[bytes, bytes]], list[Damage]]) -> bytes:
    bom, lines, wrong = parts
    return damaged(bom + b"".join(line + end for line, end in lines), wrong)


jsonl_files = st.tuples(
    st.sampled_from(BOMS),
    st.lists(st.tuples(lines_of_items, st.sampled_from(LINE_ENDS)), max_size=12),
    damages,
).map(_file)

FIELDS = [
    b"",
    b"1",
    b"-1.5",
    b"1e400",
    b"NaN",
    b"true",
    b"a",
    b'"a, b"',
    b'"a ""b"""',
    b'"two\nlines"',
    b'"two\r\nlines"',
    b'"',
    b'"open',
    b'a"b',
    b'"a"b',
    b"[[1,2],[3,4]]",
    b'"[[1,2],[3,4]]"',
    b"[" * 70,
    b"[" * 3000,
    b"\xff",
    b"\x00",
    b"a\rb",
    "ü".encode(),
    b"s3://input/a",
    b"../../x",
    b"x" * 500,
    b"9" * 400,
]
HEADERS = [
    b"id,x,flag,text,table,note",
    b"x,flag,text,table",
    b"uri,photo",
    b"id,uri,note",
    b'"x","flag",text,table\r',
    b"x",
    b"",
    b"x,x",
    b"x,,flag",
    b"inputs,x",
    b"index,failure,x",
    b'x,"open',
    b"x,\xff",
    b"\xef\xbb\xbfx,flag",
    b"x\r,flag",
    b"a" * 11_000,
]
GOOD_ROWS = [
    b'a,1,true,hi,"[[1,2]]",n',
    b'2,-1.5e3,0,,"[[-128],\n[127]]","a ""note"""',
    b'c,0.1,false,"a\nb",[[]]',
]
rows = st.one_of(st.sampled_from(GOOD_ROWS), st.lists(st.sampled_from(FIELDS), max_size=7).map(b",".join))
csv_files = st.tuples(
    st.sampled_from([b"", b"", b"\xef\xbb\xbf", b"\n", b"\r\n"]),
    st.tuples(
        st.one_of(st.just(HEADERS[0]), st.sampled_from(HEADERS[:4]), st.sampled_from(HEADERS)),
        st.lists(st.tuples(rows, st.sampled_from(LINE_ENDS)), max_size=10),
    ).map(lambda file: [(file[0], b"\n"), *file[1]]),
    damages,
).map(_file)

# Values that JSON may hold where another kind is wanted.
anything: st.SearchStrategy[Any] = st.sampled_from(
    [
        None,
        True,
        False,
        0,
        1,
        -1,
        3,
        2**63,
        2**70,
        1e308,
        0.5,
        "",
        " ",
        "a",
        "auto",
        "\x00",
        "é" * 300,
        [],
        [1],
        {},
        *["s3://input/a.jsonl", "../a", "s3://", "file:///a", {"a": {"b": []}}, [None], "tensorflow", [[[]]]],
    ]
)


def _json(value: Any, wrong: Sequence[Damage], bom: bytes) -> bytes:
    return damaged(bom + json.dumps(value, ensure_ascii=False).encode(), wrong)


def files_of(documents: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    """Documents as files, a quarter of them broken in a byte or two; a few are no document at all."""
    broken: st.SearchStrategy[list[Damage]] = st.one_of(st.just([]), st.just([]), damages)
    whole = st.builds(_json, documents, st.just([]), st.just(b""))
    wrong = st.one_of(
        st.builds(_json, documents, broken, st.sampled_from(BOMS)),
        values.map(lambda text: text.encode("utf-8", "surrogatepass")),
    )
    return st.booleans().flatmap(lambda is_whole: whole if is_whole else wrong)


def mostly(right: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The right value nine times in ten, else anything."""
    return st.integers(0, 9).flatmap(lambda n: right if n else anything)


def _with(pair: tuple[dict[str, Any], dict[str, Any]]) -> dict[str, Any]:
    return pair[0] | pair[1]


def objects(
    required: dict[str, st.SearchStrategy[Any]], optional: dict[str, st.SearchStrategy[Any]]
) -> st.SearchStrategy[Any]:
    """An object of these keys; now and then without one, or with one that nobody knows."""
    right = st.fixed_dictionaries(required, optional=optional)
    some = st.fixed_dictionaries({}, optional=required | optional)
    more = st.dictionaries(
        st.sampled_from(["batchsize", "", "é", "items", "kind", "x", "$ref"]), anything, max_size=1
    )
    wrong = st.one_of(some, st.tuples(right, more).map(_with), anything)
    return st.integers(0, 6).flatmap(lambda n: right if n else wrong)


manifests = objects(
    {
        "items": mostly(
            st.sampled_from(["items.jsonl", "s3://input/items.jsonl", "folder/", "a/../items.csv"])
        ),
        "model": mostly(st.sampled_from(["values@1", "values", "values@2", "@", "../x@1"])),
    },
    {
        "name": mostly(st.sampled_from(["nightly", None])),
        "batch_size": mostly(st.sampled_from([1, 100_000, "auto"])),
        "max_concurrency": mostly(st.sampled_from([1, 10_000, 10_001])),
        "tolerated_failure_percentage": mostly(st.sampled_from([0, 99.9, 100, 100.1])),
        "runtime": mostly(st.sampled_from(["auto", "tensorflow", "litert"])),
    },
)

_job_ids = st.sampled_from(["items-0123456789abcdef", "../x", "", "A", "a" * 101, "a/b"])
_model_and_sizes = {
    "model": mostly(st.sampled_from(["values@1", "x", None])),
    "batch_size": mostly(st.sampled_from([1, None, 0])),
    "max_concurrency": mostly(st.sampled_from([1, None, 10_001])),
}
_ended = objects(
    {
        "executionArn": mostly(st.just("arn:aws:states:us-east-1:123456789012:execution:m:x")),
        "status": mostly(st.sampled_from(["FAILED", "ABORTED"])),
        "startDate": mostly(st.just(1_700_000_000_000)),
    },
    {"error": mostly(st.none()), "cause": mostly(st.just("x")), "input": anything},
)
starts = st.one_of(
    objects({"resume": mostly(_job_ids)}, _model_and_sizes),
    objects({"replay": mostly(_job_ids)}, _model_and_sizes),
    objects({"detail-type": st.just("Step Functions Execution Status Change"), "detail": mostly(_ended)}, {}),
    objects(
        {"manifest": mostly(manifests)},
        {
            "run": mostly(st.just("again")),
            "scheduled_time": mostly(st.just("2026-01-01T00:00:00Z")),
            "resume": mostly(st.booleans()),
        },
    ),
)

DTYPES = ["float32", "int8", "uint8", "bool", "string", "bfloat16", "complex64", "", "float16"]
shapes = st.sampled_from(
    [None, [None], [None, 2], [None, None], [8, 28, 28, 1], [], [0], [-1], [None, 2**40], "x", 3]
)
tensors = objects({"dtype": mostly(st.sampled_from(DTYPES)), "shape": mostly(shapes)}, {})
names = st.sampled_from(["x", "y", "photo", "table", "", "é", "a/b"])
GOOD_SIGNATURE = {
    "inputs": {
        "photo": {"dtype": "uint8", "shape": [None, 28, 28, 1]},
        "x": {"dtype": "float32", "shape": [None, 2]},
        "text": {"dtype": "string", "shape": [None]},
    },
    "outputs": {"y": {"dtype": "float32", "shape": [None, 2]}, "z": {"dtype": "int8", "shape": None}},
}
signatures = st.one_of(
    st.just(GOOD_SIGNATURE),
    objects(
        {
            "inputs": mostly(st.dictionaries(names, tensors, max_size=3)),
            "outputs": mostly(st.dictionaries(names, tensors, min_size=1, max_size=2)),
        },
        {},
    ),
)

_sides = mostly(st.just(28) | st.sampled_from([1, 8192, 8193, 0]))
_from = {"from": mostly(st.sampled_from(["photo", "x"]))}
_images = objects(
    {"kind": st.just("image"), "height": _sides, "width": _sides, "channels": mostly(st.just(1))},
    _from
    | {
        "resize": mostly(st.sampled_from(["nearest", "lanczos", "cubic"])),
        "scale": mostly(st.sampled_from([[0, 1], [-1, 1.5], [0], [1, 2, 3], ["a", 1]])),
        "decode": mostly(st.sampled_from(["exact", "scaled"])),
    },
)
_numbers = objects(
    {"kind": st.just("number")}, {"columns": mostly(st.sampled_from([["a", "b"], ["a"], [], ["a", "a"]]))}
)
_texts = objects({"kind": mostly(st.just("text"))}, _from)
_any_input = st.one_of(_images, _numbers, _texts)
_inputs = st.one_of(
    st.fixed_dictionaries({"photo": _images}, optional={"x": _numbers, "text": _texts}),
    st.dictionaries(names, _any_input, max_size=3),
)
_outputs = objects(
    {},
    {
        "as": mostly(st.sampled_from(["scores", "y"])),
        "drop": mostly(st.booleans()),
        "keep": mostly(st.sampled_from(["raw", "top_k", "argmax", "best"])),
        "k": mostly(st.sampled_from([0, 1, 5, 2**70])),
        "labels": mostly(
            st.just("labels.txt")
            | st.sampled_from(["../labels.txt", "/labels.txt", ".", "a//b", "missing.txt"])
        ),
    },
)
contracts = objects(
    {},
    {
        "name": mostly(st.just("digits") | st.sampled_from(["-", "a b", "x" * 101])),
        "signature": mostly(st.just("serving_default")),
        "inputs": mostly(_inputs),
        "outputs": mostly(st.dictionaries(st.sampled_from(["y", "z", "x"]), _outputs, max_size=2)),
    },
)
labels = st.sampled_from(
    [b"", b"a\nb\n", b"a\r\nb\r\n\r\n", b"\xef\xbb\xbfa\n", b"a\n\nb", b"\xff", b"a\x00\n", b"\n"]
)
