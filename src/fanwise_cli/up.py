"""`fanwise up`: the local cloud behind one endpoint, until it is interrupted.

Where it runs, the AWS CLI and SDKs find the deployed stack's buckets, queues, functions and state machine on this
machine (`fanwise_local.doors.endpoint`), and uploads and schedules start jobs by the template's own rules.
"""

import asyncio
import errno
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fanwise.errors import InputError
from fanwise.model.bundle import DIGEST_FILE, MODEL_PREFIX
from fanwise.storage import Storage
from fanwise_cli import bundles
from fanwise_cli.bundles import PreparedBundle
from fanwise_cli.exit_codes import EXIT_OK
from fanwise_cli.interruption import interruption
from fanwise_cli.log_file import log_kept
from fanwise_cli.preparation import unusable_paths_are_input
from fanwise_cli.preparing import preparing
from fanwise_cli.progress import counted
from fanwise_cli.settings import CACHE_DIR, cache_dir
from fanwise_cli.terminal import JobConsole, print_document
from fanwise_cli.up_lines import HOST, lines_to_copy
from fanwise_cli.up_progress import JobsProgress
from fanwise_cli.up_secret import Secret, secret_kept, secret_path
from fanwise_local.template import Stack, TemplateError, read_stack, stack_root

if TYPE_CHECKING:
    from fanwise_local.doors.endpoint import Endpoint

_STACK = re.compile(
    r"[a-z][a-z0-9-]{0,31}"
)  # as bucketnamingrules have it, of the longest name in the template
_SHOWN = 10  # jobs that are named as lost
_TAKEN = (errno.EADDRINUSE, errno.EACCES)


@dataclass(frozen=True)
class UpOptions:
    """The words of `fanwise up`."""

    port: int = 0
    stack: str = "fanwise"
    parameters: Sequence[str] = ()
    models: Sequence[Path] = ()
    environments: int | None = None
    logs: Path | None = None
    insecure: bool = False
    as_json: bool = False


def up(options: UpOptions, *, console: JobConsole) -> int:
    """Run the endpoint until it is interrupted, which is how it ends: 0. Raises `InputError` before it begins."""
    with unusable_paths_are_input(), _folder(options.logs) as work_dir:
        stack = _stack(options)
        models = [_prepared(model, console, quiet=options.as_json) for model in options.models]
        with log_kept(work_dir / "logs"):
            asyncio.run(_serve(options, stack, models, work_dir, console))
    return EXIT_OK


async def _serve(
    options: UpOptions, stack: Stack, models: Sequence[PreparedBundle], work_dir: Path, console: JobConsole
) -> None:
    from fanwise_local.doors.endpoint import Endpoint  # noqa: PLC0415 - slow to import
    from fanwise_local.doors.signatures import KeyPair  # noqa: PLC0415 - goes with it

    results = f"s3://{stack.buckets['ResultsBucket']}/"
    jobs = JobsProgress(console, results)
    with interruption() as interrupted, _naming_the_port(options.port):
        async with Endpoint(
            stack,
            work_dir=work_dir,
            port=options.port,
            environments=options.environments,
            observer=jobs,
            keys=None if options.insecure else KeyPair.fresh(),
        ) as endpoint:
            storage = endpoint.services.storage()
            jobs.storage = storage
            names = [await asyncio.to_thread(_publish, model, storage, stack) for model in models]
            with _secret_kept(endpoint, options, console):
                _tell_beginning(endpoint, stack, names, options, console)
                with jobs:
                    await interrupted.wait()
            lost = jobs.stop()
    console.tell("Ended; what it kept is gone.", "dim")
    if lost:
        named = ", ".join(lost[:_SHOWN]) + (" …" if len(lost) > _SHOWN else "")
        console.tell(f"Lost, since they had not ended: {counted(len(lost), 'job')} ({named})", "yellow")


def _prepared(model: Path, console: JobConsole, *, quiet: bool) -> PreparedBundle:
    with preparing(console, f"preparing {model.name}", quiet=quiet):
        bundle = bundles.prepare(model, cache_dir() / "bundles")
    for note in bundle.notes:
        console.tell(note, "dim")
    return bundle


def _publish(bundle: PreparedBundle, storage: Storage, stack: Stack) -> str:
    """Put a bundle into the model bucket, its digest last; answers `name@version`.

    `fanwise push` does more, for a bucket that holds something already, and by way of boto3. This one is
    empty, and nobody's credentials, profile or proxy are to count here.
    """
    reference = bundles.reference_of(bundle)
    folder = f"s3://{stack.buckets['ModelBucket']}/{MODEL_PREFIX}{reference.replace('@', '/')}/"
    files = sorted(path for path in bundle.folder.rglob("*") if path.is_file())
    for path in sorted(files, key=lambda file: file.name == DIGEST_FILE):
        storage.write(folder + path.relative_to(bundle.folder).as_posix(), path.read_bytes())
    return reference


def _tell_beginning(
    endpoint: "Endpoint", stack: Stack, models: Sequence[str], options: UpOptions, console: JobConsole
) -> None:
    environment = endpoint.environment()
    url = environment["AWS_ENDPOINT_URL"]
    console.tell(f"The stack {stack.name} is up at {url}", "bold")
    console.tell(
        "It serves the AWS CLI and SDKs; what it keeps lives as long as it runs. Ctrl-C ends it.", wrap=True
    )
    if options.insecure:
        console.tell(
            "--insecure: no signature is checked, so every program and user of this machine may use it.",
            "yellow",
        )
    if models:
        console.tell(f"Published: {', '.join(models)}")
    for one in lines_to_copy(environment, stack, list(zip(options.models, models, strict=True))):
        if one.comment:
            console.tell(f"# {one.comment}", "dim")
        if one.line:
            console.tell(one.line)
    if options.as_json:
        print_document(
            {
                "endpoint_url": url,
                "stack": stack.name,
                "outputs": dict(stack.outputs),
                "models": list(models),
                "environment": environment,
            }
        )


@contextmanager
def _secret_kept(endpoint: "Endpoint", options: UpOptions, console: JobConsole) -> Iterator[None]:
    """Have our own commands find the secret, in any shell; where that cannot be, the line to copy still has it."""
    if options.insecure:
        secret_path(endpoint.port).unlink(missing_ok=True)  # of one that was killed
        yield
        return
    keys = endpoint.keys
    secret = Secret(
        access_key_id=keys.access_key_id,
        secret_access_key=keys.secret_access_key,
        region=endpoint.environment()["AWS_DEFAULT_REGION"],
    )
    with ExitStack() as kept:
        try:
            kept.enter_context(secret_kept(endpoint.port, secret))
        except OSError as error:
            console.tell(
                f"The secret cannot be kept for commands of other shells ({error}): copy the export line there, or"
                f" set {CACHE_DIR} to a folder that can be written to.",
                "yellow",
            )
        yield


@contextmanager
def _naming_the_port(port: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _TAKEN or error.filename:
            raise
        raise InputError(
            f"port {port} of {HOST} cannot be had ({os.strerror(error.errno)}); end what listens there, or"
            f" choose another --port (0 is any free one)"
        ) from error


def _stack(options: UpOptions) -> Stack:
    if not _STACK.fullmatch(options.stack):
        raise InputError(
            f"--stack {options.stack}: up to 32 of a-z, 0-9 and '-', from a letter on; buckets are named after it"
        )
    try:
        return read_stack(stack_root(), stack_name=options.stack, parameters=_parameters(options.parameters))
    except TemplateError as error:  # a parameter that there is not, or with a value that it may not have
        raise InputError(str(error)) from error


def _parameters(words: Sequence[str]) -> Mapping[str, str]:
    """KEY=VALUE, as `sam deploy --parameter-overrides` has them."""
    values: dict[str, str] = {}
    for word in words:
        name, separator, value = word.partition("=")
        if not separator or not name:
            raise InputError(f"--parameter {word}: write KEY=VALUE, a parameter of template.yaml")
        values[name] = value
    return values


@contextmanager
def _folder(logs: Path | None) -> Iterator[Path]:
    """Where logs go, and /tmp of the functions: a folder of the person's, else one that is gone afterwards."""
    if logs is not None:
        logs.mkdir(parents=True, exist_ok=True)
        yield logs.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="fanwise-up-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)
