"""The pattern that a lamp flat leaves in the sky: how differently lamp and sky fill the field.

The night sky lights the field evenly, a lamp does not. Divided by a lamp flat, the sky shows the inverse of
the lamp's pattern; a smooth surface through it corrects the photometry (the "superflat" of optical and
infrared surveys). Scattered light and real slopes of the sky are in it too, so its size and significance come
with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyhole.errors import AlgorithmError, ParameterError
from keyhole.imaging._bins import kept_sums
from keyhole.imaging._masked import number_true
from keyhole.imaging._neighbours import near
from keyhole.imaging._order_statistics import sort_planes, sorted_median
from keyhole.imaging._skypool import SharedVariance, make_pool
from keyhole.imaging._smooth import spread
from keyhole.imaging.levels import Surface, fit_surface
from keyhole.imaging.medians import median

__all__ = ["Illumination", "fit_illumination"]

_MARGIN: Final = 8
_BLOCK: Final = 16
_MIN_BLOCK_SHARE: Final = 0.25
_MANY_PIXELS: Final = 300_000
"""Usable pixels of a frame from which on it is put in bins."""
_BIN: Final = 2
"""Pixels on the side of a bin."""
_PIXELS: Final = 1 << 13

Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]


class Illumination(NamedTuple):
    """Smooth pattern of the sky after division by the lamp flat.

    Attributes
    ----------
    model : float32 array (ny, nx)
        Divide frames by it. Its median on lit pixels is 1; more than 8 pixels away from these it is 1.
    amplitude : float
        Half of its range on lit pixels, as a fraction.
    significance : float
        Scatter of the model over that expected from noise and unmodelled structure alone: about 1 for no
        pattern; trust it above 5.
    scatter : float
        Robust scatter of the block means (16 x 16 pixels) about the model, as a fraction.
    """

    model: NDArray[np.float32]
    amplitude: float
    significance: float
    scatter: float


def fit_illumination(
    frames: Sequence[NDArray[np.float32]],
    usables: Sequence[NDArray[np.bool_]],
    levels: ArrayLike | None = None,
    *,
    objects: Sequence[NDArray[np.bool_]] | None = None,
    degree_x: int = 3,
    degree_y: int = 2,
) -> Illumination:
    """Fit a smooth surface to the median of the frames, each divided by its level and without its stars.

    Parameters
    ----------
    frames : n float32 arrays (ny, nx)
        Flat-corrected frames with their sky; one is enough, more are better.
    usables : n bool arrays (ny, nx)
        True where a pixel is usable.
    levels : n positive floats, optional
        Sky level of each frame. Without it they are measured, free of the influence of which part of the
        pattern the stars of a frame hide.
    objects : n bool arrays (ny, nx), optional
        True on stars.
    degree_x, degree_y : int
        Degree of the polynomial along each axis; all products are fitted.

    Returns
    -------
    Illumination
        Changes its input: no.

    Raises
    ------
    AlgorithmError
        No usable pixels, too few for the degree, or a sky level that is not positive.
    ParameterError
        Lists of different lengths.
    """
    n = len(frames)
    given = None if levels is None else np.asarray(levels, dtype=np.float64)
    lengths = {len(usables), n if objects is None else len(objects), n if given is None else given.size}
    if n == 0 or lengths != {n}:
        msg = f"illumination: {n} frames, but lists of {sorted(lengths)} entries; give one of each per frame"
        raise ParameterError(msg)
    if not any(usable.any() for usable in usables):
        msg = f"illumination: no usable pixel in any of {n} frames; check their masks"
        raise AlgorithmError(msg)
    factor = _BIN if max(int(np.count_nonzero(usable)) for usable in usables) > _MANY_PIXELS else 1
    planes = _in_bins(frames, usables, objects, factor) if factor > 1 else (frames, usables, objects)
    alike = SharedVariance(np.ones(planes[0][0].shape, np.float32), np.ones(n, np.float32))
    pool = make_pool(planes[0], alike, planes[1], planes[2], scale=given is None, zero=False)
    if pool.notes or (given is not None and (given <= 0).any()):
        raise AlgorithmError("illumination: a frame has no positive sky level, so it shows no pattern of the sky")
    scales = np.full(n, pool.level) if given is None else given
    middles, seen = _medians(pool.planes, np.asarray(scales, dtype=np.float32))
    image, known = np.ones(pool.lit.shape, dtype=np.float32), np.zeros(pool.lit.shape, dtype=bool)
    image[pool.taken], known[pool.taken] = middles, seen
    surface = fit_surface(image, known, degree_x=degree_x, degree_y=degree_y)
    smooth = _evaluate(surface, known, pool.lit)
    middle = median(smooth[pool.lit])
    block = _BLOCK // factor
    scatter, significance = _judge(image, smooth, known, block, terms=(degree_x + 1) * (degree_y + 1))
    smooth /= np.float32(middle)
    model = np.ones(frames[0].shape, dtype=np.float32)
    part = model[tuple(slice(span.start * factor, span.stop * factor) for span in pool.box)]
    part[...] = spread(np.where(near(pool.lit, _MARGIN // factor), smooth, np.float32(1)), factor, part.shape)
    shown = smooth[pool.lit]
    amplitude = 0.5 * float(shown.max() - shown.min())
    return Illumination(model, amplitude, significance, scatter / middle)


def _in_bins(
    frames: Sequence[Float32], usables: Sequence[Bool], objects: Sequence[Bool] | None, factor: int
) -> tuple[list[Float32], list[Bool], list[Bool] | None]:
    """Means of the usable pixels in bins: the pattern is smooth, and there are far fewer bins than pixels."""
    means, seen = [], []
    for i, (frame, usable) in enumerate(zip(frames, usables, strict=True)):
        light, number = kept_sums(frame, usable if objects is None else usable & ~objects[i], factor)
        means.append(np.divide(light, np.maximum(number, 1), out=light))
        seen.append(number > 0)
    return means, seen, None if objects is None else [np.zeros_like(mask) for mask in seen]


def _medians(planes: Float32, scales: Float32) -> tuple[Float32, Bool]:
    """Median of the values of each pixel over the scales of their frames, 1 without any; and where there is one."""
    middles, seen = np.ones(planes.shape[1], np.float32), np.zeros(planes.shape[1], dtype=bool)
    for start in range(0, planes.shape[1], _PIXELS):
        part = slice(start, start + _PIXELS)
        values = planes[:, part] / scales[:, None]
        count = number_true(values < np.inf)
        seen[part] = count > 0
        middles[part] = np.where(seen[part], sorted_median(sort_planes(values), np.maximum(count, 1)), np.float32(1))
    return middles, seen


def _evaluate(surface: Surface, known: NDArray[np.bool_], lit: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The surface over the shape of `lit`, never beyond its extremes on the fitted pixels."""
    values = surface.over_box()
    fitted = values[known[surface.box]]
    # Pixels beyond the box of the fitted ones take the value of its nearest border.
    rows, columns = surface.box
    y = np.clip(np.arange(lit.shape[0]), rows.start, rows.stop - 1) - rows.start
    x = np.clip(np.arange(lit.shape[1]), columns.start, columns.stop - 1) - columns.start
    return np.clip(values[np.ix_(y, x)], fitted.min(), fitted.max()).astype(np.float32)


def _judge(
    image: NDArray[np.float32], model: NDArray[np.float32], known: NDArray[np.bool_], block: int, *, terms: int
) -> tuple[float, float]:
    """Scatter of block means about the model, and the model's own scatter over what that explains."""
    count = _block_sums(known.astype(np.float64), block)
    full = count >= min(block * block * _MIN_BLOCK_SHARE, float(count.max()))
    residual = _block_sums(np.where(known, image - model, 0), block)[full] / count[full]
    shape = _block_sums(np.where(known, model, 0), block)[full] / count[full]
    scatter = 1.4826022 * float(median(np.abs(residual - median(residual))))
    # A fit of p terms to m blocks follows p / m of the variance of pure noise.
    expected = scatter * (max(terms - 1, 1) / residual.size) ** 0.5
    spread = float(np.std(shape))
    return scatter, spread / expected if expected > 0 else (np.inf if spread > 0 else 0.0)


def _block_sums(values: NDArray[Any], block: int) -> NDArray[np.float64]:
    sums = np.add.reduceat(values, np.arange(0, values.shape[0], block), axis=0, dtype=np.float64)
    return np.asarray(np.add.reduceat(sums, np.arange(0, values.shape[1], block), axis=1))
