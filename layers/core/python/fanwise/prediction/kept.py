"""What an execution environment keeps from one invocation to the next: the last job's plan and the last model."""

from pathlib import Path

from fanwise.commits import read_job
from fanwise.errors import DISK_FULL, BundleError, ModelError
from fanwise.model import bundle
from fanwise.model.model import Model, load
from fanwise.records import Job, ModelRef
from fanwise.storage import Storage


class Kept:
    """One plan and one model at a time: a model may fill the memory, and environments rarely change jobs."""

    def __init__(self, storage: Storage, folder: Path, *, memory_mb: int) -> None:
        self._storage = storage
        self._folder = folder
        self._memory_mb = memory_mb
        self._home = ""
        self._job: Job | None = None
        self._of: tuple[str, str] | None = None
        self._model: Model | None = None

    def job(self, home: str) -> Job:
        """The plan of the job at `home`; a plan is written once, so it never goes stale."""
        if self._job is None or self._home != home:
            self._job, self._home = read_job(self._storage, home), home
        return self._job

    def model(self, ref: ModelRef) -> Model:
        """The model of that digest, loaded and warm on its runtime; raises `ModelError`."""
        of = (ref.digest, ref.runtime)
        if self._model is None or self._of != of:
            self._model, self._of = None, None  # before the next one is loaded: both need not fit
            try:
                folder = bundle.fetch(self._storage, ref, self._folder)
            except (BundleError, FileNotFoundError, PermissionError) as error:
                raise ModelError(str(error)) from error
            except OSError as error:
                if error.errno not in DISK_FULL:
                    raise
                raise ModelError(
                    f"there is no room for the model in {self._folder}: {error.strerror}"
                ) from error
            self._model, self._of = load(folder, ref, memory_mb=self._memory_mb), of
        return self._model
