"""Telescope pointing as seen from Mauna Kea, exact enough for header cards."""

from __future__ import annotations

import math
from datetime import datetime
from typing import NamedTuple

__all__ = ["Altaz", "altaz", "julian_date", "sexagesimal", "sidereal_time"]

_LATITUDE, _LONGITUDE = 19.8238, -155.46904  # degrees, Gemini North
_J2000 = datetime(2000, 1, 1, 12)


class Altaz(NamedTuple):
    """Elevation, azimuth, hour angle and parallactic angle in degrees, and the airmass sec(z)."""

    elevation: float
    azimuth: float
    hour_angle: float
    parallactic: float
    airmass: float


def julian_date(time: datetime) -> float:
    """Give the Julian date of a UT."""
    return 2451545.0 + (time - _J2000).total_seconds() / 86400.0


def sidereal_time(time: datetime) -> float:
    """Give the local mean sidereal time in degrees (linear part of the IAU 1982 expression)."""
    days = (time - _J2000).total_seconds() / 86400.0
    return (280.46061837 + 360.98564736629 * days + _LONGITUDE) % 360.0


def altaz(ra: float, dec: float, time: datetime) -> Altaz:
    """Give the place of (ra, dec), degrees, on the sky at a UT."""
    hour_angle = (sidereal_time(time) - ra + 180.0) % 360.0 - 180.0
    h, d, lat = math.radians(hour_angle), math.radians(dec), math.radians(_LATITUDE)
    sin_altitude = math.sin(lat) * math.sin(d) + math.cos(lat) * math.cos(d) * math.cos(h)
    azimuth = math.atan2(
        -math.cos(d) * math.sin(h), math.sin(d) * math.cos(lat) - math.cos(d) * math.cos(h) * math.sin(lat)
    )
    parallactic = math.atan2(
        math.sin(h) * math.cos(lat), math.sin(lat) * math.cos(d) - math.cos(lat) * math.sin(d) * math.cos(h)
    )
    return Altaz(
        elevation=math.degrees(math.asin(sin_altitude)),
        azimuth=math.degrees(azimuth) % 360.0,
        hour_angle=hour_angle,
        parallactic=math.degrees(parallactic),
        airmass=1.0 / sin_altitude,
    )


def sexagesimal(hours: float, *, digits: int, signed: bool = False) -> str:
    """Write hours as hh:mm:ss with decimals, with a sign if wanted."""
    total = round(abs(hours) * 3600.0, digits)
    sign = ("-" if hours < 0 else "+") if signed else ""
    minutes, seconds = divmod(total, 60.0)
    whole_hours, minutes = divmod(int(minutes), 60)
    return f"{sign}{whole_hours:02d}:{minutes:02d}:{seconds:0{3 + digits}.{digits}f}"
