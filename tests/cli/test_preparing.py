"""Preparing a model: what a person sees of it, how long it may take, and that it leaves nothing behind."""

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.test_interrupt import needs_proc
from cloud_in_process import write_items
from commands import processes_of, run_process, started, wait_until, wait_until_gone
from fanwise.errors import BundleError, InputError
from fanwise_cli import prepare_process
from fanwise_cli.prepare_process import Ended, hearing, run_apart
from fanwise_cli.preparing import preparing
from fanwise_cli.settings import prepare_timeout_s
from fanwise_cli.terminal import JobConsole

TERMINAL: dict[str, Any] = {"force_terminal": True, "force_interactive": True, "_environ": {"TERM": "xterm"}}
# In place of the module that prepares a model: it and a child of its own stay until they are ended.
STAYS = """
import subprocess, sys, time
print("begun", flush=True)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", sys.argv[-1]])
time.sleep(600)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a bundle is made."""
    folder = tmp_path / "making/bundle"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Ended]:
    """Runs a program in the process's place."""

    def run(program: str) -> Ended:
        script = folder.with_name("program.py")
        script.write_text(program)
        popen = subprocess.Popen

        def instead(command: list[str], **how: Any) -> Any:
            return popen([sys.executable, str(script), *command[5:]], **how)

        monkeypatch.setattr(subprocess, "Popen", instead)
        return run_apart([str(folder)], {}, Path("digits.keras"), folder, folder.with_name("report.json"))

    return run


@needs_proc
def test_beyond_the_limit_it_and_its_children_are_ended(
    runs: Callable[[str], Ended], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FANWISE_PREPARE_TIMEOUT_S", "1.5")
    with pytest.raises(BundleError) as caught:
        runs(STAYS)
    assert str(caught.value) == (
        "digits.keras: was not prepared within 1.5 s (it was loading); give it more time with"
        " FANWISE_PREPARE_TIMEOUT_S=SECONDS, or try the model in its library by itself"
    )
    wait_until_gone(folder)


@needs_proc
def test_children_that_it_leaves_behind_are_ended_too(runs: Callable[[str], Ended], folder: Path) -> None:
    leaves = STAYS.replace("time.sleep(600)\n", "sys.exit('no reason')\n", 2).replace(
        "sys.exit('no reason')", "", 0
    )
    ended = runs(leaves)
    assert (ended.status, ended.last_line) == (1, "no reason")
    wait_until_gone(folder)


def test_what_floods_its_output_is_read_to_its_end(runs: Callable[[str], Ended]) -> None:
    ended = runs(
        "import sys\nfor n in range(300_000): print('x' * 20, n)\nsys.stderr.write('last\\n')\nsys.exit(3)"
    )
    assert ended.status == 3
    assert ended.last_line in ("last", "x" * 20 + " 299999")


def test_it_is_heard_which_part_is_at_work(runs: Callable[[str], Ended]) -> None:
    heard: list[str] = []
    with hearing(lambda part, seconds: heard.append(part)):
        runs(
            "import pathlib, sys, time\nfolder = pathlib.Path(sys.argv[-1])\ntime.sleep(0.5)\n"
            "(folder / 'frozen').mkdir()\ntime.sleep(0.5)\n(folder / 'model.tflite').touch()\ntime.sleep(0.5)"
        )
    assert list(dict.fromkeys(heard)) == ["loading", "converting", "measuring"]


@pytest.mark.parametrize("text", ["soon", "0", "-1", "nan", "inf"])
def test_a_limit_that_is_none_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FANWISE_PREPARE_TIMEOUT_S", text)
    with pytest.raises(InputError, match="seconds, more than 0"):
        prepare_timeout_s()


# The whole command.


@needs_proc
def test_a_model_that_takes_too_long_is_input_that_stopped_the_command(
    made_models: Path, tmp_path: Path
) -> None:
    items = write_items(tmp_path / "data/rows.jsonl", [{"inputs": {"age": 1, "history": [1, 2, 3]}}])
    cache = tmp_path / "cache"
    further = {"FANWISE_CACHE_DIR": str(cache), "FANWISE_PREPARE_TIMEOUT_S": "0.5"}
    words = ("run", items, "--model", made_models / "tabular", "--out", tmp_path / "out", "--quiet")
    ended = run_process(*words, env=os.environ | further)
    assert (ended.code, ended.stdout) == (2, "")
    (line,) = ended.stderr.splitlines()
    assert "was not prepared within 0.5 s" in line
    wait_until_gone(cache)
    assert list(cache.glob("bundles/*")) == []
    assert not (tmp_path / "out").exists()


@needs_proc
def test_killed_outright_the_command_takes_its_process_along(made_models: Path, tmp_path: Path) -> None:
    items = write_items(tmp_path / "data/rows.jsonl", [{"inputs": {"age": 1, "history": [1, 2, 3]}}])
    cache = tmp_path / "cache"
    words = ("run", items, "--model", made_models / "digits.keras", "--out", tmp_path / "out")
    with started(*words, env=os.environ | {"FANWISE_CACHE_DIR": str(cache)}) as process:
        wait_until(lambda: len([pid for pid in processes_of(cache) if pid != process.pid]) > 0, process)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        give_up = time.monotonic() + 60
        while processes_of(cache):
            assert time.monotonic() < give_up
            time.sleep(0.1)


# What is seen.


def seen(console: JobConsole, *moments: tuple[str, float], quiet: bool = False) -> None:
    with preparing(console, quiet=quiet, patience_s=60):
        heard = prepare_process._heard.get()
        for part, seconds in moments:
            if heard is not None:
                heard(part, seconds)


def test_without_a_terminal_it_is_a_line_every_half_minute() -> None:
    file = io.StringIO()
    moments = [
        ("loading", 1.0),
        ("loading", 29.9),
        ("converting", 30.1),
        ("converting", 59.0),
        ("measuring", 61.0),
    ]
    seen(JobConsole(file=file), *moments, ("measuring", 62.0), ("measuring", 125.0))
    assert file.getvalue().splitlines() == [
        "preparing the model: converting … 30 s",
        "preparing the model: measuring … 61 s",
        "preparing the model: measuring … 125 s",
    ]


def test_on_a_terminal_it_is_a_line_that_is_written_anew() -> None:
    file = io.StringIO()
    seen(JobConsole(file=file, width=60, **TERMINAL), ("converting", 12.2))
    assert "preparing the model: converting … 12 s" in file.getvalue()


def test_quiet_says_nothing() -> None:
    file = io.StringIO()
    seen(JobConsole(file=file), ("converting", 40.0), quiet=True)
    seen(JobConsole(file=file, **TERMINAL), ("converting", 40.0), quiet=True)
    assert file.getvalue() == ""
