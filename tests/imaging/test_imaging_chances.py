"""Probabilities against those of scipy."""

from __future__ import annotations

import pytest
from scipy.special import fdtrc

from keyhole.imaging._chances import chance_of_f

FREEDOMS = [1, 2, 3, 4, 5, 8, 21, 99, 400, 2001]


@pytest.mark.parametrize("freedom", FREEDOMS)
def test_chance_of_f_is_that_of_scipy(freedom):
    for statistic in (0.0, 0.1, 1.0, 5.0, 30.0, 200.0, 1e9):
        assert chance_of_f(statistic, freedom) == pytest.approx(fdtrc(1, freedom, statistic), rel=1e-9, abs=1e-14)
