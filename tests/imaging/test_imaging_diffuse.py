"""Frames registered on all their light."""

from __future__ import annotations

import numpy as np
import pytest
from sky_scene import moffat

from keyhole.errors import AlgorithmError
from keyhole.imaging.bits import UNILLUMINATED
from keyhole.imaging.diffuse import register_on_light

SHAPE = (90, 260)
COMMANDED = np.array([(0.0, 0.0), (28.0, 4.0), (-27.0, -5.0), (52.0, 2.0), (-51.0, 3.0), (14.0, -3.0)])
ERRORS = np.array([(0.0, 0.0), (1.4, -0.8), (-0.9, 1.2), (0.6, 0.9), (-1.6, -0.4), (0.3, -1.3)])


def nebula(x, y):
    return 220 * np.exp(-((x - 130) ** 2 / 900 + (y - 40) ** 2 / 200)) + 160 * np.exp(
        -((x - 95) ** 2 / 200 + (y - 52) ** 2 / 90)
    )


def lit(shape=SHAPE):
    mask = np.zeros(shape, np.uint16)
    mask[:12], mask[-12:], mask[:, :10], mask[:, -10:] = (UNILLUMINATED,) * 4
    return mask


def diffuse_frames(*, sigma=60.0, seed=2):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
    frames = []
    for dx, dy in COMMANDED + ERRORS:
        frame = nebula(x - dx, y - dy) + rng.normal(0, sigma, SHAPE)
        frame.flat[rng.integers(0, frame.size, 12)] += 5e4  # cosmic rays
        frames.append(np.where(lit() == 0, frame, 0).astype(np.float32))
    return frames


def test_nebula_without_a_star_registers_the_frames():
    frames = diffuse_frames()
    before = [frame.copy() for frame in frames]
    found = register_on_light(
        frames, [lit()] * len(frames), COMMANDED, wanted=range(len(frames)), known=(), search_radius=13
    )
    assert sorted(found) == list(range(len(frames)))
    error = np.array([(found[i].dx, found[i].dy) for i in range(len(frames))]) - COMMANDED - ERRORS
    assert np.sqrt(((error - error.mean(axis=0)) ** 2).mean()) < 0.25
    assert all(np.array_equal(one, other) for one, other in zip(frames, before, strict=True))


def test_noise_alone_registers_nothing():
    rng = np.random.default_rng(4)
    frames = [rng.normal(0, 60, SHAPE).astype(np.float32) for _ in COMMANDED]
    assert not register_on_light(frames, [None] * 6, COMMANDED, wanted=range(6), known=(), search_radius=13)


@pytest.mark.parametrize("seeing", [3.6, 4.0, 4.4])
def test_star_that_the_edge_cuts_is_placed_by_what_is_left_of_it(seeing):
    rng = np.random.default_rng(6)
    errors = ERRORS.copy()
    # The middle of the star lies two pixels inside the edge.
    errors[3] = (3.0, 76.0 - 2.0 - 45.0 - COMMANDED[3, 1])
    frames = []
    for i, (dx, dy) in enumerate(COMMANDED + errors):
        frame = moffat(SHAPE, 130 + dx, 45 + dy, 4e5, seeing if i == 3 else 4.0) + rng.normal(0, 30, SHAPE)
        frames.append(np.where(lit() == 0, frame, 0).astype(np.float32))
    start = COMMANDED + errors
    start[3] += (0.4, -1.9)
    known = [0, 1, 2, 4, 5]
    one = register_on_light(frames, [lit()] * 6, start, wanted=[3], known=known, search_radius=13)[3]
    truth = COMMANDED[3] + errors[3]
    assert np.hypot(one.dx - truth[0], one.dy - truth[1]) < 0.2


def test_binned_frames_give_the_same_to_the_size_of_their_pixels():
    frames = diffuse_frames(sigma=20.0)
    found = register_on_light(
        frames, [lit()] * 6, COMMANDED, wanted=[1, 2], known=[0, 3, 4, 5], search_radius=13, binning=2
    )
    known_errors = ERRORS[[0, 3, 4, 5]].mean(axis=0)
    for i in (1, 2):
        assert np.hypot(*((found[i].dx, found[i].dy) - COMMANDED[i] - ERRORS[i] + known_errors)) < 1.5


def test_frame_without_a_usable_pixel_and_a_single_frame_are_left_alone():
    frames, masks = diffuse_frames(), [lit() for _ in COMMANDED]
    masks[2][:] = UNILLUMINATED
    assert 2 not in register_on_light(frames, masks, COMMANDED, wanted=[2], known=[0, 1, 3], search_radius=13)
    assert not register_on_light(frames[:1], masks[:1], COMMANDED[:1], wanted=[0], known=(), search_radius=13)


def test_numbers_must_agree():
    with pytest.raises(AlgorithmError, match="2 frames, 1 masks"):
        register_on_light([np.zeros((9, 9))] * 2, [None], COMMANDED[:2], wanted=[0], known=[1], search_radius=5)
