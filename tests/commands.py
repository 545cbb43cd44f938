"""The command `fanwise` for tests: in the test's own process, or as a process of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cloud_in_process import Machine, write_bundle
from fanwise_cli import run as run_module
from fanwise_cli.main import main

TIMEOUT_S = 180  # nothing takes so long; a command that hangs is to end


class Ended(NamedTuple):
    """How a command ended, and what it printed."""

    code: int
    stdout: str
    stderr: str


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """The machine that `fanwise` runs jobs on: no processes, no TensorFlow."""
    machine = Machine()
    monkeypatch.setattr(run_module, "LocalCloud", machine.cloud)
    return machine


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle of the model that `machine` has."""
    return write_bundle(tmp_path / "arithmetic")


@pytest.fixture
def fanwise(machine: Machine, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Runs the command in this process, on `machine`."""

    def run(*words: str | Path) -> Ended:
        capsys.readouterr()
        code = main([str(word) for word in words])
        return Ended(code, *capsys.readouterr())

    return run


def command(*words: str | Path) -> list[str]:
    """The words that start the command as a process."""
    return [sys.executable, "-m", "fanwise_cli", *map(str, words)]


def run_process(*words: str | Path, **how: Any) -> Ended:
    """Run the command as a process of its own, on the real local cloud; `how` as `subprocess.run` has it."""
    done = subprocess.run(
        command(*words),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
        **how,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


@contextmanager
def started(*words: str | Path, **how: Any) -> Iterator["subprocess.Popen[str]"]:
    """The command as a process that a test sends signals to, at the head of a process group as in a terminal."""
    process = subprocess.Popen(
        command(*words),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **how,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_until(happened: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    """Wait until something is so; fails the test if the process ends before that."""
    give_up = time.monotonic() + TIMEOUT_S
    while not happened():
        assert process.poll() is None, f"ended with {process.returncode} before it: {process.communicate()}"
        assert time.monotonic() < give_up, "it does not happen"
        time.sleep(0.005)


def processes_of(folder: Path) -> list[int]:
    """Processes (Linux) whose command line or environment names a folder, but for this one and its parents."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:  # gone, or somebody else's
            continue
        if os.fsencode(folder) in words and state != "Z":
            found.append(int(process.name))
    return [pid for pid in found if pid != os.getpid()]


def wait_until_gone(folder: Path) -> None:
    """A killed process takes the kernel a moment to clear away; it must not take more than that."""
    for _ in range(6000):
        if not processes_of(folder):
            return
        signal.sigtimedwait([], 0.005)
    raise AssertionError(f"still there: {processes_of(folder)}")
