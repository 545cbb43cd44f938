"""Jobs of a stack that are stopped, gone on with, replayed and verified."""

import json
import math
from pathlib import Path

import pytest

from cli.stack.conftest import Deployed, Fanwise, wait_for_predictions
from cli.stack.test_connection import refused
from cli.stack.test_watch import Submit, submit
from cloud_in_process import item

__all__ = ["submit"]  # a fixture


def test_stop_then_resume(fanwise: Fanwise, deployed: Deployed, submit: Submit) -> None:
    deployed.predictions_allowed = 2
    job = submit([item(x) for x in range(6)], "--batch-size", "1")
    wait_for_predictions(fanwise, job)
    refused(fanwise("resume", job, "--stack", deployed.name), f"{job}: is at work", "fanwise watch")
    ended = fanwise("stop", job)
    assert ended.code == 0
    assert f"Stopped {job}" in ended.stderr
    assert f"fanwise resume {job} --stack {deployed.name} goes on with it" in ended.stderr
    deployed.predictions_allowed = math.inf
    watched = fanwise("watch", job)
    assert watched.code == 1
    assert "stopped with fanwise stop" in watched.stdout
    assert f"fanwise resume {job} --stack {deployed.name} tries the" in watched.stdout
    again = fanwise("stop", job, "--json")
    assert json.loads(again.stdout)["was_running"] is False
    resumed = fanwise("resume", job, "--stack", deployed.name)
    assert resumed.code == 0
    assert "6 of 6 items predicted" in resumed.stdout
    refused(fanwise("resume", job, "--stack", deployed.name), "there is nothing to resume")


def test_replay_then_verify(fanwise: Fanwise, deployed: Deployed, submit: Submit) -> None:
    job = submit([item(1), item(2, "NotFinite"), item(3, "NotUtf8Result")])
    assert fanwise("watch", job).code == 3
    on = ("--stack", deployed.name)
    # The model is mended for one of them, and the functions have the mended one from now on.
    deployed.mend("NotFinite")
    first = fanwise("replay", job, *on, "--json")
    assert first.code == 3, first
    child = json.loads(first.stdout)
    assert (child["parent"], child["items"]["predicted"]) == (job, 1)
    # A replay is replayed through its parent, and by then nothing but the last one counts.
    second = fanwise("replay", child["job_id"], *on, "--batch-size", "1")
    assert second.code == 1
    assert "0 of 1 item predicted" in second.stdout
    proof = fanwise("verify", job, *on, "--json")
    assert proof.code == 0, proof
    account = json.loads(proof.stdout)
    assert (account["attempted"], account["predicted"], account["recovered"]) == (3, 1, 1)


def test_there_is_nothing_to_replay(fanwise: Fanwise, deployed: Deployed, submit: Submit) -> None:
    deployed.predictions_allowed = 0
    job = submit([item(1)])
    wait_for_predictions(fanwise, job)
    refused(fanwise("replay", job, "--stack", deployed.name), "has not ended", f"fanwise watch {job}")
    deployed.predictions_allowed = math.inf
    fanwise("watch", job)
    refused(fanwise("replay", job, "--stack", deployed.name), "no dead letters are left")


def test_a_job_that_is_not_there(
    fanwise: Fanwise, deployed: Deployed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where none of these is a folder
    for job in ("nobody", "../../etc", "a b", "arn:aws:states:us-east-1:1:execution:other:x"):
        refused(fanwise("status", job), job, "execution")
    for command in ("resume", "replay", "verify", "stop", "watch", "failures"):
        refused(fanwise(command, "nobody", "--stack", deployed.name), "'nobody'", "lists the recent ones")


def test_the_options_of_a_stack_need_its_name(fanwise: Fanwise, tmp_path: Path) -> None:
    for command in ("resume", "replay", "verify"):
        refused(fanwise(command, tmp_path, "--region", "eu-west-1"), "give --stack NAME too")
