"""What is measured: the lit part of a frame with its sources, and the light of its stars."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging.psf import PointSpread, StarImage

__all__ = ["ApertureNoise", "Ellipses", "Scene", "SkyPixels", "StarField"]

Float64 = NDArray[np.float64]
ApertureNoise = Callable[[Float64], Float64]
"""Noise of circles of the given radii (pixels) over that which their pixels would have if independent."""


class SkyPixels(NamedTuple):
    """Pixels that told the background of those around them.

    Attributes
    ----------
    told : (ny, nx) bool
    width : int
        Side of the square of these that count for a pixel.
    loss : float
        How many of them tell as much as one of a mean.
    least : float
        So many must be there; otherwise an earlier background was left as it is.
    earlier : SkyPixels or None
        What told that.
    """

    told: NDArray[np.bool_]
    width: int
    loss: float
    least: float = 0.0
    earlier: SkyPixels | None = None

    def at(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Float64:
        """How many pixels told the background of some pixels, as if they were averaged; at least 1."""
        before = self.width // 2
        found = [
            np.count_nonzero(
                self.told[max(y - before, 0) : max(y - before + self.width, 0)][
                    :, max(x - before, 0) : max(x - before + self.width, 0)
                ]
            )
            for y, x in zip(rows.tolist(), columns.tolist(), strict=True)
        ]
        number = np.array(found, np.float64)
        enough = number > self.least
        number = np.maximum(number / self.loss, 1.0)
        return number if self.earlier is None else np.where(enough, number, self.earlier.at(rows, columns))


class Scene(NamedTuple):
    """The part of a frame that holds usable pixels, without its background.

    ``data`` and ``variance`` are 0 where ``hidden``; ``labels`` are 0 between sources and row + 1 on them;
    ``areas`` are their isophotal areas; ``sky`` are the pixels that told the background; ``noise`` is that of the
    median pixel; ``origin`` is the ``(x, y)`` of the first pixel in the frame.
    """

    data: NDArray[np.float32]
    variance: NDArray[np.float32]
    background: NDArray[np.float32]
    bits: NDArray[np.uint16]
    hidden: NDArray[np.bool_]
    labels: NDArray[np.int32]
    sky: SkyPixels
    noise: float
    origin: tuple[int, int]
    frame_shape: tuple[int, int]
    areas: NDArray[np.intp] = np.empty(0, np.intp)


class Ellipses(NamedTuple):
    """Where sources are (pixels of the scene), their axes (pixels) and angles (radians)."""

    x: Float64
    y: Float64
    a: Float64
    b: Float64
    theta: Float64

    def of(self, chosen: NDArray[Any]) -> Ellipses:
        """Those of some sources."""
        return Ellipses(*(values[chosen] for values in self))

    @property
    def area(self) -> Float64:
        """Pixels."""
        return np.asarray(np.pi * self.a * self.b)


class StarField(NamedTuple):
    """Light of the stars of a scene.

    Attributes
    ----------
    psf : PointSpread
    images : list of StarImage or None
        One per source; None where there is no light.
    residual : (ny, nx) float32
        The scene without these stars.
    """

    psf: PointSpread
    images: list[StarImage | None]
    residual: NDArray[np.float32]
