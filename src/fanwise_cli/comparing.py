"""Two forms of one model on the same sample items: what both have to answer before one stands for the other.

`freezing` and `converting` hold what they make against a `Reference`. The samples are synthetic, from signature
and contract, edges included (`edge_items`); a person's own items (`sample_items`) come beside them. One mini-batch
is computed twice, and in another order.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fanwise.model.binding import Bound
from fanwise.model.layout import Layout
from fanwise.model.model import Model, Row
from fanwise.model.runtime import ComputeError, Runtime, Tensors
from fanwise.model.signature import Signature
from fanwise.model.synthetic import synthetic_inputs
from fanwise_cli.edge_items import edge_items

_PLAIN = Layout()

MIN_ROWS = 8  # usual synthetic items, whatever the mini-batch
# At the edges rounding is amplified (a sum of millions, and then a tanh), and only what is another answer counts.
EDGE_TOLERANCE = 1e-2
REJECTED = "it rejects synthetic items, so the two could not be compared"


@dataclass(frozen=True)
class Samples:
    """Sample items as mini-batches; `rows` of them are other than the rest, `given` of these a person's own.

    `edges` are further mini-batches, of items at the edges of what the signature leaves open.
    """

    rows: int
    batches: Sequence[Tensors]
    given: int = 0
    edges: Sequence[Tensors] = ()

    def __str__(self) -> str:
        synthetic = f"{self.rows - self.given} synthetic items"
        if not self.given:
            return synthetic
        own = "1 of your items" if self.given == 1 else f"{self.given} of your items"
        return own if self.given == self.rows else f"{synthetic} and {own}"


@dataclass(frozen=True)
class Reference:
    """A model's answers to sample items, mini-batch by mini-batch.

    `refused` are the mini-batches of one item, filled up with copies of it, that the model rejects, with
    what it says.
    Another form is to be `arranged` alike.
    """

    signature: Signature
    samples: Samples
    answers: Sequence[Tensors]
    refused: Sequence[tuple[Tensors, str]] = ()
    layout: Layout = _PLAIN
    at_edges: Sequence[Tensors] = ()

    @classmethod
    def of(cls, runtime: Runtime, samples: Samples, layout: Layout = _PLAIN) -> Self:
        """The answers of a loaded model, arranged. Raises `ComputeError` where it rejects all samples."""
        refused: list[tuple[Tensors, str]] = []
        batches, answers = _accepted(runtime, samples.batches, refused)
        edges, at_edges = _accepted(runtime, samples.edges, refused)
        if not answers:
            batches, answers, edges, at_edges = edges, at_edges, [], []
        if not answers and refused:
            raise ComputeError(refused[0][1], of_values=True)
        accepted = Samples(samples.rows, batches, samples.given, edges)
        signature = Signature(runtime.inputs, runtime.outputs)
        return cls(signature, accepted, answers, refused, layout, at_edges)

    def answers_of(self, other: Runtime) -> list[Tensors]:
        """What another form of the model answers. Raises `ComputeError`."""
        return [other.predict(batch) for batch in self.samples.batches]

    def differs_at_edges(self, other: Runtime, outputs: Iterable[str]) -> bool:
        """Whether another form answers otherwise at the edges, by more than rounding. Raises `ComputeError`."""
        named = tuple(outputs)
        return any(
            largest_difference(named, expected, other.predict(batch)) > EDGE_TOLERANCE
            for batch, expected in zip(self.samples.edges, self.at_edges, strict=True)
        )

    def predicted_by(self, other: Runtime) -> str | None:
        """What the model says of an item that it rejects, and that another form predicts; None: there is none."""
        for batch, says in self.refused:
            try:
                other.predict(batch)
            except ComputeError:
                continue
            return says
        return None

    def difference(self, output: str, answers: Sequence[Tensors]) -> float:
        """The largest `difference` of an output in any mini-batch, items aside that are dead letters in both."""
        pairs = zip(self.answers, answers, strict=True)
        return max(difference(*of_results(expected[output], found[output])) for expected, found in pairs)


def _accepted(
    runtime: Runtime, batches: Iterable[Tensors], refused: list[tuple[Tensors, str]]
) -> tuple[list[Tensors], list[Tensors]]:
    """The mini-batches that the model accepts, and its answers; what it does not is added to `refused`."""
    accepted: list[Tensors] = []
    answers: list[Tensors] = []
    for batch in batches:
        for piece, answer in _answered(runtime, batch):
            if isinstance(answer, ComputeError):
                refused.append((piece, str(answer)))
            else:
                accepted.append(piece)
                answers.append(answer)
    return accepted, answers


def _answered(runtime: Runtime, batch: Tensors) -> Iterator[tuple[Tensors, Tensors | ComputeError]]:
    """A mini-batch with its answer; where it is rejected, each of its items alone."""
    try:
        answers = runtime.predict(batch)
    except ComputeError as error:
        if not error.of_values:
            raise
    else:
        yield batch, answers
        return
    size = rows_of(batch)
    rows = [{name: tensor[row : row + 1] for name, tensor in batch.items()} for row in range(size)]
    for one in {key_of(one): one for one in rows}.values():
        alone = {name: np.repeat(tensor, size, axis=0) for name, tensor in one.items()}
        answer: Tensors | ComputeError
        try:
            answer = runtime.predict(alone)
        except ComputeError as error:
            if not error.of_values:
                raise
            answer = error
        yield alone, answer


def rows_of(batch: Tensors) -> int:
    """How many rows a mini-batch has."""
    return len(next(iter(batch.values())))


def key_of(row: Tensors) -> bytes:
    """What rows of the same values have in common."""
    return b"|".join(
        repr(tensor.tolist()).encode() if tensor.dtype.kind == "O" else tensor.tobytes()
        for tensor in row.values()
    )


def samples_for(model: Model, signature: Signature, own: Samples | None, *, edges: bool) -> Samples:
    """Synthetic items, with or without edges, and a person's own; `signature` is the model's as it is arranged.

    The first mini-batch comes twice, and once more in reverse.
    """
    inputs = signature.inputs
    usual = model.synthetic_inputs()
    shapes = {name: tensor.shape[1:] for name, tensor in usual.items()}
    rows = max(rows_of(usual), MIN_ROWS)
    made = synthetic_inputs(inputs, Bound(model.inputs, {}), rows, shapes)
    base: list[Row] = [{name: tensor[row, ...] for name, tensor in made.items()} for row in range(rows)]
    edge_rows = edge_items(inputs, model.inputs, base[0]) if edges else []
    first, *others = mini_batches(base, model)
    backwards = {name: tensor[::-1].copy() for name, tensor in first.items()}
    batches = [first, *others, *(own.batches if own else ()), first, backwards]
    given = own.rows if own else 0
    return Samples(rows + len(edge_rows) + given, batches, given, list(mini_batches(edge_rows, model)))


def mini_batches(rows: Sequence[Row], model: Model) -> Iterator[Tensors]:
    """Mini-batches of rows of the same shapes, the last ones filled up with their first row, for a model."""
    size, filled = model.mini_batch, rows_of(model.synthetic_inputs())
    alike: dict[tuple[tuple[int, ...], ...], list[Row]] = {}
    for row in rows:
        alike.setdefault(tuple(array.shape for array in row.values()), []).append(row)
    for group in alike.values():
        for begin in range(0, len(group), size):
            batch = group[begin : begin + size]
            batch += batch[:1] * (filled - len(batch))
            yield {name: np.stack([row[name] for row in batch]) for name in batch[0]}


def of_results(expected: NDArray[Any], found: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Two outputs without the rows in which both hold NaN or infinity: dead letters, and no predictions."""
    if expected.dtype.kind != "f" or expected.shape != found.shape or not expected.ndim:
        return expected, found
    of_a_row = tuple(range(1, expected.ndim))
    finite = np.isfinite(expected).all(axis=of_a_row) | np.isfinite(found).all(axis=of_a_row)
    return expected[finite], found[finite]


def difference(expected: NDArray[Any], found: NDArray[Any]) -> float:
    """The largest difference of two outputs, as a share of the largest value expected, or of 1 if that is more.

    What is no float has to be equal, and so have shape, dtype, NaN and infinities: infinite where they are not.
    """
    if expected.shape != found.shape or expected.dtype != found.dtype:
        return float("inf")
    if expected.dtype.kind != "f":
        return 0.0 if np.array_equal(expected, found) else float("inf")
    finite = np.isfinite(expected)
    if not np.array_equal(expected[~finite], found[~finite], equal_nan=True):
        return float("inf")
    exact = expected[finite].astype(np.float64)
    size = max(1.0, float(np.max(np.abs(exact), initial=0.0)))
    largest = float(np.max(np.abs(exact - found[finite]), initial=0.0)) / size
    return largest if np.isfinite(largest) else float("inf")


def largest_difference(outputs: Iterable[str], expected: Tensors, found: Tensors) -> float:
    """The largest `difference` of any of these outputs, items aside that are dead letters in both."""
    return max((difference(*of_results(expected[name], found[name])) for name in outputs), default=0.0)
