"""`fanwise verify --recompute N`: some items of a job are predicted again, each alone, and compared.

On TensorFlow where the bundle is made for it and this machine has it, else on the job's own runtime. For a job of
this machine that is done in a process of its own, so that the command stays light and a model that crashes its
runtime does not take it along; for one of a stack here, with the caller's credentials.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from fanwise import settings
from fanwise.commits import read_job
from fanwise.errors import FanwiseError
from fanwise.limits import decode_threads
from fanwise.model import bundle
from fanwise.model.runtime import can_be_imported
from fanwise.recomputation import Drawn, Recomputed, draw
from fanwise.records import Commit, Job
from fanwise.storage import FolderBackend, Storage

_MOST_TIME_S = 24 * 3600.0  # nobody waits for it longer
# What a ledger that was altered comes to: its lines are not where it says.
_DAMAGED = (FileNotFoundError, PermissionError, IndexError, KeyError, msgspec.DecodeError, UnicodeDecodeError)


class Asked(msgspec.Struct, frozen=True):
    """What the process is asked: folders by bucket, the job's home, and what was drawn."""

    folders: dict[str, str]
    home: str
    drawn: list[Drawn]


class NotRecomputed(FanwiseError):
    """Nothing could be predicted again; why is in its message."""


def recompute_apart(
    storage: Storage, folders: Mapping[str, str], items: int
) -> Callable[[Job, str, Sequence[Commit], str], Recomputed]:
    """How `verify_job` has items of a job in folders of this machine predicted again."""

    def recompute(job: Job, home: str, commits: Sequence[Commit], seed: str) -> Recomputed:
        asked = Asked(dict(folders), home, _drawn(storage, home, commits, items, seed))
        with tempfile.TemporaryDirectory(prefix="fanwise-recompute-") as folder:
            asked_path, report_path = Path(folder, "asked.json"), Path(folder, "report.json")
            asked_path.write_bytes(msgspec.json.encode(asked))
            # -P: a file of the current folder named like a library is not to be imported in its place.
            command = [
                sys.executable,
                "-P",
                "-m",
                "fanwise_cli.recomputing",
                str(asked_path),
                str(report_path),
            ]
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)  # noqa: S603
            if not report_path.exists():
                said = done.stderr.decode("utf-8", "replace").strip().splitlines()
                why = f": {said[-1][:300]}" if said else ""
                raise NotRecomputed(f"the process ended with status {done.returncode}{why}")
            report = msgspec.json.decode(report_path.read_bytes(), type=Recomputed | str)
        if isinstance(report, str):
            raise NotRecomputed(report)
        return report

    return recompute


def recompute_here(storage: Storage, items: int) -> Callable[[Job, str, Sequence[Commit], str], Recomputed]:
    """How `verify_job` has items of a job predicted again in this process, out of any store."""

    def recompute(job: Job, home: str, commits: Sequence[Commit], seed: str) -> Recomputed:
        return _recomputed(storage, job, home, _drawn(storage, home, commits, items, seed))

    return recompute


def _drawn(storage: Storage, home: str, commits: Sequence[Commit], items: int, seed: str) -> list[Drawn]:
    try:
        return draw(storage, home, commits, items, seed)
    except _DAMAGED as error:
        raise NotRecomputed(f"the ledger cannot be read: {error}") from error


def _recomputed(storage: Storage, job: Job, home: str, drawn: Sequence[Drawn]) -> Recomputed:
    """Load the model and compare; raises `NotRecomputed`."""
    from fanwise.model.model import load  # noqa: PLC0415 - imports numpy
    from fanwise.prediction.pipeline import Pipeline  # noqa: PLC0415 - as above
    from fanwise.prediction.recompute import recompute  # noqa: PLC0415 - as above

    offered = [runtime for runtime in bundle.RUNTIMES if can_be_imported(runtime)]
    memory_mb, give_up = settings.function_memory_mb(), time.monotonic() + _MOST_TIME_S
    try:
        runtime = bundle.reference_runtime(storage, job.model, offered)
        ref = msgspec.structs.replace(job.model, runtime=runtime)
        with tempfile.TemporaryDirectory(prefix="fanwise-models-") as folder:
            model = load(bundle.fetch(storage, ref, Path(folder)), ref, memory_mb=memory_mb)
            return recompute(
                drawn,
                job,
                home,
                model,
                runtime,
                storage=storage,
                pipeline=Pipeline(storage, threads=decode_threads(memory_mb)),
                time_left_s=lambda: give_up - time.monotonic(),
            )
    except (FanwiseError, *_DAMAGED) as error:
        raise NotRecomputed(str(error) or type(error).__name__) from error


def main(asked_path: Path, report_path: Path) -> None:
    """The process: does what it is asked, and reports what came of it, or why nothing did."""
    asked = msgspec.json.decode(asked_path.read_bytes(), type=Asked)
    folders = {name: FolderBackend(Path(path), writable=False) for name, path in asked.folders.items()}
    storage = Storage(folders, s3=False)
    try:
        report: Recomputed | str = _recomputed(
            storage, read_job(storage, asked.home), asked.home, asked.drawn
        )
    except NotRecomputed as error:
        report = str(error)
    report_path.write_bytes(msgspec.json.encode(report))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
