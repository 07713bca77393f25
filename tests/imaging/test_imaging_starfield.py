"""Faint stars beside bright ones, and what the catalogue says of crowded stars."""

from __future__ import annotations

import numpy as np
import pytest

from keyhole.imaging.bits import SATURATED
from keyhole.imaging.detect import detect_sources

SHAPE = (150, 400)
FWHM = 4.0
NOISE = 10.0
ALPHA = FWHM / (2 * np.sqrt(2**0.4 - 1))
BRIGHT = [(60.2, 70.4), (130.7, 50.1), (200.3, 90.6), (270.5, 60.0), (340.1, 80.3)]


def star(x, y, flux, stretch=1.0):
    grid_y, grid_x = np.indices(SHAPE)
    square = ((grid_x - x) / stretch) ** 2 + ((grid_y - y) * stretch) ** 2
    return flux * 1.5 / (np.pi * ALPHA**2) * (1 + square / ALPHA**2) ** -2.5


def flux_of(snr):
    """Light of a star of that signal to noise under optimal weights."""
    return snr * NOISE * np.sqrt(np.pi * ALPHA**2 * 4 / 1.5**2)


def found(image, *, bits=None, **choices):
    variance = np.full(SHAPE, NOISE**2, np.float32)
    return detect_sources(
        image.astype(np.float32), variance, bits, pixel_scale=0.15, **{"fwhm": FWHM, **choices}
    ).catalogue


def row_near(table, place):
    gaps = np.hypot(table["X_IMAGE"] - 1 - place[0], table["Y_IMAGE"] - 1 - place[1])
    return int(gaps.argmin()) if gaps.size and gaps.min() < 0.5 * FWHM else None


def field(seed, extra=(), stretch=1.0, bright=1500):
    rng = np.random.default_rng(seed)
    image = rng.normal(0, NOISE, SHAPE)
    for x, y in BRIGHT:
        image += star(x, y, flux_of(bright), stretch)
    for x, y, snr in extra:
        image += star(x, y, flux_of(snr), stretch)
    return image


@pytest.mark.parametrize("stretch", [1.0, 1.1])
def test_faint_stars_on_the_slope_of_bright_ones_are_found(stretch):
    faint = [(x + 1.9 * FWHM * np.cos(k), y + 1.9 * FWHM * np.sin(k), 25.0) for k, (x, y) in enumerate(BRIGHT)]
    table = found(field(3, faint, stretch))
    rows = [row_near(table, place[:2]) for place in faint]
    assert all(row is not None for row in rows)
    assert len(table["NUMBER"]) == len(BRIGHT) + len(faint)
    # They say that they have a neighbour, and their light is about right.
    assert all(table["FLAGS"][row] & 3 for row in rows)
    light = np.array([table["FLUX_AUTO"][row] for row in rows])
    assert np.median(light) == pytest.approx(flux_of(25.0), rel=0.3)


@pytest.mark.parametrize("stretch", [1.0, 1.15])
def test_residuals_of_bright_stars_are_no_stars(stretch):
    table = found(field(5, stretch=stretch, bright=20000))
    assert len(table["NUMBER"]) == len(BRIGHT)


def test_bright_and_faint_stars_have_one_zero_point():
    rng = np.random.default_rng(6)
    places = [(float(x), float(y)) for x in range(25, 390, 33) for y in (35, 75, 115)]
    snrs = np.where(np.arange(len(places)) % 3 == 0, 800.0, 40.0)
    moved = [(x + rng.uniform(-4, 4), y + rng.uniform(-4, 4)) for x, y in places]
    image = rng.normal(0, NOISE, SHAPE) + sum(star(x, y, flux_of(s)) for (x, y), s in zip(moved, snrs, strict=True))
    for total, difference in ((True, 0.0), (False, 0.045)):
        table = found(image, total_flux=total)
        rows = [row_near(table, place) for place in moved]
        ratio = np.array([table["FLUX_AUTO"][row] for row in rows]) / [flux_of(s) for s in snrs]
        error = np.array([table["FLUXERR_AUTO"][row] for row in rows]) / [flux_of(s) for s in snrs]
        bright = np.median(ratio[snrs > 100])
        assert bright - np.median(ratio[snrs < 100]) == pytest.approx(difference, abs=0.015)
        if total:
            pulls = ((ratio / bright - 1) / error)[snrs < 100]
            assert 0.7 < pulls.std() < 1.3
            assert bright == pytest.approx(1.0, abs=0.02)


def test_hidden_companion_is_flagged_as_a_blend():
    x, y = BRIGHT[0]
    table = found(field(9, [(x + 0.75 * FWHM, y, 1200.0)]))
    assert table["FLAGS"][row_near(table, (x + 0.37 * FWHM, y))] & 2
    alone = row_near(table, BRIGHT[2])
    assert table["FLAGS"][alone] == 0


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (40, 60)])
@pytest.mark.parametrize("fwhm", [0.8, 5.0, 40.0])
@pytest.mark.parametrize("bit", [0, 1, SATURATED])
def test_odd_images_are_searched_all_the_same(shape, fwhm, bit):
    image = np.random.default_rng(1).normal(0, 1, shape).astype(np.float32)
    image[::2] = np.nan
    bits = np.full(shape, bit, np.uint16)
    result = detect_sources(image, np.ones(shape, np.float32), bits, pixel_scale=0.15, fwhm=fwhm)
    assert result.objmask.shape == shape
    assert all(np.isfinite(values).all() for values in result.catalogue.values())


def test_saturated_star_is_one_source():
    image, bits = field(11), np.zeros(SHAPE, np.uint16)
    core = star(*BRIGHT[1], flux_of(60000))
    top = 0.1 * core.max()
    image = np.minimum(image + core, top)
    bits[image >= top] = SATURATED
    table = found(image, bits=bits)
    assert table["FLAGS"][row_near(table, BRIGHT[1])] & 4
    assert len(table["NUMBER"]) == len(BRIGHT)


def test_lone_bad_pixel_in_a_core_changes_nothing():
    image, bits = field(12), np.zeros(SHAPE, np.uint16)
    x, y = (round(v) for v in BRIGHT[3])
    whole = found(image)
    bits[y, x] = 1
    image[y, x] = -1e4
    table = found(image, bits=bits)
    assert len(table["NUMBER"]) == len(BRIGHT)
    for name in ("FLUX_AUTO", "X_IMAGE"):
        assert table[name][row_near(table, BRIGHT[3])] == pytest.approx(
            whole[name][row_near(whole, BRIGHT[3])], rel=0.01
        )


def test_background_behind_wings_is_taken_away():
    image = field(13, bright=8000) + 50.0
    table = found(image)
    far = row_near(table, BRIGHT[4])
    assert table["BACKGROUND"][far] == pytest.approx(50.0, abs=2.0)
