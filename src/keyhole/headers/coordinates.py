"""Where a frame points: the reference point of its WCS, and its target. All angles in degrees."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from keyhole.headers.celestial import (
    Position,
    apparent_to_icrs,
    cirs_to_icrs,
    fk4_to_icrs,
    fk5_to_icrs,
    parse_angle,
)
from keyhole.headers.model import Headers, HeaderValueError
from keyhole.headers.registry import answer, descriptor, primary_card, tags
from keyhole.headers.times import decimal_year
from keyhole.headers.values import card, number, text

__all__ = ["dec", "ra", "target_dec", "target_ra", "wcs_dec", "wcs_ra"]

# A WCS further than this from the target belongs to another one, arcsec.
MAX_WCS_ERROR = 1000.0
ARCSEC_PER_DEGREE = 3600.0
# Proper motion in right ascension is in seconds of time.
ARCSEC_PER_SECOND = 15.0


@descriptor()
def wcs_ra(headers: Headers) -> float | None:
    """Right ascension of the WCS reference point (not of the field centre), None without a celestial WCS.

    For a NON_SIDEREAL frame that point is an apparent place of date and is converted to ICRS.
    """
    position = _wcs_position(headers)
    return None if position is None else position.ra


@descriptor()
def wcs_dec(headers: Headers) -> float | None:
    """Declination of the WCS reference point; see `wcs_ra`."""
    position = _wcs_position(headers)
    return None if position is None else position.dec


@descriptor()
def target_ra(headers: Headers, *, offset: bool = False, pm: bool = True, icrs: bool = False) -> float | None:
    """Right ascension of the target, None when the header does not tell it.

    Parameters
    ----------
    headers : Headers
        Headers of the frame.
    offset : bool
        Add the offsets of the telescope.
    pm : bool
        Add the proper motion from ``EPOCH`` to the observation.
    icrs : bool
        Convert from the ``FRAME`` of the header to ICRS.

    Raises
    ------
    HeaderValueError
        With `icrs`, when position or time make no conversion possible.
    """
    position = _target(headers, offset=offset, pm=pm, icrs=icrs)
    return None if position is None else position.ra


@descriptor()
def target_dec(headers: Headers, *, offset: bool = False, pm: bool = True, icrs: bool = False) -> float | None:
    """Declination of the target; see `target_ra`."""
    if not icrs:
        # Known also when the right ascension is not.
        return _target_declination(headers, offset=offset, pm=pm)
    position = _target(headers, offset=offset, pm=pm, icrs=icrs)
    return None if position is None else position.dec


@descriptor()
def ra(headers: Headers) -> float | None:
    """Right ascension of the WCS reference point, or of the target without a WCS."""
    found = wcs_ra(headers)
    return parse_angle(primary_card(headers, "target_ra"), hours=True) if found is None else found


@descriptor()
def dec(headers: Headers) -> float | None:
    """Declination of the WCS reference point, or of the target without a WCS."""
    found = wcs_dec(headers)
    return parse_angle(primary_card(headers, "target_dec"), hours=False) if found is None else found


@descriptor("GNIRS", name="ra")
def trusted_ra(headers: Headers) -> float | None:
    """Right ascension of the WCS reference point; of the target if they are 1000 arcsec apart."""
    found = ra(headers)
    target = _target_if_possible(headers)
    declination = trusted_dec(headers)
    if found is None or target is None or declination is None:
        return found
    apart = abs(found - target.ra) % 360.0
    apart = min(apart, 360.0 - apart) / math.cos(math.radians(declination))
    return target.ra if apart * ARCSEC_PER_DEGREE > MAX_WCS_ERROR else found


@descriptor("GNIRS", name="dec")
def trusted_dec(headers: Headers) -> float | None:
    """Declination of the WCS reference point; of the target if they are 1000 arcsec apart."""
    found = dec(headers)
    target = _target_if_possible(headers)
    if found is None or target is None:
        return found
    return target.dec if abs(found - target.dec) * ARCSEC_PER_DEGREE > MAX_WCS_ERROR else found


def _wcs_position(headers: Headers) -> Position | None:
    """Reference point of the first extension's WCS, or of the primary header's, where raw frames have it."""
    position = None
    for header in (*headers.extensions[:1], headers.primary):
        if "CTYPE1" in header:
            position = _reference_point(header)
            break
    if position is None or "NON_SIDEREAL" not in tags(headers):
        return position
    instant = _instant(headers)
    return None if instant is None else apparent_to_icrs(position, instant)


def _reference_point(header: Mapping[str, Any]) -> Position | None:
    """CRVAL of the axes that are right ascension and declination."""
    axes = {text(header, f"CTYPE{axis}")[:4].rstrip("-"): axis for axis in (1, 2)}
    if not {"RA", "DEC"} <= set(axes):
        return None
    right = number(header, f"CRVAL{axes['RA']}")
    up = number(header, f"CRVAL{axes['DEC']}")
    return None if right is None or up is None else Position(right, up)


def _target(headers: Headers, *, offset: bool, pm: bool, icrs: bool) -> Position | None:
    """Position of the target after the steps that are wanted."""
    right = parse_angle(primary_card(headers, "target_ra"), hours=True)
    up = _target_declination(headers, offset=offset, pm=pm)
    if right is None:
        return None
    if offset:
        pointed = _target_declination(headers, offset=True, pm=True)
        if pointed is None:
            return None
        arcsec = _number_or_zero(headers, "RAOFFSET") + _number_or_zero(headers, "RATRGOFF")
        right += arcsec / ARCSEC_PER_DEGREE / math.cos(math.radians(pointed))
    if pm and (motion := _number_or_zero(headers, "PMRA")):
        years = _years_since_epoch(headers)
        if years is None:
            return None
        right += motion * ARCSEC_PER_SECOND / ARCSEC_PER_DEGREE * years
    if icrs:
        return _to_icrs(headers, right, up)
    return Position(right, math.nan if up is None else up)


def _target_declination(headers: Headers, *, offset: bool, pm: bool) -> float | None:
    """Declination of the target in the frame of the header."""
    up = parse_angle(primary_card(headers, "target_dec"), hours=False)
    if up is None:
        return None
    if offset:
        up += (_number_or_zero(headers, "DECOFFSE") + _number_or_zero(headers, "DECTRGOF")) / ARCSEC_PER_DEGREE
    if pm and (motion := _number_or_zero(headers, "PMDEC")):
        years = _years_since_epoch(headers)
        if years is None:
            return None
        up += motion / ARCSEC_PER_DEGREE * years
    return up


def _to_icrs(headers: Headers, right: float, up: float | None) -> Position:
    """The position converted from the frame that the header names."""
    if up is None or not abs(up) <= 90 or not math.isfinite(right):
        raise HeaderValueError(f"{headers.name}: target at RA {right}, DEC {up} is no position on the sky")
    position = Position(right, up)
    frame = str(card(headers.primary, "FRAME", "FK5")).strip()
    if frame == "FK5":
        return fk5_to_icrs(position)
    if frame == "FK4":
        return fk4_to_icrs(position)
    if frame == "ICRS":
        return position
    instant = _instant(headers)
    if instant is None:
        raise HeaderValueError(f"{headers.name}: no date is known to convert a position in {frame} to ICRS")
    if frame == "APPT":
        return apparent_to_icrs(position, instant)
    # Directions that are fixed to the Earth: good for zenith frames, where nobody wants more.
    return cirs_to_icrs(position, instant)


def _target_if_possible(headers: Headers) -> Position | None:
    try:
        return _target(headers, offset=True, pm=True, icrs=True)
    except HeaderValueError:
        return None


def _instant(headers: Headers) -> datetime | None:
    found: datetime | None = answer(headers, "ut_datetime")
    return found


def _years_since_epoch(headers: Headers) -> float | None:
    instant = _instant(headers)
    epoch = number(headers.primary, "EPOCH")
    return None if instant is None else decimal_year(instant) - (2000.0 if epoch is None else epoch)


def _number_or_zero(headers: Headers, keyword: str) -> float:
    return number(headers.primary, keyword) or 0.0
