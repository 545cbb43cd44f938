"""What `status` shows: the recent executions, newest first, and one job at work or at its end."""

import json
import math

import boto3

from cli.stack.conftest import Deployed, Fanwise, wait_for_predictions
from cli.stack.test_watch import Submit, submit
from cloud_in_process import item

__all__ = ["submit"]  # a fixture


def test_nothing_yet(fanwise: Fanwise, deployed: Deployed) -> None:
    ended = fanwise("status")
    assert ended.code == 0
    assert "has run nothing yet; fanwise submit ITEMS --model" in ended.stdout
    assert json.loads(fanwise("status", "--json").stdout) == {"stack": deployed.name, "executions": []}


def test_the_recent_ones_newest_first_and_no_closing_ones(
    fanwise: Fanwise, deployed: Deployed, submit: Submit
) -> None:
    first = submit([item(1), item(2, "NotFinite")])
    fanwise("watch", first)
    deployed.predictions_allowed = 0
    second = submit([item(1)])
    wait_for_predictions(fanwise, second)
    fanwise("stop", second)
    fanwise("watch", second)  # until it is accounted for, by an execution that is no job
    third = submit([item(2)])
    wait_for_predictions(fanwise, third)
    listed = boto3.client("stepfunctions").list_executions(stateMachineArn=deployed.stack.state_machine_arn)
    assert len(listed["executions"]) == 4
    rows = json.loads(fanwise("status", "--json").stdout)["executions"]
    assert [(row["job_id"], row["status"]) for row in rows] == [
        (third, "RUNNING"),
        (second, "FAILED"),
        (first, "PARTIALLY_FAILED"),
    ]
    assert [row["items"] and row["items"]["predicted"] for row in rows] == [None, 0, 1]
    lines = fanwise("status").stdout.splitlines()
    assert [line.split()[-1] for line in lines] == ["job", third, second, first]
    for limit in (1, 2, 3):  # of what is shown: the closing one does not count
        assert len(fanwise("status", "--limit", str(limit)).stdout.splitlines()) == 1 + limit


def test_one_at_work(fanwise: Fanwise, deployed: Deployed, submit: Submit) -> None:
    deployed.predictions_allowed = 2
    job = submit([item(x) for x in range(5)], "--batch-size", "1")
    while (found := json.loads(fanwise("status", job, "--json").stdout))["entries"] != {
        "ended": 2,
        "failed": 0,
        "total": 5,
    }:
        assert found["status"] == "RUNNING"
    assert (found["state"], found["round"], found["decided"], found["total"]) == ("PredictItems", 0, 0, 5)
    text = fanwise("status", job).stdout
    assert f"RUNNING  {job}" in text
    assert "2 of 5 of this round" in text
    assert f"fanwise watch {job}" in text
    deployed.predictions_allowed = math.inf
    fanwise("watch", job)
    assert "5 of 5 items predicted" in fanwise("status", job).stdout
    assert json.loads(fanwise("status", job, "--json").stdout)["summary"]["items"]["predicted"] == 5
