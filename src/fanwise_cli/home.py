"""OUT, the home of a job on a laptop: who works in it, which job it holds, and the files a person takes away.

```
OUT/predictions.jsonl  failures.jsonl  summary.json
OUT/replays/1/         the same three of the first replay of its dead letters, and so on
OUT/.fanwise/          the local cloud's folder: buckets, logs, and home.json, which names the job
```
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from fanwise.errors import InputError
from fanwise.storage import FolderBackend, Storage
from fanwise_cli.collecting import RESULTS, collect, write_whole
from fanwise_cli.terminal import JobConsole

INNER, REPLAYS = ".fanwise", "replays"
_HOME_FILE, _LOCK_FILE = "home.json", "lock"


class NoJobHere(InputError):
    """No folder of this machine holds the job that was named."""


class HeldJob(msgspec.Struct, frozen=True):
    """home.json: the job that OUT holds. `base` is its id without `run`, which `--again` sets.

    `start` is the input its execution was started with and `folders` the buckets that it reads and that lie
    outside of OUT, name → folder: all that it takes to go on. `replays` are the jobs of its dead letters.
    """

    base: str
    job_id: str
    run: str | None = None
    start: dict[str, Any] = {}
    folders: dict[str, str] = {}
    replays: tuple[str, ...] = ()


class HomeDamaged(InputError):
    """home.json is not what was written."""


class JobHome:
    """One OUT folder."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.work_dir = out / INNER

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other commands out of OUT while this one works in it; leave no trace where no job was begun.

        Raises `InputError` where OUT cannot be written to, or another command works in it.
        """
        was_there, had_work = self.out.exists(), self.work_dir.exists()
        lock = self._lock()
        try:
            yield
        finally:
            if not had_work and not (self.work_dir / _HOME_FILE).exists():
                shutil.rmtree(self.work_dir, ignore_errors=True)
                if not was_there:
                    with suppress(OSError):  # somebody else has put something there
                        self.out.rmdir()
            os.close(lock)

    def _lock(self) -> int:
        path = self.work_dir / _LOCK_FILE
        try:
            self.work_dir.mkdir(parents=True, exist_ok=True)
            lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise InputError(
                f"{self.out}: cannot be written to ({error.strerror}); choose another --out"
            ) from error
        if not _is_ours(lock, path):
            os.close(lock)
            raise InputError(
                f"{self.out}: another fanwise is at work there; wait for it or choose another --out"
            )
        return lock

    def job(self) -> HeldJob | None:
        """The job that OUT holds, if any. Raises `HomeDamaged` where home.json is not what was written."""
        path = self.work_dir / _HOME_FILE
        try:
            return msgspec.json.decode(path.read_bytes(), type=HeldJob)
        except FileNotFoundError:
            return None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise HomeDamaged(
                f"{path}: is damaged ({error}); give the same fanwise run again, which finds the job there,"
                f" or remove {self.out}"
            ) from error

    def has_jobs(self) -> bool:
        """Whether there is a job's home in OUT, whatever home.json says."""
        return any(self.work_dir.glob("buckets/*/jobs/*"))

    def job_or_found(self, base: str) -> HeldJob | None:
        """The job that OUT holds; where home.json is damaged or gone, the job `base` if its home is there.

        Raises `InputError` where it is not: nobody can say which job was held.
        """
        with suppress(HomeDamaged):
            held = self.job()
            if held is not None or not self.has_jobs():
                return held
        if not any(self.work_dir.glob(f"buckets/*/jobs/{base}")):
            raise InputError(
                f"{self.work_dir / _HOME_FILE}: is damaged or gone, and {self.out} does not hold this job;"
                f" choose another --out, or remove {self.out}"
            )
        found = HeldJob(base, base)
        self.write(found)
        return found

    def hold(self, job: HeldJob, jobs_folder: Path) -> None:
        """Make OUT the home of this job; what it has of another run (`jobs_folder` has those) goes."""
        before = self.job()
        # First: results beside a home.json that names another run would be taken for its own.
        for name in RESULTS:
            (self.out / name).unlink(missing_ok=True)
        self.write(job)
        if before is not None and before.job_id != job.job_id:
            shutil.rmtree(self.out / REPLAYS, ignore_errors=True)
            for folder in jobs_folder.glob("*"):
                if folder.name != job.job_id:
                    shutil.rmtree(folder, ignore_errors=True)

    def write(self, job: HeldJob) -> None:
        """Write home.json, and nothing else."""
        write_whole(self.work_dir / _HOME_FILE, msgspec.json.encode(job))

    def replay_folder(self, number: int) -> Path:
        """Where the results of replay `number`, from 1, are brought."""
        return self.out / REPLAYS / str(number)

    def refuse_foreign_files(self) -> None:
        """Raise `InputError` where OUT has files of its own that are not a job's."""
        names = sorted(path.name for path in self.out.iterdir() if path.name != INNER)
        if names:
            raise InputError(
                f"{self.out}: is not empty (it has {names[0]!r}) and holds no job; choose another --out"
            )

    def summary(self, job: HeldJob) -> dict[str, Any] | None:
        """OUT/summary.json, if it is this job's and all its results are there."""
        if not all((self.out / name).exists() for name in RESULTS):
            return None
        try:
            summary = json.loads((self.out / "summary.json").read_bytes())
        except ValueError:
            return None
        return summary if isinstance(summary, dict) and summary.get("job_id") == job.job_id else None

    def are_whole(self, size_bytes: Mapping[str, int], console: JobConsole, to: Path | None = None) -> bool:
        """Whether the results that were brought to OUT, or to `to`, have the sizes that they should have."""
        for name, expected in size_bytes.items():
            path = (to or self.out) / f"{name}.jsonl"
            found = path.stat().st_size if path.exists() else 0
            if found != expected:
                what = (
                    f"{path} has {found:,} bytes, its parts have {expected:,}; the results are written again"
                )
                console.tell(what, "yellow", wrap=True)
                return False
        return True

    def collect(self, job_folder: Path, to: Path | None = None) -> dict[str, Any]:
        """Bring a job's results out of the results bucket, the parts that count in index order; the summary.

        They go to OUT, or to `to`.
        """
        job = Storage({"job": FolderBackend(job_folder, writable=False)}, s3=False)
        return collect(job, "s3://job/", to or self.out)


def find_job(job: str, below: Path) -> tuple[JobHome, HeldJob]:
    """The OUT that holds a job: `job` is the folder, or the job's id, then looked for in folders of `below`.

    Raises `InputError`.
    """
    here = JobHome(Path(job))
    if os.path.isdir(here.work_dir) and (held := here.job()) is not None:  # False for a name that cannot be
        return here, held
    found: list[tuple[JobHome, HeldJob]] = []
    for path in sorted(below.glob(f"*/{INNER}")):
        home = JobHome(path.parent)
        try:
            held = home.job()
        except (InputError, OSError):  # another one's
            continue
        if held is not None and job in (held.job_id, *held.replays):
            found.append((home, held))
    if len(found) > 1:
        folders = ", ".join(str(home.out) for home, _ in found)
        raise InputError(f"{job}: several folders hold this job ({folders}); name one of them")
    if not found:
        what = (
            "holds no job" if os.path.isdir(job) else "is no folder, and no job's id in a folder of this one"
        )
        raise NoJobHere(f"{job}: {what}; give the --out of fanwise run")
    return found[0]


def _is_ours(lock: int, path: Path) -> bool:
    """Take the lock; False where another has it, or had it and took the file along when it left."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(lock), path.stat())
    except (BlockingIOError, FileNotFoundError):
        return False
