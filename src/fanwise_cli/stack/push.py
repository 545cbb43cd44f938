"""`fanwise push`: a model, made into a bundle and published into the stack's model bucket as `name@version`.

A version is written once. Its files go first and digest.json last, by a conditional write: a bundle without one is
not published, and the same push again goes on with it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fanwise.errors import BundleError
from fanwise.model.bundle import DIGEST_FILE, MODEL_PREFIX, PROFILE_FILE, Digest, read_digest, sha256_of
from fanwise_cli import bundles
from fanwise_cli.bundles import PreparedBundle
from fanwise_cli.preparation import unusable_paths_are_input
from fanwise_cli.progress import waiting
from fanwise_cli.settings import cache_dir
from fanwise_cli.stack.connection import DeployedStack
from fanwise_cli.stack.transfers import Upload, upload
from fanwise_cli.terminal import JobConsole

_SHA256 = "sha256"  # a file's, in its object's metadata: what an interrupted push left is known again by it


@dataclass(frozen=True)
class PushOptions:
    """The words of `fanwise push`; None where nothing was said."""

    model: Path
    name: str | None = None
    version: str | None = None
    quiet: bool = False
    samples: Path | None = None
    accept_difference: bool = False


@dataclass(frozen=True)
class Published:
    """A model that the stack has. `was_there`: nothing had to be uploaded."""

    reference: str
    digest: Digest
    uri: str
    was_there: bool


def push(options: PushOptions, stack: DeployedStack, console: JobConsole) -> Published:
    """Prepare and publish a model. Raises `InputError`."""
    return publish(prepare(options, console), options, stack, console)


def prepare(options: PushOptions, console: JobConsole) -> PreparedBundle:
    """Make a bundle of the model, and say what was chosen for it. Raises `BundleError`."""
    with waiting(console, "preparing the model", quiet=options.quiet), unusable_paths_are_input():
        prepared = bundles.prepare(
            options.model, cache_dir() / "bundles", options.samples, accept=options.accept_difference
        )
    bundles.reference_of(prepared, options.name, options.version)
    if not options.quiet:
        for note in prepared.notes:
            console.tell(note, "dim")
    return prepared


def publish(
    prepared: PreparedBundle, options: PushOptions, stack: DeployedStack, console: JobConsole
) -> Published:
    """Publish a bundle. Raises `BundleError` where another has that name and version."""
    reference = bundles.reference_of(prepared, options.name, options.version)
    prefix = MODEL_PREFIX + reference.replace("@", "/")
    uri = f"s3://{stack.model_bucket}/{prefix}"
    digest_uri = f"{uri}/{DIGEST_FILE}"
    text = (prepared.folder / DIGEST_FILE).read_bytes()
    digest = read_digest(text, DIGEST_FILE)
    try:
        there = read_digest(stack.storage.read(digest_uri), digest_uri)
    except FileNotFoundError:
        pass
    else:
        bundles.check_same(reference, there, prepared)
        return Published(reference, there, uri, was_there=True)
    uploads = [_upload_of(path, f"{prefix}/{name}") for name, path in _files(prepared.folder)]
    missing = [one for one in uploads if not _is_there(stack, one)]
    upload(stack.s3, stack.model_bucket, missing, console, f"uploading {reference}", quiet=options.quiet)
    # Another push of another bundle may have been at work under the same name.
    winner = read_digest(stack.storage.create(digest_uri, text), digest_uri)
    bundles.check_same(reference, winner, prepared)
    for one in uploads:
        if not one.key.endswith("/" + PROFILE_FILE) and not _is_there(
            stack, one
        ):  # measured again, it is another
            raise BundleError(
                f"model {reference}: somebody else published another bundle under this name at the same time, and"
                f" their files are mixed now; publish it under another --version"
            )
    return Published(reference, digest, uri, was_there=False)


def described(published: Published) -> dict[str, Any]:
    """What `--json` prints."""
    return {
        "model": published.reference,
        "digest": published.digest.digest,
        "uri": published.uri,
        "runtimes": list(published.digest.runtimes),
        "was_there": published.was_there,
    }


def _files(folder: Path) -> Iterable[tuple[str, Path]]:
    """A bundle's files but the one that publishes it, largest last, by their names in the bundle."""
    paths = sorted(
        (path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size
    )
    named = ((path.relative_to(folder).as_posix(), path) for path in paths)
    return [(name, path) for name, path in named if name != DIGEST_FILE]


def _upload_of(path: Path, key: str) -> Upload:
    return Upload.of(path, key, **{_SHA256: sha256_of(path)})


def _is_there(stack: DeployedStack, one: Upload) -> bool:
    from botocore.exceptions import ClientError  # noqa: PLC0415 - only where AWS is talked to

    try:
        head = stack.s3.head_object(Bucket=stack.model_bucket, Key=one.key)
    except ClientError as error:
        if error.response["Error"]["Code"] == "404":
            return False
        raise
    return (head["ContentLength"], head["Metadata"].get(_SHA256)) == (
        one.size_bytes,
        dict(one.metadata)[_SHA256],
    )
