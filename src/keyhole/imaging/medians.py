"""Medians of many values, exact, without ordering all of them."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["median"]

_WORTH_IT: Final = 30_000
"""Fewer values are ordered faster than they are counted."""
_SAMPLE: Final = 8_000
_MARGIN: Final = 5.0
"""Standard deviations of a sample's median, in ranks, from which the true median is looked for."""


def median(values: NDArray[Any]) -> float:
    """Median of finite values, the same to the last bit as `numpy.median`.

    A sample of the values tells limits between which the median lies; the values below are counted, and only
    those between are put in order, a few per cent: four times faster for a frame. If the sample has misled,
    everything is ordered.

    Parameters
    ----------
    values : array of any shape, at least one value, no NaN

    Returns
    -------
    float
    """
    values = np.asarray(values).ravel()
    if values.size < _WORTH_IT:
        return float(np.median(values))
    # The step is odd, as the patterns of detectors repeat at even distances.
    sample = np.sort(values[:: (values.size // _SAMPLE) | 1])
    reach = int(_MARGIN * 0.5 * sample.size**0.5) + 1
    middle = sample.size // 2
    low, high = sample[middle - reach], sample[middle + reach]
    first = (values.size - 1) // 2 - int(np.count_nonzero(values < low))
    second = first + 1 - values.size % 2
    between = values[(values >= low) & (values <= high)]
    if first < 0 or second >= between.size:
        return float(np.median(values))
    between.partition((first, second) if second > first else first)
    return float(np.mean(between[first : second + 1]))
