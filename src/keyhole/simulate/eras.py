"""Headers of other epochs: what they lack, and what they say instead.

Everything here was read off real headers: the cards that are missing, the settings, and the size of the errors
of the WCS.  That the offsets in right ascension and declination have the other sign in the South is taken from
a single frame.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from keyhole.simulate.geometry import SkyGeometry
from keyhole.simulate.options import NightOptions
from keyhole.simulate.sequence import FramePlan, dither_offsets

__all__ = ["Era", "era_of"]

Value = str | bool | int | float
Cards = dict[str, Value]

_NO_OFFSETS = frozenset(
    [
        *("OBSCLASS", "POFFSET", "QOFFSET", "INPORT", "IAA", "AOFOLD"),
        *("PWFS1_ST", "PWFS2_ST", "OIWFS_ST", "AOWFS_ST"),
        *("REQIQ", "REQCC", "REQBG", "REQWV"),
    ]
)
_SOUTH: Cards = {
    "OBSERVAT": "Gemini-South",
    "TELESCOP": "Gemini-South",
    "SLIT": "Acquisition",
    "DECKER": "Acquisition",
    "GRATING": "10/mmLR_G5507",
    "PRISM": "MIR_G5511",
}
_SOUTHERN_NAMES = {"ShortBlue_G5538": "ShortBlue_G5513", "J_G0517": "J_G0505", "K_G0515": "K_G0503"}
# CRPIX, CRVAL and CD of a frame of February 2004: scale and position are of nothing that was observed.
_SOUTH_2004_WCS: Cards = {
    "CRPIX1": -20.0775859386519,
    "CRPIX2": 13.5941591749464,
    "CRVAL1": 333.262226416597,
    "CRVAL2": -30.2440958183927,
    "CD1_1": -0.00158229273032081,
    "CD1_2": 0.0197515940373076,
    "CD2_1": 0.0198297466089049,
    "CD2_2": 0.00152450606656672,
}
# Scale along x and y (arcsec), and direction of +y in excess of PA + 90 (degrees).
_SOUTH_2005_WCS = (0.0363, 0.0364, 190.0)
# For a long camera; a short one has the same relative errors.
_AO_WCS = (0.0589, 0.0475, 165.0)
_AO_SCALE = 0.05071


class Era(NamedTuple):
    """How the headers of an epoch differ from those of January 2012.

    Attributes
    ----------
    absent : frozenset of str
        Keywords that do not exist.
    change : callable
        ``(cards, plan, options, geometry) -> cards``: values that differ.
    """

    absent: frozenset[str]
    change: Callable[[Cards, FramePlan, NightOptions, SkyGeometry], Cards]


def era_of(options: NightOptions) -> Era:
    """Give the epoch that a night's headers are of."""
    return _ERAS[options.era]


def _as_they_are(cards: Cards, plan: FramePlan, options: NightOptions, geometry: SkyGeometry) -> Cards:
    return {}


def _inherited(cards: Cards, plan: FramePlan, options: NightOptions, geometry: SkyGeometry) -> Cards:
    """Every frame has the WCS of the first one."""
    if plan.kind != "OBJECT":
        return {}
    wcs = geometry.header_wcs(*dither_offsets(0, options.dither, geometry.pixel_scale))
    return {"CRVAL1": wcs.crval[0], "CRVAL2": wcs.crval[1]}


def _behind_ao(cards: Cards, plan: FramePlan, options: NightOptions, geometry: SkyGeometry) -> Cards:
    changed: Cards = {"AOFOLD": "IN", "AOWFS_ST": "guiding", "PWFS2_ST": "parked", "INPORT": 1}
    if plan.kind == "DARK":
        return changed | {"AOWFS_ST": "parked"}
    size_x, size_y, turn = _AO_WCS
    ratio = geometry.pixel_scale / _AO_SCALE
    return changed | {
        "XOFFSET": -plan.poffset + 0.0,
        "YOFFSET": -plan.qoffset + 0.0,
        **_wcs(cards, plan, geometry, (size_x * ratio, size_y * ratio), turn),
    }


def _southern(cards: Cards, plan: FramePlan, options: NightOptions, geometry: SkyGeometry) -> Cards:
    names: Cards = {
        key: _SOUTHERN_NAMES[str(cards[key])]
        for key in ("CAMERA", "FILTER1", "FILTER2")
        if cards[key] in _SOUTHERN_NAMES
    }
    changed = _SOUTH | names
    if plan.kind == "DARK":
        return changed
    if plan.kind == "FLAT_OFF":
        changed |= {"GCALLAMP": "No Value"}
    return changed | {"RAOFFSET": -float(cards["RAOFFSET"]), "DECOFFSE": -float(cards["DECOFFSE"])}


def _south_2004(cards: Cards, plan: FramePlan, options: NightOptions, geometry: SkyGeometry) -> Cards:
    return _southern(cards, plan, options, geometry) | _SOUTH_2004_WCS


def _south_2005(cards: Cards, plan: FramePlan, options: NightOptions, geometry: SkyGeometry) -> Cards:
    changed = _southern(cards, plan, options, geometry)
    if plan.kind == "DARK":
        return changed
    size_x, size_y, turn = _SOUTH_2005_WCS
    return changed | _wcs(cards, plan, geometry, (size_x, size_y), turn)


def _wcs(cards: Cards, plan: FramePlan, geometry: SkyGeometry, sizes: tuple[float, float], turn: float) -> Cards:
    """Matrix of the given pixel sizes whose +y axis lies at PA + 90 + `turn`; the target keeps its place.

    +x lies a quarter turn after +y, as in the frames of 2012.
    """
    up = math.radians(geometry.position_angle + 90.0 + turn)
    along = up + math.pi / 2
    axes = np.array([[math.sin(along), math.sin(up)], [math.cos(along), math.cos(up)]])
    cd = axes * np.array(sizes) / 3600.0
    wcs = geometry.header_wcs(plan.poffset, plan.qoffset, cd=cd)
    return {
        "CRVAL1": wcs.crval[0],
        "CRVAL2": wcs.crval[1],
        "CD1_1": wcs.cd[0][0],
        "CD1_2": wcs.cd[0][1],
        "CD2_1": wcs.cd[1][0],
        "CD2_2": wcs.cd[1][1],
    }


_ERAS: Mapping[str, Era] = {
    "north-2012": Era(frozenset(), _as_they_are),
    "north-inherited": Era(frozenset(), _inherited),
    "north-2016-ao": Era(frozenset(), _behind_ao),
    "south-2004": Era(_NO_OFFSETS, _south_2004),
    "south-2005": Era(_NO_OFFSETS, _south_2005),
}
