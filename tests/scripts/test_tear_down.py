"""scripts/tear_down.sh with the AWS CLI, on an endpoint of the shipped stack."""

import json
from typing import Any

import pytest
from moto.cloudformation.exceptions import ValidationError
from moto.cloudformation.models import CloudFormationBackend
from moto.s3.exceptions import AccessDeniedByLock, MalformedXML
from moto.s3.models import S3Backend, s3_backends

from aws_cli import with_the_aws_cli
from commands import Ended
from fanwise_local.template_resources import ACCOUNT_ID
from local.doors.endpoints import Opened
from scripts.shell import run_script

pytestmark = with_the_aws_cli

SCRIPT = "tear_down.sh"


@pytest.fixture(autouse=True)
def limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 as it is: a thousand keys a request (API_DeleteObjects). moto takes any number."""
    delete = S3Backend.delete_objects

    def delete_objects(
        self: S3Backend, bucket_name: str, objects: list[Any], *more: Any, **named: Any
    ) -> Any:
        if len(objects) > 1000:
            raise MalformedXML
        return delete(self, bucket_name, objects, *more, **named)

    monkeypatch.setattr(S3Backend, "delete_objects", delete_objects)


def put(up: Opened, bucket: str, objects: int, *, deleted: bool = False) -> None:
    """Put objects into a bucket; those that are deleted have a marker each, too."""
    s3 = s3_backends[ACCOUNT_ID]["aws"]

    def work() -> None:
        for number in range(objects):
            s3.put_object(bucket, f"a b/ü+{number}.json", b"{}")
            if deleted:
                s3.delete_object(bucket, f"a b/ü+{number}.json")

    up.endpoint.services._s3_thread.submit(work).result()


def said(ended: Ended) -> list[str]:
    """The lines that it said, each its own."""
    assert ended.stdout == ""
    lines = ended.stderr.splitlines()
    asked = [line.replace("Type the name of the stack to go on: ", "") for line in lines]
    assert all(line.startswith("tear_down: ") for line in asked), ended.stderr
    return [line.removeprefix("tear_down: ") for line in asked]


def is_whole(up: Opened) -> bool:
    """Whether the stack and its buckets are there."""
    there = {one["Name"] for one in up.client("s3").list_buckets()["Buckets"]}
    stacks = up.client("cloudformation").describe_stacks(StackName="fanwise")["Stacks"]
    return len(stacks) == 1 and there >= set(up.stack.buckets.values())


@pytest.mark.parametrize("typed", ["", "fanwis\n"])
def test_it_names_what_will_go_and_goes_on_only_by_the_stack_s_name(
    up: Opened, shell: dict[str, str], typed: str
) -> None:
    ended = run_script(SCRIPT, "fanwise", "--keep-results", environment=shell, typed=typed)
    buckets = up.stack.buckets
    assert ended.code == 2
    assert said(ended) == [
        f"account {ACCOUNT_ID}, Region us-east-1. To be removed for good:",
        "  stack fanwise, whose running jobs are stopped",
        f"  bucket {buckets['InputBucket']}, every version of every object in it",
        f"  bucket {buckets['ModelBucket']}, every version of every object in it",
        f"Kept: bucket {buckets['ResultsBucket']}",
        "that is not fanwise; nothing was removed",
    ]
    assert is_whole(up)


def test_where_cloudformation_does_not_say_nothing_is_removed(
    up: Opened, shell: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*words: Any) -> None:
        raise ValidationError(message="you may not see it")

    with monkeypatch.context() as patched:
        patched.setattr(CloudFormationBackend, "describe_stacks", refused)
        ended = run_script(SCRIPT, "fanwise", "--yes", environment=shell)
    (line,) = said(ended)
    assert ended.code == 1
    assert line.startswith("nothing was removed: ")
    assert line.endswith("you may not see it")
    assert is_whole(up)


def test_another_s_stack_is_left_alone(up: Opened, shell: dict[str, str]) -> None:
    template = {"Description": "theirs", "Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}}
    up.client("cloudformation").create_stack(StackName="theirs", TemplateBody=json.dumps(template))
    ended = run_script(SCRIPT, "theirs", "--yes", environment=shell)
    assert (ended.code, said(ended)) == (
        2,
        ["stack theirs in us-east-1 is not fanwise's; nothing was removed"],
    )
    assert len(up.client("cloudformation").describe_stacks(StackName="theirs")["Stacks"]) == 1


def test_a_stack_that_is_not_there_is_named(shell: dict[str, str]) -> None:
    ended = run_script(SCRIPT, "fanwisE", "--yes", environment=shell)
    (line,) = said(ended)
    assert ended.code == 2
    assert line.startswith(f"there is no stack fanwisE in us-east-1 of account {ACCOUNT_ID}")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((), "usage: "),
        (("--yes",), "usage: "),
        (("fanwise", "other"), "one stack at a time, not also other"),
        (("fanwise", "--force"), "there is no option --force; usage: "),
    ],
)
def test_what_is_wrong_with_the_words_is_said_in_a_line(
    shell: dict[str, str], words: tuple[str, ...], why: str
) -> None:
    ended = run_script(SCRIPT, *words, environment=shell)
    (line,) = said(ended)
    assert ended.code == 2
    assert line.startswith(why)


def test_which_region_has_to_be_told(shell: dict[str, str]) -> None:
    del shell["AWS_DEFAULT_REGION"]
    ended = run_script(SCRIPT, "fanwise", "--yes", environment=shell)
    assert (ended.code, said(ended)) == (2, ["which Region? set AWS_REGION"])


# The last one: it takes away what the others need.


def test_it_stops_jobs_and_removes_all_going_on_where_it_was_kept_from_it(
    up: Opened, shell: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    s3, states, buckets = up.client("s3"), up.client("stepfunctions"), up.stack.buckets
    put(up, buckets["InputBucket"], 1_100, deleted=True)
    put(up, buckets["ResultsBucket"], 3)
    running = states.start_execution(
        stateMachineArn=up.stack.state_machine_arn, input=json.dumps({"entries": 1, "hang": [0]})
    )["executionArn"]

    # Something in the model bucket may not be deleted.
    put(up, buckets["ModelBucket"], 1)
    delete = S3Backend.delete_object

    def kept(self: S3Backend, bucket_name: str, key_name: str, *more: Any, **named: Any) -> Any:
        if bucket_name == buckets["ModelBucket"]:
            raise AccessDeniedByLock
        return delete(self, bucket_name, key_name, *more, **named)

    with monkeypatch.context() as patched:
        patched.setattr(S3Backend, "delete_object", kept)
        ended = run_script(SCRIPT, "fanwise", environment=shell, typed="fanwise\n")
    assert ended.code == 1
    assert said(ended)[-1].startswith(
        f"{buckets['ModelBucket']} could not be emptied; the same command goes on"
    )
    assert f"stopping {running}" in said(ended)
    stopped = states.describe_execution(executionArn=running)
    assert (stopped["status"], stopped["error"]) == ("ABORTED", "TornDown")
    with pytest.raises(up.client("cloudformation").exceptions.ClientError, match="does not exist"):
        up.client("cloudformation").describe_stacks(StackName="fanwise")
    there = {one["Name"] for one in s3.list_buckets()["Buckets"]}
    assert there == {buckets["ModelBucket"], buckets["ResultsBucket"]}

    ended = run_script(SCRIPT, "fanwise", "--keep-results", "--yes", environment=shell)
    assert ended.code == 0
    assert "SAM's bucket of uploads" in said(ended)[-1]
    assert not any("stack fanwise" in line for line in said(ended))
    assert [one["Name"] for one in s3.list_buckets()["Buckets"]] == [buckets["ResultsBucket"]]
    left = s3.list_object_versions(Bucket=buckets["ResultsBucket"], Prefix="a b/")
    assert len(left["Versions"]) == 3
