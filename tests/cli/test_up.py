"""`fanwise up`: the AWS CLI as it is against a stack of real processes, and how the command begins and ends."""

import json
import signal
import socket
import sys
from pathlib import Path

import pytest

from aws_cli import with_the_aws_cli
from cli.ups import ITEMS, Up, items, png, started_up, up
from cloud_in_process import read_lines
from commands import TIMEOUT_S, Ended, processes_of, wait_until, wait_until_gone
from fanwise_cli.main import main

__all__ = ["items", "up"]  # fixtures


# With the AWS CLI.


@with_the_aws_cli
def test_an_items_file_in_the_inbox_is_a_job_whose_results_sync_brings(
    up: Up, items: Path, tmp_path: Path
) -> None:
    (model,) = up.told["models"]
    key = f"inbox/{model}/scans of März+1.jsonl"
    summary = up.next_job(lambda: up.aws("s3", "cp", items, f"s3://{up.outputs['InputBucket']}/{key}"))
    assert summary["items_uri"] == f"s3://{up.outputs['InputBucket']}/{key}"
    assert (summary["status"], summary["items"]["predicted"]) == ("PARTIALLY_FAILED", ITEMS - 1)
    job = f"s3://{up.outputs['ResultsBucket']}/jobs/{summary['job_id']}"
    up.aws("s3", "sync", job, tmp_path / "results")
    predictions = [line for path in (tmp_path / "results").glob("predictions/*") for line in read_lines(path)]
    assert [line["id"] for line in predictions] == list(range(ITEMS - 1))
    assert (tmp_path / "results/_SUCCESS").exists()
    said = up.stderr.read_text()
    assert f"{summary['job_id']}  ! PARTIALLY_FAILED  {ITEMS - 1} of {ITEMS} items predicted" in said
    queue = up.outputs["DeadLetterQueueUrl"]
    # The first version of the AWS CLI asks SQS at its own address unless it is told another with each command.
    there = ("--endpoint-url", up.environment["AWS_ENDPOINT_URL"])
    (message,) = json.loads(up.aws("sqs", "receive-message", "--queue-url", queue, *there))["Messages"]
    assert json.loads(message["Body"])["job_id"] == summary["job_id"]


@with_the_aws_cli
def test_a_manifest_is_a_job_and_the_same_again_a_duplicate(up: Up, items: Path, tmp_path: Path) -> None:
    (model,) = up.told["models"]
    inputs = up.outputs["InputBucket"]
    manifest = tmp_path / "job.json"
    manifest.write_text(json.dumps({"items": "../data/items.jsonl", "model": model, "name": "nightly"}))
    manifest.write_text(
        json.dumps({"items": f"s3://{inputs}/data/items.jsonl", "model": model, "batch_size": 4})
    )
    up.client("s3").upload_file(str(items), inputs, "data/items.jsonl")
    first = up.next_job(lambda: up.aws("s3", "cp", manifest, f"s3://{inputs}/jobs/nightly.json"))
    assert first["entries"]["planned"] == ITEMS / 4
    second = up.next_job(lambda: up.client("s3").upload_file(str(manifest), inputs, "jobs/nightly.json"))
    assert (second["job_id"], second["duplicate"]) == (first["job_id"], True)


@with_the_aws_cli
def test_a_folder_is_a_job_once_it_is_complete(up: Up, tmp_path: Path) -> None:
    (model,) = up.told["models"]
    folder = tmp_path / "scans"
    folder.mkdir()
    for number in range(3):
        (folder / f"scan {number}.png").write_bytes(png(number))
    (tmp_path / "_SUCCESS").touch()
    there = f"s3://{up.outputs['InputBucket']}/folders/{model}/scans/"
    before = len(up.ended())
    up.aws("s3", "cp", "--recursive", folder, there)
    assert len(up.ended()) == before
    summary = up.next_job(lambda: up.aws("s3", "cp", tmp_path / "_SUCCESS", there))
    assert (summary["status"], summary["items"]["total"]) == ("SUCCEEDED", 3)


@with_the_aws_cli
def test_an_execution_is_started_described_and_its_history_paged(up: Up, items: Path) -> None:
    (model,) = up.told["models"]
    inputs = up.outputs["InputBucket"]
    up.client("s3").upload_file(str(items), inputs, "by hand/items.jsonl")
    given = {"manifest": {"items": f"s3://{inputs}/by hand/items.jsonl", "model": model, "batch_size": 5}}
    machine = up.outputs["StateMachineArn"]
    words = ("--state-machine-arn", machine, "--name", "by-hand", "--input", json.dumps(given))
    summary = up.next_job(lambda: up.aws("stepfunctions", "start-execution", *words))
    arn = summary["executionArn"]
    assert arn.endswith(":by-hand")
    (map_run,) = up.client("stepfunctions").list_map_runs(executionArn=arn)["mapRuns"]
    counts = json.loads(up.aws("stepfunctions", "describe-map-run", "--map-run-arn", map_run["mapRunArn"]))
    assert counts["itemCounts"]["total"] == counts["itemCounts"]["succeeded"] == summary["entries"]["planned"]
    history = ("stepfunctions", "get-execution-history", "--execution-arn", arn)
    paged = json.loads(up.aws(*history, "--page-size", "3"))["events"]
    assert [event["id"] for event in paged] == list(range(1, len(paged) + 1))
    assert (paged[0]["type"], paged[-1]["type"]) == ("ExecutionStarted", "ExecutionSucceeded")
    some = json.loads(up.aws(*history, "--page-size", "3", "--max-items", "4"))
    assert len(some["events"]) == 4
    assert some["NextToken"]


def test_the_stack_is_found_by_its_name(up: Up) -> None:
    (stack,) = up.client("cloudformation").describe_stacks(StackName="fanwise")["Stacks"]
    assert {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]} == up.outputs


def test_the_lines_to_copy_name_what_is_there(up: Up) -> None:
    said = up.stderr.read_text()
    (model,) = up.told["models"]
    export = " ".join(f"{name}={value}" for name, value in up.environment.items())
    for line in (
        f"The stack fanwise is up at {up.environment['AWS_ENDPOINT_URL']}",
        "lives as long as it runs",
        f"export {export}",
        f"s3://{up.outputs['InputBucket']}/inbox/{model}/items.jsonl",
        f"--state-machine-arn {up.outputs['StateMachineArn']}",
        f"s3://{up.outputs['ResultsBucket']}/jobs/",
    ):
        assert line in said


# How it begins and ends.


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_names_what_is_lost_and_leaves_nothing(tmp_path: Path, number: int) -> None:
    words = ("--stack", "other", "--parameter", "PredictBatchMemoryMb=2048")
    with started_up(tmp_path / "up", *words) as up:
        assert up.outputs["InputBucket"].startswith("other-input-")
        described = up.client("lambda").get_function_configuration(
            FunctionName="other-PredictBatchLiteRTFunction"
        )
        assert described["MemorySize"] == 2048
        given = json.dumps({"manifest": f"s3://{up.outputs['InputBucket']}/there-is-none.json"})
        states = up.client("stepfunctions")
        states.start_execution(stateMachineArn=up.outputs["StateMachineArn"], name="lost", input=given)
        wait_until(lambda: bool(processes_of(up.folder)[1:]), up.process)  # PlanJob's, beside its own
        up.process.send_signal(number)
        assert up.process.wait(TIMEOUT_S) == 0
        said = up.stderr.read_text().splitlines()
        assert said[-1] == "Lost, since they had not ended: 1 job (lost)"
        wait_until_gone(up.folder / "logs")
        host, _, port = up.environment["AWS_ENDPOINT_URL"].removeprefix("http://").partition(":")
        with socket.socket() as again:
            again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            again.bind((host, int(port)))


def ran(capsys: pytest.CaptureFixture[str], *words: str) -> Ended:
    capsys.readouterr()
    code = main(list(words))
    return Ended(code, *capsys.readouterr())


def test_a_port_that_is_taken_is_said_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ended = ran(capsys, "up", "--port", port)
    assert (ended.code, ended.stdout) == (2, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"fanwise: port {port} of 127.0.0.1 cannot be had (Address already in use)")


def test_a_second_one_on_its_port_is_refused_and_the_first_goes_on(
    up: Up, capsys: pytest.CaptureFixture[str]
) -> None:
    port = up.environment["AWS_ENDPOINT_URL"].rpartition(":")[2]
    ended = ran(capsys, "up", "--port", port)
    assert (ended.code, ended.stdout) == (2, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"fanwise: port {port} of 127.0.0.1 cannot be had")
    assert up.client("s3").list_buckets()["Buckets"]


def test_without_the_extra_it_says_how_to_install_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "moto.moto_server", None)
    ended = ran(capsys, "up")
    assert ended.code == 2
    (line,) = ended.stderr.splitlines()
    assert "pip install 'fanwise[up]'" in line


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--parameter", "Nothing"), "write KEY=VALUE"),
        (("--parameter", "Nothing=1"), "there is no parameter 'Nothing'"),
        (("--parameter", "PredictBatchMemoryMb=1"), "must be from 1024 to 10240"),
        (("--port", "70000"), "--port"),
        (("--model", "there/is/none"), "there/is/none"),
        (("--stack", "No good!"), "--stack No good!: up to 32 of"),
    ],
)
def test_what_is_wrong_with_the_words_is_said_in_a_line(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], named: str
) -> None:
    ended = ran(capsys, "up", *words)
    assert ended.code == 2
    (line,) = ended.stderr.splitlines()
    assert named in line
