"""Probabilities of normal noise in closed form: the import of `scipy.special` costs more than most steps.

Formulae from Abramowitz & Stegun 1964, Handbook of Mathematical Functions, chapter 26.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

__all__ = ["chance_of_chi_square", "chance_of_f", "chi_square_limit"]

_ROUNDS: Final = 60
_EXACT: Final = 1e-12
"""Relative change of a limit at which it is known."""


def chance_of_f(statistic: float, freedom: int) -> float:
    """Probability of an F of 1 and ``freedom`` degrees this large by chance, to about 1e-15.

    That of Student's t beyond the root of F (26.7.3 and 26.7.4).

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


def chance_of_chi_square(value: float, freedom: int) -> float:
    """Probability of a sum of squares of so many normal deviates this large by chance (26.4.4 and 26.4.5).

    Parameters
    ----------
    value : float
        Positive.
    freedom : int
        Positive.
    """
    half = value / 2
    beyond = math.erfc(math.sqrt(half)) if freedom % 2 else 0.0
    # half**k / k!, for odd numbers half**(k - 1/2) / gamma(k + 1/2), as sums of logarithms.
    first = math.log(2 * math.sqrt(half / math.pi)) if freedom % 2 else 0.0
    if freedom == 1:
        return beyond
    steps = np.arange(1, freedom // 2) + 0.5 * (freedom % 2)
    logs = first + np.concatenate([[0.0], np.cumsum(math.log(half) - np.log(steps))])
    return beyond + float(np.exp(logs - half).sum())


def chi_square_limit(probability: float, freedom: int) -> float:
    """Sum of squares of so many normal deviates that is exceeded with a probability.

    Equal to ``scipy.special.chdtri(freedom, probability)``.

    Parameters
    ----------
    probability : float
        Between 0 and 1.
    freedom : int
        Positive.
    """
    # Newton's steps in the logarithm of the probability, between limits.
    low, high = 0.0, math.inf
    value = float(freedom)
    for _ in range(_ROUNDS):
        chance = chance_of_chi_square(value, freedom)
        low, high = (value, high) if chance > probability else (low, value)
        log_density = (freedom / 2 - 1) * math.log(value / 2) - value / 2 - math.lgamma(freedom / 2) - math.log(2)
        step = math.log(chance / probability) * chance / math.exp(log_density) if chance > 0 else -math.inf
        after = value + step
        if not low < after < high:
            after = 2 * value if math.isinf(high) else (low + high) / 2
        if abs(after - value) <= _EXACT * value:
            return after
        value = after
    return value
