"""Which frames a night consists of, when they are taken, and under which conditions."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from keyhole.simulate.conditions import Conditions
from keyhole.simulate.geometry import SkyGeometry
from keyhole.simulate.options import NightOptions

__all__ = ["FramePlan", "Kind", "dither_offsets", "plan_night"]

Kind = Literal["OBJECT", "DARK", "FLAT_ON", "FLAT_OFF"]

_FIRST_SCIENCE, _FIRST_FLAT, _FIRST_DARK = 14, 34, 538
_SCIENCE_DATE, _NEXT_DATE, _DARK_DATE = "20120117", "20120118", "20120102"
# The sixth science frame is the one whose settings are on record.
_ANCHOR = 5
_ANCHOR_START = datetime(2012, 1, 17, 5, 41, 49, 500000)
_DARK_START = datetime(2012, 1, 2, 17, 3, 12, 700000)
_OVERHEAD = 6.5  # s, from the end of an exposure to the start of the next
_FLAT_GAP = 180.0  # s, to move the calibration unit in

_REACH = 25.0  # arcsec: the pattern stays within this distance along the slot (short cameras)
_STEP = 4.0  # arcsec
_ACROSS = 1.0  # arcsec, step of the pattern across the slot


class FramePlan(NamedTuple):
    """One frame to be taken.

    Attributes
    ----------
    name : str
        File name.
    kind : str
        OBJECT, DARK, FLAT_ON (lamp on) or FLAT_OFF.
    serial : int
        Number within the night; it selects the random numbers.
    number : int
        Last part of the data label, from 1.
    start : datetime
        Start of the exposure, UT.
    exptime : float
        Seconds of one coadd.
    coadds : int
    poffset, qoffset : float
        Commanded telescope offsets, arcsec.
    pointing : tuple of float
        Error of the telescope that no header knows: shift (x, y) of the stars, pixels.
    flexure : tuple of float
        Displacement (x, y) of keyhole and stars on the array, pixels.
    seeing : float
        Full width at half maximum, arcsec.
    transparency : float
        1 on average.
    sky_level : float
        Sky in units of the band's usual sky; 0 where there is none.
    sky_slope : tuple of float
        Relative change from the keyhole's centre to its end, along and across.
    lamp : float
        Lamp in units of its usual brightness; 0 when it is off.
    """

    name: str
    kind: Kind
    serial: int
    number: int
    start: datetime
    exptime: float
    coadds: int
    poffset: float = 0.0
    qoffset: float = 0.0
    pointing: tuple[float, float] = (0.0, 0.0)
    flexure: tuple[float, float] = (0.0, 0.0)
    seeing: float = 0.0
    transparency: float = 1.0
    sky_level: float = 0.0
    sky_slope: tuple[float, float] = (0.0, 0.0)
    lamp: float = 0.0

    @property
    def total_exptime(self) -> float:
        """Seconds of all coadds."""
        return self.exptime * self.coadds

    @property
    def seconds(self) -> float:
        """Start of the exposure, seconds after the anchor frame's."""
        return (self.start - _ANCHOR_START).total_seconds()


def plan_night(options: NightOptions, geometry: SkyGeometry, *, seed: int) -> list[FramePlan]:
    """Plan darks, science frames and flats in the order in which they are taken.

    Parameters
    ----------
    options : NightOptions
        Content of the night.
    geometry : SkyGeometry
        Gives the pixel scale.
    seed : int
        Seed of the night.

    Returns
    -------
    list of FramePlan
    """
    conditions = Conditions(options, geometry.pixel_scale, seed)
    return [*_darks(options), *_science(options, geometry, conditions), *_flats(options, conditions)]


def dither_offsets(index: int, step: float | None, pixel_scale: float) -> tuple[float, float]:
    """Give the commanded (P, Q) of a science frame, arcsec.

    Q walks along the slot, one step per frame, and turns back at the ends of its range, half a step aside
    from where it came; the sixth frame stands at the lower end.  P takes three places across the slot in
    turn.

    Parameters
    ----------
    index : int
        Number of the science frame, from 0.
    step : float or None
        Arcsec; None for the usual step of the camera.
    pixel_scale : float
        Arcsec per pixel; a long camera sees less and moves less.
    """
    ratio = min(1.0, pixel_scale / 0.1517)
    size = _STEP * ratio if step is None else step
    reach = _REACH * ratio
    steps = index - _ANCHOR
    travelled = abs(steps) * size if steps <= 0 else (steps - 0.5) * size
    turn = travelled % (4 * reach)
    qoffset = -reach + (turn if turn <= 2 * reach else 4 * reach - turn)
    across = min(_ACROSS, size)
    return across * (steps % 3), qoffset


def _darks(options: NightOptions) -> list[FramePlan]:
    exptime = options.total_exptime / options.dark_coadds
    cadence = timedelta(seconds=options.total_exptime + _OVERHEAD)
    return [
        FramePlan(
            name=f"N{_DARK_DATE}S{_FIRST_DARK + index:04d}.fits",
            kind="DARK",
            serial=10_000 + index,
            number=index + 1,
            start=_DARK_START + index * cadence,
            exptime=exptime,
            coadds=options.dark_coadds,
        )
        for index in range(options.darks)
    ]


def _science(options: NightOptions, geometry: SkyGeometry, conditions: Conditions) -> list[FramePlan]:
    cadence = timedelta(seconds=options.total_exptime + _OVERHEAD)
    plans = []
    for index in range(options.frames):
        start = _ANCHOR_START + (index - _ANCHOR) * cadence
        if index == options.frames - 1:
            start += timedelta(minutes=options.late)
        seconds = (start - _ANCHOR_START).total_seconds()
        poffset, qoffset = _pointing_of(index, options, geometry)
        plans.append(
            FramePlan(
                name=f"N{_SCIENCE_DATE}S{_FIRST_SCIENCE + index:04d}.fits",
                kind="OBJECT",
                serial=index,
                number=index + 1,
                start=start,
                exptime=options.exptime,
                coadds=options.coadds,
                poffset=poffset,
                qoffset=qoffset,
                pointing=conditions.pointing(index),
                flexure=conditions.flexure(seconds, flat=False),
                seeing=conditions.seeing(index),
                transparency=conditions.transparency(index, seconds),
                sky_level=conditions.sky_level(seconds, index),
                sky_slope=conditions.sky_slope(seconds),
            )
        )
    return plans


def _pointing_of(index: int, options: NightOptions, geometry: SkyGeometry) -> tuple[float, float]:
    """Give the commanded (P, Q) of a science frame, arcsec; target and sky field alternate if there are two."""
    if not options.sky_offset:
        return dither_offsets(index, options.dither, geometry.pixel_scale)
    poffset, qoffset = dither_offsets(index // 2, options.dither, geometry.pixel_scale)
    return poffset + options.sky_offset * (index % 2), qoffset


def _flats(options: NightOptions, conditions: Conditions) -> list[FramePlan]:
    first = max(_FIRST_FLAT, _FIRST_SCIENCE + options.frames)
    cadence = timedelta(seconds=options.flat_exptime + _OVERHEAD)
    science = timedelta(seconds=options.total_exptime + _OVERHEAD)
    begin = _ANCHOR_START + (max(20, options.frames) - _ANCHOR) * science + timedelta(seconds=_FLAT_GAP)
    begin += timedelta(minutes=options.late, days=1 if options.flats_displaced else 0)
    date = _NEXT_DATE if options.flats_displaced else _SCIENCE_DATE
    plans = []
    for index in range(options.flats + (options.flats if options.flats_off is None else options.flats_off)):
        start = begin + index * cadence
        lit = index < options.flats
        plans.append(
            FramePlan(
                name=f"N{date}S{first + index:04d}.fits",
                kind="FLAT_ON" if lit else "FLAT_OFF",
                serial=20_000 + index,
                number=max(20, options.frames) + index + 1,
                start=start,
                exptime=options.flat_exptime,
                coadds=1,
                flexure=conditions.flexure((start - _ANCHOR_START).total_seconds(), flat=True),
                lamp=conditions.lamp(index) if lit else 0.0,
            )
        )
    return plans
