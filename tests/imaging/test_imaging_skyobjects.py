"""Objects of a sequence, found in bins: as good as found pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from sky_scene import SIGMA, make_scene

from keyhole.imaging import _skyobjects
from keyhole.imaging._skyobjects import Detection, find_all_objects
from keyhole.imaging._skypool import CombineRule
from keyhole.imaging._skysequence import Levels, PlaneSequence, Ticks
from keyhole.imaging.deep_objects import DeepSum, deep_object_masks

DETECTION = Detection(threshold=2.5, min_pixels=8, grow=4.0, fwhm=5.0, wing_sigma=0.15)


def find(scene):
    sequence = PlaneSequence.of(scene.frames, scene.variances, scene.usables, scene.others())
    told = []
    found = find_all_objects(
        sequence,
        Levels(scale=True, zero=False, rule=CombineRule()),
        scene.shifts,
        DETECTION,
        matching={"scale_sky": True, "offset_sky": False},
        tick=Ticks(lambda done, total: told.append((done, total)), 2 * len(scene.frames)),
    )
    assert told == [(k + 1, len(told)) for k in range(2 * len(scene.frames))]
    return sequence.box, [found.of(i) for i in range(len(scene.frames))]


@pytest.mark.parametrize("step", [22.0, 23.0, 22.5])
def test_masks_cover_the_light_of_the_stars_whatever_their_place_in_the_bins(step):
    scene = make_scene(9, step=step)
    box, masks = find(scene)
    for mask, stars, usable in zip(masks, scene.stars, scene.usables, strict=True):
        outside = stars[box][usable[box] & ~mask]
        assert outside.mean() < 0.02 * SIGMA
        assert np.percentile(outside, 99) < 0.3 * SIGMA


def test_as_much_is_masked_as_on_a_sum_of_pixels():
    scene = make_scene(9)
    box, masks = find(scene)
    rest = [
        np.where(scene.lit, frame - sky, 0).astype(np.float32)
        for frame, sky in zip(scene.frames, scene.skies, strict=True)
    ]
    plain = deep_object_masks(rest, scene.usables, scene.shifts, scene.variances)
    for mask, wanted in zip(masks, plain, strict=True):
        lit = scene.lit[box]
        assert 0.95 < mask[lit].sum() / wanted[box][lit].sum() < 1.35
        assert (wanted[box] & ~mask)[lit].sum() < 0.12 * wanted[box][lit].sum()


def test_frames_in_bins_lie_on_the_nearest_bins_of_the_sum():
    shape, moves = (40, 60), np.array([[0, 0], [4, -2], [-3, 5]])
    whole = (slice(0, 40), slice(0, 60))
    total = DeepSum([whole] * 3, moves, fwhm=5.0)
    star = np.zeros((100, 120), np.float32)
    star[44:50, 50:56] = 1000.0
    rng = np.random.default_rng(7)
    portion = []
    for i, (dx, dy) in enumerate(moves.tolist()):
        frame = star[30 - dy : 70 - dy, 30 - dx : 90 - dx] + rng.normal(0, 5, shape)
        bins = frame.reshape(20, 2, 30, 2).mean(axis=(1, 3)).astype(np.float32)
        portion.append(total.in_bins(i, bins, np.full(bins.shape, 4, np.float32), 5.0))
    total.add(portion)
    total.search(threshold=2.5, min_pixels=8, grow=2.0, wing_sigma=0.0)
    for i, (dx, dy) in enumerate(moves.tolist()):
        mask = total.mask(i, shape)
        y, x = np.nonzero(mask)
        assert np.abs([y.mean() - (16.5 + dy), x.mean() - (22.5 + dx)]).max() < 1.2
        assert mask[star[30 - dy : 70 - dy, 30 - dx : 90 - dx] > 0].all()


def test_the_stars_of_a_frame_that_lies_elsewhere_than_commanded_are_masked_in_it():
    scene = make_scene(9)
    strayed = 4
    scene.shifts[strayed] += (25.0, -9.0)
    box, masks = find(scene)
    core = scene.stars[strayed][box] > 3 * SIGMA
    core &= scene.usables[strayed][box]
    assert core.any()
    assert masks[strayed][core].mean() > 0.98


@pytest.mark.parametrize(("rise", "searches"), [(0, 9), (20_000, 18)])
def test_what_covers_much_of_a_frame_is_looked_for_again_without_its_sky(monkeypatch, rise, searches):
    """A pattern that all frames share, as a sky that rises over a third of the keyhole, leaves with the sky."""
    scene = make_scene(9, stars=2, brightest=1e4)
    slope = rise * np.clip((np.arange(330) - 200) / 110, 0, None)
    for i, frame in enumerate(scene.frames):
        scene.frames[i] = np.where(scene.lit, frame + slope, 0).astype(np.float32)
    shown, searched = _skyobjects._Search.shown, []

    def count(self, mean, number):
        searched.append(mean)
        return shown(self, mean, number)

    monkeypatch.setattr(_skyobjects._Search, "shown", count)
    find(scene)
    assert len(searched) == searches
    levels = [np.median(mean[mean != 0]) for mean in searched]
    assert min(levels[:9]) > 100
    assert max(np.abs(levels[9:]), default=0) < 100
