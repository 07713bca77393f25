"""Probabilities against those of scipy."""

from __future__ import annotations

import pytest
from scipy.special import chdtrc, chdtri, fdtrc

from keyhole.imaging._chances import chance_of_chi_square, chance_of_f, chi_square_limit

FREEDOMS = [1, 2, 3, 4, 5, 8, 21, 99, 400, 2001]


@pytest.mark.parametrize("freedom", FREEDOMS)
def test_chance_of_f_is_that_of_scipy(freedom):
    for statistic in (0.0, 0.1, 1.0, 5.0, 30.0, 200.0, 1e9):
        assert chance_of_f(statistic, freedom) == pytest.approx(fdtrc(1, freedom, statistic), rel=1e-9, abs=1e-14)


@pytest.mark.parametrize("freedom", FREEDOMS)
def test_chance_of_chi_square_is_that_of_scipy(freedom):
    for value in (0.1, 0.5 * freedom, freedom, 1.5 * freedom, 3 * freedom + 30.0):
        assert chance_of_chi_square(value, freedom) == pytest.approx(chdtrc(freedom, value), rel=1e-9, abs=1e-300)


@pytest.mark.parametrize("freedom", FREEDOMS)
@pytest.mark.parametrize("probability", [0.9, 0.5, 0.01, 1e-6, 1e-12])
def test_limit_of_chi_square_is_that_of_scipy(freedom, probability):
    assert chi_square_limit(probability, freedom) == pytest.approx(chdtri(freedom, probability), rel=1e-9)
