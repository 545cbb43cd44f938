"""Events as an execution's input: which upload they tell of, and what is refused."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from obstore.store import MemoryStore

from fanwise.errors import InputError, ManifestError
from fanwise.planning.start import WHERE, read_start
from fanwise.planning.uploads import Upload, read_upload
from fanwise.storage import ObstoreBackend, Storage
from fanwise_local.events import s3_event

READABLE = ("s3://in/", "s3://more/allowed/")


def event_of(key: str, bucket: str = "in", **changes: Any) -> dict[str, Any]:
    event = s3_event(bucket, key, size_bytes=1, etag='"e"', time_s=0.0, version_id="v1")
    return {**event, **changes}


@pytest.mark.parametrize(
    ("key", "kind", "model"),
    [
        ("jobs/a.json", "manifest", ""),
        ("jobs/2026/08/a+b%2F ü😀.json", "manifest", ""),
        ("inbox/m@1/a.jsonl", "items", "m@1"),
        ("inbox/m@1/deep/er/a%20b.csv", "items", "m@1"),
        ("inbox/m@1/a.jsonl.gz", "items", "m@1"),  # refused with the remedy when it is pinned
        ("folders/m@1/scans/_SUCCESS", "folder", "m@1"),
        ("folders/m@1/2026/08/_SUCCESS", "folder", "m@1"),
    ],
)
def test_a_key_says_what_it_starts_and_is_taken_as_it_is(key: str, kind: Any, model: str) -> None:
    upload = read_upload(event_of(key), READABLE, WHERE)
    assert upload == Upload(uri=f"s3://in/{key}", kind=kind, model=model, etag="e", version_id="v1")


@pytest.mark.parametrize(
    "key",
    [
        "jobs/a.yaml",
        "jobs.json",
        "Jobs/a.json",
        "x/jobs/a.json",
        "inbox/a.jsonl",
        "inbox/m@1",
        "folders/m@1/_SUCCESS",
        "folders/m@1/scans/_success",
        "folders/m@1/scans/1.png",
        "results/a.json",
    ],
)
def test_any_other_key_starts_nothing_and_is_told_what_would(key: str) -> None:
    with pytest.raises(ManifestError, match=re.escape(f"input: s3://in/{key} starts no job; what does")):
        read_upload(event_of(key), READABLE, WHERE)


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (event_of("jobs/a.json", "other"), "s3://other/jobs/a.json is outside of what this job may read"),
        (event_of("jobs/a.json", "more"), "s3://more/jobs/a.json is outside of what this job may read"),
        (
            event_of("jobs/a.json", **{"detail-type": "Object Deleted"}),
            "an event 'Object Deleted' of S3 starts",
        ),
        (event_of("jobs/a.json", detail={"bucket": {}}), "Object missing required field"),
        (event_of("jobs/a.json", detail=None), "Expected `object`, got `null`"),
        (event_of("jobs/a.json", source="aws.ec2"), "an event 'Object Created' of 'aws.ec2' starts no job"),
        ({"detail-type": "Scheduled Event"}, "an event 'Scheduled Event' of None starts no job"),
        (event_of("jobs/../a.json"), "'..' part"),
        (event_of("jobs//a.json"), "has an empty, '.' or '..' part"),
        (event_of("jobs/a\n.json"), "control character"),
        (event_of("jobs/..%2f..%2fa.json"), "%"),
    ],
)
def test_an_event_that_starts_nothing_says_why(event: dict[str, Any], why: str) -> None:
    with pytest.raises(ManifestError, match=re.escape(why)) as told:
        read_start(event, Storage({"in": ObstoreBackend(MemoryStore())}, s3=False), READABLE)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("key", ["upload", "scheduled", "items"])
def test_a_person_cannot_say_which_version_was_uploaded(key: str) -> None:
    start = {"manifest": {"items": "s3://in/x.jsonl", "model": "m@1"}, key: {}}
    with pytest.raises(ManifestError, match=f'unknown key "{key}"'):
        read_start(start, Storage({}, s3=False), READABLE)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.fixed_dictionaries(
    {"key": st.one_of(st.text(), st.from_regex(r"(jobs|inbox|folders)/.*", fullmatch=True))},
    optional={"etag": JSON, "version-id": JSON, "size": JSON},
)


@given(st.one_of(JSON, st.fixed_dictionaries({"bucket": st.just({"name": "in"}), "object": OBJECTS})))
def test_whatever_an_event_holds_it_is_an_upload_or_refused_in_one_line(detail: Any) -> None:
    event = {"source": "aws.s3", "detail-type": "Object Created", "detail": detail}
    try:
        upload = read_upload(event, READABLE, WHERE)
    except InputError as error:
        assert str(error).startswith("the execution's input: ")
        assert "\n" not in str(error)
    else:
        assert upload.uri == f"s3://in/{detail['object']['key']}"
        assert upload.version_id != "null"
