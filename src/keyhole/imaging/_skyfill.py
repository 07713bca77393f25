"""A smooth model of the sky for the pixels that no frame can give."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging._bins import bin_sums
from keyhole.imaging._smooth import running_sum
from keyhole.imaging.levels import fit_surface
from keyhole.imaging.medians import median

__all__ = ["fill_uncovered"]

_BIN: Final = 5
"""Pixels on the side of a bin: the model is smooth over many of them."""
_BOX: Final = 3
"""Bins on the side of a running mean, which is applied twice."""
_FEWEST_BINS: Final = 60
"""Bins from which on a curved surface is fitted."""
_LEAST_WEIGHT: Final = 0.02
_SURROUNDED: Final = 0.4
"""Part of the pixels of a running mean that must be covered where no surface is needed: it is less at the borders."""
_LIMIT: Final = 4.0
"""Bins further away than that, in units of their scatter, take part with this distance."""
_MARGIN: Final = 60
"""Pixels about those that are filled which tell the model."""
_FEW: Final = 2000
"""Pixels up to which those that are single are filled one by one."""
_NEARLY_ALONE: Final = 6
"""Covered ones among the eight neighbours of a single pixel."""
_AROUND: Final = 5
"""Pixels to each side whose median a single pixel gets."""
_MOST_AROUND: Final = 0.8
"""Part of these that must be covered."""
_MAD_TO_SIGMA: Final = 1.4826022
_SAMPLED_BINS: Final = 6_000
_SAMPLED_PIXELS: Final = 20_000
_SURFACE_BINS: Final = 6_000
_LEAST_MODEL_NOISE: Final = 0.05
"""Variance of a pixel of the smooth model, in units of that of a sky pixel."""


def fill_uncovered(
    image: NDArray[np.float32],
    variance: NDArray[np.float32],
    covered: NDArray[np.bool_],
    lit: NDArray[np.bool_],
) -> None:
    """Fill the lit but uncovered pixels of contiguous planes (in place) with a smooth model of the covered ones.

    The model is a local mean, about a low-order surface if some of these pixels have few covered ones near them; for a
    few single pixels it is the median of those around. The variance becomes that with which the model misses covered
    pixels beyond their own noise, of which a smooth model has next to nothing.
    """
    out = np.flatnonzero(~covered)
    at = out[lit.reshape(-1)[out]]
    if not at.size or out.size == covered.size:
        return
    rest = _without_single(image, variance, covered, at) if at.size <= _FEW else at
    if not rest.size:
        return
    box = _surroundings(rest, image.shape)
    if np.count_nonzero(covered[box]) < _FEWEST_BINS * _BIN**2:
        # All that is known lies elsewhere, or nearly so.
        box = slice(0, image.shape[0]), slice(0, image.shape[1])
    y, x = np.divmod(rest, image.shape[1])
    y, x = y - box[0].start, x - box[1].start
    part, noise = (np.ascontiguousarray(plane[box]) for plane in (image, variance))
    _fill_from_model(part, noise, np.ascontiguousarray(covered[box]), y * part.shape[1] + x)
    image.reshape(-1)[rest], variance.reshape(-1)[rest] = part[y, x], noise[y, x]


def _surroundings(at: NDArray[np.intp], shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns of some pixels and of what tells about them."""
    ends = [(int(places.min()), int(places.max()) + 1) for places in np.divmod(at, shape[1])]
    rows, columns = (
        slice(max(first - _MARGIN, 0), min(last + _MARGIN, size))
        for (first, last), size in zip(ends, shape, strict=True)
    )
    return rows, columns


def _without_single(
    image: NDArray[np.float32], variance: NDArray[np.float32], covered: NDArray[np.bool_], at: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Fill those pixels that are nearly alone, and give back the others."""
    reach = np.arange(-_AROUND, _AROUND + 1)
    offsets = np.stack(np.meshgrid(reach, reach, indexing="ij")).reshape(2, -1)
    places, there = _around(covered, at, offsets[:, np.abs(offsets).max(axis=0) == 1])
    is_single = there.sum(axis=1) >= _NEARLY_ALONE
    own = variance.reshape(-1)[places[is_single]][there[is_single]]
    some = at[is_single]
    places, there = _around(covered, some, offsets)
    number = there.sum(axis=1)
    # At borders and beside larger holes those around lie to one side.
    alone = number >= _MOST_AROUND * offsets.shape[1]
    if not alone.any():
        return at
    some, number = some[alone], number[alone]
    values = np.where(there[alone], image.reshape(-1)[places[alone]], np.float32(np.inf))
    middle = _middle_of(values, number)
    away = _middle_of(np.abs(values - middle[:, np.newaxis]), number)
    image.reshape(-1)[some] = middle
    variance.reshape(-1)[some] = _model_noise(_MAD_TO_SIGMA * median(away), median(own))
    return np.setdiff1d(at, some, assume_unique=True)


def _around(
    covered: NDArray[np.bool_], at: NDArray[np.intp], offsets: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Places at some offsets (2, n) from pixels, and whether they are covered pixels; each (pixels, n)."""
    y, x = (place[:, np.newaxis] + step for place, step in zip(np.divmod(at, covered.shape[1]), offsets, strict=True))
    inside = (y >= 0) & (y < covered.shape[0]) & (x >= 0) & (x < covered.shape[1])
    places = np.where(inside, y * covered.shape[1] + x, 0)
    return places, inside & covered.reshape(-1)[places]


def _middle_of(values: NDArray[np.float32], number: NDArray[np.intp]) -> NDArray[np.float32]:
    """Median of each row, of which so many values are finite."""
    ordered = np.sort(values, axis=1)
    line = np.arange(len(ordered))
    return np.asarray(np.float32(0.5) * (ordered[line, (number - 1) // 2] + ordered[line, number // 2]))


def _model_noise(scatter: float, own: float) -> float:
    """Variance of a model from which pixels with a variance of their own scatter."""
    return max(scatter**2 - own, _LEAST_MODEL_NOISE * own)


def _fill_from_model(
    image: NDArray[np.float32], variance: NDArray[np.float32], covered: NDArray[np.bool_], at: NDArray[np.intp]
) -> None:
    """Fill some pixels of contiguous planes (in place) from bins of the covered ones."""
    out = np.flatnonzero(~covered)
    values, noises = image.reshape(-1), variance.reshape(-1)
    kept, values[out] = values[out], 0
    model = _model(image, out, at)
    values[out] = kept
    step = max(image.size // _SAMPLED_PIXELS, 1) | 1
    some = np.flatnonzero(covered.ravel()[::step]) * step
    if not some.size:
        some = np.flatnonzero(covered)
    difference = values[some] - _on_pixels(model, some, image.shape[1])
    scatter = _MAD_TO_SIGMA * median(np.abs(difference - median(difference)))
    values[at] = _on_pixels(model, at, image.shape[1])
    noises[at] = _model_noise(scatter, median(noises[some]))


def _on_pixels(model: NDArray[np.float32], at: NDArray[np.intp], width: int) -> NDArray[np.float32]:
    y, x = np.divmod(at, width)
    return np.asarray(model[y // _BIN, x // _BIN])


def _model(image: NDArray[np.float32], out: NDArray[np.intp], wanted: NDArray[np.intp]) -> NDArray[np.float32]:
    """Smooth model of the covered pixels for the wanted ones, one value per bin; the image is 0 at `out`, elsewhere."""
    weight = _numbers(image.shape, out)
    values = np.divide(bin_sums(image, _BIN), weight, out=np.zeros_like(weight), where=weight > 0)
    known = weight > 0
    inside = values[known]
    level = median(inside)
    some = np.abs(inside[:: max(inside.size // _SAMPLED_BINS, 1) | 1] - np.float32(level))
    limit = np.float32(_LIMIT * _MAD_TO_SIGMA * median(some))
    rest = values - np.float32(level)
    local, near = _local_mean(np.clip(rest, -limit, limit) if limit > 0 else rest, weight)
    if _on_pixels(near, wanted, image.shape[1]).min() >= _SURROUNDED * _BIN**2 * _BOX**4:
        local += np.float32(level)
        return local
    model, limit = _surface(values, known, level)
    rest = values - model
    model += _local_mean(np.clip(rest, -limit, limit) if limit > 0 else rest, weight)[0]
    return model


def _numbers(shape: tuple[int, ...], out: NDArray[np.intp]) -> NDArray[np.float32]:
    """Number of the pixels in each bin without those in `out`."""
    sizes = [np.minimum(size - np.arange(0, size, _BIN), _BIN) for size in shape]
    y, x = np.divmod(out, shape[1])
    lacking = np.bincount(y // _BIN * sizes[1].size + x // _BIN, minlength=sizes[0].size * sizes[1].size)
    return (np.multiply.outer(*sizes) - lacking.reshape(sizes[0].size, sizes[1].size)).astype(np.float32)


def _surface(
    values: NDArray[np.float32], known: NDArray[np.bool_], level: float
) -> tuple[NDArray[np.float32], np.float32]:
    """Low-order surface on the bins, and how far others are believed to lie from it; without a limit 0."""
    model = np.full(values.shape, level, dtype=np.float32)
    number = int(known.sum())
    if number <= _BOX:
        return model, np.float32(0)
    degree = 2 if number >= _FEWEST_BINS else 0
    surface = fit_surface(values, known, degree_x=degree, degree_y=degree, iterations=3, max_pixels=_SURFACE_BINS)
    over = surface.over_box()
    inside = over[known[surface.box]]
    model[surface.box] = np.clip(over, inside.min(), inside.max())
    return model, np.float32(_LIMIT * surface.sigma)


def _local_mean(
    values: NDArray[np.float32], weight: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean over a running box that is applied twice, 0 where it holds next to nothing; and the sum of the weights."""
    above = values * weight
    for _ in range(2):
        above, weight = running_sum(above, _BOX), running_sum(weight, _BOX)
    mean = np.divide(above, weight, out=np.zeros_like(above), where=weight > _LEAST_WEIGHT * _BIN**2 * _BOX**4)
    return mean, weight
