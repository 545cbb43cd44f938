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
from tensorflow.core.protobuf import saved_model_pb2

from fanwise.errors import BundleError, ModelError
from fanwise.model.arranging import arranged
from fanwise.model.binding import Bound, bind
from fanwise.model.bundle import FROZEN, LITE_FILE, MAX_REFUSED_CHARACTERS, Conversion
from fanwise.model.contract import Contract
from fanwise.model.runtime import ComputeError, Runtime, Tensors, import_runtime
from fanwise.model.signature import Signature
from fanwise_cli.bundle_sources import GRAPH_FILE
from fanwise_cli.comparing import REJECTED, Reference
from fanwise_cli.freezing import MAX_FROZEN_BYTES

TOLERANCE = 1e-4

# What only complains of values. LiteRT leaves it out, and would predict where TensorFlow refuses.
_CHECKS = frozenset(("Assert", "CheckNumerics", "CheckNumericsV2"))
_MISSING_OPS = re.compile(r"^(?:TF Select|Custom) ops: (.+)$", re.MULTILINE)


class _NotConverted(Exception):
    """Why a model stays with TensorFlow."""


def convert(
    folder: Path,
    saved_model: Path,
    contract: Contract,
    labels: Mapping[str, tuple[str, ...]],
    reference: Reference | None,
) -> Conversion:
    """Write `model.tflite` into a bundle's folder if it answers as `reference`; says how they compare.

    `saved_model` is the model; where it could be frozen, the folder has that as `frozen/`.
    """
    if reference is None:
        return Conversion(refused=REJECTED)
    measured: float | None = None
    conversion = Conversion(rows=reference.samples.rows, given=reference.samples.given)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        made = Path(temporary, LITE_FILE)
        try:
            frozen = folder / FROZEN  # holds what the signature computes, and nothing else
            _check_convertible(saved_model, frozen if frozen.exists() else saved_model)
            made.write_bytes(_converted(saved_model, contract.signature))
            converted = import_runtime("litert").LiteRTRuntime(made, contract.signature, threads=1)
            lite = arranged(converted, reference.layout)
            bound = _bound(lite, contract, labels, reference.signature)
            answers = _answers(lite, reference)
            measured = max(reference.difference(name, answers) for name in bound.outputs)
            _check_same(measured, reference, answers, bound)
        except (_NotConverted, ModelError) as error:
            finite = measured if measured is not None and isfinite(measured) else None
            refused = str(error)[:MAX_REFUSED_CHARACTERS]
            return msgspec.structs.replace(conversion, difference=finite, refused=refused)
        made.rename(folder / LITE_FILE)
    return msgspec.structs.replace(conversion, difference=measured)


def _check_convertible(saved_model: Path, computes: Path) -> None:
    """Raises for what is not even tried; `computes` is the SavedModel whose graph is looked at."""
    size = sum(file.stat().st_size for file in saved_model.rglob("*") if file.is_file())
    if size > MAX_FROZEN_BYTES:
        raise _NotConverted(f"it has {size:,} bytes, and only up to {MAX_FROZEN_BYTES:,} are converted")
    model = saved_model_pb2.SavedModel.FromString((computes / GRAPH_FILE).read_bytes())
    for meta_graph in model.meta_graphs:
        graph = meta_graph.graph_def
        nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
        if checks := sorted({node.op for node in nodes} & _CHECKS):
            raise _NotConverted(f"it checks its values ({', '.join(checks)}), which LiteRT would leave out")


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


def _check_same(found: float, reference: Reference, answers: Sequence[Tensors], bound: Bound) -> None:
    if found > TOLERANCE:
        by = f"differ by {found:.1g}, more than {TOLERANCE}" if isfinite(found) else "are others"
        raise _NotConverted(f"converted, its outputs {by}")
    for name, output in bound.outputs.items():
        if output.contract.keep == "raw":
            continue
        for expected, answer in zip(reference.answers, answers, strict=True):
            if not np.array_equal(expected[name].argmax(axis=-1), answer[name].argmax(axis=-1)):
                raise _NotConverted(f"converted, the best score of its output {name!r} is another one")
