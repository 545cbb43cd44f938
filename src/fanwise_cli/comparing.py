"""Two forms of one model on the same sample items: what both have to answer before one may stand for the other.

`freezing` and `converting` hold what they make against a `Reference`. The samples are the person's own items
(`sample_items`), else synthetic inputs (`fanwise.model.synthetic`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fanwise.model.layout import Layout
from fanwise.model.runtime import Runtime, Tensors
from fanwise.model.signature import Signature

_PLAIN = Layout()

REJECTED = "it rejects synthetic items, so the two could not be compared"


@dataclass(frozen=True)
class Samples:
    """Sample items as mini-batches; `rows` of them are other than the rest. `given`: a person's own."""

    rows: int
    batches: Sequence[Tensors]
    given: bool = False

    def __str__(self) -> str:
        if not self.given:
            return f"{self.rows} synthetic items"
        return "1 of your items" if self.rows == 1 else f"{self.rows} of your items"


@dataclass(frozen=True)
class Reference:
    """A model's answers to sample items, mini-batch by mini-batch; another form is to be `arranged` alike."""

    signature: Signature
    samples: Samples
    answers: Sequence[Tensors]
    layout: Layout = _PLAIN

    @classmethod
    def of(cls, runtime: Runtime, samples: Samples, layout: Layout = _PLAIN) -> Self:
        """The answers of a loaded model, arranged. Raises `ComputeError` where it rejects a sample."""
        answers = [runtime.predict(batch) for batch in samples.batches]
        return cls(Signature(runtime.inputs, runtime.outputs), samples, answers, layout)

    def answers_of(self, other: Runtime) -> list[Tensors]:
        """What another form of the model answers. Raises `ComputeError`."""
        return [other.predict(batch) for batch in self.samples.batches]

    def difference(self, output: str, answers: Sequence[Tensors]) -> float:
        """The largest `difference` of an output in any mini-batch."""
        pairs = zip(self.answers, answers, strict=True)
        return max(difference(expected[output], found[output]) for expected, found in pairs)


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
