"""What is cut out of text before anybody is told: credentials in every spelling, and payloads."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwise import errors
from fanwise.redaction import MAX_MESSAGE_CHARACTERS, redacted

SECRET = "wJalrXUtnFEMI+K7MDENG/bPxRfiCYEXAMPLEKEY=="  # noqa: S105 - from AWS's own documentation
KEY_ID = "AKIAIOSFODNN7EXAMPLE"
# Where a secret may stand, and what is left of it.
PLACES = {
    "https://bucket.s3.amazonaws.com/k?X-Amz-Date=1&X-Amz-Signature={}&versionId=3": "versionId=3",
    "https://h/k?X-Amz-Security-Token={}": "https://h/k?X-Amz-Security-Token=…",
    "https://h/k?X-Amz-Credential={}%2F20260801%2Fus-east-1": "X-Amz-Credential=…",
    "https://h/k?AWSAccessKeyId=x&Expires=1&Signature={}": "Expires=1",
    "https://h.blob.core.windows.net/c?sv=2022&sig={}": "sv=2022",
    "https://h/k?x-goog-signature={}": "x-goog-signature=…",
    "https://h/k?Policy={}&Key-Pair-Id={}": "Key-Pair-Id=…",
    "https://h/?next=https%3A%2F%2Fb%2Fk%3FX-Amz-Date%3D1%26X-Amz-Signature%3D{}": "X-Amz-Date%3D1",
    "https://h/?next=https%253A%252F%252Fb%253FX-Amz-Signature%253D{}": "X-Amz-Signature%253D…",
    "https://user:{}@host/key": "https://…@host/key",
    "https://{}@host/key": "https://…@host/key",
    "Authorization: Bearer {}": "Bearer …",
    "authorization: Basic {}": "authorization: …",
    "AWS4-HMAC-SHA256 Credential=x, SignedHeaders=host, Signature={}": "SignedHeaders=host",
    '{{"SecretAccessKey": "{}", "Expiration": "2026"}}': '"Expiration": "2026"',
    "aws_secret_access_key={}": "aws_secret_access_key=…",
    "x-amz-security-token: {}": "x-amz-security-token: …",
    "403: <SignatureProvided>{}</SignatureProvided><HostId>h</HostId>": "<HostId>h</HostId>",
    "'data:image/png;base64,{}' is no image": "'data:image/png;base64,…' is no image",
    "data:,{}": "data:,…",
    "DATA:text/plain;charset=utf-8;base64,{}": "DATA:text/plain;charset=utf-8;base64,…",
}


@pytest.mark.parametrize("place", PLACES)
def test_a_secret_is_cut_out_and_what_it_stood_in_stays(place: str) -> None:
    secret = SECRET.replace("/", "%2F") if "://{}@" in place or "://user" in place else SECRET
    told = redacted(f"first {place.format(secret, secret)} last")
    assert "wJalr" not in told
    assert PLACES[place] in told
    assert (told.startswith("first "), told.endswith(" last")) == (True, True)


@pytest.mark.parametrize("key_id", [KEY_ID, "ASIA" + KEY_ID[4:]])
def test_access_key_ids_are_cut_out_wherever_they_stand(key_id: str) -> None:
    assert redacted(f"the key {key_id} is not known") == f"the key {key_id[:4]}… is not known"


@pytest.mark.parametrize(
    "text",
    [
        "s3://bucket/a@b/c?d=e#f%20g.png: no such object",
        "model.json: signature: expected `str`, got `null`",
        "inputs.x says text, and the signature takes float32 [?]; make them the same",
        "model 'digits@3' is not published in models; there is digits@1, digits@2",
        'put it under "inputs", as "data:image/png;base64,…"',
        "the data: URI is not base64: Incorrect padding",
        'job.json: "max_concurrency" is 20000; at most 10000 (Step Functions\' hard cap)',
        f"model bundle digest {'0123456789abcdef' * 4} is not the one that was planned",
        "/home/pytest-of-somebody/pytest-0/test_a_long_name_of_a_test_0/OUT1/fanwise/jobs/Digits-3-replay-0a1b2c3d",
        "arn:aws:s3:::bucket/*, and s3://design/policy/token/secret.png",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redacted(text) == text


@given(
    st.binary(min_size=200, max_size=400),
    st.sampled_from([b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a", b"RIFF"]),
)
def test_an_image_in_base64_is_cut_out_though_nothing_names_it(data: bytes, magic: bytes) -> None:
    payload = base64.b64encode(magic + data).decode()
    told = redacted(f"'s3://b/{payload}': no such object")
    assert payload[20:40] not in told
    assert told.startswith("'s3://b/")
    assert told.endswith("…': no such object")


def test_a_payload_of_another_kind_is_cut_out() -> None:
    payload = base64.b64encode(bytes(range(256))).decode().replace("/", "A")
    assert redacted(f"input 'x' is \"{payload}\"") == f"input 'x' is \"{payload[:8]}…\""


@given(
    st.text(max_size=300)
    | st.lists(st.sampled_from([*PLACES, SECRET, KEY_ID, " ", "'"]), max_size=5).map("".join)
)
def test_a_second_time_changes_nothing(text: str) -> None:
    assert redacted(redacted(text)) == redacted(text)


def test_a_long_text_is_cut_in_its_middle() -> None:
    most = "a" * (MAX_MESSAGE_CHARACTERS - 6) + "remedy"
    assert redacted(most) == most
    told = redacted("value" + most)
    assert len(told) == MAX_MESSAGE_CHARACTERS
    assert (told[:5], told[-6:], told.count("…")) == ("value", "remedy", 1)
    assert len(redacted("x" * 100, 10)) == 10


def test_a_secret_is_cut_out_before_a_long_text_is() -> None:
    """Else a token longer than the limit would lose its beginning, by which it is known, and keep its end."""
    assert redacted("https://h/?X-Amz-Security-Token=" + "t" * 5000) == "https://h/?X-Amz-Security-Token=…"


@pytest.mark.parametrize(
    "piece", ["data:a", "data:a;b=c", "://a", "bearer ", "signature", "password :", "%25", "a=", "'"]
)
def test_no_text_makes_it_slow(piece: str) -> None:
    """Linear: not a benchmark, but what is quadratic would take hours here."""
    redacted(piece * 200_000)


@pytest.mark.parametrize(
    "name", ["BadUri", "StoreUnavailable", "ModelError", "ManifestError", "ItemsChanged"]
)
def test_every_error_of_ours_has_it_cut_out_of_its_message(name: str) -> None:
    error = getattr(errors, name)(f"https://u:p@h/k?X-Amz-Signature={SECRET}: {KEY_ID}; start again")
    assert str(error) == "https://…@h/k?X-Amz-Signature=… AKIA…; start again"
    assert repr(error) == f"{name}('{error}')"
