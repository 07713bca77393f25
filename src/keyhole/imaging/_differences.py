"""Differences of an exposure to what the others let expect of it, in one pass over blocks of rows."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging._neighbours import places
from keyhole.imaging._noisy import NoisyPixels
from keyhole.imaging._patches import Index
from keyhole.imaging._rows import row_blocks
from keyhole.imaging.medians import median
from keyhole.imaging.noise import robust_sigma

__all__ = ["Adjusted", "Differences", "Expectation", "Look", "deviation_of", "differences", "largest_step", "step_at"]

_STARLIGHT: Final = 0.3
"""Part of the starlight by which exposures differ without being noisy."""
_QUIET: Final = 0.5
"""Starlight, in sigma, up to which a pixel tells how well the noise is known."""
_SAMPLE: Final = 7
"""One in so many rows is enough for a scatter, ..."""
_ENOUGH: Final = 20_000
"""... with so many quiet pixels it is known to half a per cent."""
_WANTED: Final = 50_000
"""Pixels that are looked at, if so many of them are quiet."""
_FEWEST_QUIET: Final = 100
_BLOCK: Final = 1 << 15
"""Pixels that are computed together, so that what is computed on the way stays in the cache."""

Bools = NDArray[np.bool_]
Float32 = NDArray[np.float32]


class Look(NamedTuple):
    """One exposure, what is expected of it, and how well.

    Attributes
    ----------
    data, expected, sigma : (ny, nx) float32
    good : (ny, nx) bool
        Usable pixels.
    compared : (ny, nx) bool
        Those that enough exposures see.
    twice : (ny, nx) bool
        Those that one other exposure sees.
    """

    data: Float32
    expected: Float32
    sigma: Float32
    good: Bools
    compared: Bools
    twice: Bools

    def cut(self, box: tuple[slice, slice]) -> Look:
        """The part in a box."""
        return Look(
            data=self.data[box],
            expected=self.expected[box],
            sigma=self.sigma[box],
            good=self.good[box],
            compared=self.compared[box],
            twice=self.twice[box],
        )


class Adjusted(NamedTuple):
    """How an exposure is brought to what is expected of it.

    Attributes
    ----------
    scale : float32
        Multiplies what is expected.
    level, middle : float32
        Taken off the exposure, one after the other.
    noise : float32
        Multiplies the noise, at least 1.
    """

    scale: np.float32
    level: np.float32
    middle: np.float32
    noise: np.float32


class Expectation(NamedTuple):
    """What is expected of an exposure, (ny, nx), but for its transparency; that; and the level of the exposure."""

    model: Float32
    scale: float
    level: np.float32

    def adjusted(self, data: Float32, sigma: Float32, compared: Bools) -> Adjusted:
        """Bring an exposure to the level of the model, and the noise to what is seen, where there is no light.

        Parameters
        ----------
        data, sigma : (ny, nx) float32
        compared : (ny, nx) bool
        """
        scale = np.float32(self.scale)
        # The steps are odd, as the patterns of detectors repeat at even distances.
        for rows in (slice(None, None, step) for step in (max(data.size // _WANTED, _SAMPLE) | 1, _SAMPLE, 1)):
            model, noise = self.model[rows] * scale, sigma[rows]
            quiet = compared[rows] & (np.abs(model) < _QUIET * noise)
            if np.count_nonzero(quiet) >= _ENOUGH:
                break
        rest, noise = (data[rows] - self.level - model)[quiet], noise[quiet]
        if rest.size <= _FEWEST_QUIET:
            return Adjusted(scale, self.level, np.float32(0), np.float32(1))
        middle = np.float32(median(rest))
        return Adjusted(scale, self.level, middle, np.float32(max(1.0, robust_sigma((rest - middle) / noise))))


class Differences(NamedTuple):
    """An exposure and what is expected of it on one scale.

    Attributes
    ----------
    look : Look
    residual : (ny, nx) float32
        Difference of the two.
    outliers : rows, columns or None
        Compared pixels that differ by more than noise and gradient allow; None if none is compared.
    """

    look: Look
    residual: Float32
    outliers: tuple[Index, Index] | None


def differences(
    look: Look, adjusted: Adjusted, limit: float, gradient: float, noisy: NoisyPixels | None
) -> Differences:
    """Compare an exposure with what is expected of it.

    Parameters
    ----------
    look : Look
        Before both are adjusted. Its noise and what is expected are **changed**.
    adjusted : Adjusted
    limit : float
        Sigma that an outlier deviates by, ...
    gradient : float
        ... and besides by more than this part of the largest step to a neighbour of what is expected.
    noisy : NoisyPixels, optional
        Of these pixels; the deviations are added.
    """
    data, residual, (ny, nx) = np.empty_like(look.sigma), np.empty_like(look.sigma), look.sigma.shape
    done = 0
    found = []
    for rows in row_blocks((ny, nx), _BLOCK):
        # The row below the block tells about its last one.
        ready = min(rows.stop + 1, ny)
        look.expected[done:ready] *= adjusted.scale
        done = ready
        np.subtract(look.data[rows], adjusted.level, out=data[rows])
        data[rows] -= adjusted.middle
        np.subtract(data[rows], look.expected[rows], out=residual[rows])
        if adjusted.noise != 1:
            look.sigma[rows] *= adjusted.noise
        above = max(rows.start - 1, 0)
        step = largest_step(look.expected[above:ready])[rows.start - above : rows.stop - above]
        step *= np.float32(gradient)
        part, rest = look.cut((rows, slice(None))), residual[rows]
        allowed = part.sigma * np.float32(limit)
        allowed += step
        y, x = places((np.abs(rest) > allowed) & part.compared)
        found.append((y + rows.start, x))
        if noisy is not None:
            noisy.add((rows, slice(None)), (deviation_of(part, rest, step), part.compared))
    y, x = (np.concatenate(part) for part in zip(*found, strict=True))
    return Differences(look._replace(data=data), residual, (y, x))


def deviation_of(look: Look, residual: Float32, step: Float32) -> Float32:
    """Deviations in sigma. Starlight varies with the seeing, and is no measure of noise."""
    # Far faster than with a number.
    allowed = np.maximum(look.expected, np.zeros_like(look.expected))
    allowed *= np.float32(_STARLIGHT)
    allowed += look.sigma
    allowed += step
    return np.divide(residual, allowed, out=allowed)


def largest_step(plane: Float32) -> Float32:
    """Largest difference of each pixel to its four neighbours."""
    ny, nx = plane.shape
    if ny < 2 or nx < 2:
        steps = np.abs(np.diff(plane.ravel(), prepend=plane[:1, 0], append=plane[-1:, -1]))
        return np.asarray(np.maximum(steps[1:], steps[:-1]).reshape(plane.shape))
    flat, largest, steps = plane.reshape(-1), np.empty(plane.size, np.float32), np.empty(plane.size, np.float32)
    along = np.subtract(flat[nx:], flat[:-nx], out=steps[nx:])
    np.abs(along, out=along)
    largest[:nx], largest[-nx:] = along[:nx], along[-nx:]
    np.maximum(along[nx:], along[:-nx], out=largest[nx:-nx])
    # Row after row in one go: where one ends and the next begins there is no step.
    along = np.subtract(flat[1:], flat[:-1], out=steps[1:])
    np.abs(along, out=along)
    along[nx - 1 :: nx] = 0
    np.maximum(largest[1:], along, out=largest[1:])
    np.maximum(largest[:-1], along, out=largest[:-1])
    return largest.reshape(plane.shape)


def step_at(plane: Float32, y: Index, x: Index) -> Float32:
    """The same at given pixels."""
    ny, nx = plane.shape
    here, largest = plane[y, x], np.zeros(y.shape, np.float32)
    # Beyond the plane a pixel is its own neighbour.
    for yy, xx in ((np.maximum(y - 1, 0), x), (np.minimum(y + 1, ny - 1), x)):
        np.maximum(largest, np.abs(plane[yy, xx] - here), out=largest)
    for xx in (np.maximum(x - 1, 0), np.minimum(x + 1, nx - 1)):
        np.maximum(largest, np.abs(plane[y, xx] - here), out=largest)
    return largest
