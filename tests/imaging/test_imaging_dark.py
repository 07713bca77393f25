"""Noise of a master dark against the truth it was made from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from keyhole.errors import AlgorithmError
from keyhole.imaging.bits import BAD
from keyhole.imaging.combine import combine
from keyhole.imaging.dark import dark_variance, measured_floor
from keyhole.imaging.noise import robust_sigma

READ_NOISE = 10.0


def make_darks(n: int, shape: tuple[int, int] = (200, 250), drift: float = 0.0) -> tuple[Any, Any, Any]:
    """Darks with offsets, dark current, hot pixels and cosmic rays; the true dark; its hot pixels."""
    rng = np.random.default_rng(n)
    signal = np.full(shape, 10.0)
    hot = rng.random(shape) < 0.02
    signal[hot] += 10 ** rng.uniform(2, 4, hot.sum())
    pattern = 55 + 5 * rng.normal(size=shape)
    pattern[::2] += 6
    darks = []
    for _ in range(n):
        frame = rng.poisson(signal) + pattern + rng.normal(0, READ_NOISE, shape) + drift * rng.normal()
        rays = rng.random(shape) < 1e-3
        frame[rays] += rng.uniform(200, 5000, rays.sum())
        darks.append(frame.astype(np.float32))
    return np.array(darks), signal + pattern, hot


@pytest.mark.parametrize("n", [3, 4, 10])
def test_floor_is_the_variance_of_an_ordinary_pixel(n: int) -> None:
    darks, _, _ = make_darks(n, drift=30.0)
    floor = measured_floor(darks, None, np.median(darks, axis=0), fallback=1.0)
    assert floor.measured
    assert floor.variance == pytest.approx(READ_NOISE**2 + 10, rel=0.03)


def test_master_variance_is_the_true_error_of_every_pixel() -> None:
    darks, truth, hot = make_darks(10)
    model = np.maximum(darks, 0) + READ_NOISE**2
    master = combine(darks, model, operation="mean", reject_method="varclip")
    floor = measured_floor(darks, None, master.data, fallback=1.0)
    variance = dark_variance(master.data, floor=floor.variance, used=10 - master.unused, mask=master.mask)
    pull = (master.data - truth) / np.sqrt(variance)
    assert robust_sigma(pull[~hot]) == pytest.approx(1, abs=0.03)
    assert robust_sigma(pull[hot]) == pytest.approx(1, abs=0.1)
    assert abs(np.median(pull)) < 0.05


@pytest.mark.parametrize("n", [1, 2])
def test_one_and_two_darks_fall_back_to_the_model(n: int) -> None:
    darks, _, _ = make_darks(n)
    assert measured_floor(darks, None, darks[0], fallback=110.0) == (110.0, False, 0)


def test_masked_pixels_are_left_out_and_all_masked_falls_back() -> None:
    darks, _, _ = make_darks(5)
    spoiled = darks.copy()
    spoiled[2, :150] = 1e4 * np.random.default_rng(0).random((150, 250))
    mask = np.zeros(darks.shape, np.uint16)
    mask[2, :150] = BAD
    floor = measured_floor(spoiled, mask, np.median(darks, axis=0), fallback=1.0)
    assert floor.variance == pytest.approx(READ_NOISE**2 + 10, rel=0.03)
    mask[:] = BAD
    assert not measured_floor(spoiled, mask, darks[0], fallback=1.0).measured


def test_pixel_that_no_dark_covers_has_no_variance() -> None:
    data = np.random.default_rng(1).normal(60, 3, (20, 20)).astype(np.float32)
    used = np.full(data.shape, 4)
    used[0, 0] = 0
    variance = dark_variance(data, floor=100, used=used)
    assert variance[0, 0] == 0
    assert np.median(variance) == 25


def test_floor_that_is_not_positive_is_refused() -> None:
    with pytest.raises(AlgorithmError, match="noise of 0"):
        dark_variance(np.ones((5, 5), np.float32), floor=0, used=3)
