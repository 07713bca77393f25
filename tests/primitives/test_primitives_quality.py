"""addDQ, addIllumMaskToDQ and applyDQPlane."""

from __future__ import annotations

import numpy as np
import pytest
from raw_frames import FakeContext, electrons, raw_dark, raw_flat, raw_frame

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
    frame = small_dark(p3_4=np.nan, p5_6=np.inf, p9_9=-np.inf, p2_2=1e30, p4_4=-3e9)
    context = FakeContext()
    add_dq([frame], PLAIN, context)
    assert np.isfinite(frame.data).all()
    assert [int(frame.mask[p]) for p in ((3, 4), (5, 6), (9, 9), (2, 2), (4, 4), (0, 0))] == [1, 1, 1, 1, 1, 0]
    assert "no number" in context.caveats[0]


@pytest.mark.parametrize("value", [-np.inf, -3e9, 3e9])
def test_one_value_that_no_detector_counts_is_enough(value):
    frame = small_dark(p4_4=value)
    add_dq([frame], PLAIN, FakeContext())
    assert (frame.data[4, 4], frame.mask[4, 4], np.count_nonzero(frame.mask)) == (0, 1, 1)


def mask_of(shape=(20, 30), *bad, **cards):
    master = raw_dark(np.zeros(shape))
    master.name = "bpm_a.fits"
    for place in bad:
        master.data[place] = 1
    for name, value in cards.items():
        master.header[name] = value
    return master


def with_mask(master, frame=None, **params):
    """A dark after addDQ with a mask from the databases."""
    frame = frame or small_dark()
    context = FakeContext(masters={"processed_bpm": master})
    add_dq([frame], AddDQParams(add_illum_mask=False, **params), context)
    return frame, context


def test_bad_pixel_masks_join_and_the_header_names_them():
    user = mask_of((20, 30), (3, 3))
    user.name, user.data[9, 9], user.data[8, 8] = "mine.fits", 64, -7
    frame = small_dark()
    context = FakeContext(masters={"processed_bpm": mask_of((20, 30), (2, 2)), "mine.fits": user})
    add_dq([frame], AddDQParams(add_illum_mask=False, user_bpm="mine.fits"), context)
    assert np.argwhere(frame.mask).tolist() == [[2, 2], [3, 3], [8, 8]]
    assert frame.primary["BPMSRC"] == "processed_bpm: bpm_a.fits, user_bpm: mine.fits"
    history = " ".join(frame.primary["HISTORY"])
    assert "1 of mask bpm_a.fits joined" in history and "2 of mask mine.fits joined" in history
    assert not context.caveats


def test_header_says_when_there_is_no_mask():
    frame = small_dark()
    add_dq([frame], PLAIN, FakeContext())
    assert frame.primary["BPMSRC"] == "none"
    assert "HISTORY" not in frame.primary


def test_mask_named_instead_of_that_of_the_databases_is_the_only_one():
    masks = {"processed_bpm": mask_of((20, 30), (2, 2)), "other.fits": mask_of((20, 30), (5, 5))}
    frame = small_dark()
    add_dq([frame], AddDQParams(add_illum_mask=False, static_bpm="other.fits"), FakeContext(masters=masks))
    assert np.argwhere(frame.mask).tolist() == [[5, 5]]
    assert frame.primary["BPMSRC"].startswith("static_bpm: ")


def test_mask_is_cut_to_the_frame_and_padded_where_detsec_cards_tell_how():
    larger = mask_of((24, 32), (2, 3), (21, 31), DETSEC="[1:32,1:24]")
    assert np.argwhere(with_mask(larger)[0].mask).tolist() == [[2, 3]]
    shifted = mask_of((10, 30), (0, 7), DETSEC="[1:30,6:15]")
    assert np.argwhere(with_mask(shifted)[0].mask).tolist() == [[5, 7]]
    part = small_dark()
    part.header["DETSEC"] = "[3:32,5:24]"
    assert np.argwhere(with_mask(mask_of((24, 32), (6, 7)), part)[0].mask).tolist() == [[2, 5]]
    # One made of such frames needs no card.
    part = small_dark()
    part.header["DETSEC"] = "[3:32,5:24]"
    assert np.argwhere(with_mask(mask_of((20, 30), (6, 7)), part)[0].mask).tolist() == [[6, 7]]


@pytest.mark.parametrize(
    ("master", "words"),
    [
        (mask_of((5, 5)), "bpm_a.fits is 5 x 5 pixels, N20120102S0538.fits is 30 x 20 pixels, and no DETSEC"),
        (mask_of((5, 5), DETSEC="[1:6,1:5]"), r"5 x 5 pixels where its section \[1:6,1:5\] is 6 x 5"),
        (mask_of((5, 5), DETSEC="[101:105,101:105]"), r"shows \[101:105,101:105\] of the detector"),
        (mask_of((5, 5), DETSEC="nonsense"), "section 'nonsense' is not of the form"),
        (mask_of((20, 30), slice(None)), "all 600 pixels are bad"),
        (raw_dark(np.full((20, 30), np.nan)), "600 of 600 values are no numbers"),
    ],
)
def test_mask_that_does_not_fit_or_is_none_is_refused_in_a_sentence(master, words):
    with pytest.raises(DataError, match=words):
        with_mask(master)


def test_frame_whose_detsec_card_is_wrong_is_refused():
    frame = small_dark()
    frame.header["DETSEC"] = "[1:10,1:10]"
    with pytest.raises(DataError, match=r"N20120102S0538\.fits: its DETSEC card \[1:10,1:10\] does not fit"):
        with_mask(mask_of((20, 32), DETSEC="[1:32,1:20]"), frame)


def test_surroundings_that_a_mask_calls_bad_are_not_flagged_and_a_caveat_says_so():
    master = mask_of((20, 30), slice(0, 8), slice(12, 20), (10, 10))
    frame, context = with_mask(master)
    assert np.argwhere(frame.mask).tolist() == [[10, 10]]
    assert "480 pixels, are taken for what the keyhole hides" in context.caveats[0]


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


def test_few_good_pixels_are_enough_wherever_they_are():
    context = FakeContext()
    mask = np.ones((70, 10), np.uint16)
    mask[37, 4] = 0
    data = np.arange(700, dtype=np.float32).reshape(mask.shape)
    frame = electrons(data, mask=mask)
    apply_dq_plane([frame], ApplyDQParams(), context)
    assert (frame.data == data[37, 4]).all()
    assert not context.caveats


@pytest.mark.parametrize(("filled", "said"), [(0.0, False), (0.05, False), (0.3, True)])
def test_sky_that_fills_the_wells_is_told(filled, said):
    data = np.full((200, 50), 100.0)
    data[: round(200 * filled)] = 7000.0
    context = FakeContext()
    add_dq(prepare([raw_flat(data)], PrepareParams(), context), PLAIN, context)
    assert any("beyond the linear range" in caveat for caveat in context.caveats) is said
