"""The numbers of the keyhole's shape, and the outline that they give at a place on the detector."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["KeyholeShape", "Outline", "OutlineModel"]


@dataclass(frozen=True)
class KeyholeShape:
    """Numbers of the keyhole's shape and of its registration; lengths in arcsec, with ``_px`` in pixels.

    Attributes
    ----------
    half_disc_radius, bar_width, bar_length : float
    bar_slope : float
        Pixels of y per pixel of x.
    centre_dx_px, centre_dy : float
        Centre of the disc relative to the centroid of the lit area.
    red_camera_shift_px : (float, float)
        Added to disc and bar for red cameras.
    wing_shift_px, wing_x_gain : float
        With wings: y shift for a bar as long as the detector, and how the disc moves with the centroid when
        the bar reaches the left edge.
    no_wing_long_shift_px : float
        Without wings, long cameras: y shift.
    outer_radius_factor_short, outer_radius_factor_long : float
        Without wings: outer radius over that of the disc.
    long_short_limit : float
        Arcsec per pixel; a camera below is a long one.
    detect_sigma, detect_box_px, min_fraction : float, int, float
        Threshold over the read noise, box that grows the dark pixels, and least fraction of the expected
        pixels.
    """

    half_disc_radius: float
    bar_width: float
    bar_length: float
    bar_slope: float
    centre_dx_px: float
    centre_dy: float
    red_camera_shift_px: tuple[float, float]
    wing_shift_px: float
    wing_x_gain: float
    no_wing_long_shift_px: float
    outer_radius_factor_short: float
    outer_radius_factor_long: float
    long_short_limit: float
    detect_sigma: float
    detect_box_px: int
    min_fraction: float


@dataclass(frozen=True)
class Outline:
    """The shape at one place, in pixels.

    Attributes
    ----------
    left, right : float
        Ends of the bar.
    half_width, slope, pivot : float
        Half the height of the bar, its tilt, and the x where the tilt is zero.
    centre : (x, y)
        Of the disc and, in y, of the bar.
    radius : float
    outer : float or None
        Radius beyond which all is dark.
    """

    left: float
    right: float
    half_width: float
    slope: float
    pivot: float
    centre: tuple[float, float]
    radius: float
    outer: float | None

    def x_range(self) -> tuple[float, float]:
        """First and last x that the shape covers, on or off the detector."""
        if self.outer is None:
            return self.left, self.right
        return max(self.left, self.centre[0] - self.outer), min(self.right, self.centre[0] + self.outer)

    def columns(self, x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Lower and upper edge in y, and the fraction of the column that is covered, at each x."""
        xc, yc = self.centre
        tilt = yc + self.slope * (x - self.pivot)
        cover = np.clip(np.minimum(x + 0.5, self.right) - np.maximum(x - 0.5, self.left), 0, 1)
        depth = np.sqrt(np.maximum(self.radius**2 - (x - xc) ** 2, 0))
        lower, upper = tilt - self.half_width, tilt + self.half_width
        lower = np.where(depth > 0, np.minimum(lower, yc - depth), lower)
        if self.outer is not None:
            reach = np.sqrt(np.maximum(self.outer**2 - (x - xc) ** 2, 0))
            lower, upper = np.maximum(lower, yc - reach), np.minimum(upper, yc + reach)
            cover = np.where(reach > 0, cover, 0)
        return lower, np.maximum(upper, lower), cover

    def depth(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Distance from the edge in pixels, positive inside; near the edge only, as corners are not rounded."""
        xc, yc = self.centre
        across = (self.half_width - np.abs(y - yc - self.slope * (x - self.pivot))) / np.hypot(1.0, self.slope)
        bar = np.minimum(across, np.minimum(x - self.left, self.right - x))
        distance = np.hypot(x - xc, y - yc)
        inside = np.maximum(bar, np.minimum(self.radius - distance, yc - y))
        return np.asarray(inside if self.outer is None else np.minimum(inside, self.outer - distance))


@dataclass(frozen=True)
class OutlineModel:
    """How the outline follows from a centroid: one detector of `shape` (ny, nx), one camera and filter."""

    shape: tuple[int, int]
    geometry: KeyholeShape
    pixel_scale: float
    wings: bool
    red: bool

    def outline(self, centroid: tuple[float, float], xshift: float = 0, yshift: float = 0) -> Outline:
        g, scale = self.geometry, self.pixel_scale
        cx, cy = centroid
        last = self.shape[1] - 1
        red_x, red_y = g.red_camera_shift_px if self.red else (0.0, 0.0)
        left = cx - g.bar_length / scale / 2 + xshift + red_x
        right = cx + g.bar_length / scale / 2 + xshift + red_x
        xc = cx + g.centre_dx_px + xshift + red_x
        yc = cy + g.centre_dy / scale + yshift + red_y
        radius = g.half_disc_radius / scale
        is_long = scale < g.long_short_limit
        outer = None
        if self.wings:
            yc -= g.wing_shift_px * (min(right, last) - max(left, 0)) / last
            if left <= 0:
                xc += g.wing_x_gain * (cx - self.shape[1] / 2)
        else:
            yc += g.no_wing_long_shift_px if is_long else 0.0
            outer = radius * (g.outer_radius_factor_long if is_long else g.outer_radius_factor_short)
        return Outline(left, right, g.bar_width / scale / 2, g.bar_slope, cx, (xc, yc), radius, outer)

    def x_gain(self, centroid: tuple[float, float]) -> float:
        """Pixels that the visible shape moves in x for one pixel of the centroid."""
        here = self.outline(centroid)
        return 1 + self.geometry.wing_x_gain if self.wings and here.left <= 0 else 1.0
