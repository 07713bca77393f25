from __future__ import annotations

import numpy as np
import pytest
from sky_scene import SIGMA, SKY, make_scene, moffat

from keyhole.errors import ParameterError
from keyhole.imaging._bins import bin_factor
from keyhole.imaging.deep_objects import _clipped_sums, _sum_clipped, deep_object_masks
from keyhole.imaging.objects import Limits, SmoothWeight, find_above, find_objects, safe_width, single_frame_objects


def subtracted(scene):
    return [
        np.where(scene.lit, frame - sky, 0).astype(np.float32)
        for frame, sky in zip(scene.frames, scene.skies, strict=True)
    ]


def test_deep_masks_cover_the_faint_stars_that_one_frame_does_not_show():
    scene = make_scene(9, stars=0)
    place, flux = (120.0, 40.0), 1300.0
    frames = [
        frame + moffat(frame.shape, *(place + shift), flux, 4.0).astype(np.float32)
        for frame, shift in zip(subtracted(scene), scene.shifts, strict=True)
    ]
    masks = deep_object_masks(frames, scene.usables, scene.shifts, scene.variances)
    for mask, shift in zip(masks, scene.shifts, strict=True):
        x, y = np.rint(place + shift).astype(int)
        assert mask[y - 2 : y + 3, x - 2 : x + 3].all()
    shown = 0
    for frame, shift in zip(frames, scene.shifts, strict=True):
        x, y = np.rint(place + shift).astype(int)
        shown += int(single_frame_objects(frame, scene.lit)[y, x])
    assert shown <= 4


def test_deep_masks_leave_little_star_light_outside():
    scene = make_scene(9)
    masks = deep_object_masks(subtracted(scene), scene.usables, scene.shifts, scene.variances)
    for mask, stars in zip(masks, scene.stars, strict=True):
        outside = stars[scene.lit & ~mask]
        assert outside.mean() < 0.02 * SIGMA
        assert np.percentile(outside, 99) < 0.3 * SIGMA


def test_an_empty_noisy_field_is_hardly_masked():
    scene = make_scene(9, stars=0)
    masks = deep_object_masks(subtracted(scene), scene.usables, scene.shifts, scene.variances)
    assert max(mask[scene.lit].mean() for mask in masks) < 0.12


def test_a_sloping_background_is_no_object():
    scene = make_scene(5, stars=0)
    slope = np.linspace(-SIGMA, SIGMA, 330, dtype=np.float32)
    frames = [frame + slope for frame in subtracted(scene)]
    masks = deep_object_masks(frames, scene.usables, scene.shifts, scene.variances)
    assert max(mask[scene.lit].mean() for mask in masks) < 0.12
    single = single_frame_objects(frames[0] + np.float32(SKY), scene.lit)
    assert single[scene.lit].mean() < 0.05


def test_a_cosmic_ray_in_one_frame_is_not_masked_in_the_others():
    scene = make_scene(6, stars=0, cosmic_rays=0)
    frames = subtracted(scene)
    clean = deep_object_masks(frames, scene.usables, scene.shifts, scene.variances)
    frames[2][48:51, 160:163] += 4000
    hit = deep_object_masks(frames, scene.usables, scene.shifts, scene.variances)
    changed = sum(int((a != b).sum()) for a, b in zip(clean, hit, strict=True))
    assert changed < 0.01 * scene.lit.sum()


def test_brighter_stars_are_masked_further_out():
    areas = []
    for flux in (2e4, 2e5, 2e6):
        rng = np.random.default_rng(1)
        frame = rng.normal(0, SIGMA, (100, 330)) + moffat((100, 330), 165, 50, flux, 4.0)
        areas.append(int(single_frame_objects(frame.astype(np.float32), np.ones((100, 330), bool)).sum()))
    assert areas[0] > 80
    assert areas[1] > 1.5 * areas[0]
    assert areas[2] > 1.5 * areas[1]


def test_fields_far_apart_are_added_separately():
    here = make_scene(4, seed=1)
    there = make_scene(4, seed=2)
    far = there.shifts + np.array([5000.0, -4000.0])
    both = deep_object_masks(
        subtracted(here) + subtracted(there),
        here.usables + there.usables,
        np.vstack([here.shifts, far]),
        here.variances + there.variances,
    )
    alone = deep_object_masks(subtracted(there), there.usables, there.shifts, there.variances)
    for mask, wanted in zip(both[4:], alone, strict=True):
        np.testing.assert_array_equal(mask, wanted)


def test_masked_frames_get_empty_masks_and_inputs_stay():
    scene = make_scene(3)
    frames = subtracted(scene)
    scene.usables[1][:] = False
    before = [frame.copy() for frame in frames]
    masks = deep_object_masks(frames, scene.usables, scene.shifts)
    assert not masks[1].any()
    assert masks[0].any()
    nothing = np.zeros(scene.lit.shape, bool)
    assert not single_frame_objects(frames[0], nothing).any()
    for frame, copy in zip(frames, before, strict=True):
        np.testing.assert_array_equal(frame, copy)


def test_nan_in_the_data_is_no_object_and_no_harm():
    scene = make_scene(1)
    frame = subtracted(scene)[0]
    clean = single_frame_objects(frame, scene.lit)
    frame[60, 30:32] = np.nan
    assert (single_frame_objects(frame, scene.lit) != clean).sum() < 200


def test_a_list_of_another_length_is_refused():
    scene = make_scene(2)
    with pytest.raises(ParameterError, match="2 frames, 2 masks, 1 shifts"):
        deep_object_masks(scene.frames, scene.usables, scene.shifts[:1])


def test_masks_of_a_camera_with_small_pixels_are_larger_in_the_same_proportion():
    masks = []
    for zoom in (1, 3):
        rows, columns = np.mgrid[: 120 * zoom, : 300 * zoom] / zoom
        light = 40.0 / (1 + ((columns - 150) ** 2 + (rows - 60) ** 2) / 9.0) ** 3
        noise = np.random.default_rng(5).normal(0, 1, light.shape)
        data = (light * 20 + noise).astype(np.float32)
        everywhere = np.ones(data.shape, bool)
        masks.append(single_frame_objects(data, everywhere, fwhm=5.0 * zoom, grow=4.0 * zoom, wing_sigma=0.2))
    assert masks[1].sum() / masks[0].sum() == pytest.approx(9, rel=0.15)


def test_of_one_search_the_stars_above_a_higher_limit_are_told_apart():
    rng = np.random.default_rng(5)
    image = rng.normal(0, SIGMA, (120, 160)).astype(np.float32)
    places = {"bright": (40.0, 30.0, 60.0), "faint": (110.0, 80.0, 3.5)}
    for x, y, height in places.values():
        image += moffat(image.shape, x, y, height * SIGMA * 20, 5.0).astype(np.float32)
    weight = np.full(image.shape, SIGMA**-2, np.float32)
    weight[:, 70] = 0
    limits = Limits(2.5, 3.5, 8, 4.0, 0.2 * SIGMA, 5.0)
    found, above = find_above(image, SmoothWeight.of(weight, limits.smoothing), limits, 4.0)
    assert np.array_equal(found, find_objects(image, weight, limits))
    assert found[30, 40] and found[80, 110]
    assert above[30, 40] and not above[80, 110]
    assert not (above & ~found).any()


@pytest.mark.parametrize("frames", [1, 2, 3, 8, 21])
def test_bins_without_outliers_are_added_without_a_look_at_their_medians(frames):
    rng = np.random.default_rng(frames)
    noise = rng.uniform(0.8, 1.2, (frames, 1)).astype(np.float32)
    values = (rng.normal(0, 1, (frames, 4000)) * noise).astype(np.float32)
    values[rng.random(values.shape) < 0.02] += 9
    values += np.where(rng.random(4000) < 0.1, 30, 0).astype(np.float32)
    weights = np.where(rng.random(values.shape) < 0.85, noise**-2, 0).astype(np.float32)
    values[weights == 0] = 0
    wanted, wanted_weight = _clipped_sums(values, weights)
    total, weight = np.zeros((2, 4000), np.float32)
    _sum_clipped(values.copy(), weights, total, weight)
    np.testing.assert_array_equal(total, wanted)
    np.testing.assert_array_equal(weight, wanted_weight)
    assert (weight[(weights == 0).all(axis=0)] == 0).all()
    assert frames < 3 or 0 < (weight < weights.sum(axis=0)).mean() < 0.5


@pytest.mark.parametrize("rows", [[], [0], [199], [60, 63, 64, 140], list(range(200))])
def test_weights_that_differ_in_a_few_rows_are_smoothed_there_alone_with_the_same_result(rows):
    rng = np.random.default_rng(8)
    before = rng.integers(0, 5, (200, 90)).astype(np.float32)
    weight = before.copy()
    for row in rows:
        weight[row, rng.integers(0, 90, 5)] += 1
    known = SmoothWeight.of(before, 0.75)
    found, plain = SmoothWeight.of(weight, 0.75, known), SmoothWeight.of(weight, 0.75)
    assert found.weight is weight or not rows
    np.testing.assert_array_equal(found.inverse, plain.inverse)
    np.testing.assert_array_equal(found.height, plain.height)
    np.testing.assert_array_equal(known.height, SmoothWeight.of(before, 0.75).height)


def test_bins_of_which_none_has_an_outlier_are_added_as_they_are():
    values, weights = np.full((5, 30), 2.0, np.float32), np.full((5, 30), 0.5, np.float32)
    total, weight = np.zeros((2, 30), np.float32)
    _sum_clipped(values, weights, total, weight)
    assert (total == 5).all()
    assert (weight == 2.5).all()


@pytest.mark.parametrize(("fwhm", "taken"), [(0.5, 1.0), (2.0, 2.0), (3.2, 3.75), (5.0, 5.0)])
def test_stars_are_left_out_as_if_they_were_no_narrower_than_they_are(fwhm, taken):
    assert safe_width(fwhm) == taken
    # What it is for: stars of three pixels and more are found in bins.
    assert (bin_factor(safe_width(fwhm)) > 1) == (fwhm >= 3)
