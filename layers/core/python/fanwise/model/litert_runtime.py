"""LiteRT behind `runtime.Runtime`: a `model.tflite` in an interpreter, on XNNPACK.

One interpreter with a thread for each vCPU, and not one interpreter of one thread for each: it computes as fast,
holds the weights once, and the model sees the whole mini-batch (ADR 11). Neither the size of a batch nor the
number of threads changes a bit of the answers. Measured with MobileNetV2 at 224x224x3, mini-batches of 8, one
process on a machine of two cores, in the last column with the JPEGs decoded by eight threads meanwhile:

| | load | first prediction | items/s | with decoding |
|---|---|---|---|---|
| one thread | 0.07 s | 0.10 s | 118 | 120 |
| one interpreter, two threads (this) | 0.07 s | 0.10 s | 250 | 198 |
| two interpreters of one thread, half of the rows each | 0.14 s | 0.12 s | 240 | 199 |

`import ai_edge_litert` takes 0.01 s where numpy is there; the process has 140 MB after its first mini-batch, where
with TensorFlow it has 844 MB. Python's lock is free while a batch is computed.

The only module that imports LiteRT; never TensorFlow.
"""

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from fanwise.errors import ModelError
from fanwise.model.arrays import numpy_dtype
from fanwise.model.bundle import LITE_FILE
from fanwise.model.calls import PLAIN, Calls
from fanwise.model.contract import DEFAULT_SIGNATURE
from fanwise.model.runtime import ComputeError, Tensors
from fanwise.model.signature import TensorSpec

Details = Mapping[str, Any]  # of a tensor, as the interpreter tells them

# What the interpreter says, once for each time that it failed before, without a break: what is wrong, and where.
_SAID = re.compile(r"(.*?)Node number (\d+) \((\w+)\) failed to (?:prepare|invoke)\.", re.DOTALL)
_UNKNOWN_OP = re.compile(
    r"Encountered unresolved custom op: (\w+)|Select TensorFlow op\(s\), included .*: (\w+)"
)


class LiteRTRuntime:
    """A signature of a LiteRT model in an interpreter of its own; tensors are allocated once for each shape."""

    def __init__(self, path: Path, signature: str, *, threads: int, calls: Calls = PLAIN) -> None:
        self._load = partial(_loaded, path, signature, threads, allocated=calls.reset == "variables")
        self._reset = calls.reset
        self._interpreter, self._run = self._load()
        # Read now: an interpreter that has computed tells some shapes as they were then.
        self.inputs: Mapping[str, TensorSpec] = _specs(self._run.get_input_details())
        outputs = _specs(self._run.get_output_details())
        # Without dimensions are a scalar and, of an operation such as a table's, what is as its input is.
        self.outputs: Mapping[str, TensorSpec] = {
            name: TensorSpec(spec.dtype, spec.shape or None) for name, spec in outputs.items()
        }
        self._feeds = {name: numpy_dtype(spec.dtype) for name, spec in self.inputs.items()}

    def predict(self, tensors: Tensors) -> dict[str, NDArray[Any]]:
        """The outputs for the inputs, by the signature's names, as arrays of their own. Raises `ComputeError`."""
        feeds = {name: _fed(tensors[name].astype(dtype, copy=False)) for name, dtype in self._feeds.items()}
        if self._reset is not None:
            self._make_fresh()
        try:
            outputs: dict[str, NDArray[Any]] = self._run(**feeds)
        except (ValueError, RuntimeError) as error:
            unknown = _UNKNOWN_OP.search(str(error))
            if unknown is None:
                raise ComputeError(_one_line(error), of_values=True) from error
            op = unknown[1] or unknown[2]
            raise ComputeError(
                f"it has the operation {op}, which LiteRT has not; export it without", of_values=False
            ) from error
        return outputs

    def _make_fresh(self) -> None:
        """Forget what earlier calls left: `reset_all_variables` knows variable tensors, not resource variables."""
        if self._reset == "variables":
            self._interpreter.reset_all_variables()
        else:
            self._interpreter, self._run = self._load()


def load(bundle: Path, signature: str, *, threads: int, calls: Calls = PLAIN) -> LiteRTRuntime:
    """Load a fetched bundle."""
    return LiteRTRuntime(bundle / LITE_FILE, signature, threads=threads, calls=calls)


class _Unsigned:
    """The first subgraph of a model without signatures, called as a signature is: tensors by their own names."""

    def __init__(self, interpreter: Any) -> None:
        self._interpreter = interpreter
        self._shapes: dict[str, tuple[int, ...]] = {}

    def get_input_details(self) -> dict[str, Details]:
        return {details["name"]: details for details in self._interpreter.get_input_details()}

    def get_output_details(self) -> dict[str, Details]:
        return {details["name"]: details for details in self._interpreter.get_output_details()}

    def __call__(self, **tensors: NDArray[Any]) -> dict[str, NDArray[Any]]:
        inputs = self.get_input_details()
        for name, tensor in tensors.items():
            self._interpreter.resize_tensor_input(inputs[name]["index"], tensor.shape)
        self._interpreter.allocate_tensors()
        for name, tensor in tensors.items():
            self._interpreter.set_tensor(inputs[name]["index"], tensor)
        self._interpreter.invoke()
        return {
            name: self._interpreter.get_tensor(details["index"])
            for name, details in self.get_output_details().items()
        }


def _loaded(path: Path, signature: str, threads: int, *, allocated: bool) -> tuple[Any, Any]:
    """An interpreter, and its signature to be called. `allocated`: it has tensors, so that they can be reset."""
    try:
        interpreter = Interpreter(str(path), num_threads=threads)
        if allocated:
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise ModelError(f"{path.name}: LiteRT cannot load it: {_one_line(error)}") from error
    return interpreter, _runner(interpreter, path.name, signature)


def _fed(tensor: NDArray[Any]) -> NDArray[Any]:
    """The tensor as the interpreter reads it: of a text without dimensions it would read an address as the text.

    It reads numpy's own text, which is never empty and does not keep NULs at its end.
    """
    if tensor.ndim or tensor.dtype.kind != "O":
        return tensor
    text: bytes = tensor.item()
    if not text or text.endswith(b"\0"):
        raise ComputeError(
            "LiteRT takes no text that is empty or ends with NUL where the input has no dimensions",
            of_values=True,
        )
    return np.array(text)


def _runner(interpreter: Any, model: str, signature: str) -> Any:
    known = interpreter.get_signature_list()
    if not known and signature == DEFAULT_SIGNATURE:
        return _Unsigned(interpreter)
    if signature not in known:
        raise ModelError(
            f"{model} has no signature {signature!r}; it has {', '.join(sorted(known)) or 'none'}"
        )
    return interpreter.get_signature_runner(signature)


def _specs(tensors: Mapping[str, Details]) -> dict[str, TensorSpec]:
    return {name: _spec(tensors[name]) for name in sorted(tensors)}


def _spec(details: Details) -> TensorSpec:
    dtype = np.dtype(details["dtype"])
    return TensorSpec(
        "string" if dtype.kind == "S" else dtype.name,
        tuple(None if size < 0 else int(size) for size in details["shape_signature"]),
    )


def _one_line(error: Exception) -> str:
    """What LiteRT says is wrong, and the operation that said it."""
    said = [f"{what.strip().rstrip('.') or 'failed'} ({op})" for what, _, op in _SAID.findall(str(error))]
    text = said[-1] if said else str(error)
    return " ".join(text.split())[:500].rstrip(".") or "no reason given"
