"""Signature Version 4: AWS's published examples, and botocore's own signer as the oracle for drawn requests."""

import hashlib
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from botocore import auth as botocore_auth
from botocore.auth import HmacV1QueryAuth, S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from fanwise_local.doors.claims import Claim, SignatureRefused, Why, read_claim
from fanwise_local.doors.signatures import KeyPair, Signatures
from fanwise_local.doors.signed_bodies import Chunks, payload_of
from fanwise_local.doors.signed_links import check_old_link, is_old_link

KEYS = KeyPair("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")  # AWS's examples'
OTHERS = KeyPair("AKIAIOSFODNN7EXAMPLE", "other")
NOW = datetime(2013, 5, 24, tzinfo=UTC)
HOST = "127.0.0.1:4566"
EMPTY = hashlib.sha256(b"").hexdigest()


@contextmanager
def at(when: datetime) -> Iterator[None]:
    """botocore signs with that time."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(botocore_auth, "get_current_datetime", lambda remove_tzinfo=True: when)
        yield


def checked(
    method: str, target: str, headers: CIMultiDict[str], service: str, keys: KeyPair = KEYS, age_s: float = 0
) -> Claim:
    """Through every check that needs no body; raises what the endpoint would."""
    signatures = Signatures(keys, lambda: NOW.timestamp() + age_s)
    claim = signatures.check_claim(read_claim(target, headers), service, headers)
    payload = payload_of(claim, service, headers) or EMPTY
    signatures.check(claim, method, target, headers, payload)
    return claim


def why(method: str, target: str, headers: CIMultiDict[str], service: str = "s3", **more: float) -> Why:
    """What a request is refused for."""
    with pytest.raises(SignatureRefused) as caught:
        checked(method, target, headers, service, age_s=more.get("age_s", 0))
    return caught.value.why


def with_header(headers: CIMultiDict[str], name: str, value: str) -> CIMultiDict[str]:
    """The same, with one in place of the header of that name."""
    changed = headers.copy()
    changed[name] = value
    return changed


# AWS's published examples (sig-v4-header-based-auth, sigv4-query-string-auth, sigv4-streaming).

SCOPE = "AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request"


def published(signed: str, signature: str, *headers: tuple[str, str]) -> CIMultiDict[str]:
    authorization = f"AWS4-HMAC-SHA256 Credential={SCOPE},SignedHeaders={signed},Signature={signature}"
    given = [("Host", "examplebucket.s3.amazonaws.com"), ("Authorization", authorization), *headers]
    return CIMultiDict([*given, ("x-amz-date", "20130524T000000Z")])


GET = published(
    "host;range;x-amz-content-sha256;x-amz-date",
    "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    ("Range", "bytes=0-9"),
    ("x-amz-content-sha256", EMPTY),
)
PUT = published(
    "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
    "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    ("Date", "Fri, 24 May 2013 00:00:00 GMT"),
    ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
    ("x-amz-content-sha256", hashlib.sha256(b"Welcome to Amazon S3.").hexdigest()),
)
LIFECYCLE = published(
    "host;x-amz-content-sha256;x-amz-date",
    "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
    ("x-amz-content-sha256", EMPTY),
)
LIST = published(
    "host;x-amz-content-sha256;x-amz-date",
    "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    ("x-amz-content-sha256", EMPTY),
)
LINK = (
    f"/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={quote(SCOPE, safe='')}"
    "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
    "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
)
CHUNKED = published(
    "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;"
    "x-amz-storage-class",
    "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
    ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
    ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
    ("Content-Encoding", "aws-chunked"),
    ("x-amz-decoded-content-length", "66560"),
    ("Content-Length", "66824"),
)
CHUNKS = [
    ("10000", "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648", b"a" * 65536),
    ("400", "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497", b"a" * 1024),
    ("0", "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9", b""),
]


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        ("GET", "/test.txt", GET),
        ("PUT", "/test$file.text", PUT),
        ("PUT", "/test%24file.text", PUT),
        ("GET", "/?lifecycle", LIFECYCLE),
        ("GET", "/?max-keys=2&prefix=J", LIST),
        ("GET", "/?prefix=J&max-keys=2", LIST),
        ("GET", LINK, CIMultiDict({"Host": "examplebucket.s3.amazonaws.com"})),
        ("PUT", "/examplebucket/chunkObject.txt", with_header(CHUNKED, "Host", "s3.amazonaws.com")),
    ],
)
def test_what_aws_publishes_is_let_in(method: str, target: str, headers: CIMultiDict[str]) -> None:
    checked(method, target, CIMultiDict(headers), "s3")


def body_of(chunks: Sequence[tuple[str, str, bytes]]) -> io.BytesIO:
    return io.BytesIO(
        b"".join(f"{size};chunk-signature={s}\r\n".encode() + d + b"\r\n" for size, s, d in chunks)
    )


def unpacked(packed: io.BytesIO) -> bytes:
    """What is in chunks that go with the example's request, its signatures checked."""
    headers = with_header(CHUNKED, "Host", "s3.amazonaws.com")
    claim = checked("PUT", "/examplebucket/chunkObject.txt", headers, "s3")
    with Chunks(headers, 1024, claim, Signatures(KEYS)).unpack(packed).body as body:
        body.seek(0)
        return body.read()


def test_chunks_that_aws_publishes_are_taken_apart() -> None:
    assert unpacked(body_of(CHUNKS)) == b"a" * 66560


FIRST, SECOND, LAST = CHUNKS


@pytest.mark.parametrize(
    ("chunks", "refusal"),
    [
        ([("10000", FIRST[1], b"a" * 65535 + b"b"), SECOND, LAST], Why.MISMATCH),
        ([SECOND, FIRST, LAST], Why.MISMATCH),
        ([FIRST, LAST], Why.MISMATCH),
        ([FIRST, SECOND], Why.INCOMPLETE),
        ([FIRST, SECOND, ("0", "0" * 64, b"")], Why.MISMATCH),
        ([FIRST, ("0400", SECOND[1], SECOND[2][:-1]), LAST], Why.INCOMPLETE),
        ([], Why.INCOMPLETE),
    ],
)
def test_chunks_that_were_altered_left_out_or_exchanged_are_refused(
    chunks: list[tuple[str, str, bytes]], refusal: Why
) -> None:
    with pytest.raises(SignatureRefused) as caught:
        unpacked(body_of(chunks))
    assert caught.value.why is refusal


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\r\n",
        b"zz\r\n",
        b"5\r\nhello\r\n0\r\n\r\n",
        b"-1;chunk-signature=" + b"0" * 64 + b"\r\n",
        b"\xff" * 20_000,
    ],
)
def test_what_is_no_chunk_is_refused(body: bytes) -> None:
    with pytest.raises(SignatureRefused) as caught:
        unpacked(io.BytesIO(body))
    assert caught.value.why is Why.INCOMPLETE


# Whatever botocore signs.

texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12)
values = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=12)
names = st.from_regex(r"x-amz-meta-[a-z0-9-]{1,8}", fullmatch=True)
# In two writings: words that are apart by more than one space are canonical by one.
spaced = st.lists(values.filter(bool), min_size=1, max_size=3)


def path_of(parts: list[str]) -> str:
    return "/" + "/".join(quote(part, safe="-_.~") for part in parts)


@given(
    signer=st.sampled_from([(S3SigV4Auth, "s3"), (SigV4Auth, "lambda"), (SigV4Auth, "sqs")]),
    method=st.sampled_from(["GET", "PUT", "POST", "DELETE", "HEAD"]),
    parts=st.lists(texts | st.sampled_from(["..", ".", ""]), min_size=1, max_size=4),
    query=st.lists(st.tuples(texts, texts | st.just("")), max_size=4, unique_by=lambda pair: pair[0]),
    headers=st.dictionaries(names, spaced, max_size=3),
    altered=st.sampled_from(["method", "path", "query", "header", "payload", "secret", "signature"]),
)
def test_what_botocore_signs_is_let_in_and_nothing_else(
    signer: tuple[type[SigV4Auth], str],
    method: str,
    parts: list[str],
    query: list[tuple[str, str]],
    headers: dict[str, list[str]],
    altered: str,
) -> None:
    kind, service = signer
    path = path_of(parts)
    encoded = "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in query)
    target = f"{path}?{encoded}" if encoded else path
    request = AWSRequest(method, f"http://{HOST}{target}", {n: "  ".join(v) for n, v in headers.items()}, b"")
    with at(NOW):
        kind(Credentials(KEYS.access_key_id, KEYS.secret_access_key), service, "eu-west-1").add_auth(request)
    signed = CIMultiDict(request.headers.items())
    signed["Host"] = HOST
    claim = checked(method, target, signed, service)
    assert (claim.region, claim.service) == ("eu-west-1", service)

    match altered:
        case "method":
            method = {"GET": "PUT"}.get(method, "GET")
        case "path":
            target = f"{path}x/y" + target.removeprefix(path)
        case "query":
            target += "&x=1" if encoded else "?x=1"
        case "header":
            signed["x-amz-date"] = "20130524T000001Z"
        case "payload":
            signed["x-amz-content-sha256"] = "0" * 64
        case "signature":
            signed["Authorization"] = signed["Authorization"][:-1] + (
                "0" if signed["Authorization"][-1] != "0" else "1"
            )
    with pytest.raises(SignatureRefused) as caught:
        checked(method, target, signed, service, OTHERS if altered == "secret" else KEYS)
    # A header that was not there when it was signed is refused as such.
    assert caught.value.why in (Why.MISMATCH, Why.DENIED)


LINKS = st.sampled_from([S3SigV4QueryAuth, HmacV1QueryAuth])


@given(
    signer=LINKS,
    method=st.sampled_from(["GET", "PUT"]),
    parts=st.lists(texts, min_size=2, max_size=4),
    version=st.none() | texts,
)
def test_links_that_botocore_signs_are_let_in_until_they_expire(
    signer: type[S3SigV4QueryAuth] | type[HmacV1QueryAuth], method: str, parts: list[str], version: str | None
) -> None:
    query = f"?versionId={quote(version, safe='-_.~')}" if version else ""
    request = AWSRequest(method, f"http://{HOST}{path_of(parts)}{query}", {})
    credentials = Credentials(KEYS.access_key_id, KEYS.secret_access_key)
    with at(NOW), pytest.MonkeyPatch.context() as patched:
        patched.setattr(botocore_auth.time, "time", NOW.timestamp)
        if signer is S3SigV4QueryAuth:
            signer(credentials, "s3", "us-east-1", expires=60).add_auth(request)
        else:
            HmacV1QueryAuth(credentials, expires=60).add_auth(request)
    target = request.url.removeprefix(f"http://{HOST}")
    headers = CIMultiDict({"Host": HOST})

    def check(method: str, target: str, keys: KeyPair, age_s: float) -> None:
        if is_old_link(target):
            check_old_link(method, target, headers, keys, lambda: NOW.timestamp() + age_s)
        else:
            checked(method, target, headers, "s3", keys, age_s)

    check(method, target, KEYS, 59)
    for given_method, given_target, keys, age_s in (
        (method, target, KEYS, 61),
        ("DELETE", target, KEYS, 0),
        (method, target.replace("/", "/x", 1), KEYS, 0),
        (method, target, OTHERS, 0),
        (method, target + "&versionId=other", KEYS, 0),
    ):
        with pytest.raises(SignatureRefused):
            check(given_method, given_target, keys, age_s)


# What a claim has to be.


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("", Why.MALFORMED),
        ("AWS AKIAIOSFODNN7EXAMPLE:frJIUN8DYpKDtOLCwo//yllqDzg=", Why.MALFORMED),
        ("Basic bG9jYWw6bG9jYWw=", Why.MALFORMED),
        (
            "AWS4-ECDSA-P256-SHA256 Credential=a/20130524/s3/aws4_request, SignedHeaders=host, Signature=0",
            Why.MALFORMED,
        ),
        (f"AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=host", Why.MALFORMED),
        (f"AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=range, Signature={'0' * 64}", Why.MALFORMED),
        (
            f"AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=range;host, Signature={'0' * 64}",
            Why.MALFORMED,
        ),
        (f"AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature={'0' * 64}", Why.MALFORMED),
        (f"AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=host, Signature={'0' * 64}", Why.DENIED),
        (GET["Authorization"].replace("/s3/", "/sqs/"), Why.MALFORMED),
        (GET["Authorization"].replace("AKIAIOSFODNN7EXAMPLE", "AKIAother"), Why.UNKNOWN_KEY),
        (GET["Authorization"].replace("AKIAIOSFODNN7EXAMPLE", "schlüssel"), Why.UNKNOWN_KEY),
        (GET["Authorization"].replace("20130524/", "20130525/"), Why.MALFORMED),
        (GET["Authorization"][:-64], Why.MALFORMED),
        (GET["Authorization"][:-64] + "ü" * 64, Why.MISMATCH),
    ],
)
def test_a_claim_that_is_none_is_refused(text: str, refusal: Why) -> None:
    assert why("GET", "/test.txt", with_header(GET, "Authorization", text)) is refusal


def test_a_request_without_a_claim_is_refused() -> None:
    assert why("GET", "/test.txt", CIMultiDict({"Host": HOST})) is Why.MISSING


@pytest.mark.parametrize(("age_s", "refusal"), [(901, Why.SKEWED), (-901, Why.SKEWED)])
def test_the_clock_may_differ_by_a_quarter_of_an_hour(age_s: float, refusal: Why) -> None:
    checked("GET", "/test.txt", GET, "s3", age_s=899 if age_s > 0 else -899)
    assert why("GET", "/test.txt", GET, age_s=age_s) is refusal


def test_a_link_is_not_signed_ahead_of_time() -> None:
    host = CIMultiDict({"Host": "examplebucket.s3.amazonaws.com"})
    checked("GET", LINK, host, "s3", age_s=86_399)
    assert why("GET", LINK, host, age_s=86_401) is Why.DENIED
    assert why("GET", LINK, host, age_s=-901) is Why.SKEWED
    assert why("GET", LINK.replace("86400", "604801"), host) is Why.MALFORMED
    assert why("GET", LINK.replace("86400", "86401"), host) is Why.MISMATCH
    assert why("GET", LINK + "&X-Amz-Signature=0", host) is Why.MALFORMED
    assert why("GET", LINK, with_header(host, "x-amz-copy-source", "a/b")) is Why.DENIED
    assert why("GET", LINK, with_header(host, "Authorization", GET["Authorization"])) is Why.MALFORMED


def test_a_header_that_says_something_to_the_service_is_signed() -> None:
    assert why("GET", "/test.txt", with_header(GET, "x-amz-copy-source", "a/b")) is Why.DENIED


def test_keys_are_fresh_and_their_secret_is_not_shown() -> None:
    one, other = KeyPair.fresh(), KeyPair.fresh()
    assert one != other
    assert len(one.access_key_id) == 20
    assert one.secret_access_key not in repr(one)
