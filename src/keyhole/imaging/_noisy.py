"""Pixels of the array whose values scatter far more from exposure to exposure than their noise."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging._chances import chi_square_limit

__all__ = ["NoisyPixels"]

_FEWEST: Final = 4  # exposures from which on a scatter is one
_AT_ONCE: Final = 255
"""Exposures that are counted together."""
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
        # Small numbers are counted faster.
        self._recent, self._parts = np.zeros(shape, np.uint8), 0

    def part(self, box: tuple[slice, slice]) -> NoisyPixels:
        """The pixels in a box of the array; what is added to them, once each, is added here."""
        self._parts += 1
        if self._parts % _AT_ONCE == 0:
            self._settle()
        part = NoisyPixels((0, 0))
        part._squares, part._recent = self._squares[box], self._recent[box]
        return part

    @property
    def count(self) -> NDArray[np.int16]:
        """Exposures that told the deviation of each pixel."""
        self._settle()
        return self._count

    def _settle(self) -> None:
        self._count += self._recent
        self._recent[...] = 0

    def add(self, box: tuple[slice, slice], deviation: tuple[NDArray[np.float32], NDArray[np.bool_]]) -> None:
        """Take one exposure into account: deviations in sigma inside a box, finite, and where they are known.

        Changes the deviations.
        """
        values, known = deviation
        np.multiply(values, known, out=values)
        np.square(values, out=values)
        # Far faster than with a number.
        np.minimum(values, np.full_like(values, _MOST), out=values)
        self._squares[box] += values
        self._recent[box] += known.view(np.uint8)

    def found(self, probability: float) -> NDArray[np.bool_]:
        """Pixels whose sum of squares exceeds that of normal deviates with the given probability, (ny, nx)."""
        most = int(self.count.max(initial=0))
        limit = np.full(most + 1, np.inf, np.float32)
        limit[_FEWEST:] = [chi_square_limit(number, probability) for number in range(_FEWEST, most + 1)]
        return np.asarray(self._squares > limit[self._count])
