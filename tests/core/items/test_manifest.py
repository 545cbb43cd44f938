"""A manifest: what is read, and each mistake in one line that names the place and the remedy."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwise import limits
from fanwise.errors import ManifestError
from fanwise.items.manifest import read_manifest
from fanwise.records import Manifest

BASE = "s3://b/jobs/"
GOOD = {"items": "items.jsonl", "model": "digits@3"}


def read(data: bytes) -> Manifest:
    return read_manifest(data, "job.json", BASE)


def read_with(**values: Any) -> Manifest:
    return read(json.dumps(GOOD | values).encode())


def test_what_is_left_out_has_its_default() -> None:
    assert read_with() == Manifest(items="s3://b/jobs/items.jsonl", model="digits@3")


def test_everything_said() -> None:
    manifest = Manifest(
        items="s3://b/jobs/in/x.csv",
        model="m@1",
        name="nightly",
        batch_size=100_000,
        max_concurrency=10_000,
        tolerated_failure_percentage=0.5,
        runtime="litert",
    )
    text = b"""\xef\xbb\xbf{"items": "in/x.csv", "model": "m@1", "name": "nightly", "batch_size": 100000,
    "max_concurrency": 10000, "tolerated_failure_percentage": 0.5, "runtime": "litert"}\r\n"""
    assert read(text) == manifest


@pytest.mark.parametrize(
    ("items", "absolute"),
    [
        ("scans/", "s3://b/jobs/scans/"),
        ("x/y/", "s3://b/jobs/x/y/"),
        ("s3://o/", "s3://o/"),
        ("s3://o/x.csv", "s3://o/x.csv"),
    ],
)
def test_items_are_relative_to_the_manifest(items: str, absolute: str) -> None:
    assert read_with(items=items).items == absolute


def test_a_manifest_given_inline() -> None:
    assert (
        read_manifest({"items": "s3://b/x.csv", "model": "m@1", "name": None}, "manifest").items
        == "s3://b/x.csv"
    )
    with pytest.raises(
        ManifestError, match=r'^manifest: "items" is "x.csv"; .* relative to nothing: write s3://'
    ):
        read_manifest({"items": "x.csv", "model": "m@1"}, "manifest")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("max_concurrency", 20000, '"max_concurrency" is 20000; at most 10000 (Step Functions\' hard cap)'),
        ("max_concurrency", 0, '"max_concurrency" is 0; at least 1'),
        ("max_concurrency", "10", '"max_concurrency" is "10"; a whole number from 1 to 10,000'),
        ("max_concurrency", True, '"max_concurrency" is true; a whole number from 1 to 10,000'),
        ("max_concurrency", None, '"max_concurrency" is null; a whole number from 1 to 10,000'),
        ("batch_size", 100_001, '"batch_size" is 100001; at most 100000'),
        ("batch_size", 0, '"batch_size" is 0; at least 1'),
        ("batch_size", 1.5, '"batch_size" is 1.5; a whole number from 1 to 100,000, or "auto"'),
        ("batch_size", "big", '"batch_size" is "big"; a whole number from 1 to 100,000, or "auto"'),
        (
            "tolerated_failure_percentage",
            100.1,
            '"tolerated_failure_percentage" is 100.1; a number from 0 to 100',
        ),
        ("tolerated_failure_percentage", -1, '"tolerated_failure_percentage" is -1; a number from 0 to 100'),
        (
            "tolerated_failure_percentage",
            False,
            '"tolerated_failure_percentage" is false; a number from 0 to 100',
        ),
        ("runtime", "torch", '"runtime" is "torch"; one of auto, tensorflow, litert'),
        ("runtime", [1], '"runtime" is [1]; one of auto, tensorflow, litert'),
        ("name", "", '"name" is ""; text of 1 to 200 characters'),
        ("name", " ", '"name" is " "; text of 1 to 200 characters'),
        ("name", "x" * 201, "…; text of 1 to 200 characters"),
        ("name", "\ud800", "; text of 1 to 200 characters"),
        ("model", 3, '"model" is 3; text that is not empty'),
        ("items", "", '"items" is ""; text that is not empty'),
        ("items", "file:///x.csv", "\"items\": 'file:///x.csv' is neither s3:// nor relative"),
        ("items", "../x.csv", '"items": '),
        ("items", "s3://b//", '"items": '),
        ("batchsize", 3, 'unknown key "batchsize"; did you mean "batch_size"?'),
        ("\ud800", 3, r'unknown key "\ud800"; known are items'),
        ("name", "\ud800", r'"name" is "\ud800"; text of 1'),
        ("colour", 3, 'unknown key "colour"; known are items, model, name, batch_size, max_concurrency'),
    ],
)
def test_a_wrong_value(key: str, value: object, message: str) -> None:
    with pytest.raises(ManifestError) as caught:
        read_with(**{key: value})
    assert str(caught.value).startswith("job.json: ")
    assert message in str(caught.value)
    assert str(caught.value).encode()  # it can be written down


@pytest.mark.parametrize("key", ["items", "model"])
def test_a_missing_key(key: str) -> None:
    with pytest.raises(
        ManifestError, match=f'^job.json: "{key}" is missing; a manifest names "items" and "model"$'
    ):
        read(json.dumps({other: value for other, value in GOOD.items() if other != key}).encode())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            b'{"items": "a",\n "model": "m",\n}',
            "job.json, line 2, column 14: a comma before the closing }; remove it",
        ),
        (b'{"items": ["a", ]}', "job.json, line 1, column 15: a comma before the closing ]; remove it"),
        (b'{\n"items": "a"\n"model": "m"}', "job.json, line 3, column 1: not JSON: expecting ',' delimiter"),
        (b'{"items": \n', "job.json, line 2, column 1: the file ends where more JSON is expected"),
        (b"", "job.json, line 1, column 1: the file ends where more JSON is expected"),
        (b"{'items': 1}", "job.json, line 1, column 2: not JSON: "),
        (b'{"items": "a"} {}', "job.json, line 1, column 16: not JSON: extra data"),
        (b'{"name":\n "\xff"}', "job.json, line 2, column 3: not UTF-8; save it as UTF-8"),
        (
            '{"items": "a"}'.encode("utf-16"),
            "job.json, line 1, column 1: not UTF-8; save it as UTF-8"
            " (it is UTF-16LE: iconv -f UTF-16LE -t UTF-8 < job.json > NEW)",
        ),
        (
            '{"items": "a"}'.encode("utf-32-be"),
            "job.json, line 1, column 1: not UTF-8; save it as UTF-8 (it is UTF-32BE: ",
        ),
        (
            b"PK\x03\x04" + b"\0" * 40,
            "job.json is compressed (a zip archive, as of zip or Excel), whatever its",
        ),
        (
            b'{"batch_size": 1,\n "batch_size": 2}',
            'job.json, line 2, column 2: "batch_size" stands there twice; keep one',
        ),
        (b'{"a": 1, "\\u0061": 2}', 'job.json: "a" stands there twice; keep one'),
        (b'{"batch_size":\n NaN}', "job.json, line 2, column 2: NaN is not JSON; write a number"),
        (b'{"batch_size": ' + b"9" * 5000 + b"}", "job.json: not a manifest: "),
        (b"[" * 100_000, "job.json: not a manifest: "),
        (b"[1]", "job.json: a manifest is one JSON object"),
        (
            b" " * (limits.MAX_MANIFEST_BYTES + 1),
            "job.json: 1,048,577 bytes; a manifest has at most 1,048,576.",
        ),
    ],
)
def test_what_is_no_manifest(data: bytes, message: str) -> None:
    with pytest.raises(ManifestError) as caught:
        read(data)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
keys = st.sampled_from(Manifest.__struct_fields__) | st.text()


@given(st.dictionaries(keys, json_values).map(lambda values: json.dumps(values).encode()) | st.binary())
def test_whatever_is_given_is_a_manifest_or_a_manifest_error(data: bytes) -> None:
    try:
        manifest = read(data)
    except ManifestError:
        return
    assert manifest.items.startswith("s3://")
    assert manifest.batch_size == "auto" or 1 <= manifest.batch_size <= limits.MAX_BATCH_SIZE
