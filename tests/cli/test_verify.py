"""`fanwise verify`, as a person gives it: which job, what is printed, and the exit codes."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from cloud_in_process import Machine, item, write_items
from commands import Ended
from fanwise.errors import ModelError

Fanwise = Callable[..., Ended]


@pytest.fixture
def items(tmp_path: Path) -> Path:
    orders = ["", "NotFound", *[""] * 8]
    return write_items(tmp_path / "data/items.jsonl", [item(x, o, note=x) for x, o in enumerate(orders)])


@pytest.fixture
def out(fanwise: Fanwise, items: Path, bundle: Path, tmp_path: Path) -> Path:
    """A job that has ended, of three entries, with a dead letter."""
    out = tmp_path / "out"
    assert fanwise("run", items, "--model", bundle, "--out", out, "--batch-size", "4").code == 3
    return out


def job_folder(out: Path) -> Path:
    (folder,) = out.glob(".fanwise/buckets/*results*/jobs/*")
    return folder


def account(ended: Ended) -> dict[str, str]:
    """The printed account, label → value; of a label that comes more than once, the last."""
    lines = [line.split(maxsplit=1) for line in ended.stdout.splitlines()[1:]]
    return {words[0]: words[1] for words in lines if len(words) == 2}


def test_0_proved(fanwise: Fanwise, out: Path) -> None:
    ended = fanwise("verify", out)
    assert ended.code == 0
    assert ended.stdout.startswith("✔ PROVED  items-")
    assert "each of 10 items is accounted for, once" in ended.stdout
    root = json.loads((out / "summary.json").read_bytes())["root"]
    assert account(ended) == {
        "root": root,
        "not": "checked    whether all files were rewritten to agree with each other: keep the root elsewhere,"
        " and give it as --root",
        "attempted": "10",
        "predicted": "9",
        "dead-lettered": "1",
        "lost": "0",
        "duplicated": "0",
        "unexpected": "0",
    }


def test_json_is_one_document(fanwise: Fanwise, out: Path) -> None:
    ended = fanwise("verify", out, "--json")
    assert ended.code == 0
    document = json.loads(ended.stdout)
    assert document["proved"] is True
    assert (document["attempted"], document["predicted"], document["dead_lettered"]) == (10, 9, 1)
    assert document["lost_items"] == document["orphans"] == document["disagreements"] == []


def test_a_job_is_found_by_its_id_from_where_it_was_run(
    fanwise: Fanwise, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    job_id = job_folder(out).name
    assert fanwise("verify", job_id).code == 0
    assert fanwise("verify", "out").code == 0
    (tmp_path / "other/.fanwise").mkdir(parents=True)
    (tmp_path / "other/.fanwise/home.json").write_text("damaged")
    assert fanwise("verify", job_id).code == 0
    shutil.copytree(out, tmp_path / "out2")
    ended = fanwise("verify", job_id)
    assert ended.code == 2
    assert "out, out2" in ended.stderr


@pytest.mark.parametrize("job", ["nope", "data", "data/items.jsonl", "x" * 300])
def test_2_no_job_there(
    fanwise: Fanwise, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = fanwise("verify", job)
    assert (ended.code, ended.stdout) == (2, "")
    (line,) = ended.stderr.splitlines()
    assert "give the --out of fanwise run" in line


def test_1_a_line_is_lost(fanwise: Fanwise, out: Path) -> None:
    for path in (*job_folder(out).glob("predictions/000001-*"), out / "predictions.jsonl"):
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(line for line in lines if not line.startswith(b'{"index":6,')))
    ended = fanwise("verify", out)
    assert ended.code == 1
    assert ended.stdout.startswith("✘ NOT PROVED  items-")
    assert account(ended)["lost"] == "1  of index 6"
    assert "was written with 4 in" in ended.stdout
    assert "summary.json says 9 predicted, 0 missing; the lines say 8 predicted, 1 missing" in ended.stdout
    assert ended.stderr == ""


def test_1_results_that_were_changed_where_they_were_brought(fanwise: Fanwise, out: Path) -> None:
    lines = (out / "predictions.jsonl").read_bytes().splitlines(keepends=True)
    (out / "predictions.jsonl").write_bytes(b"".join([*lines[:3], lines[4], lines[3], *lines[5:]]))
    (out / "failures.jsonl").unlink()
    (out / "summary.json").write_text('{"job_id": "x", "items": {}}')
    document = json.loads(fanwise("verify", out, "--json").stdout)
    assert document["proved"] is False
    assert [said.partition(";")[0] for said in document["disagreements"]] == [
        "predictions.jsonl is not what the job wrote, from its line 4 on",
        "failures.jsonl is not there",
        "summary.json is not the job's own",
    ]
    assert (document["lost"], document["duplicated"], document["unexpected"]) == (0, 0, 0)


def test_1_the_items_have_changed(fanwise: Fanwise, out: Path, items: Path) -> None:
    kept = items.with_name("kept.jsonl")
    items.rename(kept)
    ended = fanwise("verify", out)
    assert ended.code == 1
    assert account(ended)["lost"] == "0"
    assert "counted by index, up to the 10 of the plan" in " ".join(ended.stdout.split())
    items.parent.rename(items.parent.with_name("moved"))
    assert fanwise("verify", out).code == 1
    kept = items.parent.with_name("moved") / "kept.jsonl"
    os.rename(kept, kept.with_name("items.jsonl"))
    assert fanwise("verify", out, "--root", f"data-1={kept.parent}").code == 1
    bucket = items.parent.name
    assert fanwise("verify", out, "--root", f"{bucket}={kept.parent}").code == 0
    assert fanwise("verify", out, "--root", "nowhere").code == 2


def test_1_a_job_that_has_not_ended_and_0_when_it_has(
    fanwise: Fanwise, machine: Machine, items: Path, bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = ("run", items, "--model", bundle, "--out", out, "--batch-size", "5")

    def interrupt(function: str) -> bool:
        if machine.calls.count("PredictBatch") < 2:
            return False
        machine.before_call = lambda function: False
        os.kill(os.getpid(), signal.SIGINT)
        return True

    machine.before_call = interrupt
    assert fanwise(*words).code == 130
    ended = fanwise("verify", out)
    assert ended.code == 1
    assert account(ended)["lost"] == "5  of index 5 to 9; the job has not ended: resume takes up what is lost"
    assert fanwise(*words).code == 3
    assert fanwise("verify", out).code == 0


def test_1_a_job_with_items_missing(
    fanwise: Fanwise, machine: Machine, items: Path, bundle: Path, tmp_path: Path
) -> None:
    machine.load_fails = ModelError("saved_model.pb: truncated")
    assert fanwise("run", items, "--model", bundle, "--out", tmp_path / "out").code == 1
    ended = fanwise("verify", tmp_path / "out")
    assert ended.code == 1
    assert (
        account(ended)["lost"]
        == "10  of index 0 to 9; missing, by the job's own account: status says what helps"
    )
    assert "disagrees" not in ended.stdout


def test_1_the_plan_is_damaged(fanwise: Fanwise, out: Path) -> None:
    (job_folder(out) / "job.json").write_text("{")
    ended = fanwise("verify", out)
    assert (ended.code, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    assert "job.json is damaged" in line


def test_a_folder_of_items_and_no_items(fanwise: Fanwise, bundle: Path, tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / f"scans/{name}").mkdir(parents=True)
        (tmp_path / f"scans/{name}/1").write_text("1")
    assert fanwise("run", tmp_path / "scans", "--model", bundle, "--out", tmp_path / "out").code == 0
    assert fanwise("verify", tmp_path / "out").code == 0
    empty = write_items(tmp_path / "data/empty.jsonl", [])
    assert fanwise("run", empty, "--model", bundle, "--out", tmp_path / "out2").code == 0
    ended = fanwise("verify", tmp_path / "out2")
    assert ended.code == 0
    assert "there were no items" in ended.stdout
