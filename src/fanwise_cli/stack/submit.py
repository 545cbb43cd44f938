"""`fanwise submit`: a job on a stack, out of items and a model that are there already or are brought there first.

Items and model are pinned here as PlanJob will pin them, with its own code: what is wrong with them is said before
anything is started, and the job's id is known, so that a job that is there already is not started a second time.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from fanwise.errors import InputError, ItemsFileError, ManifestError
from fanwise.items.manifest import read_manifest
from fanwise.items.readable import check_readable
from fanwise.items.uris import folder_of
from fanwise.limits import MAX_MANIFEST_BYTES
from fanwise.model import bundle
from fanwise.model.contract import NAME
from fanwise.planning.claim import read_claim
from fanwise.planning.plan import pin_job
from fanwise.records import Manifest, home_of
from fanwise_cli.preparation import BESIDE, accepts, items_beside, unusable_paths_are_input, words_over
from fanwise_cli.progress import counted, waiting
from fanwise_cli.stack.connection import DeployedStack
from fanwise_cli.stack.items import LocalItems, bring, find_items
from fanwise_cli.stack.jobs import StackJob, start
from fanwise_cli.stack.push import PushOptions, push
from fanwise_cli.terminal import JobConsole

_SHOWN = 3  # names that are not there


@dataclass(frozen=True)
class SubmitOptions:
    """The words of `fanwise submit`; None where nothing was said."""

    items: str
    model: str | None = None
    batch_size: str | None = None
    max_concurrency: int | None = None
    runtime: str | None = None
    tolerate: float | None = None
    name: str | None = None
    again: bool = False
    quiet: bool = False
    accept_difference: bool = False


@dataclass(frozen=True)
class Submitted:
    """A job of the stack: `is_new`, or there already."""

    job: StackJob
    items_uri: str
    model: str
    is_new: bool


def submit(options: SubmitOptions, stack: DeployedStack, console: JobConsole) -> Submitted:
    """Bring what is on this machine, and start the job, unless it is there. Raises `InputError`."""
    with unusable_paths_are_input():
        asked = ask(options, stack)
        accept = accepts(options, str(asked.words.get("runtime", "auto")))
        model = reference_of(asked.model, stack, console, quiet=options.quiet, accept=accept)
        items = asked.items
        if isinstance(items, Path):
            if items.is_file():
                stack.limits.check(str(items), size_bytes=items.stat().st_size)  # before it is sent
            found = find_here(items, model, stack, console, quiet=options.quiet)
            items = bring(found, stack, console, quiet=options.quiet)
    manifest = read_manifest({**asked.words, "items": items, "model": model}, options.items)
    given: dict[str, Any] = {"manifest": _said(manifest)}
    if options.again:
        given["run"] = f"again-{time.time_ns():x}"
    pinned = pin_job(
        given,
        stack.storage,
        model_bucket=stack.model_bucket,
        readable=stack.readable,
        job_limits=stack.limits,
    )
    claim = read_claim(stack.storage, home_of(stack.results_bucket, pinned.job_id))
    if claim is not None:
        return Submitted(StackJob(claim.execution, pinned.job_id), items, model, is_new=False)
    job = start(stack, given, pinned.job_id)
    return Submitted(StackJob(job.execution, pinned.job_id), items, model, is_new=True)


@dataclass(frozen=True)
class Asked:
    """What the command line and the manifest say together: items of this machine as a path, else their URI."""

    items: Path | str
    model: str | Path
    words: Mapping[str, Any]


def ask(options: SubmitOptions, stack: DeployedStack | None) -> Asked:
    """Put the command line's words over the manifest's. `stack` is needed for items that are there.

    Raises `InputError`.
    """
    over = words_over(options)
    given = options.items
    if given.startswith("s3://"):
        if not given.lower().endswith(".json"):
            return Asked(given, model_of(options), over)
        assert stack is not None  # noqa: S101 - whoever has an s3:// URI is connected
        manifest = _manifest_there(given, stack)
        return Asked(manifest.items, options.model or manifest.model, {**_said(manifest), **over})
    path = Path(given)
    if not path.exists():
        raise ItemsFileError(
            f"{given}: no such file or folder; give an items file, a manifest (.json), a folder, or an s3:// URI"
        )
    if not path.is_file() or path.suffix.lower() != ".json":
        return Asked(path, model_of(options), over)
    manifest = read_manifest(path.read_bytes(), given, BESIDE)
    is_beside = manifest.items.startswith(BESIDE)
    items = items_beside(path, manifest.items) if is_beside else manifest.items
    beside = path.parent / manifest.model
    model: str | Path = beside if beside.exists() else manifest.model
    return Asked(items, options.model or model, {**_said(manifest), **over})


def model_of(options: SubmitOptions) -> str:
    """The model that the command line names. Raises `InputError` where it names none."""
    if options.model is None:
        raise InputError(
            f"{options.items}: which model? give --model NAME@VERSION (published), or --model DIR (pushed first)"
        )
    return options.model


def _said(manifest: Manifest) -> dict[str, Any]:
    """A manifest's words, without what nobody said."""
    words: dict[str, Any] = msgspec.to_builtins(manifest)
    return {key: value for key, value in words.items() if value is not None}


def _manifest_there(uri: str, stack: DeployedStack) -> Manifest:
    check_readable(uri, stack.readable)
    try:
        text = stack.storage.read(uri, 0, MAX_MANIFEST_BYTES + 1)
    except FileNotFoundError as error:
        raise ManifestError(f"{uri}: there is no such manifest; check the URI") from error
    return read_manifest(text, uri, folder_of(uri))


def reference_of(
    model: str | Path, stack: DeployedStack, console: JobConsole, *, quiet: bool, accept: bool = False
) -> str:
    """`name@version` of a model: a published one's as it is; one of this machine is pushed first."""
    path = Path(model)
    if path.exists():
        options = PushOptions(path, quiet=quiet, accept_difference=accept)
        return push(options, stack, console).reference
    name, at, version = str(model).partition("@")
    if at and NAME.fullmatch(name) and NAME.fullmatch(version):
        return str(model)
    raise InputError(f"{model}: neither a model on this machine nor NAME@VERSION; fanwise push publishes one")


def find_here(
    path: Path, model: str, stack: DeployedStack, console: JobConsole, *, quiet: bool
) -> LocalItems:
    """Look at items of this machine, and say which of the files that they name are not there."""
    kinds = bundle.resolve(stack.storage, stack.model_bucket, model).kinds
    with waiting(console, f"reading {path}", quiet=quiet):
        found = find_items(path, dict(kinds))
    if found.absent and not quiet:
        names = ", ".join(found.absent[:_SHOWN]) + (" …" if len(found.absent) > _SHOWN else "")
        console.tell(
            f"{path}: names {counted(len(found.absent), 'file')} that cannot be read here ({names});"
            f" their items will be dead letters",
            "yellow",
        )
    return found
