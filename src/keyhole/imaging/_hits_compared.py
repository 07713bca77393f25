"""One exposure against what the others let expect of it, pixel by pixel."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging._differences import Look, step_at
from keyhole.imaging._neighbours import places
from keyhole.imaging._patches import RING, Index, ring_median, values_around
from keyhole.imaging.bits import MASK_DTYPE, NONLINEAR, SATURATED
from keyhole.imaging.medians import distinct

__all__ = ["Compared"]

_FLAT_TOP: Final = 0.3
"""Saturated pixels whose neighbours have this part of their light belong to a star."""

Bools = NDArray[np.bool_]
Float32 = NDArray[np.float32]


class Compared(NamedTuple):
    """An exposure against what is expected of it.

    Attributes
    ----------
    look : Look
    residual : (ny, nx) float32
        Difference to what is expected.
    gradient : float
        Part of the largest step of what is expected that is allowed.
    sharpest : float
        By what part of its neighbours a pixel of a star may stand out.
    mask : (ny, nx) uint16
        Quality bits of the exposure.
    """

    look: Look
    residual: Float32
    gradient: float
    sharpest: float
    mask: NDArray[np.uint16]

    def beside(self, hits: Bools, limit: float) -> tuple[Index, Index]:
        """The same among the neighbours of hits that deviate in their sense."""
        ny, nx = hits.shape
        y, x = places(hits)
        steps = np.asarray(RING, np.intp)
        y, x = (y + steps[:, :1]).ravel(), (x + steps[:, 1:]).ravel()
        inside = (y >= 0) & (y < ny) & (x >= 0) & (x < nx)
        y, x = np.divmod(distinct(y[inside] * nx + x[inside]), nx)
        residual = self.residual[y, x]
        allowed = self.look.sigma[y, x] * np.float32(limit) + step_at(self.look.expected, y, x) * np.float32(
            self.gradient
        )
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
        burnt = (self.mask[y, x] & MASK_DTYPE(NONLINEAR | SATURATED)) != 0
        sharp &= ~(burnt & (near > _FLAT_TOP * look.data[y, x]))
        hits[y[sharp], x[sharp]] = True
