"""darkCorrect, flatCorrect and illuminationCorrect."""

from __future__ import annotations

import numpy as np
import pytest
from raw_frames import FakeContext, electrons

from keyhole.errors import CalibrationError
from keyhole.primitives.calibrate import DarkParams, FlatParams, dark_correct, flat_correct
from keyhole.primitives.illumination import IlluminationParams, illumination_correct

SHAPE = (60, 80)


def master(value, variance, bad=(5, 6), **changes):
    frame = electrons(np.full(SHAPE, value), variance=variance, **changes)
    frame.name = "master.fits"
    frame.mask[bad] = 1
    return frame


def test_dark_is_subtracted_variances_add_and_flags_join():
    frame = electrons(np.full(SHAPE, 500.0))
    frame.mask[1, 1] = 4
    dark_correct([frame], DarkParams(), FakeContext(masters={"processed_dark": master(60.0, 9.0)}))
    assert (frame.data == 440).all()
    assert (frame.variance == 109).all()
    assert (frame.mask[1, 1], frame.mask[5, 6]) == (4, 1)
    assert frame.primary["DARKIM"] == "master.fits"


def test_flat_divides_and_relative_variances_add():
    frame = electrons(np.full(SHAPE, 500.0))
    flat_correct([frame], FlatParams(), FakeContext(masters={"processed_flat": master(0.5, 1e-4)}))
    assert (frame.data == 1000).all()
    np.testing.assert_allclose(frame.variance, 100 / 0.25 + 1e-4 * 500**2 / 0.5**4, rtol=1e-6)


def test_header_names_the_masters_from_which_bad_pixels_were_learnt():
    dark, flat = master(60.0, 9.0), master(0.5, 1e-4, NDEADPIX=0)
    dark.name, flat.name = "a_dark.fits", "b_flat.fits"
    dark.primary["NHOTPIX"], dark.primary["NNOISYPX"] = 1, 0
    frame = electrons(np.full(SHAPE, 500.0), BPMSRC="processed_bpm: bpm.fits")
    context = FakeContext(masters={"processed_dark": dark, "processed_flat": flat})
    dark_correct([frame], DarkParams(), context)
    flat_correct([frame], FlatParams(), context)
    # The flat learnt nothing: its flag is that of a mask it was reduced with.
    source = "processed_bpm: bpm.fits; learnt: dark a_dark.fits; flagged in: flat b_flat.fits"
    assert frame.primary["BPMSRC"] == source
    history = " ".join(frame.primary["HISTORY"])
    assert "1 flagged in dark a_dark.fits joined DQ bit 1; 1 of them were learnt there" in history


def test_masters_without_bad_pixels_are_no_source_of_them():
    dark = master(60.0, 9.0)
    dark.mask[:] = 0
    frame = electrons(np.full(SHAPE, 500.0), BPMSRC="none")
    dark_correct([frame], DarkParams(), FakeContext(masters={"processed_dark": dark}))
    assert frame.primary["BPMSRC"] == "none"
    assert "HISTORY" not in frame.primary


def test_flat_without_light_divides_by_one():
    frame = electrons(np.full(SHAPE, 500.0))
    flat_correct([frame], FlatParams(), FakeContext(masters={"processed_flat": master(0.0, 0.0)}))
    assert (frame.data == 500).all()


@pytest.mark.parametrize(("step", "params"), [(dark_correct, DarkParams), (flat_correct, FlatParams)])
def test_missing_master_stops_science_quality_only(step, params):
    data = np.full(SHAPE, 500.0)
    with pytest.raises(CalibrationError, match="--user_cal"):
        step([electrons(data)], params(), FakeContext())
    with pytest.raises(CalibrationError, match="--user_cal"):
        step([electrons(data)], params(do_cal="force"), FakeContext(mode="ql"))
    context = FakeContext(mode="ql")
    frame = step([electrons(data)], params(), context)[0]
    assert (frame.data == 500).all()
    assert "without that correction" in context.caveats[0]
    assert not FakeContext().caveats
    step([frame], params(do_cal="skip"), FakeContext())


def test_master_that_does_not_fit_is_refused():
    frame = electrons(np.full(SHAPE, 500.0))
    small = electrons(np.ones((5, 5)))
    with pytest.raises(CalibrationError, match="5 x 5 pixels"):
        dark_correct([frame], DarkParams(), FakeContext(masters={"processed_dark": small}))
    adu = master(1.0, 1.0)
    adu.header["BUNIT"] = "adu"
    with pytest.raises(CalibrationError, match="in adu"):
        dark_correct([frame], DarkParams(), FakeContext(masters={"processed_dark": adu}))
    other = master(1.0, 1.0, FILTER2="H_G0516", FILTER="H")
    with pytest.raises(CalibrationError, match="filter H"):
        flat_correct([frame], FlatParams(), FakeContext(masters={"processed_flat": other}))


def tilted_frames(n, amplitude, *, dark=None, seed=5):
    rng = np.random.default_rng(seed)
    x = np.linspace(-1, 1, SHAPE[1])
    frames = []
    for i in range(n):
        light = 0.0 if i == dark else 3000.0 * (1 + 0.02 * i)
        data = light * (1 + amplitude * x) + rng.normal(0, 30, SHAPE)
        frame = electrons(data, number=i)
        frame.primary["FLATCORR"] = "2026-01-01T00:00:00"
        frame.header["LITLEVEL"] = light
        frames.append(frame)
    return frames


@pytest.mark.parametrize("dark", [None, 0, 3])
def test_slope_that_lamp_and_sky_do_not_share_is_divided_out(dark):
    frames = tilted_frames(6, 0.05, dark=dark)
    context = FakeContext()
    illumination_correct(frames, IlluminationParams(), context)
    frame = frames[1]
    ends = [np.median(frame.data[:, part]) for part in (slice(0, 20), slice(-20, None))]
    assert ends[0] == pytest.approx(ends[1], rel=0.01)
    assert frame.header["ILLUMAMP"] == pytest.approx(0.05, abs=0.01)
    assert "corrected" in context.notes[0]


def test_even_illumination_and_too_few_frames_change_nothing():
    frames = tilted_frames(6, 0.0)
    before = [frame.data for frame in frames]
    context = FakeContext()
    illumination_correct(frames, IlluminationParams(), context)
    assert all(frame.data is data for frame, data in zip(frames, before, strict=True))
    assert "agree" in context.notes[0]
    illumination_correct(tilted_frames(2, 0.05), IlluminationParams(min_frames=3), context)
    assert "unchecked" in context.caveats[0]


@pytest.mark.parametrize("number", [1, 2])
def test_few_frames_with_stars_tell_the_slope_and_a_caveat(number):
    frames = tilted_frames(number, 0.05)
    y, x = np.indices(SHAPE)
    star = 20000.0 * np.exp(-((x - 0.85 * SHAPE[1]) ** 2 + (y - SHAPE[0] / 2) ** 2) / 8.0)
    for frame in frames:
        frame.data = (frame.data + star).astype(np.float32)
    context = FakeContext()
    illumination_correct(frames, IlluminationParams(), context)
    ends = [np.median(frames[0].data[:, part]) for part in (slice(0, 20), slice(-20, None))]
    assert ends[0] == pytest.approx(ends[1], rel=0.015)
    assert "slope of the sky" in context.caveats[0]


@pytest.mark.parametrize("number", [1, 3])
def test_a_pattern_that_rises_at_the_end_of_the_keyhole_is_no_star(number):
    rng = np.random.default_rng(2)
    ny, nx = 80, 640
    x, y = np.meshgrid(np.linspace(-1, 1, nx), np.arange(ny))
    # Bright as in K, flat over two thirds of the keyhole and 10 per cent brighter at its end, as a lamp may leave it.
    pattern = 1 + 0.1 * np.clip((x - 0.2) / 0.8, 0, None) ** 1.5
    frames = []
    for i in range(number):
        star = 60_000 * np.exp(-((np.arange(nx) - 200 - 30 * i) ** 2 + (y - 40) ** 2) / 8.0)
        frame = electrons((36_000 + star) * pattern + rng.normal(0, 190, (ny, nx)), number=i)
        frame.primary["FLATCORR"] = "2026-01-01T00:00:00"
        frame.header["LITLEVEL"] = 36_000.0
        frames.append(frame)
    illumination_correct(frames, IlluminationParams(), FakeContext())
    levels = [np.median(frames[0].data[:, first : first + 40]) for first in range(0, nx, 40)]
    assert np.ptp(levels) / np.median(levels) < 0.012
