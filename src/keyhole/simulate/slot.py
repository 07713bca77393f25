"""The keyhole as an opening: how much of the light of each pixel it lets through."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import ParameterError
from keyhole.instruments import Instrument

__all__ = ["Slot", "slot"]

# Spread (sigma, pixels) of the edge; the profile of the edge is 1 pixel wide at half its height.
_EDGE_SIGMA = 0.425
_LAST_COLUMN = 1023


class Slot(NamedTuple):
    """Outline of the keyhole on the array, in pixels (first pixel is 0).

    Attributes
    ----------
    shape : tuple of int
        (ny, nx) of the array.
    pivot : float
        x about which the bar is tilted.
    centre : tuple of float
        (x, y) of the half disc's centre; the bar's middle line has this y at the pivot.
    radius : float
        Radius of the half disc.
    ends : tuple of float
        x of the bar's ends.
    half_width : float
        Half of the bar's height.
    slope : float
        Rise of the bar, pixels of y per pixel of x.
    outer_radius : float
        All beyond this distance from the centre is dark; infinite for filters that show the wings.
    """

    shape: tuple[int, int]
    pivot: float
    centre: tuple[float, float]
    radius: float
    ends: tuple[float, float]
    half_width: float
    slope: float
    outer_radius: float

    def transmission(self, dx: float = 0.0, dy: float = 0.0) -> NDArray[np.float32]:
        """Draw the keyhole displaced by (dx, dy) pixels.

        Returns
        -------
        ndarray of float32, shape (ny, nx)
            0 in the dark, 1 where all light passes; the edge is about one pixel wide.
        """
        from scipy.special import ndtr

        box = self.box(margin=max(abs(dx), abs(dy)) + 3.0)
        y, x = np.ogrid[box]
        depth = self.depth(x - dx, y - dy)
        inside = np.zeros(self.shape, np.float32)
        inside[box] = ndtr(depth / _EDGE_SIGMA)
        return inside

    def box(self, margin: float = 0.0) -> tuple[slice, slice]:
        """Give the (y, x) slices of the array around the keyhole, with a margin in pixels."""
        xc, yc = self.centre
        left = max(min(self.ends[0], xc - self.radius), xc - self.outer_radius) - margin
        right = min(max(self.ends[1], xc + self.radius), xc + self.outer_radius) + margin
        bar = [yc + self.slope * (x - self.pivot) for x in (left, right)]
        low = min(min(bar) - self.half_width, yc - self.radius) - margin
        high = max(bar) + self.half_width + margin
        return _clip(low, high, self.shape[0]), _clip(left, right, self.shape[1])

    def depth(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the distance of points from the edge in pixels, positive inside.

        Parameters
        ----------
        x, y : ndarray of float64
            Places relative to the undisplaced keyhole; they broadcast against each other.
        """
        xc, yc = self.centre
        middle = yc + self.slope * (x - self.pivot)
        across = (self.half_width - np.abs(y - middle)) / np.hypot(1.0, self.slope)
        along = np.minimum(x - self.ends[0], self.ends[1] - x)
        bar = np.minimum(across, along)
        distance = np.hypot(x - xc, y - yc)
        half_disc = np.minimum(self.radius - distance, yc - y)
        opening: NDArray[np.float64] = np.minimum(np.maximum(bar, half_disc), self.outer_radius - distance)
        return opening


def slot(instrument: Instrument, camera: str, *, wings: bool) -> Slot:
    """Outline the keyhole of a camera at its usual place.

    Parameters
    ----------
    instrument : Instrument
        Its keyhole dimensions and tables are used.
    camera : str
        Camera with component id.
    wings : bool
        Whether the filter shows the ends of the bar.

    Returns
    -------
    Slot

    Raises
    ------
    ParameterError
        The keyhole of this combination has never been measured.
    """
    expected = instrument.keyhole_expected(camera, wings)
    scale = instrument.pixel_scale(camera.split("_G", maxsplit=1)[0])
    if expected is None or scale is None:
        kind = "with" if wings else "without"
        raise ParameterError(f"The keyhole of {camera} {kind} wings is not known; choose another camera or filter.")
    numbers = instrument.keyhole
    cx, cy = expected.centroid
    red_x, red_y = numbers.red_camera_shift_px if "Red" in camera else (0.0, 0.0)
    is_long = scale < numbers.long_short_limit
    half_length = numbers.bar_length / scale / 2
    ends = (cx - half_length + red_x, cx + half_length + red_x)
    xc = cx + numbers.centre_dx_px + red_x
    yc = cy + numbers.centre_dy / scale + red_y
    radius = numbers.half_disc_radius / scale
    outer = np.inf
    if wings:
        visible = min(ends[1], _LAST_COLUMN) - max(ends[0], 0.0)
        yc -= numbers.wing_shift_px * visible / _LAST_COLUMN
        if ends[0] <= 0:
            xc += numbers.wing_x_gain * (cx - 512)
    else:
        factor = numbers.outer_radius_factor_long if is_long else numbers.outer_radius_factor_short
        outer = factor * radius
        yc += numbers.no_wing_long_shift_px if is_long else 0.0
    return Slot(
        shape=instrument.shape,
        pivot=cx,
        centre=(xc, yc),
        radius=radius,
        ends=ends,
        half_width=numbers.bar_width / scale / 2,
        slope=numbers.bar_slope,
        outer_radius=float(outer),
    )


def _clip(low: float, high: float, size: int) -> slice:
    return slice(max(0, math.floor(low)), min(size, math.ceil(high) + 1))
