"""OUT, the home of a job on a laptop: who works in it, which job it holds, and the files a person takes away.

```
OUT/predictions.jsonl  failures.jsonl  summary.json
OUT/.fanwise/          the local cloud's folder: buckets, logs, and home.json, which names the job
```
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from fanwise.errors import InputError
from fanwise.records import Part

INNER = ".fanwise"


class HeldJob(msgspec.Struct, frozen=True):
    """home.json: the job that OUT holds. `base` is its id without `run`, which `--again` sets."""

    base: str
    job_id: str
    run: str | None = None


class JobHome:
    """One OUT folder."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.work_dir = out / INNER

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other commands out of OUT while this one works in it."""
        try:
            self.work_dir.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.work_dir / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise InputError(
                f"{self.out}: cannot be written to ({error.strerror}); choose another --out"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"{self.out}: another fanwise is at work there; wait for it or choose another --out"
            ) from error
        else:
            yield
        finally:
            os.close(lock)

    def job(self) -> HeldJob | None:
        """The job that OUT holds, if any."""
        try:
            return msgspec.json.decode((self.work_dir / "home.json").read_bytes(), type=HeldJob)
        except FileNotFoundError:
            return None

    def hold(self, job: HeldJob) -> None:
        """Make OUT the home of this job; the files of the one it held go."""
        _write_whole(self.work_dir / "home.json", msgspec.json.encode(job))
        for name in ("predictions.jsonl", "failures.jsonl", "summary.json"):
            (self.out / name).unlink(missing_ok=True)

    def refuse_foreign_files(self) -> None:
        """Raise `InputError` where OUT has files of its own that are not a job's."""
        names = sorted(path.name for path in self.out.iterdir() if path.name != INNER)
        if names:
            raise InputError(
                f"{self.out}: is not empty (it has {names[0]!r}) and holds no job; choose another --out"
            )

    def summary(self) -> dict[str, Any] | None:
        """OUT/summary.json, if the job has ended."""
        try:
            summary: dict[str, Any] = json.loads((self.out / "summary.json").read_bytes())
        except FileNotFoundError:
            return None
        return summary

    def collect(self, job_folder: Path) -> None:
        """Bring the job's results out of the results bucket: the parts that count, in index order."""
        parts = msgspec.json.Decoder(Part).decode_lines((job_folder / "parts.jsonl").read_bytes())
        for folder in ("predictions", "failures"):
            keys = [part.key for part in parts if part.key.startswith(f"{folder}/")]
            _concatenate([job_folder / key for key in keys], self.out / f"{folder}.jsonl")
        _write_whole(self.out / "summary.json", (job_folder / "summary.json").read_bytes())


def _concatenate(parts: list[Path], to: Path) -> None:
    temporary = to.with_name(f".{to.name}.writing")
    with temporary.open("wb") as file:
        for part in parts:
            with part.open("rb") as source:
                shutil.copyfileobj(source, file, 1024 * 1024)
    temporary.replace(to)


def _write_whole(path: Path, body: bytes) -> None:
    temporary = path.with_name(f".{path.name}.writing")
    temporary.write_bytes(body)
    temporary.replace(path)
