"""A bundle, loaded: items in, predictions out. PredictBatch's only way to `model`.

`encode` runs in the decode threads, one item at a time; `predict` in the main thread, on mini-batches of one fixed
size, the last one padded: TensorFlow's results depend in their last bits on the size, and on nothing else.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any, Self

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from fanwise.errors import (
    BundleError,
    ItemError,
    ModelError,
    PredictionFailed,
    ResultShapeMismatch,
    ResultTooLarge,
)
from fanwise.model import runtime as runtimes
from fanwise.model.arranging import arranged
from fanwise.model.binding import Bound, bind, mini_batch, most_at_once, read_labels, why_too_large
from fanwise.model.bundle import DIGEST_FILE, Digest, read_digest
from fanwise.model.calls import PLAIN
from fanwise.model.contract import Contract, ImageInput, InputContract, read_contract
from fanwise.model.inputs import Item, Values, check_uri_is_for_one, encoder, stacker
from fanwise.model.layout import Layout, batch_size, kept_outputs, layout_of
from fanwise.model.outputs import answers, together
from fanwise.model.runtime import ComputeError, Runtime
from fanwise.model.signature import Signature
from fanwise.model.synthetic import synthetic_inputs
from fanwise.records import Kind, ModelRef

MAX_SCORES = 10_000  # of an output, where all are asked for

Row = dict[str, NDArray[Any]]  # by the name of an input, without batch dimension
Stack = dict[str, NDArray[Any]]  # rows of the same shapes, batch first
Result = dict[str, object] | ItemError


class _NotOneRow(ComputeError):
    """An output has not one row for each item of a mini-batch."""

    def __init__(self, output: str, shape: tuple[int, ...], items: int) -> None:
        of_one = f"shape {list(shape)}" + (f" for {items} times the item" if items > 1 else "")
        super().__init__(
            f"output {output!r} has {of_one}, so it is not one row; model.json can drop it, or the model be"
            f" exported with batch size 1, where all rows are the item's",
            of_values=True,
        )


class Model:
    """A loaded model with its contract.

    `mini_batch` is the number of items it computes at once, `most_at_once` how many `stack` and `predict_stack`
    take in one go; `inputs` are what the contract says of each by the signature's names, `kinds` the kinds of the
    values by the names under which items carry them. `is_fetched`: rows are read from elsewhere or decoded
    (images), and not from the line alone, so that threads make them while the model works; else a thread costs
    more than it could do.
    """

    def __init__(
        self,
        contract: Contract,
        labels: Mapping[str, tuple[str, ...]],
        runtime: Runtime,
        *,
        layout: Layout | None = None,
        item_at_a_time: bool = False,
    ) -> None:
        """`layout` is what the trial found, else it is by the signature alone. Raises `BundleError`.

        `item_at_a_time`: the model is given one item a call, and copies of it where its signature wants more.
        """
        signature = Signature(runtime.inputs, runtime.outputs)
        if layout is None:
            layout = layout_of(signature, kept_outputs(contract, signature))
        if item_at_a_time:
            layout = msgspec.structs.replace(layout, item_at_a_time=True)
        runtime = arranged(runtime, layout)
        signature = layout.seen(signature)
        self._runtime = runtime
        self._row_shapes = layout.row_shapes
        self._bound: Bound = bind(contract, signature, labels)
        self.inputs: Mapping[str, InputContract] = self._bound.inputs
        one = layout.item_at_a_time
        self._rows: int = (batch_size(signature) or 1) if one else mini_batch(signature, self._bound)
        self.mini_batch: int = 1 if one else self._rows
        self.most_at_once: int = 1 if one else most_at_once(signature, self._bound, self.mini_batch)
        self.kinds: Mapping[str, Kind] = contract.kinds(runtime.inputs)
        self._encoders = {
            name: encoder(name, declared, runtime.inputs[name])
            for name, declared in self._bound.inputs.items()
        }
        self._stackers = {
            name: stacker(name, declared, runtime.inputs[name])
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

    def stack(self, items: Sequence[Values]) -> Stack | None:
        """The rows of many items in one go, from their `inputs`: what `encode` makes, in a fraction of the time.

        None where inputs are not of numbers, or one of the items is not plain: then each is to be encoded.
        """
        stack: Stack = {}
        for name, stacked in self._stackers.items():
            rows = None if stacked is None else stacked(items)
            if rows is None:
                return None
            stack[name] = rows
        return stack

    def predict(self, rows: Sequence[Row]) -> list[Result]:
        """The prediction of each row, at most `mini_batch` of them, or what is wrong with it, in their order.

        Where the runtime rejects a mini-batch, or an output has not one row an item, its rows are tried alone.
        Those that fail again are `PredictionFailed` or `ResultShapeMismatch`: all, if the model is at fault.
        """
        if len(rows) > self.mini_batch:
            raise ValueError(f"{len(rows)} rows are more than the mini-batch of {self.mini_batch}")
        results: dict[int, Result] = {}
        for positions in self._by_shape(rows):
            group = [rows[position] for position in positions]
            stack = {name: _stacked([row[name] for row in group]) for name in group[0]}
            results.update(zip(positions, self.predict_stack(stack), strict=True))
        return [results[position] for position in range(len(rows))]

    def predict_stack(self, stack: Stack) -> list[Result]:
        """`predict` of rows that are stacked already: `most_at_once` at most, in mini-batches, one by one."""
        rows = len(next(iter(stack.values())))
        try:
            return self._predictions(stack, rows)
        except ComputeError as error:
            if rows == 1:
                return [_failed(error)]
        pieces = _cut(stack, self.mini_batch if rows > self.mini_batch else 1)
        return [result for piece in pieces for result in self.predict_stack(piece)]

    def with_all_scores(self) -> Self:
        """The same model, which gives all scores (up to `MAX_SCORES`), best first, where it keeps the best."""
        every = {
            name: output
            if output.contract.keep == "raw"
            else output._replace(contract=replace(output.contract, keep="top_k", k=MAX_SCORES))
            for name, output in self._bound.outputs.items()
        }
        other = copy(self)
        other._bound = self._bound._replace(outputs=every)
        return other

    def synthetic_inputs(self) -> Stack:
        """A mini-batch of synthetic inputs, of sizes that the model was seen to compute."""
        return synthetic_inputs(self._runtime.inputs, self._bound, self._rows, self._row_shapes)

    def warm_up(self) -> None:
        """Compute once on synthetic inputs, so that no item waits for it. Raises `ModelError`.

        Their values a model may rightly reject; any other error is its own.
        """
        try:
            self._runtime.predict(self.synthetic_inputs())
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

    def _predictions(self, stack: Stack, rows: int) -> list[Result]:
        first, *others = (self._compute(piece) for piece in _cut(stack, self.mini_batch))
        tensors = {
            name: np.concatenate([first[name], *(other[name] for other in others)]) if others else first[name]
            for name in self._bound.outputs
        }
        shapes = {name: tensors[name].shape[1:] for name in self._bound.outputs}
        too_large = why_too_large(self._bound.outputs, shapes)
        if too_large is not None:  # before a value of it becomes an object of its own
            return [ResultTooLarge(too_large) for _ in range(rows)]
        columns = {
            output.written_as: answers(name, output, tensors[name][:rows])
            for name, output in self._bound.outputs.items()
        }
        return together(columns)

    def _compute(self, stack: Stack) -> dict[str, NDArray[Any]]:
        tensors = self._runtime.predict({name: self._padded(tensor) for name, tensor in stack.items()})
        for name in self._bound.outputs:
            shape = tensors[name].shape
            if not shape or shape[0] != self._rows:
                raise _NotOneRow(name, shape, self._rows)
        return tensors

    def _padded(self, tensor: NDArray[Any]) -> NDArray[Any]:
        """The tensor with the rows that the model is given, the missing ones copies of the first."""
        missing = self._rows - len(tensor)
        return np.concatenate([tensor, np.repeat(tensor[:1], missing, axis=0)]) if missing else tensor


def _failed(error: ComputeError) -> ItemError:
    """The error of the one item that was computed."""
    if isinstance(error, _NotOneRow):
        return ResultShapeMismatch(str(error))
    return PredictionFailed(f"the model failed on this item: {error}")


def _stacked(rows: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Rows of one shape as one tensor."""
    tensor = np.empty((len(rows), *rows[0].shape), rows[0].dtype)
    for position, row in enumerate(rows):
        # [()]: of a row without dimensions its value, which an array of objects would hold as an array
        tensor[position] = row[()]
    return tensor


def _cut(stack: Stack, size: int) -> Iterator[Stack]:
    """Stacks of so many rows each."""
    for begin in range(0, len(next(iter(stack.values()))), size):
        yield {name: tensor[begin : begin + size] for name, tensor in stack.items()}


def load(folder: Path, ref: ModelRef, *, memory_mb: int) -> Model:
    """Load and warm up a bundle that `bundle.fetch` put into `folder`. Raises `ModelError`, in one line.

    `memory_mb` is the function's memory size, which its threads go by.
    """
    try:
        path = folder / "model.json"
        contract = read_contract(path.read_bytes(), "model.json") if path.exists() else Contract()
        labels = {file: read_labels((folder / file).read_bytes(), file) for file in contract.label_files()}
        digest = _digest(folder)
        calls = digest.calls.get(ref.runtime, PLAIN) if digest else PLAIN
        runtime = runtimes.load(ref.runtime, folder, contract.signature, memory_mb=memory_mb, calls=calls)
        layout = (digest and digest.layout) or _tried(runtime, contract, labels)
        model = Model(contract, labels, runtime, layout=layout, item_at_a_time=calls.item_at_a_time)
        model.warm_up()
    except (BundleError, ModelError, OSError) as error:
        raise ModelError(f"model {ref.name}@{ref.version}: {error}") from error
    return model


def _tried(runtime: Runtime, contract: Contract, labels: Mapping[str, tuple[str, ...]]) -> Layout:
    """The layout of a bundle from before it was kept."""
    from fanwise.model.trial import try_out  # noqa: PLC0415 - others start without it

    return try_out(runtime, contract, labels).layout


def _digest(folder: Path) -> Digest | None:
    """What was found when the bundle was made; None of a folder without."""
    try:
        return read_digest((folder / DIGEST_FILE).read_bytes(), DIGEST_FILE)
    except FileNotFoundError:
        return None
