"""A few numbers that many measurements are judged by."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Mean", "excess_scatter", "robust_width", "weighted_mean"]


class Mean(NamedTuple):
    """A mean, its error and the number of values; NaN without any."""

    value: float
    error: float
    number: int


def robust_width(values: NDArray[np.float64]) -> float:
    """Give the standard deviation of a Gaussian with the same middle 68 %; NaN for less than two values."""
    if len(values) < 2:
        return float("nan")
    low, high = np.percentile(values, [15.865, 84.135])
    return float((high - low) / 2)


def excess_scatter(values: ArrayLike, errors: ArrayLike) -> float:
    """Give the scatter that is left when the known errors are taken out in quadrature.

    Parameters
    ----------
    values, errors : array_like, shape (n,)

    Returns
    -------
    float
        ``sqrt(robust_width**2 - median(errors**2))``, 0 where the errors explain all; NaN for less than three
        values.
    """
    known = np.asarray(values, np.float64)
    if known.size < 3:
        return float("nan")
    return float(np.sqrt(max(robust_width(known) ** 2 - float(np.median(np.square(errors))), 0.0)))


def weighted_mean(values: ArrayLike, errors: ArrayLike) -> Mean:
    """Give the mean with weights ``1 / errors**2``; its error is never below what the scatter tells.

    Parameters
    ----------
    values, errors : array_like, shape (n,)
    """
    known, weight = np.asarray(values, np.float64), 1.0 / np.square(np.asarray(errors, np.float64))
    if not known.size:
        return Mean(float("nan"), float("nan"), 0)
    mean = float((weight * known).sum() / weight.sum())
    formal = float(1.0 / np.sqrt(weight.sum()))
    chi2 = float((weight * (known - mean) ** 2).sum()) / max(known.size - 1, 1)
    return Mean(mean, formal * max(1.0, chi2**0.5), int(known.size))
