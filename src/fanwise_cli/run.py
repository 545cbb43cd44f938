"""`fanwise run`: a job on this machine, on the deployed definition.

The command prepares what the cloud finds in its buckets (the model, published; the items' folder, mounted), then
starts an execution of the state machine and follows it. Everything that decides lies in the handlers.
"""

import asyncio
import json
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from fanwise.commits import read_job
from fanwise.errors import InputError, ItemsFileError, ManifestError
from fanwise.items.manifest import read_manifest
from fanwise.planning.plan import pin_job
from fanwise.records import Manifest, job_prefix
from fanwise.storage import FolderBackend, Storage
from fanwise_cli import bundles
from fanwise_cli.home import HeldJob, JobHome
from fanwise_cli.progress import JobProgress
from fanwise_cli.settings import cache_dir
from fanwise_cli.summary import counted, print_summary
from fanwise_local.cloud import LocalCloud
from fanwise_local.mounts import Mounts
from fanwise_local.states.executions import Execution
from fanwise_local.template import Stack, read_stack, stack_root

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_PARTIAL, EXIT_INTERRUPTED = 0, 1, 2, 3, 130
EXIT_OF_STATUS = {"SUCCEEDED": EXIT_OK, "PARTIALLY_FAILED": EXIT_PARTIAL, "FAILED": EXIT_FAILED}


_BESIDE = "s3://beside/"  # what a relative name in a manifest is read against, to be a path again after it


@dataclass(frozen=True)
class RunOptions:
    """The words of the command line; None where nothing was said."""

    items: Path
    out: Path
    model: Path | None = None
    batch_size: str | None = None
    max_concurrency: int | None = None
    runtime: str | None = None
    tolerate: float | None = None
    name: str | None = None
    again: bool = False
    roots: Sequence[str] = ()
    environments: int | None = None
    as_json: bool = False
    quiet: bool = False


@dataclass(frozen=True)
class RunResult:
    """How the command ends: its exit code, and the summary where the job came to one."""

    exit_code: int
    summary: dict[str, Any] | None = None


@dataclass(frozen=True)
class _Prepared:
    """A job, ready to start: what PlanJob is told, and the cloud's folders."""

    stack: Stack
    mounts: Mounts
    start: dict[str, Any]
    held: HeldJob
    job_folder: Path
    notes: Sequence[str]


def run(options: RunOptions, *, console: Console, further: Callable[[], dict[str, str]] = dict) -> RunResult:
    """Run the job; `console` is where people look (stderr). Raises `InputError` before any work is done.

    `further` adds lines to the summary, label → text, once the results are there.
    """
    home = JobHome(options.out)
    with home.held():
        prepared = _prepare(options, home)
        summary = home.summary()
        if summary is not None and home.job() == prepared.held and not summary["items"]["missing"]:
            if not options.quiet:
                console.print(
                    f"{options.out} holds this job already; nothing was run (--again runs it anew)",
                    style="dim",
                )
            return _ended(options, summary, further)
        home.hold(prepared.held)
        if not options.quiet:
            for note in prepared.notes:
                console.print(note, style="dim", highlight=False)
        execution = asyncio.run(_run_job(options, home, prepared, console))
        if execution.status == "ABORTED":
            return RunResult(EXIT_INTERRUPTED)
        return _finish(options, home, prepared, execution, console, further)


def _prepare(options: RunOptions, home: JobHome) -> _Prepared:
    manifest, model_path, items_path = _manifest_of(options)
    bundle = bundles.prepare(model_path, cache_dir() / "bundles")
    stack = read_stack(stack_root())
    folder = items_path if items_path.is_dir() else items_path.parent
    mounts = Mounts.of(stack, work_dir=home.work_dir, folders=[folder], roots=options.roots)
    reference = bundles.publish(bundle, mounts.folder_of(stack.buckets["ModelBucket"]))
    uri = mounts.uri_of(items_path) + ("/" if items_path.is_dir() else "")
    manifest = msgspec.structs.replace(manifest, items=uri, model=reference)
    start: dict[str, Any] = {"manifest": msgspec.to_builtins(manifest), "resume": True}
    storage, models = mounts.storage(), stack.buckets["ModelBucket"]
    base = pin_job(start, storage, model_bucket=models).job_id
    held = home.job()
    if held is not None and held.base != base:
        raise InputError(
            f"{options.out}: holds another job ({held.job_id}); choose another --out, or remove that folder"
        )
    if held is None:
        home.refuse_foreign_files()
    run_name = f"again-{time.time_ns():x}" if options.again and held else held.run if held else None
    if run_name:
        start["run"] = run_name
    job_id = pin_job(start, storage, model_bucket=models).job_id if run_name else base
    jobs = mounts.folder_of(stack.buckets["ResultsBucket"]) / "jobs"
    if held is not None and held.job_id != job_id:
        shutil.rmtree(jobs / held.job_id, ignore_errors=True)
    return _Prepared(stack, mounts, start, HeldJob(base, job_id, run_name), jobs / job_id, bundle.notes)


def _manifest_of(options: RunOptions) -> tuple[Manifest, Path, Path]:
    """The manifest with the options over it, the model's path and the items' path."""
    path = options.items
    if not path.exists():
        raise ItemsFileError(
            f"{path}: no such file or folder; give an items file, a manifest (.json) or a folder"
        )
    words: dict[str, Any] = {}
    model = options.model
    items = path
    if path.is_file() and path.suffix == ".json":
        given = read_manifest(path.read_bytes(), str(path), _BESIDE)
        words = msgspec.to_builtins(given)
        items = _beside(path, given.items)
        model = model or _model_beside(path, given.model)
    if model is None:
        raise InputError(
            f"{path}: which model? give --model DIR (a bundle, a SavedModel folder or a .keras file)"
        )
    over = {
        "batch_size": options.batch_size,
        "max_concurrency": options.max_concurrency,
        "runtime": options.runtime,
        "tolerated_failure_percentage": options.tolerate,
        "name": options.name,
    }
    words |= {key: value for key, value in over.items() if value is not None}
    if isinstance(words.get("batch_size"), str) and words["batch_size"].lstrip("-").isdigit():
        words["batch_size"] = int(words["batch_size"])
    words |= {"items": items.name, "model": model.name}
    return read_manifest(json.dumps(words).encode(), "the command line", _BESIDE), model, items


def _beside(manifest: Path, items: str) -> Path:
    if not items.startswith(_BESIDE):
        raise ManifestError(
            f'{manifest}: "items" is {items}, which is not on this machine; name a file beside the manifest'
        )
    path = manifest.parent / items.removeprefix(_BESIDE)
    if not path.exists():
        raise ManifestError(f'{manifest}: "items" names {path}, which does not exist')
    return path


def _model_beside(manifest: Path, model: str) -> Path:
    path = manifest.parent / model
    if not path.exists():
        raise ManifestError(
            f'{manifest}: "model" is {model!r}, but there is no {path}; give --model DIR for a run on this machine'
        )
    return path


async def _run_job(options: RunOptions, home: JobHome, prepared: _Prepared, console: Console) -> Execution:
    bucket = prepared.mounts.folder_of(prepared.stack.buckets["ResultsBucket"])
    results = Storage({"results": FolderBackend(bucket, writable=False)}, s3=False)
    job_home = f"s3://results/{job_prefix(prepared.held.job_id)}"
    progress = JobProgress(console, quiet=options.quiet, total_of=lambda: read_job(results, job_home).total)
    interrupted = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupted.set)
    with progress:
        async with LocalCloud(
            prepared.stack,
            work_dir=home.work_dir,
            mounts=prepared.mounts,
            environments=options.environments,
            observer=progress,
        ) as cloud:
            execution = cloud.start_execution(prepared.start)
            waits = [asyncio.create_task(execution.wait()), asyncio.create_task(interrupted.wait())]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
            if execution.status == "RUNNING":
                execution.stop(cause="interrupted")
                with suppress(asyncio.CancelledError):
                    await execution.wait()
    if execution.status == "ABORTED" and not options.quiet:
        done = f"{progress.done:,} of {counted(progress.total, 'item')}" if progress.total else "nothing yet"
        console.print(
            f"Interrupted. Done: {done}. The same command goes on from there.",
            style="yellow",
            highlight=False,
        )
    return execution


def _finish(
    options: RunOptions,
    home: JobHome,
    prepared: _Prepared,
    execution: Execution,
    console: Console,
    further: Callable[[], dict[str, str]],
) -> RunResult:
    """Bring the results home, or say in one line why there are none."""
    if not (prepared.job_folder / "summary.json").exists() or execution.error not in (None, "JobFailed"):
        console.print(
            f"The job could not be run: {_why(execution)}", style="red", highlight=False, soft_wrap=True
        )
        console.print(f"Logs: {home.work_dir / 'logs'}", style="dim", highlight=False, soft_wrap=True)
        return RunResult(EXIT_FAILED)
    home.collect(prepared.job_folder)
    summary = home.summary()
    assert summary is not None  # noqa: S101 - collect wrote it
    return _ended(options, summary, further)


def _why(execution: Execution) -> str:
    try:
        message = json.loads(execution.cause or "")["errorMessage"]
    except (ValueError, KeyError, TypeError):
        message = execution.cause
    return f"{execution.error}: {message}" if message else str(execution.error)


def _ended(options: RunOptions, summary: dict[str, Any], further: Callable[[], dict[str, str]]) -> RunResult:
    if options.as_json:
        sys.stdout.write(json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
    elif not options.quiet:
        print_summary(Console(), summary, options.out, extra=further())
    return RunResult(EXIT_OF_STATUS[summary["status"]], summary)
