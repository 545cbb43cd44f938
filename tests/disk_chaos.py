"""Jobs of `fanwise run` whose disk is damaged, full or without power, or whose processes are killed, by a seed.

Each trial draws a job and what befalls it, has it run again or resumed, and wants the results of a job that
nothing befell and a proof by `fanwise verify`. `make chaos` runs many; a share runs in the ordinary tests.
"""

import contextlib
import errno
import io
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from cloud_in_process import Machine, item, read_lines, write_bundle, write_items
from commands import Ended, run_process, started, wait_until_gone
from fanwise.storage import FolderBackend
from fanwise_cli import run as run_module
from fanwise_cli.main import main

Words = Sequence[str | Path]
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def emptied(file: Path, _: random.Random) -> None:
    file.write_bytes(b"")


def shortened(file: Path, chance: random.Random) -> None:
    body = file.read_bytes()
    file.write_bytes(body[: chance.randrange(len(body))] if body else body)


def lengthened(file: Path, chance: random.Random) -> None:
    body = file.read_bytes()
    file.write_bytes(body + chance.choice([b"\n", b'{"index": 0', b"\0" * 512, body[:100]]))


def zeroed(file: Path, chance: random.Random) -> None:
    """A block of the disk that was never written."""
    body = bytearray(file.read_bytes())
    at = chance.randrange(len(body) + 1)
    body[at : at + 512] = bytes(len(body[at : at + 512]))
    file.write_bytes(bytes(body))


def flipped(file: Path, chance: random.Random) -> None:
    """One bit."""
    body = bytearray(file.read_bytes())
    if body:
        body[chance.randrange(len(body))] ^= 1 << chance.randrange(8)
    file.write_bytes(bytes(body))


def removed(file: Path, _: random.Random) -> None:
    file.unlink()


DAMAGES: Sequence[Callable[[Path, random.Random], None]] = (
    emptied,
    shortened,
    lengthened,
    zeroed,
    flipped,
    removed,
)


class InProcess:
    """The command in this process, on a machine of its own."""

    def __init__(self) -> None:
        self.machine = Machine()

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(run_module, "LocalCloud", self.machine.cloud)
            yield

    def __call__(self, *words: str | Path) -> Ended:
        said, told = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(told):
            code = main([str(word) for word in words])
        return Ended(code, said.getvalue(), told.getvalue())


def results(out: Path) -> list[Any]:
    """What came out, without how often it was tried."""
    rows: list[Any] = list(read_lines(out / "predictions.jsonl"))
    for row in read_lines(out / "failures.jsonl"):
        row["failure"].pop("attempts")
        rows.append(row)
    return rows


class Trial:
    """A drawn job, run whole once, and then with what befalls it."""

    def __init__(self, seed: int, folder: Path, suite: str) -> None:
        self.chance = random.Random(f"{suite} {seed}")
        self.folder = folder / f"{suite}-{seed}".replace(" ", "-")
        self.out = self.folder / "out"
        self.fanwise = InProcess()
        count = self.chance.randint(1, 24)
        orders = [self.chance.choice(["", "", "", "", "", "NotFound"]) for _ in range(count)]
        if self.chance.random() < 0.5:  # one at most: a round in which most entries die ends the job
            orders[self.chance.randrange(count)] = "die"
        self.batch_size = self.chance.randint(1, 8)
        rows = [item(x, order) for x, order in enumerate(orders)]
        items = write_items(self.folder / "data/items.jsonl", rows)
        self.items = len(rows)
        bundle = write_bundle(self.folder / "arithmetic")
        how = (
            "--batch-size",
            str(self.batch_size),
            "--environments",
            "1",
            "--max-concurrency",
            "1",
            "--quiet",
        )
        self._words = ("run", items, "--model", bundle, *how)

    def run(self, out: Path) -> Ended:
        return self.fanwise(*self._words, "--out", out)

    def again(self) -> Ended:
        """The same command again, or `resume`."""
        return (
            self.run(self.out) if self.chance.random() < 0.5 else self.fanwise("resume", self.out, "--quiet")
        )

    def check(self, ended: Ended, whole: Ended) -> None:
        assert "Traceback" not in ended.stderr, ended.stderr
        assert ended.code == whole.code, (ended, whole)
        assert results(self.out) == results(self.folder / "whole")
        proof = self.fanwise("verify", self.out)
        assert proof.code == 0, proof.stdout


def damage_trial(seed: int, folder: Path) -> str:
    """One to three files of a job's home, finished or interrupted, are damaged; answers how."""
    trial = Trial(seed, folder, "damage")
    chance, machine = trial.chance, trial.fanwise.machine
    with trial.fanwise.at_work():
        whole = trial.run(trial.folder / "whole")
        calls = len(machine.calls)
        machine.calls.clear()
        if chance.random() < 0.5:
            machine.interrupt_at(chance.randint(3, max(3, calls - 1)))
        trial.run(trial.out)
        machine.before_call = lambda _: None
        damage = chance.choice(DAMAGES)
        files = sorted(trial.out.glob(".fanwise/buckets/*-results-*/jobs/*/**/*.*"))
        files = [file for file in files if file.is_file()]
        for file in chance.sample(files, min(len(files), chance.randint(1, 3))):
            damage(file, chance)
        ended = trial.again()
        if ended.code == 2:  # of what only the same command can mend
            ended = trial.run(trial.out)
        trial.check(ended, whole)
    return damage.__name__


def full_disk_trial(seed: int, folder: Path) -> str:
    """The disk is full from some write on, until the command has ended; answers what the disk said."""
    trial = Trial(seed, folder, "full disk")
    chance = trial.chance
    number, left = chance.choice(FULL), [0]
    temporary, fsync = FolderBackend._temporary, os.fsync

    def is_full() -> bool:
        left[0] -= 1
        return left[0] < 0

    def no_room(backend: FolderBackend, path: str, body: bytes) -> str:
        if is_full():
            raise OSError(number, os.strerror(number))
        return temporary(backend, path, body)

    def no_sync(descriptor: int) -> None:
        if left[0] < 0:
            raise OSError(number, os.strerror(number))
        fsync(descriptor)

    with trial.fanwise.at_work():
        whole = trial.run(trial.folder / "whole")
        left[0] = chance.randint(0, 12 + 4 * (trial.items // trial.batch_size))
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(FolderBackend, "_temporary", no_room)
            patched.setattr(os, "fsync", no_sync)
            ended = trial.run(trial.out)
        if left[0] < 0:
            said = ended.stdout + ended.stderr
            assert ended.code == 1, ended
            assert "Traceback" not in said
            assert os.strerror(number) in said or not said, said
        trial.check(
            trial.again() if (trial.out / ".fanwise/home.json").exists() else trial.run(trial.out), whole
        )
    return os.strerror(number)


def kill_trial(seed: int, folder: Path, model: Path) -> str:
    """Every process of a job is killed at one to three drawn moments; `model` is a SavedModel (`tabular`)."""
    chance = random.Random(f"kill {seed}")
    here = folder / f"kill-{seed}"
    rows: list[dict[str, Any]] = [
        {"inputs": {"age": x, "history": [x, 1, 2]}} for x in range(chance.randint(20, 400))
    ]
    rows[7] = {"inputs": {"age": "old", "history": [9, 1, 2]}}
    items = write_items(here / "data/rows.jsonl", rows)
    words = ("run", items, "--model", model, "--batch-size", str(chance.choice([3, 10, 40])), "--quiet")
    out, kills = here / "out", chance.randint(1, 3)
    began_s = time.monotonic()
    whole = run_process(*words, "--out", here / "whole")
    whole_s = time.monotonic() - began_s
    for _ in range(kills):
        with started(*words, "--out", out) as process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=chance.uniform(0.2, 1.0) * whole_s)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate(timeout=60)
        wait_until_gone(out)
    ended = (
        run_process("resume", out)
        if (out / ".fanwise/home.json").exists()
        else run_process(*words, "--out", out)
    )
    assert (ended.code, whole.code) == (3, 3), (ended, whole)
    assert results(out) == results(here / "whole")
    proof = run_process("verify", out)
    assert proof.code == 0, proof
    return f"killed {kills}x"
