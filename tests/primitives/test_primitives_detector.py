"""ADUToElectrons, addVAR and nonlinearityCorrect."""

from __future__ import annotations

import numpy as np
import pytest
from raw_frames import FakeContext, raw_dark, raw_frame

from keyhole.primitives.detector import (
    AddVARParams,
    ADUToElectronsParams,
    NonlinearityParams,
    add_var,
    adu_to_electrons,
    correct_nonlinearity,
)
from keyhole.primitives.prepare import PrepareParams, prepare

BOTH = AddVARParams(read_noise=True, poisson_noise=True)


def in_electrons(frame, context=None):
    frame = prepare([frame], PrepareParams(), context or FakeContext())[0]
    frame.primary["PREPARE"] = "2026-01-01T00:00:00"
    return adu_to_electrons([frame], ADUToElectronsParams(), context or FakeContext())[0]


def test_gain_is_applied_once_to_pixels_and_levels():
    context = FakeContext()
    frame = in_electrons(raw_frame(np.full((20, 30), 100.0)))
    assert (frame.data == 1350).all()
    assert frame.header["BUNIT"] == "electron"
    assert frame.header["SATLEVEL"] == int(90000 * 2 / 13.5) * 13.5
    adu_to_electrons([frame], ADUToElectronsParams(), context)
    assert (frame.data == 1350).all()
    assert "already in electrons" in context.caveats[0]


def test_integer_pixels_become_electrons():
    frame = raw_frame(np.full((20, 30), 100, np.int32))
    assert in_electrons(frame).data.dtype == np.float32


def test_offset_of_the_electronics_makes_no_photon_noise():
    rng = np.random.default_rng(3)
    frame = in_electrons(raw_dark(rng.normal(20, 0.1, (60, 80))))
    add_var([frame], BOTH, FakeContext())
    assert frame.variance.dtype == np.float32
    # 270 e- of offset would more than triple the 100 e-^2 of the read noise.
    assert np.median(frame.variance) == pytest.approx(100, abs=1.5)
    assert frame.header["VARNOISE"] == "read, Poisson"


def lit_frame(light):
    data = np.full((60, 80), 20.0)
    data[20:40] += light
    frame = in_electrons(raw_frame(data))
    frame.mask = np.full((60, 80), 64, np.uint16)
    frame.mask[20:40] = 0
    return frame


def test_photon_noise_is_that_of_the_light():
    frame = lit_frame(200.0)
    add_var([frame], BOTH, FakeContext())
    np.testing.assert_allclose(frame.variance[20:40], 200 + 2700, rtol=1e-5)
    np.testing.assert_allclose(frame.variance[:20], 200, rtol=1e-5)


@pytest.mark.parametrize("light", [200.0, 0.0])
def test_light_in_the_keyhole_is_recorded(light):
    frame = lit_frame(light)
    add_var([frame], BOTH, FakeContext())
    assert frame.header["LITLEVEL"] == pytest.approx(13.5 * light, abs=0.1)


def test_frame_without_a_usable_pixel_has_no_light_and_does_not_stop_the_run():
    frame = lit_frame(200.0)
    frame.mask[:] |= np.uint16(1)
    add_var([frame], BOTH, FakeContext())
    assert frame.header["LITLEVEL"] == 0


def test_nothing_is_corrected_where_no_polynomial_is_known():
    context = FakeContext()
    frame = in_electrons(raw_frame(np.full((20, 30), 1000.0)))
    correct_nonlinearity([frame], NonlinearityParams(), context)
    assert (frame.data == 13500).all()
    assert "no polynomial is known" in context.notes[0]


def test_bright_stars_of_an_array_without_polynomial_are_worth_one_warning_with_the_size_of_the_error():
    context = FakeContext()
    frames = [in_electrons(raw_frame(np.full((20, 30), level))) for level in (300.0, 3000.0)]
    correct_nonlinearity(frames, NonlinearityParams(), context)
    (warning,) = context.caveats
    # Two coadds of 30 s: at the limit of one, 64280 electrons, the polynomials of the array of 2013 add 10.8 %.
    assert "similar arrays read 1 % low at 11" in warning
    assert "8 % low at 64280" in warning
    assert frames[0].header["LINERR"] == frames[1].header["LINERR"]
    dark = in_electrons(raw_dark(np.full((20, 30), 3000.0)))
    correct_nonlinearity([dark], NonlinearityParams(), context)
    assert len(context.caveats) == 1


def test_polynomial_is_applied_per_coadd_and_row_parity_and_levels_follow():
    frame = in_electrons(raw_frame(np.full((20, 30), 4000.0), ARRAYID="SN7638228.1.2"))
    saturation = frame.header["SATLEVEL"]
    correct_nonlinearity([frame], NonlinearityParams(), FakeContext())
    counts, t, delta = 27000.0, 30.0, 1.3876736162675933
    for row, (gamma, eta) in ((0, (7.80927834e-07, 1.14904418e-11)), (1, (8.25762314e-07, 4.76417974e-12))):
        expected = 2 * counts * (1 + counts * (gamma + counts * eta)) * t / (t + delta)
        np.testing.assert_allclose(frame.data[row], expected, rtol=1e-6)
    assert frame.header["SATLEVEL"] > saturation
    before = frame.data
    correct_nonlinearity([frame], NonlinearityParams(do_cal="skip"), FakeContext())
    assert frame.data is before


@pytest.mark.parametrize("sound_rows", [0, 17])
def test_bright_pixels_that_cannot_be_used_are_no_bright_stars(sound_rows):
    context = FakeContext()
    data = np.full((20, 30), 100.0)
    data[:, 7:17] = 3000.0
    frame = in_electrons(raw_frame(data))
    frame.mask = np.zeros(data.shape, np.uint16)
    frame.mask[sound_rows:, 7:17] = 1
    correct_nonlinearity([frame], NonlinearityParams(), context)
    assert len(context.caveats) == (sound_rows > 0)
