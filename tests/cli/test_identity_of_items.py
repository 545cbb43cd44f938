"""An items file is its content: new times, copies and checkouts are the same job, and other bytes are another."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cloud_in_process import Machine, item, read_lines, write_items
from commands import Ended

Fanwise = Callable[..., Ended]
Words = tuple[str | Path, ...]
LONG_AGO_S = 1_000_000_000.5


@pytest.fixture
def words(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Words:
    monkeypatch.chdir(tmp_path)
    items = write_items(tmp_path / "data/items.jsonl", [item(x) for x in range(6)])
    os.utime(items, (LONG_AGO_S, LONG_AGO_S))
    how = ("--batch-size", "1", "--environments", "1", "--max-concurrency", "1")
    return ("run", "data/items.jsonl", "--model", bundle, "--out", "out", *how)


def job_id() -> str:
    return str(json.loads(Path("out/summary.json").read_bytes())["job_id"])


def touched(items: Path) -> None:
    os.utime(items)


def copied(items: Path) -> None:
    """As `git checkout` and editors do: another file takes the name."""
    shutil.copyfile(items, items.with_name("copy"))
    items.with_name("copy").replace(items)


def rewritten(items: Path) -> None:
    items.write_bytes(items.read_bytes())


def restored(items: Path) -> None:
    before = items.read_bytes()
    items.write_bytes(b"something else")
    items.write_bytes(before)


UNCHANGED = pytest.mark.parametrize("change", [touched, copied, rewritten, restored])


def appended(items: Path) -> None:
    items.write_bytes(items.read_bytes() + b'{"inputs": {"x": 6}}\n')


def altered_in_place(items: Path) -> None:
    """The same size and times."""
    with items.open("r+b") as file:
        text = file.read()
        file.seek(text.index(b"5"))
        file.write(b"7")
    os.utime(items, (LONG_AGO_S, LONG_AGO_S))


CHANGED = pytest.mark.parametrize("change", [appended, altered_in_place])


@UNCHANGED
def test_run_of_items_with_the_same_content_is_the_same_job(
    fanwise: Fanwise, machine: Machine, words: Words, change: Callable[[Path], None]
) -> None:
    assert fanwise(*words).code == 0
    machine.calls.clear()
    change(Path("data/items.jsonl"))
    again = fanwise(*words)
    assert (again.code, machine.calls) == (0, [])
    assert "out holds this job already; nothing was run" in again.stderr
    assert fanwise("verify", "out").code == 0


@UNCHANGED
@pytest.mark.parametrize("how", ["run", "resume"])
def test_an_interrupted_job_goes_on_with_the_same_content(
    fanwise: Fanwise, machine: Machine, words: Words, change: Callable[[Path], None], how: str
) -> None:
    machine.interrupt_at(5)
    assert fanwise(*words).code == 130
    machine.calls.clear()
    change(Path("data/items.jsonl"))
    ended = fanwise(*words) if how == "run" else fanwise("resume", "out")
    assert ended.code == 0
    assert 0 < machine.calls.count("PredictBatch") < 6
    assert [row["prediction"]["y"] for row in read_lines(Path("out/predictions.jsonl"))] == [
        2 * x + 1 for x in range(6)
    ]
    assert fanwise("verify", "out").code == 0


@CHANGED
def test_run_of_items_whose_content_changed_says_what_to_do(
    fanwise: Fanwise, machine: Machine, words: Words, change: Callable[[Path], None]
) -> None:
    assert fanwise(*words).code == 0
    before = job_id()
    machine.calls.clear()
    change(Path("data/items.jsonl"))
    refused = fanwise(*words)
    assert (refused.code, machine.calls) == (2, [])
    assert f"data/items.jsonl: its content has changed since {before}" in refused.stderr
    assert "choose another --out, or --again" in refused.stderr
    assert "resume" not in refused.stderr
    assert job_id() == before
    assert fanwise(*words, "--again").code == 0
    assert job_id() != before
    assert fanwise("verify", "out").code == 0


@CHANGED
def test_resume_of_items_whose_content_changed_says_what_to_do(
    fanwise: Fanwise, machine: Machine, words: Words, change: Callable[[Path], None]
) -> None:
    machine.interrupt_at(5)
    assert fanwise(*words).code == 130
    machine.calls.clear()
    change(Path("data/items.jsonl"))
    refused = fanwise("resume", "out")
    assert (refused.code, machine.calls) == (2, [])
    assert "data/items.jsonl: its content has changed since" in refused.stderr
    assert "another --out, or here with --again" in refused.stderr
    assert "fanwise resume" not in refused.stderr


def test_items_that_change_while_the_job_runs_are_noticed(
    fanwise: Fanwise, machine: Machine, words: Words
) -> None:
    def change(_: str) -> bool:
        if len(machine.calls) == 5:
            altered_in_place(Path("data/items.jsonl"))
        return False

    machine.before_call = change
    ended = fanwise(*words)
    assert ended.code == 1
    assert "is no longer the version that was planned: its content has changed since" in ended.stdout
