"""A runtime whose model is a function of numpy arrays."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fanwise.model.runtime import ComputeError, Tensors
from fanwise.model.signature import TensorSpec

Shape = tuple[int | None, ...] | None
Compute = Callable[..., Any]


class FakeRuntime:
    """`compute` takes the inputs by name and gives an output, or several by name; `seen` are each call's inputs.

    What numpy raises is the runtime's `ComputeError`, as TensorFlow says that shapes do not fit.
    """

    def __init__(
        self,
        inputs: Mapping[str, Shape],
        outputs: Mapping[str, Shape],
        compute: Compute,
        dtype: str = "float32",
    ) -> None:
        self.inputs = {name: TensorSpec(dtype, shape) for name, shape in inputs.items()}
        self.outputs = {name: TensorSpec("float32", shape) for name, shape in outputs.items()}
        self.seen: list[Tensors] = []
        self._compute = compute

    def predict(self, tensors: Tensors) -> dict[str, NDArray[Any]]:
        for name, tensor in tensors.items():
            shape = self.inputs[name].shape
            assert isinstance(tensor, np.ndarray)
            assert shape is None or (
                tensor.ndim == len(shape)
                and all(want in (None, got) for got, want in zip(tensor.shape, shape, strict=True))
            ), f"{name} has shape {tensor.shape}, and takes {shape}"
        self.seen.append(tensors)
        try:
            found = self._compute(**tensors)
        except ValueError as error:
            raise ComputeError(str(error), of_values=True) from error
        given = found if isinstance(found, dict) else {next(iter(self.outputs)): found}
        return {name: np.asarray(value, np.float32) for name, value in given.items()}
