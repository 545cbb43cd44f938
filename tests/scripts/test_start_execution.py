"""scripts/start_execution.sh with the AWS CLI, on an endpoint of the shipped stack."""

import json
from pathlib import Path
from typing import Any

import pytest

from aws_cli import with_the_aws_cli
from commands import Ended
from local.doors.endpoints import Opened
from scripts.shell import run_script

pytestmark = with_the_aws_cli

SCRIPT = "start_execution.sh"


def input_of(up: Opened, started: Ended) -> Any:
    """What the execution was given that a script says it has started."""
    assert (started.code, started.stderr) == (0, ""), started
    (arn,) = started.stdout.splitlines()
    described = up.client("stepfunctions").describe_execution(executionArn=arn)
    assert described["stateMachineArn"] == up.stack.state_machine_arn
    return json.loads(described["input"])


@pytest.mark.parametrize("key", ["jobs/job.json", 'a b/"ü\\+.json'])
def test_a_manifest_is_given_by_its_uri_as_it_is(up: Opened, shell: dict[str, str], key: str) -> None:
    uri = f"s3://{up.stack.buckets['InputBucket']}/{key}"
    assert input_of(up, run_script(SCRIPT, "fanwise", uri, environment=shell)) == {"manifest": uri}


def test_a_manifest_of_this_machine_goes_along(up: Opened, shell: dict[str, str], tmp_path: Path) -> None:
    manifest = {"items": "s3://bucket/ü items.jsonl", "model": "digits@1", "name": "it's"}
    path = tmp_path / "a job.json"
    path.write_text(json.dumps(manifest, indent=2))
    del shell["AWS_DEFAULT_REGION"]  # AWS_REGION is enough, whatever version the CLI has
    started = run_script(SCRIPT, "fanwise", path, environment=shell | {"AWS_REGION": "us-east-1"})
    assert input_of(up, started) == {"manifest": manifest}


def refusal(ended: Ended) -> tuple[int, str]:
    """Its exit code, and the one line that it says."""
    (line,) = ended.stderr.splitlines()
    assert ended.stdout == ""
    return ended.code, line.removeprefix("start_execution: ")


def test_a_stack_that_is_not_there_is_named(shell: dict[str, str]) -> None:
    code, line = refusal(run_script(SCRIPT, "other", "s3://b/k.json", environment=shell))
    assert code == 2
    assert line.startswith("there is no stack other in this account and Region; deploy it")


def test_another_s_stack_is_not_started(up: Opened, shell: dict[str, str]) -> None:
    template = {"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}}
    up.client("cloudformation").create_stack(StackName="theirs", TemplateBody=json.dumps(template))
    code, line = refusal(run_script(SCRIPT, "theirs", "s3://b/k.json", environment=shell))
    assert (code, line) == (2, "stack theirs has no output StateMachineArn; is it fanwise's?")


def test_what_aws_says_no_to_is_said_in_a_line(shell: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    path.write_text('{"items": ')
    code, line = refusal(run_script(SCRIPT, "fanwise", path, environment=shell))
    assert code == 1
    assert "InvalidExecutionInput" in line
    nobody = shell | {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    code, line = refusal(run_script(SCRIPT, "fanwise", "s3://b/k.json", environment=nobody))
    assert code == 1
    assert "Could not connect to the endpoint URL" in line


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((), "usage: "),
        (("fanwise",), "usage: "),
        (("fanwise", "a", "b"), "usage: "),
        (("fanwise", "there-is-none.json"), "there-is-none.json: there is no such file"),
        (("fanwise", "/"), "/: there is no such file"),
    ],
)
def test_what_is_wrong_with_the_words_is_said_in_a_line(
    shell: dict[str, str], words: tuple[str, ...], why: str
) -> None:
    code, line = refusal(run_script(SCRIPT, *words, environment=shell))
    assert code == 2
    assert line.startswith(why)


def test_without_the_aws_cli_it_says_so(shell: dict[str, str], tmp_path: Path) -> None:
    bare = shell | {"PATH": str(tmp_path)}
    code, line = refusal(run_script(SCRIPT, "fanwise", "s3://b/k.json", environment=bare))
    assert (code, line) == (2, "there is no AWS CLI (aws) on the path")
