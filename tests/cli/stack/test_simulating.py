"""`fanwise simulate` of what a stack has, in its account."""

import json
from pathlib import Path

import boto3
import msgspec
import pytest
from botocore.stub import Stubber

from cli.stack.conftest import REGION, Deployed, Fanwise
from cloud_in_process import write_bundle
from fanwise.model.profile import Profile
from fanwise_cli.stack.account import account_concurrency
from fanwise_cli.stack.connection import DeployedStack, StackOptions, connect
from profiles import runtime_profile

LIMIT = {"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 900}


@pytest.fixture
def stack(deployed: Deployed) -> DeployedStack:
    return connect(StackOptions(stack=deployed.name))


def lambda_that(stack: DeployedStack) -> Stubber:
    """What Lambda answers to the stack."""
    client = boto3.client("lambda", region_name=REGION)
    stack.__dict__["functions"] = client
    return Stubber(client)


def test_an_account_says_what_it_has(stack: DeployedStack) -> None:
    with lambda_that(stack) as answers:
        answers.add_response("get_account_settings", {"AccountLimit": LIMIT})
        assert account_concurrency(stack) == 900


def test_who_may_not_ask_does_not_know(stack: DeployedStack) -> None:
    with lambda_that(stack) as answers:
        answers.add_client_error("get_account_settings", "AccessDeniedException", "may not", 403)
        assert account_concurrency(stack) is None


def test_items_and_model_of_a_stack(
    fanwise: Fanwise, deployed: Deployed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = write_bundle(tmp_path / "arithmetic", "weights that were simulated there")
    profile = Profile(runtimes={"tensorflow": runtime_profile()})
    (bundle / "profile.json").write_bytes(msgspec.json.encode(profile))
    model = fanwise("push", bundle, "--version", "1").stdout.strip()
    uri = deployed.put("data/items.jsonl", b'{"inputs": {"x": 1}}\n' * 500)

    def scenario(*words: str) -> tuple[int, int, str]:
        ended = fanwise("simulate", uri, "--model", model, "--json", "--quiet", *words)
        assert (ended.code, ended.stderr) == (0, "")
        told = json.loads(ended.stdout)["scenario"]
        return told["items"], told["account_concurrency"], told["account_concurrency_from"]

    assert scenario() == (500, 1000, "default")  # moto has no account's settings
    monkeypatch.setattr("fanwise_cli.stack.account.account_concurrency", lambda _stack: 50)
    assert scenario() == (500, 50, "account")
    assert scenario("--account-concurrency", "7") == (500, 7, "option")
