"""The whole local cloud killed (SIGKILL) at 20 moments of a job: started again, it goes on, and redoes nothing.

A fault plan makes the store slow enough for each moment to be seen in the job's own folder, and keeps whom each
invocation was for. No test waits for a time.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cloud_in_process import read_lines, write_items
from commands import run_process, started, wait_until, wait_until_gone

ITEMS, BATCH_SIZE = 32, 2
SLOW = {"fault": "slow_store", "seconds": 0.15, "times": None}
PLAN = {
    "rules": [
        {**SLOW, "operation": "write"},
        {**SLOW, "operation": "create"},
        {"fault": "delay", "seconds": 0, "function": "PredictBatch", "times": None},  # so that it is kept
    ]
}


class Job:
    """What is seen of a job in its OUT folder."""

    def __init__(self, out: Path) -> None:
        self.out = out

    def found(self, pattern: str) -> list[Path]:
        """Files of the job's home in the results bucket."""
        return sorted(self.out.glob(f".fanwise/buckets/*-results-*/jobs/*/{pattern}"))

    def has(self, pattern: str) -> Callable[[], bool]:
        return lambda: bool(self.found(pattern))

    def committed(self) -> set[str]:
        return {path.stem for path in self.found("commits/*.json")}

    def has_committed(self, entries: int) -> Callable[[], bool]:
        return lambda: len(self.committed()) >= entries

    def has_part_without_commit(self) -> bool:
        return len(self.found("predictions/*.jsonl")) > len(self.committed())

    def invoked(self) -> list[str]:
        """The entries that PredictBatch was invoked for, by all commands so far."""
        lines = (self.out / ".fanwise/faults.jsonl").read_text().splitlines()
        told = [json.loads(line) for line in lines]
        return [
            one["entry"]
            for one in told
            if one["function"] == "PredictBatch" and one["fault"]["fault"] == "delay"
        ]


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_killed_at_20_moments_the_command_run_again_finishes_the_job(
    made_models: Path, tmp_path: Path
) -> None:
    rows: list[dict[str, object]] = [{"inputs": {"age": x, "history": [x, 1, 2]}} for x in range(ITEMS)]
    rows[9] = {"inputs": {"age": "old", "history": [9, 1, 2]}}
    items, plan = write_items(tmp_path / "data/rows.jsonl", rows), tmp_path / "plan.json"
    plan.write_text(json.dumps(PLAN))
    out, model = tmp_path / "out", made_models / "tabular"
    how = ("--batch-size", str(BATCH_SIZE), "--environments", "1", "--max-concurrency", "1", "--faults", plan)
    words = ("run", items, "--model", model, "--out", out, *how)
    job = Job(out)
    collecting = (".predictions.jsonl.writing", "predictions.jsonl", ".summary.json.writing", "summary.json")
    moments: list[Callable[[], bool]] = [
        (out / ".fanwise/home.json").exists,
        lambda: bool(list(out.glob(".fanwise/buckets/*-results-*/executions/*.json"))),
        job.has("claim.json"),
        job.has("work/0.jsonl"),
        job.has("job.json"),
        job.has_part_without_commit,
        *[job.has_committed(entries) for entries in (1, 2, 3, 4, 6, 8, 10, 12, 14, 15)],
        job.has("map-run/*/manifest.json"),
        job.has("parts.jsonl"),
        job.has("summary.json"),
        lambda: any((out / name).exists() for name in collecting),
    ]
    assert len(moments) == 20
    done: set[str] = set()
    for number, happened in enumerate(moments):
        before = len(job.invoked()) if (out / ".fanwise/faults.jsonl").exists() else 0
        with started(*words) as process:
            wait_until(happened, process)
            os.kill(process.pid, signal.SIGKILL)
            process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL, number
        wait_until_gone(out)
        if (out / ".fanwise/faults.jsonl").exists():
            assert not done & set(job.invoked()[before:]), number
        done = job.committed()

    before = len(job.invoked())
    last = run_process("resume", out)
    assert last.code == 3, last
    assert job.invoked()[before:] == []  # all was committed long before
    assert run_process("verify", out).code == 0
    whole = run_process("run", items, "--model", model, "--out", tmp_path / "whole")
    assert whole.code == 3
    assert (out / "predictions.jsonl").read_bytes() == (tmp_path / "whole/predictions.jsonl").read_bytes()
    (failed,), (expected,) = (read_lines(folder / "failures.jsonl") for folder in (out, tmp_path / "whole"))
    assert failed["failure"].pop("attempts") >= expected["failure"].pop("attempts") == 1
    assert failed == expected
