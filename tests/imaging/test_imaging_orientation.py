"""Axes of a detector: what a header says against what is expected."""

from __future__ import annotations

import numpy as np
import pytest

from keyhole.imaging.orientation import AXIS_SIGNS, expected_matrix, reversal_words, reversed_axes

SCALE = 0.15


def turned(degrees):
    return expected_matrix(40.0 + degrees, SCALE)


def test_x_axis_lies_at_its_position_angle_and_y_a_quarter_turn_before():
    cd = expected_matrix(90.0, 3600.0)
    # +x points East, +y North; columns are the axes.
    np.testing.assert_allclose(cd, [[1.0, 0.0], [0.0, 1.0]], atol=1e-12)
    np.testing.assert_allclose(expected_matrix(90.0, 3600.0, mirrored=True), [[-1.0, 0.0], [0.0, 1.0]], atol=1e-12)


@pytest.mark.parametrize("signs", AXIS_SIGNS)
@pytest.mark.parametrize("error", [-4.0, 0.0, 7.0])
def test_reversal_is_found_in_spite_of_an_angle_of_some_degrees(signs, error):
    given = turned(error) * np.array(signs)
    assert reversed_axes(given, turned(0.0), tolerance=10.0) == signs


@pytest.mark.parametrize("angle", [15.0, 90.0, 165.0, -120.0])
def test_no_reversal_explains_another_angle(angle):
    assert reversed_axes(turned(angle), turned(0.0), tolerance=10.0) is None


def test_reversals_have_names():
    assert len({reversal_words(signs) for signs in AXIS_SIGNS}) == 4
    assert "180" in reversal_words((-1, -1))
