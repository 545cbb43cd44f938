"""The commands on a stack as processes, against a real `fanwise up`: one job's whole life, and another's stop."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cli.ups import ITEMS, Up, items, started_up, up
from cloud_in_process import read_lines
from commands import TIMEOUT_S, Ended, processes_of, run_process, started, wait_until, wait_until_gone
from fanwise_local.template_resources import ACCOUNT_ID, REGION

__all__ = ["items", "up"]  # fixtures

Fanwise = Callable[..., Ended]
MANY = 500  # items, in entries of five


@pytest.fixture
def shell(up: Up, tmp_path: Path) -> dict[str, Any]:
    """Where a person is who has copied what `up` printed."""
    return {"env": {**os.environ, **up.environment}, "cwd": tmp_path}


@pytest.fixture
def fanwise(shell: dict[str, Any]) -> Fanwise:
    """Runs a command there."""
    return lambda *words: run_process(*words, **shell)


def test_a_job_s_whole_life(up: Up, fanwise: Fanwise, items: Path, tmp_path: Path) -> None:
    pushed = fanwise("push", up.folder / "digits", "--name", "mine", "--version", "1")
    assert (pushed.code, pushed.stdout) == (0, "mine@1\n"), pushed.stderr

    watched = fanwise("submit", items, "--model", "mine@1", "--watch", "--json")
    assert watched.code == 3, watched.stderr
    summary = json.loads(watched.stdout)
    job = summary["job_id"]
    assert (summary["items"]["predicted"], summary["items"]["dead_lettered"]) == (ITEMS - 1, 1)

    assert fanwise("results", job, "--out", "results").code == 3
    predictions = read_lines(tmp_path / "results/predictions.jsonl")
    assert [line["id"] for line in predictions] == list(range(ITEMS - 1))

    failed = fanwise("failures", job, "--json")
    (letter,) = map(json.loads, failed.stdout.splitlines())
    assert (failed.code, letter["id"], letter["failure"]["error"]) == (0, ITEMS - 1, "UndecodableImage")

    # Of its only item none can be predicted this time either: that job has failed.
    replayed = fanwise("replay", job, "--stack", "fanwise", "--json")
    assert (replayed.code, json.loads(replayed.stdout)["parent"]) == (1, job)

    verified = fanwise("verify", job, "--stack", "fanwise", "--json")
    assert (verified.code, json.loads(verified.stdout)["proved"]) == (0, True)

    stopped = fanwise("stop", job)
    assert stopped.code == 0
    assert "has ended already (SUCCEEDED); there is nothing to stop" in stopped.stderr


def predicting(up: Up) -> list[int]:
    """The processes of PredictBatch."""
    found = []
    for pid in processes_of(up.folder):
        name = b"AWS_LAMBDA_FUNCTION_NAME=fanwise-PredictBatch"
        if name in Path(f"/proc/{pid}/environ").read_bytes():
            found.append(pid)
    return found


def commits(up: Up, job: str) -> int:
    """How many entries of a job are finished."""
    listed = up.client("s3").list_objects_v2(
        Bucket=up.outputs["ResultsBucket"], Prefix=f"jobs/{job}/commits/"
    )
    return int(listed["KeyCount"])


def many_items(items: Path) -> Path:
    """As many of the first item."""
    first, *_ = items.read_text().splitlines()
    path = items.with_name("many.jsonl")
    path.write_text(f"{first}\n" * MANY)
    return path


def ended_jobs(up: Up) -> Callable[[], dict[str, Any]]:
    """A queue that hears of jobs that have ended; answers with how to wait for the next one's summary."""
    sqs, events = up.client("sqs"), up.client("events")
    url = sqs.create_queue(QueueName="ended")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name="ended", EventPattern=json.dumps({"source": ["fanwise"]}))
    events.put_targets(Rule="ended", Targets=[{"Id": "queue", "Arn": arn}])

    def heard() -> dict[str, Any]:
        (message,) = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20)["Messages"]
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        told: dict[str, Any] = json.loads(message["Body"])["detail"]
        return told

    return heard


def test_a_job_that_is_stopped_is_accounted_for_and_goes_on_past_a_death(
    up: Up, fanwise: Fanwise, shell: dict[str, Any], items: Path
) -> None:
    (model,) = up.told["models"]
    heard = ended_jobs(up)
    submitted = fanwise("submit", many_items(items), "--model", model, "--batch-size", "5", "--json")
    job = json.loads(submitted.stdout)["job_id"]
    wait_until(lambda: commits(up, job) > 0, up.process)
    for pid in predicting(up):
        os.kill(pid, signal.SIGSTOP)  # or it might be over before it is stopped

    stopped = fanwise("stop", job)
    assert stopped.code == 0
    assert f"fanwise resume {job} --stack fanwise goes on with it." in stopped.stderr
    watched = fanwise("watch", job, "--json")  # until the execution is there that accounts for it
    account = json.loads(watched.stdout)
    assert (watched.code, account["status"]) == (1, "FAILED")
    assert account["reason"] == "ExecutionAborted: the execution was stopped: stopped with fanwise stop"
    done = account["items"]["predicted"]
    assert account["items"]["missing"] == MANY - done > 0
    told = heard()
    assert (told["job_id"], told["reason"]) == (job, account["reason"])

    with started("resume", job, "--stack", "fanwise", "--json", **shell) as resumed:
        wait_until(lambda: commits(up, job) * 5 > done, resumed)
        for pid in predicting(up):
            os.kill(pid, signal.SIGKILL)
        stdout, stderr = resumed.communicate()
    assert resumed.returncode == 0, stderr
    summary = json.loads(stdout)
    assert (summary["job_id"], summary["items"]["predicted"]) == (job, MANY)
    told = heard()
    assert (told["job_id"], told["status"]) == (job, "SUCCEEDED")


def test_a_job_larger_than_the_stack_allows_is_refused_before_any_work(
    up: Up, items: Path, tmp_path: Path
) -> None:
    limits = ("--parameter", "MaxItemsPerJob=3", "--parameter", "MaxBytesPerJob=20000")
    with started_up(tmp_path / "small", *limits, "--model", up.folder / "digits") as small:
        (model,) = small.told["models"]
        shell: dict[str, Any] = {"env": {**os.environ, **small.environment}, "cwd": tmp_path}
        refused = run_process("submit", many_items(items), "--model", model, **shell)
        assert refused.code == 2
        (line,) = refused.stderr.splitlines()
        assert "deploy the stack with another MaxBytesPerJob" in line
        planned = run_process("submit", items, "--model", model, "--watch", **shell)
        assert planned.code == 1
        assert "has more than 3 items, the most that a job of this stack may have" in planned.stderr
        listed = small.client("s3").list_objects_v2(Bucket=small.outputs["ResultsBucket"], Prefix="jobs/")
        assert [one["Key"] for one in listed.get("Contents", ()) if "/work/" in one["Key"]] == []


# One of its own, with a schedule: the last thing that it is told is to end.


@contextmanager
def scheduled(folder: Path, model: Path, key: str) -> Iterator[Up]:
    """An `up` that is there before its schedule is due; a slow machine is given more time for it."""
    for patience_s in (6, 60):
        due = datetime.now(UTC) + timedelta(seconds=patience_s)
        manifest = f"s3://fanwise-input-{ACCOUNT_ID}-{REGION}/{key}"
        parameters = (f"ScheduleExpression=at({due:%Y-%m-%dT%H:%M:%S})", f"ScheduledManifest={manifest}")
        words = [word for parameter in parameters for word in ("--parameter", parameter)]
        with started_up(folder, *words, "--model", model, "--environments", "1") as up:
            if datetime.now(UTC) < due - timedelta(seconds=2):
                yield up
                return
    pytest.fail("not up within a minute")


def test_a_schedule_starts_a_job_once_and_ctrl_c_names_what_is_lost(
    up: Up, items: Path, tmp_path: Path
) -> None:
    with scheduled(tmp_path / "scheduled", up.folder / "digits", "nightly/job.json") as nightly:
        (model,) = nightly.told["models"]
        inputs, s3 = nightly.outputs["InputBucket"], nightly.client("s3")
        s3.upload_file(str(items), inputs, "nightly/items.jsonl")
        manifest = {"items": f"s3://{inputs}/nightly/items.jsonl", "model": model}
        s3.put_object(Bucket=inputs, Key="nightly/job.json", Body=json.dumps(manifest))
        assert nightly.ended() == []
        summary = nightly.next_job(lambda: None)
        assert (summary["status"], summary["items"]["total"]) == ("PARTIALLY_FAILED", ITEMS)
        (execution,) = nightly.ended()
        assert json.loads(execution["input"])["manifest"] == f"s3://{inputs}/nightly/job.json"

        s3.upload_file(str(many_items(items)), inputs, "many.jsonl")
        manifest = {"items": f"s3://{inputs}/many.jsonl", "model": model, "batch_size": 5}
        s3.put_object(Bucket=inputs, Key="jobs/many.json", Body=json.dumps(manifest))
        found: set[str] = set()

        def is_at_work() -> bool:
            listed = s3.list_objects_v2(Bucket=nightly.outputs["ResultsBucket"], Prefix="jobs/many-")
            found.update(one["Key"].split("/")[1] for one in listed.get("Contents", ()))
            return any("/commits/" in one["Key"] for one in listed.get("Contents", ()))

        wait_until(is_at_work, nightly.process)
        assert len(nightly.ended()) == 1  # the schedule has started no other
        nightly.process.send_signal(signal.SIGINT)
        assert nightly.process.wait(TIMEOUT_S) == 0
        (job,) = found
        assert nightly.stderr.read_text().splitlines()[-1] == f"Lost, since they had not ended: 1 job ({job})"
        wait_until_gone(nightly.folder)
