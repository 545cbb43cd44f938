"""`fanwise estimate`: what a job would take and cost, before anything is uploaded or started.

The items are counted by the planner's own scan, the model's profile is the bundle's, and the reckoning is the one
that PlanJob leaves in the plan (`fanwise.reckoning`). A stack is looked for only where items or model are there.
"""

import math
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from fanwise.errors import BundleError, InputError, ItemsFileError
from fanwise.items.columns import check_columns
from fanwise.items.cutting import cut_entries
from fanwise.items.folder import files_of_folder
from fanwise.items.manifest import read_manifest
from fanwise.items.readable import check_readable
from fanwise.limits import MAX_BATCH_SIZE, MAX_ENTRY_BYTES
from fanwise.model import bundle
from fanwise.model.bundle import profile_of, resolve
from fanwise.model.profile import RuntimeProfile
from fanwise.planning.source import pin_items
from fanwise.pricing import ARCHITECTURES, Architecture, prices_of
from fanwise.reckoning.batching import FunctionSize, auto_batch_size, reads_of
from fanwise.reckoning.choices import Best, Choice, best_of, choices
from fanwise.reckoning.estimate import Estimate, Work, estimate
from fanwise.records import Kind, Manifest, ModelRef
from fanwise.storage import FolderBackend, Storage
from fanwise_cli import bundles
from fanwise_cli.preparation import naming_items, unusable_paths_are_input
from fanwise_cli.progress import waiting
from fanwise_cli.settings import cache_dir
from fanwise_cli.stack.submit import Asked, SubmitOptions, ask
from fanwise_cli.terminal import JobConsole
from fanwise_local.template import read_stack, stack_root

if TYPE_CHECKING:
    from fanwise_cli.stack.connection import DeployedStack

MIN_MEMORY_MB, MAX_MEMORY_MB = 1024, 10_240  # of template.yaml's PredictBatchMemoryMb
LINE_BYTES_OF_A_FOLDER = 100  # of the items file that PlanJob writes for a folder, a file
_HERE = "s3://items/"  # the folder of the items, as a bucket

Connect = Callable[[], "AbstractContextManager[DeployedStack]"]


@dataclass(frozen=True)
class EstimateOptions:
    """The words of `fanwise estimate`; None where nothing was said."""

    items: str
    model: str | None = None
    batch_size: str | None = None
    max_concurrency: int | None = None
    runtime: str | None = None
    memory_mb: int | None = None
    region: str | None = None
    architecture: str | None = None
    quiet: bool = False


@dataclass(frozen=True)
class Reckoned:
    """An estimate, what it was made of, and what would be better."""

    model: ModelRef
    profile: RuntimeProfile
    estimate: Estimate
    batch_reason: str
    choices: list[Choice]
    best: Best

    def described(self) -> dict[str, Any]:
        """What `--json` prints."""
        described: dict[str, Any] = msgspec.to_builtins(self.estimate)
        return {
            "model": {"name": self.model.name, "version": self.model.version, "digest": self.model.digest},
            **described,
            "best": msgspec.to_builtins(self.best),
            "choices": msgspec.to_builtins(self.choices),
        }


@dataclass(frozen=True)
class _Counted:
    items: int
    size_bytes: int


def reckon(options: EstimateOptions, connect: Connect, console: JobConsole) -> Reckoned:
    """Count the items and reckon the job. Raises `InputError`, with what is missing."""
    architecture = architecture_of(options.architecture)
    with ExitStack() as opened, unusable_paths_are_input():
        is_there = options.items.startswith("s3://")
        stack = opened.enter_context(connect()) if is_there else None
        asked = ask(_submit_options(options), stack)
        model_path = Path(asked.model)
        if stack is None and not model_path.exists():
            stack = opened.enter_context(connect())
        manifest = read_manifest({**asked.words, "items": "s3://items/", "model": "model"}, options.items)
        if model_path.exists():
            model, profile = _model_here(model_path, manifest, opened, console, quiet=options.quiet)
        else:
            assert stack is not None  # noqa: S101 - connected above
            model = resolve(stack.storage, stack.model_bucket, str(asked.model), manifest.runtime)
            profile = profile_of(stack.storage, model)
        with waiting(console, f"counting {options.items}", quiet=options.quiet):
            counted = _count(asked, dict(model.kinds), stack)
    if profile is None:
        raise BundleError(
            f"{asked.model}: has no profile of {model.runtime}, so there is nothing to reckon with; profiles are"
            f" measured when a model is prepared (fanwise push MODEL), or by a job (fanwise profile JOB)"
        )
    size = _size(options.memory_mb, stack)
    prices = prices_of(options.region or (stack.place.region if stack else None), architecture)
    reads, max_concurrency = reads_of(model.kinds), manifest.max_concurrency
    if manifest.batch_size == "auto":
        chosen = auto_batch_size(
            profile,
            items=counted.items,
            size_bytes=counted.size_bytes,
            max_concurrency=max_concurrency,
            size=size,
            reads=reads,
        )
        batch_size, reason = chosen.items, chosen.reason
    else:
        batch_size, reason = manifest.batch_size, "as asked for"
    if counted.items:
        fits = max(1, math.floor(MAX_ENTRY_BYTES * counted.items / max(counted.size_bytes, 1)))
        if fits < batch_size:
            batch_size, reason = fits, f"as many as {MAX_ENTRY_BYTES // 2**20} MB of the items file hold"
    work = Work(
        items=counted.items,
        batch_size=batch_size,
        max_concurrency=max_concurrency,
        size_bytes=counted.size_bytes,
        reads=reads,
    )
    made = choices(work, profile, runtime=model.runtime, size=size, prices=prices)
    return Reckoned(
        model=model,
        profile=profile,
        estimate=estimate(work, profile, runtime=model.runtime, size=size, prices=prices),
        batch_reason=reason,
        choices=made,
        best=best_of(made, work, profile, size),
    )


def _submit_options(options: EstimateOptions) -> SubmitOptions:
    return SubmitOptions(
        items=options.items,
        model=options.model,
        batch_size=options.batch_size,
        max_concurrency=options.max_concurrency,
        runtime=options.runtime,
    )


def architecture_of(said: str | None) -> Architecture:
    """`--arch`, by default the first that there is. Raises `InputError`."""
    for architecture in ARCHITECTURES:
        if said in (None, architecture):
            return architecture
    raise InputError(f"--arch is {said!r}; there are {' and '.join(ARCHITECTURES)}")


def _size(memory_mb: int | None, stack: "DeployedStack | None") -> FunctionSize:
    """PredictBatch's size: as said, as the stack has it, else as the template would make it."""
    if stack is not None:
        deployed = stack.size
    else:
        function = read_stack(stack_root()).functions["PredictBatchLiteRTFunction"]
        deployed = FunctionSize(function.memory_mb, function.timeout_s)
    return FunctionSize(memory_mb or deployed.memory_mb, deployed.timeout_s)


def _model_here(
    path: Path, manifest: Manifest, opened: ExitStack, console: JobConsole, *, quiet: bool
) -> tuple[ModelRef, RuntimeProfile | None]:
    """A model of this machine, prepared, and looked up where a published one would be."""
    with waiting(console, "preparing the model", quiet=quiet):
        prepared = bundles.prepare(path, cache_dir() / "bundles")
    folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="fanwise-")))
    reference = bundles.publish(prepared, folder)
    storage = Storage({"models": FolderBackend(folder, writable=False)}, s3=False)
    model = resolve(storage, "models", reference, manifest.runtime, bundle.RUNTIMES)
    return model, profile_of(storage, model)


def _count(asked: Asked, kinds: Mapping[str, Kind], stack: "DeployedStack | None") -> _Counted:
    """The items, one by one, as PlanJob will find them. Raises `InputError`."""
    if isinstance(asked.items, Path):
        whole = asked.items.resolve()
        folder = whole if whole.is_dir() else whole.parent
        storage = Storage({"items": FolderBackend(folder, writable=False)}, s3=False)
        uri = _HERE if whole.is_dir() else _HERE + whole.name
        with naming_items(uri, str(asked.items)):
            return _counted(storage, uri, kinds)
    assert stack is not None  # noqa: S101 - connected for an s3:// URI
    check_readable(asked.items, stack.readable)
    return _counted(stack.storage, asked.items, kinds)


def _counted(storage: Storage, uri: str, kinds: Mapping[str, Kind]) -> _Counted:
    if uri.endswith("/"):
        count = sum(1 for _ in files_of_folder(storage, uri))
        return _Counted(count, count * LINE_BYTES_OF_A_FOLDER)
    pinned = pin_items(storage, uri)
    if pinned.source is None:
        raise ItemsFileError(f"{uri}: is neither an items file nor a folder")
    source = pinned.source
    if source.columns is not None:
        check_columns(source.columns, uri, dict(kinds))
    chunks = storage.stream(uri, source.pin(), start=pinned.begin)
    entries = cut_entries(
        chunks, source.kind, MAX_BATCH_SIZE, start=pinned.begin, first_line=pinned.first_line
    )
    return _Counted(sum(entry.count for entry in entries), source.size_bytes)
