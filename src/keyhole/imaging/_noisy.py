"""Pixels of the array whose values scatter far more from exposure to exposure than their noise."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["NoisyPixels", "chi_square_limit"]

_HALVINGS: Final = 60
_FEWEST: Final = 4  # exposures from which on a scatter is one
_MOST: Final = 25.0
"""Square of the deviation that one exposure may contribute: one cosmic ray does not make a noisy pixel."""


class NoisyPixels:
    """Sum of the squared deviations of each pixel of an array.

    Parameters
    ----------
    shape : (ny, nx)
        Of the array.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._squares = np.zeros(shape, np.float32)
        self._count = np.zeros(shape, np.int16)

    def add(self, box: tuple[slice, slice], deviation: tuple[NDArray[np.float32], NDArray[np.bool_]]) -> None:
        """Take one exposure into account: deviations in sigma inside a box, and where they are known.

        Changes the deviations.
        """
        values, known = deviation
        np.minimum(np.square(values, out=values), np.float32(_MOST), out=values)
        np.add(self._squares[box], values, out=self._squares[box], where=known)
        self._count[box] += known

    def found(self, probability: float) -> NDArray[np.bool_]:
        """Pixels whose sum of squares exceeds that of normal deviates with the given probability, (ny, nx)."""
        most = int(self._count.max(initial=0))
        limit = np.full(most + 1, np.inf, np.float32)
        limit[_FEWEST:] = [chi_square_limit(number, probability) for number in range(_FEWEST, most + 1)]
        return np.asarray(self._squares > limit[self._count])


def chi_square_limit(free: int, probability: float) -> float:
    """Value that the sum of `free` squared normal deviates exceeds with a given probability.

    For a whole number the probability is a finite sum (Abramowitz & Stegun 1964, 26.4.4 and 26.4.5); the value is
    found by halving. `scipy.special.chdtri` gives the same, but takes a tenth of a second to be loaded.

    Parameters
    ----------
    free : int
        At least 1.
    probability : float
        Above 0, below 1.
    """
    low, high = 0.0, 2.0 * free + 100.0
    while _beyond(free, high) > probability:
        high *= 2
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _beyond(free, middle) > probability else (low, middle)
    return (low + high) / 2


def _beyond(free: int, value: float) -> float:
    """Probability that the sum of squares exceeds a value."""
    root = math.sqrt(value)
    odd = free % 2
    total = math.erfc(root / math.sqrt(2)) if odd else math.exp(-value / 2)
    term = math.sqrt(2 / math.pi) * math.exp(-value / 2) * root if odd else math.exp(-value / 2) * value / 2
    for k in range(3 if odd else 4, free + 1, 2):
        total += term
        term *= value / k
    return total
