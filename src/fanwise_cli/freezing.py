"""A SavedModel → the same with its variables as constants (`frozen/`), if that changes nothing.

The last step of `prepare_bundle`; `fanwise.model.tensorflow_runtime` says why a frozen model is worth
having. The choice is made here, once, and is part of the bundle's digest: a bundle without
`frozen/` runs its SavedModel.
"""

import shutil
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from fanwise.errors import ModelError
from fanwise.model.arranging import arranged
from fanwise.model.bundle import FROZEN, SAVED_MODEL
from fanwise.model.runtime import ComputeError, Runtime
from fanwise.model.tensorflow_runtime import TAG, TensorFlowRuntime
from fanwise_cli.comparing import REJECTED, Reference

MAX_FROZEN_BYTES = (
    512 * 1024 * 1024
)  # a graph is in memory several times while it loads, and 2 GB is protobuf's end
TOLERANCE = 1e-5


class _NotFrozen(Exception):
    """Why a model stays as it is."""


def freeze(
    folder: Path, signature: str, reference: Reference | None, writes: str | None = None
) -> str | None:
    """Write `frozen/` beside `saved_model/`; answers with a note where the model is better left alone.

    `reference` is what the SavedModel answers, which the frozen one has to answer too; `writes` an operation that
    writes a variable, which is then no constant.
    """
    if writes is not None:
        return _note(f"it writes a variable ({writes})")
    if reference is None:
        return _note(REJECTED)
    target = folder / FROZEN
    try:
        _write_frozen(folder / SAVED_MODEL, target, signature)
        _check_same(reference, arranged(TensorFlowRuntime(target, signature, threads=1), reference.layout))
    except (_NotFrozen, ModelError) as error:
        shutil.rmtree(target, ignore_errors=True)
        return _note(str(error))
    return None


def _note(why: str) -> str:
    return f"TensorFlow runs it as it is, not frozen, which may be slower: {why}."


def _write_frozen(saved_model: Path, target: Path, signature: str) -> None:
    size = sum(file.stat().st_size for file in saved_model.rglob("*") if file.is_file())
    if size > MAX_FROZEN_BYTES:
        raise _NotFrozen(f"it has {size:,} bytes, and only up to {MAX_FROZEN_BYTES:,} are frozen")
    function, frozen = _frozen_function(saved_model, signature)
    names = [spec.name for spec in function.structured_input_signature[1].values()]
    inputs = {tensor.op.name: tensor for tensor in frozen.inputs}
    if set(names) != set(inputs):
        raise _NotFrozen("it refers to tables or other resources that are no constants")
    outputs = dict(zip(sorted(function.structured_outputs), frozen.outputs, strict=True))
    model = saved_model_pb2.SavedModel(saved_model_schema_version=1)
    meta_graph = model.meta_graphs.add()
    meta_graph.meta_info_def.tags.append(TAG)
    meta_graph.meta_info_def.tensorflow_version = tf.__version__
    meta_graph.graph_def.CopyFrom(frozen.graph.as_graph_def())
    definition = meta_graph.signature_def[signature]
    for described, tensors in ((definition.inputs, inputs), (definition.outputs, outputs)):
        for name, tensor in tensors.items():
            described[name].name = tensor.name
            described[name].dtype = tensor.dtype.as_datatype_enum
            described[name].tensor_shape.CopyFrom(tensor.shape.as_proto())
    target.mkdir()
    (target / "saved_model.pb").write_bytes(model.SerializeToString(deterministic=True))


def _frozen_function(saved_model: Path, signature: str) -> tuple[Any, Any]:
    try:
        model = tf.saved_model.load(str(saved_model))  # its variables live as long as it does
        function = model.signatures[signature]
        return function, convert_variables_to_constants_v2(function, lower_control_flow=False)
    except Exception as error:  # many kinds, of models that hold more than variables
        raise _NotFrozen(f"TensorFlow cannot freeze it ({type(error).__name__})") from error


def _check_same(reference: Reference, frozen: Runtime) -> None:
    signature = reference.signature
    if (signature.inputs, set(signature.outputs)) != (frozen.inputs, set(frozen.outputs)):
        raise _NotFrozen("frozen, it has another signature")
    try:
        answers = reference.answers_of(frozen)
    except ComputeError as error:
        raise _NotFrozen("frozen, it does not compute") from error
    for name in signature.outputs:
        if reference.difference(name, answers) > TOLERANCE:
            raise _NotFrozen(f"frozen, its output {name!r} differs by more than {TOLERANCE}")
    try:
        if reference.differs_at_edges(frozen, signature.outputs):
            raise _NotFrozen("frozen, it answers otherwise at extreme values or sizes")
    except ComputeError as error:
        raise _NotFrozen("frozen, it refuses extreme values or sizes") from error
    if (says := reference.predicted_by(frozen)) is not None:
        raise _NotFrozen(f"frozen, it predicts an item that the model refuses ({says})")
