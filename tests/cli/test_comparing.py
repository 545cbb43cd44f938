"""When two outputs are the same, and what items are made up to find out."""

import numpy as np
import pytest
from numpy.typing import NDArray

from fanwise.model.binding import Bound
from fanwise.model.contract import Contract, ImageInput
from fanwise.model.signature import TensorSpec
from fanwise_cli.comparing import difference, made_up

FAR = float("inf")


def floats(*values: float, dtype: str = "float32") -> NDArray[np.floating]:
    return np.array(values, dtype)


@pytest.mark.parametrize(
    ("expected", "found", "by"),
    [
        (floats(0.25, 0.5), floats(0.25, 0.5), 0.0),
        (floats(0.25, 0.5), floats(0.25, 0.75), 0.25),
        (floats(-100, 1), floats(-100, 3), 0.02),
        (floats(1, np.nan, np.inf), floats(1, np.nan, np.inf), 0.0),
        (floats(1, np.nan), floats(1, 2), FAR),
        (floats(1, 2), floats(1, np.nan), FAR),
        (floats(1, np.inf), floats(1, -np.inf), FAR),
        (floats(1, 2), floats(1, 2, dtype="float64"), FAR),
        (floats(1, 2), floats(1, 2)[None], FAR),
        (floats(60000, -60000, dtype="float16"), floats(-60000, -60000, dtype="float16"), 2.0),
        (floats(), floats(), 0.0),
        (np.array([1, 2]), np.array([1, 2]), 0.0),
        (np.array([1, 2]), np.array([1, 3]), FAR),
        (np.array([b"a"], object), np.array([b"a"], object), 0.0),
        (np.array([b"a"], object), np.array([b"b"], object), FAR),
    ],
)
def test_the_difference_of_two_outputs(
    expected: NDArray[np.generic], found: NDArray[np.generic], by: float
) -> None:
    assert difference(expected, found) == pytest.approx(by)


def test_made_up_items_are_what_the_contract_says_and_the_same_each_time() -> None:
    inputs = {
        "scan": TensorSpec("float32", (None, 8, 8, 3)),
        "photo": TensorSpec("uint8", (None, None, None, 3)),
        "x": TensorSpec("float32", (None, 5)),
        "n": TensorSpec("int64", (None, None)),
        "text": TensorSpec("string", (None,)),
    }
    contract = Contract(
        inputs={
            "scan": ImageInput(height=8, width=8, channels=3, scale=(-1, 1)),
            "photo": ImageInput(height=4, width=6, channels=3),
        }
    )
    bound = Bound({name: contract.input_of(name, spec) for name, spec in inputs.items()}, {})
    made = made_up(inputs, bound, 4)
    assert {name: (value.shape, value.dtype.name) for name, value in made.items()} == {
        "scan": ((4, 8, 8, 3), "float32"),
        "photo": ((4, 4, 6, 3), "uint8"),
        "x": ((4, 5), "float32"),
        "n": ((4, 1), "int64"),
        "text": ((4,), "object"),
    }
    assert made["scan"].min() < -0.95
    assert made["scan"].max() > 0.95
    assert (made["photo"].min(), made["photo"].max()) >= (0, 240)
    assert 0 <= made["x"].min() < made["x"].max() < 1
    for name, value in made_up(inputs, bound, 4).items():
        np.testing.assert_array_equal(value, made[name])
