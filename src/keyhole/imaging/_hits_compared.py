"""One exposure against what the others let expect of it, pixel by pixel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging._neighbours import places
from keyhole.imaging._patches import RING, Index, ring_median, values_around
from keyhole.imaging._rows import row_blocks

__all__ = ["BLOCK", "Compared", "Look", "deviations", "largest_step"]

_FLAT_TOP: Final = 0.3
"""Saturated pixels whose neighbours have this part of their light belong to a star."""
_STARLIGHT: Final = 0.3
"""Part of the starlight by which exposures differ without being noisy."""
BLOCK: Final = 1 << 16
"""Pixels that are computed together."""

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


def deviations(look: Look, residual: Float32, step: Float32) -> Iterator[tuple[slice, Float32]]:
    """Deviations in sigma, by blocks of rows. Starlight varies with the seeing, and is no measure of noise."""
    for rows in row_blocks(residual.shape, BLOCK):
        allowed = np.maximum(look.expected[rows], 0)
        allowed *= np.float32(_STARLIGHT)
        allowed += look.sigma[rows]
        allowed += step[rows]
        yield rows, np.divide(residual[rows], allowed, out=allowed)


class Compared(NamedTuple):
    """An exposure against what is expected of it.

    Attributes
    ----------
    look : Look
    residual, step : (ny, nx) float32
        Difference to what is expected, and the part of the local gradient that is allowed.
    sharpest : float
        By what part of its neighbours a pixel of a star may stand out.
    burnt : (ny, nx) bool
        Saturated or non-linear pixels.
    """

    look: Look
    residual: Float32
    step: Float32
    sharpest: float
    burnt: Bools

    def deviating(self, limit: float) -> tuple[Index, Index]:
        """Rows and columns of the compared pixels that differ from what is expected by more than `limit` sigma."""
        found = []
        for rows in row_blocks(self.residual.shape, BLOCK):
            allowed = self.look.sigma[rows] * np.float32(limit)
            allowed += self.step[rows]
            y, x = places((np.abs(self.residual[rows]) > allowed) & self.look.compared[rows])
            found.append((y + rows.start, x))
        y, x = (np.concatenate(part) for part in zip(*found, strict=True))
        return y, x

    def beside(self, hits: Bools, limit: float) -> tuple[Index, Index]:
        """The same among the neighbours of hits that deviate in their sense."""
        ny, nx = hits.shape
        y, x = places(hits)
        steps = np.asarray(RING, np.intp)
        y, x = (y + steps[:, :1]).ravel(), (x + steps[:, 1:]).ravel()
        inside = (y >= 0) & (y < ny) & (x >= 0) & (x < nx)
        y, x = np.divmod(np.unique(y[inside] * nx + x[inside]), nx)
        residual = self.residual[y, x]
        allowed = self.look.sigma[y, x] * np.float32(limit) + self.step[y, x]
        new = self.look.compared[y, x] & ~hits[y, x] & (np.abs(residual) > allowed)
        y, x, residual = y[new], x[new], residual[new]
        same = np.sign(values_around(self.residual, hits, y, x, RING)) == np.sign(residual)
        alike = same.any(axis=0)
        return y[alike], x[alike]

    def mark(self, hits: Bools, where: tuple[Index, Index], limit: float, beside: Bools | None = None) -> None:
        """Mark those of some deviating pixels that are sharper than any star. Changes `hits`.

        Parameters
        ----------
        hits : (ny, nx) bool
        where : rows, columns
            Candidates.
        limit : float
            Sigma.
        beside : (ny, nx) bool, optional
            Hits of which the candidates are neighbours.
        """
        y, x = where
        if not y.size:
            return
        look, residual = self.look, self.residual
        good = look.good if beside is None else look.good & ~beside
        around = np.sign(residual[y, x]) * ring_median(residual, good, y, x)
        if beside is not None:
            # In the middle of a large hit no neighbour is left to compare with but what is expected.
            around = np.nan_to_num(around)
        stands_out = np.abs(residual[y, x]) - around
        near = np.fmax(ring_median(look.data, good, y, x), ring_median(look.expected, None, y, x))
        near = np.fmax(near, 0)
        sharp = stands_out > limit * look.sigma[y, x] + self.sharpest * near
        sharp &= ~(self.burnt[y, x] & (near > _FLAT_TOP * look.data[y, x]))
        hits[y[sharp], x[sharp]] = True


def largest_step(plane: Float32) -> Float32:
    """Largest difference of each pixel to its four neighbours."""
    largest = np.zeros(plane.shape, np.float32)
    for rows in row_blocks(plane.shape, BLOCK):
        # The row below the block belongs to its last one; and that one to the first of the next block.
        part, near = plane[rows], plane[rows.start : rows.stop + 1]
        across, down = np.abs(np.diff(part, axis=1)), np.abs(np.diff(near, axis=0))
        out, below = largest[rows], largest[rows.start + 1 : rows.stop + 1]
        np.maximum(out[:, 1:], across, out=out[:, 1:])
        np.maximum(out[:, :-1], across, out=out[:, :-1])
        np.maximum(out[: len(down)], down, out=out[: len(down)])
        np.maximum(below, down, out=below)
    return largest
