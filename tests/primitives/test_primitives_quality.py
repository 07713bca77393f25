"""addDQ, addIllumMaskToDQ and applyDQPlane."""

from __future__ import annotations

import numpy as np
import pytest
from raw_frames import FakeContext, electrons, raw_dark, raw_frame

from keyhole.errors import DataError
from keyhole.primitives.prepare import PrepareParams, prepare
from keyhole.primitives.quality import AddDQParams, ApplyDQParams, add_dq, apply_dq_plane

PLAIN = AddDQParams(add_illum_mask=False, static_bpm=None)


def small_dark(**pixels):
    data = np.full((20, 30), 10.0, np.float32)
    for key, value in pixels.items():
        y, x = map(int, key[1:].split("_"))
        data[y, x] = value
    return prepare([raw_dark(data)], PrepareParams(), FakeContext())[0]


def test_saturated_and_nonlinear_pixels_are_flagged():
    frame = small_dark(p3_4=7000.0, p5_6=5000.0, p7_8=4000.0)
    add_dq([frame], PLAIN, FakeContext())
    assert frame.mask.dtype == np.uint16
    assert (frame.mask[3, 4], frame.mask[5, 6], frame.mask[7, 8]) == (4, 2, 0)


def test_pixels_without_a_number_are_flagged_and_become_zero():
    frame = small_dark(p3_4=np.nan, p5_6=np.inf, p9_9=-np.inf)
    context = FakeContext()
    add_dq([frame], PLAIN, context)
    assert np.isfinite(frame.data).all()
    assert [int(frame.mask[p]) for p in ((3, 4), (5, 6), (9, 9), (0, 0))] == [1, 1, 1, 0]
    assert "no number" in context.caveats[0]


def test_bad_pixel_masks_join():
    frame = small_dark()
    masks = {}
    for name, place in (("processed_bpm", (2, 2)), ("user.fits", (3, 3))):
        master = raw_dark(np.zeros((20, 30)))
        master.data[place] = 1
        master.data[9, 9] = 64
        masks[name] = master
    add_dq([frame], AddDQParams(add_illum_mask=False, user_bpm="user.fits"), FakeContext(masters=masks))
    assert np.argwhere(frame.mask).tolist() == [[2, 2], [3, 3]]


def test_bad_pixel_mask_of_another_shape_is_refused():
    masks = {"processed_bpm": raw_dark(np.zeros((5, 5)))}
    with pytest.raises(DataError, match="give a mask of the same array"):
        add_dq([small_dark()], AddDQParams(add_illum_mask=False), FakeContext(masters=masks))


def lit_frame(value):
    data = np.full((1022, 1024), 5.0, np.float32)
    y, x = np.mgrid[:1022, :1024]
    data[(np.abs(y - 485) < 30) & (np.abs(x - 506) < 320)] = 300.0
    data[((x - 509) ** 2 + (y - 478) ** 2 < 95**2) & (y < 478)] = 300.0
    return raw_frame(data if value is None else np.full_like(data, value))


@pytest.mark.parametrize("value", [None, 5.0, np.nan])
def test_science_frame_gets_a_keyhole_even_without_light(value):
    context = FakeContext()
    frame = prepare([lit_frame(value)], PrepareParams(), context)[0]
    add_dq([frame], AddDQParams(static_bpm=None), context)
    lit = (frame.mask & 64) == 0
    assert 30000 < lit.sum() < 60000
    if value is None:
        assert np.median(frame.data[lit]) == 300
    else:
        assert any("usual place" in text for text in context.caveats)


def test_flagged_pixels_take_the_median_and_keep_their_flags():
    data = np.arange(60, dtype=np.float32).reshape(6, 10)
    mask = np.zeros((6, 10), np.uint16)
    mask[0, 0], mask[1, 1], mask[2, 2] = 1, 64, 4
    frame = electrons(data, mask=mask)
    apply_dq_plane([frame], ApplyDQParams(), FakeContext())
    expected = np.median(data[(mask == 0) | (mask == 4)])
    assert frame.data[0, 0] == frame.data[1, 1] == expected
    assert frame.data[2, 2] == data[2, 2]
    np.testing.assert_array_equal(frame.mask, mask)
    assert data[0, 0] == 0


def test_frame_without_a_good_pixel_passes_unchanged():
    context = FakeContext()
    frame = electrons(np.ones((6, 10)), mask=np.ones((6, 10), np.uint16))
    apply_dq_plane([frame], ApplyDQParams(), context)
    assert (frame.data == 1).all()
    assert "every pixel is flagged" in context.caveats[0]
