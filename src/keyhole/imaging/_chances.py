"""Probabilities of normal noise in closed form: the import of `scipy.special` costs more than most steps."""

from __future__ import annotations

import math
from typing import Final

__all__ = ["chance_of_f", "chi_square_limit"]

_HALVINGS: Final = 60


def chance_of_f(statistic: float, freedom: int) -> float:
    """Probability of an F of 1 and ``freedom`` degrees this large by chance, to about 1e-15.

    That of Student's t beyond the root of F (Abramowitz & Stegun 1964, 26.7.3 and 26.7.4).

    Parameters
    ----------
    statistic : float
        Not negative.
    freedom : int
        Positive.
    """
    angle = math.atan(math.sqrt(statistic / freedom))
    cosine, odd = math.cos(angle), freedom % 2
    term, total = (cosine if odd else 1.0), 0.0
    for k in range(odd + 1, freedom, 2):
        total += term
        term *= k / (k + 1) * cosine**2
    inside = math.sin(angle) * total
    return max(0.0, 1 - (2 / math.pi * (angle + inside) if odd else inside))


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
