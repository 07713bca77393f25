from __future__ import annotations

import math

import numpy as np
import pytest

from keyhole.imaging.figures import background_left, background_tiles, limiting_flux, noise_growth


def noise(shape, sigma=10.0, seed=1):
    return np.random.default_rng(seed).normal(0, sigma, shape).astype(np.float32)


def test_background_is_that_of_the_quiet_pixels_with_its_error():
    data = noise((100, 120)) + 3
    quiet = np.ones(data.shape, bool)
    data[40:60, 40:60], quiet[40:60, 40:60] = 5000, False
    found = background_left(data, quiet)
    assert found.n == quiet.sum()
    assert found.noise == pytest.approx(10, rel=0.03)
    assert found.error == pytest.approx(math.sqrt(math.pi / 2) * found.noise / math.sqrt(found.n))
    assert abs(found.level - 3) < 4 * found.error


def test_error_of_the_background_is_the_scatter_of_repeated_measurements():
    quiet = np.ones((30, 30), bool)
    found = [background_left(noise((30, 30), seed=k), quiet) for k in range(300)]
    assert np.std([one.level for one in found]) == pytest.approx(np.mean([one.error for one in found]), rel=0.15)


def test_background_without_pixels_is_not_a_number():
    found = background_left(noise((5, 5)), np.zeros((5, 5), bool))
    assert found.n == 0 and math.isnan(found.level)


def test_tiles_of_noise_scatter_as_expected_and_a_slope_stands_out():
    data, quiet = noise((160, 640)), np.ones((160, 640), bool)
    flat = background_tiles(data, quiet, size=32)
    assert len(flat.level) == 100
    assert flat.rms == pytest.approx(flat.expected, rel=0.25)
    slope = np.linspace(-2, 2, 640, dtype=np.float32)
    tilted = background_tiles(data + slope, quiet, size=32)
    excess = math.sqrt(tilted.rms**2 - tilted.expected**2)
    assert excess == pytest.approx(4 / math.sqrt(12), rel=0.15)
    assert np.corrcoef(tilted.x, tilted.level)[0, 1] > 0.9


def test_tiles_lie_where_they_were_measured_and_those_full_of_stars_are_left_out():
    data, quiet = np.zeros((64, 96), np.float32), np.ones((64, 96), bool)
    data[32:, 64:] = 7
    quiet[:32, :20] = False
    found = background_tiles(data, quiet, size=32)
    assert (15.5, 15.5) not in zip(found.x, found.y, strict=True)
    assert len(found.level) == 5
    assert found.level[(found.x == 79.5) & (found.y == 47.5)] == 7


def test_correlated_noise_is_expected_to_scatter_more():
    data, quiet = noise((96, 96)), np.ones((96, 96), bool)
    one, two = (background_tiles(data, quiet, size=32, correlation=c).expected for c in (1.0, 1.5))
    assert two == pytest.approx(1.5 * one)


def test_limiting_flux_is_five_times_the_noise_of_the_circle():
    radius, sigma = 4.0, 3.0
    y, x = np.mgrid[-6:7, -6:7]
    circle = np.hypot(x, y) <= radius
    sums = [noise((13, 13), sigma, seed=k)[circle].sum() for k in range(2000)]
    assert limiting_flux(sigma, radius) == pytest.approx(5 * np.std(sums), rel=0.05)
    assert limiting_flux(sigma, radius, correlation=1.2, significance=3) == pytest.approx(
        0.6 * 1.2 * limiting_flux(sigma, radius)
    )


def grown(frames, weights=None, usable=None, quiet=None):
    shape = frames[0].shape
    usable = [np.ones(shape, bool)] * len(frames) if usable is None else usable
    quiet = np.ones(shape, bool) if quiet is None else quiet
    return noise_growth(iter(frames), iter(usable), quiet, weights=weights or [1.0] * len(frames))


def test_noise_of_independent_frames_falls_with_the_root_of_their_number():
    found = grown([noise((160, 320), seed=k) for k in range(9)])
    assert found.number.tolist() == list(range(1, 10))
    assert found.noise[0] == pytest.approx(10, rel=0.04)
    np.testing.assert_allclose(found.expected, 10 / np.sqrt(found.number), rtol=0.03)
    np.testing.assert_allclose(found.noise, found.expected, rtol=0.06)


def test_what_frames_have_in_common_does_not_average_out():
    common = np.repeat(np.repeat(noise((40, 80), 4, seed=99), 4, axis=0), 4, axis=1)
    found = grown([noise((160, 320), seed=k) + common for k in range(16)])
    # A pattern of cells of 4 x 4 pixels counts 4 times in a pixel.
    assert found.noise[-1] == pytest.approx(math.hypot(16.0, 10 / 4), rel=0.06)
    assert found.expected[-1] < 5


def test_noise_hidden_by_interpolation_is_seen():
    rough = noise((160, 321))
    smooth = (rough[:, 1:] + rough[:, :-1]) / 2
    assert smooth.std() == pytest.approx(7.07, rel=0.02)
    # Cells of 4 pixels along the smoothing keep (4 - 1/2) / 4 of the variance of independent ones.
    assert grown([smooth, smooth]).noise[0] == pytest.approx(10 * math.sqrt(3.5 / 4), rel=0.05)


def test_weights_count_as_in_the_mean():
    frames = [noise((160, 320), 10, seed=1), noise((160, 320), 30, seed=2)]
    found = grown(frames, weights=[9.0, 1.0])
    expected = math.sqrt((9 * 10) ** 2 + 30**2) / 10
    assert found.expected[1] == pytest.approx(expected, rel=0.04)
    assert found.noise[1] == pytest.approx(expected, rel=0.06)


def test_masked_pixels_and_stars_take_no_part():
    frames = [noise((160, 320), seed=k) for k in range(3)]
    usable, quiet = [], np.ones((160, 320), bool)
    for k, frame in enumerate(frames):
        good = np.random.default_rng(50 + k).random(frame.shape) > 0.05
        frame[~good] = 1e6
        frame[20:40, 20:60] = 1e5
        usable.append(good)
    quiet[20:40, 20:60] = False
    found = grown(frames, usable=usable, quiet=quiet)
    np.testing.assert_allclose(found.noise, 10 / np.sqrt(found.number), rtol=0.07)


def test_too_few_cells_give_no_number():
    assert np.isnan(grown([noise((8, 8)), noise((8, 8), seed=2)]).noise).all()


def test_of_hundreds_of_frames_some_numbers_are_looked_at():
    found = grown([noise((40, 40), seed=k) for k in range(100)])
    assert found.number[0] == 1 and found.number[-1] == 100
    assert len(found.number) <= 40 and len(set(found.number.tolist())) == len(found.number)
