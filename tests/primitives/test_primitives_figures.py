"""What the steps tell of their frames."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from raw_frames import SCALE, FakeContext, electrons, raw_dark, raw_frame

from keyhole.frames import Table
from keyhole.imaging.transparency import Transparency
from keyhole.primitives.figures import (
    tell_conditions,
    tell_growth,
    tell_level,
    tell_master,
    tell_registration,
    tell_sky,
    tell_sources,
    tell_transparency,
    tell_weights,
)

SHAPE = (60, 200)


def context(*, details=True):
    return FakeContext(details=details)


def stack(n=4, **cards):
    rng = np.random.default_rng(1)
    frame = electrons(rng.normal(2, 10, SHAPE).astype(np.float32), variance=np.full(SHAPE, 100, np.float32))
    frame.mask = np.zeros(SHAPE, np.uint16)
    frame.header["SKYNOISE"], frame.header["CORRNOIS"] = 10.0, 1.0
    for key, value in cards.items():
        frame.header[key] = value
    return frame


def test_time_of_a_frame_is_the_middle_of_its_exposure():
    told = context()
    frame = raw_frame(np.zeros((8, 8), np.float32))
    tell_conditions(frame, told)
    start, exposure = frame.describe("ut_datetime"), frame.describe("exposure_time")
    middle, _, unit = told.measured[frame.root, "mid_time"]
    assert unit == "UT"
    assert middle == (start + timedelta(seconds=exposure / 2)).isoformat(timespec="milliseconds")
    assert told.measured[frame.root, "exposure"] == (exposure, None, "s")


def test_nothing_that_costs_time_is_measured_unless_it_is_wanted():
    told = context(details=False)
    frame = raw_dark(np.zeros((30, 30), np.float32))
    tell_conditions(frame, told)
    tell_level(frame, 0.0, told)
    tell_sky(stack(), np.s_[:, :], np.zeros(SHAPE, bool), None, told)
    tell_growth(stack(), [stack(), stack()], None, told)
    assert told.measured == {}


def test_level_is_the_median_of_the_usable_pixels_over_the_offset():
    told = context()
    frame = stack()
    frame.data[:, :100], frame.mask[:, :100] = 1e6, 64
    tell_level(frame, 1.5, told)
    value, _, unit = told.measured[frame.root, "level"]
    assert unit == "electron" and value == pytest.approx(0.5, abs=1.5)


def test_sky_left_over_is_measured_between_the_stars_with_its_error():
    told = context()
    frame = stack()
    objects = np.zeros(SHAPE, bool)
    frame.data[10:30, 20:60], objects[10:30, 20:60] = 1e5, True
    frame.mask[50, 50:53] = (2, 4, 6)
    frame.header["SKYLEVEL"], frame.header["NSKY"] = 3600.0, 7
    slope = np.linspace(-3.5, 3.5, 180, dtype=np.float32) * np.ones((50, 1), np.float32)
    tell_sky(frame, np.s_[5:55, 10:190], objects[5:55, 10:190], slope, told)
    figures = {name: told.measured[frame.root, name] for _, name in told.measured}
    left, error, _ = figures["sky_residual"]
    assert abs(left - 2) < 4 * error and error == pytest.approx(1.25 * 10 / (9000 - 800) ** 0.5, rel=0.05)
    assert figures["noise"][0] == pytest.approx(10, rel=0.03)
    assert figures["sky_level"][0] == 3600.0
    assert figures["sky_frames"][0] == 7 and figures["sky_slope"][0] == pytest.approx(3.5)
    assert (figures["nonlinear_pixels"][0], figures["saturated_pixels"][0]) == (2, 2)


def test_registration_is_told_in_pixels_and_the_pointing_error_in_arcsec():
    told = context()
    frames = [electrons(np.zeros((8, 8), np.float32), number=i) for i in range(3)]
    expected = np.array([[0.0, 0.0], [10.0, 1.0], [20.0, 0.0]])
    found = expected + [[0.0, 0.0], [0.0, 0.0], [2.0, 0.0]] + 5.0
    quality = [("sources", 16, 0.04), ("sources", 16, 0.04), ("offsets", 0, None)]
    tell_registration(frames, found, expected, quality, told, scale=SCALE)

    def of(i, name):
        return told.measured[frames[i].root, name]

    assert of(1, "dx_measured") == (pytest.approx(10.0), pytest.approx(0.01), "pix")
    assert of(1, "dx_commanded")[0] == pytest.approx(10.0)
    assert of(1, "pointing_error_dx")[0] == pytest.approx(0.0)
    assert of(1, "registration_scatter")[0] == 0.04
    # A frame that lies where it was sent because nothing else is known has no measured place.
    assert (frames[2].root, "dx_measured") not in told.measured
    assert of(2, "registration")[0] == "offsets" and of(2, "stars_matched")[0] == 0


def test_transparency_and_weights_are_told_of_each_frame():
    told = context()
    frames = [electrons(np.zeros((8, 8), np.float32), number=i) for i in range(2)]
    clear = Transparency(np.array([1.0, 0.5]), np.array([0.01, 0.02]), np.array([9, 8]))
    tell_transparency(frames, clear, told)
    tell_weights(frames, [10.0, 0.0], [3.0, 1.0], told)
    assert told.measured[frames[1].root, "transparency"][:2] == (0.5, 0.02)
    assert told.measured[frames[0].root, "weight"][0] == 0.75
    assert told.measured[frames[1].root, "noise_expected"][0] is None


def test_depth_is_five_times_the_noise_within_the_seeing():
    told = context()
    frame = stack(APNOISE=1)
    frame.tables["APNOISE"] = Table(
        {"RADIUS": np.array([1.0, 9.0], np.float32), "FACTOR": np.array([1.2, 1.2], np.float32)}
    )
    tell_sources(frame, 0.6, told, combined=True)
    scale = frame.describe("pixel_scale")
    flux = told.measured[None, "depth_flux"][0]
    assert flux == pytest.approx(5 * 1.2 * 10 * np.sqrt(np.pi) * 0.6 / scale, rel=1e-5)
    assert told.measured[None, "depth_rate"][0] == pytest.approx(flux / frame.describe("exposure_time"))
    # No zero point is known of this camera.
    assert (None, "depth_magnitude") not in told.measured


def test_flatness_of_a_stack_is_told_beside_what_noise_allows():
    told = context()
    frame = stack()
    frame.data += np.linspace(-5, 5, SHAPE[1], dtype=np.float32)
    tell_sources(frame, None, told, combined=True)
    assert told.measured[None, "tile_rms"][0] > 1.5 * told.measured[None, "tile_rms_expected"][0]
    assert len(told.measured[None, "tile_x"][0]) == len(told.measured[None, "tile_level"][0])
    assert (None, "depth_flux") not in told.measured


def test_growth_of_the_noise_leaves_out_the_stars_of_all_frames():
    told = context()
    frames = []
    for k in range(4):
        frame = electrons(
            np.random.default_rng(k).normal(0, 10, (80, 240)).astype(np.float32),
            number=k,
            mask=np.zeros((80, 240), np.uint16),
        )
        frame.data[5:30, 50 * k : 50 * k + 40] = 1e5
        frame.planes["OBJMASK"] = (frame.data > 1e4).astype(np.uint8)
        frames.append(frame)
    out = frames[0].copy()
    tell_growth(out, frames, None, told)
    np.testing.assert_allclose(told.measured[None, "growth_noise"][0], 10 / np.sqrt([1, 2, 3, 4]), rtol=0.12)


def test_master_is_described_by_median_spread_and_noise():
    told = context()
    dark = raw_dark(np.random.default_rng(1).normal(74, 5, (90, 90)).astype(np.float32))
    dark.variance = np.full((90, 90), 9.0, np.float32)
    tell_master(dark, told, hot_pixels=3, frame_noise=10.5)
    assert told.measured[None, "hot_pixels"] == (3, None, "")
    assert told.measured[None, "frame_noise"] == (10.5, None, "electron")
    assert told.measured[None, "median"][0] == pytest.approx(74, abs=1)
    assert told.measured[None, "spread"][0] == pytest.approx(5, rel=0.1)
    assert told.measured[None, "pixel_noise"][0] == pytest.approx(3)
