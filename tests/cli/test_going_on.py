"""`fanwise resume` and `fanwise replay`: a job of this machine gone on with, and its dead letters tried again."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cloud_in_process import Machine, item, read_lines, write_bundle, write_items
from commands import Ended
from fake_model import MendedModel

Fanwise = Callable[..., Ended]


def interrupt_at(machine: Machine, call: int) -> None:
    """Have this process get a Ctrl-C when the n-th call of a function begins, which then never ends."""

    def send(_: str) -> bool:
        if len(machine.calls) != call:
            return False
        machine.before_call = lambda _: False
        os.kill(os.getpid(), signal.SIGINT)
        return True

    machine.before_call = send


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder the command is run in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def summary(folder: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(folder, "summary.json").read_bytes())
    return found


def run_words(items: list[dict[str, Any]], bundle: Path, batch_size: int = 1) -> tuple[str | Path, ...]:
    write_items(Path("data/items.jsonl"), items)
    how = ("--batch-size", str(batch_size), "--environments", "1", "--max-concurrency", "1")
    return ("run", "data/items.jsonl", "--model", bundle, "--out", "out", *how)


def test_resume_goes_on_with_what_has_no_commit(
    fanwise: Fanwise, machine: Machine, bundle: Path, here: Path
) -> None:
    words = run_words([item(x) for x in range(20)], bundle)
    interrupt_at(machine, 9)
    assert fanwise(*words).code == 130
    done = machine.calls.count("PredictBatch") - 1
    machine.calls.clear()
    ended = fanwise("resume", "out")
    assert ended.code == 0
    assert machine.calls.count("PredictBatch") == 20 - done
    assert [row["index"] for row in read_lines(here / "out/predictions.jsonl")] == list(range(20))
    assert "SUCCEEDED  20 of 20 items predicted" in ended.stdout
    machine.calls.clear()
    again = fanwise("resume", summary("out")["job_id"])  # by its id, found in the folders here
    assert again.code == 0
    assert "there is nothing to resume" in again.stderr
    assert machine.calls == []


@pytest.mark.parametrize("call", [1, 2])
def test_resume_of_a_job_that_has_no_plan_yet_plans_it(
    fanwise: Fanwise, machine: Machine, bundle: Path, here: Path, call: int
) -> None:
    words = run_words([item(x) for x in range(3)], bundle)
    interrupt_at(machine, call)
    assert fanwise(*words).code == 130
    assert fanwise("resume", "out").code == 0
    assert summary("out")["items"]["predicted"] == 3


def test_items_that_changed_before_there_was_a_plan_are_not_taken_for_the_job(
    fanwise: Fanwise, machine: Machine, bundle: Path, here: Path
) -> None:
    words = run_words([item(1)], bundle)
    interrupt_at(machine, 1)
    assert fanwise(*words).code == 130
    write_items(here / "data/items.jsonl", [item(2), item(3)])
    ended = fanwise("resume", "out")
    assert ended.code == 2
    assert "its items have changed since" in ended.stderr


@pytest.mark.parametrize(
    ("command", "job", "message"),
    [
        ("resume", "nowhere", "is no folder, and no job's id in a folder of this one"),
        ("replay", "nowhere", "is no folder, and no job's id in a folder of this one"),
        ("resume", "data", "holds no job; give the --out of fanwise run"),
    ],
)
def test_a_job_that_is_not_there(fanwise: Fanwise, here: Path, command: str, job: str, message: str) -> None:
    (here / "data").mkdir()
    ended = fanwise(command, job)
    assert (ended.code, ended.stdout) == (2, "")
    assert message in ended.stderr
    assert not (here / "nowhere").exists()


def test_a_folder_of_items_that_is_gone_is_said(
    fanwise: Fanwise, machine: Machine, bundle: Path, here: Path
) -> None:
    interrupt_at(machine, 3)
    assert fanwise(*run_words([item(x) for x in range(3)], bundle)).code == 130
    shutil.move(here / "data", here / "elsewhere")
    ended = fanwise("resume", "out")
    assert ended.code == 2
    assert "data: the folder that the job reads as s3://data/ is gone; put it back" in ended.stderr


def test_replay_tries_the_dead_letters_until_none_is_left(
    fanwise: Fanwise, machine: Machine, bundle: Path, here: Path
) -> None:
    orders = ["", "NotFound", "", "UndecodableImage", "NotFound", ""]
    words = run_words([item(x, order) for x, order in enumerate(orders)], bundle)
    first = fanwise(*words)
    assert first.code == 3
    assert "fanwise replay out tries 2 of the 3 dead letters again" in first.stdout
    assert "1 of the 3 dead letters will fail again as they are: mend the items in" in first.stdout
    machine.model = MendedModel("NotFound")
    machine.calls.clear()
    second = fanwise("replay", "out", "--batch-size", "2")
    assert second.code == 3
    assert machine.calls.count("PredictBatch") == 2
    assert [row["id"] for row in read_lines(here / "out/replays/1/predictions.jsonl")] == [1, 4]
    assert [row["id"] for row in read_lines(here / "out/replays/1/failures.jsonl")] == [3]
    told = summary("out")
    assert told["items"]["dead_lettered"] == 3  # of the job itself
    assert told["replays"] == [
        {
            "job_id": summary("out/replays/1")["job_id"],
            "status": "PARTIALLY_FAILED",
            "reason": None,
            "items": {"total": 3, "predicted": 2, "dead_lettered": 1, "missing": 0, "duplicated": 0},
            "failures": {"UndecodableImage": 1},
            "root": summary("out/replays/1")["root"],
        }
    ]
    assert summary("out/replays/1")["parent"] == told["job_id"]
    machine.model = MendedModel("NotFound", "UndecodableImage")
    third = fanwise("replay", "out")
    assert third.code == 0
    assert [row["id"] for row in read_lines(here / "out/replays/2/predictions.jsonl")] == [3]
    assert [one["items"]["predicted"] for one in summary("out")["replays"]] == [2, 1]
    machine.calls.clear()
    last = fanwise("replay", "out")
    assert (last.code, machine.calls) == (0, [])
    assert "no dead letters are left; there is nothing to replay" in last.stderr
    whole = fanwise(*words)
    assert "3 of 3 dead letters predicted in 2 replays, 0 left" in whole.stdout


@pytest.mark.parametrize("call", [1, 2, 3])
def test_a_replay_that_was_interrupted_is_resumed(
    fanwise: Fanwise, machine: Machine, bundle: Path, here: Path, call: int
) -> None:
    orders = ["", *["NotFound"] * 4]
    assert fanwise(*run_words([item(x, order) for x, order in enumerate(orders)], bundle)).code == 3
    machine.model = MendedModel("NotFound")
    machine.calls.clear()
    interrupt_at(machine, call)
    stopped = fanwise("replay", "out")
    assert stopped.code == 130
    command = "resume" if call > 1 else "replay"  # without a plan there is nothing to resume
    assert f"fanwise {command} out goes on from there" in stopped.stderr
    if call > 1:
        refused = fanwise("replay", "out")
        assert refused.code == 2
        assert "go on with it first: fanwise resume out" in refused.stderr
        assert fanwise("resume", "out").code == 0
    else:
        assert fanwise("replay", "out").code == 0
    assert len(read_lines(here / "out/replays/1/predictions.jsonl")) == 4
    assert [one["status"] for one in summary("out")["replays"]] == ["SUCCEEDED"]


def test_a_replay_may_be_of_another_model(
    fanwise: Fanwise, machine: Machine, bundle: Path, here: Path
) -> None:
    assert fanwise(*run_words([item(1), item(2, "NotFound")], bundle)).code == 3
    other = write_bundle(here / "other", "better ones")
    machine.model = MendedModel("NotFound")
    ended = fanwise("replay", "out", "--model", other, "--json")
    assert ended.code == 0
    told = json.loads(ended.stdout)
    assert told["model"]["name"] == "other"
    assert told["parent"] == summary("out")["job_id"]


def test_a_run_anew_takes_the_replays_away(
    fanwise: Fanwise, machine: Machine, bundle: Path, here: Path
) -> None:
    words = run_words([item(1), item(2, "NotFound")], bundle)
    assert fanwise(*words).code == 3
    assert fanwise("replay", "out").code == 1
    assert (here / "out/replays/1/failures.jsonl").exists()
    assert fanwise(*words, "--again").code == 3
    assert not (here / "out/replays").exists()
    assert summary("out")["replays"] == []
    (jobs,) = here.glob("out/.fanwise/buckets/*results*/jobs")
    assert [path.name for path in jobs.iterdir()] == [summary("out")["job_id"]]
