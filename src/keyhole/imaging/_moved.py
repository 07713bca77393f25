"""A frame that is moved without rotation: what its few bad pixels change is found once, all else are weighted sums.

The sums are made in strips of rows that stay in the cache, for any rows of any plane.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging._bridging import Bridges
from keyhole.imaging._rows import row_blocks
from keyhole.imaging._sampler import BORDER, SEVERAL, Power, Sampler, Scratch, placed

__all__ = ["MIN_WEIGHT", "NEVER_HALF", "Moved", "Source"]

MIN_WEIGHT: Final = 0.5
"""Kernels with strong negative lobes may lose little absolute weight and still most of their sum."""
NEVER_HALF: Final = 1 - MIN_WEIGHT - 1e-4
"""The weights sum to one, and what is lost of that is no more than what is lost of their absolute sum: up to this,
with room for the rounding of float32, enough is left."""
_STRIP: Final = 1 << 16
"""Pixels that are computed together, so that they stay in the cache."""

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Plane = NDArray[Any]
Index = NDArray[np.intp]


class Source(NamedTuple):
    """A plane that is interpolated.

    Attributes
    ----------
    plane : (ny, nx)
        Finite.
    power : Power
        Of the weights.
    tied : float
        Multiplies the values that stand in for bad pixels.
    level, divisor : float32, optional
        What is taken off the plane, and divides it then; without a divisor neither is.
    """

    plane: Plane
    power: Power = "signed"
    tied: float = 1.0
    level: np.float32 = np.float32(0)
    divisor: np.float32 | None = None

    def copy(self, values: Plane, out: Float32) -> Float32:
        """Values of the plane as they are interpolated, in `out`."""
        if self.divisor is None:
            np.copyto(out, values, casting="same_kind")
            return out
        return np.divide(np.subtract(values, self.level, out=out), self.divisor, out=out)


class Moved:
    """The sums over the kernels of output pixels of which few touch bad pixels of a frame.

    Parameters
    ----------
    x, y : (1, nx), (ny, 1) float64
        Places of the output pixels in the frame, all of them inside.
    bridges : Bridges
        Of the frame; its bad pixels are few.
    interpolant : str
    max_lost : float
        Share of the kernel's absolute weight that bad pixels may hold before an output pixel is not accepted.
    scratch : Scratch

    Attributes
    ----------
    sampler : Sampler
    near : Few
        The output pixels whose kernels touch a bad pixel or one beyond the frame,
    lost : (n,) float32
        how much of the absolute weight of each is lost,
    accepted : (n,) bool
        and whether enough is left.
    kept : flat indices
        The output pixels that are not accepted.
    """

    def __init__(
        self, x: Float64, y: Float64, bridges: Bridges, *, interpolant: str, max_lost: float, scratch: Scratch
    ) -> None:
        assert bridges.few is not None
        self._scratch = scratch
        self.sampler = sampler = Sampler(x, y, interpolant, scratch)
        self._holes, there = sampler.in_window(bridges.few, bridges.good.shape)
        self._bridged, self._there = sampler.in_window(bridges.at, bridges.good.shape)
        known = bridges.known.ravel()[bridges.few[there]]
        self.near = near = sampler.touching(self._holes, bridges.good.shape, known)
        weights = self._weigh(bridges, max_lost)
        self._norm, self._usual = weights[self.accepted], sampler.sum_of_ones("signed")
        self._taken, self.kept = near.pixels[self.accepted], near.pixels[~self.accepted]
        self._column, self._row = (np.floor(v.ravel() + 0.5).astype(np.intp) for v in (x, y))

    def _weigh(self, bridges: Bridges, max_lost: float) -> Float32:
        """Find what is lost, and what is accepted; the sum of the weights that are known."""
        sampler, near = self.sampler, self.near
        total, number = sampler.total.max(), sampler.taps**2
        # Most touch one bad pixel alone: of these there are as many kinds as there are pixels under a kernel. Those
        # at the border are alike but for the corners.
        several, border = np.flatnonzero(near.kind == SEVERAL), np.flatnonzero(near.kind == BORDER)
        example, alike = sampler.border_kinds(near.of(border), bridges.good.shape)
        some = near.of(np.concatenate([several, border[example]]))
        good, known = map(sampler.places_of(some, bridges.good.shape), (bridges.good, bridges.known))
        without, usual = sampler.without_one("signed"), sampler.sum_of_ones("signed")
        kind = near.kind.copy()
        kind[several] = 2 * number + np.arange(several.size)
        kind[border] = 2 * number + several.size + alike
        one, light = sampler.of_one("absolute"), sampler.sum_at(good, "signed")
        self.lost = np.concatenate([one, one, sampler.sum_at(~good, "absolute")])[kind] / total
        self.accepted = self.lost <= max_lost
        if max_lost * float(total) > NEVER_HALF:
            self.accepted &= np.concatenate([without, without, light])[kind] >= MIN_WEIGHT
        weights = np.concatenate([without, np.full_like(without, usual), sampler.sum_at(known, "signed")])
        return np.asarray(weights[kind])

    def nearest(self, plane: Plane, pixels: Index) -> Plane:
        """Values of the frame pixels that are nearest to some output pixels, flat indices."""
        row, column = np.divmod(pixels, self._column.size)
        return np.asarray(plane[self._row[row], self._column[column]])

    def interpolate(self, bridges: Bridges, source: Source, out: Plane) -> None:
        """Give all output pixels their values: those that are not accepted that of the nearest frame pixel.

        Changes `out`, (my, mx).
        """
        self.sums(source, self.bridged(bridges, source), slice(0, len(out)), out)
        out[np.unravel_index(self.kept, out.shape)] = self.nearest(source.plane, self.kept)

    def bridged(self, bridges: Bridges, source: Source) -> Float32:
        """The values that stand in for bad pixels of the window."""
        values = bridges.between(lambda places: _looked_up(source, places))
        return (values * np.float32(source.tied))[self._there]

    def sums(self, source: Source, bridged: Float32, rows: slice, out: Plane) -> None:
        """Weighted sums of some rows of output pixels; of those that are not accepted anything.

        Changes `out`, (rows, mx). `bridged` is what the method of that name tells.
        """
        for strip in row_blocks(out.shape, _STRIP):
            self._strip(source, bridged, slice(rows.start + strip.start, rows.start + strip.stop), out[strip])

    def _strip(self, source: Source, bridged: Float32, rows: slice, out: Plane) -> None:
        straight = out.dtype == np.float32
        window = self._window(source, bridged, rows)
        total = self.sampler.sum(window, source.power, out=out if straight else None)
        first, last = np.searchsorted(self._taken, [rows.start * out.shape[1], rows.stop * out.shape[1]])
        few = np.divmod(self._taken[first:last] - rows.start * out.shape[1], out.shape[1])
        norm, usual = self._norm[first:last], self._usual
        if source.power == "squared":
            norm, usual = norm**2, usual**2
        values = total[few] / norm
        if usual != 1:
            total /= usual
        total[few] = values
        if not straight:
            out[...] = total

    def _window(self, source: Source, bridged: Float32, rows: slice) -> Float32:
        """What the kernels of some rows of output pixels touch: 0 beyond the frame and on bad pixels."""
        (y0, x0), width = self.sampler.corner, self.sampler.size[1]
        height = rows.stop - rows.start + self.sampler.size[0] - self.sampler.shape[0]
        window = self._scratch.take("strip", (height, width), np.float32)
        part, inside = placed(source.plane, window, (y0 + rows.start, x0))
        source.copy(part, out=inside)
        flat, start = window.reshape(-1), rows.start * width
        for places, values in ((self._holes, None), (self._bridged, bridged)):
            first, last = np.searchsorted(places, [start, start + flat.size])
            flat[places[first:last] - start] = 0 if values is None else values[first:last]
        return window


def _looked_up(source: Source, places: Index) -> Float32:
    plane = source.plane
    # Without gaps in memory a look is half of the work.
    values = plane.reshape(-1)[places] if plane.flags.c_contiguous else plane[np.divmod(places, plane.shape[1])]
    return source.copy(values, np.empty(values.shape, np.float32))
