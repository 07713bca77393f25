"""Cosmic rays and noisy pixels, recognised on the exposures as they are, before any interpolation.

Where three exposures or more see the same sky, each is compared with the median of all, mapped back onto its own
pixels (Fruchter & Hook 2002, PASP 114, 144; Gruen, Seitz & Bernstein 2014, PASP 126, 158). A pixel is hit if it
differs by more than the known noise and a part of the local gradient allow, **and** if it stands out of its eight
neighbours by more than any star could: seeing, clouds and errors of registration change stars, but never make
them sharper than they are. So the cores of stars are safe however much the seeing changes. Where fewer exposures
overlap each is looked at alone (`keyhole.imaging.laplacian`). Both signs count: a hit in a sky frame leaves a
hole in the exposures from which that sky was subtracted.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging._blot import Reference, blot, median_reference
from keyhole.imaging._differences import Differences, Expectation, Look, differences
from keyhole.imaging._exposure import Exposure
from keyhole.imaging._hits_compared import Compared
from keyhole.imaging._neighbours import places, square_offsets
from keyhole.imaging._noisy import NoisyPixels
from keyhole.imaging._patches import median_known, values_around
from keyhole.imaging.bits import BAD, COSMIC_RAY, MASK_DTYPE, usable
from keyhole.imaging.laplacian import laplacian_hits, star_excess
from keyhole.imaging.levels import lit_box
from keyhole.imaging.medians import median
from keyhole.imaging.noise import robust_sigma

__all__ = ["Exposure", "HitRule", "Hits", "find_hits"]

_COMPARED: Final = 3  # exposures from which on a median is one
_MOST: Final = 64
"""Exposures of which a median is as good as that of more, for bounded memory and time."""
_SEEN_TOO: Final = 0.5
"""Part of an excess from which on the only other exposure shows it too."""
_SAMPLE: Final = 7
"""One in so many pairs of neighbours is enough for a scatter."""
_ROWS: Final = 128
"""Rows that are looked at together where exposures are not compared, ..."""
_AROUND: Final = 24
"""... with so many pixels around, beyond the reach of the largest hits."""

Bools = NDArray[np.bool_]
Float32 = NDArray[np.float32]
Box = tuple[slice, slice]


@dataclass(frozen=True)
class HitRule:
    """Limits of `find_hits`.

    Attributes
    ----------
    sigma : float
        A hit differs by more than so many sigma.
    gradient : float
        And by more than this part of the largest step to a neighbour on the median.
    sharpness : float
        And stands out of its neighbours by more than so many times what a star does.
    signal : float
        And by more than this part of the signal of its neighbours, whatever the width of stars: errors of
        the flat.
    contrast : float
        How many times sharper than a star a hit is where an exposure is looked at alone.
    grow : int
        Pixels by which hits may grow into fainter neighbours.
    grow_sigma : float
        Those that differ by more than so many sigma in the same sense.
    noisy : float
        Probability, per pixel of the array, that it varies as much as it does by chance, below which it is
        called noisy; 0: no pixel is.
    compare : bool
        False: look at each exposure alone.
    """

    sigma: float = 4.5
    gradient: float = 0.5
    sharpness: float = 1.5
    signal: float = 0.05
    contrast: float = 2.0
    grow: int = 2
    grow_sigma: float = 2.0
    noisy: float = 1e-7
    compare: bool = True


@dataclass(frozen=True, eq=False)
class Hits:
    """What was found in one exposure.

    Attributes
    ----------
    box : tuple of slices (rows, columns)
        The lit box, on which the bits are given.
    found : uint8 array
        Hits, a bit per pixel of the box.
    mask : (ny, nx) uint16
        Quality bits of the box before.
    noisy : (ny, nx) bool or None
        Noisy pixels of the array in the box.
    """

    box: tuple[slice, slice]
    found: NDArray[np.uint8]
    mask: NDArray[np.uint16]
    noisy: Bools | None

    @property
    def bits(self) -> NDArray[np.uint16]:
        """To be OR-ed into the mask, (ny, nx): cosmic ray, or bad for noisy pixels."""
        bits = np.zeros(self.mask.shape, MASK_DTYPE)
        bits.reshape(-1)[self._hit] = COSMIC_RAY
        bits.reshape(-1)[self._newly_bad] |= BAD
        return bits

    def mark(self, mask: NDArray[np.uint16]) -> tuple[int, int]:
        """Mark what was found in the mask of the exposure, of which this tells the box. Changes `mask`.

        Returns
        -------
        hit, noisy : int
            Number of pixels.
        """
        part, hit, bad = mask[self.box], self._hit, self._newly_bad
        # Few of a million pixels.
        part[np.divmod(hit, self.mask.shape[1])] |= COSMIC_RAY
        part[np.divmod(bad, self.mask.shape[1])] |= BAD
        return hit.size, bad.size

    @property
    def _hit(self) -> NDArray[np.intp]:
        """Pixels that are hit, flat indices of the box."""
        some = np.flatnonzero(self.found)
        row, bit = np.nonzero(np.unpackbits(self.found[some]).reshape(-1, 8))
        return 8 * some[row] + bit

    @property
    def _newly_bad(self) -> NDArray[np.intp]:
        """Noisy pixels that were usable, flat indices of the box."""
        if self.noisy is None:
            return np.zeros(0, np.intp)
        noisy = np.flatnonzero(self.noisy)
        return noisy[usable(self.mask.ravel()[noisy])]


def find_hits(exposures: Sequence[Exposure], rule: HitRule | None = None, *, same_array: bool = False) -> list[Hits]:
    """Find the pixels whose value is not that of the sky, in each of some registered exposures.

    Of more than 64 exposures each is compared with its neighbours in the sequence.

    Parameters
    ----------
    exposures : sequence of Exposure
        Sky-subtracted; a constant level is taken off, differences of transparency are measured.
    rule : HitRule, optional
    same_array : bool
        The pixels of all exposures are those of one array: look for noisy pixels.

    Returns
    -------
    list of Hits
        One for each exposure. Changes its input: no.
    """
    rule = HitRule() if rule is None else rule
    boxes = [_lit_box(e.mask) for e in exposures]
    near = [exposure.cut(box) for exposure, box in zip(exposures, boxes, strict=True)]
    lit = [i for i, exposure in enumerate(near) if exposure.data.size]
    widths = [near[i].fwhm for i in lit]
    usual = median(widths) if widths else 2.0
    shapes = {e.data.shape for e in exposures}
    noisy = NoisyPixels(exposures[0].data.shape) if same_array and rule.noisy > 0 and len(shapes) == 1 else None
    # A bit per pixel of every exposure is kept.
    found = [np.packbits(np.zeros(e.data.shape, np.bool_)) for e in near]
    for part in _parts(lit):
        reference = median_reference([near[i] for i in part]) if len(part) > 1 and rule.compare else None
        for i in part:
            part_of_array = None if noisy is None else noisy.part(boxes[i])
            found[i] = np.packbits(_hits(near[i], reference, min(near[i].fwhm, usual), rule, part_of_array))
    bad = None if noisy is None else noisy.found(rule.noisy)
    return [
        Hits(box, hit, exposure.mask, None if bad is None else bad[box])
        for exposure, box, hit in zip(near, boxes, found, strict=True)
    ]


def _lit_box(mask: NDArray[np.uint16]) -> Box:
    """Smallest box around the usable pixels."""
    ny, nx = mask.shape
    if all(usable(edge).any() for edge in (mask[:1], mask[-1:], mask[:, :1], mask[:, -1:])):
        return slice(0, ny), slice(0, nx)
    return lit_box(usable(mask))


def _parts(exposures: list[int]) -> Iterator[list[int]]:
    """Exposures that are compared with each other: all of them, or about equal parts of a long sequence."""
    number = max(-(-len(exposures) // _MOST), 1)
    edges = np.linspace(0, len(exposures), number + 1).round().astype(int).tolist()
    for first, last in itertools.pairwise(edges):
        yield exposures[first:last]


def _hits(
    exposure: Exposure, reference: Reference | None, fwhm: float, rule: HitRule, noisy: NoisyPixels | None
) -> Bools:
    """Hits in one exposure; what it tells about the noisy pixels of its box is added to these."""
    found = _expectation(exposure, reference, rule, noisy)
    look = found.look
    hits = _alone(look, found.residual, fwhm, rule)
    if found.outliers is None:
        return hits
    sharpest = rule.sharpness * star_excess(fwhm) + rule.signal
    compared = Compared(look, found.residual, rule.gradient, sharpest, exposure.mask)
    compared.mark(hits, found.outliers, rule.sigma)
    for _ in range(rule.grow):
        if not hits.any():
            break
        compared.mark(hits, compared.beside(hits, rule.grow_sigma), rule.grow_sigma, beside=hits.copy())
    return hits


def _expectation(
    exposure: Exposure, reference: Reference | None, rule: HitRule, noisy: NoisyPixels | None
) -> Differences:
    """What the other exposures let expect, on the scale of this one; the noise is never taken as better than seen."""
    good = usable(exposure.mask)
    nothing = np.zeros(good.shape, np.bool_)
    sigma = exposure.sigma()
    if reference is None:
        data = exposure.data - exposure.level
        # A lone noise scale: without comparison the image itself tells, by the differences of its neighbours.
        look = Look(data, np.zeros_like(data), sigma * _own_scale(data, sigma, good), good, nothing, nothing)
        return Differences(look, data, None)
    expected = blot(reference, exposure, sigma)
    known = good & expected.known
    compared = known & (expected.seen >= _COMPARED)
    twice = known & (expected.seen == 2)
    expectation = Expectation(expected.data, expected.scale, exposure.level)
    if not compared.any():
        data, model = exposure.data - exposure.level, expected.data * np.float32(expected.scale)
        look = Look(data, model, sigma * _own_scale(data, sigma, good), good, compared, twice)
        return Differences(look, data - model, None)
    # The median has noise too; a pixel that is not compared has only its own.
    alone = np.flatnonzero(good & ~compared)
    own = sigma.ravel()[alone]
    # Noise must not be interpolated: it is that of the nearest pixel.
    expected.where.multiply(sigma, reference.growth)
    sigma.ravel()[alone] = own
    adjusted = expectation.adjusted(exposure.data, sigma, compared)
    look = Look(exposure.data, expected.data, sigma, good, compared, twice)
    return differences(look, adjusted, rule.sigma, rule.gradient, noisy)


def _own_scale(data: Float32, sigma: Float32, good: Bools) -> np.float32:
    """Scatter of the differences of neighbours over the known noise, at least 1."""
    both = good[:, 1:] & good[:, :-1]
    if np.count_nonzero(both) < 100:
        return np.float32(1)
    steps = (data[:, 1:] - data[:, :-1])[both][::_SAMPLE]
    noise = np.hypot(sigma[:, 1:], sigma[:, :-1])[both][::_SAMPLE]
    return np.float32(max(1.0, robust_sigma(steps / noise)))


def _alone(look: Look, residual: Float32, fwhm: float, rule: HitRule) -> Bools:
    """Pixels with an edge sharper than any star, of either sign, where exposures cannot be compared."""
    where = look.good & ~look.compared
    hits = np.zeros(look.good.shape, np.bool_)
    for part, inner in _parts_around(where):
        near = look.cut(part)
        found = _alone_in(near, residual[part], where[part], fwhm, rule)
        rows, columns = inner
        hits[part][inner] = found[rows, columns]
    return hits


def _parts_around(where: Bools) -> Iterator[tuple[Box, Box]]:
    """Boxes that hold all chosen pixels and what tells about them; and, in each, the part that it answers for."""
    ny, nx = where.shape
    for first in range(0, ny, _ROWS):
        last = min(first + _ROWS, ny)
        columns = np.flatnonzero(where[first:last].any(axis=0))
        if not columns.size:
            continue
        # Exposures overlap but for strips along their borders.
        gaps = np.flatnonzero(np.diff(columns) > 4 * _AROUND)
        for left, right in zip(columns[[0, *(gaps + 1)]], columns[[*gaps, -1]], strict=True):
            rows = slice(max(first - _AROUND, 0), min(last + _AROUND, ny))
            across = slice(max(int(left) - _AROUND, 0), min(int(right) + 1 + _AROUND, nx))
            inner = slice(first - rows.start, last - rows.start), slice(int(left) - across.start, None)
            yield (rows, across), inner


def _alone_in(look: Look, residual: Float32, where: Bools, fwhm: float, rule: HitRule) -> Bools:
    hits = np.zeros(look.good.shape, np.bool_)
    for sign in (np.float32(1), np.float32(-1)):
        edges = laplacian_hits(
            sign * look.data,
            look.sigma,
            look.good,
            where=where,
            limit=rule.sigma,
            contrast=rule.contrast,
            fwhm=fwhm,
        )
        y, x = places(edges)
        around = median_known(values_around(look.data, look.good & ~edges, y, x, square_offsets(2)))
        excess = sign * (look.data[y, x] - around)
        # The median of two is their mean: the other one differs by twice as much.
        seen_too = look.twice[y, x] & (2 * sign * residual[y, x] < (1 - _SEEN_TOO) * excess)
        hits[y[~seen_too], x[~seen_too]] = True
    return hits
