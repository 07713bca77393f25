"""Flats made of a known response."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from keyhole.errors import AlgorithmError
from keyhole.imaging.bits import BAD, NONLINEAR, SATURATED, UNILLUMINATED
from keyhole.imaging.flat import Planes, divide_by_flat, lamp_difference, normalise, threshold_flat


def planes(value: float, variance: float, flag: int, shape: tuple[int, int] = (3, 4)) -> Planes:
    return Planes(
        np.full(shape, value, np.float32),
        np.full(shape, variance, np.float32),
        np.full(shape, flag, np.uint16),
    )


def test_lamp_difference_subtracts_and_adds_the_noise() -> None:
    result = lamp_difference(planes(35000, 300, NONLINEAR), planes(200, 40, BAD))
    assert (result.data == 34800).all()
    assert (result.variance == 340).all()
    assert (result.mask == NONLINEAR | BAD).all()
    with pytest.raises(AlgorithmError, match=r"\(3, 4\).*\(5, 4\)"):
        lamp_difference(planes(1, 1, 0), planes(1, 1, 0, (5, 4)))


def test_normalised_flat_has_a_level_of_one_in_its_good_pixels() -> None:
    rng = np.random.default_rng(2)
    flat = rng.normal(35000, 500, (50, 60)).astype(np.float32)
    mask = np.zeros(flat.shape, np.uint16)
    flat[:20], mask[:20] = 10, UNILLUMINATED
    flat[20], mask[20] = 60000, NONLINEAR
    for scale, statistic in (("median", np.median), ("mean", np.mean)):
        choice: Any = scale
        result = normalise(flat, np.full(flat.shape, 400, np.float32), mask, scale=choice)
        assert statistic(result.data[mask == 0]) == pytest.approx(1, abs=1e-5)
        assert result.level == pytest.approx(35000, rel=1e-2)
        np.testing.assert_allclose(result.variance, 400 / result.level**2, rtol=1e-5)


def test_flat_in_the_non_linear_range_is_normalised_by_what_is_usable() -> None:
    flat = np.full((4, 4), 50.0, np.float32)
    assert normalise(flat, flat, np.full((4, 4), SATURATED, np.uint16)).level == 50


def test_flat_without_light_cannot_be_normalised() -> None:
    dark = np.full((4, 4), -2.0, np.float32)
    with pytest.raises(AlgorithmError, match="lamp was on"):
        normalise(dark, dark, np.zeros((4, 4), np.uint16))
    with pytest.raises(AlgorithmError, match="none of its 16 pixels"):
        normalise(dark, dark, np.full((4, 4), BAD, np.uint16))


def test_unlit_pixels_become_one_and_noisy_pixels_are_never_amplified() -> None:
    rng = np.random.default_rng(3)
    flat = rng.normal(1, 0.02, (60, 80)).astype(np.float32)
    mask = np.zeros(flat.shape, np.uint16)
    flat[:20] = rng.normal(0, 0.002, (20, 80))
    flat[40, 40], flat[41, 50], flat[42, 60], flat[43, 70] = 0.1, 1.7, 20, np.nan
    flat[50, 50], mask[50, 50] = 0.005, BAD
    mask[45, 45] = SATURATED
    before = flat.copy()
    result = threshold_flat(flat, mask)
    assert (result.mask[:20] & UNILLUMINATED).all()
    assert result.mask[40, 40] == BAD
    assert result.mask[41, 50] == BAD
    assert result.mask[42, 60] == BAD
    assert result.mask[43, 70] == BAD
    assert result.mask[50, 50] == BAD
    assert result.mask[45, 45] == SATURATED
    flagged = (result.mask & (BAD | UNILLUMINATED)) > 0
    assert flagged.sum() == 20 * 80 + 5
    assert (result.data[flagged] == 1).all()
    np.testing.assert_array_equal(result.data[~flagged], flat[~flagged])
    np.testing.assert_array_equal(flat, before)
    assert (result.unlit, result.dead) == (20 * 80, 4)


def test_dead_pixels_among_lit_ones_are_bad_and_not_unlit() -> None:
    rng = np.random.default_rng(4)
    flat = rng.normal(1, 0.02, (120, 160)).astype(np.float32)
    mask = np.zeros(flat.shape, np.uint16)
    flat[:40] = rng.normal(0, 0.002, (40, 160))
    dead = np.zeros(flat.shape, bool)
    dead[70:84, 80:94] = dead[60, 20] = dead[41, 120] = True  # a group as large as those of real arrays
    flat[dead] = rng.normal(0, 0.002, dead.sum())
    for drawn in (False, True):
        if drawn:
            mask[:40] = UNILLUMINATED
        result = threshold_flat(flat, mask)
        np.testing.assert_array_equal((result.mask & BAD) != 0, dead)
        np.testing.assert_array_equal((result.mask & UNILLUMINATED) != 0, np.arange(120)[:, None] < np.full(160, 40))


def test_everything_dark_is_everything_flagged() -> None:
    result = threshold_flat(np.zeros((5, 5), np.float32), np.zeros((5, 5), np.uint16))
    assert (result.mask == UNILLUMINATED).all()
    assert (result.data == 1).all()


@pytest.mark.parametrize("known", [True, False])
def test_division_by_a_flat_adds_relative_variances(known: bool) -> None:
    rng = np.random.default_rng(3)
    shape = (150, 900)
    data, variance = (rng.uniform(1, 900, shape).astype(np.float32) for _ in range(2))
    flat, own = rng.uniform(-0.1, 1.5, shape).astype(np.float32), rng.uniform(0, 1e-3, shape).astype(np.float32)
    out, error = divide_by_flat(data, variance, flat, own if known else None)
    safe = np.where(flat > 0, flat, 1).astype(float)
    np.testing.assert_allclose(out, data / safe, rtol=1e-6)
    expected = (variance + (data / safe) ** 2 * (own if known else 0)) / safe**2
    np.testing.assert_allclose(error, expected, rtol=2e-6)
    assert out.dtype == error.dtype == np.float32
    assert divide_by_flat(data, None, flat, own)[1] is None


@pytest.mark.parametrize("value", [0.0, -0.3, np.nan])
def test_pixels_of_a_flat_without_a_response_leave_values_as_they_are(value: float) -> None:
    flat = np.full((4, 5), 2.0, np.float32)
    flat[1, 2] = value
    flat.flags.writeable = False
    ones = np.ones(flat.shape, np.float32)
    out, error = divide_by_flat(ones, ones, flat, None)
    assert error is not None
    assert (out[1, 2], error[1, 2]) == (1, 1)
    assert (out[0] == 0.5).all()
    assert (error[0] == 0.25).all()
