"""What a combination writes down of its inputs, also when these are combinations."""

from __future__ import annotations

import numpy as np
import pytest
from raw_frames import FakeContext, electrons

from keyhole.errors import DataError
from keyhole.primitives.detector import ADUToElectronsParams, adu_to_electrons
from keyhole.primitives.stack import StackFramesParams, stack_frames

SHAPE = (12, 16)


def frame(number: int, ut: str, *, airmass: float = 1.1, crpix: tuple[float, float] = (8.0, 6.0)):
    made = electrons(np.full(SHAPE, 5.0), number=number, variance=4.0, crpix=crpix, AIRMASS=airmass)
    made.primary["UT"] = ut
    made.header["RDNOISE"] = 10.0
    return made


def stacked(frames, context=None):
    return stack_frames(frames, StackFramesParams(), context or FakeContext())[0]


def test_stack_of_stacks_knows_all_frames():
    first = stacked([frame(1, "05:00:00.0", airmass=1.0)])
    rest = stacked([frame(n, f"05:0{n}:00.0", airmass=1.2) for n in (2, 3, 4, 5)])
    both = stacked([first, rest])
    assert both.primary["NCOMBINE"] == 5
    assert both.primary["AIRMASS"] == pytest.approx((1.0 + 4 * 1.2) / 5)
    # Weighted by their noise, the stacks give what all five frames give.
    assert both.header["EFFRDN"] == pytest.approx(10.0 / np.sqrt(5))
    assert both.header["EFFGAIN"] == pytest.approx(5.0)
    assert [both.primary[f"WTCMB{k:03d}"] for k in range(1, 6)] == pytest.approx([0.2] * 5)
    assert (both.planes["COVERAGE"] == 5).all()
    assert both.header["RDNOISE"] == pytest.approx(10.0)
    times = [frame(1, "05:00:00.0")] + [frame(n, f"05:0{n}:00.0") for n in (2, 3, 4, 5)]
    assert both.primary["DATE-MID"] == stacked(times).primary["DATE-MID"]
    assert len([key for key in both.primary if key.startswith("IMCMB")]) == 5


def test_single_frame_carries_the_cards_of_a_stack():
    alone = stacked([frame(1, "05:00:00.0")])
    assert alone.primary["NCOMBINE"] == 1
    assert alone.primary["IMCMB001"].startswith("N2012")
    assert alone.primary["TOTEXP"] == alone.describe("exposure_time")
    assert alone.primary["DATE-MID"].startswith("2012-")


def test_frames_that_are_not_aligned_are_told():
    context = FakeContext()
    stacked([frame(1, "05:00:00.0"), frame(2, "05:01:00.0", crpix=(8.0, 6.0))], context)
    assert not any("one grid" in text for text in context.caveats)
    stacked([frame(1, "05:00:00.0"), frame(2, "05:01:00.0", crpix=(11.0, 6.0))], context)
    assert any("one grid" in text for text in context.caveats)


def test_unprepared_frame_is_refused_in_words():
    raw = frame(1, "05:00:00.0")
    raw.header["BUNIT"] = "adu"
    raw.header.remove("SATLEVEL", ignore_missing=True)
    with pytest.raises(DataError, match=r"SATLEVEL.*prepare"):
        adu_to_electrons([raw], ADUToElectronsParams(), FakeContext())


def test_mean_time_and_total_exposure_follow_weights_and_true_exposures():
    frames = [frame(1, "05:00:00.0"), frame(2, "05:10:00.0")]
    frames[1].variance = frames[1].variance * 3
    frames[1].primary["ORIGTEXP"] = 20.0
    out = stacked(frames)
    assert out.primary["TOTEXP"] == frames[0].describe("exposure_time") + 20.0
    assert out.primary["WTCMB001"] == pytest.approx(0.75)
    equal = stack_frames(frames, StackFramesParams(weights="equal"), FakeContext())[0]
    assert out.primary["DATE-MID"] < equal.primary["DATE-MID"]
    assert equal.primary["WTCMB002"] == pytest.approx(0.5)


def test_weights_may_follow_the_seeing():
    frames = [frame(1, "05:00:00.0"), frame(2, "05:10:00.0")]
    context = FakeContext()
    assert stack_frames(frames, StackFramesParams(weights="seeing"), context)[0].primary["WTCMB001"] == 0.5
    assert any("seeing of a frame is not known" in text for text in context.caveats)
    for each, seeing in zip(frames, (0.5, 1.0), strict=True):
        each.primary["MEANFWHM"] = seeing
    out = stack_frames(frames, StackFramesParams(weights="seeing"), FakeContext())[0]
    assert out.primary["WTCMB001"] == pytest.approx(0.8)
    assert out.primary["MEANFWHM"] == pytest.approx(0.75)


def test_frames_without_noise_are_stacked_equally_and_that_is_told():
    frames = [frame(1, "05:00:00.0"), frame(2, "05:10:00.0")]
    frames[0].variance = np.zeros(SHAPE, np.float32)
    context = FakeContext()
    out = stack_frames(frames, StackFramesParams(), context)[0]
    assert (out.data == 5.0).all()
    assert any("same weight" in text for text in context.caveats)


def test_edges_of_a_stack_weigh_what_its_frames_there_do():
    rng = np.random.default_rng(3)
    frames = [frame(n, f"05:0{n}:00.0") for n in range(1, 7)]
    for made in frames:
        made.data = rng.normal(5.0, 2.0, SHAPE).astype(np.float32)
    # Half of the second stack is seen by one of its four frames alone.
    for made in frames[3:]:
        made.mask = np.where(np.arange(SHAPE[1]) < 8, np.uint16(16), np.uint16(0)) * np.ones(SHAPE, np.uint16)
    both = stacked([stacked(frames[:2]), stacked(frames[2:])])
    at_once = stacked(frames)
    assert (both.planes["COVERAGE"][:, :8] == 3).all()
    assert both.data == pytest.approx(at_once.data, abs=1e-4)
    assert both.variance == pytest.approx(at_once.variance, rel=1e-4)
