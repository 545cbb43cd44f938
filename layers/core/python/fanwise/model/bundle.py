"""Published model bundles: found by name, pinned by digest, fetched and verified.

`models/NAME/VERSION/` of the model bucket holds a bundle and `digest.json`, which says what it consists of. A
version is written once. PlanJob resolves a name to a `ModelRef`, whose digest is part of the job's identity;
PredictBatch fetches exactly that digest. Models are code (TensorFlow's SECURITY.md): nothing is loaded that does
not match. No numpy and no TensorFlow here.
"""

import hashlib
import os
import tempfile
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, get_args

import msgspec

from fanwise.errors import BundleError, ItemsChanged, ModelError
from fanwise.model.calls import Calls
from fanwise.model.contract import NAME, Contract, read_contract
from fanwise.model.layout import Layout
from fanwise.model.profile import RuntimeProfile, read_profile
from fanwise.model.signature import Signature
from fanwise.records import ModelRef, Runtime
from fanwise.storage import Storage

MODEL_PREFIX = "models/"
DIGEST_FILE, CONTRACT_FILE, PROFILE_FILE = "digest.json", "model.json", "profile.json"
FROZEN, SAVED_MODEL, KERAS_FILE, LITE_FILE = "frozen", "saved_model", "model.keras", "model.tflite"
RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)
MAX_NAMED = 10  # models that a message lists
MAX_REFUSED_CHARACTERS = 300
_RENAMES = 10  # tries to put a fetched bundle into its place, against others who do the same


class BundleFile(msgspec.Struct, frozen=True):
    """A file of a bundle."""

    sha256: str
    size_bytes: int


class Conversion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a model that was converted to LiteRT compares with itself in TensorFlow, over `rows` sample items.

    `difference` is the largest of any value of an output, as a share of that output's largest value, or of 1 if
    that is more. `given`: some of the items were a person's own, not synthetic. `refused` says why the bundle is
    not for LiteRT, where it is not; `can_be_accepted`: it was converted, and a person may accept that. `accepted`
    is what one did.
    """

    rows: int = 0
    given: bool = False
    difference: float | None = None
    refused: Annotated[str, msgspec.Meta(max_length=MAX_REFUSED_CHARACTERS)] | None = None
    can_be_accepted: bool = False
    accepted: Annotated[str, msgspec.Meta(max_length=MAX_REFUSED_CHARACTERS)] | None = None


class Digest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """digest.json: what a bundle consists of, and what one needs to know of it without its runtime.

    `runtimes` are those that the bundle is made for, the best first; `conversion` is how it came to LiteRT, or did
    not; `layout` how its tensors are an item's, where that was tried; `calls` what is done around each call.
    """

    digest: str
    files: Mapping[str, BundleFile]
    runtimes: tuple[Runtime, ...]
    signature: Signature
    prepared_by: str
    conversion: Conversion | None = None
    layout: Layout | None = None
    calls: Mapping[Runtime, Calls] = {}


def digest_of(
    files: Mapping[str, str],
    calls: Mapping[Runtime, Calls] | None = None,
    layout: Layout | None = None,
) -> str:
    """The digest of a bundle, `sha256:…`, from the sha256 of each file by its path, and of how it is called.

    digest.json, which holds it, and profile.json, which is measured again, are no part of it.
    """
    lines = [f"{files[path]}  {path}\n" for path in sorted(files) if path not in (DIGEST_FILE, PROFILE_FILE)]
    if calls:
        lines.append(f"calls {msgspec.json.encode(calls, order='deterministic').decode()}\n")
    if layout is not None and (answers := layout.for_answers()) != Layout():
        lines.append(f"layout {msgspec.json.encode(answers, order='deterministic').decode()}\n")
    return "sha256:" + hashlib.sha256("".join(lines).encode()).hexdigest()


def read_digest(text: bytes, where: str) -> Digest:
    """Read digest.json; raises `BundleError` where it is not one, or does not agree with itself."""
    try:
        digest = msgspec.json.decode(text, type=Digest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"{where}: not a bundle's digest ({error}); publish the model again") from error
    for name in digest.files:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or str(path) != name or not path.name:
            raise BundleError(f"{where}: {name!r} is not a file inside the bundle; publish the model again")
    made = digest_of({name: file.sha256 for name, file in digest.files.items()}, digest.calls, digest.layout)
    if made != digest.digest:
        raise BundleError(
            f"{where}: says {digest.digest}, but its files make {made}; publish the model again"
        )
    return digest


def resolve(
    storage: Storage,
    model_bucket: str,
    model: str,
    runtime: Literal["auto", "tensorflow", "litert"] = "auto",
    offered: Collection[str] = RUNTIMES,
) -> ModelRef:
    """Pin the bundle that `name@version` means; with runtime `auto`, to run on the first that it is made for.

    `offered` are the runtimes that the stack has. Raises `BundleError` for a name that is none, a bundle or
    runtime that is not there, listing what is.
    """
    name, at, version = model.partition("@")
    if not at:
        raise BundleError(
            f"model {model!r} has no version; write NAME@VERSION{_published(storage, model_bucket, name)}"
        )
    if not NAME.fullmatch(name) or not NAME.fullmatch(version):
        raise BundleError(f"model {model!r} is not NAME@VERSION, of letters, digits, '.', '_' and '-'")
    uri = f"s3://{model_bucket}/{MODEL_PREFIX}{name}/{version}"
    try:
        text = storage.read(f"{uri}/{DIGEST_FILE}")
    except (FileNotFoundError, PermissionError) as error:
        raise BundleError(
            f"model {model!r} is not published in {model_bucket}{_published(storage, model_bucket, name)}"
        ) from error
    digest = read_digest(text, f"{uri}/{DIGEST_FILE}")
    chosen = _runtime(model, digest, runtime, offered)
    kinds = _contract(storage, uri, digest).kinds(digest.signature.inputs)
    return ModelRef(name=name, version=version, digest=digest.digest, uri=uri, runtime=chosen, kinds=kinds)


def _runtime(model: str, digest: Digest, asked: str, offered: Collection[str]) -> Runtime:
    """What a model runs on; raises `BundleError` where nothing fits."""
    refused = digest.conversion.refused if digest.conversion else None
    names = (", ".join(digest.runtimes) or "none") + (f" (not for litert: {refused})" if refused else "")
    able = [runtime for runtime in digest.runtimes if asked in ("auto", runtime)]
    if not able:
        accepting = _accepting(digest.conversion) if asked == "litert" else ""
        raise BundleError(f"model {model!r} is not made for runtime {asked!r}; it is for {names}{accepting}")
    for runtime in able:
        if runtime in offered:
            return runtime
    runs = ", ".join(offered)
    image = "deploy the stack with PredictBatchImageUri, the image with TensorFlow"
    others = [runtime for runtime in digest.runtimes if runtime in offered]
    if others:  # the model is well, and what was asked for is not here
        remedies = f"ask for {others[0]} or auto" + (f", or {image}" if asked == "tensorflow" else "")
        raise BundleError(f"runtime {asked!r} is not on this stack, which runs {runs}; {remedies}")
    remedies = f"publish it for that, or {image}" if "tensorflow" in able else "publish it for that"
    raise BundleError(f"model {model!r} is for {names}, and this stack runs {runs}; {remedies}")


def reference_runtime(storage: Storage, ref: ModelRef, offered: Collection[str] = RUNTIMES) -> Runtime:
    """The runtime that a job's predictions are held against: TensorFlow, where bundle and stack have it.

    LiteRT's answers then have a second opinion, unless a person has accepted that they differ; else they are
    computed again on the job's own runtime.
    """
    if "tensorflow" not in offered:
        return ref.runtime
    where = f"{ref.uri}/{DIGEST_FILE}"
    digest = read_digest(storage.read(where), where)
    is_accepted = digest.conversion is not None and digest.conversion.accepted is not None
    return "tensorflow" if "tensorflow" in digest.runtimes and not is_accepted else ref.runtime


def _accepting(conversion: Conversion | None) -> str:
    """What can be done where LiteRT was refused."""
    if conversion is None or conversion.refused is None:
        return ""
    if conversion.can_be_accepted:
        return "; --accept-difference, where it is run or pushed, accepts that"
    return "; it was not converted, so there is nothing that --accept-difference could accept"


def profile_of(storage: Storage, ref: ModelRef) -> RuntimeProfile | None:
    """What a published bundle takes to run on its runtime; None where nobody has measured that.

    It is asked for to be faster, so one that cannot be read is as good as none.
    """
    where = f"{ref.uri}/{PROFILE_FILE}"
    try:
        return read_profile(storage.read(where), where).runtimes.get(ref.runtime)
    except (FileNotFoundError, PermissionError, BundleError):
        return None


def fetch(storage: Storage, ref: ModelRef, folder: Path) -> Path:
    """Put the files that run the bundle into a folder below `folder`, by digest and runtime, and answer with it.

    What is already there is verified before it is used: /tmp outlives the process that died while it wrote.
    Several processes may fetch at once. Raises `ModelError` for a file that is missing, or is not what was
    published.
    """
    target = folder / f"{ref.digest.removeprefix('sha256:')}-{ref.runtime}"
    if _is_whole(target, ref):
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetching-", dir=folder) as temporary:
        made = Path(temporary, "bundle")
        _download(storage, ref, made)
        for attempt in range(_RENAMES):
            try:
                os.rename(made, target)
            except OSError:  # something is there: what another made, or what one left that died
                if _is_whole(target, ref):
                    return target
                if attempt == _RENAMES - 1:
                    raise
                with suppress(FileNotFoundError):  # another has moved it away
                    os.rename(target, Path(temporary, f"broken-{attempt}"))
            else:
                return target
    return target


def sha256_of(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def damaged(folder: Path, digest: Digest, names: Iterable[str]) -> str | None:
    """The first of the named files that is missing from a bundle's folder, or is not what its digest says."""
    for name in names:
        path = folder / name
        if not path.is_file() or path.stat().st_size != digest.files[name].size_bytes:
            return name
        if sha256_of(path) != digest.files[name].sha256:
            return name
    return None


def needed(digest: Digest, runtime: Runtime) -> list[str]:
    """The files that run a bundle: not another runtime's, nor those that the ones it runs were made from."""
    unused = [KERAS_FILE]
    if runtime == "litert":
        unused += [FROZEN + "/", SAVED_MODEL + "/"]
    else:
        frozen = any(name.startswith(FROZEN + "/") for name in digest.files)
        unused += [LITE_FILE, SAVED_MODEL + "/"] if frozen else [LITE_FILE]
    return [name for name in sorted(digest.files) if not name.startswith(tuple(unused))]


def _contract(storage: Storage, uri: str, digest: Digest) -> Contract:
    if CONTRACT_FILE not in digest.files:
        return Contract()
    where = f"{uri}/{CONTRACT_FILE}"
    try:
        text = storage.read(where)
    except (FileNotFoundError, PermissionError) as error:
        raise BundleError(f"{error}; publish the model again under another version") from error
    if hashlib.sha256(text).hexdigest() != digest.files[CONTRACT_FILE].sha256:
        raise BundleError(
            f"{where}: not the file that was published; publish the model again under another version"
        )
    return read_contract(text, where)


def _published(storage: Storage, model_bucket: str, name: str) -> str:
    """What there is, for a message; nothing where it may not be listed."""
    try:
        keys = [info.key for info in storage.list(f"s3://{model_bucket}/{MODEL_PREFIX}")]
    except (FileNotFoundError, PermissionError):
        return ""
    parts = [PurePosixPath(key).parts for key in keys if key.endswith("/" + DIGEST_FILE)]
    models = [f"{path[1]}@{path[2]}" for path in parts if len(path) == 4]
    same = [model for model in models if model.startswith(name + "@")]
    listed = ", ".join(islice(same or models, MAX_NAMED))
    return f"; there is {listed}" if listed else "; it holds no models"


def _is_whole(target: Path, ref: ModelRef) -> bool:
    try:
        digest = read_digest((target / DIGEST_FILE).read_bytes(), DIGEST_FILE)
    except (OSError, BundleError):
        return False
    names = needed(digest, ref.runtime)
    there = {path.relative_to(target).as_posix() for path in target.rglob("*") if not path.is_dir()}
    # Nothing else: a model.json that nobody published would be read.
    return (
        digest.digest == ref.digest
        and there == {*names, DIGEST_FILE}
        and damaged(target, digest, names) is None
    )


def _download(storage: Storage, ref: ModelRef, target: Path) -> None:
    where = f"{ref.uri}/{DIGEST_FILE}"
    remedy = "a version is written once; publish the model again under another"
    target.mkdir()  # a bundle may have no file to fetch but its digest
    try:
        text = storage.read(where)
        digest = read_digest(text, where)
        if digest.digest != ref.digest:
            raise ModelError(
                f"{where}: the bundle is {digest.digest}, the job was planned with {ref.digest}; {remedy}"
            )
        names = needed(digest, ref.runtime)
        for name in names:
            _download_file(storage, f"{ref.uri}/{name}", target / name)
    except (BundleError, FileNotFoundError, PermissionError) as error:
        raise ModelError(str(error)) from error
    except ItemsChanged as error:
        raise ModelError(f"{ref.uri}: a file changed while it was read; {remedy}") from error
    wrong = damaged(target, digest, names)
    if wrong is not None:
        raise ModelError(f"{ref.uri}/{wrong}: not the file that was published (its sha256 differs); {remedy}")
    (target / DIGEST_FILE).write_bytes(text)


def _download_file(storage: Storage, uri: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for chunk in storage.stream(uri, storage.head(uri)):
            file.write(chunk)
