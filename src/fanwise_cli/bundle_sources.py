"""What a person gives as a model, in any of its forms, as the files of the bundle to be.

First stage of `bundles.prepare`. Nothing is read but names, model.json and label files.
"""

from dataclasses import dataclass
from pathlib import Path

from fanwise.errors import BundleError
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
        return _source(given, _tree(given / SAVED_MODEL, SAVED_MODEL + "/"), given / CONTRACT_FILE)
    if len(models) == 1:
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
        contract = read_contract(contract_path.read_bytes(), str(contract_path))
        files = files | {CONTRACT_FILE: contract_path}
    for name in contract.label_files():
        path = contract_path.parent / name
        if not path.is_file():
            raise BundleError(f"{contract_path}: names the labels {name!r}, but there is no {path}")
        read_labels(path.read_bytes(), str(path))
        files = files | {name: path}
    profile = contract_path.parent / PROFILE_FILE
    if profile.is_file():
        files = files | {PROFILE_FILE: profile}
    return BundleSource(given, files, contract, prepared)


def _tree(folder: Path, prefix: str) -> dict[str, Path]:
    """Every file below a folder, by its path in the bundle."""
    return {
        prefix + path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()
    }


def _why_not(path: Path) -> str:
    if path.suffix in (".h5", ".hdf5"):
        return "a Keras model in the old HDF5 format; load it in Keras and save it as .keras"
    return "not a model that fanwise knows"
