"""Headers of raw frames, card by card as the telescope wrote them in January 2012."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from keyhole.simulate.cards import card, comment
from keyhole.simulate.ephemeris import altaz, julian_date, sexagesimal, sidereal_time
from keyhole.simulate.eras import era_of
from keyhole.simulate.geometry import TARGET, SkyGeometry
from keyhole.simulate.options import FILTERS, READ_MODES, NightOptions
from keyhole.simulate.sequence import FramePlan
from keyhole.simulate.template import EXTENSION_CARDS, LAMP_CARDS, PRIMARY_CARDS

__all__ = ["HeaderFacts", "extension_header", "primary_header"]

_PROGRAM, _OBSERVATION = "GN-2011B-Q-34", "GN-2011B-Q-34-155"
_DARK_PROGRAM, _DARK_OBSERVATION = "GN-CAL20120102", "GN-CAL20120102-4"
# Angle of the rotator on record for the sixth science frame; it follows the parallactic angle.
_ROTATOR_ANCHOR = (79.628, datetime(2012, 1, 17, 5, 41, 49, 500000))
_ZENITH = (22.0, 89.97)  # RA and DEC cards of a telescope parked at the zenith
_LATITUDE = 19.8238
_CLOCK_ERROR = timedelta(minutes=47)  # by which MJD_OBS is early
_BIAS_VOLT = {"Shallow": -0.278266, "Deep": -0.561339}
_SECONDS_PER_READ_PAIR = 0.54764

Value = str | bool | int | float


class HeaderFacts(NamedTuple):
    """What the headers of all frames of a night share."""

    options: NightOptions
    geometry: SkyGeometry
    shape: tuple[int, int]


def primary_header(plan: FramePlan, facts: HeaderFacts) -> list[str]:
    """Write the cards of the primary header.

    Parameters
    ----------
    plan : FramePlan
        The frame.
    facts : HeaderFacts
        The night.

    Returns
    -------
    list of str
        Cards of 80 characters, without END.
    """
    values: dict[str, Value] = {
        **_clock(plan),
        **_detector(plan, facts.options),
        **_optics(plan, facts.options),
        **(_at_zenith(plan, facts) if plan.kind == "DARK" else _on_target(plan, facts)),
    }
    era = era_of(facts.options)
    values |= era.change(values, plan, facts.options, facts.geometry)
    lamp = values.pop("GCALLAMP", None)
    for keyword in era.absent:
        values.pop(keyword, None)
    cards = []
    for keyword, text, usual in PRIMARY_CARDS:
        if keyword == "COMMENT":
            cards.append(comment(text))
        elif keyword == "GCALLAMP":
            cards += _lamp_cards(plan, lamp)
        elif keyword in era.absent or (keyword.startswith("P2") and plan.kind == "DARK"):
            continue
        else:
            cards.append(card(keyword, values.pop(keyword, usual), text))
    if values:
        raise KeyError(f"no place in the header for {sorted(values)}")
    return cards


def extension_header(plan: FramePlan, facts: HeaderFacts) -> list[str]:
    """Write the cards of the image extension's header; see `primary_header`."""
    ny, nx = facts.shape
    values: dict[str, Value] = {
        "NAXIS1": nx,
        "NAXIS2": ny,
        "FRMNAME": plan.name.removesuffix(".fits") + ":0",
    }
    return [card(keyword, values.get(keyword, usual), text) for keyword, text, usual in EXTENSION_CARDS]


def _clock(plan: FramePlan) -> dict[str, Value]:
    end = plan.start + timedelta(seconds=plan.total_exptime + 2.0)
    ut, date = _time(plan.start), plan.start.strftime("%Y-%m-%d")
    year = plan.start.year + (plan.start - datetime(plan.start.year, 1, 1)).days / 365.25
    return {
        "LT": _time(plan.start - timedelta(hours=10)),
        "UT": ut,
        "TIME-OBS": ut,
        "UTSTART": ut,
        "UTEND": _time(end),
        "DATE": date,
        "DATE-OBS": date,
        "RELEASE": date,
        "ST": sexagesimal(sidereal_time(plan.start) / 15.0, digits=1),
        "TRKEPOCH": round(julian_date(plan.start) - 2400000.5 - 0.00021, 6),
        "OBSEPOCH": round(year, 2),
        "MJD_OBS": julian_date(plan.start - _CLOCK_ERROR) - 2400000.5,
    }


def _detector(plan: FramePlan, options: NightOptions) -> dict[str, Value]:
    lnrs, ndavgs = READ_MODES[options.read_mode]
    return {
        "ARRAYID": options.array,
        "DETBIAS": _BIAS_VOLT[options.well],
        "COADDS": plan.coadds,
        "LNRS": lnrs,
        "NDAVGS": ndavgs,
        "EXPTIME": float(plan.exptime),
        "MIN_INT": round(_SECONDS_PER_READ_PAIR * lnrs, 5),
    }


def _optics(plan: FramePlan, options: NightOptions) -> dict[str, Value]:
    wheel1, wheel2 = FILTERS[options.filter]
    values: dict[str, Value] = {"CAMERA": options.camera, "FILTER1": wheel1, "FILTER2": wheel2}
    if plan.kind == "DARK":
        values |= {
            "FILTER1": "Dark_G0511",
            "FW1_ENG": -12480,
            "FILTER2": wheel2 if wheel2 != "Open" else "J_G0517",
            "SLIT": "0.30arcsec_G5530",
            "SLIT_ENG": 117400,
            "DECKER": "SCLong_G5531",
            "DKR_ENG": 20240,
            "ACQMIR": "Out",
            "COVER": "Closed",
            "FOCUS": "** ENG 0 **",
            "FCS_ENG": 0,
        }
    return values


def _on_target(plan: FramePlan, facts: HeaderFacts) -> dict[str, Value]:
    geometry = facts.geometry
    begin = altaz(*TARGET, plan.start)
    end = altaz(*TARGET, plan.start + timedelta(seconds=plan.total_exptime))
    anchor_angle, anchor_time = _ROTATOR_ANCHOR
    turned = begin.parallactic - altaz(*TARGET, anchor_time).parallactic
    offset_x, offset_y = geometry.telescope_offsets(plan.poffset, plan.qoffset)
    offset_ra, offset_dec = geometry.sky_offsets(plan.poffset, plan.qoffset)
    values: dict[str, Value] = {
        "OBJECT": "GRB120116A" if plan.kind == "OBJECT" else "GCALflat",
        "OBSTYPE": "OBJECT" if plan.kind == "OBJECT" else "FLAT",
        "OBSCLASS": "science" if plan.kind == "OBJECT" else "partnerCal",
        "GEMPRGID": _PROGRAM,
        "OBSID": _OBSERVATION,
        "DATALAB": f"{_OBSERVATION}-{plan.number:03d}",
        "RA": TARGET[0],
        "DEC": TARGET[1],
        "ELEVATIO": begin.elevation,
        "AZIMUTH": begin.azimuth,
        "CRPA": anchor_angle + turned,
        "HA": sexagesimal(begin.hour_angle / 15.0, digits=2, signed=True),
        "AIRMASS": round(begin.airmass, 3),
        "AMSTART": round(begin.airmass, 3),
        "AMEND": round(end.airmass, 3),
        "XOFFSET": _fine(offset_x),
        "YOFFSET": _fine(offset_y),
        "POFFSET": _fine(plan.poffset),
        # The telescope writes nothing as minus nothing here.
        "QOFFSET": _fine(plan.qoffset) or -0.0,
        "RAOFFSET": _fine(offset_ra) or -0.0,
        "DECOFFSE": _fine(offset_dec),
        "PA": geometry.position_angle,
        "IAA": geometry.alignment_angle,
    }
    return values | _wcs(facts, plan.poffset, plan.qoffset)


def _at_zenith(plan: FramePlan, facts: HeaderFacts) -> dict[str, Value]:
    wcs = _wcs(facts, 0.0, 0.0)
    wcs["CRVAL1"] = (sidereal_time(plan.start) - 0.02) % 360.0
    wcs["CRVAL2"] = _LATITUDE - 0.0545
    return wcs | {
        "OBJECT": "Dark",
        "OBSTYPE": "DARK",
        "OBSCLASS": "dayCal",
        "GEMPRGID": _DARK_PROGRAM,
        "OBSID": _DARK_OBSERVATION,
        "DATALAB": f"{_DARK_OBSERVATION}-{plan.number:03d}",
        "RA": _ZENITH[0],
        "DEC": _ZENITH[1],
        "EQUINOX": 0.0,
        "ELEVATIO": 89.9999027777778,
        "AZIMUTH": 75.0001097222222,
        "CRPA": 180.000040283203,
        "HA": "-00:00:20.92",
        "FRAME": "AZEL_TOPO",
        "RATRACK": 1.00321649927,
        "DECTRACK": -0.017627230043,
        "RAWIQ": "UNKNOWN",
        "RAWCC": "UNKNOWN",
        "RAWWV": "UNKNOWN",
        "RAWBG": "UNKNOWN",
        "M2BAFFLE": "VISIBLE",
        "M2CENBAF": "CLOSED",
        "PA": 0.0,
        "IAA": 270.0,
        "PWFS2_ST": "parked",
        "REQIQ": "",
        "REQCC": "",
        "REQBG": "",
        "REQWV": "",
    }


def _wcs(facts: HeaderFacts, poffset: float, qoffset: float) -> dict[str, Value]:
    wcs = facts.geometry.header_wcs(poffset, qoffset)
    (cd11, cd12), (cd21, cd22) = wcs.cd
    return {
        "CRPIX1": wcs.crpix[0],
        "CRPIX2": wcs.crpix[1],
        "CRVAL1": wcs.crval[0],
        "CRVAL2": wcs.crval[1],
        "CD1_1": cd11,
        "CD1_2": cd12,
        "CD2_1": cd21,
        "CD2_2": cd22,
    }


def _lamp_cards(plan: FramePlan, lamp: Value | None) -> list[str]:
    if not plan.kind.startswith("FLAT"):
        return []
    values: dict[str, Value] = {"GCALSHUT": "OPEN" if plan.kind == "FLAT_ON" else "CLOSED"}
    if lamp is not None:
        values["GCALLAMP"] = lamp
    return [card(keyword, values.get(keyword, usual), text) for keyword, text, usual in LAMP_CARDS]


def _time(moment: datetime) -> str:
    # Tenths of a second; the planned times are whole tenths.
    return moment.strftime("%H:%M:%S.") + str(moment.microsecond // 100000)


def _fine(value: float) -> float:
    """Round away what only the arithmetic left over."""
    return float(f"{value:.12g}") if abs(value) > 1e-12 else 0.0
