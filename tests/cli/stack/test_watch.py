"""A job followed from afar: its rounds, its counts, its end; and an end of the watching that stops nothing."""

import io
import json
import math
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from cli.stack.conftest import Deployed, Fanwise
from cli.stack.test_submit import submitted
from cloud_in_process import item, write_items
from fanwise.errors import StackUnreachable
from fanwise_cli import progress
from fanwise_cli.stack import executions
from fanwise_cli.stack import watch as watching
from fanwise_cli.stack.connection import StackOptions, connect
from fanwise_cli.stack.jobs import find_job
from fanwise_cli.terminal import JobConsole

Submit = Callable[..., str]


@pytest.fixture
def submit(fanwise: Fanwise, deployed: Deployed, bundle: Path, tmp_path: Path) -> Submit:
    """Starts a job of these items; its id."""

    def start(items: list[dict[str, Any]], *words: str) -> str:
        path = write_items(tmp_path / "data/items.jsonl", items)
        job_id: str = submitted(fanwise, path, "--model", bundle, *words)["job_id"]
        return job_id

    return start


def watched(job: str, sleep: Callable[[float], None], **console: Any) -> tuple[int, str]:
    """Watches a job; the exit code, and what was seen on the way."""
    stack, file = connect(StackOptions()), io.StringIO()
    there = JobConsole(file=file, **console)
    code = watching.watch(find_job(stack, job), stack, there, as_json=False, quiet=False, sleep=sleep)
    return code, file.getvalue()


def test_counts_of_the_round_become_items(
    deployed: Deployed, submit: Submit, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    deployed.predictions_allowed = 3
    job = submit([item(x) for x in range(8)], "--batch-size", "1")
    file = io.StringIO()
    looks: list[str] = []
    # what is seen → what may begin
    further = {"predicting  3/8 items": 2.0, "predicting  5/8 items": math.inf}

    def sleep(_: float) -> None:
        time.sleep(0.01)
        looks.append(file.getvalue())
        for seen in [seen for seen in further if seen in looks[-1]]:
            deployed.predictions_allowed += further.pop(seen)

    stack = connect(StackOptions())
    code = watching.watch(
        find_job(stack, job), stack, JobConsole(file=file), as_json=False, quiet=False, sleep=sleep
    )
    assert code == 0
    assert "8 of 8 items predicted" in capsys.readouterr().out
    counts = [line for line in looks[-1].splitlines() if "5/8 items" in line]
    assert "/s" in counts[0]
    assert "left" in counts[0]


def test_every_round_is_shown_with_its_dead_letters(
    deployed: Deployed, submit: Submit, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    deployed.predictions_allowed = 1
    job = submit([item(1), item(2, "NotFinite"), item(3, "die"), item(4)], "--batch-size", "2")
    seen: list[str] = []
    file = io.StringIO()

    def sleep(_: float) -> None:
        time.sleep(0.01)
        seen.append(file.getvalue())
        deployed.predictions_allowed += 0.2  # so that a look comes between any two invocations

    stack = connect(StackOptions())
    code = watching.watch(
        find_job(stack, job), stack, JobConsole(file=file), as_json=False, quiet=False, sleep=sleep
    )
    assert code == 3
    assert "PARTIALLY_FAILED  2 of 4 items predicted, 2 dead letters" in capsys.readouterr().out
    assert "(round 2)" in seen[-1]
    assert "1 dead letter" in seen[-1]


def test_ctrl_c_ends_the_watching_and_not_the_job(
    fanwise: Fanwise, deployed: Deployed, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed.predictions_allowed = 0
    job = submit([item(1)])
    looks: list[object] = []

    def describe_and_interrupt(*words: Any) -> Any:
        looks.append(words)
        if len(looks) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return executions.describe(*words)

    with monkeypatch.context() as once:
        once.setattr(watching, "describe", describe_and_interrupt)
        ended = fanwise("watch", job)
    assert ended.code == 130
    assert f"the job goes on. fanwise watch {job} looks again, fanwise stop {job} stops it." in ended.stderr
    assert json.loads(fanwise("status", job, "--json").stdout)["status"] == "RUNNING"
    deployed.predictions_allowed = math.inf
    assert fanwise("watch", job).code == 0


def test_a_network_that_is_away_for_a_while_is_waited_for(
    fanwise: Fanwise, deployed: Deployed, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submit([item(1)])
    answers = iter([True, False, False, False])

    def describe_now_and_then(*words: Any) -> Any:
        if next(answers, True):
            return executions.describe(*words)
        raise StackUnreachable("AWS in us-east-1 does not answer")

    deployed.predictions_allowed = 0
    monkeypatch.setattr(watching, "describe", describe_now_and_then)

    def sleep(_: float) -> None:
        deployed.predictions_allowed = math.inf
        time.sleep(0.01)

    code, text = watched(job, sleep)
    assert code == 0
    assert text.count("AWS in us-east-1 does not answer; still trying") == 1

    answers = iter([False] * 20)
    monkeypatch.setattr(watching, "PATIENCE_S", 10 * watching.EVERY_S)
    with pytest.raises(StackUnreachable):
        watched(job, lambda _: None)


def start_by_hand(deployed: Deployed, name: str, **start: Any) -> str:
    arn: str = boto3.client("stepfunctions").start_execution(
        stateMachineArn=deployed.stack.state_machine_arn, name=name, input=json.dumps(start)
    )["executionArn"]
    return arn


def test_an_execution_that_came_to_no_plan(fanwise: Fanwise, deployed: Deployed) -> None:
    start_by_hand(deployed, "by-hand", manifest={"items": f"s3://{deployed.input}/no.jsonl", "model": "a@1"})
    ended = fanwise("watch", "by-hand")
    assert ended.code == 1
    assert "the job could not be run: ItemsFileError: " in ended.stderr
    assert "there is no such items file" in ended.stderr
    told = fanwise("watch", "by-hand", "--json")
    assert json.loads(told.stdout)["status"] == "FAILED"


def test_a_second_delivery_is_no_job_of_its_own(
    fanwise: Fanwise, deployed: Deployed, submit: Submit, bundle: Path
) -> None:
    deployed.predictions_allowed = 0
    job = submit([item(1)])
    start = json.loads(
        boto3.client("stepfunctions").describe_execution(
            executionArn=connect(StackOptions()).execution_arn(job)
        )["input"]
    )
    arn = start_by_hand(deployed, "second", **start)
    ended = fanwise("watch", arn)
    assert ended.code == 0
    assert f"{job} is another's already; fanwise watch {job}" in ended.stderr
    rows = json.loads(fanwise("status", "--json").stdout)["executions"]
    assert (rows[0]["execution"], rows[0]["status"]) == (arn, "DUPLICATE")


def test_by_job_by_name_and_by_arn(
    fanwise: Fanwise, deployed: Deployed, submit: Submit, bundle: Path
) -> None:
    uri = deployed.put("a.jsonl", json.dumps(item(1)))
    submit([item(1)])
    model = json.loads(fanwise("push", bundle, "--json").stdout)["model"]
    arn = start_by_hand(deployed, "by-hand", manifest={"items": uri, "model": model})
    found = [json.loads(fanwise("watch", job, "--json").stdout)["job_id"] for job in (arn, "by-hand")]
    assert found[0] == found[1]
    assert json.loads(fanwise("watch", found[0], "--json").stdout)["execution"] == arn


def test_quiet_still_says_why_a_job_failed_and_only_that(fanwise: Fanwise, submit: Submit) -> None:
    job = submit([item(x, "NotANumber") for x in range(4)])
    quiet = fanwise("watch", job, "--quiet")
    assert (quiet.code, quiet.stdout) == (1, "")
    assert quiet.stderr.splitlines()[-2:] == [
        "fanwise: the job FAILED: none of 4 items could be predicted (NotANumber 4)",
        "fanwise: for example line 1, index 0: NotANumber: as the item ordered: NotANumber",
    ]
    fine = submit([item(1), item(2, "NotANumber")])
    assert fanwise("watch", fine, "--quiet") == (3, "", "")


def test_what_can_help_is_said_with_examples(fanwise: Fanwise, deployed: Deployed, submit: Submit) -> None:
    job = submit([item(1), item(2, "NotFound"), item(3, "NotANumber"), item(4, "NotFinite")])
    shown = fanwise("watch", job).stdout
    assert "  NotFound 1\n    line 2, index 1  as the item ordered: NotFound\n" in shown
    assert f"fanwise replay {job} --stack {deployed.name} tries 1 of the 3 dead letters again" in shown
    assert f"mend the items in what fanwise failures {job} --json prints" in shown
    assert "run it as an items file: fanwise submit ITEMS --model MODEL" in shown
    assert fanwise("status", job).stdout.splitlines()[-2:] == shown.splitlines()[-2:]


def test_a_job_that_resume_cannot_help_is_not_told_to_resume(
    fanwise: Fanwise, deployed: Deployed, submit: Submit
) -> None:
    job = submit([{"inputs": {"X": x}} for x in range(40)], "--batch-size", "1")
    shown = fanwise("watch", job)
    assert shown.code == 1
    assert "MissingInput: none of " in shown.stdout
    assert "mend the items file, and run it as another job: fanwise submit" in shown.stdout
    assert "resume" not in shown.stdout
    replay = fanwise("replay", job, "--stack", deployed.name)
    assert replay.code == 2
    assert "mend the items file" in replay.stderr
    assert "resume" not in replay.stderr
