"""What disturbs single exposures: cosmic rays, and the afterglow of bright light."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Afterglow", "cosmic_rays"]

_RAYS_PER_SECOND = 12.0 / 60.0  # whole array
_RAY_MEDIAN = 900.0  # electrons
_RAY_SPREAD = 1.0  # natural logarithm
_TRACK_SHARE = 0.25
_TRACK_LENGTH = 8.0  # pixels, mean
_TRACK_RATE = 350.0  # electrons per pixel of track
_SPLASH = 0.04  # share of a hit that each of the four neighbours receives

_AFTERGLOW = 5e-4  # of the earlier light above the threshold, per minute of exposure
_AFTERGLOW_TIME = 150.0  # s
_THRESHOLD = 0.2  # of the well


def cosmic_rays(shape: tuple[int, int], seconds: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw the electrons that cosmic rays set free in one exposure.

    Parameters
    ----------
    shape : tuple of int
        (ny, nx).
    seconds : float
        Exposure time of all coadds.
    rng : numpy.random.Generator
        Of this frame.

    Returns
    -------
    ndarray of float32, shape (ny, nx)
    """
    ny, nx = shape
    impacts = np.zeros((ny + 2, nx + 2), np.float32)  # one pixel of margin for splashes
    for _ in range(rng.poisson(_RAYS_PER_SECOND * seconds * ny * nx / (1022 * 1024))):
        x, y = rng.uniform(0, nx), rng.uniform(0, ny)
        if rng.random() < _TRACK_SHARE:
            length, angle = 2.0 + rng.exponential(_TRACK_LENGTH), rng.uniform(0, 2 * np.pi)
            steps = np.arange(0.0, length, 0.1)
            along_x, along_y = x + steps * np.cos(angle), y + steps * np.sin(angle)
            inside = (along_x >= 0) & (along_x < nx) & (along_y >= 0) & (along_y < ny)
            rate = 0.1 * _TRACK_RATE * rng.lognormal(0.0, 0.3, int(inside.sum()))
            np.add.at(impacts, (along_y[inside].astype(int) + 1, along_x[inside].astype(int) + 1), rate)
            continue
        energy = _RAY_MEDIAN * rng.lognormal(0.0, _RAY_SPREAD)
        row, column = int(y) + 1, int(x) + 1
        impacts[row, column] += energy * (1.0 - 4.0 * _SPLASH)
        for step_y, step_x in ((0, 1), (0, -1), (1, 0), (-1, 0)):
            impacts[row + step_y, column + step_x] += energy * _SPLASH
    return impacts[1:-1, 1:-1]


class Afterglow:
    """Charge that bright light leaves in the pixels and that leaks into later exposures.

    Only what exceeds a fifth of the well counts, and never more than the well holds; the charge fades
    exponentially.

    Parameters
    ----------
    shape : tuple of int
        (ny, nx).
    well : float
        Saturation, electrons of one coadd.
    """

    def __init__(self, shape: tuple[int, int], well: float) -> None:
        self._trapped = np.zeros(shape, np.float32)
        self._well = well
        self._time: float | None = None

    def glow(self, start: float, seconds: float) -> NDArray[np.float32]:
        """Give the electrons that leak into an exposure of `seconds` that begins at `start` (s)."""
        if self._time is None:
            return np.zeros_like(self._trapped)
        fade = np.exp(-max(0.0, start - self._time) / _AFTERGLOW_TIME)
        return self._trapped * np.float32(_AFTERGLOW * fade * seconds / 60.0)

    def remember(self, light: NDArray[np.float32], coadds: int, end: float) -> None:
        """Add the light of an exposure (electrons of all coadds) that ended at `end` (s)."""
        excess = np.clip(light / np.float32(coadds), 0.0, self._well) - np.float32(_THRESHOLD * self._well)
        fade = 0.0 if self._time is None else np.exp(-max(0.0, end - self._time) / _AFTERGLOW_TIME)
        self._trapped = self._trapped * np.float32(fade) + np.maximum(excess, 0.0) * np.float32(coadds)
        self._time = end
