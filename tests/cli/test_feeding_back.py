"""`fanwise profile JOB` of this machine: the next estimate rests on what a job measured."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cloud_in_process import item, write_bundle, write_items
from commands import Ended

Fanwise = Callable[..., Ended]


@pytest.fixture
def never_measured(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "arithmetic", f"weights of {tmp_path}")  # prepared bundles are kept


def test_a_job_makes_the_profile_of_a_model_that_has_none(
    fanwise: Fanwise, never_measured: Path, tmp_path: Path
) -> None:
    items = write_items(tmp_path / "data/items.jsonl", [item(x) for x in range(20)])
    estimate = ("estimate", items, "--model", never_measured)
    assert fanwise(*estimate).code == 2
    assert fanwise("run", items, "--model", never_measured, "--out", tmp_path / "out", "--quiet").code == 0
    told = fanwise("profile", tmp_path / "out", "--json")
    assert told.code == 0, told
    found = json.loads(told.stdout)
    assert (found["runtime"], found["model"].split("@")[0]) == ("tensorflow", "arithmetic")
    measured_on = found["profile"]["measured_on"]
    job_id = json.loads((tmp_path / "out/summary.json").read_bytes())["job_id"]
    assert (measured_on["kind"], measured_on["job_id"]) == ("machine", job_id)
    after = fanwise(*estimate, "--json")
    assert after.code == 0, after
    assert json.loads(after.stdout)["items"] == 20


def test_what_it_says_is_short(fanwise: Fanwise, never_measured: Path, tmp_path: Path) -> None:
    items = write_items(tmp_path / "data/items.jsonl", [item(1)])
    fanwise("run", items, "--model", never_measured, "--out", tmp_path / "out", "--quiet")
    ended = fanwise("profile", tmp_path / "out")
    assert ended.code == 0
    assert "(tensorflow) is now measured on" in ended.stdout
    assert "a cold start" in ended.stdout


def test_a_folder_without_a_job_and_a_job_that_measured_nothing_are_one_line(
    fanwise: Fanwise, never_measured: Path, tmp_path: Path
) -> None:
    nothing = fanwise("profile", tmp_path / "none")
    assert (nothing.code, nothing.stdout) == (2, "")
    items = write_items(tmp_path / "data/items.jsonl", [item(1, "NotFound")])
    fanwise("run", items, "--model", never_measured, "--out", tmp_path / "out", "--quiet")
    ended = fanwise("profile", tmp_path / "out")
    assert (ended.code, ended.stdout) == (2, "")
    assert "no invocation of it predicted anything" in ended.stderr


def test_options_of_a_stack_need_one(fanwise: Fanwise, tmp_path: Path) -> None:
    ended = fanwise("profile", tmp_path, "--region", "us-east-1")
    assert (ended.code, ended.stdout) == (2, "")
    assert "give --stack NAME too" in ended.stderr
