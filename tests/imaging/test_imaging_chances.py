"""Probabilities against those of scipy."""

from __future__ import annotations

import pytest
from scipy.special import chdtri, fdtrc

from keyhole.imaging._chances import chance_of_f, chi_square_limit

FREEDOMS = [1, 2, 3, 4, 5, 8, 21, 99, 400, 2001]


@pytest.mark.parametrize("freedom", FREEDOMS)
def test_chance_of_f_is_that_of_scipy(freedom):
    for statistic in (0.0, 0.1, 1.0, 5.0, 30.0, 200.0, 1e9):
        assert chance_of_f(statistic, freedom) == pytest.approx(fdtrc(1, freedom, statistic), rel=1e-9, abs=1e-14)


@pytest.mark.parametrize("probability", [1e-12, 1e-7, 0.01, 0.5])
@pytest.mark.parametrize("free", [1, 2, 3, 4, 5, 20, 64, 201])
def test_limit_of_a_sum_of_squares_is_that_of_the_chi_square_distribution(free: int, probability: float) -> None:
    assert chi_square_limit(free, probability) == pytest.approx(chdtri(free, probability), rel=1e-9)
