"""The slope between a frame and its sky, against a plain least-squares fit."""

from __future__ import annotations

import numpy as np
import pytest

from keyhole.imaging._slope import remaining_slope

SHAPE = (90, 260)
SIGMA = 20.0


def sloping(size, *, seed=1, shape=SHAPE):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    truth = size * (x / shape[1] - 0.5) - 0.6 * size * (y / shape[0] - 0.5) * (x / shape[1] - 0.3)
    frame = (truth + rng.normal(3.0, SIGMA, shape)).astype(np.float32)
    return frame, truth, rng.random(shape) > 0.2


def plain_fit(frame, quiet):
    """Products of 1, x and 1, y through the pixels within 3 robust sigma, over and over."""
    y, x = np.nonzero(quiet)
    values, used = frame[quiet].astype(float), np.ones(x.size, bool)
    basis = np.column_stack([np.ones(x.size), x, y, x * y])
    for _ in range(10):
        fit = np.linalg.lstsq(basis[used], values[used], rcond=None)[0]
        rest = values - basis @ fit
        middle = np.median(rest[used])
        sigma = 1.4826 * np.median(np.abs(rest[used] - middle))
        used = np.abs(rest - middle) <= 3 * sigma
    y, x = np.indices(frame.shape)
    surface = fit[0] + fit[1] * x + fit[2] * y + fit[3] * x * y
    return surface - surface[quiet].mean()


def test_a_slope_is_that_of_a_plain_fit():
    frame, _, quiet = sloping(30.0)
    frame[10:14, 20:24] += 4000
    found = remaining_slope(frame, quiet)
    np.testing.assert_allclose(found, plain_fit(frame, quiet), atol=0.03 * SIGMA)
    assert abs(found[quiet].mean()) < 0.01 * SIGMA


def test_a_steep_slope_does_not_clip_the_pixels_at_its_ends():
    frame, truth, quiet = sloping(20 * SIGMA)
    rest = (frame - remaining_slope(frame, quiet))[quiet] - (frame - truth).mean()
    assert abs(np.polyfit(np.nonzero(quiet)[1], rest, 1)[0]) * SHAPE[1] < 0.2 * SIGMA


def test_of_a_doubtful_slope_only_what_exceeds_the_noise_is_removed():
    # Without any slope less is added to the frames than by removing every fit, or every fit above its noise.
    removed, fits = [], []
    for seed in range(40):
        frame, _, quiet = sloping(0.0, seed=seed)
        found = remaining_slope(frame, quiet)
        fits.append(plain_fit(frame, quiet)[quiet].var())
        removed.append(0.0 if found is None else found[quiet].var())
    assert 0 < np.mean(removed) < 0.4 * np.mean(fits)
    above = [fit for fit, change in zip(fits, removed, strict=True) if change > 0]
    assert np.mean(removed) < 0.6 * np.sum(above) / len(fits)


def test_a_slope_stays_within_its_extremes_beyond_the_quiet_pixels():
    frame, _, quiet = sloping(100.0)
    quiet[:, 200:] = False
    quiet[40:45, 230] = True
    found = remaining_slope(frame, quiet)
    assert found[~quiet].max() <= found[quiet].max()
    assert found[~quiet].min() >= found[quiet].min()


@pytest.mark.parametrize("shape", [(1, 400), (400, 1), (3, 4)])
def test_thin_regions_are_no_harm(shape):
    rng = np.random.default_rng(2)
    found = remaining_slope(rng.normal(0, 1, shape).astype(np.float32), np.ones(shape, bool))
    assert found is None or np.isfinite(found).all()
