"""What a person gives as a model, in any of its forms, as the files of the bundle to be.

First stage of `bundles.prepare`. Nothing is read but names, model.json and label files.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fanwise.errors import BundleError
from fanwise.limits import MAX_LABELS_BYTES, MAX_MANIFEST_BYTES
from fanwise.model.binding import read_labels
from fanwise.model.bundle import (
    CONTRACT_FILE,
    DIGEST_FILE,
    KERAS_FILE,
    LITE_FILE,
    PROFILE_FILE,
    SAVED_MODEL,
)
from fanwise.model.contract import Contract, read_contract

ACCEPTED = (
    f"a folder with {SAVED_MODEL}/, a .keras or a .tflite file in it, a SavedModel folder, or such a file"
    f" (in Keras: model.save('model.keras') or model.export('saved_model'))"
)
GRAPH_FILE = "saved_model.pb"
_NAMES = {".keras": KERAS_FILE, ".tflite": LITE_FILE}  # of a model that is one file, in its bundle


@dataclass(frozen=True)
class BundleSource:
    """A model as it was given.

    `files` are taken as they are, by their path in the bundle; `prepared` has a digest.json already, which must
    hold.
    """

    given: Path
    files: dict[str, Path]
    contract: Contract
    prepared: bool = False


def find_source(given: Path) -> BundleSource:
    """Find out which form a model was given in. Raises `BundleError` with what is accepted."""
    if not given.exists():
        raise BundleError(f"{given}: no such file or folder; give {ACCEPTED}")
    if given.is_file():
        if given.suffix in _NAMES:
            return _source(given, {_NAMES[given.suffix]: given}, given.parent / CONTRACT_FILE)
        raise BundleError(f"{given}: {_why_not(given)}; give {ACCEPTED}")
    if (given / DIGEST_FILE).is_file():
        return _source(given, _tree(given, ""), given / CONTRACT_FILE, prepared=True)
    if (given / GRAPH_FILE).is_file():
        files = _tree(given, SAVED_MODEL + "/")
        inside = files.pop(f"{SAVED_MODEL}/{CONTRACT_FILE}", None)
        return _source(given, files, inside or given.parent / CONTRACT_FILE)
    models = sorted(path for path in given.iterdir() if path.suffix in _NAMES)
    if (given / SAVED_MODEL / GRAPH_FILE).is_file():
        if models:
            raise BundleError(f"{given}: holds both {SAVED_MODEL}/ and {models[0].name}; remove one of them")
        check_inside(given / SAVED_MODEL, given)
        return _source(given, _tree(given / SAVED_MODEL, SAVED_MODEL + "/"), given / CONTRACT_FILE)
    if len(models) == 1:
        check_inside(models[0], given)
        return _source(given, {_NAMES[models[0].suffix]: models[0]}, given / CONTRACT_FILE)
    if models:
        raise BundleError(f"{given}: holds {len(models)} models; give one of them, such as {models[0]}")
    raise BundleError(f"{given}: holds no model; give {ACCEPTED}")


def _source(
    given: Path,
    files: dict[str, Path],
    contract_path: Path,
    *,
    prepared: bool = False,
) -> BundleSource:
    """Read the contract and add the files that it needs."""
    contract = Contract()
    if contract_path.is_file():
        check_inside(contract_path, contract_path.parent)
        contract = read_contract(_read(contract_path, MAX_MANIFEST_BYTES, "a contract"), str(contract_path))
        files = files | {CONTRACT_FILE: contract_path}
    for name in contract.label_files():
        path = contract_path.parent / name
        if not path.is_file():
            raise BundleError(f"{contract_path}: names the labels {name!r}, but there is no {path}")
        check_inside(path, contract_path.parent)
        read_labels(_read(path, MAX_LABELS_BYTES, "labels"), str(path))
        files = files | {name: path}
    profile = contract_path.parent / PROFILE_FILE
    if profile.is_file():
        check_inside(profile, contract_path.parent)
        _read(profile, MAX_MANIFEST_BYTES, "a profile")
        files = files | {PROFILE_FILE: profile}
    return BundleSource(given, files, contract, prepared)


def _tree(folder: Path, prefix: str) -> dict[str, Path]:
    """Every file below a folder, by its path in the bundle. Raises `BundleError` for a link out of it."""
    return {
        prefix + path.relative_to(folder).as_posix(): path for path in _files(folder, folder.resolve(), ())
    }


def _files(folder: Path, root: Path, above: tuple[Path, ...]) -> Iterator[Path]:
    """Also in folders that are linked; `above` are those that it lies in, as they are without links."""
    real = folder.resolve()
    if real in above:
        raise BundleError(f"{folder}: a link that leads back to {real}, which it lies in; remove it")
    for path in sorted(folder.iterdir()):
        if path.is_symlink():
            check_inside(path, root)
        if path.is_dir():
            yield from _files(path, root, (*above, real))
        elif path.is_file():
            yield path


def check_inside(path: Path, folder: Path) -> None:
    """Raises `BundleError` where a file that is found in a folder is a link out of it, or to nothing.

    Whatever it led to would be copied into the bundle, and published with it.
    """
    try:
        target = path.resolve()
    except (RuntimeError, OSError) as error:  # before Python 3.13 the former
        raise BundleError(f"{path}: a link that leads to itself; remove it") from error
    if not target.is_relative_to(folder.resolve()):
        raise BundleError(
            f"{path}: a link to {target}, which lies outside of {folder}; put the file itself there, or give a"
            f" copy of the folder without links (cp -rL {folder} COPY)"
        )
    if not target.exists():
        raise BundleError(f"{path}: a link to {target}, which does not exist; correct or remove it")


def _read(path: Path, most_bytes: int, what: str) -> bytes:
    """A small file of the folder that it lies in. Raises `BundleError` for one that is larger than it may be."""
    with path.open("rb") as file:
        text = file.read(most_bytes + 1)
    if len(text) > most_bytes:
        size_bytes = path.stat().st_size
        raise BundleError(
            f"{path}: {what} of {size_bytes:,} bytes; at most {most_bytes:,}. Is it another file?"
        )
    return text


def _why_not(path: Path) -> str:
    if path.suffix in (".h5", ".hdf5"):
        return "a Keras model in the old HDF5 format; load it in Keras and save it as .keras"
    return "not a model that fanwise knows"
