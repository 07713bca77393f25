"""Medians of many values, exact, without ordering all of them; of few, without what numpy loads for its own."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["distinct", "fair_sample", "median", "median_image", "sampled_median", "spread_places"]

_WORTH_IT: Final = 100_000
"""Fewer values are divided faster than they are counted."""
_SAMPLE: Final = 32_000
"""More leave fewer values between the limits: to pick these takes longest."""
_MARGIN: Final = 5.0
"""Standard deviations of a sample's median, in ranks, from which the true median is looked for."""
_FAIR_SAMPLE: Final = 150_000
"""Pixels that tell a median: to 0.4 per cent of the scatter."""


def fair_sample(chosen: NDArray[np.bool_], *planes: NDArray[Any], number: int = _FAIR_SAMPLE) -> list[NDArray[Any]]:
    """Values of planes on chosen pixels, of those above 150,000 pixels on those of some rows.

    Parameters
    ----------
    chosen : (ny, nx) bool
    planes : arrays (ny, nx)
    number : int
        Another number of pixels than 150,000; fewer tell what is smooth.

    Returns
    -------
    list of 1-D arrays
        One per plane, of the same pixels; all of them where the rows hold none.
    """
    # The step is odd, as the patterns of detectors repeat at even distances.
    step = max(chosen.size // number, 1) | 1
    some = chosen[::step]
    if not some.any():
        step, some = 1, chosen
    return [plane[::step][some] for plane in planes]


def spread_places(chosen: NDArray[np.bool_], number: int) -> NDArray[np.intp]:
    """Flat positions of about so many of the chosen pixels, spread evenly over all of them.

    Parameters
    ----------
    chosen : bool array of any shape
    number : int

    Returns
    -------
    (n,) intp, ascending
        At least half of `number` if so many are chosen; more than twice of it never.
    """
    flat = chosen.ravel()
    # The step is odd, as the patterns of detectors repeat at even distances.
    step = (flat.size // number) | 1
    places = np.flatnonzero(flat[::step]) * step
    if 2 * places.size < number:
        places = np.flatnonzero(flat)
        places = places[:: (places.size // number) | 1]
    return places


def median(values: ArrayLike) -> float:
    """Median of all values, the same to the last bit as `numpy.median`.

    The values are divided at one rank; the rank below is the largest of the lower half. `numpy.median` divides at
    three ranks, which takes ten times longer for tens of thousands of values. Of many values a sample tells limits
    between which the median lies; the values below are counted, and only those between are divided, a few per
    cent. If the sample has misled, all of them are.

    Parameters
    ----------
    values : array of any shape

    Returns
    -------
    float
        NaN without values, or if any of them is.
    """
    values = np.asarray(values).ravel()
    # The largest of some values is NaN if any of them is.
    if not values.size or np.isnan(values.max()):
        return float("nan")
    upper = values.size // 2
    if values.size < _WORTH_IT:
        return _middle(values.copy(), upper, even=values.size % 2 == 0)
    # The step is odd, as the patterns of detectors repeat at even distances.
    sample = np.sort(values[:: (values.size // _SAMPLE) | 1])
    reach = int(_MARGIN * 0.5 * sample.size**0.5) + 1
    centre = sample.size // 2
    low, high = sample[centre - reach], sample[centre + reach]
    rank = upper - int(np.count_nonzero(values < low))
    between = values[(values >= low) & (values <= high)]
    if rank < 1 or rank >= between.size:
        return _middle(values.copy(), upper, even=values.size % 2 == 0)
    return _middle(between, rank, even=values.size % 2 == 0)


def median_image(planes: ArrayLike) -> NDArray[np.float64]:
    """Median of a few arrays of one shape, place by place; the same as ``numpy.median(planes, axis=0)``.

    Parameters
    ----------
    planes : (n, ...) array, n > 0

    Returns
    -------
    (...) array
        NaN where any value is.
    """
    ordered = np.sort(planes, axis=0)
    n = len(ordered)
    middle = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
    # NaN is sorted to the end.
    return np.where(np.isnan(ordered[-1]), np.nan, middle)


def distinct(values: NDArray[Any]) -> NDArray[Any]:
    """Each value once, ascending; the same as `numpy.unique`.

    Parameters
    ----------
    values : (n,) array without NaN
    """
    ordered = np.sort(values)
    first = np.ones(ordered.shape, bool)
    first[1:] = ordered[1:] != ordered[:-1]
    return np.asarray(ordered[first])


def _middle(values: NDArray[Any], rank: int, *, even: bool) -> float:
    """The value of a rank, or the mean of it and the one below. Changes `values`."""
    values.partition(rank)
    if not even:
        return float(values[rank])
    values[rank - 1] = values[:rank].max()
    return float(np.mean(values[rank - 1 : rank + 1]))


def sampled_median(values: NDArray[Any], chosen: NDArray[np.bool_] | None = None, *, number: int = 10_000) -> float:
    """Median of about so many of the chosen values, at regular distances; of all where none of these is chosen.

    Parameters
    ----------
    values : array of any shape
    chosen : bool array of the same shape, optional
        All if not given.
    number : int

    Returns
    -------
    float
        NaN without values.
    """
    flat = values.ravel()
    size = flat.size if chosen is None else int(np.count_nonzero(chosen))
    # The step is odd, as the patterns of detectors repeat at even distances.
    step = max(size // number, 1) | 1
    if chosen is None:
        return median(flat[::step])
    some = flat[::step][chosen.ravel()[::step]]
    return median(some if some.size else values[chosen])
