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

    The model is a low-order surface plus the local mean of what the surface leaves. The variance becomes that
    with which the model misses covered pixels beyond their own noise, of which a smooth model has next to
    nothing.
    """
    wanted = lit & ~covered
    if not wanted.any() or not covered.any():
        return
    at = np.flatnonzero(wanted)
    values, noises = image.reshape(-1), variance.reshape(-1)
    out = np.flatnonzero(~covered)
    kept, values[out] = values[out], 0
    model = _model(image, covered)
    values[out] = kept
    step = max(image.size // _SAMPLED_PIXELS, 1) | 1
    some = np.flatnonzero(covered.ravel()[::step]) * step
    if not some.size:
        some = np.flatnonzero(covered)
    difference = values[some] - _on_pixels(model, some, image.shape[1])
    scatter = 1.4826022 * median(np.abs(difference - median(difference)))
    own = median(noises[some])
    values[at] = _on_pixels(model, at, image.shape[1])
    noises[at] = max(scatter**2 - own, _LEAST_MODEL_NOISE * own)


def _on_pixels(model: NDArray[np.float32], at: NDArray[np.intp], width: int) -> NDArray[np.float32]:
    y, x = np.divmod(at, width)
    return np.asarray(model[y // _BIN, x // _BIN])


def _model(image: NDArray[np.float32], covered: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Smooth model of the covered pixels, one value per bin; the image is 0 elsewhere."""
    weight = bin_sums(covered.view(np.uint8), _BIN)
    values = np.divide(bin_sums(image, _BIN), weight, out=np.zeros_like(weight), where=weight > 0)
    known = weight > 0
    number = int(known.sum())
    model = np.full(values.shape, median(values[known]), dtype=np.float32)
    rest = values - model
    if number > _BOX:
        degree = 2 if number >= _FEWEST_BINS else 0
        surface = fit_surface(values, known, degree_x=degree, degree_y=degree, iterations=3, max_pixels=_SURFACE_BINS)
        over = surface.over_box()
        inside = over[known[surface.box]]
        model[surface.box] = np.clip(over, inside.min(), inside.max())
        rest = np.clip(values - model, -4 * surface.sigma, 4 * surface.sigma)
    above = np.where(known, rest * weight, np.float32(0))
    for _ in range(2):
        above, weight = running_sum(above, _BOX), running_sum(weight, _BOX)
    model += np.divide(above, weight, out=np.zeros_like(above), where=weight > _LEAST_WEIGHT * _BIN**2 * _BOX**4)
    return model
