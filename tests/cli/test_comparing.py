"""When two outputs are the same."""

import numpy as np
import pytest
from numpy.typing import NDArray

from fanwise_cli.comparing import difference

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
