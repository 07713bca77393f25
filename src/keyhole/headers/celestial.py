"""Conversions of a position to ICRS, as a sky catalogue wants it. All angles in degrees.

`erfa`, and numpy with it, is imported when a position of date is converted, which few frames need.
"""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import Any, NamedTuple

__all__ = ["Position", "apparent_to_icrs", "cirs_to_icrs", "fk4_to_icrs", "fk5_to_icrs", "parse_angle"]

# Rotation vector from the FK5 to the ICRS axes about x, y, z, milliarcsec: the FK5-Hipparcos orientation at
# J2000 (Mignard & Froeschle 2000, A&A 354, 732).
FK5_TO_ICRS = (19.9, 9.1, -22.9)
MILLIARCSEC = math.radians(1 / 3.6e6)
# TAI - UTC since the last leap second, 2017-01-01; erfa knows the earlier ones.
LAST_LEAP_YEAR = 2017
TAI_MINUS_UTC = 37.0
TT_MINUS_TAI = 32.184
SECONDS_PER_DAY = 86400.0
# Julian date at midnight of the day with ordinal 0 of datetime.toordinal().
JD_OF_ORDINAL_ZERO = 1721424.5

_NUMBER = re.compile(r"\d+(?:\.\d*)?|\.\d+")


class Position(NamedTuple):
    """Right ascension and declination in degrees."""

    ra: float
    dec: float


def fk5_to_icrs(position: Position) -> Position:
    """ICRS position of an FK5 J2000 position without proper motion: a rotation by 32 mas."""
    right, up = math.radians(position.ra), math.radians(position.dec)
    x, y, z = math.cos(up) * math.cos(right), math.cos(up) * math.sin(right), math.sin(up)
    # The rotation is so small that its second order, 3e-15, does not count.
    rx, ry, rz = (angle * MILLIARCSEC for angle in FK5_TO_ICRS)
    x, y, z = x + ry * z - rz * y, y + rz * x - rx * z, z + rx * y - ry * x
    return Position(math.degrees(math.atan2(y, x)) % 360.0, math.degrees(math.atan2(z, math.hypot(x, y))))


def fk4_to_icrs(position: Position) -> Position:
    """ICRS position of an FK4 B1950 position without proper motion in an inertial frame."""
    erfa = _erfa()

    right, up = erfa.fk45z(math.radians(position.ra), math.radians(position.dec), 1950.0)
    return fk5_to_icrs(Position(math.degrees(float(right)), math.degrees(float(up))))


def cirs_to_icrs(position: Position, instant: datetime) -> Position:
    """ICRS position of a geocentric position of date, counted from the celestial intermediate origin.

    Parameters
    ----------
    position : Position
        At `instant`.
    instant : datetime
        UT.
    """
    erfa = _erfa()

    right, up, _ = erfa.atic13(math.radians(position.ra), math.radians(position.dec), *_terrestrial(instant))
    return Position(math.degrees(float(right)) % 360.0, math.degrees(float(up)))


def apparent_to_icrs(position: Position, instant: datetime) -> Position:
    """ICRS position of an apparent place at `instant` (UT), its right ascension from the equinox of date."""
    erfa = _erfa()

    _, equation_of_origins = erfa.apci13(*_terrestrial(instant))
    return cirs_to_icrs(Position(position.ra + math.degrees(float(equation_of_origins)), position.dec), instant)


def parse_angle(value: Any, *, hours: bool) -> float | None:
    """An angle in degrees from a number of degrees or a sexagesimal text.

    Parameters
    ----------
    value : object
        Number, or text as ``12:34:56.7``, ``12h34m56.7s``, ``12d34m``.
    hours : bool
        Whether a text that does not say degrees is in hours.

    Returns
    -------
    float or None
        None when no angle is there.
    """
    if isinstance(value, (int, float)):
        return float(value)
    if not isinstance(value, str):
        return None
    parts = [float(part) for part in _NUMBER.findall(value)]
    if not 1 <= len(parts) <= 3:
        return None
    angle: float = sum(part / float(60**i) for i, part in enumerate(parts))
    if hours and "d" not in value.lower():
        angle *= 15.0
    return -angle if value.strip().startswith("-") else angle


def _terrestrial(instant: datetime) -> tuple[float, float]:
    """Terrestrial time as Julian date of midnight and fraction of the day."""
    erfa = _erfa()

    midnight = datetime(instant.year, instant.month, instant.day)
    offset = TAI_MINUS_UTC
    if instant.year < LAST_LEAP_YEAR:
        # Not asked for later years, of which erfa would warn that leap seconds may come.
        offset = float(erfa.dat(max(instant.year, 1972), instant.month, instant.day, 0.0))
    seconds = (instant - midnight).total_seconds() + offset + TT_MINUS_TAI
    return instant.toordinal() + JD_OF_ORDINAL_ZERO, seconds / SECONDS_PER_DAY


def _erfa() -> Any:
    import erfa  # type: ignore[import-untyped]  # brings numpy

    return erfa
