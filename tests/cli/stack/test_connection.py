"""What is wrong with credentials, Region, endpoint or stack is one line that names it, and exit code 2."""

import socket
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest

from cli.stack.conftest import Deployed, Fanwise
from cli.stack.refusing import answering, error_xml, s3_error_xml, stack_xml
from cloud_in_process import item, write_items
from commands import Ended
from fanwise_cli.stack.connection import StackOptions, connect

OUTPUTS = {
    "InputBucket": "in-put",
    "ModelBucket": "mod-els",
    "ResultsBucket": "res-ults",
    "StateMachineArn": "arn:aws:states:eu-west-1:123456789012:stateMachine:fanwise-batch-inference",
}


def refused(ended: Ended, *says: str) -> None:
    """Assert that the command ended before any work, with one line that says these."""
    assert ended.code == 2, ended
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert line.startswith("fanwise: ")
    assert "Traceback" not in line
    for text in says:
        assert text in line, line


class TestBeforeAnyRequest:
    """Nothing is asked of the network: these would not end quickly here."""

    def test_no_credentials(self, fanwise: Fanwise) -> None:
        refused(
            fanwise("status", "--region", "eu-west-1"), "no AWS credentials", "aws sso login", "--profile"
        )

    def test_no_region(self, fanwise: Fanwise) -> None:
        refused(fanwise("status"), "which Region is the stack in? Give --region")

    def test_no_such_profile(self, fanwise: Fanwise) -> None:
        refused(fanwise("status", "--profile", "nobody"), "nobody", "aws configure list-profiles")

    def test_half_of_the_credentials(self, fanwise: Fanwise, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
        refused(fanwise("status", "--region", "eu-west-1"), "incomplete", "give key and secret")

    def test_no_region_of_that_form(self, fanwise: Fanwise) -> None:
        refused(fanwise("status", "--region", "eu west 1"), "eu west 1", "like us-east-1 (--region)")

    @pytest.mark.parametrize("url", ["nonsense", "127.0.0.1:4566"])
    def test_no_endpoint(self, fanwise: Fanwise, url: str) -> None:
        ended = fanwise("status", "--region", "eu-west-1", "--endpoint-url", url)
        refused(ended, url, "http://127.0.0.1:4566 (--endpoint-url)")


def test_nothing_answers(fanwise: Fanwise) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        refused(fanwise("status", "--endpoint-url", url), f"nothing answers at {url}", "fanwise up")


@pytest.mark.parametrize(
    ("status", "code", "message", "says"),
    [
        (403, "InvalidClientTokenId", "The security token is invalid", ["does not accept", "sts get-caller"]),
        (403, "SignatureDoesNotMatch", "The request signature", ["does not accept", "SignatureDoesNotMatch"]),
        (403, "SignatureDoesNotMatch", "Signature expired: 2026 is now", ["set this machine's clock right"]),
        (403, "ExpiredToken", "The security token is expired", ["have expired; sign in again"]),
        (400, "RequestTimeTooSkewed", "too large", ["set this machine's clock right"]),
        (
            403,
            "AccessDenied",
            "User: arn:aws:iam::1:user/x is not authorized to perform: cloudformation:DescribeStacks on resource:"
            " arn:aws:cloudformation:eu-west-1:1:stack/fanwise/* because",
            [
                "may not do cloudformation:DescribeStacks on arn:aws:cloudformation:eu-west-1:1:stack/fanwise/*"
            ],
        ),
        (403, "AccessDenied", "no", ["may not do DescribeStacks in eu-west-1"]),
        (
            400,
            "OptInRequired",
            "The account is new.",
            ["refused DescribeStacks: OptInRequired: The account is"],
        ),
        (
            400,
            "ValidationError",
            "Stack with id x does not exist",
            ["no stack 'fanwise' in eu-west-1", "--region"],
        ),
    ],
)
def test_what_cloudformation_refuses(
    fanwise: Fanwise, status: int, code: str, message: str, says: list[str]
) -> None:
    with answering(status, error_xml(code, message)) as url:
        refused(fanwise("status", "--endpoint-url", url, "--region", "eu-west-1"), *says)


def test_a_profile_is_named_with_what_is_wrong(
    fanwise: Fanwise, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "credentials").write_text("[work]\naws_access_key_id = a\naws_secret_access_key = b\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    with answering(403, error_xml("InvalidClientTokenId", "no")) as url:
        refused(
            fanwise("status", "--endpoint-url", url, "--profile", "work"), "the credentials of profile 'work'"
        )


@pytest.mark.parametrize(
    ("status", "absent", "says"),
    [
        ("CREATE_COMPLETE", "StateMachineArn", "is not a stack of fanwise: it has no output StateMachineArn"),
        ("CREATE_IN_PROGRESS", "InputBucket", "is still CREATE_IN_PROGRESS; wait"),
        ("REVIEW_IN_PROGRESS", "InputBucket", "is still REVIEW_IN_PROGRESS; wait"),
        ("ROLLBACK_COMPLETE", "InputBucket", "is ROLLBACK_COMPLETE; its events say why"),
        ("CREATE_FAILED", "InputBucket", "is CREATE_FAILED; its events say why"),
        ("DELETE_IN_PROGRESS", "", "is DELETE_IN_PROGRESS; deploy it again"),
    ],
)
def test_a_stack_that_cannot_be_used(fanwise: Fanwise, status: str, absent: str, says: str) -> None:
    outputs = {key: value for key, value in OUTPUTS.items() if key != absent}
    with answering(200, stack_xml("fanwise", status, outputs)) as url:
        refused(fanwise("status", "--endpoint-url", url), "stack 'fanwise'", says)


def test_a_stack_is_found_with_its_buckets_and_what_items_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FANWISE_STACK", "fanwise")
    further = "arn:aws:s3:::more/*,arn:aws:s3:::most/of-it/*"
    body = stack_xml("fanwise", "UPDATE_ROLLBACK_COMPLETE", OUTPUTS, FurtherItems=further)
    with answering(200, body) as url:
        stack = connect(StackOptions(endpoint_url=url, region="eu-west-1"))
    assert (stack.input_bucket, stack.model_bucket, stack.results_bucket) == ("in-put", "mod-els", "res-ults")
    assert stack.readable == ("s3://in-put/", "s3://more/", "s3://most/of-it/")
    assert stack.execution_arn("a") == (
        "arn:aws:states:eu-west-1:123456789012:execution:fanwise-batch-inference:a"
    )
    assert stack.console_url(stack.execution_arn("a")) is None


def test_the_console_is_linked_on_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(200, stack_xml("fanwise", "CREATE_COMPLETE", OUTPUTS)) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDFORMATION", url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
        stack = connect(StackOptions(region="eu-west-1"))
    arn = stack.execution_arn("nightly")
    assert stack.is_on_aws
    assert stack.console_url(arn) == (
        f"https://eu-west-1.console.aws.amazon.com/states/home?region=eu-west-1#/v2/executions/details/{arn}"
    )


def test_a_stack_that_is_not_there(fanwise: Fanwise, aws: str) -> None:
    refused(
        fanwise("status", "--stack", "nowhere"), "no stack 'nowhere' in us-east-1", "--stack and --region"
    )


def test_another_stack(fanwise: Fanwise, aws: str) -> None:
    template = "Resources: {Other: {Type: AWS::S3::Bucket}}"
    boto3.client("cloudformation").create_stack(StackName="others", TemplateBody=template)
    refused(fanwise("status", "--stack", "others"), "not a stack of fanwise", "InputBucket")


def test_a_loopback_endpoint_needs_neither_region_nor_credentials(
    fanwise: Fanwise, deployed: Deployed, aws: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name)
    assert fanwise("push", "nowhere", "--endpoint-url", aws).code == 2
    ended = fanwise("status", "job", "--endpoint-url", aws)
    refused(ended, "'job'", f"fanwise status --endpoint-url {aws} lists the recent ones")


def test_aws_region_says_where_and_counts_before_the_older_variable(
    fanwise: Fanwise, aws: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-3")
    refused(fanwise("status", "--stack", "nowhere"), "no stack 'nowhere' in eu-west-3", "--region")
    ended = fanwise("status", "--stack", "nowhere", "--region", "eu-west-1")
    refused(ended, "no stack 'nowhere' in eu-west-1", "--region")


Elsewhere = Callable[[Deployed, Path], tuple[str, ...]]
ELSEWHERE: list[Elsewhere] = [
    lambda deployed, _: (f"s3://{deployed.input}/items.jsonl",),
    lambda deployed, _: (f"s3://{deployed.input}/job.json",),
    lambda deployed, _: (f"s3://{deployed.input}/folder/",),
    lambda _, folder: (str(write_items(folder / "items.jsonl", [item(1)])),),
]


@pytest.mark.parametrize("words", ELSEWHERE)
def test_a_bucket_in_another_region(
    fanwise: Fanwise,
    deployed: Deployed,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    words: Elsewhere,
) -> None:
    body = s3_error_xml(
        "PermanentRedirect", "use the other endpoint", Bucket="it", Endpoint="it.s3.amazonaws.com"
    )
    with answering(301, body, {"x-amz-bucket-region": "eu-west-1"}) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
        ended = fanwise("submit", *words(deployed, tmp_path), "--model", "arithmetic@1")
    refused(ended, "is in eu-west-1, and the stack's Region is us-east-1", "copy what it needs")
