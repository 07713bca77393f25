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
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import ParameterError
from keyhole.imaging._masked import number_true
from keyhole.imaging._order_statistics import sort_planes, sorted_median
from keyhole.imaging._rows import row_blocks
from keyhole.imaging.medians import sampled_median

__all__ = ["NoiseModel", "model_variances"]

Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]

_CERTAIN: Final = 10.0
"""Source light this many times its noise is known from the pixel itself, and smoothing would only spread it."""
_LEAST_OWN: Final = 0.05
"""A frame keeps at least this part of its variance when that of the masters is taken out."""
_FEWEST_QUIET: Final = 10
_ENOUGH: Final = 9
"""Frames whose median is the variance to a fraction of a per cent: the counts of a frame know it to one or two."""
_LEVEL_PIXELS: Final = 20_000
_BLOCK: Final = 1 << 13
_BEYOND: Final = np.float32(1e30)


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
    if len(variances) < 2 and {len(variances), len(usables), len(objects)} == {len(variances)}:
        return list(variances)
    model = NoiseModel.of(variances, usables, objects, shared=shared)
    return [model.variance(k, *planes) for k, planes in enumerate(zip(variances, usables, objects, strict=True))]


class NoiseModel(NamedTuple):
    """What the frames of a sequence have in common in their noise; see `model_variances`.

    Attributes
    ----------
    shape : float32 array (ny, nx)
        Variance of the sky in a pixel, over its level in the frame.
    known : bool array (ny, nx)
        Where it was found in some frame.
    levels, kept : lists of n floats
        Level of the variance of each frame, and the part of it that is not shared.
    unknown : int array
        Where it was found in none, of the flattened planes.
    surroundings : _Surroundings
    """

    shape: Float32
    known: Bool
    levels: list[float]
    kept: list[float]
    unknown: NDArray[np.intp]
    surroundings: _Surroundings

    @classmethod
    def of(
        cls,
        variances: Sequence[Float32],
        usables: Sequence[Bool],
        objects: Sequence[Bool],
        *,
        shared: Sequence[float] | None = None,
    ) -> NoiseModel:
        """Find it from the planes of all frames."""
        n = len(variances)
        if {len(usables), len(objects), n if shared is None else len(shared)} != {n}:
            msg = f"model of the noise: {n} frames, {len(usables)} masks, {len(objects)} object masks; give one of each"
            raise ParameterError(msg)
        quiets = [usable & ~mask for usable, mask in zip(usables, objects, strict=True)]
        levels = [_level(plane, quiet, usable) for plane, quiet, usable in zip(variances, quiets, usables, strict=True)]
        shape, known = _Ratios(variances, quiets, levels).common_shape()
        kept = [
            1.0 if shared is None or level <= 0 else 1 - min(shared[k] / level, 1 - _LEAST_OWN)
            for k, level in enumerate(levels)
        ]
        return cls(shape, known, levels, kept, np.flatnonzero(~known), _Surroundings.of(shape.shape))

    @property
    def factors(self) -> Float32:
        """Variance of a pixel of each frame between the objects, over `shape`."""
        return np.array([level * kept for level, kept in zip(self.levels, self.kept, strict=True)], np.float32)

    def variance(self, k: int, plane: Float32, usable: Bool, objects: Bool) -> Float32:
        """Variance that a frame expects."""
        level, kept = self.levels[k], self.kept[k]
        if level <= 0:
            return plane
        own = self.shape * np.float32(level * kept)
        sources = objects & usable
        if self.unknown.size:
            _take_from(plane, own, self.unknown)
            sources &= self.known
        # The light of a source has no part in the noise of the masters that the sky takes away.
        at = np.flatnonzero(sources)
        if at.size:
            own.reshape(-1)[at] += _source_excess(plane, self.shape, np.float32(level), at, self.surroundings)
        _take_from(plane, own, np.flatnonzero(~usable))
        return own


def _take_from(plane: Float32, out: Float32, at: NDArray[np.intp]) -> None:
    """Take a few pixels from another plane."""
    out.reshape(-1)[at] = plane.reshape(-1)[at]


class _Surroundings(NamedTuple):
    """Flattened planes with a frame of nothing, so that all pixels have neighbours; nothing is in them between uses.

    Attributes
    ----------
    light : float32 array
    there : uint8 array
    width : int
        Of a row with its frame.
    """

    light: Float32
    there: NDArray[np.uint8]
    width: int

    @classmethod
    def of(cls, shape: tuple[int, ...]) -> _Surroundings:
        """For planes of a shape (ny, nx)."""
        width = shape[1] + 2
        size = (shape[0] + 2) * width
        return cls(np.zeros(size, np.float32), np.zeros(size, np.uint8), width)

    def sums(self, values: Float32, at: NDArray[np.intp]) -> tuple[Float32, NDArray[np.uint8]]:
        """Sum of the given values of some pixels, and their number, in the 3 x 3 pixels about each of these."""
        place = at + self.width + 1 + 2 * (at // (self.width - 2))
        total, number = np.zeros(at.size, np.float32), np.zeros(at.size, np.uint8)
        self.light[place], self.there[place] = values, 1
        for offset in (dy + dx for dy in (-self.width, 0, self.width) for dx in (-1, 0, 1)):
            neighbour = place + offset
            total += np.take(self.light, neighbour)
            number += np.take(self.there, neighbour)
        self.light[place], self.there[place] = 0, 0
        return total, number


def _level(variance: Float32, quiet: Bool, usable: Bool) -> float:
    among = quiet if np.count_nonzero(quiet) >= _FEWEST_QUIET else usable
    return sampled_median(variance, among, number=_LEVEL_PIXELS) if among.any() else 0.0


class _Ratios(NamedTuple):
    """Planes of variances, where they are free of objects, and their levels."""

    variances: Sequence[Float32]
    quiets: Sequence[Bool]
    levels: Sequence[float]

    def common_shape(self) -> tuple[Float32, Bool]:
        """Median over the frames of variance over level where there is no object; and where there is any.

        Of many frames some tell it; the others are asked where none of these is without object.
        """
        chosen = [k for k, level in enumerate(self.levels) if level > 0]
        few = chosen[:: max(len(chosen) // _ENOUGH, 1)]
        rest = [k for k in chosen if k not in few]
        shape, known = np.ones(self.variances[0].shape, np.float32), np.zeros(self.variances[0].shape, dtype=bool)
        for rows in row_blocks(shape.shape, _BLOCK) if chosen else ():
            values, there = self._median(few, rows)
            at = np.flatnonzero(~there)
            if rest and at.size:
                values[at], there[at] = self._median(rest, rows, at)
            known[rows] = there.reshape(known[rows].shape)
            np.copyto(shape[rows], values.reshape(shape[rows].shape), where=known[rows])
        return shape, known

    def _median(
        self, frames: Sequence[int], rows: slice, at: slice | NDArray[np.intp] = slice(None)
    ) -> tuple[Float32, Bool]:
        """The same of some frames and some pixels of some rows."""
        size = self.variances[0][rows].ravel()[at].size
        planes, counted = np.empty((len(frames), size), np.float32), np.empty((len(frames), size), dtype=bool)
        for row, quiet, k in zip(planes, counted, frames, strict=True):
            np.multiply(self.variances[k][rows].ravel()[at], np.float32(1 / self.levels[k]), out=row)
            np.less(row, _BEYOND, out=quiet)
            np.logical_and(quiet, self.quiets[k][rows].ravel()[at], out=quiet)
            # Beyond all others.
            row[np.flatnonzero(~quiet)] = _BEYOND
        count = number_true(counted)
        return sorted_median(sort_planes(planes), np.maximum(count, 1)), count > 0


def _source_excess(
    plane: Float32, shape: Float32, level: np.float32, at: NDArray[np.intp], surroundings: _Surroundings
) -> Float32:
    """Variance of the source light in object pixels: smoothed over 3 x 3 of these where it is no more than noise."""
    own = shape.reshape(-1)[at] * level
    inside = plane.reshape(-1)[at] - own
    total, number = surroundings.sums(inside, at)
    smooth = total / number
    # Counted in electrons, a variance has the noise of its root.
    certain = smooth > np.float32(_CERTAIN) * np.sqrt(np.maximum(own, 0))
    return np.asarray(np.maximum(np.where(certain, inside, smooth), np.float32(0)))
