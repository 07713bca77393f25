"""The acquisition keyhole: where light falls on the detector, drawn from its geometry and found in an
exposure.

The lit area is a bar, nearly along x, with a half disc hanging under it (towards smaller y). Filters without
wings show only what lies within a circle around the centre of the disc. Positions are 0-based (x, y) pixel
centres.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import AlgorithmError
from keyhole.imaging._keyhole_edge import fit_edge
from keyhole.imaging._keyhole_fit import Fit, centroid_of_largest_region, fit_keyhole
from keyhole.imaging._keyhole_outline import KeyholeShape, Outline, OutlineModel

__all__ = ["KeyholeShape", "Placement", "draw_keyhole", "locate_keyhole"]


class Placement(NamedTuple):
    """Where the keyhole is in an exposure.

    Attributes
    ----------
    centroid : (x, y)
        To be given to `draw_keyhole`.
    dx, dy : float
        Centroid minus the default one, pixels.
    n_lit : int
        Usable pixels brighter than half light in and next to the shape.
    trusted : bool
        False: the centroid is the default one.
    reason : str
        Why, with numbers.
    """

    centroid: tuple[float, float]
    dx: float
    dy: float
    n_lit: int
    trusted: bool
    reason: str


def draw_keyhole(
    shape: tuple[int, int],
    *,
    geometry: KeyholeShape,
    pixel_scale: float,
    centroid: tuple[float, float],
    wings: bool,
    red: bool,
    xshift: float = 0,
    yshift: float = 0,
    margin: float = 0,
) -> NDArray[np.bool_]:
    """Draw the lit area.

    Parameters
    ----------
    shape : (ny, nx)
        Of the whole detector.
    geometry : KeyholeShape
    pixel_scale : float
        Arcsec per pixel.
    centroid : (x, y)
        Nominal centroid of the lit area, pixels.
    wings : bool
        False for filters that show only the part near the disc.
    red : bool
        Whether the camera is a red one.
    xshift, yshift : float
        Moves the shape, pixels; the tilt of the bar keeps its pivot.
    margin : float
        Pixels along the edge that are left out; the edge of the real keyhole is soft.

    Returns
    -------
    (ny, nx) bool
        True = lit.
    """
    outline = OutlineModel(shape, geometry, pixel_scale, wings, red).outline(centroid, xshift, yshift)
    return _draw(shape, _shrunk(outline, margin))


def _shrunk(outline: Outline, margin: float) -> Outline:
    return replace(
        outline,
        left=outline.left + margin,
        right=outline.right - margin,
        half_width=outline.half_width - margin,
        radius=outline.radius - margin,
        outer=None if outline.outer is None else outline.outer - margin,
    )


def _draw(shape: tuple[int, int], outline: Outline) -> NDArray[np.bool_]:
    """The pixels whose centres are in the outline."""
    ny, nx = shape
    lower, upper, _ = outline.columns(np.arange(nx, dtype=np.float64))
    first, last = outline.x_range()
    rows = slice(max(int(lower.min()), 0), max(int(upper.max()) + 2, 0))
    columns = slice(max(int(first), 0), max(int(last) + 2, 0))
    y, x = np.arange(ny, dtype=np.float64)[rows, None], np.arange(nx, dtype=np.float64)[columns]
    xc, yc = outline.centre
    middle = yc + outline.slope * (x - outline.pivot)
    inside = (x >= outline.left) & (x <= outline.right)
    inside = inside & (y > middle - outline.half_width) & (y <= middle + outline.half_width)
    distance = (x - xc) ** 2 + (y - yc) ** 2
    inside |= (distance < outline.radius**2) & (y < yc)
    if outline.outer is not None:
        inside &= distance <= outline.outer**2
    lit = np.zeros(shape, dtype=bool)
    lit[rows, columns] = inside
    return lit


def locate_keyhole(
    data: NDArray[np.float32],
    usable: NDArray[np.bool_] | None = None,
    *,
    read_noise: float | None,
    expected_pixels: float,
    default_centroid: tuple[float, float],
    geometry: KeyholeShape,
    pixel_scale: float,
    wings: bool,
    red: bool,
) -> Placement:
    """Find the keyhole in one exposure, to a fraction of a pixel.

    Where the edge shows it near its default place (`keyhole.imaging._keyhole_edge`), that is the answer: a few
    milliseconds, some hundredths of a pixel. Else the shape is moved to where the sum over it of (light - half
    light) is largest; values are cut symmetrically about half light, so stars, hot pixels and cosmic rays count
    no more than any pixel. It is looked for around its default place, and if it is not there, around the
    centroid of the largest bright region.

    Parameters
    ----------
    data : (ny, nx) float32
        Any unit; sky or lamp, with or without offset.
    usable : (ny, nx) bool, optional
        False: leave the pixel out.
    read_noise : float or None
        In the unit of `data`; None: taken from the scatter of the dark pixels.
    expected_pixels : float
        Usual number of lit pixels.
    default_centroid : (x, y)
    geometry, pixel_scale, wings, red
        See `draw_keyhole`.

    Returns
    -------
    Placement
        Not trusted, with the default centroid, when there is no light, too little of the expected area is
        lit, or the edges of the exposure are not those of the shape.

    Raises
    ------
    AlgorithmError
        No usable pixel.
    """
    good = np.isfinite(data) if usable is None else usable & np.isfinite(data)
    if not good.any():
        raise AlgorithmError(f"The keyhole cannot be found: none of {data.size} pixels is usable.")
    model = OutlineModel((data.shape[0], data.shape[1]), geometry, pixel_scale, wings, red)
    quick = _fit_by_edge(data, good, model, start=default_centroid, expected_pixels=expected_pixels)
    if quick is not None:
        return _placement(quick, default_centroid)
    fit = fit_keyhole(data, good, model, start=default_centroid, expected_pixels=expected_pixels)
    if not fit.trusted:
        start = _start_from_region(
            data,
            good,
            model,
            read_noise=read_noise,
            default=default_centroid,
            expected_pixels=expected_pixels,
        )
        if start is not None:
            again = fit_keyhole(data, good, model, start=start, expected_pixels=expected_pixels)
            fit = again if again.trusted else fit
    return _placement(fit, default_centroid)


def _fit_by_edge(
    data: NDArray[np.float32],
    good: NDArray[np.bool_],
    model: OutlineModel,
    *,
    start: tuple[float, float],
    expected_pixels: float,
) -> Fit | None:
    """The place that the edge shows; None where it does not, or where too little behind it is lit."""
    edge = fit_edge(data, good, model, start=start)
    if edge is None:
        return None
    columns = np.arange(model.shape[1], dtype=np.float64)
    lower, upper, cover = model.outline(edge.centroid).columns(columns)
    rows = np.clip(upper, 0, model.shape[0]) - np.clip(lower, 0, model.shape[0])
    n_lit = int(edge.lit * float(cover @ rows))
    if edge.lit < model.geometry.min_fraction or n_lit < model.geometry.min_fraction * expected_pixels:
        return None
    reason = f"fitted to the edge of {n_lit} lit pixels, +- {edge.error:.2f} pixel"
    return Fit(edge.centroid, n_lit, trusted=True, reason=reason)


def _start_from_region(
    data: NDArray[np.float32],
    good: NDArray[np.bool_],
    model: OutlineModel,
    *,
    read_noise: float | None,
    default: tuple[float, float],
    expected_pixels: float,
) -> tuple[float, float] | None:
    """Centroid to start from, moved like the largest bright region against the shape at its default place."""
    moved = centroid_of_largest_region(data, good, read_noise, expected_pixels, model.geometry)
    # The default centroid is not that of the pixels drawn there: like is compared with like.
    rows, columns = np.nonzero(_draw(model.shape, model.outline(default)))
    if moved is None or not rows.size:
        return None
    return (
        default[0] + (moved[0] - float(columns.mean())) / model.x_gain(default),
        default[1] + moved[1] - float(rows.mean()),
    )


def _placement(fit: Fit, default: tuple[float, float]) -> Placement:
    centroid = fit.centroid if fit.trusted else default
    return Placement(
        centroid,
        centroid[0] - default[0],
        centroid[1] - default[1],
        fit.n_lit,
        fit.trusted,
        fit.reason,
    )
