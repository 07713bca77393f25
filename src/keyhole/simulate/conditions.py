"""Seeing, transparency, sky, pointing and flexure of a night, frame by frame."""

from __future__ import annotations

import numpy as np

from keyhole.simulate.night_sky import SkyDrift
from keyhole.simulate.options import NightOptions
from keyhole.simulate.streams import stream

__all__ = ["Conditions"]

_POINTING_ERROR = 0.15  # arcsec rms per axis
_FLEXURE_START = 1.5  # pixels rms per axis
_FLEXURE_DRIFT = 1.0  # pixels rms per hour and axis, at the start
_SIDEREAL_DAY = 86164.1  # s, in which gravity turns once about the instrument of a telescope that follows the sky
_FLEXURE_WANDER = 0.15  # pixels, amplitude of a slow wave
_FLEXURE_TO_FLATS = 0.7  # pixels rms per axis
_SEEING = (0.52, 0.66)  # arcsec, range of a night's mean
_SEEING_CHANGE = 0.06
_TRANSPARENCY_CHANGE = 0.01
_LAMP_CHANGE = 0.005
_CLOUD_PERIOD = 1700.0  # s, from one bank of clouds to the next
_CLOUD_PATCHES = 0.12  # of the depth of the clouds, from frame to frame


class Conditions:
    """What the sky and the telescope do in each frame of one night.

    Parameters
    ----------
    options : NightOptions
        Content of the night.
    pixel_scale : float
        Arcsec per pixel.
    seed : int
        Seed of the night.
    """

    def __init__(self, options: NightOptions, pixel_scale: float, seed: int) -> None:
        self._options, self._scale, self._seed = options, pixel_scale, seed
        rng = stream(seed, "conditions")
        self._mean_seeing = rng.uniform(*_SEEING)
        self._flexure_start = _FLEXURE_START * rng.standard_normal(2)
        self._flexure_turn = _FLEXURE_DRIFT * rng.standard_normal(2) / 3600.0 * _SIDEREAL_DAY / (2 * np.pi)
        self._flexure_phase = rng.uniform(0, 2 * np.pi, 2)
        self._flat_step = _FLEXURE_TO_FLATS * rng.standard_normal(2)
        self._sky = SkyDrift(seed)
        self._cloud_phase = stream(seed, "clouds").uniform(0, 2 * np.pi)
        self._jumps = self._jumping_frames()
        angle = stream(seed, "flats of another night").uniform(0, 2 * np.pi)
        self._flat_displacement = options.flats_displaced * np.array([np.cos(angle), np.sin(angle)])

    def seeing(self, index: int) -> float:
        """Full width at half maximum of the stars, arcsec."""
        if self._options.seeing is not None:
            best, worst = np.log(self._options.seeing)
            return float(np.exp(stream(self._seed, "seeing range", index).uniform(best, worst)))
        change = _SEEING_CHANGE * stream(self._seed, "seeing", index).standard_normal()
        return float(self._mean_seeing * (1.0 + np.clip(change, -0.2, 0.2) * self._options.has("seeing")))

    def transparency(self, index: int, seconds: float) -> float:
        """Share of the stars' light that arrives; 0 with the telescope closed."""
        if self.is_closed(index):
            return 0.0
        change = _TRANSPARENCY_CHANGE * stream(self._seed, "transparency", index).standard_normal()
        return float((1.0 + change * self._options.has("transparency")) * self._clouds(index, seconds))

    def pointing(self, index: int) -> tuple[float, float]:
        """Displacement of the stars that no header knows, pixels."""
        error = _POINTING_ERROR / self._scale * stream(self._seed, "pointing", index).standard_normal(2)
        x, y = error * self._options.has("pointing")
        if index in self._jumps:
            angle = stream(self._seed, "jump", index).uniform(0, 2 * np.pi)
            x += self._options.jump / self._scale * np.cos(angle)
            y += self._options.jump / self._scale * np.sin(angle)
        return float(x), float(y)

    def flexure(self, seconds: float, *, flat: bool) -> tuple[float, float]:
        """Displacement of keyhole and stars on the array, pixels."""
        if flat and self._options.flats_displaced:
            # Another night: another flexure, of which only the distance to that of the science frames counts.
            x, y = np.array(self.flexure(0.0, flat=False)) + self._flat_displacement
            return float(x), float(y)
        wander = _FLEXURE_WANDER * np.sin(2 * np.pi * seconds / 1500.0 + self._flexure_phase)
        turned = self._flexure_turn * np.sin(2 * np.pi * seconds / _SIDEREAL_DAY)
        moved = self._flexure_start + turned + wander + (self._flat_step if flat else 0.0)
        x, y = moved * self._options.has("flexure")
        return float(x), float(y)

    def sky_level(self, seconds: float, index: int) -> float:
        """Sky in units of the band's usual sky; clouds leave it as it is, a closed telescope shuts it out."""
        if not self._options.has("sky") or self.is_closed(index):
            return 0.0
        return self._sky.level(seconds, index) if self._options.has("sky-drift") else 1.0

    def sky_slope(self, seconds: float) -> tuple[float, float]:
        """Relative change of the sky from the keyhole's centre to its end, along and across."""
        return self._sky.slope(seconds) if self._options.has("sky-slope") else (0.0, 0.0)

    def lamp(self, index: int) -> float:
        """Brightness of the lamp in units of the usual one."""
        return float(1.0 + _LAMP_CHANGE * stream(self._seed, "lamp level", index).standard_normal())

    def is_closed(self, index: int) -> bool:
        """Whether a science frame is taken with the telescope closed."""
        return index + 1 in self._options.closed

    def _clouds(self, index: int, seconds: float) -> float:
        if self._options.clouds == 1.0:
            return 1.0
        bank = 0.5 + 0.5 * np.sin(2 * np.pi * seconds / _CLOUD_PERIOD + self._cloud_phase)
        patch = _CLOUD_PATCHES * stream(self._seed, "cloud patches", index).standard_normal()
        return float(self._options.clouds ** np.clip(bank + patch, 0.0, 1.0))

    def _jumping_frames(self) -> frozenset[int]:
        others = np.arange(1, max(self._options.frames, 1))
        chosen = stream(self._seed, "jumping frames").permutation(others)[: self._options.jumps]
        return frozenset(chosen.tolist())
