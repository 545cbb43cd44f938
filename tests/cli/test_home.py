"""OUT: who works in it, which job it holds, and that a stop at any moment leaves nothing that lies."""

import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from fanwise.errors import InputError
from fanwise.records import Part
from fanwise_cli import collecting
from fanwise_cli.home import HeldJob, JobHome

JOB = HeldJob("items-1", "items-1")
ANEW = HeldJob("items-1", "items-2", "again-1")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[JobHome]:
    home = JobHome(tmp_path / "out")
    with home.held():
        yield home


@pytest.fixture
def jobs(home: JobHome) -> Path:
    """The results bucket's jobs."""
    return home.work_dir / "buckets/results/jobs"


def write_job(folder: Path, job_id: str, predictions: list[bytes], failures: list[bytes]) -> Path:
    """What a job leaves in the results bucket; parts.jsonl lists the parts that count, orphans lie beside them."""
    parts = []
    for kind, texts in (("predictions", predictions), ("failures", failures)):
        (folder / job_id / kind).mkdir(parents=True)
        (folder / job_id / kind / "orphan.jsonl").write_bytes(b"nobody's\n")
        for number, text in enumerate(texts):
            key = f"{kind}/{9 - number}.jsonl"
            (folder / job_id / key).write_bytes(text)
            parts.append(Part(key=key, first=number, count=1, size_bytes=len(text)))
    (folder / job_id / "parts.jsonl").write_bytes(msgspec.json.Encoder().encode_lines(parts))
    (folder / job_id / "summary.json").write_text(json.dumps({"job_id": job_id, "items": {"missing": 0}}))
    return folder / job_id


def test_one_command_at_a_time(tmp_path: Path) -> None:
    home = JobHome(tmp_path / "out")
    with home.held():
        with pytest.raises(InputError, match="another fanwise is at work"), JobHome(tmp_path / "out").held():
            pass
        assert home.work_dir.is_dir()  # the second one has not cleared it away
    with home.held():
        pass


def test_a_lock_whose_file_is_gone_is_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between opening and locking, the command that was first may leave and take the lock's file along."""
    lock, flock = tmp_path / "out/.fanwise/lock", fcntl.flock

    def leave_first(file: int, operation: int) -> None:
        lock.unlink()
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", leave_first)
    with pytest.raises(InputError, match="another fanwise is at work"), JobHome(tmp_path / "out").held():
        pass


def test_without_a_job_no_trace_is_left(tmp_path: Path) -> None:
    with JobHome(tmp_path / "new").held():
        assert (tmp_path / "new/.fanwise").is_dir()
    assert not (tmp_path / "new").exists()
    (tmp_path / "there").mkdir()
    with JobHome(tmp_path / "there").held():
        (tmp_path / "there/of the person").touch()
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["of the person"]


def test_a_job_stays(tmp_path: Path) -> None:
    home = JobHome(tmp_path / "out")
    with home.held():
        assert home.job() is None
        home.hold(JOB, tmp_path / "jobs")
    with home.held():
        assert home.job() == JOB


def test_foreign_files_are_refused(home: JobHome) -> None:
    home.refuse_foreign_files()
    (home.out / "thesis.tex").touch()
    with pytest.raises(InputError, match=r"'thesis.tex'.*choose another --out"):
        home.refuse_foreign_files()


@pytest.mark.parametrize(
    "text", [b"", b"{", b'{"base": "x"}', b"\x00" * 20, b"[]", b'{"base": "\xff", "job_id": "x"}']
)
def test_a_damaged_home_file_is_said(home: JobHome, text: bytes) -> None:
    (home.work_dir / "home.json").write_bytes(text)
    with pytest.raises(InputError, match=r"home.json: is damaged .*remove"):
        home.job()


def test_results_come_home_in_the_order_of_the_parts_that_count(home: JobHome, jobs: Path) -> None:
    folder = write_job(jobs, JOB.job_id, [b"1\n", b"2\n", b"3\n"], [b"x\n"])
    assert home.collect(folder) == home.summary(JOB) == {"job_id": "items-1", "items": {"missing": 0}}
    assert (home.out / "predictions.jsonl").read_bytes() == b"1\n2\n3\n"
    assert (home.out / "failures.jsonl").read_bytes() == b"x\n"
    assert sorted(path.name for path in home.out.iterdir() if path.name.startswith(".")) == [".fanwise"]


def test_a_summary_of_another_run_is_not_this_ones(home: JobHome, jobs: Path) -> None:
    assert home.summary(JOB) is None
    home.collect(write_job(jobs, JOB.job_id, [], []))
    assert home.summary(ANEW) is None
    for text in ("", "[]", '{"job_id"'):
        (home.out / "summary.json").write_text(text)
        assert home.summary(JOB) is None


def test_a_new_run_takes_the_place_of_the_old(home: JobHome, jobs: Path) -> None:
    home.hold(JOB, jobs)
    home.collect(write_job(jobs, JOB.job_id, [b"1\n"], []))
    home.hold(JOB, jobs)  # gone on with
    assert (jobs / JOB.job_id).is_dir()
    home.collect(jobs / JOB.job_id)
    home.hold(ANEW, jobs)
    assert home.job() == ANEW
    assert [path.name for path in home.out.iterdir()] == [".fanwise"]
    assert list(jobs.iterdir()) == []


@pytest.mark.parametrize("step", range(1, 5))
def test_a_stop_at_any_step_of_holding_leaves_no_results_of_another_run(
    home: JobHome, jobs: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """As if the machine went down before the n-th thing that is changed on disk."""
    home.hold(JOB, jobs)
    home.collect(write_job(jobs, JOB.job_id, [b"1\n"], []))
    changes: list[str] = []
    unlink, replace = Path.unlink, Path.replace

    def change(path: Path) -> None:
        changes.append(path.name)
        if len(changes) == step:
            raise KeyboardInterrupt

    def unlink_unless_stopped(path: Path, missing_ok: bool = False) -> None:
        change(path)
        unlink(path, missing_ok)

    def replace_unless_stopped(path: Path, target: Path) -> Path:
        change(target)
        return replace(path, target)

    monkeypatch.setattr(Path, "unlink", unlink_unless_stopped)
    monkeypatch.setattr(Path, "replace", replace_unless_stopped)
    with pytest.raises(KeyboardInterrupt):
        home.hold(ANEW, jobs)
    held = home.job()
    assert held == JOB
    assert (jobs / JOB.job_id).is_dir()  # from where its results can be brought home again
    summary = home.summary(held)
    assert summary is None or summary["job_id"] == held.job_id
    assert home.summary(ANEW) is None


def test_what_cannot_be_written_says_which_file_and_leaves_no_half_of_it(
    home: JobHome, jobs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    folder = write_job(jobs, JOB.job_id, [b"1\n"], [])
    monkeypatch.setattr(collecting, "pieces", full)
    with pytest.raises(OSError, match="No space left") as raised:
        home.collect(folder)
    assert raised.value.filename == os.fspath(home.out / "predictions.jsonl")
    assert [path.name for path in home.out.iterdir()] == [".fanwise"]
