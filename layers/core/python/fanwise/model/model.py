"""A bundle, loaded: items in, predictions out. PredictBatch's only way to `model`.

`encode` runs in the decode threads, one item at a time; `predict` in the main thread, on mini-batches of one fixed
size, the last one padded: TensorFlow's results depend in their last bits on the size, and on nothing else.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from fanwise.errors import BundleError, ItemError, ModelError, PredictionFailed, ResultTooLarge
from fanwise.model import runtime as runtimes
from fanwise.model.arrays import numpy_dtype
from fanwise.model.binding import Bound, bind, mini_batch, read_labels, row_shape, why_too_large
from fanwise.model.contract import Contract, ImageInput, read_contract
from fanwise.model.inputs import Item, check_uri_is_for_one, encoder
from fanwise.model.outputs import answers, failed
from fanwise.model.runtime import ComputeError, Runtime
from fanwise.model.signature import Signature
from fanwise.records import Kind, ModelRef

Row = dict[str, NDArray[Any]]


class Model:
    """A loaded model with its contract.

    `mini_batch` is the number of rows it computes at once; `kinds` are the kinds of the values by the names under
    which items carry them. `is_fetched`: rows are read from elsewhere or decoded (images), and not from the line
    alone, so that threads make them while the model works; else a thread costs more than it could do.
    """

    def __init__(self, contract: Contract, labels: Mapping[str, tuple[str, ...]], runtime: Runtime) -> None:
        signature = Signature(runtime.inputs, runtime.outputs)
        self._runtime = runtime
        self._bound: Bound = bind(contract, signature, labels)
        self.mini_batch: int = mini_batch(signature, self._bound)
        self.kinds: Mapping[str, Kind] = contract.kinds(runtime.inputs)
        self._encoders = {
            name: encoder(name, declared, runtime.inputs[name])
            for name, declared in self._bound.inputs.items()
        }
        self.is_fetched = "image" in self.kinds.values()
        self._images = tuple(
            declared.names(name)[0]
            for name, declared in self._bound.inputs.items()
            if isinstance(declared, ImageInput)
        )

    def encode(
        self,
        inputs: Mapping[str, msgspec.Raw],
        uri: str | None,
        read: Callable[[str], bytes],
        resolve_uri: Callable[[str], str],
    ) -> Row:
        """One item's row for each input of the signature, without batch dimension. Called from many threads.

        Raises `ItemError` of the stages parse, fetch, decode and shape; what else `read` raises passes.
        """
        item = Item(inputs, uri, read, resolve_uri)
        check_uri_is_for_one(self._images, item)
        return {name: encode(item) for name, encode in self._encoders.items()}

    def predict(self, rows: Sequence[Row]) -> list[dict[str, object] | ItemError]:
        """The prediction of each row, at most `mini_batch` of them, or what is wrong with it, in their order.

        Where the runtime rejects a mini-batch, its rows are tried alone, and those that fail again are
        `PredictionFailed`: all of them, if it rejects whatever it is given. Raises `ModelError` for a model whose
        outputs have not one row an item.
        """
        if len(rows) > self.mini_batch:
            raise ValueError(f"{len(rows)} rows are more than the mini-batch of {self.mini_batch}")
        results: dict[int, dict[str, object] | ItemError] = {}
        for positions in self._by_shape(rows):
            group = [rows[position] for position in positions]
            results.update(zip(positions, self._predict_group(group), strict=True))
        return [results[position] for position in range(len(rows))]

    def warm_up(self) -> None:
        """Compute once at the shapes to come, so that no item waits for it. Raises `ModelError`.

        The values are zeros and empty strings, which a model may rightly reject; any other error is its own.
        """
        try:
            self._compute([self._blank()])
        except ComputeError as error:
            if not error.of_values:
                raise ModelError(f"the model cannot compute: {error}") from error

    @staticmethod
    def _by_shape(rows: Sequence[Row]) -> Iterable[list[int]]:
        """Positions of rows of equal shapes; more than one group only where the signature leaves a size open."""
        groups: dict[tuple[tuple[int, ...], ...], list[int]] = {}
        for position, row in enumerate(rows):
            groups.setdefault(tuple(array.shape for array in row.values()), []).append(position)
        return groups.values()

    def _predict_group(self, rows: Sequence[Row]) -> list[dict[str, object] | ItemError]:
        try:
            return self._predictions(rows)
        except ComputeError as error:
            if len(rows) == 1:
                return [PredictionFailed(f"the model failed on this item: {error}")]
        return [result for row in rows for result in self._predict_group([row])]

    def _predictions(self, rows: Sequence[Row]) -> list[dict[str, object] | ItemError]:
        tensors = self._compute(rows)
        shapes = {name: tensors[name].shape[1:] for name in self._bound.outputs}
        too_large = why_too_large(self._bound.outputs, shapes)
        if too_large is not None:  # before a value of it becomes an object of its own
            return [ResultTooLarge(too_large) for _ in rows]
        columns = {
            output.written_as: answers(name, output, tensors[name][: len(rows)])
            for name, output in self._bound.outputs.items()
        }
        return [
            failed(values) or dict(zip(columns, values, strict=True))
            for values in zip(*columns.values(), strict=True)
        ]

    def _compute(self, rows: Sequence[Row]) -> dict[str, NDArray[Any]]:
        tensors = self._runtime.predict({name: self._padded([row[name] for row in rows]) for name in rows[0]})
        for name in self._bound.outputs:
            shape = tensors[name].shape
            if not shape or shape[0] != self.mini_batch:
                raise ModelError(
                    f"output {name!r} has shape {list(shape)} for {self.mini_batch} items, so not one row an item;"
                    f' model.json can "drop" it'
                )
        return tensors

    def _padded(self, rows: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """The rows as one tensor of `mini_batch` rows, the missing ones copies of the first."""
        tensor = np.empty((self.mini_batch, *rows[0].shape), rows[0].dtype)
        for position in range(self.mini_batch):
            # [()]: of a row without dimensions its value, which an array of objects would hold as an array
            tensor[position] = rows[position if position < len(rows) else 0][()]
        return tensor

    def _blank(self) -> Row:
        return {
            name: np.full(
                row_shape(self._bound.inputs[name], spec),
                b"" if spec.dtype == "string" else 0,
                numpy_dtype(spec.dtype),
            )
            for name, spec in self._runtime.inputs.items()
        }


def load(folder: Path, ref: ModelRef, *, memory_mb: int) -> Model:
    """Load and warm up a bundle that `bundle.fetch` put into `folder`. Raises `ModelError`, in one line.

    `memory_mb` is the function's memory size, which its threads go by.
    """
    try:
        path = folder / "model.json"
        contract = read_contract(path.read_bytes(), "model.json") if path.exists() else Contract()
        labels = {file: read_labels((folder / file).read_bytes(), file) for file in contract.label_files()}
        runtime = runtimes.load(ref.runtime, folder, contract.signature, memory_mb=memory_mb)
        model = Model(contract, labels, runtime)
        model.warm_up()
    except (BundleError, ModelError, OSError) as error:
        raise ModelError(f"model {ref.name}@{ref.version}: {error}") from error
    return model
