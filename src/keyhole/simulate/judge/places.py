"""The verdict on places: of stars, of the WCS, and of the frames against each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import DataError
from keyhole.simulate.judge.light import Photometry
from keyhole.simulate.judge.scene import Scene
from keyhole.simulate.measure import centroids
from keyhole.simulate.product import read_wcs
from keyhole.simulate.true_frames import TrueFrames

__all__ = ["PositionErrors", "RegistrationErrors", "WcsErrors", "position_errors", "registration_errors", "wcs_errors"]

_FLOATS = NDArray[np.float64]

_GRID = 12  # places along the longer side of the keyhole at which maps are compared
_DEEP = 3.0  # pixels from the edge


class PositionErrors(NamedTuple):
    """Common shift, rms and largest distance after it (arcsec), rms on the array (pixels), and each
    star's.
    """

    offset: float
    rms: float
    worst: float
    rms_pixel: float
    each: _FLOATS


class WcsErrors(NamedTuple):
    """Error of the WCS over the keyhole, arcsec: rms and largest after, and size of, the common shift."""

    internal: float
    worst: float
    absolute: float


class RegistrationErrors(NamedTuple):
    """Shifts of the frames against the true ones over the keyhole, pixels: rms, largest; number of frames.

    What all frames have in common is taken out: it moves the stack but does not blur it.
    """

    rms: float
    worst: float
    frames: int


def position_errors(scene: Scene, light: Photometry) -> PositionErrors:
    """Judge the places of the bright isolated stars."""
    stars, product = scene.stars, scene.product
    centres = centroids(product.data, product.usable, scene.places, fwhm=stars.mean_fwhm)
    used = light.judged & np.isfinite(centres[:, 0])
    on_array = centres - stars.first
    rms_pixel = _spread(on_array[used])
    if product.wcs is None:
        each = on_array * stars.pixel_scale
        offset = math.nan
    else:
        sky = product.to_sky(np.nan_to_num(centres)) if len(centres) else np.zeros((0, 2))
        each = _on_plane(sky, stars.ra, stars.dec)
        each[~np.isfinite(centres[:, 0])] = np.nan
        offset = float(np.hypot(*each[used].mean(axis=0))) if used.any() else math.nan
    if not used.any():
        return PositionErrors(math.nan, math.nan, math.nan, math.nan, each)
    rest = each - each[used].mean(axis=0)
    return PositionErrors(offset, _spread(each[used]), float(np.hypot(*rest[used].T).max()), rms_pixel, rest)


def wcs_errors(scene: Scene) -> WcsErrors:
    """Judge the WCS on the lit pixels, stars or not."""
    product, sky = scene.product, scene.sky
    rows, columns = np.nonzero(product.usable)
    if product.wcs is None or sky is None or not rows.size:
        return WcsErrors(math.nan, math.nan, math.nan)
    step = max(rows.size // 2000, 1)
    pixels = np.column_stack([columns[::step], rows[::step]]).astype(np.float64)
    true = sky.to_sky(pixels - scene.origin)
    errors = _on_plane(product.to_sky(pixels), true[:, 0], true[:, 1])
    common = errors.mean(axis=0)
    rest = np.hypot(*(errors - common).T)
    return WcsErrors(float(np.sqrt(np.mean(rest**2))), float(rest.max()), float(np.hypot(*common)))


def registration_errors(frames: TrueFrames, paths: Sequence[Path]) -> RegistrationErrors:
    """Judge the maps between frames by the WCS that each was given.

    Parameters
    ----------
    frames : TrueFrames
        All science frames of the night.
    paths : sequence of path
        Frames after registration on their own pixels (``adjustWCSToReference:write_outputs=True``).

    Raises
    ------
    DataError
        A file is no frame of the night, or has no WCS.
    """
    names = [name.removesuffix(".fits") for name in frames.names]
    numbers = []
    for path in paths:
        root = path.name.split("_")[0].removesuffix(".fits")
        if root not in names:
            raise DataError(f"{path.name} is no science frame of this night; give frames written by its reduction.")
        numbers.append(names.index(root))
    if len(numbers) < 2:
        return RegistrationErrors(math.nan, math.nan, len(numbers))
    maps = [read_wcs(path) for path in paths]
    # The earliest frame is the reference; any other would do as well.
    first = int(np.argmin(numbers))
    grid = _grid_in(frames, numbers[first])
    sky = maps[first].all_pix2world(grid, 0)
    errors = []
    for number, wcs in zip(numbers, maps, strict=True):
        true = grid + frames.dither[number] - frames.dither[numbers[first]]
        errors.append(wcs.all_world2pix(sky, 0) - true)
    rest = np.array(errors) - np.mean(errors, axis=0)
    distance = np.hypot(rest[..., 0], rest[..., 1])
    return RegistrationErrors(float(np.sqrt(np.mean(distance**2))), float(distance.max()), len(numbers))


def _grid_in(frames: TrueFrames, number: int) -> _FLOATS:
    """Give places inside the keyhole of a frame, in its pixels."""
    box_y, box_x = frames.opening.box()
    step = max(box_x.stop - box_x.start, box_y.stop - box_y.start) / _GRID
    y, x = np.mgrid[box_y.start : box_y.stop : step, box_x.start : box_x.stop : step]
    inside = frames.opening.depth(x, y) > _DEEP
    places: _FLOATS = np.column_stack([x[inside], y[inside]]) + frames.keyhole[number]
    return places


def _on_plane(sky: _FLOATS, ra: _FLOATS, dec: _FLOATS) -> _FLOATS:
    """Give how far positions (degrees) lie from (ra, dec): arcsec east and north."""
    east = (sky[:, 0] - ra + 180) % 360 - 180
    return np.column_stack([east * np.cos(np.radians(dec)), sky[:, 1] - dec]) * 3600


def _spread(errors: _FLOATS) -> float:
    """Give the rms distance from the mean."""
    if not len(errors):
        return math.nan
    return float(np.sqrt(np.square(errors - errors.mean(axis=0)).sum(axis=1).mean()))
