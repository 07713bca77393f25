from __future__ import annotations

import math
from datetime import datetime

import pytest

from keyhole.errors import KeyholeError
from keyhole.headers import describe
from keyhole.headers.celestial import (
    Position,
    apparent_to_icrs,
    cirs_to_icrs,
    fk4_to_icrs,
    fk5_to_icrs,
    parse_angle,
)

WHEN = datetime(2016, 2, 2, 3, 4, 5)


@pytest.fixture(autouse=True)
def no_network():
    """astropy, the second opinion, would fetch tables of the Earth's rotation that matter here by microarcseconds."""
    from astropy.utils import iers

    with iers.conf.set_temp("auto_download", False), iers.conf.set_temp("iers_degraded_accuracy", "ignore"):
        yield


def separation(first: Position, second: Position) -> float:
    """Angle between two positions in arcsec, good for small angles."""
    dra = (first.ra - second.ra + 180) % 360 - 180
    return 3600 * math.hypot(dra * math.cos(math.radians(second.dec)), first.dec - second.dec)


@pytest.mark.parametrize("position", [(10.0, 20.0), (359.9999, -30.0), (180.0, 89.9), (0.0, -89.99), (123.4, 0.0)])
def test_fk5_is_converted_as_astropy_does(position):
    coordinates = pytest.importorskip("astropy.coordinates")
    slow = coordinates.SkyCoord(*position, unit="deg", frame="fk5").icrs
    fast = fk5_to_icrs(Position(*position))
    assert separation(fast, Position(slow.ra.deg, slow.dec.deg)) < 1e-6


@pytest.mark.parametrize("when", [datetime(2004, 2, 12, 4), WHEN, datetime(2018, 7, 1)])
@pytest.mark.parametrize("position", [(10.0, 20.0), (350.0, 89.9), (123.4, -60.0)])
def test_place_of_date_is_converted_as_astropy_does(position, when):
    coordinates = pytest.importorskip("astropy.coordinates")
    time = pytest.importorskip("astropy.time")
    frame = coordinates.CIRS(obstime=time.Time(when, scale="utc"))
    slow = coordinates.SkyCoord(*position, unit="deg", frame=frame).icrs
    fast = cirs_to_icrs(Position(*position), when)
    assert separation(fast, Position(slow.ra.deg, slow.dec.deg)) < 1e-5
    assert (fast.ra - slow.ra.deg + 180) % 360 - 180 == pytest.approx(0, abs=1e-6)


def test_apparent_place_is_counted_from_the_equinox_of_date():
    erfa = pytest.importorskip("erfa")
    origins = math.degrees(erfa.apci13(2457420.5, 0.128)[1])
    position = Position(350.0, 20.0)
    shifted = cirs_to_icrs(Position(350.0 + origins, 20.0), WHEN)
    assert separation(apparent_to_icrs(position, WHEN), shifted) < 1e-3
    # Sixteen years of general precession in right ascension, 46 arcsec a year.
    assert (cirs_to_icrs(position, WHEN).ra - shifted.ra) * 3600 == pytest.approx(16.1 * 46.1, rel=0.02)


def test_dates_far_ahead_give_no_warning():
    cirs_to_icrs(Position(1.0, 2.0), datetime(2090, 1, 1))
    cirs_to_icrs(Position(1.0, 2.0), datetime(1965, 1, 1))


def test_fk4_is_half_a_century_of_precession_away():
    found = fk4_to_icrs(Position(0.0, 0.0))
    assert found.ra == pytest.approx(0.640, abs=2e-3)
    assert found.dec == pytest.approx(0.278, abs=2e-3)


@pytest.mark.parametrize(
    ("value", "hours", "degrees"),
    [
        (12.5, True, 12.5),
        (3, True, 3.0),
        ("01:30:00", True, 22.5),
        ("01h30m00s", True, 22.5),
        ("22d30m", True, 22.5),
        ("-00:30:36", False, -0.51),
        ("33.5", False, 33.5),
        ("No Value", True, None),
        (None, True, None),
    ],
)
def test_angles_as_numbers_and_as_text(value, hours, degrees):
    assert parse_angle(value, hours=hours) == (None if degrees is None else pytest.approx(degrees, abs=1e-12))


def test_reference_point_of_the_extension_wins_over_the_primary(frame):
    wcs = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 1.0, "CRVAL2": 2.0}
    assert describe(frame(), "wcs_ra") == 100.001
    assert describe(frame(extensions=(wcs,)), "wcs_ra") == 1.0
    assert describe(frame(extensions=(wcs,)), "wcs_dec") == 2.0


def test_swapped_axes_are_understood(frame):
    headers = frame(CTYPE1="DEC--TAN", CTYPE2="RA---TAN", CRVAL1=60.0, CRVAL2=100.0)
    assert (describe(headers, "wcs_ra"), describe(headers, "wcs_dec")) == (100.0, 60.0)


@pytest.mark.parametrize("cards", [{"CTYPE1": None}, {"CTYPE1": "LINEAR"}, {"CRVAL1": None}])
def test_without_celestial_wcs_the_target_is_the_position(frame, cards):
    headers = frame(cards)
    assert describe(headers, "wcs_ra") is None
    assert describe(headers, "wcs_dec") is None
    assert (describe(headers, "ra"), describe(headers, "dec")) == (100.0, 60.0)


def test_wcs_of_a_moving_target_is_converted_from_date(frame):
    headers = frame(RATRACK=1.003)
    expected = apparent_to_icrs(Position(100.001, 60.001), datetime(2020, 3, 1, 12, 0, 0, 500000))
    assert describe(headers, "wcs_ra") == expected.ra
    assert describe(headers, "wcs_dec") == expected.dec


def test_target_with_offsets(frame):
    headers = frame(RAOFFSET=3.0, RATRGOFF=0.6, DECOFFSE=-7.2, DECTRGOF=0.0)
    declination = 60.0 - 7.2 / 3600
    assert describe(headers, "target_dec", offset=True) == pytest.approx(declination, abs=1e-12)
    expected = 100.0 + 3.6 / 3600 / math.cos(math.radians(declination))
    assert describe(headers, "target_ra", offset=True) == pytest.approx(expected, abs=1e-12)
    assert describe(headers, "target_ra") == 100.0


def test_proper_motion_in_ra_is_in_seconds_of_time_without_cosine(frame):
    headers = frame({"PMRA": 0.02, "PMDEC": -0.1, "EPOCH": 2010.0})
    years = decimal = 10 + (31 + 29 + 0.5 + 0.5 / 86400) / 366
    assert describe(headers, "target_ra") == pytest.approx(100 + 0.02 * 15 / 3600 * years, abs=1e-12)
    assert describe(headers, "target_dec") == pytest.approx(60 - 0.1 / 3600 * decimal, abs=1e-12)
    assert describe(headers, "target_ra", pm=False) == 100.0
    assert describe(headers, "target_dec", pm=False) == 60.0


def test_epoch_is_2000_unless_told(frame):
    assert describe(frame(PMDEC=1.0), "target_dec") == pytest.approx(60 + 20.1656 / 3600, abs=1e-6)


def test_target_in_icrs_follows_the_frame_card(frame):
    when, position = datetime(2020, 3, 1, 12, 0, 0, 500000), Position(100.0, 60.0)
    expected = {
        "FK5": fk5_to_icrs(position),
        None: fk5_to_icrs(position),
        "ICRS": position,
        "FK4": fk4_to_icrs(position),
        "APPT": apparent_to_icrs(position, when),
        "AZEL_TOPO": cirs_to_icrs(position, when),
        "No Value": cirs_to_icrs(position, when),
    }
    for name, place in expected.items():
        headers = frame(FRAME=name)
        assert describe(headers, "target_ra", icrs=True) == place.ra
        assert describe(headers, "target_dec", icrs=True) == place.dec


def test_absurd_declination_cannot_be_converted_and_is_told(frame):
    headers = frame(DEC=-9999.0)
    for name in ("target_ra", "target_dec"):
        with pytest.raises(ValueError, match=r"N20200301S0001.*-9999") as raised:
            describe(headers, name, icrs=True)
        assert isinstance(raised.value, KeyholeError)
    assert describe(headers, "ra") == 100.001
    assert describe(headers, "dec") == 60.001


def test_missing_target_gives_none(frame):
    headers = frame(RA=None, DEC=None)
    for options in ({}, {"offset": True}, {"pm": False}, {"icrs": True, "offset": True}):
        assert describe(headers, "target_ra", **options) is None
    assert describe(headers, "target_dec", offset=True) is None
    assert describe(headers, "ra") == 100.001


def test_wcs_far_from_the_target_is_not_believed(frame):
    target = fk5_to_icrs(Position(100.0, 60.0))
    near, far = 60 + 999 / 3600, 60 + 1001 / 3600
    assert describe(frame(CRVAL2=near), "dec") == near
    assert describe(frame(CRVAL2=far), "dec") == target.dec
    # The distance in right ascension is divided by the cosine of the declination: 500 count double at 60.
    assert describe(frame(CRVAL1=100 + 495 / 3600), "ra") == 100 + 495 / 3600
    assert describe(frame(CRVAL1=100 + 505 / 3600), "ra") == target.ra


def test_right_ascensions_on_both_sides_of_zero_are_near(frame):
    assert describe(frame(RA=0.001, CRVAL1=359.999), "ra") == 359.999


def test_generic_position_is_that_of_the_wcs(frame):
    headers = frame(INSTRUME="NIRI", CRVAL1=5.0, CRVAL2=6.0)
    assert (describe(headers, "ra"), describe(headers, "dec")) == (5.0, 6.0)
