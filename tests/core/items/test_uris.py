"""What a URI or a relative name stands for, and what is refused with the remedy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwise.errors import BadUri
from fanwise.items.uris import absolute_folder_uri, absolute_uri, folder_of

BASE = "s3://bucket/a/b/"


@pytest.mark.parametrize(
    ("given_uri", "stands_for"),
    [
        ("x.png", "s3://bucket/a/b/x.png"),
        ("c/x.png", "s3://bucket/a/b/c/x.png"),
        ("./x.png", "s3://bucket/a/b/x.png"),
        ("../x.png", "s3://bucket/a/x.png"),
        ("../../c/../x.png", "s3://bucket/x.png"),
        ("12:30?.png#1%20", "s3://bucket/a/b/12:30?.png#1%20"),
        ("…/日本 x.png", "s3://bucket/a/b/…/日本 x.png"),
        ("..x/...", "s3://bucket/a/b/..x/..."),
        ("s3://other/key", "s3://other/key"),
    ],
)
def test_what_a_name_stands_for(given_uri: str, stands_for: str) -> None:
    assert absolute_uri(given_uri, BASE) == stands_for


@pytest.mark.parametrize(
    ("given_uri", "message"),
    [
        ("", r"the URI is empty; leave it out, or write"),
        (
            "../../../x",
            r"'\.\./\.\./\.\./x' leads out of the bucket of s3://bucket/a/b/; write s3://bucket/key",
        ),
        ("file:///etc/passwd", r"is neither s3:// nor relative; only S3 is read: copy the file there"),
        ("https://example.org/x.png", r"is neither s3:// nor relative"),
        ("S3://bucket/x", r"is neither s3:// nor relative"),
        ("/etc/passwd", r"is an absolute path; write it relative to the items file"),
        ("s3://bucket", r"names no object but a folder; name one object"),
        ("s3://bucket/", r"names no object but a folder"),
        ("s3:///x", r"names no bucket; write s3://bucket/key"),
        ("scans/", r"names no object but a folder"),
        ("..", r"'\.\.' names no object but a folder"),
        ("a/.", r"names no object but a folder"),
        ("s3://bucket/a/../x", r"an empty, '\.' or '\.\.' part"),
        ("s3://bucket/a//x", r"an empty, '\.' or '\.\.' part"),
        ("a//x", r"an empty, '\.' or '\.\.' part"),
        ("a\0b", r"'a\\x00b' holds a control character"),
        ("a\nb", r"holds a control character"),
        ("x" * 300 + "/", r"x{200}…' names no object"),
    ],
)
def test_what_is_refused(given_uri: str, message: str) -> None:
    with pytest.raises(BadUri, match=message):
        absolute_uri(given_uri, BASE)


@given(st.lists(st.sampled_from(["..", ".", "a", "b.png", ""]), min_size=1).map("/".join))
def test_a_relative_name_never_leaves_its_bucket(name: str) -> None:
    try:
        uri = absolute_uri(name, BASE)
    except BadUri:
        return
    assert uri.startswith("s3://bucket/")
    assert not {"", ".", ".."} & set(uri.removeprefix("s3://bucket/").split("/"))


@pytest.mark.parametrize(
    ("given_uri", "stands_for"),
    [
        ("s3://b/", "s3://b/"),
        ("s3://b/c/", "s3://b/c/"),
        ("c/", "s3://bucket/a/b/c/"),
        ("./", BASE),
        ("../", "s3://bucket/a/"),
    ],
)
def test_folders(given_uri: str, stands_for: str) -> None:
    assert absolute_folder_uri(given_uri, BASE) == stands_for


def test_a_folder_with_an_empty_part_is_refused() -> None:
    with pytest.raises(BadUri, match="an empty"):
        absolute_folder_uri("s3://b/c//", BASE)


def test_the_folder_of_an_object() -> None:
    assert folder_of("s3://b/a/items.jsonl") == "s3://b/a/"
    assert folder_of("s3://b/items.jsonl") == "s3://b/"
