"""`status`, `results` and `failures` of a job of this machine, by its OUT folder or its id."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.test_going_on import interrupt_at, run_words, summary
from cloud_in_process import Machine, item, read_lines
from commands import Ended
from fanwise.errors import ModelError
from fanwise_cli.home import JobHome

Fanwise = Callable[..., Ended]
ORDERS = {1: "NotFound", 2: "UndecodableImage", 3: "NotFound"}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder the command is run in, where AWS is not to be asked."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("FANWISE_STACK", "elsewhere")
    return tmp_path


@pytest.fixture
def done(fanwise: Fanwise, bundle: Path, here: Path) -> Path:
    """OUT of a job with three dead letters."""
    ended = fanwise(*run_words([item(x, ORDERS.get(x, "")) for x in range(6)], bundle, 2))
    assert ended.code == 3
    return here / "out"


def test_status_of_one_that_has_ended(fanwise: Fanwise, done: Path) -> None:
    shown = fanwise("status", "out")
    assert shown.code == 0
    assert "PARTIALLY_FAILED  3 of 6 items predicted, 3 dead letters" in shown.stdout
    assert f"ended         {summary('out')['ended_at']}" in shown.stdout
    assert "fanwise replay out tries 2 of the 3 dead letters again" in shown.stdout
    for job in ("out", str(done), summary("out")["job_id"]):
        found = json.loads(fanwise("status", job, "--json").stdout)
        assert found["summary"] == summary("out")
        same = ("job_id", "status", "reason", "execution", "started_at", "ended_at")
        assert {key: found[key] for key in same} == {key: summary("out")[key] for key in same}


def test_status_of_one_that_was_interrupted(
    fanwise: Fanwise, machine: Machine, bundle: Path, here: Path
) -> None:
    interrupt_at(machine, 4)
    assert fanwise(*run_words([item(x) for x in range(6)], bundle, 2)).code == 130
    found = json.loads(fanwise("status", "out", "--json").stdout)
    assert (found["status"], found["decided"], found["total"]) == ("INTERRUPTED", 4, 6)
    assert (found["summary"], found["ended_at"]) == (None, None)
    shown = fanwise("status", "out").stdout
    assert "4 of 6 items decided" in shown
    assert "fanwise resume out goes on with it" in shown
    for words in (("results", "out"), ("results", "out", "--out", "copy")):
        refused = fanwise(*words)
        assert (refused.code, refused.stdout) == (2, "")
        assert "has not ended, so its results are not whole; fanwise resume out goes on" in refused.stderr
    assert not (here / "copy").exists()
    assert "out: no dead letters so far" in fanwise("failures", "out").stdout


def test_status_of_one_without_a_plan(fanwise: Fanwise, machine: Machine, bundle: Path, here: Path) -> None:
    interrupt_at(machine, 1)
    assert fanwise(*run_words([item(1)], bundle)).code == 130
    found = json.loads(fanwise("status", "out", "--json").stdout)
    assert (found["status"], found["decided"], found["total"]) == ("INTERRUPTED", None, None)


def test_status_of_one_at_work(fanwise: Fanwise, done: Path) -> None:
    with JobHome(done).held():
        found = json.loads(fanwise("status", "out", "--json").stdout)
        assert (found["status"], found["decided"], found["total"]) == ("RUNNING", 6, 6)
        shown = fanwise("status", "out").stdout
        assert shown.startswith("RUNNING  ")
        assert "resume" not in shown


def test_one_that_was_resumed_and_interrupted_again_has_not_ended(
    fanwise: Fanwise, machine: Machine, bundle: Path, here: Path
) -> None:
    machine.load_fails = ModelError("s3://models/x: no such object")
    assert fanwise(*run_words([item(x) for x in range(3)], bundle)).code == 1
    assert json.loads(fanwise("status", "out", "--json").stdout)["status"] == "FAILED"
    machine.load_fails = None
    machine.calls.clear()
    interrupt_at(machine, 3)
    assert fanwise("resume", "out").code == 130
    found = json.loads(fanwise("status", "out", "--json").stdout)
    assert (found["status"], found["decided"], found["total"]) == ("INTERRUPTED", 1, 3)


def test_results_say_where_they_are(fanwise: Fanwise, done: Path) -> None:
    shown = fanwise("results", "out")
    assert shown.code == 3
    for name in ("predictions.jsonl", "failures.jsonl", "summary.json"):
        assert f"out/{name}" in shown.stdout
    (done / "predictions.jsonl").unlink()  # an interruption while they were brought home
    assert fanwise("results", "out").code == 3
    assert len(read_lines(done / "predictions.jsonl")) == 3


def test_results_are_copied(fanwise: Fanwise, done: Path, here: Path) -> None:
    copied = fanwise("results", "out", "--out", "copy", "--json")
    assert (copied.code, json.loads(copied.stdout)) == (3, summary("out"))
    for name in ("predictions.jsonl", "failures.jsonl", "summary.json"):
        assert (here / "copy" / name).read_bytes() == (done / name).read_bytes()
    shown = fanwise("results", "out", "--out", "copy").stdout
    assert "copy/predictions.jsonl" in shown
    assert "fanwise replay out" in shown
    refused = fanwise("results", "out", "--out", "out")
    assert refused.code == 2
    assert "the home of a job that ran on this machine; choose another --out" in refused.stderr


def test_failures_by_error(fanwise: Fanwise, done: Path) -> None:
    shown = fanwise("failures", "out")
    assert shown.code == 0
    lines = [line.split() for line in shown.stdout.splitlines()]
    assert lines[:3] == [
        ["2", "NotFound"],
        ["1", "UndecodableImage"],
        ["index", "id", "error", "message"],
    ]
    assert [line[0] for line in lines[3:]] == ["1", "2", "3"]
    few = fanwise("failures", "out", "--limit", "1").stdout  # every error has its examples
    assert "UndecodableImage 1\n    line 3, index 2  as the item ordered: UndecodableImage" in few
    assert fanwise("failures", "out", "--json").stdout.encode() == (done / "failures.jsonl").read_bytes()


def test_a_replay_by_its_id(fanwise: Fanwise, done: Path) -> None:
    assert fanwise("replay", "out").code == 1
    (replay,) = summary("out")["replays"]
    shown = fanwise("results", replay["job_id"])
    assert shown.code == 1
    assert "out/replays/1/failures.jsonl" in shown.stdout
    assert len(fanwise("failures", replay["job_id"], "--json").stdout.splitlines()) == 3
    assert json.loads(fanwise("status", replay["job_id"], "--json").stdout)["status"] == "FAILED"
    # What is left of the job is what its last replay left.
    assert "mend the items in out/replays/1/failures.jsonl" in fanwise("status", "out").stdout


@pytest.mark.parametrize("command", ["status", "results", "failures"])
def test_a_folder_without_a_job_is_not_asked_for_on_a_stack(
    fanwise: Fanwise, here: Path, command: str
) -> None:
    (here / "data").mkdir()
    refused = fanwise(command, "data")
    assert (refused.code, refused.stdout) == (2, "")
    assert "data: holds no job; give the --out of fanwise run" in refused.stderr


def test_without_an_out_the_results_of_a_stack_go_nowhere(fanwise: Fanwise, here: Path) -> None:
    refused = fanwise("results", "nightly-0123456789abcdef")
    assert refused.code == 2
    assert "no folder here holds this job; of a stack's give --out DIR" in refused.stderr


def test_a_stack_is_meant_where_it_is_named(fanwise: Fanwise, done: Path, here: Path) -> None:
    words: list[tuple[Any, ...]] = [("status", "out"), ("failures", "out"), ("results", "out", "--out", "x")]
    for one in words:
        refused = fanwise(*one, "--stack", "elsewhere", "--region", "us-east-1")
        assert refused.code == 2
        assert "elsewhere" in refused.stderr or "AWS" in refused.stderr
