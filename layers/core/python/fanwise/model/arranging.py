"""A runtime behind a `Layout`: a batch dimension everywhere, so that the rest of `model` knows of nothing else."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from fanwise.model.layout import Layout
from fanwise.model.runtime import Runtime, Tensors
from fanwise.model.signature import Signature, TensorSpec


class _Arranged:
    """A runtime behind a layout: whatever has no batch dimension gets one, of one item."""

    def __init__(self, runtime: Runtime, layout: Layout) -> None:
        seen = layout.seen(Signature(runtime.inputs, runtime.outputs))
        self.inputs: Mapping[str, TensorSpec] = seen.inputs
        self.outputs: Mapping[str, TensorSpec] = seen.outputs
        self._runtime, self._layout = runtime, layout

    def predict(self, tensors: Tensors) -> dict[str, NDArray[Any]]:
        """The outputs for the inputs of one item, or of a mini-batch. Raises `ComputeError`."""
        if not self._layout.batched:
            # [0, ...]: an array also of a scalar, which [0] would make a number of Python
            tensors = {name: tensor[0, ...] for name, tensor in tensors.items()}
        found = self._runtime.predict(tensors)
        return {
            name: tensor[None] if name in self._layout.whole else tensor for name, tensor in found.items()
        }


def arranged(runtime: Runtime, layout: Layout) -> Runtime:
    """The runtime, with the signature that `Layout.seen` says, in tensors as in words."""
    plain = layout.batched and not layout.item_at_a_time
    return runtime if plain else _Arranged(runtime, layout)
