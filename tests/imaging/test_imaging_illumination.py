from __future__ import annotations

import numpy as np
import pytest
from sky_scene import make_scene

from keyhole.errors import AlgorithmError, ParameterError
from keyhole.imaging import illumination
from keyhole.imaging.illumination import fit_illumination


def truth(scene, pattern):
    x = (np.mgrid[:100, :330][1] - 165) / 145
    shape = 1 + pattern * (x**2 - 0.3 * x)
    return shape / np.median(shape[scene.lit])


@pytest.mark.parametrize("n", [1, 2, 3, 9])
def test_illumination_pattern_is_recovered_from_few_and_many_frames(n):
    scene = make_scene(n, pattern=0.08, tilt=0)
    objects = [stars > 5 for stars in scene.stars]
    found = fit_illumination(scene.frames, scene.usables, objects=objects)
    wanted = truth(scene, 0.08)
    np.testing.assert_allclose(found.model[scene.lit], wanted[scene.lit], rtol=0.006)
    assert np.std((found.model / wanted)[scene.lit]) < 0.002
    assert np.median(found.model[scene.lit]) == pytest.approx(1, abs=1e-6)
    assert found.amplitude == pytest.approx(0.5 * np.ptp(wanted[scene.lit]), rel=0.06)
    assert found.significance > 5


def test_illumination_without_a_pattern_is_not_significant():
    scene = make_scene(5, stars=0, tilt=0)
    found = fit_illumination(scene.frames, scene.usables)
    assert found.significance < 3
    assert found.amplitude < 0.004


@pytest.mark.parametrize("with_objects", [True, False])
def test_a_pattern_found_in_bins_is_that_of_the_pixels(monkeypatch, with_objects):
    scene = make_scene(7, pattern=0.08, tilt=0)
    objects = [stars > 5 for stars in scene.stars] if with_objects else None
    pixels = fit_illumination(scene.frames, scene.usables, objects=objects)
    monkeypatch.setattr(illumination, "_MANY_PIXELS", 1000)
    bins = fit_illumination(scene.frames, scene.usables, objects=objects)
    assert bins.model.shape == pixels.model.shape
    np.testing.assert_allclose(bins.model[scene.lit], pixels.model[scene.lit], rtol=0.002)
    assert bins.amplitude == pytest.approx(pixels.amplitude, rel=0.03)
    # Both judge by the scatter of some 70 blocks.
    assert 0.5 < bins.significance / pixels.significance < 2
    assert (bins.model[:10] == 1).all()


def test_illumination_far_from_the_light_is_one():
    scene = make_scene(2, pattern=0.08, tilt=0)
    found = fit_illumination(scene.frames, scene.usables)
    inside = found.model[scene.lit]
    assert (found.model[:10] == 1).all()
    assert (found.model[:, :10] == 1).all()
    assert found.model.min() >= min(inside.min(), 1) - 1e-6
    assert found.model.max() <= max(inside.max(), 1) + 1e-6


def test_stars_that_hide_part_of_the_pattern_do_not_bend_it():
    scene = make_scene(9, pattern=0.08, tilt=0)
    hidden = [stars > 5 for stars in scene.stars]
    for i, mask in enumerate(hidden):
        mask[:, 20 + 30 * i : 90 + 30 * i] = True
    found = fit_illumination(scene.frames, scene.usables, objects=hidden)
    assert np.std((found.model / truth(scene, 0.08))[scene.lit]) < 0.002


def test_given_levels_are_used_and_inputs_stay():
    scene = make_scene(3, pattern=0.08, tilt=0, drift=0.1)
    before = [frame.copy() for frame in scene.frames]
    objects = [stars > 5 for stars in scene.stars]
    levels = [float(np.median(sky[scene.lit])) for sky in scene.skies]
    given = fit_illumination(scene.frames, scene.usables, levels, objects=objects)
    measured = fit_illumination(scene.frames, scene.usables, objects=objects)
    np.testing.assert_allclose(given.model, measured.model, rtol=2e-3)
    for frame, copy in zip(scene.frames, before, strict=True):
        np.testing.assert_array_equal(frame, copy)


def test_frames_that_cannot_show_a_pattern_are_refused():
    scene = make_scene(2, stars=0)
    with pytest.raises(AlgorithmError, match="no usable pixel"):
        fit_illumination(scene.frames, [np.zeros_like(scene.lit)] * 2)
    with pytest.raises(AlgorithmError, match="no positive sky level"):
        fit_illumination([frame - 9000 for frame in scene.frames], scene.usables)
    with pytest.raises(ParameterError, match="2 frames"):
        fit_illumination(scene.frames, scene.usables, [1.0])


@pytest.mark.parametrize("shape", [(7, 9), (301, 1000)])
def test_bins_made_in_blocks_of_rows_hold_the_means_of_their_usable_pixels(shape):
    rng = np.random.default_rng(4)
    frame = rng.normal(100, 5, shape).astype(np.float32)
    frame[2, 3] = np.nan
    usable, stars = rng.random(shape) > 0.5, rng.random(shape) > 0.9
    means, seen, _ = illumination._in_bins([frame], [usable], [stars], 2)
    ny, nx = -(-shape[0] // 2), -(-shape[1] // 2)
    cells = np.full((2 * ny, 2 * nx), np.nan)
    cells[: shape[0], : shape[1]] = np.where(usable & ~stars, frame, np.nan)
    cells = cells.reshape(ny, 2, nx, 2)
    number = np.isfinite(cells).sum(axis=(1, 3))
    np.testing.assert_array_equal(seen[0], number > 0)
    np.testing.assert_allclose(means[0], np.nansum(cells, axis=(1, 3)) / np.maximum(number, 1), rtol=1e-6)
