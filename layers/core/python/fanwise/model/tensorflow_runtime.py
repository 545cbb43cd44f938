"""TensorFlow behind `runtime.Runtime`: a SavedModel in a session, as TensorFlow Serving runs it.

A session and not `tf.saved_model.load`, because it neither rebuilds the Python objects of the model nor goes
through eager execution, and it takes and gives numpy arrays. And a *frozen* copy of the model where there is one
(`frozen/`, made when the bundle is prepared, after both were seen to predict the same): with variables as
constants, TensorFlow folds and fuses them at the first call. Measured with MobileNetV2 at 224x224x3, oneDNN on,
one process with one thread, on a machine of two cores that was shared while it ran:

| | load | first prediction | items/s at 8 | 16 | 32 |
|---|---|---|---|---|---|
| tf.saved_model.load | 1.11 s | 0.78 s | 62 | 61 | 61 |
| the same, frozen at load | 2.11 s | 1.16 s | 86 | 79 | 72 |
| frozen graph, wrap_function | 0.75 s | 0.76 s | 71 | 81 | 81 |
| frozen graph in a session (this) | 0.13 s | 0.72 s | 90 | 79 | 79 |
| SavedModel in a session (this, where it cannot be frozen) | 1.11 s | 0.80 s | 70 | 66 | 65 |

The only module that imports TensorFlow; never Keras.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.core.protobuf import config_pb2

from fanwise.errors import ModelError
from fanwise.model.bundle import FROZEN, SAVED_MODEL
from fanwise.model.calls import PLAIN, Calls
from fanwise.model.runtime import ComputeError, Tensors
from fanwise.model.signature import Signature, TensorSpec

TAG = "serve"

_OF_VALUES = (tf.errors.InvalidArgumentError, tf.errors.OutOfRangeError)


class TensorFlowRuntime:
    """A signature of a SavedModel in a session of its own."""

    def __init__(self, folder: Path, signature: str, *, threads: int, calls: Calls = PLAIN) -> None:
        self._session = tf.compat.v1.Session(
            graph=tf.Graph(),
            config=tf.compat.v1.ConfigProto(
                intra_op_parallelism_threads=threads,
                inter_op_parallelism_threads=1,
                device_count={"GPU": 0},
            ),
        )
        definition = _load_into(self._session, folder, signature)
        found = signature_of(definition, f"{folder.name}: signature {signature!r}")
        self.inputs: Mapping[str, TensorSpec] = found.inputs
        self.outputs: Mapping[str, TensorSpec] = found.outputs
        self._feeds = {
            name: _feed_dtype(self._session, definition.inputs[name].name) for name in sorted(self.inputs)
        }
        self._fetches = sorted(self.outputs)
        self._call = _callable(
            self._session,
            feeds=[definition.inputs[name].name for name in self._feeds],
            fetches=[definition.outputs[name].name for name in self._fetches],
        )
        self._make_fresh = _resetting(self._session, calls.variables) if calls.variables else None

    def predict(self, tensors: Tensors) -> dict[str, NDArray[Any]]:
        """The outputs for the inputs, by the signature's names. Raises `ComputeError`."""
        feeds = [tensors[name].astype(dtype, copy=False) for name, dtype in self._feeds.items()]
        try:
            if self._make_fresh is not None:
                self._make_fresh()
            fetched = self._call(*feeds)
        except tf.errors.OpError as error:
            message = _one_line(error.message)
            raise ComputeError(message, of_values=isinstance(error, _OF_VALUES)) from error
        return {name: _plain(value) for name, value in zip(self._fetches, fetched, strict=True)}


def load(bundle: Path, signature: str, *, threads: int, calls: Calls = PLAIN) -> TensorFlowRuntime:
    """Load a fetched bundle: its frozen model, or where it was prepared without one its SavedModel."""
    frozen = bundle / FROZEN
    folder = frozen if frozen.is_dir() else bundle / SAVED_MODEL
    return TensorFlowRuntime(folder, signature, threads=threads, calls=calls)


def _callable(session: Any, *, feeds: Sequence[str], fetches: Sequence[str]) -> Any:
    """A function from the feeds to the fetches, that computes in the thread that calls it.

    The public `make_callable` hands each call to another thread, or, when it is told not to, reads options anew:
    32 rows of 20 numbers through three small layers take 310 µs so, 168 µs, and 20 µs by this, to the same bits.
    """
    options = config_pb2.CallableOptions(feed=feeds, fetch=fetches)
    options.run_options.inter_op_thread_pool = -1  # the caller's thread (RunOptions in config.proto)
    return session._make_callable_from_options(options)


def _resetting(session: Any, variables: Sequence[str]) -> Callable[[], None]:
    """A function that gives the named variables the values again that they have now, just loaded."""
    values: dict[Any, NDArray[Any]] = {}
    assigned: list[Any] = []
    try:
        with session.graph.as_default():
            for name in variables:
                node = session.graph.get_operation_by_name(name)
                handle, dtype = node.outputs[0], node.get_attr("dtype")
                is_resource = handle.dtype == tf.resource
                now = tf.raw_ops.ReadVariableOp(resource=handle, dtype=dtype) if is_resource else handle
                fed = tf.compat.v1.placeholder(dtype)
                values[fed] = session.run(now)
                assigned.append(
                    tf.raw_ops.AssignVariableOp(resource=handle, value=fed)
                    if is_resource
                    else tf.compat.v1.assign(handle, fed, validate_shape=False).op
                )
    except (KeyError, ValueError, tf.errors.OpError) as error:
        raise ModelError(f"its variable {name!r} cannot be reset: {_one_line(str(error))}") from error
    return partial(session.run, assigned, values)


def signature_of(definition: Any, where: str) -> Signature:
    """Names, dtypes and shapes of a `SignatureDef`; raises `ModelError` for tensors that are not dense."""
    return Signature(
        {name: _spec(info, f"{where}: input {name!r}") for name, info in sorted(definition.inputs.items())},
        {name: _spec(info, f"{where}: output {name!r}") for name, info in sorted(definition.outputs.items())},
    )


def _load_into(session: Any, folder: Path, signature: str) -> Any:
    """Load a SavedModel and answer its `SignatureDef`."""
    tf.get_logger().setLevel("ERROR")  # the loader is called deprecated, in favour of one that is slower here
    try:
        with session.graph.as_default():
            meta_graph = tf.compat.v1.saved_model.load(session, [TAG], str(folder))
    except (OSError, RuntimeError, ValueError, KeyError, tf.errors.OpError) as error:
        raise ModelError(f"{folder.name}: TensorFlow cannot load it: {_one_line(str(error))}") from error
    if signature not in meta_graph.signature_def:
        known = ", ".join(sorted(name for name in meta_graph.signature_def if not name.startswith("__")))
        raise ModelError(f"{folder.name} has no signature {signature!r}; it has {known or 'none'}")
    return meta_graph.signature_def[signature]


def _spec(info: Any, where: str) -> TensorSpec:
    if info.WhichOneof("encoding") != "name":
        raise ModelError(f"{where} is a sparse, ragged or composite tensor; export the model with dense ones")
    shape = None
    if not info.tensor_shape.unknown_rank:
        shape = tuple(None if dim.size < 0 else dim.size for dim in info.tensor_shape.dim)
    return TensorSpec(tf.dtypes.as_dtype(info.dtype).name, shape)


def _feed_dtype(session: Any, tensor: str) -> Any:
    dtype = session.graph.get_tensor_by_name(tensor).dtype
    return np.dtype(object) if dtype == tf.string else np.dtype(dtype.as_numpy_dtype)


def _plain(value: Any) -> NDArray[Any]:
    """An array of a dtype that numpy knows by itself."""
    # A text without dimensions comes as such: as an array of texts it would lose NULs at its end.
    array = np.array(value, object) if isinstance(value, bytes) else np.asarray(value)
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def _one_line(message: str) -> str:
    """What TensorFlow says is wrong, without the listing of the graph that follows."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(("Graph execution error", "Detected at node"))]
    text = (lines or ["no reason given"])[0]
    return text.split(" [Op:")[0].split("\t [[")[0].strip()[:500]
