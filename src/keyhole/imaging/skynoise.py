"""Variance of sky frames from a model of the light, not from the counts that happened to arrive.

The counts of a pixel carry their own noise, and a variance made of them follows it: a pixel that is too bright
by chance is given too little weight, one without light gets a photon noise it does not have. What a pixel
really expects is known from the other frames, which see the same sky with the same pixel, and from the source
light around it.

The noise of the master dark and the master flat is another matter: it is the same in a frame and in the frames
that its sky is made of, so it leaves with the sky.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import ParameterError
from keyhole.imaging._order_statistics import sort_planes, sorted_median
from keyhole.imaging.medians import median

__all__ = ["model_variances"]

Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]

_CERTAIN: Final = 10.0
"""Source light this many times its noise is known from the pixel itself, and smoothing would only spread it."""
_LEAST_OWN: Final = 0.05
"""A frame keeps at least this part of its variance when that of the masters is taken out."""
_FEWEST_QUIET: Final = 10


def model_variances(
    variances: Sequence[Float32],
    usables: Sequence[Bool],
    objects: Sequence[Bool],
    *,
    shared: Sequence[float] | None = None,
) -> list[Float32]:
    """Variance that each frame expects: that of the sky in this pixel, plus that of the source light.

    The sky's part is the median over the frames of the variance of the pixel, each over its frame's median, so
    that the response of the pixel stays in it while the noise of a single exposure goes. The sources' part is
    what an object pixel has in excess of it, averaged over 3 x 3 pixels where it is faint.

    Parameters
    ----------
    variances : n float32 arrays (ny, nx)
        From read noise and the counts, with the noise of the masters.
    usables, objects : n bool arrays (ny, nx)
        True on usable pixels, and on objects.
    shared : n floats, optional
        Variance in each frame, of a pixel without objects, that all frames have in common, as they were
        corrected with the same masters; it is taken out, in proportion in every pixel: the noise of a pixel in
        a master has the same origin as that in a frame.

    Returns
    -------
    list of n float32 arrays (ny, nx)
        A single frame keeps its variance. Changes its input: no.

    Raises
    ------
    ParameterError
        Lists of different lengths.
    """
    n = len(variances)
    if {len(usables), len(objects), n if shared is None else len(shared)} != {n}:
        msg = f"model of the noise: {n} frames, {len(usables)} masks, {len(objects)} object masks; give one of each"
        raise ParameterError(msg)
    if n < 2:
        return list(variances)
    quiets = [usable & ~mask for usable, mask in zip(usables, objects, strict=True)]
    levels = [_level(plane, quiet, usable) for plane, quiet, usable in zip(variances, quiets, usables, strict=True)]
    shape, count = _common_shape(variances, quiets, levels)
    out = []
    for k, (plane, level) in enumerate(zip(variances, levels, strict=True)):
        if level <= 0:
            out.append(plane)
            continue
        own = np.where(count > 0, shape * np.float32(level), plane)
        excess = _source_excess(plane - own, objects[k] & usables[k], own)
        known = 0.0 if shared is None else min(shared[k] / level, 1 - _LEAST_OWN)
        # The light of a source has no part in the noise of the masters that the sky takes away.
        out.append(np.where(usables[k], own * np.float32(1 - known) + excess, plane).astype(np.float32))
    return out


def _level(variance: Float32, quiet: Bool, usable: Bool) -> float:
    among = quiet if np.count_nonzero(quiet) >= _FEWEST_QUIET else usable
    return median(variance[among]) if among.any() else 0.0


def _common_shape(
    variances: Sequence[Float32], quiets: Sequence[Bool], levels: Sequence[float]
) -> tuple[Float32, NDArray[np.intp]]:
    """Median over the frames of variance over level where there is no object, and number of frames in it."""
    planes = np.full((len(variances), variances[0].size), np.inf, np.float32)
    for row, variance, quiet, level in zip(planes, variances, quiets, levels, strict=True):
        if level > 0:
            np.divide(variance, np.float32(level), out=row.reshape(variance.shape), where=quiet)
    count = np.isfinite(planes).sum(axis=0)
    middle = sorted_median(sort_planes(planes), np.maximum(count, 1))
    shape = np.where(count > 0, middle, np.float32(1)).astype(np.float32)
    return shape.reshape(variances[0].shape), count.reshape(variances[0].shape)


def _source_excess(excess: Float32, objects: Bool, own: Float32) -> Float32:
    """Variance of the source light: smoothed over 3 x 3 object pixels where it is no more than noise."""
    if not objects.any():
        return np.zeros_like(excess)
    inside = np.where(objects, excess, np.float32(0))
    smooth, number = _three_by_three(inside), _three_by_three(objects.astype(np.float32))
    smooth = np.divide(smooth, number, out=np.zeros_like(smooth), where=objects)
    # Counted in electrons, a variance has the noise of its root.
    certain = smooth > np.float32(_CERTAIN) * np.sqrt(np.maximum(own, 0))
    return np.asarray(np.maximum(np.where(certain, inside, smooth), np.float32(0)))


def _three_by_three(plane: Float32) -> Float32:
    """Sum of each pixel and its eight neighbours; nothing comes from beyond the edge."""
    rows = plane.copy()
    rows[1:] += plane[:-1]
    rows[:-1] += plane[1:]
    total = rows.copy()
    total[:, 1:] += rows[:, :-1]
    total[:, :-1] += rows[:, 1:]
    return total
