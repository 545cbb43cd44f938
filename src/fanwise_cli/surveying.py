"""A job before there is one: its items counted, its model's profile, its batches, and what they would run on.

`fanwise estimate` and `fanwise simulate` begin with it. Nothing is uploaded or started; a stack is looked for only
where items or model are there.
"""

import math
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fanwise.errors import BundleError, InputError
from fanwise.items.manifest import read_manifest
from fanwise.limits import MAX_ENTRY_BYTES
from fanwise.model import bundle
from fanwise.model.bundle import profile_of, resolve
from fanwise.model.profile import RuntimeProfile
from fanwise.pricing import ARCHITECTURES, Architecture, Prices, prices_of
from fanwise.reckoning.batching import FunctionSize, auto_batch_size, reads_of
from fanwise.reckoning.estimate import Work
from fanwise.records import Manifest, ModelRef
from fanwise.storage import FolderBackend, Storage
from fanwise_cli import bundles
from fanwise_cli.counting import Counted, count, plain_count
from fanwise_cli.preparation import unusable_paths_are_input, words_over
from fanwise_cli.preparing import preparing
from fanwise_cli.progress import waiting
from fanwise_cli.settings import cache_dir
from fanwise_cli.stack.submit import Asked, SubmitOptions, ask, model_of
from fanwise_cli.terminal import JobConsole
from fanwise_local.template import read_stack, stack_root

if TYPE_CHECKING:
    from fanwise_cli.stack.connection import DeployedStack

Connect = Callable[[], "AbstractContextManager[DeployedStack]"]


@dataclass(frozen=True)
class SurveyOptions:
    """What the command line says of a job that is only reckoned with; None where nothing was said."""

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
class Survey:
    """A job to be reckoned with. `guessed`: its items are a number that somebody said."""

    model: ModelRef
    profile: RuntimeProfile
    work: Work
    batch_reason: str
    guessed: bool
    size: FunctionSize
    prices: Prices


def survey(options: SurveyOptions, connect: Connect, console: JobConsole) -> Survey:
    """Count the items, and find the rest. Raises `InputError`, with what is missing."""
    architecture = architecture_of(options.architecture)
    with ExitStack() as opened, unusable_paths_are_input():
        said = plain_count(options.items)
        is_there = options.items.startswith("s3://")
        stack = opened.enter_context(connect()) if is_there else None
        asked = _asked(options, said, stack)
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
            counted = said or count(asked.items, dict(model.kinds), stack)
        if stack is not None:
            stack.limits.check(options.items, items=counted.items, size_bytes=counted.size_bytes)
    if profile is None:
        raise BundleError(
            f"{asked.model}: has no profile of {model.runtime}, so there is nothing to reckon with; profiles are"
            f" measured when a model is prepared (fanwise push MODEL), or by a job (fanwise profile JOB)"
        )
    size = _size(options.memory_mb, stack)
    work, batch_reason = _work(manifest, counted, profile, size, reads=reads_of(model.kinds))
    return Survey(
        model=model,
        profile=profile,
        work=work,
        batch_reason=batch_reason,
        guessed=counted.guessed,
        size=size,
        prices=prices_of(options.region or (stack.place.region if stack else None), architecture),
    )


def _asked(options: SurveyOptions, said: Counted | None, stack: "DeployedStack | None") -> Asked:
    words = SubmitOptions(
        items=options.items,
        model=options.model,
        batch_size=options.batch_size,
        max_concurrency=options.max_concurrency,
        runtime=options.runtime,
    )
    return ask(words, stack) if said is None else Asked(options.items, model_of(words), words_over(words))


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
    with preparing(console, quiet=quiet):
        prepared = bundles.prepare(path, cache_dir() / "bundles")
    folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="fanwise-")))
    reference = bundles.publish(prepared, folder)
    storage = Storage({"models": FolderBackend(folder, writable=False)}, s3=False)
    model = resolve(storage, "models", reference, manifest.runtime, bundle.RUNTIMES)
    return model, profile_of(storage, model)


def _work(
    manifest: Manifest, counted: Counted, profile: RuntimeProfile, size: FunctionSize, *, reads: int
) -> tuple[Work, str]:
    """The job as PlanJob will cut it, and why its batches are as large."""
    if manifest.batch_size == "auto":
        chosen = auto_batch_size(
            profile,
            items=counted.items,
            size_bytes=counted.size_bytes,
            max_concurrency=manifest.max_concurrency,
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
        max_concurrency=manifest.max_concurrency,
        size_bytes=counted.size_bytes,
        reads=reads,
    )
    return work, reason
