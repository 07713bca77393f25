"""A night: everything that is decided before the first photon, and the frames that follow from it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import ParameterError
from keyhole.instruments import Detector, Instrument, load
from keyhole.simulate.array import ArrayModel, build_array
from keyhole.simulate.artefacts import Afterglow, cosmic_rays
from keyhole.simulate.geometry import SkyGeometry
from keyhole.simulate.nebula import Nebula, make_nebula
from keyhole.simulate.night_sky import BANDS, LAMP_ELECTRONS, Band, bar_coordinates, lamp_pattern
from keyhole.simulate.options import NightOptions
from keyhole.simulate.readout import Exposure, expose, response_curve
from keyhole.simulate.sequence import FramePlan, dither_offsets, plan_night
from keyhole.simulate.slot import Slot, slot
from keyhole.simulate.stars import Star, make_stars, paint_stars
from keyhole.simulate.streams import stream

__all__ = ["Night", "build_night", "render_frames"]

_FLOAT = NDArray[np.float32]
# Pixel of the target at zero offset, relative to the centre of the half disc, in half widths of the bar.
_PATTERN = 20  # frames
_OTHER_FIELD = 1_000_000  # added to the seed for the stars of the sky field
_TARGET_IN_SLOT = (0.4269, 0.7341)


class Night(NamedTuple):
    """Everything about a night but its noise."""

    seed: int
    options: NightOptions
    instrument: Instrument
    detector: Detector
    geometry: SkyGeometry
    opening: Slot
    lit: NDArray[np.bool_]
    band: Band
    array: ArrayModel
    lamp: _FLOAT
    plans: list[FramePlan]
    stars: list[Star]
    nebula: Nebula | None = None

    @property
    def science(self) -> list[FramePlan]:
        """The science frames."""
        return [plan for plan in self.plans if plan.kind == "OBJECT"]

    def star_shift(self, plan: FramePlan) -> NDArray[np.float64]:
        """Give the true shift (x, y) of the stars in a frame against zero offset, pixels."""
        moved = np.add(plan.pointing, plan.flexure)
        return self.geometry.shift(plan.poffset, plan.qoffset) + moved

    def star_electrons(self, plan: FramePlan) -> NDArray[np.float64]:
        """Give the electrons of each star in one exposure of transparency 1."""
        mags = np.array([star.mag for star in self.stars])
        rate = 10.0 ** (-0.4 * (mags - self.band.zeropoint))
        return np.asarray(rate * plan.total_exptime, np.float64)

    def settings(self, plan: FramePlan) -> Exposure:
        """Give the detector settings of a frame."""
        detector, options = self.detector, self.options
        polynomial = self.instrument.nonlinearity(options.array, options.read_mode, options.well)
        response = response_curve(
            detector.well,
            detector.linear_limit,
            plan.exptime,
            polynomial,
            linear=not options.has("non-linearity"),
        )
        return Exposure(plan.exptime, plan.coadds, detector.gain, detector.read_noise, response)

    def sky_electrons(self, plan: FramePlan) -> float:
        """Give the sky of a frame in the centre of the keyhole, electrons per pixel of response 1."""
        area = (self.geometry.pixel_scale / 0.1517) ** 2
        if plan.kind == "OBJECT":
            return self.band.sky * area * plan.sky_level * plan.total_exptime
        warm = plan.kind.startswith("FLAT") and self.options.has("sky")
        return self.band.thermal * area * plan.total_exptime if warm else 0.0


def build_night(seed: int, options: NightOptions) -> Night:
    """Decide everything about a night but its noise.

    Parameters
    ----------
    seed : int
        Not negative.
    options : NightOptions
        Content of the night.

    Returns
    -------
    Night

    Raises
    ------
    ParameterError
        The seed is negative, or camera, filter or array do not go together.
    """
    if seed < 0:
        raise ParameterError(f"seed = {seed} is negative; give 0 or more.")
    instrument = load("GNIRS")
    filter_name = options.filter.split("_G")[0]
    opening = slot(instrument, options.camera, wings="PHOT" not in filter_name)
    scale = instrument.pixel_scale(options.camera.split("_G")[0])
    if scale is None:
        raise ParameterError(f"The pixel scale of {options.camera} is not known; choose another camera.")
    detector = instrument.detector(options.array, options.read_mode, options.well)
    if detector is None:
        raise ParameterError(
            f"Nothing is known about array {options.array!r} in this mode; give the name of a real array."
        )
    geometry = SkyGeometry(scale, _target_pixel(options.camera, opening))
    plans = plan_night(options, geometry, seed=seed)
    lit = opening.transmission() > 0.5
    nebula = None
    if options.nebula:
        nebula = make_nebula(geometry.target_pixel, scale, peak=options.nebula, seed=seed)
    return Night(
        seed=seed,
        options=options,
        instrument=instrument,
        detector=detector,
        geometry=geometry,
        opening=opening,
        lit=lit,
        band=BANDS[filter_name],
        array=build_array(instrument.shape, seed=seed, options=options, lit=lit),
        lamp=_lamp(opening, lit, seed, options),
        plans=plans,
        stars=_stars(geometry, opening, seed, options) if options.has("stars") else [],
        nebula=nebula,
    )


def _stars(geometry: SkyGeometry, opening: Slot, seed: int, options: NightOptions) -> list[Star]:
    # The usual twenty positions, so that more or fewer frames see the same sky.
    offsets = [dither_offsets(index, options.dither, geometry.pixel_scale) for index in range(_PATTERN)]
    commanded = np.array([geometry.shift(*offset) for offset in offsets])
    stars = make_stars(
        geometry,
        opening,
        commanded,
        seed=seed,
        count=options.stars,
        targets=options.targets,
        target_mag=options.target_mag,
        faintest=options.faintest,
    )
    if options.sky_offset:
        # The other field is no emptier than the sky between the targets.
        away = commanded + geometry.shift(options.sky_offset, 0.0)
        others = seed + _OTHER_FIELD
        stars += make_stars(geometry, opening, away, seed=others, count=options.stars // 2, targets=0)
    return stars


def render_light(night: Night, plan: FramePlan) -> _FLOAT:
    """Give the expected electrons of a frame from light alone, shape (ny, nx), pixel response included."""
    light = np.zeros(night.instrument.shape, np.float32)
    if plan.kind == "DARK":
        return light
    box = night.opening.box(margin=8.0)
    opening = night.opening.transmission(*plan.flexure)[box]
    along, across = bar_coordinates(night.opening)
    slope = 1.0 + plan.sky_slope[0] * along[:, box[1]] + plan.sky_slope[1] * across[box[0]]
    image = np.float32(night.sky_electrons(plan)) * slope.astype(np.float32)
    if plan.lamp:
        # The lamp is set so that the level is right at the end of what the array collects.
        lamp = plan.lamp * LAMP_ELECTRONS / night.settings(plan).response.exposure_factor
        image = image + np.float32(lamp) * night.lamp[box]
    if plan.kind == "OBJECT" and night.nebula is not None:
        area = (night.geometry.pixel_scale / 0.1517) ** 2
        sky = night.band.sky * area * plan.total_exptime * plan.transparency
        image = image + np.float32(sky) * night.nebula.over(box, night.star_shift(plan))
    if plan.kind == "OBJECT" and night.stars:
        places = np.array([(star.x, star.y) for star in night.stars]) + night.star_shift(plan)
        electrons = night.star_electrons(plan) * plan.transparency
        scale = night.geometry.pixel_scale
        image = image + paint_stars(places, electrons, fwhm=plan.seeing, pixel_scale=scale, box=box)
    light[box] = image * opening * night.array.response[box]
    return light


def render_frames(night: Night) -> Iterator[tuple[FramePlan, _FLOAT, _FLOAT]]:
    """Take all frames of a night in order.

    Yields
    ------
    plan : FramePlan
        What was taken.
    light : ndarray of float32, shape (ny, nx)
        Expected electrons from light.
    adu : ndarray of float32, shape (ny, nx)
        What is read.
    """
    options, shape = night.options, night.instrument.shape
    glow: Afterglow | None = None
    for plan in night.plans:
        settings = night.settings(plan)
        light = render_light(night, plan)
        seen = light
        if options.has("persistence") and plan.kind != "DARK":
            glow = glow or Afterglow(shape, _finite(settings.response.well))
            seen = light + glow.glow(plan.seconds, plan.total_exptime)
            glow.remember(light, plan.coadds, plan.seconds + plan.total_exptime)
        impacts = None
        if options.has("cosmic-rays"):
            impacts = cosmic_rays(shape, plan.total_exptime, stream(night.seed, "cosmic rays", plan.serial))
        adu = expose(seen, settings, night.array, seed=night.seed, serial=plan.serial, options=options, impacts=impacts)
        yield plan, light, adu


def _finite(well: float) -> float:
    # Without saturation a pixel may trap as much as it sees.
    return well if np.isfinite(well) else 1e6


def _lamp(opening: Slot, lit: NDArray[np.bool_], seed: int, options: NightOptions) -> _FLOAT:
    if options.has("lamp-pattern"):
        return lamp_pattern(opening, lit, seed=seed)
    return np.ones(opening.shape, np.float32)


def _target_pixel(camera: str, opening: Slot) -> tuple[float, float] | None:
    # Measured for the short blue cameras; the others see the target at the same place in the keyhole.
    if camera.startswith("ShortBlue"):
        return None
    along, across = _TARGET_IN_SLOT
    return opening.centre[0] + along * opening.half_width, opening.centre[1] + across * opening.half_width
