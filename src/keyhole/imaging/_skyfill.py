"""A smooth model of the sky for the pixels that no frame can give."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging._bins import binned
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
_SAMPLE: Final = 7
_LEAST_MODEL_NOISE: Final = 0.05
"""Variance of a pixel of the smooth model, in units of that of a sky pixel."""


def fill_uncovered(
    image: NDArray[np.float32],
    variance: NDArray[np.float32],
    covered: NDArray[np.bool_],
    lit: NDArray[np.bool_],
) -> None:
    """Fill the lit but uncovered pixels (in place) with a smooth model of the covered ones.

    The model is a low-order surface plus the local mean of what the surface leaves. The variance becomes that
    with which the model misses covered pixels beyond their own noise, of which a smooth model has next to
    nothing.
    """
    wanted = lit & ~covered
    if not wanted.any() or not covered.any():
        return
    model = _model(image, covered)
    y, x = np.divmod(np.flatnonzero(covered)[::_SAMPLE], covered.shape[1])
    difference = image[y, x] - model[y // _BIN, x // _BIN]
    scatter = 1.4826022 * median(np.abs(difference - median(difference)))
    own = median(variance[y, x])
    y, x = np.divmod(np.flatnonzero(wanted), wanted.shape[1])
    image[y, x] = model[y // _BIN, x // _BIN]
    variance[y, x] = max(scatter**2 - own, _LEAST_MODEL_NOISE * own)


def _model(image: NDArray[np.float32], covered: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Smooth model of the covered pixels, one value per bin."""
    from scipy import ndimage  # slow import, rarely needed

    values, weight = binned(np.where(covered, image, np.float32(0)), covered.astype(np.float32), _BIN)
    known = weight > 0
    number = int(known.sum())
    model = np.full(values.shape, median(values[known]), dtype=np.float32)
    rest = values - model
    if number > _BOX:
        degree = 2 if number >= _FEWEST_BINS else 0
        surface = fit_surface(values, known, degree_x=degree, degree_y=degree, iterations=3)
        over = surface.over_box()
        inside = over[known[surface.box]]
        model[surface.box] = np.clip(over, inside.min(), inside.max())
        rest = np.clip(values - model, -4 * surface.sigma, 4 * surface.sigma)
    above = np.where(known, rest * weight, np.float32(0))
    for _ in range(2):
        above = ndimage.uniform_filter(above, _BOX, mode="constant")
        weight = ndimage.uniform_filter(weight, _BOX, mode="constant")
    model += np.divide(above, weight, out=np.zeros_like(above), where=weight > _LEAST_WEIGHT * _BIN**2)
    return model
