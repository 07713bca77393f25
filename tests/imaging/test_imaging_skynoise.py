"""Variance from a model of the light: free of the noise of single exposures, true to pixels and sources."""

from __future__ import annotations

import numpy as np
import pytest

from keyhole.errors import ParameterError
from keyhole.imaging.skynoise import NoiseModel, model_variances

SHAPE = (40, 50)
READ = 100.0


def exposures(number, sky, *, seed=1, star=0.0):
    """Counts of frames with a response of their pixels and a star that moves; what each pixel expects."""
    rng = np.random.default_rng(seed)
    response = rng.uniform(0.7, 1.3, SHAPE)
    y, x = np.indices(SHAPE)
    counts, expected, objects = [], [], []
    for k in range(number):
        light = star * np.exp(-((x - 5 - 4 * k) ** 2 + (y - 20) ** 2) / 8)
        mean = response * (sky + light)
        counts.append(rng.poisson(mean) + np.sqrt(READ) * rng.standard_normal(SHAPE))
        expected.append((READ + mean).astype(np.float32))
        objects.append(light > 0.02 * max(star, 1))
    given = [(READ + np.maximum(plane, 0)).astype(np.float32) for plane in counts]
    return given, expected, objects


def test_model_follows_the_pixels_and_not_their_noise():
    given, expected, _ = exposures(9, 400.0)
    usables = [np.ones(SHAPE, bool)] * 9
    model = model_variances(given, usables, [np.zeros(SHAPE, bool)] * 9)
    before = np.std(given[4] / expected[4])
    after = np.std(model[4] / expected[4])
    assert after < 0.45 * before
    assert np.median(model[4] / expected[4]) == pytest.approx(1, abs=0.01)


def test_pixels_without_light_get_no_photon_noise_from_their_read_noise():
    given, _, _ = exposures(7, 0.0)
    model = model_variances(given, [np.ones(SHAPE, bool)] * 7, [np.zeros(SHAPE, bool)] * 7)
    assert np.mean(given[0]) > 1.03 * READ
    assert np.mean(model[0]) == pytest.approx(READ, rel=0.02)


def test_light_of_a_star_keeps_its_photon_noise():
    given, expected, objects = exposures(8, 400.0, star=3000.0)
    model = model_variances(given, [np.ones(SHAPE, bool)] * 8, objects)
    on = objects[3]
    assert model[3][on].sum() == pytest.approx(expected[3][on].sum(), rel=0.02)
    assert model[3][20, 17] == pytest.approx(expected[3][20, 17], rel=0.06)


def test_noise_of_the_masters_is_taken_out_in_proportion():
    given, _, _ = exposures(5, 400.0)
    usables, nothing = [np.ones(SHAPE, bool)] * 5, [np.zeros(SHAPE, bool)] * 5
    with_masters = [plane * np.float32(1.2) for plane in given]
    level = float(np.median(with_masters[0]))
    plain = model_variances(given, usables, nothing)
    cleaned = model_variances(with_masters, usables, nothing, shared=[level * 0.2 / 1.2] + [0.0] * 4)
    np.testing.assert_allclose(cleaned[0], plain[0], rtol=0.01)
    np.testing.assert_allclose(cleaned[1], 1.2 * plain[1], rtol=1e-5)


def test_single_frame_and_frames_without_usable_pixels_keep_their_variance():
    given, _, _ = exposures(2, 400.0)
    everywhere, nowhere = np.ones(SHAPE, bool), np.zeros(SHAPE, bool)
    assert model_variances(given[:1], [everywhere], [nowhere])[0] is given[0]
    model = model_variances(given, [everywhere, nowhere], [nowhere, nowhere])
    np.testing.assert_array_equal(model[1], given[1])
    before = given[0].copy()
    model_variances(given, [everywhere] * 2, [nowhere] * 2)
    np.testing.assert_array_equal(given[0], before)


def test_pixels_that_are_always_objects_keep_their_own_variance():
    given, _, _ = exposures(3, 400.0)
    hidden = np.zeros(SHAPE, bool)
    hidden[5:9, 5:9] = True
    model = model_variances(given, [np.ones(SHAPE, bool)] * 3, [hidden] * 3)
    np.testing.assert_array_equal(model[1][hidden], given[1][hidden])


def test_lists_of_different_lengths_are_refused():
    with pytest.raises(ParameterError, match="give one of each"):
        model_variances([np.ones(SHAPE, np.float32)] * 2, [np.ones(SHAPE, bool)], [np.zeros(SHAPE, bool)] * 2)


@pytest.mark.parametrize("frames", [3, 18, 40])
def test_of_many_frames_some_tell_the_variance_and_the_others_where_these_show_objects(frames):
    rng = np.random.default_rng(frames)
    shape = rng.uniform(0.8, 1.2, (30, 50)).astype(np.float32)
    variances = [(400 * shape * rng.normal(1, 0.01, shape.shape)).astype(np.float32) for _ in range(frames)]
    usables = [rng.random(shape.shape) < 0.9 for _ in range(frames)]
    objects = [np.zeros(shape.shape, bool) for _ in range(frames)]
    for k in range(0, frames, max(frames // 9, 1)):
        objects[k][:, :10] = True
    usables = [usable & (np.arange(50) > 1) for usable in usables]
    model = NoiseModel.of(variances, usables, objects)
    quiet = np.array(usables) & ~np.array(objects)
    assert np.array_equal(model.known, quiet.any(axis=0))
    seen = np.where(quiet, np.array(variances) / np.array(model.levels)[:, None, None], np.nan)
    plain = np.nanmedian(seen[:, model.known], axis=0)
    assert np.abs(model.shape[model.known] / plain - 1).max() < 0.03
    if frames == 3:
        np.testing.assert_allclose(model.shape[model.known], plain, rtol=1e-6)
    assert (model.shape[~model.known] == 1).all()


def test_many_frames_without_a_bad_pixel_need_no_others():
    variances = [np.full((12, 20), 100.0 + k, np.float32) for k in range(20)]
    nothing = [np.zeros((12, 20), bool)] * 20
    model = NoiseModel.of(variances, [~mask for mask in nothing], nothing)
    assert model.known.all()
    np.testing.assert_allclose(model.shape, 1.0, rtol=1e-6)


def test_the_sources_of_one_frame_leave_nothing_to_those_of_the_next():
    given, _, _ = exposures(4, 400.0)
    usables, objects = [np.ones(SHAPE, bool)] * 4, [np.zeros(SHAPE, bool) for _ in range(4)]
    objects[0][10:14, 10:20] = objects[1][14:18, 10:20] = True
    given[0][objects[0]] += 5000
    given[1][objects[1]] += 60
    model = NoiseModel.of(given, usables, objects)
    alone = model.variance(1, given[1], usables[1], objects[1])
    model.variance(0, given[0], usables[0], objects[0])
    np.testing.assert_array_equal(model.variance(1, given[1], usables[1], objects[1]), alone)
