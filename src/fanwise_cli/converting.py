"""A SavedModel → `model.tflite`, where LiteRT has all its operations and predicts what TensorFlow does.

The last step of `prepare_bundle`. LiteRT is the better runtime where it is one at all: it starts in a tenth of a
second, in a fifth of the memory, and is faster on one thread. No TensorFlow operations beside LiteRT's own
(SELECT_TF_OPS): they would bring TensorFlow back into the zip. Converted twice, a model is the same bytes.
"""

import re
import tempfile
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path

import msgspec
import numpy as np
import tensorflow as tf

from fanwise.errors import BundleError, ModelError
from fanwise.model.arranging import arranged
from fanwise.model.binding import Bound, bind
from fanwise.model.bundle import LITE_FILE, MAX_REFUSED_CHARACTERS, Conversion
from fanwise.model.calls import PLAIN, Calls
from fanwise.model.contract import Contract
from fanwise.model.runtime import ComputeError, Runtime, Tensors, import_runtime
from fanwise.model.signature import Signature
from fanwise_cli.comparing import REJECTED, Reference, of_results
from fanwise_cli.freezing import MAX_FROZEN_BYTES
from fanwise_cli.independence import Depends, Load, how_to_call
from fanwise_cli.operations.faults import fault_of
from fanwise_cli.operations.lite import LiteOperator, operators
from fanwise_cli.operations.saved_model import Reached

TOLERANCE = 1e-4

_MISSING_OPS = re.compile(r"^(?:TF Select|Custom) ops: (.+)$", re.MULTILINE)


class _NotConverted(Exception):
    """Why a model stays with TensorFlow, and can do nothing else."""


class _Objected(_NotConverted):
    """What speaks against a model that was converted."""


class _Objections:
    """What speaks against LiteRT; the first ends it, or is kept where a person accepts what differs."""

    def __init__(self, *, accepted: bool) -> None:
        self._accepted = accepted
        self.first: str | None = None

    def add(self, why: str | None) -> None:
        """Raises `_NotConverted` where nobody accepts it; None is no objection."""
        if why is not None and not self._accepted:
            raise _Objected(why)
        self.first = self.first or why


def convert(
    folder: Path,
    saved_model: Path,
    contract: Contract,
    labels: Mapping[str, tuple[str, ...]],
    reference: Reference | None,
    operations: Reached,
    *,
    accept: bool = False,
) -> tuple[Conversion, Calls]:
    """Write `model.tflite` into a bundle's folder if it answers as `reference`; says how they compare, and how the
    model is then called.

    `saved_model` is the model, `operations` what it reaches. `accept`: one that answers otherwise is kept too, and
    what differs is said.
    """
    if reference is None:
        return Conversion(refused=REJECTED), PLAIN
    measured: float | None = None
    calls = PLAIN
    objections = _Objections(accepted=accept)
    samples = reference.samples
    conversion = Conversion(rows=samples.rows, given=samples.given > 0)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        made = Path(temporary, LITE_FILE)
        try:
            _check_convertible(saved_model, operations)
            made.write_bytes(_converted(saved_model, contract.signature))
            sizes_are_open = any(
                None in (spec.row_shape or ()) for spec in reference.signature.inputs.values()
            )
            objections.add(_checks(operations.checks(sizes_are_open=sizes_are_open)))
            found = operators(made.read_bytes(), contract.signature)
            objections.add(_fault(found))
            load = _loader(made, contract.signature, reference)
            lite = load(PLAIN)
            bound = _bound(lite, contract, labels, reference.signature)
            calls = _calls(load, lite, found, reference, bound)
            lite = load(calls)
            answers = _answers(lite, reference)
            measured = max(reference.difference(name, answers) for name in bound.outputs)
            objections.add(_difference(measured, reference, answers, bound))
            objections.add(_at_edges(lite, reference, bound))
            if (says := reference.predicted_by(lite)) is not None:
                objections.add(f"converted, it predicts an item that TensorFlow refuses ({says})")
        except (_NotConverted, ModelError) as error:
            refused = str(error)[:MAX_REFUSED_CHARACTERS]
            conversion = msgspec.structs.replace(conversion, can_be_accepted=isinstance(error, _Objected))
            return msgspec.structs.replace(conversion, difference=_finite(measured), refused=refused), PLAIN
        made.rename(folder / LITE_FILE)
    accepted = objections.first and objections.first[:MAX_REFUSED_CHARACTERS]
    return msgspec.structs.replace(conversion, difference=_finite(measured), accepted=accepted), calls


def _finite(measured: float | None) -> float | None:
    return measured if measured is not None and isfinite(measured) else None


def _check_convertible(saved_model: Path, operations: Reached) -> None:
    """Raises for what is not even tried."""
    size = sum(file.stat().st_size for file in saved_model.rglob("*") if file.is_file())
    if size > MAX_FROZEN_BYTES:
        raise _NotConverted(f"it has {size:,} bytes, and only up to {MAX_FROZEN_BYTES:,} are converted")
    if writing := operations.writing():
        raise _NotConverted(f"it writes a variable ({writing[0].op}), which only TensorFlow can reset")


def _checks(checks: Sequence[str]) -> str | None:
    return f"it checks its values ({', '.join(checks)}), which LiteRT would leave out" if checks else None


def _fault(found: Sequence[LiteOperator]) -> str | None:
    """What LiteRT would do wrong in one of a model's operations."""
    faults = ((operator, fault_of(operator)) for operator in found)
    return next((f"of its {operator}, LiteRT checks less: {what}" for operator, what in faults if what), None)


def _loader(made: Path, signature: str, reference: Reference) -> Load:
    runtime = import_runtime("litert").LiteRTRuntime

    def load(calls: Calls) -> Runtime:
        layout = reference.layout
        if calls.item_at_a_time:
            layout = msgspec.structs.replace(layout, item_at_a_time=True)
        return arranged(runtime(made, signature, threads=1, calls=calls), layout)

    return load


def _calls(
    load: Load, lite: Runtime, found: Sequence[LiteOperator], reference: Reference, bound: Bound
) -> Calls:
    """How LiteRT is to be called; raises where no way gives an item's own answer, or only one that is slower."""
    state = next((operator for operator in found if operator.keeps_state), None)
    try:
        calls = how_to_call(
            load,
            lite,
            reference.samples.batches,
            bound.outputs,
            resets=[Calls(reset="variables")] if state else [],
            is_stateful=state is not None,
            to_the_bit=True,
        )
    except (Depends, ComputeError) as error:
        name = f" ({state})" if state else ""
        raise _NotConverted(
            f"converted, an item's answer depends on the items beside it or before it{name}"
        ) from error
    if calls.item_at_a_time and not reference.layout.item_at_a_time:
        raise _NotConverted("converted, an item's answer depends on the items beside it")
    return calls


def _converted(saved_model: Path, signature: str) -> bytes:
    try:
        converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model), signature_keys=[signature])
        return bytes(converter.convert())
    except Exception as error:  # many kinds, of models that LiteRT was not made for
        if missing := _MISSING_OPS.search(str(error)):
            raise _NotConverted(f"it has operations that LiteRT has not ({missing[1]})") from error
        raise _NotConverted(f"TensorFlow cannot convert it ({type(error).__name__})") from error


def _bound(
    lite: Runtime, contract: Contract, labels: Mapping[str, tuple[str, ...]], signature: Signature
) -> Bound:
    if (lite.inputs, set(lite.outputs)) != (signature.inputs, set(signature.outputs)):
        raise _NotConverted("converted, it has another signature")
    try:
        return bind(contract, Signature(lite.inputs, lite.outputs), labels)
    except BundleError as error:
        raise _NotConverted(f"converted, it does not fit its contract: {error}") from error


def _answers(lite: Runtime, reference: Reference) -> list[Tensors]:
    try:
        return reference.answers_of(lite)
    except ComputeError as error:
        raise _NotConverted(f"converted, it does not compute: {error}") from error


def _at_edges(lite: Runtime, reference: Reference, bound: Bound) -> str | None:
    """What LiteRT does otherwise with items at the edges."""
    try:
        if reference.differs_at_edges(lite, bound.outputs):
            return "converted, it answers otherwise at extreme values or sizes"
    except ComputeError as error:
        return f"converted, it refuses an item that TensorFlow predicts ({error})"
    return None


def _difference(found: float, reference: Reference, answers: Sequence[Tensors], bound: Bound) -> str | None:
    """Why the answers are not the same; None where they are."""
    if found > TOLERANCE:
        by = f"differ by {found:.1g}, more than {TOLERANCE}" if isfinite(found) else "are others"
        return f"converted, its outputs {by}"
    for name, output in bound.outputs.items():
        if output.contract.keep == "raw":
            continue
        for expected, answer in zip(reference.answers, answers, strict=True):
            of_both = of_results(expected[name], answer[name])
            if not np.array_equal(of_both[0].argmax(axis=-1), of_both[1].argmax(axis=-1)):
                return f"converted, the best score of its output {name!r} is another one"
    return None
