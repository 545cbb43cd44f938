"""TensorFlow's part of making a bundle, in a process of its own: `python -m fanwise_cli.prepare_bundle`.

Exports a Keras model, reads the signature, checks the contract against it, and freezes the model where that can
be done and seen to change nothing. `bundles` starts it and reads the report; importing this module imports
neither TensorFlow nor Keras.
"""

import shutil
import sys
from pathlib import Path

import msgspec

from fanwise.errors import BundleError, FanwiseError
from fanwise.model.binding import bind, mini_batch, read_labels
from fanwise.model.bundle import CONTRACT_FILE, KERAS_FILE, SAVED_MODEL
from fanwise.model.contract import Contract, read_contract
from fanwise.model.runtime import import_runtime
from fanwise.model.signature import Signature
from fanwise_cli.bundles import Report


def prepare_bundle(folder: Path) -> Report:
    """Complete a bundle's folder: `saved_model/` out of a Keras file, `frozen/` out of `saved_model/`.

    Of a Keras file that can be frozen, the export is not kept: it would not be the same bytes each time.
    Raises `BundleError` or `ModelError`.
    """
    runtime_module = import_runtime("tensorflow")
    keras_file = folder / KERAS_FILE
    if keras_file.exists():
        _export(keras_file, folder / SAVED_MODEL)
    path = folder / CONTRACT_FILE
    contract = read_contract(path.read_bytes(), CONTRACT_FILE) if path.exists() else Contract()
    labels = {name: read_labels((folder / name).read_bytes(), name) for name in contract.label_files()}
    runtime = runtime_module.load(folder, contract.signature, threads=1)
    signature = Signature(runtime.inputs, runtime.outputs)
    bound = bind(contract, signature, labels)
    rows = mini_batch(signature, bound)

    from fanwise_cli.freezing import freeze  # noqa: PLC0415 - imports TensorFlow

    note = freeze(folder, contract.signature, runtime, bound, rows)
    if note is None and keras_file.exists():
        shutil.rmtree(folder / SAVED_MODEL)
    return Report(signature=signature, notes=[] if note is None else [note])


def _export(keras_file: Path, target: Path) -> None:
    import keras  # noqa: PLC0415

    try:
        model = keras.saving.load_model(keras_file, compile=False, safe_mode=True)
    except Exception as error:  # whatever the layers of the model raise
        raise BundleError(
            f"Keras cannot load the file: {_first_line(error)}; a model with code of its own has to be"
            f" given as a SavedModel: model.export('saved_model')"
        ) from error
    try:
        model.export(str(target), format="tf_saved_model", verbose=False)
    except Exception as error:
        raise BundleError(
            f"Keras cannot export the file: {_first_line(error)}; call the model once on real input"
            f" before it is saved, or export it yourself: model.export('saved_model')"
        ) from error
    # Names each export by chance, and nothing reads it.
    (target / "fingerprint.pb").unlink(missing_ok=True)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0][:300].rstrip(".")


def main(arguments: list[str]) -> int:
    """FOLDER REPORT; writes the report, or what is wrong with the model."""
    folder, report_path = map(Path, arguments)
    answer: Report | str
    try:
        answer = prepare_bundle(folder)
    except FanwiseError as error:
        answer = str(error)
    except Exception as error:
        answer = f"TensorFlow cannot work with it: {type(error).__name__}: {_first_line(error)}"
    report_path.write_bytes(msgspec.json.encode(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
