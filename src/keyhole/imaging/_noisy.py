"""Pixels of the array whose values scatter far more from exposure to exposure than their noise."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging._chances import chi_square_limit

__all__ = ["NoisyPixels"]

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

    def part(self, box: tuple[slice, slice]) -> NoisyPixels:
        """The pixels in a box of the array; what is added to them is added here."""
        part = NoisyPixels((0, 0))
        part._squares, part._count = self._squares[box], self._count[box]
        return part

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
