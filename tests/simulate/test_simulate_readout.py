from __future__ import annotations

import numpy as np
import pytest

from keyhole.instruments import load
from keyhole.simulate.array import build_array
from keyhole.simulate.artefacts import Afterglow, cosmic_rays
from keyhole.simulate.options import NightOptions
from keyhole.simulate.readout import Exposure, expected_dark, expose, response_curve

GNIRS = load("GNIRS")
SHAPE = (200, 210)
GAIN, READ_NOISE, WELL, LIMIT = 13.5, 10.0, 90000.0, 0.714286


def settings(exptime=60.0, coadds=1, *, linear=False):
    return Exposure(exptime, coadds, GAIN, READ_NOISE, response_curve(WELL, LIMIT, exptime, None, linear=linear))


def plain(*kept):
    """Options with these effects alone."""
    from keyhole.simulate.options import EFFECTS

    return NightOptions(without=set(EFFECTS) - set(kept))


def take(light, options, *, exposure=None, serial=0):
    array = build_array(SHAPE, seed=5, options=options)
    image = np.full(SHAPE, light, np.float32)
    return array, expose(image, exposure or settings(linear=True), array, seed=5, serial=serial, options=options)


def test_without_any_effect_light_becomes_adu():
    _, adu = take(2700.0, plain())
    assert adu.dtype == np.float32
    assert np.all(adu == np.float32(200.0))


@pytest.mark.parametrize("coadds", [1, 4])
def test_read_noise_grows_with_the_root_of_the_coadds(coadds):
    _, adu = take(0.0, plain("read-noise"), exposure=settings(10.0, coadds, linear=True))
    assert (adu * GAIN).std() == pytest.approx(READ_NOISE * np.sqrt(coadds), rel=0.02)
    assert (adu * GAIN).mean() == pytest.approx(0.0, abs=0.5)


def test_light_has_the_variance_of_its_electrons():
    _, adu = take(3720.0, plain("poisson"))
    electrons = adu * GAIN
    assert electrons.mean() == pytest.approx(3720.0, abs=1.5)
    assert electrons.var() == pytest.approx(3720.0, rel=0.03)


def test_darks_scatter_as_the_noise_model_says():
    options = NightOptions(without=["cosmic-rays", "bad-pixels"])
    array = build_array(SHAPE, seed=5, options=options)
    dark = np.zeros(SHAPE, np.float32)
    frames = np.array([expose(dark, settings(), array, seed=5, serial=k, options=options) * GAIN for k in range(40)])
    truth = expected_dark(settings(), array)
    # Read noise, dark current and the jitter of tile and pedestal.
    variance = READ_NOISE**2 + array.dark_rate.mean() * 60 + 0.7**2 + 0.5**2
    assert frames.var(axis=0, ddof=1).mean() == pytest.approx(variance, rel=0.02)
    pull = (frames.mean(axis=0) - truth) / np.sqrt(variance / 40)
    assert pull.std() == pytest.approx(1.0, abs=0.03)
    assert abs(pull.mean()) < 0.3


def test_the_electronic_offset_is_added_by_every_coadd():
    array, one = take(0.0, plain("pedestal", "pattern"), exposure=settings(30.0, 1, linear=True))
    _, two = take(0.0, plain("pedestal", "pattern"), exposure=settings(30.0, 2, linear=True))
    assert (one * GAIN).mean() == pytest.approx(array.offset.mean(), abs=2.0)
    assert (two * GAIN).mean() == pytest.approx(2 * array.offset.mean(), abs=3.0)


def test_an_array_without_polynomial_is_linear_to_two_thousandths_and_then_saturates():
    curve = response_curve(WELL, LIMIT, 60.0, None)
    true, read = curve.true, curve.measured[0]
    below = (true > 0) & (true <= LIMIT * WELL)
    assert np.max(1 - read[below] / true[below]) <= 0.002 + 1e-9
    assert np.all(np.diff(read) >= 0)
    assert read[-1] > WELL
    assert np.interp(0.9 * WELL, true, read) < 0.9 * WELL


@pytest.mark.parametrize("parity", [0, 1])
def test_the_measured_polynomial_undoes_the_response(parity):
    polynomial = GNIRS.nonlinearity("SN7638228.1.2", "Faint Objects", "Shallow")
    exptime = 30.0
    curve = response_curve(78000.0, 0.95, exptime, polynomial)
    rows = np.full((4, 3), 50000.0 * curve.exposure_factor, np.float32)
    read = curve.apply(rows, np.ones_like(rows))[parity].astype(np.float64)
    gamma, eta = polynomial.even if parity == 0 else polynomial.odd
    corrected = read * (1 + read * (gamma + read * eta)) * exptime / (exptime + polynomial.time_delta)
    assert corrected == pytest.approx(50000.0, rel=1e-5)


def test_light_is_collected_for_longer_than_the_nominal_exposure_with_its_photon_noise():
    polynomial = GNIRS.nonlinearity("SN7638228.1.2", "Faint Objects", "Shallow")
    curve = response_curve(78000.0, 0.95, 1.2, polynomial)
    assert curve.exposure_factor == pytest.approx(1 + polynomial.time_delta / 1.2)
    exposure = Exposure(1.2, 1, GAIN, READ_NOISE, curve)
    _, adu = take(10000.0, plain("poisson"), exposure=exposure)
    collected = 10000.0 * curve.exposure_factor
    even, odd = (np.interp(collected, curve.true, curve.measured[parity]) for parity in (0, 1))
    assert np.mean(adu[::2]) * GAIN == pytest.approx(even, rel=0.002)
    assert np.std(adu[::2] * GAIN) == pytest.approx(np.sqrt(collected), rel=0.1)
    assert np.mean(adu[1::2]) * GAIN == pytest.approx(odd, rel=0.002)


def test_saturation_is_reached_per_coadd_and_never_below_the_well():
    options = plain("non-linearity")
    _, adu = take(4.0e5, options, exposure=settings(30.0, 2))
    assert (adu * GAIN).min() >= 2 * WELL * 0.9999
    _, adu = take(1.2e5, options, exposure=settings(30.0, 2))
    assert (adu * GAIN).max() == pytest.approx(1.2e5, rel=0.003)


def test_cosmic_rays_come_at_their_rate():
    rng = np.random.default_rng(2)
    shape = (1022, 1024)
    hits = [np.count_nonzero(cosmic_rays(shape, 60.0, rng) > 300) for _ in range(20)]
    # About 12 hits, a quarter of them tracks of ten pixels.
    assert 20 < np.mean(hits) < 60


def test_afterglow_remembers_bright_light_only_and_fades():
    glow = Afterglow((1, 3), WELL)
    assert not glow.glow(0.0, 60.0).any()
    glow.remember(np.array([[80000.0, 15000.0, 5e5]], np.float32), 1, 60.0)
    soon, late = glow.glow(60.0, 60.0)[0], glow.glow(360.0, 60.0)[0]
    assert soon == pytest.approx([5e-4 * 62000, 0.0, 5e-4 * 72000])
    assert late[0] == pytest.approx(soon[0] * np.exp(-2), rel=1e-5)
