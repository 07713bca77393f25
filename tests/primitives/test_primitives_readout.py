"""Steps on what the electronics and earlier light leave in a frame: cleanReadout and addLatencyToDQ."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from raw_frames import FakeContext, electrons, raw_frame

from keyhole.errors import ParameterError
from keyhole.frames import Frame
from keyhole.imaging import bits
from keyhole.primitives.latency import LatencyParams, add_latency
from keyhole.primitives.quality import AddIllumMaskParams, add_illum_mask
from keyhole.primitives.readout import CleanReadoutParams, clean_readout

SHAPE = (320, 512)


def noisy_frame(*, tile: float, row: float = 0.0, mask: bool = True) -> tuple[Frame, Any]:
    rng = np.random.default_rng(3)
    added = np.zeros(SHAPE, np.float32)
    for rows in (slice(0, 160), slice(160, 320)):
        for columns in (slice(0, 256), slice(256, 512)):
            added[rows, columns] = np.tile(rng.normal(0, tile, (4, 16)), (40, 16)) + rng.normal(0, row, (160, 1))
    data = rng.normal(0, 12, SHAPE) + added
    flags = np.full(SHAPE, bits.UNILLUMINATED, np.uint16)
    flags[110:200, 100:400] = 0
    data[108:202, 98:402] += 4000
    return electrons(data, mask=flags if mask else None), added


def test_pattern_is_subtracted_and_written_down() -> None:
    frame, added = noisy_frame(tile=8.0, row=4.0)
    before, context = frame.data.copy(), FakeContext()
    (out,) = clean_readout([frame], CleanReadoutParams(), context)
    removed = before - out.data
    lit = frame.mask == 0
    for columns in (slice(0, 256), slice(256, 512)):
        for rows in (slice(110, 160), slice(160, 200)):
            left = (added - removed)[rows, columns][lit[rows, columns]]
            assert left.std() < 3.0
    assert out.header["PATRMS"] == pytest.approx(8, rel=0.3)
    assert out.header["ROWRMS"] > 2
    (note,) = context.notes
    assert note.startswith("N20120117S0014: a pattern of ")
    assert "in 4 quadrants and row offsets of" in note


def test_quiet_frame_is_only_levelled() -> None:
    frame, _ = noisy_frame(tile=0.0)
    before, context = frame.data.copy(), FakeContext()
    (out,) = clean_readout([frame], CleanReadoutParams(level_bias_offset=False), context)
    np.testing.assert_array_equal(out.data, before)
    assert (out.header["PATRMS"], out.header["ROWRMS"]) == (0, 0)
    assert context.notes == []
    (out,) = clean_readout([frame], CleanReadoutParams(), context)
    assert np.abs(out.data - before).max() < 0.5


def test_skipping_leaves_the_frame_as_it_is() -> None:
    frame, _ = noisy_frame(tile=8.0)
    data = frame.data
    (out,) = clean_readout([frame], CleanReadoutParams(clean="skip"), FakeContext())
    assert out.data is data
    assert "PATRMS" not in out.header


def test_frame_without_keyhole_mask_is_cleaned_as_a_whole() -> None:
    frame, added = noisy_frame(tile=8.0, mask=False)
    before = frame.data.copy()
    (out,) = clean_readout([frame], CleanReadoutParams(row_strength_thres=None), FakeContext())
    left = added - (before - out.data)
    assert left[:100].std() < 2.5
    assert left[220:].std() < 2.5


def test_sky_of_a_frame_that_is_lit_everywhere_stays() -> None:
    frame = electrons(np.random.default_rng(4).normal(3000, 50, SHAPE), mask=np.zeros(SHAPE, np.uint16))
    context = FakeContext()
    (out,) = clean_readout([frame], CleanReadoutParams(), context)
    assert np.median(out.data) == pytest.approx(3000, abs=1)
    assert any("no pixel is known to be without light" in text for text in context.caveats)


def test_box_that_is_no_power_of_two_is_refused() -> None:
    frame, _ = noisy_frame(tile=0.0)
    with pytest.raises(ParameterError, match="pattern_x_size=12 is no power of 2"):
        clean_readout([frame], CleanReadoutParams(pattern_x_size=12), FakeContext())


def sequence() -> list[Frame]:
    """Three raw frames, 70 s apart, of 60 s; a star saturates in another place in each."""
    frames = []
    for number, x in enumerate((10, 20, 30)):
        data = np.full((40, 40), 300, np.float32)
        data[20, x] = 7000
        minute, second = divmod(number * 70, 60)
        frame = raw_frame(data, name=f"N20120117S00{14 + number}.fits", UT=f"05:{minute:02d}:{second:02d}.0")
        frame.mask = np.where(data > 6000, np.uint16(bits.SATURATED), np.uint16(0))
        frames.append(frame)
    return frames


def glowing(frame: Frame) -> list[int]:
    assert frame.mask is not None
    return sorted(np.nonzero(frame.mask & bits.COSMIC_RAY)[1].tolist())


def test_pixels_saturated_shortly_before_are_flagged() -> None:
    frames, context = sequence(), FakeContext()
    add_latency(frames, LatencyParams(), context)
    # 10 s after the first exposure, and 80 s after it.
    assert [glowing(frame) for frame in frames] == [[], [10], [10, 20]]
    assert context.notes == ["3 pixels in 2 frames were bright less than 120 s before; flagged"]


def test_afterglow_is_forgotten_after_its_time_whatever_the_order_of_the_frames() -> None:
    frames = sequence()
    add_latency(frames[::-1], LatencyParams(time=60.0), FakeContext())
    assert [glowing(frame) for frame in frames] == [[], [10], [20]]


def test_star_that_stays_in_place_keeps_its_core() -> None:
    frames = sequence()[:2]
    frames[1].data[20, 10] = 2500
    add_latency(frames, LatencyParams(), FakeContext())
    assert glowing(frames[1]) == []
    add_latency(frames, LatencyParams(outshone=None), FakeContext())
    assert glowing(frames[1]) == [10]


def test_published_choice_flags_saturated_pixels_alone() -> None:
    frames = sequence()[:2]
    frames[0].data[5, 5] = 5500
    frames[0].mask[5, 5] = bits.NONLINEAR
    published = LatencyParams(non_linear=False, fluence=None, outshone=None)
    add_latency(frames, published, FakeContext())
    assert glowing(frames[1]) == [10]
    add_latency(frames, LatencyParams(fluence=None), FakeContext())
    assert glowing(frames[1]) == [5, 10]


def test_frame_without_time_or_alone_is_left_alone() -> None:
    frames = sequence()[:2]
    for key in ("UT", "TIME-OBS", "UTSTART", "DATE-OBS", "DATE"):
        frames[0].primary.remove(key, ignore_missing=True)
    frames[0].primary["ORIGNAME"] = frames[0].name = "frame.fits"
    add_latency(frames, LatencyParams(), FakeContext())
    assert glowing(frames[1]) == []
    add_latency(frames[1:], LatencyParams(), FakeContext())
    assert glowing(frames[1]) == []


def test_lit_area_of_a_camera_without_recorded_keyhole_is_that_of_the_light() -> None:
    rng = np.random.default_rng(5)
    data = rng.normal(60, 5, (300, 400))
    data[100:180, 60:340] += 500
    frame, context = raw_frame(data, CAMERA="ShortBlue_G5513"), FakeContext()
    (out,) = add_illum_mask([frame], AddIllumMaskParams(), context)
    lit = (out.mask & bits.UNILLUMINATED) == 0
    assert lit[105:175, 65:335].all()
    assert not lit[:101].any()
    assert not lit[:, 339:].any()
    assert context.caveats == [
        "no keyhole is known for camera ShortBlue_G5513 with this filter; what is lit is taken from the light itself"
    ]
    dark, context = raw_frame(rng.normal(60, 5, (300, 400)), CAMERA="ShortBlue_G5513"), FakeContext()
    (out,) = add_illum_mask([dark], AddIllumMaskParams(), context)
    assert out.mask is None
    assert context.caveats[0].endswith("no mask is drawn")
