"""Which frames a night consists of, when they are taken, and under which conditions."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal, NamedTuple

import numpy as np

from keyhole.simulate.geometry import SkyGeometry
from keyhole.simulate.night_sky import SkyDrift
from keyhole.simulate.options import NightOptions
from keyhole.simulate.streams import stream

__all__ = ["FramePlan", "Kind", "dither_offsets", "plan_night"]

Kind = Literal["OBJECT", "DARK", "FLAT_ON", "FLAT_OFF"]

_FIRST_SCIENCE, _FIRST_FLAT, _FIRST_DARK = 14, 34, 538
_SCIENCE_DATE, _DARK_DATE = "20120117", "20120102"
# The sixth science frame is the one whose settings are on record.
_ANCHOR = 5
_ANCHOR_START = datetime(2012, 1, 17, 5, 41, 49, 500000)
_DARK_START = datetime(2012, 1, 2, 17, 3, 12, 700000)
_OVERHEAD = 6.5  # s, from the end of an exposure to the start of the next
_FLAT_GAP = 180.0  # s, to move the calibration unit in

_REACH = 25.0  # arcsec: the pattern stays within this distance along the slot (short cameras)
_STEP = 4.0  # arcsec
_ACROSS = 1.0  # arcsec, step of the pattern across the slot

_POINTING_ERROR = 0.15  # arcsec rms per axis
_FLEXURE_START = 1.5  # pixels rms per axis
_FLEXURE_DRIFT = 1.0  # pixels rms per hour and axis
_FLEXURE_WANDER = 0.15  # pixels, amplitude of a slow wave
_FLEXURE_TO_FLATS = 0.7  # pixels rms per axis
_SEEING = (0.52, 0.66)  # arcsec, range of a night's mean
_SEEING_CHANGE = 0.06
_TRANSPARENCY_CHANGE = 0.01
_LAMP_CHANGE = 0.005


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
    conditions = _Conditions(options, geometry.pixel_scale, seed)
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


class _Conditions:
    """Seeing, transparency, sky, pointing and flexure of one night."""

    def __init__(self, options: NightOptions, pixel_scale: float, seed: int) -> None:
        self._options, self._scale, self._seed = options, pixel_scale, seed
        rng = stream(seed, "conditions")
        self._mean_seeing = rng.uniform(*_SEEING)
        self._flexure_start = _FLEXURE_START * rng.standard_normal(2)
        self._flexure_rate = _FLEXURE_DRIFT * rng.standard_normal(2) / 3600.0
        self._flexure_phase = rng.uniform(0, 2 * np.pi, 2)
        self._flat_step = _FLEXURE_TO_FLATS * rng.standard_normal(2)
        self._sky = SkyDrift(seed)

    def seeing(self, index: int) -> float:
        change = _SEEING_CHANGE * stream(self._seed, "seeing", index).standard_normal()
        return float(self._mean_seeing * (1.0 + np.clip(change, -0.2, 0.2) * self._options.has("seeing")))

    def transparency(self, index: int) -> float:
        change = _TRANSPARENCY_CHANGE * stream(self._seed, "transparency", index).standard_normal()
        return float(1.0 + change * self._options.has("transparency"))

    def pointing(self, index: int) -> tuple[float, float]:
        error = _POINTING_ERROR / self._scale * stream(self._seed, "pointing", index).standard_normal(2)
        x, y = error * self._options.has("pointing")
        return float(x), float(y)

    def flexure(self, seconds: float, *, flat: bool) -> tuple[float, float]:
        wander = _FLEXURE_WANDER * np.sin(2 * np.pi * seconds / 1500.0 + self._flexure_phase)
        moved = self._flexure_start + self._flexure_rate * seconds + wander + (self._flat_step if flat else 0.0)
        x, y = moved * self._options.has("flexure")
        return float(x), float(y)

    def sky_level(self, seconds: float, index: int) -> float:
        if not self._options.has("sky"):
            return 0.0
        return self._sky.level(seconds, index) if self._options.has("sky-drift") else 1.0

    def sky_slope(self, seconds: float) -> tuple[float, float]:
        return self._sky.slope(seconds) if self._options.has("sky-slope") else (0.0, 0.0)

    def lamp(self, index: int) -> float:
        return float(1.0 + _LAMP_CHANGE * stream(self._seed, "lamp level", index).standard_normal())


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


def _science(options: NightOptions, geometry: SkyGeometry, conditions: _Conditions) -> list[FramePlan]:
    cadence = timedelta(seconds=options.total_exptime + _OVERHEAD)
    plans = []
    for index in range(options.frames):
        start = _ANCHOR_START + (index - _ANCHOR) * cadence
        seconds = (start - _ANCHOR_START).total_seconds()
        poffset, qoffset = dither_offsets(index, options.dither, geometry.pixel_scale)
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
                transparency=conditions.transparency(index),
                sky_level=conditions.sky_level(seconds, index),
                sky_slope=conditions.sky_slope(seconds),
            )
        )
    return plans


def _flats(options: NightOptions, conditions: _Conditions) -> list[FramePlan]:
    first = max(_FIRST_FLAT, _FIRST_SCIENCE + options.frames)
    cadence = timedelta(seconds=options.flat_exptime + _OVERHEAD)
    science = timedelta(seconds=options.total_exptime + _OVERHEAD)
    begin = _ANCHOR_START + (max(20, options.frames) - _ANCHOR) * science + timedelta(seconds=_FLAT_GAP)
    plans = []
    for index in range(2 * options.flats):
        start = begin + index * cadence
        lit = index < options.flats
        plans.append(
            FramePlan(
                name=f"N{_SCIENCE_DATE}S{first + index:04d}.fits",
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
