from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import truncnorm
from sky_scene import SIGMA, SKY, make_scene

from keyhole.errors import AlgorithmError
from keyhole.imaging.levels import bases, fit_surface, lit_box, pair_scales, sky_level


def test_level_of_pure_noise_is_its_mean():
    rng = np.random.default_rng(7)
    data = rng.normal(3700, 64, (200, 250)).astype(np.float32)
    level = sky_level(data, np.ones(data.shape, bool))
    assert level.value == pytest.approx(3700, abs=4 * 2 * 64 / 50_000**0.5)
    assert level.sigma == pytest.approx(64, rel=0.02)
    assert level.n == 50_000


def test_level_equals_the_plain_truncated_normal_fit():
    rng = np.random.default_rng(8)
    data = np.concatenate([rng.normal(100, 10, 9000), 100 + rng.exponential(60, 900)]).astype(np.float32)
    level = sky_level(data, np.ones(data.shape, bool))
    # At the solution the values between -3 and +1 sigma have the moments of a truncated normal distribution.
    inside = data[(data >= level.value - 3 * level.sigma) & (data <= level.value + level.sigma)]
    mean, variance = truncnorm.stats(-3, 1, loc=level.value, scale=level.sigma)
    assert inside.mean(dtype=float) == pytest.approx(mean, abs=0.02)
    assert inside.var(dtype=float) == pytest.approx(variance, rel=0.01)


def test_level_among_stars_is_good_to_a_thousandth_of_the_sky():
    scene = make_scene(3, drift=0, tilt=0)
    for frame, usable in zip(scene.frames, scene.usables, strict=True):
        assert sky_level(frame, usable).value == pytest.approx(SKY, rel=1.5e-3)


def test_level_without_known_objects_is_good_to_a_few_ten_thousandths():
    scene = make_scene(4, drift=0, tilt=0)
    for frame, usable, star in zip(scene.frames, scene.usables, scene.stars, strict=True):
        level = sky_level(frame, usable, objects=star > 2)
        assert level.value == pytest.approx(SKY, abs=4 * SIGMA / level.n**0.5)
        assert level.n == int((usable & (star <= 2)).sum())


def test_level_of_nothing_has_no_pixels_and_no_nan():
    data = np.full((5, 5), 3, np.float32)
    assert sky_level(data, np.zeros(data.shape, bool)) == (0.0, 0.0, 0)
    assert sky_level(np.full((5, 5), np.nan, np.float32), np.ones((5, 5), bool)).n == 0


def test_level_of_few_or_equal_pixels_is_their_median():
    few = np.array([1, 2, 9], np.float32)
    assert sky_level(few, np.ones(3, bool)).value == 2
    flat = np.full(1000, 7, np.float32)
    assert sky_level(flat, np.ones(1000, bool))[:2] == (7, 0)


def test_level_ignores_masked_and_not_finite_values_and_leaves_its_input():
    rng = np.random.default_rng(9)
    data = rng.normal(50, 5, 5000).astype(np.float32)
    usable = np.ones(data.shape, bool)
    wanted = sky_level(data[100:], usable[100:])
    data[:50], data[50:100], usable[:50] = 1e6, np.inf, False
    before = data.copy()
    assert sky_level(data, usable) == wanted
    np.testing.assert_array_equal(data, before)


def test_lit_box_is_the_smallest_box_of_the_usable_pixels():
    usable = np.zeros((20, 30), bool)
    assert lit_box(usable) == (slice(0, 0), slice(0, 0))
    usable[3, 5] = usable[11, 20] = True
    assert lit_box(usable) == (slice(3, 12), slice(5, 21))
    assert lit_box(usable, margin=4) == (slice(0, 16), slice(1, 25))


def test_pair_scales_minimise_the_sum_over_pairs():
    rng = np.random.default_rng(5)
    true = np.array([1.0, 1.3, 0.8, 1.05])
    frames = [(rng.normal(1000, 30, (40, 50)) * level).astype(np.float32) for level in true]
    usables = [rng.random((40, 50)) < share for share in (0.9, 0.5, 0.7, 0.3)]
    factors = pair_scales(frames, usables)
    ratios, weights = np.zeros((4, 4)), np.zeros((4, 4))
    for i in range(4):
        for j in range(i + 1, 4):
            both = usables[i] & usables[j]
            ratios[i, j] = np.log(np.median(frames[j][both] / frames[i][both]))
            weights[i, j] = both.sum()

    def cost(free):
        x = np.concatenate([[0.0], free])
        return sum(weights[i, j] * (-ratios[i, j] + x[i] - x[j]) ** 2 for i in range(4) for j in range(i + 1, 4))

    np.testing.assert_allclose(np.log(factors[1:]), minimize(cost, np.zeros(3)).x, atol=1e-5)
    np.testing.assert_allclose(factors, 1 / true, rtol=5e-3)


def test_pair_scales_leave_a_frame_without_common_pixels_alone():
    frames = [np.full((4, 6), value, np.float32) for value in (10, 20, 40)]
    usables = [np.zeros((4, 6), bool) for _ in frames]
    usables[0][:, :3] = usables[1][:, :3] = usables[2][:, 3:] = True
    np.testing.assert_allclose(pair_scales(frames, usables), [1, 0.5, 1])
    np.testing.assert_allclose(pair_scales(frames[:1], usables[:1]), [1])
    assert pair_scales([], []).size == 0


def test_surface_finds_the_polynomial_under_outliers():
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:40, :90] / 50.0
    truth = 5 + x - 2 * y + 0.5 * x * y - 0.3 * x**2
    data = (truth + rng.normal(0, 0.05, truth.shape)).astype(np.float32)
    data[rng.random(truth.shape) < 0.05] += 30
    usable = np.ones(truth.shape, bool)
    usable[:, :10] = False
    surface = fit_surface(data, usable, degree_x=2, degree_y=1)
    assert surface.box == (slice(0, 40), slice(10, 90))
    np.testing.assert_allclose(surface.over_box(), truth[:, 10:], atol=0.02)
    assert surface.sigma == pytest.approx(0.05, rel=0.05)


def test_surface_through_too_few_pixels_is_refused():
    with pytest.raises(AlgorithmError, match="only 8 usable pixels for 9 coefficients"):
        fit_surface(np.ones((2, 4), np.float32), np.ones((2, 4), bool), degree_x=2, degree_y=2)


@pytest.mark.parametrize("degree", [0, 1, 2, 5])
def test_the_bases_are_legendre_polynomials_over_their_span(degree):
    places = np.linspace(-1, 1, 41)
    np.testing.assert_allclose(
        bases(degree, slice(7, 48)), np.polynomial.legendre.legvander(places, degree), atol=1e-14
    )
