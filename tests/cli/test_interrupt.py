"""Ctrl-C, SIGTERM and SIGKILL: nothing is left running, nothing done is lost, and the same command goes on.

No test waits for a time: a signal is sent when a thing has happened that is seen in the job's own folder.
"""

import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from cloud_in_process import Machine, item, read_lines, write_items
from commands import Ended, processes_of, run_process, started, wait_until, wait_until_gone
from fanwise_cli import bundles
from fanwise_cli.home import JobHome
from fanwise_cli.log_file import log_kept

Fanwise = Callable[..., Ended]
ITEMS = 40


@pytest.fixture
def words(tmp_path: Path, bundle: Path) -> tuple[str | Path, ...]:
    """A command whose work is many small entries, one after the other."""
    items = write_items(tmp_path / "data/items.jsonl", [item(x) for x in range(ITEMS)])
    how = ("--batch-size", "1", "--environments", "1", "--max-concurrency", "1")
    return ("run", items, "--model", bundle, "--out", tmp_path / "out", *how)


def commits(out: Path) -> dict[Path, tuple[int, bytes]]:
    """Each commit, when it was written and what it says."""
    found = out.glob(".fanwise/buckets/*/jobs/*/commits/*.json")
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in found}


def kill_at(machine: Machine, call: int, number: int = signal.SIGINT, times: int = 1) -> None:
    """Have this process get a signal when the n-th call of a function begins, which then never ends."""

    def send(_: str) -> bool:
        if len(machine.calls) != call:
            return False
        machine.before_call = lambda _: False
        for _repeated in range(times):
            os.kill(os.getpid(), number)
        return True

    machine.before_call = send


# In one process, at exactly known moments.


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("times", [1, 3])
def test_interrupted_while_predicting_the_same_command_goes_on(
    fanwise: Fanwise,
    machine: Machine,
    words: tuple[str | Path, ...],
    tmp_path: Path,
    number: int,
    times: int,
) -> None:
    before = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}
    kill_at(machine, 12, number, times)  # PlanJob, ProbeModel, and the tenth entry's PredictBatch
    first = fanwise(*words)
    assert (first.code, first.stdout) == (130, "")
    done = commits(tmp_path / "out")
    assert len(done) == 9
    said = "Interrupted. Done: 9 of 40 items. The same command goes on from there."
    assert first.stderr.splitlines()[-1] == said
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [".fanwise"]
    assert {name: signal.getsignal(name) for name in before} == before

    machine.calls.clear()
    second = fanwise(*words)
    assert second.code == 0
    assert machine.calls.count("PredictBatch") == ITEMS - len(done)
    assert "loading the model  9/40 items\n" in second.stderr
    after = commits(tmp_path / "out")
    assert {path: after[path] for path in done} == done
    uninterrupted = fanwise(*words[:-7], tmp_path / "whole")
    assert uninterrupted.code == 0
    for name in ("predictions.jsonl", "failures.jsonl"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_interrupted_before_the_plan_is_there(
    fanwise: Fanwise, machine: Machine, words: tuple[str | Path, ...]
) -> None:
    kill_at(machine, 1)
    ended = fanwise(*words)
    assert ended.code == 130
    assert ended.stderr.endswith("Interrupted. Done: nothing yet. The same command goes on from there.\n")
    assert fanwise(*words).code == 0


def test_a_run_anew_that_is_interrupted_goes_on_without_again(
    fanwise: Fanwise, machine: Machine, words: tuple[str | Path, ...], tmp_path: Path
) -> None:
    assert fanwise(*words).code == 0
    machine.calls.clear()
    kill_at(machine, 12)
    ended = fanwise(*words, "--again")
    assert ended.code == 130
    assert ended.stderr.endswith("The same command, without --again, goes on from there.\n")
    machine.calls.clear()
    assert fanwise(*words).code == 0
    assert machine.calls.count("PredictBatch") == ITEMS - 9


def test_interrupted_in_quiet_and_as_json(
    fanwise: Fanwise, machine: Machine, words: tuple[str | Path, ...]
) -> None:
    kill_at(machine, 12)
    assert fanwise(*words, "--quiet") == Ended(130, "", "")
    machine.calls.clear()
    kill_at(machine, 12)
    ended = fanwise(*words, "--json")
    assert (ended.code, ended.stdout) == (130, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_while_results_are_brought_home(
    fanwise: Fanwise,
    machine: Machine,
    words: tuple[str | Path, ...],
    tmp_path: Path,
    number: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(home: JobHome, folder: Path, to: Path) -> None:
        os.kill(os.getpid(), number)

    with monkeypatch.context() as once:
        once.setattr(JobHome, "collect", interrupted)
        ended = fanwise(*words)
    assert ended.code == 130
    assert ended.stderr.endswith(
        f"Interrupted. Done: {ITEMS} of {ITEMS} items. The same command goes on from there.\n"
    )
    machine.calls.clear()
    assert fanwise(*words).code == 0
    assert "PredictBatch" not in machine.calls
    assert len(read_lines(tmp_path / "out/predictions.jsonl")) == ITEMS


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_before_the_job_begins(
    fanwise: Fanwise,
    machine: Machine,
    words: tuple[str | Path, ...],
    tmp_path: Path,
    number: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        os.kill(os.getpid(), number)

    with monkeypatch.context() as once:
        once.setattr(bundles, "prepare", interrupted)
        ended = fanwise(*words)
    said = "fanwise: interrupted before the job began; the same command begins anew\n"
    assert ended == Ended(130, "", said)
    assert not (tmp_path / "out").exists()
    assert fanwise(*words).code == 0


def test_a_log_on_a_full_disk_is_no_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "logs/fanwise.log").mkdir(parents=True)  # nothing can be written there
    with log_kept(tmp_path / "logs"):
        logging.getLogger("fanwise_local").error("the disk is full")
    assert capsys.readouterr().err == ""


# With real processes and TensorFlow.

needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")


def real_words(items: Path, model: Path, out: Path) -> Sequence[str | Path]:
    how = ("--batch-size", "1", "--environments", "1", "--max-concurrency", "1")
    return ("run", items, "--model", model, "--out", out, *how)


@needs_proc
def test_ctrl_c_then_sigterm_then_sigkill_then_to_the_end(made_models: Path, tmp_path: Path) -> None:
    count = 400
    rows = [{"inputs": {"age": x, "history": [x, 1, 2]}} for x in range(count)]
    items, out = write_items(tmp_path / "data/rows.jsonl", rows), tmp_path / "out"
    words = real_words(items, made_models / "tabular", out)
    done: dict[Path, tuple[int, bytes]] = {}

    def interrupt(send: Callable[[int], None]) -> tuple[int, str, str]:
        """Start the command, send a signal once it has decided another entry, and see that nothing is left."""
        with started(*words) as process:
            wait_until(lambda: len(commits(out)) > len(done), process)
            assert processes_of(out)
            send(process.pid)
            stdout, stderr = process.communicate(timeout=60)
        wait_until_gone(out)
        found = commits(out)
        assert {path: found[path] for path in done} == done
        assert len(done) < len(found) < count
        done.update(found)
        return process.returncode, stdout, stderr

    def twice_to_the_group(pid: int) -> None:
        os.killpg(pid, signal.SIGINT)
        os.killpg(pid, signal.SIGINT)

    for send in (twice_to_the_group, lambda pid: os.kill(pid, signal.SIGTERM)):
        code, stdout, stderr = interrupt(send)
        assert (code, stdout) == (130, ""), stderr
        assert "Traceback" not in stderr
        assert stderr.splitlines()[-1].endswith(f" of {count} items. The same command goes on from there.")
    code, _, _ = interrupt(lambda pid: os.kill(pid, signal.SIGKILL))
    assert code == -signal.SIGKILL

    last = run_process(*words)
    assert last.code == 0, last
    found = commits(out)
    assert {path: found[path] for path in done} == done
    assert len(found) == count
    whole = run_process("run", items, "--model", made_models / "tabular", "--out", tmp_path / "whole")
    assert whole.code == 0
    assert (out / "predictions.jsonl").read_bytes() == (tmp_path / "whole/predictions.jsonl").read_bytes()
    assert json.loads((out / "summary.json").read_bytes())["items"]["predicted"] == count
    assert processes_of(tmp_path) == []


def prepares(pid: int) -> bool:
    """Whether a process has one below it that makes a bundle."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return any(b"prepare_bundle" in Path(f"/proc/{child}/cmdline").read_bytes() for child in children)


@needs_proc
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_while_the_model_is_prepared(made_models: Path, tmp_path: Path, number: int) -> None:
    items = write_items(tmp_path / "data/rows.jsonl", [{"inputs": {"age": 1, "history": [1, 2, 3]}}])
    cache = tmp_path / "cache"
    words = real_words(items, made_models / "tabular", tmp_path / "out")
    with started(*words, env=os.environ | {"FANWISE_CACHE_DIR": str(cache)}) as process:
        wait_until(lambda: prepares(process.pid), process)
        (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
        stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (130, "")
    assert stderr == "fanwise: interrupted before the job began; the same command begins anew\n"
    wait_until_gone(cache)
    assert list(cache.glob("bundles/*")) == []
    assert not (tmp_path / "out").exists()
