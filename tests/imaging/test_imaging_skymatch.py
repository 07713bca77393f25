"""The level that a sky leaves, from sums over the pixels, against the level of all of them sorted."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtri

from keyhole.imaging._skymatch import _final_step, level_near_zero, match_sky
from keyhole.imaging.levels import level_from_sums, level_limits, sky_level

SIGMA = 50.0


def scene(shape, *, share=0.03, seed=3):
    """A frame with unmasked faint stars, its sky, and where it is usable."""
    rng = np.random.default_rng(seed)
    sky = (3000 + 200 * np.linspace(-1, 1, shape[1]) + rng.normal(0, 10, shape)).astype(np.float32)
    light = np.where(rng.random(shape) < share, rng.exponential(4 * SIGMA, shape), 0)
    frame = (1.07 * sky + light + rng.normal(0, SIGMA, shape)).astype(np.float32)
    return frame, sky, rng.random(shape) > 0.1


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("shape", [(60, 200), (300, 900)])
def test_the_level_that_is_left_is_zero_for_all_pixels(shape, masked):
    frame, sky, usable = scene(shape)
    objects = np.zeros(shape, np.bool_)
    objects[5:9, 30:40] = True
    match = match_sky(frame, sky, usable, objects=objects if masked else None)
    rest = frame - np.float32(match.scale) * sky
    left = sky_level(rest, usable, objects=objects if masked else None)
    assert abs(left.value) < 0.003 * left.sigma


def test_values_of_pixels_that_are_not_usable_play_no_part():
    frame, sky, usable = scene((300, 900))
    plain = match_sky(frame, sky, usable)
    frame[~usable], sky[~usable] = np.nan, 1e9
    assert match_sky(frame, sky, usable) == plain


@pytest.mark.parametrize("masked", [True, False])
def test_a_level_does_not_change_by_a_step_from_itself(masked):
    values = np.random.default_rng(4).normal(7, 3, 200_000).astype(np.float32)
    everywhere = np.ones(values.shape, np.bool_)
    level = sky_level(values, everywhere, objects=~everywhere if masked else None)
    below, above = level_limits(masked=masked)
    offsets = values.astype(float) - level.value
    near = offsets[(offsets >= -below * level.sigma) & (offsets <= above * level.sigma)]
    step, sigma = level_from_sums(near.size, near.sum(), (near**2).sum(), masked=masked)
    assert abs(step) < 1e-3 * level.sigma
    assert sigma == pytest.approx(level.sigma, rel=1e-3)


@pytest.mark.parametrize("masked", [True, False])
def test_one_step_foresees_where_the_iteration_of_a_level_ends(masked):
    values = 3 * ndtri((np.arange(400_000) + 0.5) / 400_000)
    below, above = level_limits(masked=masked)

    def after(level, sigma):
        near = values[(values >= level - below * sigma) & (values <= level + above * sigma)] - level
        step, scatter = level_from_sums(near.size, near.sum(), (near**2).sum(), masked=masked)
        return level + step, scatter

    start = end = (0.03, 3.02)
    for _ in range(60):
        end = after(*end)
    level, sigma = after(*start)
    change, wider = _final_step(level - start[0], sigma, start[1], masked=masked)
    assert abs(level - end[0]) > 0.001 * 3
    assert start[0] + change == pytest.approx(end[0], abs=0.0004 * 3)
    assert start[1] + wider == pytest.approx(end[1], abs=0.0004 * 3)


def test_the_level_of_many_pixels_is_matched_far_below_its_own_error():
    frame, sky, usable = scene((700, 900), share=0.0)
    match = match_sky(frame, sky, usable, objects=np.zeros(frame.shape, np.bool_))
    left = sky_level(frame - np.float32(match.scale) * sky, usable, objects=np.zeros(frame.shape, np.bool_))
    assert abs(left.value) < 0.0004 * left.sigma < 0.4 * left.sigma / left.n**0.5


@pytest.mark.parametrize("believed", [0.7, 1.0, 2.0])
def test_a_level_near_zero_is_that_of_the_sorted_values(believed):
    rng = np.random.default_rng(6)
    values = rng.normal(4.0, 20.0, 20_001).astype(np.float32)
    values[::25] += rng.exponential(60.0, values[::25].size).astype(np.float32)
    counted = rng.random(values.size) < 0.9
    values[~counted] = 1e6
    plain = sky_level(values, counted, objects=np.zeros_like(counted))
    found = level_near_zero(values, counted, 20.0 * believed)
    assert found != plain
    assert found.n == plain.n
    assert found.value == pytest.approx(plain.value, abs=0.003 * plain.sigma)
    assert found.sigma == pytest.approx(plain.sigma, rel=0.005)


@pytest.mark.parametrize("sigma", [0.0, 1e-6, 20.0])
def test_a_level_is_found_as_usual_where_its_scatter_is_not_known_or_its_values_are_few(sigma):
    values = np.random.default_rng(2).normal(3.0, 20.0, 900 if sigma else 5000).astype(np.float32)
    counted = np.ones(values.shape, bool)
    assert level_near_zero(values, counted, sigma) == sky_level(values, counted, objects=~counted)


def test_a_rough_match_is_near_to_the_other_one():
    for seed in range(5):
        frame, sky, usable = scene((300, 900), seed=seed, share=0.0)
        planes = frame, sky, usable
        objects = np.zeros(usable.shape, np.bool_)
        fine, rough = (match_sky(*planes, objects=objects, roughly=roughly).scale for roughly in (False, True))
        assert 0 < abs(fine - rough) * 3000 < 0.05 * SIGMA
