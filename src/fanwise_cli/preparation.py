"""The words of the command line → a job that can start: what the cloud would find in its buckets.

The first stage of `fanwise run`. The items' folder is mounted, the model published, and both pinned as PlanJob
will pin them, so that whatever is wrong with them is said before any work. Cheap checks come first: making a
bundle of a model takes seconds.
"""

import errno
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from fanwise.errors import InputError, ItemsFileError, ManifestError
from fanwise.items.manifest import read_manifest
from fanwise.planning.plan import pin_job
from fanwise.planning.source import pin_items
from fanwise.records import Manifest
from fanwise.storage import FolderBackend, Location, Storage
from fanwise_cli import bundles
from fanwise_cli.home import HeldJob, HomeDamaged, JobHome
from fanwise_cli.mending import Mended, mend
from fanwise_cli.preparing import preparing
from fanwise_cli.progress import waiting
from fanwise_cli.settings import CACHE_DIR, cache_dir
from fanwise_cli.terminal import JobConsole
from fanwise_local.mounts import Mounts
from fanwise_local.template import Stack, read_stack, stack_root

if TYPE_CHECKING:
    from fanwise_local.faults.plan import FaultPlan

BESIDE = "s3://beside/"  # what a relative name in a manifest is read against, to be a path again after it
_FLAGS = {
    "batch_size": "--batch-size",
    "max_concurrency": "--max-concurrency",
    "runtime": "--runtime",
    "tolerated_failure_percentage": "--tolerate",
    "name": "--name",
}
# Keys of a manifest that make another job of the same items (docs/contracts.md).
_IDENTITY = ("items", "model", "runtime", "tolerated_failure_percentage", "name")
# What a wrong path or missing permission says. A full or broken disk is nobody's input.
_UNUSABLE = frozenset(
    (
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.ENAMETOOLONG,
        errno.ELOOP,
    )
)


@dataclass(frozen=True)
class HowToRun:
    """What every command that runs a job is told beside the job."""

    environments: int | None = None
    as_json: bool = False
    quiet: bool = False

    @property
    def is_silent(self) -> bool:
        """Whether nothing is said of a model that is prepared."""
        return self.quiet or self.as_json


class ManifestOptions(Protocol):
    """The options that stand over a manifest's words; None where nothing was said."""

    @property
    def batch_size(self) -> str | None: ...
    @property
    def max_concurrency(self) -> int | None: ...
    @property
    def runtime(self) -> str | None: ...
    @property
    def tolerate(self) -> float | None: ...
    @property
    def name(self) -> str | None: ...


class AcceptsDifference(Protocol):
    """The options that say whether what LiteRT answers otherwise is accepted."""

    @property
    def accept_difference(self) -> bool: ...


@dataclass(frozen=True)
class RunOptions:
    """The words of `fanwise run`; None where nothing was said."""

    items: Path
    out: Path
    model: Path | None = None
    samples: Path | None = None
    batch_size: str | None = None
    max_concurrency: int | None = None
    runtime: str | None = None
    tolerate: float | None = None
    name: str | None = None
    again: bool = False
    roots: Sequence[str] = ()
    faults: Path | None = None
    accept_difference: bool = False
    how: HowToRun = HowToRun()


@dataclass(frozen=True)
class Prepared:
    """A job, ready to start: what PlanJob is told, the cloud's folders, and where its results are brought."""

    stack: Stack
    mounts: Mounts
    start: dict[str, Any]
    results: Path
    notes: Sequence[str] = ()
    faults: "FaultPlan | None" = None
    is_mended: bool = False  # after its results could not be brought

    def results_bucket(self) -> Storage:
        """The results bucket, for reading, as bucket `results`."""
        folder = self.mounts.folder_of(self.stack.buckets["ResultsBucket"])
        return Storage({"results": FolderBackend(folder, writable=False)}, s3=False)

    def mend(
        self, work_dir: Path, job_id: str, start: Mapping[str, Any] | None, console: JobConsole
    ) -> Mended:
        """Look through what is there of a job, and report what is wrong with it. Raises `InputError`."""
        return mend(
            self.mounts,
            self.stack,
            work_dir,
            job_id,
            start=start,
            tell=lambda line: console.tell(line, "yellow", wrap=True),
        )

    @property
    def jobs_folder(self) -> Path:
        """Where the results bucket has its jobs."""
        return self.mounts.folder_of(self.stack.buckets["ResultsBucket"]) / "jobs"


@dataclass(frozen=True)
class _Asked:
    """What the command line and the manifest say together."""

    manifest: Manifest
    model: Path
    items: Path


def prepare(options: RunOptions, home: JobHome, console: JobConsole) -> tuple[Prepared, HeldJob]:
    """Find, mount, publish and pin what the job needs; with it, what OUT is to remember of it.

    Raises `InputError`; nothing has been run then.
    """
    with unusable_paths_are_input():
        asked = _asked(options)
        items = (
            asked.items.resolve()
        )  # what a symlink names lies in its own folder, and its URIs are relative to that
        _check_out(options, asked.items, home)
        stack = read_stack(stack_root())
        faults = _faults(options, stack)
        folder = items if items.is_dir() else items.parent
        mounts = Mounts.of(stack, work_dir=home.work_dir, folders=[folder], roots=options.roots)
        slash = "/" if items.is_dir() else ""
        uri = mounts.uri_of(items).rstrip("/") + slash
        with naming_items(uri, f"{asked.items}{slash}"):
            if items.is_file():
                with waiting(console, "reading the items", quiet=options.how.quiet):
                    pin_items(mounts.storage(), uri)
            reference, notes = publish_model(
                asked.model,
                stack,
                mounts,
                console,
                quiet=options.how.is_silent,
                samples=options.samples,
                accept=accepts(options, asked.manifest.runtime),
            )
            manifest = msgspec.structs.replace(asked.manifest, items=uri, model=reference)
            start = {"manifest": msgspec.to_builtins(manifest), "resume": True}
            held = _job(options, home, mounts, stack, start)
    start |= {"run": held.run} if held.run else {}
    read = {name: mount.path for name, mount in mounts.by_bucket.items() if not mount.writable}
    held = msgspec.structs.replace(held, start=start, folders=read)
    notes = [*notes, *([f"faults: {faults.headline()}"] if faults else [])]
    return Prepared(stack, mounts, start, home.out, notes, faults), held


def _faults(options: RunOptions, stack: Stack) -> "FaultPlan | None":
    """What shall go wrong; raises `InputError` for a plan that is wrong, or names a function that is not there."""
    if options.faults is None:
        return None
    from fanwise_local.faults.plan import read_plan, state_name  # noqa: PLC0415 - nobody pays for it else

    plan = read_plan(options.faults)
    plan.check_functions({state_name(logical_id) for logical_id in stack.functions}, str(options.faults))
    return plan


def publish_model(
    model: Path,
    stack: Stack,
    mounts: Mounts,
    console: JobConsole,
    *,
    quiet: bool,
    samples: Path | None = None,
    accept: bool = False,
) -> tuple[str, Sequence[str]]:
    """Make a bundle of a model and publish it into this cloud; answers `name@version`, and what to say of it."""
    with preparing(console, quiet=quiet):
        bundle = bundles.prepare(model, cache_dir() / "bundles", samples, accept=accept)
    return bundles.publish(bundle, mounts.folder_of(stack.buckets["ModelBucket"])), bundle.notes


def _job(
    options: RunOptions, home: JobHome, mounts: Mounts, stack: Stack, start: Mapping[str, Any]
) -> HeldJob:
    """The job that this start is; raises `InputError` where OUT holds another."""
    storage, models = mounts.storage(), stack.buckets["ModelBucket"]
    readable = mounts.readable()
    base = pin_job(start, storage, model_bucket=models, readable=readable).job_id
    held = home.job_or_found(base)
    if held is None:
        return HeldJob(base, base)
    if held.base != base:
        _check_replaceable(options, held, mounts, start)
        return HeldJob(base, base)
    if not options.again:
        return held
    run = f"again-{time.time_ns():x}"
    again = pin_job({**start, "run": run}, storage, model_bucket=models, readable=readable)
    return HeldJob(base, again.job_id, run)


def _check_replaceable(options: RunOptions, held: HeldJob, mounts: Mounts, start: Mapping[str, Any]) -> None:
    """Raise `InputError` unless the job that OUT holds differs by the content of its items alone, and may go."""
    asked, before = start["manifest"], held.start.get("manifest", {})
    bucket = Location.parse(asked["items"]).bucket
    same_place = held.folders.get(bucket) == mounts.by_bucket[bucket].path
    if not same_place or any(asked.get(key) != before.get(key) for key in _IDENTITY):
        raise InputError(
            f"{options.out}: holds another job ({held.job_id}), of other items, model or options;"
            f" choose another --out, or remove that folder"
        )
    if not options.again:
        raise InputError(
            f"{options.items}: its content has changed since {held.job_id}, the job that {options.out} holds;"
            f" choose another --out, or --again to run it anew in place of that job"
        )


def _check_out(options: RunOptions, items: Path, home: JobHome) -> None:
    if items.is_dir() and options.out.resolve().is_relative_to(items.resolve()):
        raise InputError(
            f"{options.out}: lies inside {items}, every file of which is an item; choose another --out"
        )
    with suppress(HomeDamaged):
        if home.job() is None and not home.has_jobs():
            home.refuse_foreign_files()


def _asked(options: RunOptions) -> _Asked:
    """The manifest with the options over it, the model's path and the items' path."""
    path, model = options.items, options.model
    if not path.exists():
        raise ItemsFileError(
            f"{path}: no such file or folder; give an items file, a manifest (.json) or a folder"
        )
    words: dict[str, Any] = {}
    items = path
    if path.is_file() and path.suffix.lower() == ".json":
        given = read_manifest(path.read_bytes(), str(path), BESIDE)
        words = msgspec.to_builtins(given)
        items = items_beside(path, given.items)
        model = model or _model_beside(path, given.model)
    if model is None:
        raise InputError(
            f"{path}: which model? give --model DIR (a bundle, a SavedModel folder, a .keras or a .tflite file)"
        )
    named = {"items": "items", "model": "model"}  # paths; `prepare` puts a URI and a reference in their place
    over = words_over(options)
    return _Asked(read_manifest({**words, **over, **named}, str(path), BESIDE), model, items)


def words_over(options: ManifestOptions) -> dict[str, Any]:
    """What the options say, by the manifest's keys. Raises `ManifestError`, which names the option."""
    batch_size: str | int | None = options.batch_size
    if isinstance(batch_size, str) and batch_size.removeprefix("-").isdecimal():
        batch_size = int(batch_size)
    said = {
        "batch_size": batch_size,
        "max_concurrency": options.max_concurrency,
        "runtime": options.runtime,
        "tolerated_failure_percentage": options.tolerate,
        "name": options.name,
    }
    over = {key: value for key, value in said.items() if value is not None}
    for key, value in over.items():
        read_manifest({"items": "items", "model": "model", key: value}, _FLAGS[key], BESIDE)
    return over


def accepts(options: "AcceptsDifference", runtime: str) -> bool:
    """Whether what LiteRT answers otherwise is accepted. Raises `InputError` where LiteRT was not asked for."""
    if options.accept_difference and runtime != "litert":
        raise InputError(
            f"--accept-difference: the runtime is {runtime}, which never answers otherwise; it goes with"
            f" --runtime litert"
        )
    return options.accept_difference


def items_beside(manifest: Path, items: str) -> Path:
    """The path that a manifest's `items`, read against `BESIDE`, names on this machine. Raises `ManifestError`."""
    if not items.startswith(BESIDE):
        raise ManifestError(
            f'{manifest}: "items" is {items}, which is not on this machine; name a file beside the manifest'
        )
    path = manifest.parent / items.removeprefix(BESIDE)
    if not path.exists():
        raise ManifestError(f'{manifest}: "items" names {path}, which does not exist; correct the name')
    return path


def _model_beside(manifest: Path, model: str) -> Path:
    path = manifest.parent / model
    if not path.exists():
        raise ManifestError(
            f'{manifest}: "model" is {model!r}, but there is no {path}; give --model DIR for a run on this machine'
        )
    return path


@contextmanager
def naming_items(uri: str, items: str) -> Iterator[None]:
    """Name the items in messages as the person did, not by the URI that stands for them."""
    try:
        yield
    except InputError as error:
        if uri not in str(error):
            raise
        raise type(error)(str(error).replace(uri, items)) from error


@contextmanager
def unusable_paths_are_input() -> Iterator[None]:
    """Raise `InputError` for a path that is wrong or may not be used, with the path and the remedy."""
    try:
        yield
    except OSError as error:
        if error.errno not in _UNUSABLE or not error.filename:
            raise
        remedy = "check the path and its permissions"
        if Path(error.filename).is_relative_to(cache_dir()):
            remedy = f"prepared models are kept there; set {CACHE_DIR} to a folder that can be written to"
        raise InputError(f"{error.filename}: {error.strerror}; {remedy}") from error
