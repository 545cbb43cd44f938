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
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from fanwise.errors import BundleError, FanwiseError
from fanwise.model.binding import read_labels
from fanwise.model.bundle import CONTRACT_FILE, KERAS_FILE, LITE_FILE, PROFILE_FILE, SAVED_MODEL, Conversion
from fanwise.model.calls import PLAIN, Calls
from fanwise.model.contract import Contract, read_contract
from fanwise.model.layout import Layout
from fanwise.model.profile import Profile, RuntimeProfile, read_profile
from fanwise.model.runtime import Runtime, import_runtime
from fanwise.model.signature import Signature
from fanwise.records import Runtime as RuntimeName
from fanwise_cli.bundles import Report
from fanwise_cli.measuring import measure, measure_apart, peak_memory_mb
from fanwise_cli.row_counts import changing_rows, notes_of_rows

if TYPE_CHECKING:
    from fanwise.model.trial import Tried  # imports numpy

Labels = Mapping[str, tuple[str, ...]]

DIED = "the process that converted it died"
MOST_LOAD_OF_TWO_S = 10.0  # TensorFlow is measured beside LiteRT, unless nobody would wait for it


def prepare_bundle(
    folder: Path, tell: Callable[[Report], None], samples: Path | None = None, *, accept: bool = False
) -> None:
    """Complete a bundle's folder, and `tell` what it is; the last that was told counts.

    Out of a Keras file becomes `saved_model/`, out of that `frozen/` and `model.tflite`, compared on synthetic
    items and those in `samples`, if given. Of a Keras file that can be frozen, the export is not kept: it would
    not be the same bytes each time. `accept`: what LiteRT answers otherwise is accepted. Raises `BundleError` or
    `ModelError`.
    """
    path = folder / CONTRACT_FILE
    contract = read_contract(path.read_bytes(), CONTRACT_FILE) if path.exists() else Contract()
    labels = {name: read_labels((folder / name).read_bytes(), name) for name in contract.label_files()}
    if (folder / LITE_FILE).exists():
        _prepare_for_litert(folder, contract, labels, tell)
    else:
        _prepare_for_both(folder, contract, labels, tell, samples, accept=accept)


def _prepare_for_litert(
    folder: Path, contract: Contract, labels: Labels, tell: Callable[[Report], None]
) -> None:
    from fanwise.model.trial import try_out  # noqa: PLC0415 - imports numpy
    from fanwise_cli.called import Calling  # noqa: PLC0415 - imports numpy
    from fanwise_cli.operations.lite import operators  # noqa: PLC0415 - imports LiteRT's schema
    from fanwise_cli.operations.refusing import (  # noqa: PLC0415 - imports LiteRT's schema
        check_lite,
        notes_of_calls,
        notes_of_faults,
        resets_of_lite,
    )

    module = import_runtime("litert")
    runtime: Runtime = module.load(folder, contract.signature, threads=1)
    found = operators((folder / LITE_FILE).read_bytes(), contract.signature)
    check_lite(found)
    changing = changing_rows(one.op for one in found)
    tried = try_out(runtime, contract, labels, changing=changing is not None)
    state, resets = resets_of_lite(found)
    load = partial(module.load, folder, contract.signature, threads=1)
    calling = Calling(load, contract, labels, tried.layout, edges=False, to_the_bit=True)
    called = calling.tried(state, resets)
    report = Report(
        signature=Signature(runtime.inputs, runtime.outputs),
        runtimes=("litert",),
        layout=called.layout,
        calls={} if called.calls == PLAIN else {"litert": called.calls},
        notes=[
            *notes_of_rows(tried, changing),
            *notes_of_calls(called.calls, state),
            *notes_of_faults(found),
        ],
    )
    tell(report)
    _write_profile(folder, {"litert": measure_apart(folder, "litert", called.layout, calls=called.calls)})


def _prepare_for_both(
    folder: Path,
    contract: Contract,
    labels: Labels,
    tell: Callable[[Report], None],
    given: Path | None,
    *,
    accept: bool,
) -> None:
    began = time.monotonic()
    module = import_runtime("tensorflow")
    init_ms = (time.monotonic() - began) * 1000
    keras_file = folder / KERAS_FILE
    if keras_file.exists():
        _export(keras_file, folder / SAVED_MODEL)

    from fanwise_cli.called import Calling  # noqa: PLC0415 - imports numpy
    from fanwise_cli.converting import convert  # noqa: PLC0415 - imports TensorFlow
    from fanwise_cli.freezing import freeze  # noqa: PLC0415 - imports TensorFlow
    from fanwise_cli.operations.refusing import (  # noqa: PLC0415 - imports TensorFlow
        check_loadable,
        notes_of_calls,
        resets_of,
    )
    from fanwise_cli.operations.saved_model import reached  # noqa: PLC0415 - imports TensorFlow

    operations = reached(folder / SAVED_MODEL, contract.signature)
    check_loadable(operations)
    load = partial(module.load, folder, contract.signature, threads=1)
    began = time.monotonic()
    runtime: Runtime = load()
    load_s = time.monotonic() - began
    signature = Signature(runtime.inputs, runtime.outputs)
    changing = changing_rows(one.op for one in operations.served)
    tried, left_out = _tried(runtime, changing, contract, labels, given)
    peak_mb = peak_memory_mb()
    writing = operations.writing()
    state = str(writing[0]) if writing else None

    # A model that ends the process on an extreme item, or in the converter, still runs on TensorFlow.
    resets = resets_of(writing)
    careful = msgspec.structs.replace(resets[0], item_at_a_time=True) if resets else PLAIN
    died = Conversion(refused=DIED)
    describe = partial(_described, signature, tried.layout)
    tell(describe(died, [_headline(died, ""), *left_out], careful))
    calling = Calling(load, contract, labels, tried.layout, edges=True, to_the_bit=False)
    called = calling.tried(state, resets, given)
    reference = called.reference
    about_calls = [*notes_of_calls(called.calls, state), *left_out, *called.notes]
    note = freeze(folder, contract.signature, reference, writing[0].op if writing else None)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        saved_model = folder / SAVED_MODEL
        if note is None and keras_file.exists():
            saved_model = saved_model.rename(Path(temporary, SAVED_MODEL))
        tell(describe(died, [_headline(died, ""), *about_calls], called.calls))
        conversion, on_litert = convert(
            folder, saved_model, contract, labels, reference, operations, accept=accept
        )
    if called.calls.item_at_a_time and conversion.refused is None:
        on_litert = msgspec.structs.replace(on_litert, item_at_a_time=True)
    samples = str(reference.samples) if reference else ""
    notes = [_headline(conversion, samples), *([note] if note and conversion.refused else []), *about_calls]
    tell(describe(conversion, notes, called.calls, on_litert))
    measured: dict[RuntimeName, RuntimeProfile | None] = {}
    if conversion.refused is None:
        measured["litert"] = measure_apart(folder, "litert", called.layout, given, on_litert)
    if conversion.refused is not None or conversion.accepted is not None or load_s < MOST_LOAD_OF_TWO_S:
        measured["tensorflow"] = _of_tensorflow(folder, init_ms, peak_mb, called.layout, given, called.calls)
    _write_profile(folder, measured)


def _described(
    signature: Signature,
    layout: Layout,
    conversion: Conversion,
    notes: list[str],
    called: Calls,
    on_litert: Calls = PLAIN,
) -> Report:
    """What a SavedModel became; `called` is how it is called on TensorFlow."""
    runtimes: tuple[RuntimeName, ...] = ("litert", "tensorflow")
    if conversion.refused is not None:
        runtimes = ("tensorflow",)
    elif conversion.accepted is not None:  # only who asks for it gets it
        runtimes = ("tensorflow", "litert")
    calls: dict[RuntimeName, Calls] = {"litert": on_litert, "tensorflow": called}
    if called.item_at_a_time:
        layout = msgspec.structs.replace(layout, item_at_a_time=True)
    return Report(
        signature=signature,
        runtimes=runtimes,
        notes=notes,
        conversion=conversion,
        layout=layout,
        calls={name: one for name, one in calls.items() if one != PLAIN},
    )


def _tried(
    runtime: Runtime, changing: str | None, contract: Contract, labels: Labels, given: Path | None
) -> tuple["Tried", list[str]]:
    """What the trial of a SavedModel ended in, and the notes that say so."""
    from fanwise.model.model import Model  # noqa: PLC0415 - imports numpy
    from fanwise.model.trial import try_out  # noqa: PLC0415 - imports numpy
    from fanwise_cli.sample_items import sample_items  # noqa: PLC0415 - imports numpy

    def of_samples(layout: Layout) -> list[dict[str, tuple[int, ...]]]:
        """The shapes of the rows that the person's own items make."""
        if given is None:
            return []
        samples, _ = sample_items(given, Model(contract, labels, runtime, layout=layout))
        return [{name: tensor.shape[1:] for name, tensor in batch.items()} for batch in samples.batches]

    tried = try_out(runtime, contract, labels, changing=changing is not None, given=of_samples)
    return tried, notes_of_rows(tried, changing)


def _of_tensorflow(
    folder: Path,
    init_ms: float,
    peak_mb: int,
    layout: Layout | None = None,
    samples: Path | None = None,
    calls: Calls = PLAIN,
) -> RuntimeProfile | None:
    """TensorFlow's figures; None where they cannot be had, which is no reason against the model."""
    try:
        return measure(
            folder,
            "tensorflow",
            init_ms=init_ms,
            peak_mb=peak_mb,
            layout=layout,
            samples=samples,
            calls=calls,
        )
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
    if conversion.accepted is not None:
        return f"Made for TensorFlow, and by --accept-difference for LiteRT: {conversion.accepted}, on {samples}."
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
    """FOLDER REPORT ACCEPT [SAMPLES]; writes the report, or what is wrong with the model. ACCEPT: yes or no."""
    accept = arguments.pop(2) == "yes"
    folder, report_path, *samples = map(Path, arguments)

    def tell(answer: Report | str) -> None:
        report_path.write_bytes(msgspec.json.encode(answer))

    try:
        prepare_bundle(folder, tell, *samples, accept=accept)
    except FanwiseError as error:
        tell(str(error))
    except Exception as error:
        library = "LiteRT" if (folder / LITE_FILE).exists() else "TensorFlow"
        tell(f"{library} cannot work with it: {type(error).__name__}: {_first_line(error)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
