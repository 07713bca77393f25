"""Noisy pixels put into darks are found there; maps of bad pixels mean what they say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import bdtrc, ndtr

from keyhole.errors import AlgorithmError
from keyhole.imaging import bad_pixels
from keyhole.imaging.bits import BAD, SATURATED

READ_NOISE = 10.0
bad_in_map, noisy_pixels, place_map = bad_pixels.bad_in_map, bad_pixels.noisy_pixels, bad_pixels.place_map


def quiet_darks(n: int, shape: tuple[int, int] = (200, 250)) -> Any:
    rng = np.random.default_rng(n)
    fixed = rng.normal(65, 5, shape)
    # The level of a whole dark may change; that is no noise of a pixel.
    return (fixed + rng.normal(0, READ_NOISE, (n, *shape)) + rng.normal(0, 30, (n, 1, 1))).astype(np.float32)


@pytest.mark.parametrize("n", [5, 10, 20, 45])
def test_quiet_pixels_are_not_noisy(n: int) -> None:
    assert noisy_pixels(quiet_darks(n), None, variance=READ_NOISE**2).sum() <= 1


@pytest.mark.parametrize("n", [8, 10, 30])
def test_noisy_and_jumping_pixels_are_found_and_single_cosmic_rays_are_not(n: int) -> None:
    darks = quiet_darks(n)
    before = darks.copy()
    rng = np.random.default_rng(7)
    noisy = np.zeros(darks.shape[1:], bool)
    noisy[50, 40:90] = True
    darks[:, 50, 40:90] += rng.normal(0, 15 * READ_NOISE, (n, 50))
    noisy[90, 40:90] = True
    darks[: max(2, n // 3), 90, 40:90] += 12 * READ_NOISE  # two levels
    darks[rng.integers(0, n, 300), rng.integers(100, 200, 300), np.arange(200)[rng.integers(0, 200, 300)]] += 3000
    found = noisy_pixels(darks, None, variance=READ_NOISE**2)
    assert found[noisy].mean() > 0.95
    assert found[~noisy].sum() <= 12  # those that two of the rays hit
    assert not noisy_pixels(before, None, variance=READ_NOISE**2)[noisy].any()


@pytest.mark.parametrize("n", [5, 11])
def test_pixels_are_judged_as_by_ordering_the_values_of_each(n: int) -> None:
    darks = quiet_darks(n)
    rng = np.random.default_rng(n)
    darks[:, ::3] *= rng.normal(1, 0.8, darks[:, ::3].shape).astype(np.float32)
    limit = np.float32(bad_pixels._QUASI_RANGE[n - bad_pixels.FEWEST_DARKS] * READ_NOISE)
    ordered = np.sort(darks - np.median(darks, axis=(1, 2), keepdims=True), axis=0)
    between = ordered[-2] - ordered[1]
    found = noisy_pixels(darks, None, variance=READ_NOISE**2)
    assert 100 < found.sum() < found.size / 3
    # The levels of the darks come from a sample: within 2 electrons of the limit it may decide.
    assert found[between > limit + 2].all()
    assert not found[between < limit - 2].any()


def test_few_darks_tell_no_noise_from_cosmic_rays() -> None:
    darks = quiet_darks(4)
    darks[:2] += np.float32(1e4) * (np.random.default_rng(0).random(darks.shape[1:]) < 0.5)
    assert not noisy_pixels(darks, None, variance=READ_NOISE**2).any()


def test_pixel_that_is_masked_in_any_dark_is_not_judged() -> None:
    darks = quiet_darks(6)
    darks[:, 10:12, 20] *= np.array([1, 5, 9, -5, 9, -9], np.float32)[:, None]
    masks = np.zeros(darks.shape, np.uint16)
    masks[3, 10, 20], masks[:, 11, 20] = BAD, SATURATED
    found = noisy_pixels(darks, masks, variance=READ_NOISE**2)
    assert not found[10, 20]
    assert found[11, 20]


@pytest.mark.parametrize("variance", [0.0, -1.0, np.nan])
def test_noise_needs_something_to_be_compared_with(variance: float) -> None:
    with pytest.raises(AlgorithmError, match="Noise cannot be judged"):
        noisy_pixels(quiet_darks(5), None, variance=variance)


def test_limits_are_what_one_normal_pixel_in_a_million_exceeds() -> None:
    x = np.linspace(-9, 9, 20001)
    density = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    for n, limit in enumerate(bad_pixels._QUASI_RANGE, start=bad_pixels.FEWEST_DARKS):
        second = n * (n - 1) * ndtr(x) * ndtr(-x) ** (n - 2) * density

        def excess(w: float, n: int = n, second: Any = second) -> float:
            above = np.clip(ndtr(-(x + w)) / ndtr(-x), 0, 1)
            return float(np.trapezoid(second * bdtrc(1, n - 2, above), x)) - 1e-6

        assert limit == pytest.approx(brentq(excess, 1, 12), abs=1e-3)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.uint16, np.float32, np.float64, bool])
def test_every_value_but_zero_and_the_surroundings_of_the_keyhole_is_bad(dtype: Any) -> None:
    values = np.array([[0, 1, 2, 64, 65, 255]]).astype(dtype)
    expected = [False, True, True, dtype is bool, True, True]
    assert bad_in_map(values)[0].tolist() == expected
    signed = np.array([[0, -1, -64, 1]], np.int16)
    assert bad_in_map(signed)[0].tolist() == [False, True, True, True]


def test_map_of_no_numbers_or_of_bad_pixels_alone_is_refused() -> None:
    with pytest.raises(AlgorithmError, match="2 of 4 values are no numbers"):
        bad_in_map(np.array([[0, 1], [np.nan, np.inf]], np.float32))
    with pytest.raises(AlgorithmError, match="all 4 pixels are bad"):
        bad_in_map(np.ones((2, 2), np.int16))


def test_map_is_cut_and_padded_to_the_part_of_the_detector() -> None:
    bad = np.zeros((6, 8), bool)
    bad[1, 2] = bad[5, 7] = True
    own = (10, 18, 20, 26)
    np.testing.assert_array_equal(place_map(bad, own, own), bad)
    np.testing.assert_array_equal(place_map(bad, own, (11, 15, 21, 25)), bad[1:5, 1:5])
    padded = place_map(bad, own, (8, 20, 19, 30))
    assert padded.shape == (11, 12)
    assert np.argwhere(padded).tolist() == [[2, 4], [6, 9]]


def test_map_of_another_place_or_of_another_size_than_its_section_is_refused() -> None:
    bad = np.zeros((6, 8), bool)
    with pytest.raises(AlgorithmError, match=r"shows \[11:18,21:26\] of the detector, where \[1:5,1:5\] is wanted"):
        place_map(bad, (10, 18, 20, 26), (0, 5, 0, 5))
    with pytest.raises(AlgorithmError, match=r"8 x 6 pixels where its section \[1:8,1:7\] is 8 x 7"):
        place_map(bad, (0, 8, 0, 7), (0, 5, 0, 5))


def test_what_the_keyhole_hides_is_no_flaw_in_a_mask_that_calls_most_pixels_bad() -> None:
    bad = np.ones((100, 120), bool)
    bad[45:60] = False  # the bar, from edge to edge: two large groups
    flaws = np.zeros(bad.shape, bool)
    flaws[50, 30] = flaws[52:58, 70:76] = True
    np.testing.assert_array_equal(bad_pixels.without_surroundings(bad | flaws), flaws)
    half = np.zeros(bad.shape, bool)
    half[:50] = True
    assert bad_pixels.without_surroundings(half) is half
