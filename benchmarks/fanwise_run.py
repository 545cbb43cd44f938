"""`fanwise run` as a user types it, and what it left: nothing is asked of it while it works.

What was done when, its own commits tell: `invocation` has how long an invocation took and how much of that was
loading the model, and the commit's time of writing is when it ended.
"""

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.errors import BenchmarkError
from benchmarks.processes import Finished, environment, run_process
from benchmarks.rates import Ramp
from fanwise.records import Commit

ONEDNN = {"TF_ENABLE_ONEDNN_OPTS": "1"}  # the template sets it for fanwise's functions anyway
_commit_decoder = msgspec.json.Decoder(Commit)


@dataclass(frozen=True)
class Job:
    """What is run: an items file, a model, and the words that are not the defaults."""

    items: Path
    model: Path
    runtime: str
    batch_size: int | None = None

    def words(self, out: Path) -> list[str]:
        """The command, without its name."""
        words = ["run", str(self.items), "--model", str(self.model), "--runtime", self.runtime]
        if self.batch_size is not None:
            words += ["--batch-size", str(self.batch_size)]
        return [*words, "--out", str(out), "--json"]


@dataclass(frozen=True)
class FanwiseRun:
    """One run; `out` is there until the next one. Times of commits are `time.monotonic()`, like the others."""

    finished: Finished
    summary: dict[str, Any]
    commits: list[tuple[Commit, float]]
    out: Path

    def ramps(self) -> list[Ramp]:
        """One an invocation."""
        return [commit_ramp(commit, ended_s) for commit, ended_s in self.commits]

    @property
    def predictions(self) -> bytes:
        """The lines of predictions.jsonl."""
        return (self.out / "predictions.jsonl").read_bytes()


@contextmanager
def fanwise_run(job: Job, work: Path, *, weighed: bool = False) -> Iterator[FanwiseRun]:
    """Run it into a fresh folder below `work`, which is gone afterwards; `work/cache` keeps the prepared model."""
    folder = work / f"run-{job.runtime}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        out = folder / "out"
        command = [str(_command()), *job.words(out)]
        finished = run_process(command, _variables(work), cwd=folder, weighed=weighed)
        summary: dict[str, Any] = msgspec.json.decode(finished.stdout)
        yield FanwiseRun(finished, summary, commits_of(out, summary["job_id"]), out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def fanwise_json(words: list[str], work: Path) -> dict[str, Any]:
    """What another command prints with `--json`, with the models that the runs prepared."""
    finished = run_process([str(_command()), *words, "--json"], _variables(work), cwd=work)
    said: dict[str, Any] = msgspec.json.decode(finished.stdout)
    return said


def commits_of(out: Path, job_id: str) -> list[tuple[Commit, float]]:
    """The commits of the job that `out` holds, and when each was written. Raises `BenchmarkError` without any."""
    paths = sorted(out.glob(f".fanwise/buckets/*results*/jobs/{job_id}/commits/*.json"))
    if not paths:
        raise BenchmarkError(f"no commits of the job {job_id} below .fanwise/buckets: were they moved?")
    since_epoch_s = time.time() - time.monotonic()
    return [
        (_commit_decoder.decode(path.read_bytes()), path.stat().st_mtime - since_epoch_s) for path in paths
    ]


def commit_ramp(commit: Commit, ended_s: float) -> Ramp:
    """The items of a commit, spread evenly over its invocation after the model was loaded."""
    working_s = max(0.0, commit.invocation.duration_ms - commit.invocation.load_ms) / 1000
    return Ramp(ended_s - working_s, ended_s, commit.predicted + commit.dead_lettered)


def _variables(work: Path) -> dict[str, str]:
    return environment(FANWISE_CACHE_DIR=str(work / "cache"), **ONEDNN)


def _command() -> Path:
    command = Path(sys.executable).with_name("fanwise")
    if not command.exists():
        raise BenchmarkError("there is no command fanwise beside this Python: `make setup` installs it")
    return command
