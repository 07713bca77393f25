from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest
from astropy.wcs import WCS

from keyhole.simulate.ephemeris import altaz, julian_date, sexagesimal, sidereal_time
from keyhole.simulate.geometry import TARGET, SkyGeometry

GEOMETRY = SkyGeometry(0.1517)


def header_wcs(poffset, qoffset):
    cards = GEOMETRY.header_wcs(poffset, qoffset)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crpix, wcs.wcs.crval, wcs.wcs.cd = cards.crpix, cards.crval, cards.cd
    return wcs


def test_the_recorded_frame_has_its_recorded_reference_point_and_offsets():
    cards = GEOMETRY.header_wcs(0.0, -25.0)
    assert cards.crval == pytest.approx((16.23384, 33.92814), abs=5e-6)
    assert GEOMETRY.telescope_offsets(0.0, -25.0) == pytest.approx((24.99966, 0.13090), abs=5e-6)


@pytest.mark.parametrize(("poffset", "qoffset"), [(0.0, 0.0), (0.0, -25.0), (2.0, 17.0)])
def test_the_header_puts_the_target_where_the_commanded_offsets_do(poffset, qoffset):
    pixel = header_wcs(poffset, qoffset).all_world2pix(*TARGET, 0)
    expected = GEOMETRY.target_pixel + np.array([qoffset, -poffset]) / 0.1517
    assert np.array(pixel) == pytest.approx(expected, abs=1e-3)


def test_true_pixels_are_square_and_those_of_the_header_are_not():
    corners = GEOMETRY.target_pixel + np.array([[0.0, 0.0], [100.0, 0.0], [0.0, 100.0]])

    def lengths(sky):
        east = (sky[:, 0] - sky[0, 0]) * np.cos(np.radians(TARGET[1])) * 3600
        return np.hypot(east, (sky[:, 1] - sky[0, 1]) * 3600)[1:]

    assert lengths(GEOMETRY.to_sky(corners)) == pytest.approx([15.17, 15.17], abs=2e-3)
    stated = np.column_stack(header_wcs(0.0, 0.0).all_pix2world(corners[:, 0], corners[:, 1], 0))
    assert lengths(stated) == pytest.approx([15.17, 16.06], abs=1e-2)


def test_sky_and_pixels_convert_both_ways():
    pixels = np.array([[0.0, 0.0], [1023.0, 10.0], [500.5, 1021.0]])
    sky = GEOMETRY.to_sky(pixels)
    assert GEOMETRY.to_pixel(sky[:, 0], sky[:, 1]) == pytest.approx(pixels, abs=1e-6)


def test_the_sky_and_the_header_have_the_same_handedness_and_x_axis():
    step = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]) * 50 + GEOMETRY.target_pixel
    header = header_wcs(0.0, 0.0)
    true = header.all_world2pix(GEOMETRY.to_sky(step), 0)
    along, across = true[1] - true[0], true[2] - true[0]
    assert along == pytest.approx([50.0, 0.0], abs=0.01)
    assert across[1] > 45


def test_the_target_stands_where_the_record_says():
    place = altaz(*TARGET, datetime(2012, 1, 17, 5, 41, 49, 500000))
    assert round(place.airmass, 3) == 1.154


def test_times_are_astronomical():
    assert julian_date(datetime(2012, 1, 17)) == 2455943.5
    # Real header N20120103S0134: ST at UT.
    assert sidereal_time(datetime(2012, 1, 3, 9, 8, 36, 200000)) / 15 == pytest.approx(5.6061, abs=3e-3)
    assert sexagesimal(-0.5, digits=2, signed=True) == "-00:30:00.00"
    assert sexagesimal(5.999999, digits=1) == "06:00:00.0"
