"""Floats of fewer bits than Python's, in the shortest decimal that reads back the same.

0.98, not 0.9800000190734863: a prediction is written as JSON, where a
float32 would otherwise carry digits that say nothing.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Digits that every decimal survives a round trip with, and that every float survives one with (IEEE 754).
_DIGITS = {np.dtype(np.float16): (3, 5), np.dtype(np.float32): (6, 9)}
_EXACT_POWER = 22  # 10**22 is the last power of ten that a float64 holds exactly
_POWERS = 10.0 ** np.arange(_EXACT_POWER + 1)


def shortest(array: NDArray[Any]) -> NDArray[np.float64]:
    """The float64 nearest to the shortest decimal of each value, for float16, float32 or float64 of any shape.

    Python, and JSON, write that float64 as that decimal. Values that are not finite stay as they are.
    """
    wide = array.astype(np.float64)
    if array.dtype not in _DIGITS:
        return wide
    fewest, most = _DIGITS[array.dtype]
    # A quotient of two exact float64 is the float64 nearest to the decimal, so only magnitudes whose power of
    # ten is exact go this way, as whole arrays; the few others by numpy's own printing, each at a time.
    magnitude = np.abs(wide)
    least = max(10.0 ** (most - _EXACT_POWER), float(np.finfo(array.dtype).tiny))
    plain = (magnitude >= least) & (magnitude < 10.0**15)
    exponent = np.floor(np.log10(np.where(plain, magnitude, 1.0))).astype(np.int64)
    result = wide.copy()
    for digits in range(most, fewest - 1, -1):
        places = digits - 1 - exponent
        power = _POWERS[np.minimum(np.abs(places), _EXACT_POWER)]
        decimal = np.where(places >= 0, _rounded(wide * power) / power, _rounded(wide / power) * power)
        np.copyto(result, decimal, where=plain & (decimal.astype(array.dtype) == array))
    odd = ~plain & np.isfinite(wide) & (wide != 0)
    result[odd] = [float(str(value)) for value in array[odd]]
    return result


def _rounded(array: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rounded to whole numbers, halves away from zero: there floats lie as far apart or farther."""
    return np.trunc(array + np.copysign(0.5, array))
