"""`fanwise simulate` from the command line: what is told, what is drawn, and what is refused in one line."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from signal import SIGINT, SIGTERM
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest

from cloud_in_process import item, write_bundle, write_items
from commands import TIMEOUT_S, Ended, command
from fanwise.model.profile import Profile
from fanwise_cli import simulating
from profiles import ON_LAMBDA, runtime_profile
from terminals import screen

Fanwise = Callable[..., Ended]
CALM = ("--jitter", "0", "--tail", "0")


@pytest.fixture
def profiled(tmp_path: Path) -> Path:
    """A bundle of its own of the arithmetic model, measured on Lambda: 10 ms an item, a start of 2 s."""
    bundle = write_bundle(tmp_path / "arithmetic", "weights that were simulated")
    profile = Profile(runtimes={"tensorflow": runtime_profile(measured_on=ON_LAMBDA)})
    (bundle / "profile.json").write_bytes(msgspec.json.encode(profile))
    return bundle


def simulated(fanwise: Fanwise, *words: str | Path) -> dict[str, Any]:
    ended = fanwise("simulate", *words, "--json", "--quiet")
    assert (ended.code, ended.stderr) == (0, "")
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def test_the_document_has_what_the_contract_says(fanwise: Fanwise, profiled: Path) -> None:
    found = simulated(fanwise, "3,000", "--model", profiled, "--batch-size", "100", *CALM)
    assert set(found) == {
        *("model", "scenario", "status", "reason", "duration_s", "parts_s", "items", "entries", "rounds"),
        *("invocations", "cold_starts", "stragglers", "throttles", "s3_slow_downs", "peak_concurrency"),
        *("peak_waiting", "billed_gb_s", "cost_usd", "usage", "curve", "estimate"),
    }
    assert (found["status"], found["items"]["predicted"], found["entries"]) == ("SUCCEEDED", 3000, 30)
    scenario = found["scenario"]
    assert scenario == {
        "items": 3000,
        "items_guessed": True,
        "size_bytes": 300_000,
        "batch_size": 100,
        "max_concurrency": 1000,
        "account_concurrency": 1000,
        "account_concurrency_from": "default",
        "runtime": "tensorflow",
        "memory_mb": 1769,
        "timeout_s": 120.0,
        "jitter": 0.0,
        "tail": 0.0,
        "tail_factor": scenario["tail_factor"],
        "seed": 0,
    }
    assert {"batches", "duration_s", "cost_usd"} <= set(found["estimate"])
    assert set(found["curve"][0]) == {"t_s", "running", "waiting"}
    assert sum(found["parts_s"].values()) == pytest.approx(found["duration_s"], abs=0.01)


def test_without_chance_it_comes_to_what_the_estimate_says(fanwise: Fanwise, profiled: Path) -> None:
    found = simulated(fanwise, "3000", "--model", profiled, "--batch-size", "100", *CALM)
    reckoned = json.loads(
        fanwise("estimate", "3000", "--model", profiled, "--batch-size", "100", "--json").stdout
    )
    assert found["duration_s"] == pytest.approx(reckoned["duration_s"]["total"], rel=0.02)
    assert found["cost_usd"]["total"] == pytest.approx(reckoned["cost_usd"]["total"], rel=0.02)
    assert found["estimate"]["cost_usd"] == reckoned["cost_usd"]


def test_an_account_that_is_too_small_throttles(fanwise: Fanwise, profiled: Path) -> None:
    words = ("3000", "--model", profiled, "--batch-size", "100", "--account-concurrency", "10", *CALM)
    found = simulated(fanwise, *words)
    assert found["throttles"] > 0
    assert found["peak_concurrency"] <= 10
    assert found["peak_waiting"] > 0
    assert found["items"]["predicted"] == 3000
    assert found["scenario"]["account_concurrency_from"] == "option"


def test_the_seed_is_the_run(fanwise: Fanwise, profiled: Path) -> None:
    words = ("2000", "--model", profiled, "--batch-size", "50")
    first, again, other = (simulated(fanwise, *words, "--seed", seed) for seed in ("1", "1", "2"))
    assert first == again
    assert first["duration_s"] != other["duration_s"]


def test_items_of_this_machine_are_counted(fanwise: Fanwise, profiled: Path, tmp_path: Path) -> None:
    items = write_items(tmp_path / "data/items.jsonl", [item(x) for x in range(1000)])
    found = simulated(fanwise, items, "--model", profiled)
    assert (found["items"]["total"], found["scenario"]["items_guessed"]) == (1000, False)
    assert found["scenario"]["size_bytes"] == items.stat().st_size


def test_a_file_that_is_called_by_a_number_is_a_file(
    fanwise: Fanwise, profiled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "1000").mkdir()
    (tmp_path / "1000/one.bin").write_bytes(b"x")
    assert simulated(fanwise, "1000", "--model", profiled)["items"]["total"] == 1


@pytest.mark.parametrize("count", ["2000", "2_000", "2,000"])
def test_counts_may_be_written_as_people_do(fanwise: Fanwise, profiled: Path, count: str) -> None:
    ended = fanwise("estimate", count, "--model", profiled, "--json", "--quiet")
    assert json.loads(ended.stdout)["items"] == 2000


def test_what_people_read(fanwise: Fanwise, profiled: Path) -> None:
    ended = fanwise("simulate", "3000", "--model", profiled, "--batch-size", "100", *CALM)
    assert ended.code == 0
    told = " ".join(ended.stdout.split())
    for words in (
        "3,000 items by arithmetic@",
        "30 of 100 items (as asked for)",
        "1,769 MB, 1,000 at most, in an account of 1,000 (AWS's default)",
        "simulated closed form more",
        "invocations 31 31 =",
        "most at once 30",
        "throttled 0 answers 429",
        "rounds 1",
        "█ running",
        "not measured on AWS",
        "List prices of us-east-1 x86_64 2026-08",
        "a line of 100 bytes each a guess",
        "Measured on Lambda in us-east-1 at 1,769 MB, by job digits-1.",
    ):
        assert words in told, (words, told)


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_a_picture_is_drawn(fanwise: Fanwise, profiled: Path, tmp_path: Path, suffix: str) -> None:
    picture = tmp_path / f"job.{suffix}"
    words = ("3000", "--model", profiled, "--batch-size", "100", "--account-concurrency", "10")
    simulated(fanwise, *words, "--picture", picture)
    if suffix == "png":
        assert picture.read_bytes().startswith(b"\x89PNG\r\n")
    else:
        assert ElementTree.fromstring(picture.read_bytes()).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314 - our own


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["3000", "--picture", "job.pdf"], "pictures are .svg or .png"),
        (["3000", "--picture", "nowhere/job.svg"], "there is no folder"),
        (["3000", "--account-concurrency", "0"], "--account-concurrency"),
        (["3000", "--jitter", "-1"], "--jitter"),
        (["3000", "--tail", "2"], "--tail"),
        (["3000", "--arch", "sparc"], "there are x86_64 and arm64"),
        (["900000000000000"], "at most 100,000,000,000"),
        (["10000000", "--batch-size", "1"], "at most 1,000,000"),
        (["1e6"], "no such file or folder"),
        (["3000,5"], "no such file or folder"),
    ],
)
def test_wrong_words_are_one_line(
    fanwise: Fanwise, profiled: Path, words: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulating, "simulate", pytest.fail)  # refused before anything is played
    ended = fanwise("simulate", *words, "--model", profiled, "--quiet")
    assert (ended.code, ended.stdout) == (2, "")
    assert message in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_count_needs_a_model(fanwise: Fanwise) -> None:
    ended = fanwise("simulate", "1000")
    assert (ended.code, ended.stdout) == (2, "")
    assert "which model?" in ended.stderr


INTERRUPTED = "fanwise: interrupted; a simulation that is not finished tells nothing\n"
# The command, to which signals come, one after the other, when so many children are at work.
INTERRUPTING = """
import signal, sys
from fanwise_cli import main, simulating

class Interrupting(simulating.Counts):
    def running_changed(self, running):
        super().running_changed(running)
        if self.rounds and running == at:
            for number in numbers:
                signal.raise_signal(number)

at, *numbers = map(int, sys.argv.pop(1).split(","))
simulating.Counts = Interrupting
sys.exit(main.main())
"""


@pytest.mark.parametrize("numbers", [(SIGINT,), (SIGTERM,), (SIGINT, SIGINT), (SIGTERM, SIGINT)])
@pytest.mark.parametrize("running", [1, 25])
def test_an_interruption_is_one_line_and_leaves_nothing(
    profiled: Path, tmp_path: Path, numbers: tuple[signal.Signals, ...], running: int
) -> None:
    (tmp_path / "temporary").mkdir()
    words = (
        "simulate",
        "3000",
        "--model",
        profiled,
        "--batch-size",
        "100",
        "--picture",
        tmp_path / "job.svg",
    )
    when = ",".join(str(int(number)) for number in (running, *numbers))
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTING, when, *map(str, words), "--quiet"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
        env=os.environ | {"TMPDIR": str(tmp_path / "temporary")},
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", INTERRUPTED)
    assert list((tmp_path / "temporary").iterdir()) == []
    assert not (tmp_path / "job.svg").exists()


def test_afterwards_signals_are_what_they_were(fanwise: Fanwise, profiled: Path) -> None:
    before = [signal.getsignal(number) for number in (SIGINT, SIGTERM)]
    simulated(fanwise, "300", "--model", profiled)
    assert [signal.getsignal(number) for number in (SIGINT, SIGTERM)] == before


def test_ctrl_c_on_a_terminal_while_thousands_are_at_work(profiled: Path, tmp_path: Path) -> None:
    """And again, until it has ended: the line is taken away, and nobody complains that it was not finished."""
    (tmp_path / "temporary").mkdir()
    lambda_ = ("--max-concurrency", "5000", "--account-concurrency", "5000")
    words = command("simulate", "5,000,000", "--model", profiled, "--batch-size", "200", *lambda_)
    ours, theirs = os.openpty()
    with subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        env=os.environ | {"TMPDIR": str(tmp_path / "temporary"), "TERM": "xterm", "COLUMNS": "100"},
    ) as process:
        os.close(theirs)
        sent = ""
        try:
            while piece := _read(ours):
                sent += piece
                if re.search(r"\d,\d{3} running", sent):
                    process.send_signal(SIGINT)
            stdout, _ = process.communicate(timeout=TIMEOUT_S)
        finally:
            process.kill()
            os.close(ours)
    assert (process.returncode, stdout) == (130, "")
    assert screen(sent) == [INTERRUPTED.strip()]
    assert list((tmp_path / "temporary").iterdir()) == []


def _read(terminal: int) -> str:
    """What comes next; nothing when the other side is closed."""
    try:
        return os.read(terminal, 65_536).decode(errors="replace")
    except OSError:
        return ""
