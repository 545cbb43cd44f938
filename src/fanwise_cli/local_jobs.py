"""A job of this machine for the commands that show one: `status`, `results` and `failures` of an OUT folder.

Nothing is run and, but for results that are brought to where they belong, nothing is written.
"""

import fcntl
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fanwise.planning.claim import read_claim
from fanwise.records import Claim, home_of
from fanwise.replays import read_summary
from fanwise.storage import FolderBackend, Storage
from fanwise_cli.home import JobHome, NoJobHere, find_job
from fanwise_local.template import read_stack, stack_root

_BUCKET = "results"
_LOCK_FILE = "lock"
_JOB_ID = re.compile(r".*-[0-9a-f]{16}")


@dataclass(frozen=True)
class LocalJob:
    """A job that OUT holds, or a replay of it. `results` is the folder that its results are brought to."""

    job_id: str
    home: JobHome
    results: Path
    storage: Storage

    @property
    def name(self) -> str:
        """What to call it: OUT, as a command takes it."""
        return str(self.home.out)

    @property
    def job_home(self) -> str:
        """The URI of its home in the results bucket."""
        return home_of(_BUCKET, self.job_id)

    def claim(self) -> Claim | None:
        """Who began it last; None before it was planned."""
        return read_claim(self.storage, self.job_home)

    def summary(self) -> dict[str, Any] | None:
        """Its summary, unless it was resumed since and has not ended again."""
        summary, claim = read_summary(self.storage, self.job_home), self.claim()
        if summary is None or claim is None or summary.get("execution") != claim.execution:
            return None
        return summary

    def is_at_work(self) -> bool:
        """Whether a command is at work in OUT."""
        try:
            lock = os.open(self.home.work_dir / _LOCK_FILE, os.O_RDONLY)
        except OSError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False


def local_job(given: str, *stack_options: str | None) -> LocalJob | None:
    """The job of this machine that is meant; None where it is one of a stack.

    That is so where an option of a stack is given, or where no folder here holds the job, unless `given` is a
    folder itself. Raises `InputError`.
    """
    if any(stack_options):
        return None
    try:
        home, held = find_job(given, Path())
    except NoJobHere:
        if os.path.isdir(given) and not _JOB_ID.fullmatch(given):
            raise
        return None
    folder = home.work_dir / "buckets" / read_stack(stack_root()).buckets["ResultsBucket"]
    storage = Storage({_BUCKET: FolderBackend(folder, writable=False)}, s3=False)
    if given in held.replays:
        return LocalJob(given, home, home.replay_folder(held.replays.index(given) + 1), storage)
    return LocalJob(held.job_id, home, home.out, storage)
