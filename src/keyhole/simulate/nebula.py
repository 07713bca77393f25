"""Extended light on the sky: a nebula that moves with the stars."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.simulate.streams import stream

__all__ = ["Nebula", "make_nebula"]

_CLOUDS = 6
_REACH = 45.0  # arcsec along the slot, and a third of it across
_WIDTHS = (6.0, 25.0)  # arcsec, sigma of each cloud
_PEAK_SAMPLES = 200


class Nebula(NamedTuple):
    """Round clouds of Gaussian profile: centre at zero offset and sigma (pixels), height.

    Attributes
    ----------
    centres : ndarray of float64, shape (n, 2)
        Pixel (x, y), first pixel is 0.
    sigmas, heights : ndarray of float64, shape (n,)
        Heights are in units of the night sky.
    """

    centres: NDArray[np.float64]
    sigmas: NDArray[np.float64]
    heights: NDArray[np.float64]

    def over(self, box: tuple[slice, slice], shift: NDArray[np.float64]) -> NDArray[np.float32]:
        """Give its light on a (y, x) box of the array, moved by `shift` (x, y) pixels, in units of the sky."""
        y, x = np.arange(box[0].start, box[0].stop)[:, None], np.arange(box[1].start, box[1].stop)
        return self._at(x - shift[0], y - shift[1]).astype(np.float32)

    def _at(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        light = np.zeros(np.broadcast_shapes(x.shape, y.shape))
        for (x0, y0), sigma, height in zip(self.centres, self.sigmas, self.heights, strict=True):
            light += height * np.exp(-0.5 * ((x - x0) / sigma) ** 2) * np.exp(-0.5 * ((y - y0) / sigma) ** 2)
        return light


def make_nebula(target: NDArray[np.float64], pixel_scale: float, *, peak: float, seed: int) -> Nebula:
    """Make the nebula of a night about the target.

    Parameters
    ----------
    target : ndarray of float64, shape (2,)
        Its pixel (x, y) at zero offset.
    pixel_scale : float
        Arcsec per pixel.
    peak : float
        Largest light along the slot in units of the night sky.
    seed : int
        Seed of the night.
    """
    rng = stream(seed, "nebula")
    reach = np.array([_REACH, _REACH / 3])
    centres = target + rng.uniform(-reach, reach, (_CLOUDS, 2)) / pixel_scale
    sigmas = rng.uniform(*_WIDTHS, _CLOUDS) / pixel_scale
    shape = Nebula(centres, sigmas, rng.uniform(0.3, 1.0, _CLOUDS))
    along = target[0] + np.linspace(-_REACH, _REACH, _PEAK_SAMPLES) / pixel_scale
    highest = float(shape._at(along, np.full_like(along, target[1])).max())
    return shape._replace(heights=shape.heights * peak / highest)
