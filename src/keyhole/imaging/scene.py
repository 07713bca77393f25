"""What is measured: the lit part of a frame with its sources, and the light of its stars."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging.psf import PointSpread, StarImage

__all__ = ["ApertureNoise", "Ellipses", "Scene", "StarField"]

Float64 = NDArray[np.float64]
ApertureNoise = Callable[[Float64], Float64]
"""Noise of circles of the given radii (pixels) over that which their pixels would have if independent."""


class Scene(NamedTuple):
    """The part of a frame that holds usable pixels, without its background.

    ``data`` and ``variance`` are 0 where ``hidden``; ``labels`` are 0 between sources and row + 1 on them;
    ``areas`` are their isophotal areas; ``empty`` is how many pixels between the sources told the background of
    each pixel, as if they were averaged; ``origin`` is the ``(x, y)`` of the first pixel in the frame.
    """

    data: NDArray[np.float32]
    variance: NDArray[np.float32]
    background: NDArray[np.float32]
    bits: NDArray[np.uint16]
    hidden: NDArray[np.bool_]
    labels: NDArray[np.int32]
    empty: NDArray[np.float32]
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
