"""Some items of a job, predicted again alone by its original model: what `fanwise verify --recompute N` does.

The same code as within a job (`fanwise.prediction.recompute`), on this machine, and on TensorFlow where the bundle
has it.
"""

import tempfile
from pathlib import Path

import msgspec

from fanwise.commits import walk
from fanwise.errors import BundleError, FanwiseError, ItemsChanged, ModelError
from fanwise.limits import decode_threads
from fanwise.model import bundle
from fanwise.model.runtime import can_be_imported
from fanwise.recomputation import Recomputed, draw
from fanwise.storage import Storage
from fanwise_cli.verification.ledger import read_plan

_TIME_S = 86_400.0  # no deadline, but a number that a thread can wait for
_MEMORY_MB = 1769  # one thread, as of one vCPU: a few items, one at a time


def recompute_job(storage: Storage, home: str, items: int) -> Recomputed:
    """Predict so many of a job's items again, and compare.

    Raises `FanwiseError` in one line where that cannot be done: the ledger is damaged, the model or the items are
    not what they were.
    """
    from fanwise.model.model import load  # noqa: PLC0415 - slow to import; a verify without needs none
    from fanwise.prediction.pipeline import Pipeline  # noqa: PLC0415 - as above
    from fanwise.prediction.recompute import recompute  # noqa: PLC0415 - as above

    job = read_plan(storage, home)
    try:
        commits = walk(storage, home, by_answers=False).commits
        offered = [name for name in bundle.RUNTIMES if can_be_imported(name)]
        runtime = bundle.reference_runtime(storage, job.model, offered)
        ref = msgspec.structs.replace(job.model, runtime=runtime)
        with tempfile.TemporaryDirectory(prefix="fanwise-model-") as folder:
            model = load(bundle.fetch(storage, ref, Path(folder)), ref, memory_mb=_MEMORY_MB)
            return recompute(
                draw(storage, home, commits, items, job.job_id),
                job,
                home,
                model,
                runtime,
                storage=storage,
                pipeline=Pipeline(storage, threads=decode_threads(_MEMORY_MB)),
                time_left_s=lambda: _TIME_S,
            )
    except (FileNotFoundError, PermissionError, ItemsChanged, BundleError, ModelError) as error:
        raise FanwiseError(f"items cannot be predicted again: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, IndexError) as error:
        raise FanwiseError(
            f"items cannot be predicted again: a file of the job is damaged ({error})"
        ) from error
