"""The prefixes that a job may read: told as ARNs, held against URIs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwise import settings
from fanwise.errors import InputError, LocationError
from fanwise.items.readable import check_readable, prefixes_of, why_not_readable

READABLE = ("s3://in/", "s3://more/a/b/")

parts = st.text("ab./", min_size=1, max_size=8)


def test_arns_name_prefixes() -> None:
    arns = ["arn:aws:s3:::in/*", "arn:aws-cn:s3:::more/a/b/*"]
    assert prefixes_of(arns) == READABLE
    assert prefixes_of([]) == ()


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:s3:::in",
        "arn:aws:s3:::in/",
        "arn:aws:s3:::in*",
        "arn:aws:s3:::*",
        "arn:aws:s3:::*/*",
        "arn:aws:s3:::in/a*",
        "arn:aws:s3:::in/a?/*",
        "arn:aws:s3:::in/*/b/*",
        "arn:aws:sqs:::in/*",
        "s3://in/*",
        "*",
    ],
)
def test_what_is_no_such_arn(arn: str) -> None:
    with pytest.raises(
        InputError, match=r"is not the ARN of a bucket's objects; write arn:aws:s3:::bucket/\*"
    ):
        prefixes_of([arn])


@pytest.mark.parametrize("uri", ["s3://in/x", "s3://in/a/x", "s3://more/a/b/x"])
def test_what_may_be_read(uri: str) -> None:
    assert why_not_readable(uri, READABLE) is None
    check_readable(uri, READABLE)


@pytest.mark.parametrize(
    "uri",
    ["s3://in", "s3://in2/x", "s3://IN/x", "s3://more/x", "s3://more/a/bc", "s3://models/x", "in/x", ""],
)
def test_what_may_not(uri: str) -> None:
    with pytest.raises(LocationError) as raised:
        check_readable(uri, READABLE)
    assert str(raised.value) == (
        f"{uri} is outside of what this job may read (s3://in/, s3://more/a/b/); copy it there, or allow its"
        " prefix: FurtherItems of the stack, on a laptop --root DIR"
    )


def test_without_a_list_nothing_may_be_read_and_a_long_one_is_cut_short() -> None:
    assert "(nothing);" in str(why_not_readable("s3://in/x", ()))
    many = tuple(f"s3://b{n}/" for n in range(9))
    assert "(s3://b0/, s3://b1/, s3://b2/, s3://b3/, s3://b4/ and 4 more);" in str(
        why_not_readable("x", many)
    )


@given(parts, parts)
def test_the_list_and_iam_say_the_same(prefix: str, key: str) -> None:
    """IAM's `*` at the end matches whatever begins with what stands before it."""
    arn = f"arn:aws:s3:::bucket/a{prefix.rstrip('/')}/*"
    allowed = why_not_readable(f"s3://bucket/{key}", prefixes_of([arn])) is None
    assert allowed == f"arn:aws:s3:::bucket/{key}".startswith(arn[:-1])


def test_the_environment_tells_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(settings.READABLE, "arn:aws:s3:::in/*, arn:aws:s3:::more/a/b/*,,")
    assert prefixes_of(settings.readable()) == READABLE
