"""Results come home whole and in order; dead letters are counted first and shown after that."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from cli.stack.conftest import Deployed, Fanwise, wait_for_predictions
from cli.stack.test_connection import refused
from cli.stack.test_watch import Submit, submit
from cloud_in_process import item, read_lines
from fanwise.storage import Storage
from fanwise_cli import collecting

__all__ = ["submit"]  # a fixture


ORDERS = {7: "NotFinite", 10: "NotUtf8Result", 11: "NotFinite"}


def ended(fanwise: Fanwise, submit: Submit, items: int, batch_size: int) -> str:
    """A job with three dead letters that has ended."""
    job = submit([item(x, ORDERS.get(x, "")) for x in range(items)], "--batch-size", str(batch_size))
    assert fanwise("watch", job, "--quiet").code == 3
    return job


@pytest.fixture
def job(fanwise: Fanwise, submit: Submit) -> str:
    return ended(fanwise, submit, 12, 6)


def test_results_come_home_in_order_and_whole(
    fanwise: Fanwise, submit: Submit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, out = ended(fanwise, submit, 40, 1), tmp_path / "out"  # more parts than are read at once
    reads: list[str] = []

    def read(storage: Storage, uri: str, *rest: Any) -> bytes:
        if "/predictions/" in uri:
            reads.append(uri)
            if len(reads) == 36:
                raise KeyboardInterrupt
        return real(storage, uri, *rest)

    real = Storage.read
    with monkeypatch.context() as once:
        once.setattr(Storage, "read", read)
        assert fanwise("results", job, "--out", out).code == 130
    assert list(out.iterdir()) == []

    done = fanwise("results", job, "--out", out)
    assert done.code == 3
    assert str(out / "predictions.jsonl") in done.stdout
    predictions, failures = read_lines(out / "predictions.jsonl"), read_lines(out / "failures.jsonl")
    assert [line["index"] for line in predictions] == [x for x in range(40) if x not in ORDERS]
    assert [line["index"] for line in failures] == list(ORDERS)
    assert json.loads((out / "summary.json").read_bytes())["job_id"] == job
    assert sorted(path.name for path in out.iterdir()) == [
        "failures.jsonl",
        "predictions.jsonl",
        "summary.json",
    ]
    again = fanwise("results", job, "--out", out, "--json")
    assert (again.code, json.loads(again.stdout)["job_id"]) == (3, job)


def test_parts_of_any_size_come_in_pieces(
    fanwise: Fanwise, job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fanwise("results", job, "--out", tmp_path / "whole")
    monkeypatch.setattr(collecting, "STREAM_CHUNK_BYTES", 10)
    fanwise("results", job, "--out", tmp_path / "pieces")
    for name in collecting.RESULTS:
        assert (tmp_path / "pieces" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_what_is_in_out_already(fanwise: Fanwise, job: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused(fanwise("results", job, "--out", tmp_path / "file"), "is a file; choose another --out")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/summary.json").write_text('{"job_id": "other-1"}')
    refused(fanwise("results", job, "--out", tmp_path / "other"), "results of another job (other-1)")
    (tmp_path / "run/.fanwise").mkdir(parents=True)
    refused(fanwise("results", job, "--out", tmp_path / "run"), "the home of a job that ran on this machine")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    assert fanwise("results", job, "--out", tmp_path / "mine").code == 3
    assert (tmp_path / "mine/notes.txt").read_text() == "mine"


def test_a_job_that_has_not_ended(
    fanwise: Fanwise, deployed: Deployed, submit: Submit, tmp_path: Path
) -> None:
    deployed.predictions_allowed = 1
    job = submit([item(1, "NotFinite"), item(2)], "--batch-size", "1")
    wait_for_predictions(fanwise, job)
    refused(fanwise("results", job, "--out", tmp_path / "out"), "has not ended", f"fanwise watch {job} waits")
    assert not (tmp_path / "out").exists()
    while "NotFinite" not in (shown := fanwise("failures", job)).stdout:
        assert "no dead letters so far" in shown.stdout
    deployed.predictions_allowed = math.inf
    assert fanwise("watch", job).code == 3


def test_failures_by_error_and_one_by_one(fanwise: Fanwise, job: str) -> None:
    shown = fanwise("failures", job)
    assert shown.code == 0
    lines = shown.stdout.splitlines()
    assert [line.split() for line in lines[:2]] == [["2", "NotFinite"], ["1", "NotUtf8Result"]]
    assert lines[2].split() == ["index", "id", "error", "message"]
    assert [line.split()[:3] for line in lines[3:]] == [
        ["7", "7", "NotFinite"],
        ["10", "10", "NotUtf8Result"],
        ["11", "11", "NotFinite"],
    ]
    limited = fanwise("failures", job, "--limit", "1")
    assert "the first 1 of 3; --limit shows more, --json all of them" in limited.stdout


def test_failures_as_an_items_file(fanwise: Fanwise, job: str, tmp_path: Path) -> None:
    shown = fanwise("failures", job, "--json")
    assert [json.loads(line)["index"] for line in shown.stdout.splitlines()] == [7, 10, 11]
    fanwise("results", job, "--out", tmp_path / "out")
    assert shown.stdout.encode() == (tmp_path / "out/failures.jsonl").read_bytes()


def test_no_failures(fanwise: Fanwise, submit: Submit) -> None:
    job = submit([item(1)])
    fanwise("watch", job)
    assert fanwise("failures", job).stdout == f"{job}: no dead letters\n"
    assert fanwise("failures", job, "--json").stdout == ""


def test_on_a_narrow_terminal(fanwise: Fanwise, job: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for columns, is_wide in ((40, False), (100, True)):
        monkeypatch.setenv("COLUMNS", str(columns))
        shown = fanwise("failures", job).stdout.splitlines()
        assert max(map(len, shown)) <= columns
        assert ("id" in shown[2].split()) == is_wide
        listed = fanwise("status").stdout.splitlines()
        assert listed[1].endswith(f"  {job}")  # whole, to be copied
        assert ("took" in listed[0]) == is_wide
