"""Matching, subtracting and levelling in one go, against the three one after the other."""

from __future__ import annotations

import numpy as np
import pytest

from keyhole.imaging import _skyrest
from keyhole.imaging._skymatch import match_sky
from keyhole.imaging._skyrest import difference, rest_of
from keyhole.imaging._slope import remaining_slope

SIGMA = 30.0


def a_frame(*, slope, shape=(400, 500), seed=1):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    sky = (2000 * (1 + 0.1 * np.sin(x / 90)) + rng.normal(0, 5, shape)).astype(np.float32)
    tilt = slope * (x / shape[1] - 0.5) + 0.5 * slope * (y / shape[0] - 0.5)
    data = (1.07 * sky + tilt + rng.normal(0, SIGMA, shape)).astype(np.float32)
    usable = rng.random(shape) > 0.02
    data[~usable] = 9e4
    data[rng.random(shape) < 0.001] += 3000
    objects = np.zeros(shape, bool)
    objects[100:140, 200:260] = True
    data[objects] += 500
    return data, sky, usable, objects


def one_after_the_other(data, sky, usable, objects):
    match = match_sky(data, sky, usable, objects=objects)
    rest = difference(data, sky, match)
    slope = remaining_slope(rest, usable & ~objects)
    return (rest if slope is None else rest - slope), match, slope


@pytest.mark.parametrize("size", [0.0, 0.1, 0.3, 20.0])
@pytest.mark.parametrize("shape", [(400, 500), (60, 70)])
def test_what_is_left_is_that_of_one_step_after_the_other(size, shape):
    for seed in range(4):
        planes = a_frame(slope=size * SIGMA, shape=shape, seed=seed)
        found, plain = rest_of(*planes), one_after_the_other(*planes)
        assert abs(found.match.scale / plain[1].scale - 1) < 1e-5
        # Slopes next to the limit may be there or not: what is left differs by far less than the noise of a pixel.
        np.testing.assert_allclose(found.data, plain[0], atol=0.02 * SIGMA)


def test_all_pixels_are_looked_at_once_unless_the_slope_is_steep(monkeypatch):
    asked = []
    monkeypatch.setattr(_skyrest, "match_sky", lambda *a, **k: asked.append(a) or match_sky(*a, **k))
    rest_of(*a_frame(slope=0.0))
    assert not asked
    rest_of(*a_frame(slope=20 * SIGMA))
    assert len(asked) == 1


def test_pixels_that_are_not_usable_play_no_part():
    data, sky, usable, objects = a_frame(slope=2.0)
    before = rest_of(data, sky, usable, objects)
    other = data.copy()
    other[~usable] = np.nan
    after = rest_of(other, sky, usable, objects)
    assert after.match == before.match
    np.testing.assert_array_equal(after.data[usable], before.data[usable])


def test_offsets_and_no_match_leave_the_slope_to_be_found():
    data, sky, usable, objects = a_frame(slope=3 * SIGMA)
    for how in ({"scale_sky": False, "offset_sky": True}, {"scale_sky": False}):
        found = rest_of(data, sky, usable, objects, **how)
        assert found.match.scale == 1
        assert (found.match.offset != 0) == bool(how.get("offset_sky"))
        assert found.slope is not None
        np.testing.assert_allclose(found.data, data - sky - np.float32(found.match.offset) - found.slope, atol=2e-3)


def test_a_frame_without_a_usable_pixel_loses_the_sky_as_it_is():
    data, sky, usable, objects = a_frame(slope=0.0)
    found = rest_of(data, sky, np.zeros_like(usable), objects)
    assert found.match == (1.0, 0.0)
    assert found.slope is None
