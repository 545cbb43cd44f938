"""The runtimes' part of making a bundle, in a process of its own: `python -m fanwise_cli.prepare_bundle`.

Exports a Keras model, reads the signature, checks the contract against it, freezes the model and converts it to
LiteRT, where that can be done and seen to change nothing. Then it measures what the model takes to run
(`profile.json`). `bundles` starts it and reads the report; importing this module imports neither TensorFlow nor
Keras.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from fanwise.errors import BundleError, FanwiseError
from fanwise.model.binding import read_labels
from fanwise.model.bundle import CONTRACT_FILE, KERAS_FILE, LITE_FILE, PROFILE_FILE, SAVED_MODEL, Conversion
from fanwise.model.contract import Contract, read_contract
from fanwise.model.layout import Layout
from fanwise.model.profile import Profile, RuntimeProfile, read_profile
from fanwise.model.runtime import ComputeError, Runtime, import_runtime
from fanwise.model.signature import Signature
from fanwise.records import Runtime as RuntimeName
from fanwise_cli.bundles import Report
from fanwise_cli.measuring import measure, measure_apart, peak_memory_mb
from fanwise_cli.row_counts import changing_rows, notes_of_rows, operations_of, operations_of_lite

if TYPE_CHECKING:
    from fanwise.model.trial import Tried  # imports numpy

Labels = Mapping[str, tuple[str, ...]]

DIED = "the process that converted it died"
MOST_LOAD_OF_TWO_S = 10.0  # TensorFlow is measured beside LiteRT, unless nobody would wait for it


def prepare_bundle(folder: Path, tell: Callable[[Report], None], samples: Path | None = None) -> None:
    """Complete a bundle's folder, and `tell` what it is; the last that was told counts.

    Out of a Keras file becomes `saved_model/`, out of that `frozen/` and `model.tflite`, compared on the items in
    `samples`, if given. Of a Keras file that can be frozen, the export is not kept: it would not be the same bytes
    each time. Raises `BundleError` or `ModelError`.
    """
    path = folder / CONTRACT_FILE
    contract = read_contract(path.read_bytes(), CONTRACT_FILE) if path.exists() else Contract()
    labels = {name: read_labels((folder / name).read_bytes(), name) for name in contract.label_files()}
    if (folder / LITE_FILE).exists():
        report = _given_for_litert(folder, contract, labels)
        tell(report)
        _write_profile(folder, {"litert": measure_apart(folder, "litert", report.layout)})
    else:
        _prepare_for_both(folder, contract, labels, tell, samples)


def _given_for_litert(folder: Path, contract: Contract, labels: Labels) -> Report:
    runtime: Runtime = import_runtime("litert").load(folder, contract.signature, threads=1)

    from fanwise.model.trial import try_out  # noqa: PLC0415 - imports numpy

    changing = changing_rows(operations_of_lite(folder / LITE_FILE))
    tried = try_out(runtime, contract, labels, changing=changing is not None)
    return Report(
        signature=Signature(runtime.inputs, runtime.outputs),
        runtimes=("litert",),
        layout=tried.layout,
        notes=notes_of_rows(tried, changing),
    )


def _prepare_for_both(
    folder: Path, contract: Contract, labels: Labels, tell: Callable[[Report], None], given: Path | None
) -> None:
    began = time.monotonic()
    runtime_module = import_runtime("tensorflow")
    init_ms = (time.monotonic() - began) * 1000
    keras_file = folder / KERAS_FILE
    if keras_file.exists():
        _export(keras_file, folder / SAVED_MODEL)
    began = time.monotonic()
    runtime: Runtime = runtime_module.load(folder, contract.signature, threads=1)
    load_s = time.monotonic() - began
    signature = Signature(runtime.inputs, runtime.outputs)

    from fanwise.model.arranging import arranged  # noqa: PLC0415 - imports numpy
    from fanwise.model.model import Model  # noqa: PLC0415 - imports numpy
    from fanwise_cli.comparing import Reference, Samples  # noqa: PLC0415 - imports numpy
    from fanwise_cli.converting import convert  # noqa: PLC0415 - imports TensorFlow
    from fanwise_cli.freezing import freeze  # noqa: PLC0415 - imports TensorFlow
    from fanwise_cli.sample_items import sample_items  # noqa: PLC0415 - imports numpy

    tried, left_out = _tried(runtime, folder, contract, labels, given)
    model = Model(contract, labels, runtime, layout=tried.layout)
    runtime = arranged(runtime, tried.layout)
    if given is None:
        inputs = model.synthetic_inputs()
        samples = Samples(len(next(iter(inputs.values()))), [inputs])
    else:
        samples, wrong = sample_items(given, model)
        left_out += wrong
    reference: Reference | None = None
    try:
        reference = Reference.of(runtime, samples, tried.layout)
    except ComputeError as error:
        if given is not None:
            raise BundleError(f"the model fails on the items of {given}: {error}") from error
    peak_mb = peak_memory_mb()
    note = freeze(folder, contract.signature, reference)

    def told(conversion: Conversion) -> None:
        notes = [
            _headline(conversion, str(samples)),
            *([note] if note and conversion.refused else []),
            *left_out,
        ]
        runtimes: tuple[RuntimeName, ...] = (
            ("tensorflow",) if conversion.refused else ("litert", "tensorflow")
        )
        tell(
            Report(
                signature=signature,
                runtimes=runtimes,
                notes=notes,
                conversion=conversion,
                layout=tried.layout,
            )
        )

    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        saved_model = folder / SAVED_MODEL
        if note is None and keras_file.exists():
            saved_model = saved_model.rename(Path(temporary, SAVED_MODEL))
        told(Conversion(refused=DIED))  # a model that crashes the converter still runs on TensorFlow
        conversion = convert(folder, saved_model, contract, labels, reference)
        told(conversion)
    measured: dict[RuntimeName, RuntimeProfile | None] = {}
    if conversion.refused is None:
        measured["litert"] = measure_apart(folder, "litert", tried.layout, given)
    if conversion.refused is not None or load_s < MOST_LOAD_OF_TWO_S:
        measured["tensorflow"] = _of_tensorflow(folder, init_ms, peak_mb, tried.layout, given)
    _write_profile(folder, measured)


def _tried(
    runtime: Runtime, folder: Path, contract: Contract, labels: Labels, given: Path | None
) -> tuple["Tried", list[str]]:
    """What the trial of a SavedModel ended in, and what a person is told of that."""
    from fanwise.model.model import Model  # noqa: PLC0415 - imports numpy
    from fanwise.model.trial import try_out  # noqa: PLC0415 - imports numpy
    from fanwise_cli.sample_items import sample_items  # noqa: PLC0415 - imports numpy

    def of_samples(layout: Layout) -> list[dict[str, tuple[int, ...]]]:
        """The shapes of the rows that the person's own items make."""
        if given is None:
            return []
        samples, _ = sample_items(given, Model(contract, labels, runtime, layout=layout))
        return [{name: tensor.shape[1:] for name, tensor in batch.items()} for batch in samples.batches]

    changing = changing_rows(operations_of(folder / SAVED_MODEL, contract.signature))
    tried = try_out(runtime, contract, labels, changing=changing is not None, given=of_samples)
    return tried, notes_of_rows(tried, changing)


def _of_tensorflow(
    folder: Path, init_ms: float, peak_mb: int, layout: Layout | None = None, samples: Path | None = None
) -> RuntimeProfile | None:
    """TensorFlow's figures; None where they cannot be had, which is no reason against the model."""
    try:
        return measure(folder, "tensorflow", init_ms=init_ms, peak_mb=peak_mb, layout=layout, samples=samples)
    except Exception:  # whatever TensorFlow raises on a model; the report is told already
        return None


def _write_profile(folder: Path, measured: Mapping[RuntimeName, RuntimeProfile | None]) -> None:
    """Put `profile.json` into a bundle's folder, unless it came with one that can be read."""
    path = folder / PROFILE_FILE
    try:
        read_profile(path.read_bytes(), PROFILE_FILE)
    except (FileNotFoundError, BundleError):
        profile = Profile(runtimes={name: one for name, one in measured.items() if one is not None})
        path.write_bytes(msgspec.json.format(msgspec.json.encode(profile), indent=1))


def _headline(conversion: Conversion, samples: str) -> str:
    """What a person reads at each run of the model."""
    if conversion.refused is not None:
        compared = f", on {samples}" if conversion.difference is not None else ""
        return f"Made for TensorFlow alone, not for LiteRT: {conversion.refused}{compared}."
    return (
        f"Made for LiteRT, and for TensorFlow; largest difference of their outputs, on {samples}:"
        f" {conversion.difference:.1g}."
    )


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
    """FOLDER REPORT [SAMPLES]; writes the report, or what is wrong with the model."""
    folder, report_path, *samples = map(Path, arguments)

    def tell(answer: Report | str) -> None:
        report_path.write_bytes(msgspec.json.encode(answer))

    try:
        prepare_bundle(folder, tell, *samples)
    except FanwiseError as error:
        tell(str(error))
    except Exception as error:
        library = "LiteRT" if (folder / LITE_FILE).exists() else "TensorFlow"
        tell(f"{library} cannot work with it: {type(error).__name__}: {_first_line(error)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
