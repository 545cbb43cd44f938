"""A model as a person has it → a bundle, published: what `fanwise run` and `fanwise push` do first.

Bundles are made once and kept in a cache: `sources/` says which digest a source led to, and each bundle lies in a
folder named by its digest. The runtimes' part (`prepare_bundle`) runs in a process of its own, so that the command
stays quick and a model that crashes TensorFlow or LiteRT does not take it along.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import msgspec

import fanwise
from fanwise.durable import make_folder, sync_folder, sync_tree, write_durably
from fanwise.errors import DISK_FULL, BundleError
from fanwise.model.bundle import (
    DIGEST_FILE,
    FROZEN,
    LITE_FILE,
    MODEL_PREFIX,
    PROFILE_FILE,
    SAVED_MODEL,
    BundleFile,
    Conversion,
    Digest,
    damaged,
    digest_of,
    read_digest,
    sha256_of,
)
from fanwise.model.calls import Calls
from fanwise.model.contract import NAME
from fanwise.model.layout import Layout
from fanwise.model.profile import read_profile
from fanwise.model.signature import Signature
from fanwise.records import Runtime
from fanwise_cli.bundle_sources import GRAPH_FILE, BundleSource, find_source
from fanwise_cli.prepare_process import run_apart

VERSION_DIGITS = 12  # of the digest, in a version that nobody chose
# What a bundle is made into: one more with each change of that, or what was kept before would be taken for it.
# 1 had no LiteRT, 2 seldom figures of TensorFlow beside it, 3 looked at no operations, and compared fewer items.
PREPARATION = 4


@dataclass(frozen=True)
class PreparedBundle:
    """A bundle in the cache. `notes` are worth telling the person who gave the model."""

    folder: Path
    digest: str
    name: str
    version: str
    notes: list[str]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What `prepare_bundle` found out; a text in its place says why the model is no good."""

    signature: Signature
    runtimes: tuple[Runtime, ...]
    conversion: Conversion | None = None
    layout: Layout | None = None
    calls: Mapping[Runtime, Calls] = {}
    notes: list[str] = []


class _Made(msgspec.Struct, frozen=True):
    """What a source led to, as the cache remembers it."""

    digest: str
    notes: list[str]


def prepare(model: Path, cache: Path, samples: Path | None = None, *, accept: bool = False) -> PreparedBundle:
    """Make a bundle of a model in any form that docs/contracts.md names, or find the one made before.

    With `samples`, an items file or folder, it is made anew, and its forms are compared on these items. Nothing is
    written beside the model. Several processes may prepare at once. Raises `BundleError` with the file, the place
    and the remedy.
    """
    source = find_source(model)
    if samples is not None:
        _check_samples(samples, source)
    hashes = {name: sha256_of(path) for name, path in source.files.items()}
    words = f"{fanwise.__version__} {PREPARATION} {sorted(hashes.items())} {source.prepared}"
    words += " accepted" if accept else ""
    record = cache / "sources" / f"{hashlib.sha256(words.encode()).hexdigest()}.json"
    made = None if samples else _remembered(record, cache)
    if made is None:
        with _naming_full_disk(cache):
            make_folder(cache)
            made = _taken(source, cache) if source.prepared else _made(source, cache, samples, accept=accept)
            if samples is None:
                _write_whole(record, msgspec.json.encode(made))
    if PROFILE_FILE in source.files:
        _keep_profile(source.files[PROFILE_FILE], _folder(cache, made.digest) / PROFILE_FILE)
    path = model.resolve()
    name = source.contract.name or safe_name(path.stem if path.is_file() else path.name)
    version = made.digest.removeprefix("sha256:")[:VERSION_DIGITS]
    return PreparedBundle(_folder(cache, made.digest), made.digest, name, version, made.notes)


@contextmanager
def _naming_full_disk(cache: Path) -> Iterator[None]:
    """Name the cache where its disk is full: a write does not, and to a process it is the model's error."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL:
            raise OSError(error.errno, error.strerror, str(cache)) from error
        raise
    except BundleError as error:
        for number in DISK_FULL:
            if os.strerror(number) in str(error):
                raise OSError(number, os.strerror(number), str(cache)) from error
        raise


def publish(
    prepared: PreparedBundle, models_bucket_folder: Path, name: str | None = None, version: str | None = None
) -> str:
    """Put a bundle into the folder that stands for the model bucket; answers with `name@version`.

    A version is written once: the same digest again is fine, another one raises `BundleError`.
    """
    reference = reference_of(prepared, name, version)
    target = models_bucket_folder / MODEL_PREFIX / reference.replace("@", "/")
    if not _is_there(target):
        make_folder(target.parent)
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=models_bucket_folder) as temporary:
            copy = Path(temporary, "bundle")
            shutil.copytree(prepared.folder, copy, copy_function=_link_or_copy)
            if target.exists():
                os.rename(target, Path(temporary, "broken"))
            _rename(copy, target)
    there = read_digest((target / DIGEST_FILE).read_bytes(), str(target / DIGEST_FILE))
    check_same(reference, there, prepared)
    return reference


def _is_there(target: Path) -> bool:
    """Whether a bundle is published and still what its digest says."""
    try:
        digest = read_digest((target / DIGEST_FILE).read_bytes(), DIGEST_FILE)
    except (OSError, BundleError):
        return False
    return damaged(target, digest, digest.files) is None


def reference_of(prepared: PreparedBundle, name: str | None = None, version: str | None = None) -> str:
    """`name@version`, the bundle's own where nothing is said. Raises `BundleError` for what cannot be either."""
    name, version = name or prepared.name, version or prepared.version
    for what, value in (("name", name), ("version", version)):
        if not NAME.fullmatch(value):
            raise BundleError(
                f"{value!r} cannot be a model's {what}; use letters, digits, '.', '_' and '-', up to 100"
            )
    return f"{name}@{version}"


def check_same(reference: str, there: Digest, prepared: PreparedBundle) -> None:
    """Raises `BundleError` where another bundle is published under that name and version."""
    if there.digest != prepared.digest:
        raise BundleError(
            f"model {reference} is published with {there.digest}, and this bundle is {prepared.digest};"
            f" a version is written once: choose another"
        )


def _folder(cache: Path, digest: str) -> Path:
    return cache / digest.removeprefix("sha256:")


def _remembered(record: Path, cache: Path) -> _Made | None:
    """What the cache has for a source, if it is all still there and as it was."""
    try:
        made = msgspec.json.decode(record.read_bytes(), type=_Made)
        folder = _folder(cache, made.digest)
        digest = read_digest((folder / DIGEST_FILE).read_bytes(), DIGEST_FILE)
    except (OSError, msgspec.DecodeError, BundleError):
        return None
    return made if damaged(folder, digest, digest.files) is None else None


def _taken(source: BundleSource, cache: Path) -> _Made:
    """Keep a bundle that was prepared before, elsewhere."""
    where = source.given / DIGEST_FILE
    digest = read_digest(where.read_bytes(), str(where))
    wrong = damaged(source.given, digest, digest.files)
    if wrong is not None:
        raise BundleError(
            f"{source.given / wrong}: missing or changed since {DIGEST_FILE} was written; delete {where} to make a"
            f" new bundle of what is there"
        )
    if "tensorflow" in digest.runtimes:
        _check_operations(source, digest)
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=cache) as temporary:
        folder = Path(temporary, "bundle")
        names = [*digest.files, DIGEST_FILE, *([PROFILE_FILE] if PROFILE_FILE in source.files else [])]
        _copy({name: source.given / name for name in names}, folder)
        _keep(folder, digest, cache)
    return _Made(digest.digest, [])


def _check_operations(source: BundleSource, digest: Digest) -> None:
    """Raises `BundleError` where what would run reaches outside of the model, whoever prepared it.

    It takes TensorFlow to read a graph: where there is none, nothing runs one either.
    """
    graphs = [folder for folder in (FROZEN, SAVED_MODEL) if f"{folder}/{GRAPH_FILE}" in digest.files]
    if find_spec("tensorflow") is None or not graphs:
        return
    folder = source.given / graphs[0]
    command = [sys.executable, "-P", "-m", "fanwise_cli.operations.checking", str(folder)]
    done = subprocess.run(  # noqa: S603
        [*command, source.contract.signature], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if done.returncode != 0:
        said = (done.stdout or done.stderr).decode("utf-8", "replace").strip().splitlines()
        raise BundleError(f"{source.given}: {said[-1] if said else 'its operations cannot be read'}")


def _check_samples(samples: Path, source: BundleSource) -> None:
    """Raises `BundleError` where there are none, or nothing that could be compared on them."""
    if not samples.exists():
        raise BundleError(f"--samples {samples}: no such file or folder; give an items file or a folder")
    if source.prepared:
        raise BundleError(
            f"{source.given}: was prepared before, so nothing is compared on --samples; delete its {DIGEST_FILE}"
            f" to make a new bundle of what is there"
        )
    if LITE_FILE in source.files:
        raise BundleError(
            f"{source.given}: runs on LiteRT as it is, so there is nothing to compare on --samples; leave them out"
        )


def _made(source: BundleSource, cache: Path, samples: Path | None = None, *, accept: bool = False) -> _Made:
    """Make a bundle of a source: copy, export, freeze, convert, describe."""
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=cache) as temporary:
        folder = Path(temporary, "bundle")
        folder.mkdir()
        _copy(source.files, folder)
        report = _run_prepare_bundle(source, folder, Path(temporary, "report.json"), samples, accept=accept)
        names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        files = {
            name: BundleFile(sha256_of(folder / name), (folder / name).stat().st_size)
            for name in names
            if name != PROFILE_FILE
        }
        digest = Digest(
            digest=digest_of(
                {name: file.sha256 for name, file in files.items()}, report.calls, report.layout
            ),
            files=files,
            runtimes=report.runtimes,
            signature=report.signature,
            prepared_by=f"fanwise {fanwise.__version__}",
            conversion=report.conversion,
            layout=report.layout,
            calls=report.calls,
        )
        text = msgspec.json.format(msgspec.json.encode(digest), indent=1)
        (folder / DIGEST_FILE).write_bytes(text)
        _keep(folder, digest, cache)
        if folder.exists():  # the same files were there: what is known of them may be more by now
            write_durably(str(_folder(cache, digest.digest) / DIGEST_FILE), text)
    return _Made(digest.digest, report.notes)


def _run_prepare_bundle(
    source: BundleSource, folder: Path, report_path: Path, samples: Path | None, *, accept: bool
) -> Report:
    words = [str(folder), str(report_path), "yes" if accept else "no"]
    words += [str(samples)] if samples else []
    # The hash seed: sets that are walked through in the order of each run would make a digest of each run.
    settings = {"KERAS_BACKEND": "tensorflow", "PYTHONHASHSEED": "0", "PYTHONWARNINGS": "ignore"}
    done = run_apart(words, settings, source.given, folder, report_path)
    if not report_path.exists():
        library = "LiteRT" if LITE_FILE in source.files else "TensorFlow"
        raise BundleError(
            f"{source.given}: {library} died while the model was prepared (exit status {done.status}"
            f"{': ' + done.last_line[:300] if done.last_line else ''}); try the model in {library} by itself"
        )
    report = msgspec.json.decode(report_path.read_bytes(), type=Report | str)
    if isinstance(report, str):
        raise BundleError(f"{source.given}: {report}")
    return report


def _keep(folder: Path, digest: Digest, cache: Path) -> None:
    """Move a finished bundle to its place in the cache."""
    target = _folder(cache, digest.digest)
    if target.exists() and damaged(target, digest, digest.files) is not None:
        os.rename(target, folder.with_name("broken"))
    _rename(folder, target)
    if folder.exists() and (folder / PROFILE_FILE).exists() and not (target / PROFILE_FILE).exists():
        os.replace(
            folder / PROFILE_FILE, target / PROFILE_FILE
        )  # of a bundle that was kept before it was measured


def _keep_profile(given: Path, kept: Path) -> None:
    """Have the cache's bundle go by the profile that came with the model, whichever it was kept with."""
    text = given.read_bytes()
    try:
        read_profile(text, str(given))
    except BundleError:  # it was measured anew
        return
    if not kept.exists() or kept.read_bytes() != text:
        _write_whole(kept, text)


def _rename(folder: Path, target: Path) -> None:
    """Rename, unless another process was first; what is in it is on the disk before."""
    sync_tree(folder)
    try:
        os.rename(folder, target)
        sync_folder(target.parent)
    except OSError:
        if not (target / DIGEST_FILE).exists():
            raise


def _copy(files: Mapping[str, Path], folder: Path) -> None:
    for name, path in files.items():
        copy = folder / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another device, or a file system without links
        shutil.copyfile(source, target)


def _write_whole(path: Path, text: bytes) -> None:
    make_folder(path.parent)
    write_durably(str(path), text)


def safe_name(stem: str) -> str:
    """A name out of a file's: what a name may not hold becomes a hyphen."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:100] or "model"
