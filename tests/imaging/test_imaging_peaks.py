"""Faint stars found under a filter as wide as the seeing."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from keyhole.imaging import peaks
from keyhole.imaging.detect import detect_sources
from keyhole.imaging.peaks import faint_peaks, filtered

SHAPE = (160, 260)
FWHM = 10.0
NOISE = 5.0


def star(x, y, flux, fwhm=FWHM):
    grid_y, grid_x = np.indices(SHAPE)
    sigma = fwhm / 2.3548
    return flux * np.exp(-((grid_x - x) ** 2 + (grid_y - y) ** 2) / (2 * sigma**2)) / (2 * np.pi * sigma**2)


def flux_of(snr, fwhm=FWHM):
    """Light of a star of that signal to noise under optimal weights."""
    return snr * NOISE * np.sqrt(4 * np.pi * (fwhm / 2.3548) ** 2)


@pytest.fixture(scope="module")
def field():
    rng = np.random.default_rng(17)
    places = [(30, 30), (80, 120), (140, 40), (200, 100), (230, 30)]
    image = rng.normal(0, NOISE, SHAPE) + sum(star(x, y, flux_of(8.0)) for x, y in places)
    # A bright star with a faint one on its slope.
    image += star(120, 90, flux_of(600)) + star(120 + 2.2 * FWHM, 90, flux_of(20))
    return image.astype(np.float32), [*places, (120, 90), (142, 90)]


def found_near(table, place):
    gaps = np.hypot(np.array(table["X_IMAGE"]) - 1 - place[0], np.array(table["Y_IMAGE"]) - 1 - place[1])
    return bool((gaps < FWHM / 2).any())


def test_faint_wide_stars_are_found_and_nothing_else(field):
    image, places = field
    variance = np.full(SHAPE, NOISE**2, np.float32)
    plain = detect_sources(image, variance, pixel_scale=0.05, back_size=64).catalogue
    found = detect_sources(image, variance, pixel_scale=0.05, back_size=64, fwhm=FWHM)
    assert not all(found_near(plain, place) for place in places)
    assert all(found_near(found.catalogue, place) for place in places)
    assert len(found.catalogue["NUMBER"]) == len(places)
    table = found.catalogue
    faint = np.hypot(table["X_IMAGE"] - 31, table["Y_IMAGE"] - 31).argmin()
    assert table["FLUX_AUTO"][faint] == pytest.approx(flux_of(8.0), abs=4 * float(table["FLUXERR_AUTO"][faint]))
    assert (np.diff(np.unique(table["NUMBER"])) == 1).all()


def test_noise_alone_has_no_peaks_even_if_it_is_correlated():
    rng = np.random.default_rng(23)
    noise = rng.normal(0, 1, SHAPE)
    smooth = (noise + np.roll(noise, 1, 0) + np.roll(noise, 1, 1) + np.roll(noise, (1, 1), (0, 1))) / 2
    hidden = np.zeros(SHAPE, bool)
    many = faint_peaks(smooth, np.ones(SHAPE), hidden, fwhm=4.0, threshold=4.0)
    # Sums over many pixels have twice the noise that the variance of the pixels promises.
    few = faint_peaks(smooth, np.ones(SHAPE), hidden, fwhm=4.0, threshold=4.0, correlation=2.0)
    assert len(few.x) <= 1
    assert len(many.x) > 10


def test_single_pixel_and_slope_are_no_stars():
    x = np.arange(SHAPE[1])
    image = np.broadcast_to(3.0 * x, SHAPE).astype(np.float32).copy()
    image[50, 60] += 4000.0
    found = faint_peaks(image, np.full(SHAPE, NOISE**2), np.zeros(SHAPE, bool), fwhm=4.0, threshold=5.0)
    inner = (found.x > 10) & (found.x < SHAPE[1] - 10) & (found.y > 10) & (found.y < SHAPE[0] - 10)
    assert not inner.any()


def test_hidden_pixels_make_no_peaks(field):
    image, _ = field
    hidden = np.zeros(SHAPE, bool)
    hidden[:, 100:180] = True
    found = faint_peaks(image, np.full(SHAPE, NOISE**2), hidden, fwhm=FWHM, threshold=4.0)
    assert not hidden[found.y, found.x].any()
    everything = faint_peaks(image, np.full(SHAPE, NOISE**2), ~np.zeros(SHAPE, bool), fwhm=FWHM, threshold=4.0)
    assert len(everything.x) == 0


@pytest.mark.parametrize("shape", [(60, 50), (300, 41), (29, 520)])
def test_filter_in_pieces_is_a_correlation(shape):
    image = np.random.default_rng(11).normal(0, 10, shape).astype(np.float32)
    grid = np.arange(-7, 8)
    kernel = np.exp(-(grid[:, np.newaxis] ** 2 + 2 * grid**2) / 20.0) - 0.1
    plain = ndimage.correlate(image.astype(np.float64), kernel, mode="constant")
    np.testing.assert_allclose(filtered(image, kernel), plain, atol=1e-3)


@pytest.mark.parametrize("fwhm", [3.0, 4.6])
def test_peaks_are_those_of_a_search_of_every_pixel(fwhm):
    rng = np.random.default_rng(12)
    image = ndimage.gaussian_filter(rng.normal(0, 100, (120, 140)), 2.5).astype(np.float32)
    variance = np.full(image.shape, 400.0, np.float32)
    variance += np.arange(140, dtype=np.float32)  # no pixel is sharp in so much noise
    hidden = np.zeros(image.shape, bool)
    hidden[40:50, 20:30] = hidden[:, 130:] = True
    image[hidden] = 0
    found = faint_peaks(image, variance, hidden, fwhm=fwhm, threshold=2.5, correlation=1.4)
    grid = np.arange(-int(np.ceil(2.5 * fwhm)), int(np.ceil(2.5 * fwhm)) + 1)
    square = grid[:, np.newaxis] ** 2 + grid**2
    disc = square <= (2.5 * fwhm) ** 2
    shape = np.where(disc, np.exp(-4 * np.log(2) * square / fwhm**2), 0.0)
    kernel = np.where(disc, shape - shape[disc].mean(), 0.0)
    height = ndimage.correlate(image.astype(np.float64), kernel, mode="constant")
    noise = 1.4 * np.sqrt(ndimage.correlate(np.where(hidden, 0, variance).astype(float), kernel**2, mode="constant"))
    seen = ndimage.correlate((~hidden).astype(float), shape, mode="constant") / shape.sum()
    snr = np.where(~hidden & (seen > 0.65), height / np.maximum(noise, 1e-9), 0.0)
    highest = snr == ndimage.maximum_filter(snr, footprint=square <= (0.7 * fwhm) ** 2)
    # Where the noise changes within the filter, bins may move a peak by a pixel or two.
    found_at = np.column_stack([found.y, found.x])
    for these, those in (
        (np.argwhere(highest & (snr > 2.7) & (seen > 0.8)), found_at),
        (found_at, np.argwhere(highest & (snr > 2.3))),
    ):
        assert len(these) > 5
        gaps = np.hypot(*(these[:, np.newaxis] - those).transpose(2, 0, 1)).min(axis=1)
        assert these[gaps > 2.5].tolist() == []
    np.testing.assert_allclose(found.snr, snr[found.y, found.x], rtol=0.06)


@pytest.mark.parametrize("fwhm", [2.2, 3.1, 5.0])
def test_bins_that_tell_about_the_noise_lose_no_peak(fwhm, monkeypatch):
    rng = np.random.default_rng(13)
    variance = rng.uniform(50, 150, (150, 160)).astype(np.float32)
    variance[:, 90:] *= 6
    image = (rng.normal(0, 1, variance.shape) * np.sqrt(variance)).astype(np.float32)
    hidden = rng.random(variance.shape) < 0.02
    hidden[:9] = hidden[60:66, 40:44] = True
    found = faint_peaks(image, variance, hidden, fwhm=fwhm, threshold=2.5)
    monkeypatch.setattr(peaks, "_SAFE", 0.3)
    every = faint_peaks(image, variance, hidden, fwhm=fwhm, threshold=2.5)
    assert len(every.x) > 5
    assert set(zip(found.x, found.y, strict=True)) == set(zip(every.x, every.y, strict=True))
    np.testing.assert_allclose(found.snr, every.snr, rtol=1e-5)


@pytest.mark.parametrize("few", [True, False])
def test_a_filter_at_some_pixels_is_that_of_all(few, monkeypatch):
    rng = np.random.default_rng(11)
    image, kernel = rng.random((70, 90)).astype(np.float32), rng.random((9, 9))
    kernel[0, :3] = 0
    kernel = kernel + kernel[::-1, ::-1]
    y, x = rng.integers(0, 70, 40), rng.integers(0, 90, 40)
    monkeypatch.setattr(peaks, "_WORTH_IT", np.inf if few else 0.0)
    monkeypatch.setattr(peaks, "_AT_ONCE", 7)
    plain = ndimage.correlate(image.astype(np.float64), kernel, mode="constant")[y, x]
    np.testing.assert_allclose(peaks._filtered_at(image, kernel, y, x), plain, rtol=1e-5)
