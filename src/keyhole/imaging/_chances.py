"""Probabilities of normal noise in closed form: the import of `scipy.special` costs more than most steps."""

from __future__ import annotations

import math

__all__ = ["chance_of_f"]


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
