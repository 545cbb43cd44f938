"""Who is let in over HTTP: boto3, obstore and bare requests against an endpoint that asks for its secret."""

import hashlib
import http.client
import json
import logging
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import obstore
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from obstore.store import S3Store

from fanwise_local.doors.claims import read_claim
from fanwise_local.doors.signatures import KeyPair, Signatures
from fanwise_local.doors.wsgi import IN_MEMORY_BYTES

from .endpoints import Opened, bare, opened, signed, stub_stack

IDLE_S = 1.5


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """One that asks for its secret, and does not wait long for requests."""
    root = tmp_path_factory.mktemp("up")
    (root / "stack").mkdir()
    with opened(stub_stack(root / "stack"), root / "work", keys=KeyPair.fresh(), idle_s=IDLE_S) as up:
        yield up


@pytest.fixture
def bucket(up: Opened) -> str:
    return up.stack.buckets["InputBucket"]


def connected(up: Opened) -> socket.socket:
    return socket.create_connection(("127.0.0.1", up.endpoint.port), timeout=30)


def text(response: http.client.HTTPResponse) -> str:
    body: bytes = response.body  # type: ignore[attr-defined]
    return body.decode()


# Every service asks.

CALLS = [
    ("s3", "list_buckets", {}, "InvalidAccessKeyId", "SignatureDoesNotMatch"),
    ("sqs", "list_queues", {}, "UnrecognizedClientException", "InvalidSignatureException"),
    ("sns", "list_topics", {}, "InvalidClientTokenId", "SignatureDoesNotMatch"),
    ("sts", "get_caller_identity", {}, "InvalidClientTokenId", "SignatureDoesNotMatch"),
    ("cloudformation", "describe_stacks", {}, "InvalidClientTokenId", "SignatureDoesNotMatch"),
    ("events", "list_rules", {}, "UnrecognizedClientException", "InvalidSignatureException"),
    ("stepfunctions", "list_state_machines", {}, "UnrecognizedClientException", "InvalidSignatureException"),
    ("lambda", "list_functions", {}, "UnrecognizedClientException", "InvalidSignatureException"),
    ("lambda", "invoke", {"FunctionName": "f", "Payload": b"{}"}, None, "InvalidSignatureException"),
]


def refusal(
    up: Opened, keys: KeyPair, service: str, operation: str, members: dict[str, Any]
) -> tuple[str, int]:
    """The code and status that a client with these keys hears."""
    client = up.client(service, keys=keys)
    with pytest.raises(ClientError) as caught:
        getattr(client, operation)(**members)
    answer = caught.value.response
    return str(answer["Error"]["Code"]), int(answer["ResponseMetadata"]["HTTPStatusCode"])


@pytest.mark.parametrize(("service", "operation", "members", "unknown", "mismatch"), CALLS)
def test_other_keys_are_refused_by_every_service(
    up: Opened, service: str, operation: str, members: dict[str, Any], unknown: str | None, mismatch: str
) -> None:
    keys = up.endpoint.keys
    if unknown is not None:
        getattr(up.client(service), operation)(**members)
        assert refusal(up, KeyPair("local", "local"), service, operation, members) == (unknown, 403)
    wrong = KeyPair(keys.access_key_id, "wrong")
    assert refusal(up, wrong, service, operation, members) == (mismatch, 403)


@pytest.mark.parametrize(
    ("method", "target", "headers", "code"),
    [
        ("GET", "/", {}, "<Code>MissingAuthenticationToken</Code>"),
        ("PUT", "/{bucket}/evil", {}, "<Code>MissingAuthenticationToken</Code>"),
        (
            "POST",
            "/",
            {"X_Amz_Target": "AWSStepFunctions.ListStateMachines"},
            '"MissingAuthenticationTokenException"',
        ),
        ("GET", "/2015-03-31/functions/", {}, '"MissingAuthenticationTokenException"'),
        ("GET", "/", {"Authorization": "Bearer x"}, "<Code>AuthorizationHeaderMalformed</Code>"),
    ],
)
def test_what_is_not_signed_is_refused(
    up: Opened, bucket: str, method: str, target: str, headers: dict[str, str], code: str
) -> None:
    response = bare(up, method, target.format(bucket=bucket), b"", None, **headers)
    assert response.status in (400, 403)
    assert code in text(response)
    assert "Contents" not in up.client("s3").list_objects_v2(Bucket=bucket)


def test_a_signature_of_one_service_is_none_of_another(up: Opened) -> None:
    """What a request is signed for is where it goes, whatever else it says."""
    target = {"X-Amz-Target": "AWSStepFunctions.ListStateMachines"}
    response = bare(up, "POST", "/", b"{}", signed(up, "POST", "/", b"{}", target))
    assert (response.status, "MalformedException" in text(response) or "Incomplete" in text(response)) == (
        400,
        True,
    )


def test_nothing_is_read_of_a_body_that_nobody_has_signed(up: Opened, bucket: str) -> None:
    with connected(up) as connection:
        connection.sendall(
            f"PUT /{bucket}/k HTTP/1.1\r\nHost: {up.endpoint.address}\r\nContent-Length: 1000000000\r\n"
            "Expect: 100-continue\r\n\r\n".encode()
        )
        assert connection.recv(64).startswith(b"HTTP/1.1 403 ")


# Bodies.


def test_a_body_other_than_the_one_that_was_signed_is_refused(up: Opened, bucket: str) -> None:
    headers = signed(up, "PUT", f"/{bucket}/other", b"signed")
    response = bare(up, "PUT", f"/{bucket}/other", b"sent", headers)
    assert (response.status, "XAmzContentSHA256Mismatch" in text(response)) == (400, True)
    request = AWSRequest(
        "POST", f"http://{up.endpoint.address}/", {"X-Amz-Target": "AmazonSQS.ListQueues"}, b"{}"
    )
    request.headers["Content-Type"] = "application/x-amz-json-1.0"
    keys = up.endpoint.keys
    SigV4Auth(Credentials(keys.access_key_id, keys.secret_access_key), "sqs", "us-east-1").add_auth(request)
    headers = dict(request.headers.items())
    assert bare(up, "POST", "/", b"{}", headers).status == 200
    response = bare(up, "POST", "/", b"{ }", headers)
    assert (response.status, "InvalidSignatureException" in text(response)) == (403, True)
    assert "Contents" not in up.client("s3").list_objects_v2(Bucket=bucket)


def test_chunks_are_taken_apart_and_each_signature_is_checked(up: Opened, bucket: str) -> None:
    target, parts = f"/{bucket}/chunks", [b"one" * 30_000, b"two" * 30_000, b""]
    trailer = f"x-amz-checksum-sha256:{'A' * 43}="
    headers = signed(
        up,
        "PUT",
        target,
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
        {"Content-Encoding": "aws-chunked", "x-amz-decoded-content-length": "180000"},
    )
    claim, signer = read_claim(target, headers_of(headers)), Signatures(up.endpoint.keys)
    assert claim is not None

    def signature(kind: str, before: str, digests: str) -> str:
        return signer.sign(
            claim, f"AWS4-HMAC-SHA256-{kind}\n{claim.timestamp}\n{claim.scope}\n{before}\n{digests}"
        )

    body, last = b"", claim.signature
    empty = hashlib.sha256(b"").hexdigest()
    for part in parts:
        last = signature("PAYLOAD", last, f"{empty}\n{hashlib.sha256(part).hexdigest()}")
        body += f"{len(part):x};chunk-signature={last}\r\n".encode() + (part + b"\r\n" if part else b"")
    of_trailer = signature("TRAILER", last, hashlib.sha256(f"{trailer}\n".encode()).hexdigest())
    body += f"{trailer}\r\nx-amz-trailer-signature:{of_trailer}\r\n\r\n".encode()

    assert bare(up, "PUT", target, body, headers).status == 200
    assert up.client("s3").get_object(Bucket=bucket, Key="chunks")["Body"].read() == b"".join(parts)
    for altered in (
        body.replace(b"two", b"TWO", 1),
        body.replace(b"AAAA", b"BBBB"),
        body.replace(of_trailer.encode(), b""),
    ):
        response = bare(up, "PUT", target, altered, headers)
        assert (response.status, "SignatureDoesNotMatch" in text(response)) == (403, True)
    response = bare(up, "PUT", target, body[:-60_000], headers)
    assert (response.status, "IncompleteBody" in text(response)) == (400, True)
    up.client("s3").delete_object(Bucket=bucket, Key="chunks")


def headers_of(headers: dict[str, str]) -> Any:
    from multidict import CIMultiDict

    return CIMultiDict(headers)


def test_a_body_beyond_what_is_kept_in_memory_comes_back_whole(up: Opened, bucket: str) -> None:
    body = bytes(range(256)) * (IN_MEMORY_BYTES // 256 + 1)
    s3 = up.client("s3")
    s3.put_object(Bucket=bucket, Key="large", Body=body)
    assert s3.get_object(Bucket=bucket, Key="large")["Body"].read() == body
    s3.delete_object(Bucket=bucket, Key="large")


@pytest.mark.parametrize("unsigned_payload", [False, True])
def test_obstore_is_let_in_with_the_secret_alone(up: Opened, bucket: str, unsigned_payload: bool) -> None:
    def store(keys: KeyPair) -> S3Store:
        return S3Store(
            bucket,
            region="us-east-1",
            endpoint=f"http://{up.endpoint.address}",
            access_key_id=keys.access_key_id,
            secret_access_key=keys.secret_access_key,
            unsigned_payload=unsigned_payload,
            client_options={"allow_http": True},
            retry_config={"max_retries": 0},
        )

    mine = store(up.endpoint.keys)
    for key, body in (("a b/ü+%.bin", b"\x00" * 1000), ("parts", b"part" * 3_000_000)):
        obstore.put(mine, key, body, attributes={"Content-Type": "text/plain", "who": "me"})
        assert bytes(obstore.get(mine, key).bytes()) == body
        assert bytes(obstore.get_range(mine, key, start=2, end=5)) == body[2:5]
    obstore.copy(mine, "parts", "copied")
    assert sorted(one["path"] for page in obstore.list(mine) for one in page) == [
        "a b/ü+%.bin",
        "copied",
        "parts",
    ]
    obstore.delete(mine, ["a b/ü+%.bin", "copied", "parts"])
    with pytest.raises(obstore.exceptions.PermissionDeniedError, match="SignatureDoesNotMatch"):
        obstore.get(store(KeyPair(up.endpoint.keys.access_key_id, "wrong")), "parts")


# What nobody can read.

MALFORMED: list[tuple[str, str, bytes]] = [
    *(
        (method, f"/{{bucket}}{where}", body)
        for method, where in (
            ("POST", "?delete"),
            ("POST", "/k?uploadId=x"),
            ("PUT", "?versioning"),
            ("PUT", "?tagging"),
            ("PUT", "/k?tagging"),
            ("PUT", "?lifecycle"),
            ("PUT", "?notification"),
            ("PUT", "?cors"),
            ("PUT", "?encryption"),
            ("PUT", "?replication"),
            ("PUT", "?logging"),
            ("PUT", "?accelerate"),
            ("PUT", "?publicAccessBlock"),
            ("PUT", "?ownershipControls"),
            ("PUT", "?object-lock"),
        )
        for body in (b"<a><b></a>", b"no xml", b"\xff\xfe", b"<" * 5000)
    ),
    ("PUT", "/new-bucket", b"<CreateBucketConfiguration><Loc"),
]


@pytest.mark.parametrize(("method", "target", "body"), MALFORMED)
def test_malformed_xml_is_a_bad_request_and_changes_nothing(
    up: Opened, bucket: str, caplog: pytest.LogCaptureFixture, method: str, target: str, body: bytes
) -> None:
    target = target.format(bucket=bucket)
    up.client("s3").put_object(Bucket=bucket, Key="k", Body=b"")
    response = bare(up, method, target, body, signed(up, method, target, body))
    assert (response.status, "MalformedXML" in text(response)) == (400, True), text(response)
    assert_no_traceback(caplog)


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        ("GET", "/{bucket}?max-keys=many", {}),
        ("GET", "/{bucket}?list-type=2&max-keys=many", {}),
        ("GET", "/{bucket}/k?partNumber=first", {}),
        ("PUT", "/{bucket}/k?uploadId=x&partNumber=first", {}),
        ("GET", "/{bucket}/k", {"Range": "bytes=last-"}),
        ("PUT", "/{bucket}/k", {"x-amz-copy-source": "nowhere"}),
        ("PUT", "/{bucket}/k", {"x-amz-tagging": "%"}),
        ("GET", "/%ff/%ff", {}),
    ],
)
def test_no_request_of_s3_is_a_failure_of_ours(
    up: Opened,
    bucket: str,
    caplog: pytest.LogCaptureFixture,
    method: str,
    target: str,
    headers: dict[str, str],
) -> None:
    target = target.format(bucket=bucket)
    up.client("s3").put_object(Bucket=bucket, Key="k", Body=b"123")
    response = bare(up, method, target, b"", signed(up, method, target, b"", headers))
    assert response.status < 500, text(response)
    assert_no_traceback(caplog)


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b"7", b"\xff", b'{"QueueName": 5}', b'{"QueueUrl": {}}', b'{"Rule": []}', b"[" * 10_000],
)
@pytest.mark.parametrize(
    ("service", "target"),
    [
        ("sqs", "AmazonSQS.CreateQueue"),
        ("sqs", "AmazonSQS.SendMessage"),
        ("sqs", "AmazonSQS.Nothing"),
        ("events", "AWSEvents.PutTargets"),
        ("states", "AWSStepFunctions.StartExecution"),
    ],
)
def test_malformed_json_is_a_bad_request(
    up: Opened, caplog: pytest.LogCaptureFixture, service: str, target: str, body: bytes
) -> None:
    request = AWSRequest("POST", f"http://{up.endpoint.address}/", {"X-Amz-Target": target}, body)
    request.headers["Content-Type"] = "application/x-amz-json-1.0"
    keys = up.endpoint.keys
    SigV4Auth(Credentials(keys.access_key_id, keys.secret_access_key), service, "us-east-1").add_auth(request)
    response = bare(up, "POST", "/", body, dict(request.headers.items()))
    assert response.status in (200, 400, 404, 501), text(response)
    assert "__type" in json.loads(text(response)) or response.status == 200
    assert_no_traceback(caplog)


def assert_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    for record in caplog.records:
        assert record.exc_info is None, record.exc_text
        assert record.levelno < logging.ERROR, record.getMessage()


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"PUT / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
        b"PUT / HTTP/1.1\r\nHost: 127.0.0.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
    ],
)
def test_what_is_no_http_is_one_line_in_the_log(
    up: Opened, caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    with connected(up) as connection:
        connection.sendall(sent)
        assert connection.recv(64).startswith(b"HTTP/1.0 400 ")
    assert_no_traceback(caplog)


# Anything in the places that are read before anybody is let in.
words = b"AWS4-HMAC-SHA256 ,Credential=,SignedHeaders=,Signature=,host,;,=,/,%,s3,&,+, ,20261201,aws4_request"
odd = [b",", b"0" * 64, b"\xff", b"\xc3\xbc", b"\xed\xa0\x80"]
pieces = st.lists(
    st.sampled_from([*words.split(b","), *odd])
    | st.binary(max_size=3).map(lambda raw: raw.translate(None, b"\r\n\0")),
    max_size=12,
).map(b"".join)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(authorization=pieces, date=pieces, sha256=pieces, query=pieces)
def test_whatever_claims_to_be_signed_is_refused_and_no_failure_of_ours(
    up: Opened,
    caplog: pytest.LogCaptureFixture,
    authorization: bytes,
    date: bytes,
    sha256: bytes,
    query: bytes,
) -> None:
    caplog.clear()
    query = b"".join(b"%%%02x" % byte if byte <= 32 or byte >= 127 else bytes([byte]) for byte in query)
    head = [
        b"GET /?X-Amz-Signature=" + query + b"&AWSAccessKeyId=" + query + b" HTTP/1.1",
        b"Host: " + up.endpoint.address.encode(),
        b"Authorization: " + authorization,
        b"X-Amz-Date: " + date,
        b"X-Amz-Content-Sha256: " + sha256,
        b"Connection: close",
    ]
    for lines in (head, [head[0], head[1], head[5]], [b"GET / HTTP/1.1", *head[1:]]):
        with connected(up) as connection:
            connection.sendall(b"\r\n".join(lines) + b"\r\n\r\n")
            assert connection.recv(64).split(b" ")[1] in (b"400", b"403")
    assert_no_traceback(caplog)


# Requests that do not end.


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: 1\r\nX-B",
    ],
)
def test_a_connection_whose_headers_never_come_is_closed(up: Opened, sent: bytes) -> None:
    with connected(up) as connection:
        connection.sendall(sent)
        assert connection.recv(64) == b""


def test_headers_that_trickle_are_not_waited_for(up: Opened) -> None:
    began = time.monotonic()
    with connected(up) as connection:
        connection.settimeout(0.2)
        connection.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        while not is_closed(connection, b"X: 1\r\n"):
            assert time.monotonic() - began < 60


@pytest.mark.parametrize("drip", [b"", b"x"])
def test_a_body_that_never_comes_whole_is_not_waited_for(up: Opened, bucket: str, drip: bytes) -> None:
    headers = signed(up, "PUT", f"/{bucket}/slow", "UNSIGNED-PAYLOAD") | {"Content-Length": "100000"}
    began = time.monotonic()
    with connected(up) as connection:
        connection.settimeout(0.2)
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"PUT /{bucket}/slow HTTP/1.1\r\nHost: {up.endpoint.address}\r\n{lines}\r\n"
        connection.sendall(head.encode() + b"begun")
        while not is_closed(connection, drip):
            assert time.monotonic() - began < 60
    assert "Contents" not in up.client("s3").list_objects_v2(Bucket=bucket, Prefix="slow")


def is_closed(connection: socket.socket, drip: bytes) -> bool:
    """Send a little more, and look whether the other side has had enough."""
    try:
        connection.sendall(drip)
        return connection.recv(64) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


# Without.


def test_insecure_lets_in_what_is_not_signed_but_no_web_page(tmp_path: Path) -> None:
    (tmp_path / "stack").mkdir()
    with opened(stub_stack(tmp_path / "stack"), tmp_path / "work") as up:
        name = up.stack.buckets["InputBucket"]
        assert bare(up, "PUT", f"/{name}/k", b"anybody's").status == 200
        assert up.client("s3", keys=KeyPair("a", "b")).get_object(Bucket=name, Key="k")["ContentLength"] == 9
        for kind in ("multipart/form-data; boundary=b", "text/plain", "application/x-www-form-urlencoded"):
            assert bare(up, "POST", f"/{name}", b"x=1", Content_Type=kind).status == 403
        assert bare(up, "GET", f"/{name}/k", Referer="http://evil.example/").status == 403
