"""The shortest decimal: against numpy's own printing, over all floats."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as stn

from fanwise.model.decimals import shortest


def digits_of(value: np.floating) -> int:
    """How many characters numpy's shortest form of a value has before its exponent."""
    return len(np.format_float_scientific(value, unique=True, trim="-").split("e")[0])


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_it_is_what_numpy_prints_and_reads_back_the_same(dtype: type[np.floating]) -> None:
    @given(stn.arrays(dtype, stn.array_shapes(max_dims=2, max_side=20), elements={"allow_nan": False}))
    def check(array: np.ndarray) -> None:
        found = shortest(array)
        np.testing.assert_array_equal(found.astype(dtype), array)
        for value, decimal in zip(array.flat, found.flat, strict=True):
            assert digits_of(decimal) == digits_of(value)

    check()


def test_every_half_float() -> None:
    array = np.arange(2**16, dtype=np.uint16).view(np.float16)
    array = array[np.isfinite(array)]
    found = shortest(array)
    np.testing.assert_array_equal(found.astype(np.float16), array)
    assert [digits_of(decimal) for decimal in found] == [digits_of(value) for value in array]


def test_single_floats_of_every_magnitude() -> None:
    bits = np.random.default_rng(1).integers(0, 2**32, 100_000, dtype=np.uint64).astype(np.uint32)
    array = bits.view(np.float32)
    array = array[np.isfinite(array)]
    np.testing.assert_array_equal(shortest(array).astype(np.float32), array)
    scores = np.random.default_rng(2).dirichlet(np.full(1000, 0.1), 20).astype(np.float32)
    np.testing.assert_array_equal(shortest(scores), scores.astype("U").astype(np.float64))


def test_as_people_write_them() -> None:
    array = np.array([0.98, 0.1, 1 / 3, 1e-20, 3e38, 0, 16777216, -2.5e-7, np.inf], np.float32)
    assert shortest(array).tolist() == [0.98, 0.1, 0.33333334, 1e-20, 3e38, 0.0, 16777216.0, -2.5e-7, np.inf]


def test_float64_stays_as_it_is() -> None:
    assert shortest(np.array([0.1, 1 / 3])).tolist() == [0.1, 1 / 3]
