"""The one endpoint, driven by boto3 and by bare requests: every service of the stack, and the guard before."""

import http.client
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st

from fanwise_local.doors.signatures import KeyPair
from fanwise_local.template_resources import ACCOUNT_ID

from .endpoints import Opened, bare, opened, signed, stub_stack

KEYS = [
    "a b",
    "a+b",
    "a%2Fb",
    "a%20b",
    "ümläut",
    "😀/😀",
    "x//y",
    "/lead",
    "tail/",
    "a/../b",
    "q?x=1&y#z",
    "'\"<&>",
]


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """One endpoint for the module."""
    root = tmp_path_factory.mktemp("up")
    (root / "stack").mkdir()
    with opened(stub_stack(root / "stack"), root / "work", keys=KeyPair.fresh()) as up:
        yield up


@pytest.fixture(scope="module")
def s3(up: Opened) -> Any:
    return up.client("s3")


@pytest.fixture
def bucket(up: Opened, s3: Any) -> str:
    """The input bucket, empty."""
    name = up.stack.buckets["InputBucket"]
    found = s3.list_object_versions(Bucket=name)
    for one in found.get("Versions", []) + found.get("DeleteMarkers", []):
        s3.delete_object(Bucket=name, Key=one["Key"], VersionId=one["VersionId"])
    return name


def code(call: Callable[..., Any], **members: Any) -> str:
    """What a call is refused with."""
    with pytest.raises(ClientError) as caught:
        call(**members)
    return str(caught.value.response["Error"]["Code"])


# The stack is there.


def test_the_stack_has_the_outputs_that_a_deployed_one_would_have(up: Opened) -> None:
    (stack,) = up.client("cloudformation").describe_stacks(StackName="fanwise")["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    assert {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]} == up.stack.outputs
    assert stack["Description"].startswith("fanwise: ")
    parameters = {one["ParameterKey"]: one["ParameterValue"] for one in stack["Parameters"]}
    assert (parameters["FurtherItems"], parameters["PredictBatchMemoryMb"]) == ("", "1769")
    assert code(up.client("cloudformation").describe_stacks, StackName="other") == "ValidationError"


def test_buckets_and_queues_are_as_the_template_says(up: Opened, s3: Any) -> None:
    assert {one["Name"] for one in s3.list_buckets()["Buckets"]} == set(up.stack.buckets.values())
    for name in up.stack.buckets.values():
        assert s3.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"
    urls = up.client("sqs").list_queues()["QueueUrls"]
    assert {url.rpartition("/")[2] for url in urls} == {
        url.rpartition("/")[2] for url in up.stack.queues.values()
    }
    assert up.client("sts").get_caller_identity()["Account"] == ACCOUNT_ID


# Objects.


@pytest.mark.parametrize("key", KEYS)
def test_a_key_survives_every_way(s3: Any, bucket: str, key: str) -> None:
    body = key.encode() * 3
    s3.put_object(Bucket=bucket, Key=key, Body=body, Metadata={"a_b": "under", "a-c": "dash"})
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == body
    told = s3.head_object(Bucket=bucket, Key=key)
    assert (told["ContentLength"], told["Metadata"]) == (len(body), {"a_b": "under", "a-c": "dash"})
    assert [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [key]
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": key})
    assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == body
    s3.delete_object(Bucket=bucket, Key=key)
    assert code(s3.get_object, Bucket=bucket, Key=key) == "NoSuchKey"


@settings(max_examples=25)
@given(key=st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=60))
def test_any_key_comes_back(up: Opened, key: str) -> None:
    s3, name = up.client("s3"), up.stack.buckets["ModelBucket"]
    s3.put_object(Bucket=name, Key=key, Body=b"x")
    assert s3.head_object(Bucket=name, Key=key)["ContentLength"] == 1
    s3.delete_object(Bucket=name, Key=key)


def test_a_range_ends_where_the_object_does(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")
    got = s3.get_object(Bucket=bucket, Key="k", Range="bytes=8-99")
    assert (got["Body"].read(), got["ContentRange"]) == (b"89", "bytes 8-9/10")
    assert s3.get_object(Bucket=bucket, Key="k", Range="bytes=-3")["Body"].read() == b"789"
    assert code(s3.get_object, Bucket=bucket, Key="k", Range="bytes=10-") == "InvalidRange"
    s3.put_object(Bucket=bucket, Key="empty", Body=b"")
    assert code(s3.get_object, Bucket=bucket, Key="empty", Range="bytes=0-9") == "InvalidRange"


def test_a_version_stays_readable_and_conditions_hold(s3: Any, bucket: str) -> None:
    first = s3.put_object(Bucket=bucket, Key="k", Body=b"first")
    second = s3.put_object(Bucket=bucket, Key="k", Body=b"second")
    assert s3.get_object(Bucket=bucket, Key="k", VersionId=first["VersionId"])["Body"].read() == b"first"
    assert s3.get_object(Bucket=bucket, Key="k", IfMatch=second["ETag"])["Body"].read() == b"second"
    assert code(s3.get_object, Bucket=bucket, Key="k", IfMatch=first["ETag"]) == "PreconditionFailed"
    assert code(s3.get_object, Bucket=bucket, Key="k", IfNoneMatch=second["ETag"]) == "304"
    assert code(s3.put_object, Bucket=bucket, Key="k", Body=b"", IfNoneMatch="*") == "PreconditionFailed"
    assert code(s3.get_object, Bucket=bucket, Key="k", VersionId="nope") == "NoSuchVersion"


def test_of_many_who_create_an_object_one_wins(up: Opened, bucket: str) -> None:
    won: list[int] = []

    def create(number: int) -> None:
        s3 = up.client("s3")
        try:
            s3.put_object(Bucket=bucket, Key="claim", Body=b"%d" % number * 100_000, IfNoneMatch="*")
            won.append(number)
        except ClientError as error:
            assert error.response["Error"]["Code"] == "PreconditionFailed"

    threads = [threading.Thread(target=create, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    body = up.client("s3").get_object(Bucket=bucket, Key="claim")["Body"].read()
    assert body == b"%d" % won[0] * 100_000


def test_a_body_comes_back_as_it_was_sent(up: Opened, s3: Any, bucket: str) -> None:
    """Packed ones, too; in chunks of HTTP, and in chunks that AWS signs."""
    s3.put_object(Bucket=bucket, Key="packed", Body=b"\x1f\x8bnot really", ContentEncoding="gzip")
    got = s3.get_object(Bucket=bucket, Key="packed")
    assert (got["Body"].read(), got["ContentEncoding"]) == (b"\x1f\x8bnot really", "gzip")

    connection = http.client.HTTPConnection(up.endpoint.address, timeout=30)
    headers = signed(up, "PUT", f"/{bucket}/chunked", b"onetwo")
    connection.request("PUT", f"/{bucket}/chunked", iter([b"one", b"two"]), headers, encode_chunked=True)
    assert connection.getresponse().status == 200
    connection.close()
    assert s3.get_object(Bucket=bucket, Key="chunked")["Body"].read() == b"onetwo"

    body = b"5\r\nhello\r\n6\r\n world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n"
    headers = signed(
        up,
        "PUT",
        f"/{bucket}/signed",
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        {
            "Content-Encoding": "aws-chunked",
            "x-amz-decoded-content-length": "11",
            "x-amz-trailer": "x-amz-checksum-crc32",
        },
    )
    response = bare(up, "PUT", f"/{bucket}/signed", body, headers)
    assert response.status == 200
    assert s3.get_object(Bucket=bucket, Key="signed")["Body"].read() == b"hello world"


def test_a_large_object_goes_up_in_parts(s3: Any, bucket: str) -> None:
    body = bytes(range(256)) * 80_000  # 20 MB, three parts
    s3.upload_fileobj(io.BytesIO(body), bucket, "large")
    told = s3.head_object(Bucket=bucket, Key="large")
    assert told["ContentLength"] == len(body)
    assert told["ETag"].endswith('-3"')
    assert (
        s3.get_object(Bucket=bucket, Key="large", Range="bytes=8388600-8388615")["Body"].read()
        == body[8388600:8388616]
    )


# What an upload tells.


def events_to_a_queue(
    up: Opened, name: str, pattern: dict[str, Any]
) -> Callable[[int], list[dict[str, Any]]]:
    """A rule of one's own, to a queue; answers with a way to read as many events as are expected."""
    sqs, events = up.client("sqs"), up.client("events")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name=name, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}])

    def read(count: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        give_up = time.monotonic() + 20
        while len(found) < count:
            assert time.monotonic() < give_up, found
            messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
            found += [json.loads(message["Body"]) for message in messages.get("Messages", [])]
        return found

    return read


def test_uploads_are_told_as_s3_tells_them(up: Opened, s3: Any, bucket: str) -> None:
    read = events_to_a_queue(up, "uploads", {"source": ["aws.s3"], "detail": {"reason": [{"exists": True}]}})
    put = s3.put_object(Bucket=bucket, Key="a b+ü%2F😀.png", Body=b"12345")
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "a b+ü%2F😀.png"})
    upload = s3.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="parts", UploadId=upload, PartNumber=1, Body=b"123")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(Bucket=bucket, Key="parts", UploadId=upload, MultipartUpload=parts)
    s3.put_object(Bucket=up.stack.buckets["ModelBucket"], Key="nobody asked", Body=b"")

    told = sorted(read(3), key=lambda event: event["detail"]["object"]["sequencer"])
    assert [(e["detail"]["object"]["key"], e["detail"]["reason"]) for e in told] == [
        ("a b+ü%2F😀.png", "PutObject"),
        ("copy", "CopyObject"),
        ("parts", "CompleteMultipartUpload"),
    ]
    event = told[0]
    assert (event["detail-type"], event["source"], event["account"]) == (
        "Object Created",
        "aws.s3",
        ACCOUNT_ID,
    )
    assert event["detail"]["bucket"]["name"] == bucket
    del event["detail"]["object"]["sequencer"]
    assert event["detail"]["object"] == {
        "key": "a b+ü%2F😀.png",
        "size": 5,
        "etag": put["ETag"].strip('"'),
        "version-id": put["VersionId"],
    }
    assert {e["detail"]["object"]["size"] for e in told} == {5, 3}


def test_an_upload_starts_an_execution_by_the_templates_rule_and_its_end_is_told(
    up: Opened, s3: Any, bucket: str
) -> None:
    read = events_to_a_queue(up, "statuses", {"source": ["aws.states"]})
    states = up.client("stepfunctions")
    machine = up.stack.state_machine_arn
    before = len(states.list_executions(stateMachineArn=machine)["executions"])
    version = s3.put_object(Bucket=bucket, Key="jobs/nightly ü.json", Body=b"{}")["VersionId"]
    s3.put_object(Bucket=bucket, Key="images/nightly.json", Body=b"{}")
    executions = states.list_executions(stateMachineArn=machine)["executions"]
    assert len(executions) == before + 1
    started = states.describe_execution(executionArn=executions[0]["executionArn"])
    detail = json.loads(started["input"])["detail"]
    assert (detail["object"]["key"], detail["object"]["version-id"]) == ("jobs/nightly ü.json", version)
    (event,) = read(1)
    assert event["detail"]["executionArn"] == started["executionArn"]
    assert event["detail"]["status"] == "SUCCEEDED"  # to the stub an event is one that has nothing to run


# A job.


def test_a_job_runs_over_the_endpoint_and_its_messages_and_events_arrive(up: Opened, s3: Any) -> None:
    read = events_to_a_queue(up, "outcomes", {"source": ["fanwise"]})
    states, sqs = up.client("stepfunctions"), up.client("sqs")
    given = json.dumps({"entries": 4, "die": [2]})
    arn = states.start_execution(stateMachineArn=up.stack.state_machine_arn, input=given)["executionArn"]
    (event,) = read(1)
    while (described := states.describe_execution(executionArn=arn))["status"] == "RUNNING":
        pass
    assert described["status"] == "SUCCEEDED"
    assert json.loads(described["output"])["items"] == {"predicted": 3, "dead_lettered": 1}
    assert (event["detail-type"], event["detail"]["items"]["predicted"]) == ("Batch Inference Job Ended", 3)
    (map_run,) = states.list_map_runs(executionArn=arn)["mapRuns"]
    assert states.describe_map_run(mapRunArn=map_run["mapRunArn"])["itemCounts"]["total"] == 4
    (message,) = sqs.receive_message(QueueUrl=up.stack.outputs["DeadLetterQueueUrl"])["Messages"]
    assert json.loads(message["Body"])["dead_lettered"] == 1
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket=up.stack.buckets["ResultsBucket"])["Contents"]]
    assert [key for key in keys if "/commits/" in key] == [f"jobs/job-1/commits/{n}.json" for n in (0, 1, 3)]
    assert any(key.startswith("jobs/job-1/map-run/") and key.endswith("/manifest.json") for key in keys)


def test_topics_reach_queues(up: Opened) -> None:
    sns, sqs = up.client("sns"), up.client("sqs")
    topic = sns.create_topic(Name="told")["TopicArn"]
    url = sqs.create_queue(QueueName="hears")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    sns.publish(TopicArn=topic, Message="hello")
    (message,) = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5)["Messages"]
    assert json.loads(message["Body"])["Message"] == "hello"


# Who may call, and what is not served.


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:80"},
        {"Origin": "http://localhost:3000"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Referer": "http://evil.example/page"},
        {"Referer": "http://127.0.0.1:1/page"},
        {"Referer": "http://[evil/"},
        {"Content_Type": "multipart/form-data; boundary=b"},
    ],
)
@pytest.mark.parametrize(
    "further",
    [
        {},
        {"Authorization": "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/sqs/aws4_request, Signature=x"},
        {
            "Authorization": "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/lambda/aws4_request, Signature=x"
        },
        {"X_Amz_Target": "AWSStepFunctions.ListStateMachines"},
    ],
)
def test_what_is_no_program_of_this_machine_is_refused(
    up: Opened, bucket: str, headers: dict[str, str], further: dict[str, str]
) -> None:
    response = bare(up, "PUT", f"/{bucket}/evil", b"x", None, **headers, **further)
    assert response.status == 403
    assert "Access-Control-Allow-Origin" not in response.headers
    assert "Contents" not in up.client("s3").list_objects_v2(Bucket=bucket)


def test_no_answer_invites_web_pages(up: Opened, bucket: str) -> None:
    response = bare(up, "GET", f"/{bucket}", signature=signed(up, "GET", f"/{bucket}"))
    assert response.status == 200
    assert not [name for name in response.headers if name.lower().startswith("access-control")]


def test_a_link_that_was_signed_is_s3s_whatever_it_says(up: Opened, s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a b", Body=b"linked")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "a b"})
    response = bare(up, "GET", url.partition(up.endpoint.address)[2])
    assert response.body == b"linked"  # type: ignore[attr-defined]
    query = urlencode({"Action": "DeleteQueue", "QueueUrl": "x"})
    response = bare(up, "GET", f"/?{query}", signature=signed(up, "GET", f"/?{query}"))
    assert b"ListAllMyBucketsResult" in response.body  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("service", "operation"),
    [
        ("dynamodb", "list_tables"),
        ("kinesis", "list_streams"),
        ("cloudwatch", "list_dashboards"),
        ("iam", "list_users"),
    ],
)
def test_what_is_not_served_says_so(up: Opened, service: str, operation: str) -> None:
    with pytest.raises(ClientError, match="is not served on this machine") as caught:
        getattr(up.client(service), operation)()
    assert caught.value.response["Error"]["Code"] == "NotImplemented"


def test_nothing_resets_what_is_kept(up: Opened, s3: Any, bucket: str) -> None:
    """moto's own API is no service of AWS."""
    s3.put_object(Bucket=bucket, Key="kept", Body=b"x")
    bare(up, "POST", "/moto-api/reset", signature=signed(up, "POST", "/moto-api/reset"))
    assert s3.head_object(Bucket=bucket, Key="kept")["ContentLength"] == 1


def test_a_request_that_breaks_off_leaves_nothing(up: Opened, s3: Any, bucket: str) -> None:
    connection = http.client.HTTPConnection(up.endpoint.address, timeout=30)
    connection.putrequest("PUT", f"/{bucket}/{quote('half')}")
    connection.putheader("Content-Length", "1000000")
    for name, value in signed(up, "PUT", f"/{bucket}/half", "UNSIGNED-PAYLOAD").items():
        connection.putheader(name, value)
    connection.endheaders(b"x" * 1000)
    connection.close()
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
