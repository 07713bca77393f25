"""The light of all stars of a frame, each fitted to what the others leave (Stetson 1987, PASP 99, 191)."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging.medians import fair_sample, median
from keyhole.imaging.psf import PointSpread, StarImage

__all__ = ["StarFit", "ring_medians"]

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

_CORE: Final = 1.0
"""Radius, in units of the seeing, of the pixels that tell light, place and width of a star."""
_BRIGHT: Final = 50.0
"""Signal to noise from which place and width of a star are fitted, too."""
_PIXEL_ERROR: Final = 0.02
"""Part of a pixel's light by which the image of a star may be wrong without being no star."""
_MOST_SHIFT: Final = 0.5
"""Pixels."""
_MOST_WIDTH: Final = 0.3
"""Part by which a star may be wider or narrower than the usual one: other frames saw it."""
_WORST: Final = 3.0
"""Mean residual of a star over the expected one from which on it is none."""
_SURE_RING: Final = 2.0
"""Errors by which the median of a ring about a star must differ from the usual image to be believed."""
_INNER_RING: Final = 0.8
"""Radius of the smallest such ring, in units of the seeing."""
_OUTER_RING: Final = 5.0
"""And of the largest one."""
_MOST_OF_CORE: Final = 0.6
"""Part of the core that must be seen."""
_WIDE_CORE: Final = 3.0
"""Radius, in units of the seeing, of the pixels that tell the light of a star without a core."""


class StarFit:
    """Light of all stars together: each is fitted to what the others leave, brightest first, in some rounds.

    Of faint stars the light is fitted, of bright ones place and width, too, to first order.

    Parameters
    ----------
    data, variance : (ny, nx) float32
        Without background. Changed: no.
    hidden : (ny, nx) bool
        True on pixels that take no part.
    psf : PointSpread

    Attributes
    ----------
    images : list of StarImage or None
        One per star; None where there is no light.
    """

    def __init__(self, data: Float32, variance: Float32, hidden: Bool, psf: PointSpread) -> None:
        self._residual, self._variance, self._hidden, self._psf = data.astype(np.float64), variance, hidden, psf
        known = fair_sample(~hidden, variance)[0]
        self._noise = float(np.sqrt(median(known))) if known.size else 1.0
        self._fits: list[_Fit | None] = []
        self._heights = np.zeros(0)
        self.images: list[StarImage | None] = []

    @property
    def residual(self) -> Float32:
        """What the stars leave."""
        return self._residual.astype(np.float32)

    @property
    def fwhm(self) -> float:
        """Seeing, pixels."""
        return self._psf.fwhm

    def lower(self, level: Float32) -> None:
        """Subtract a background from what is left."""
        self._residual -= level

    def add(self, places: Float64, heights: Float64, *, reach: int | None = None) -> None:
        """Add stars.

        Parameters
        ----------
        places : (n, 2) float64
            Positions (x, y), pixels.
        heights : (n,) float64
            Of their highest pixels, to sort them; those that are not positive are left alone.
        reach : int, optional
            Radius, pixels, within which their light is taken away; as far as it shows if None.
        """
        for (x, y), high in zip(places.tolist(), heights.tolist(), strict=True):
            half = self._psf.reach(high / self._noise) if reach is None else reach
            self._fits.append(_Fit.of(x, y, self._residual.shape, self._psf, half) if high > 0 else None)
        self._heights = np.append(self._heights, heights)
        self.images += [None] * len(places)

    def remove(self, chosen: NDArray[np.intp]) -> None:
        """Give the light of some stars back, and forget them."""
        for k in chosen.tolist():
            image = self.images[k]
            if image is not None:
                self._residual[image.rows, image.columns] += image.light
        gone = set(chosen.tolist())
        self.images = [image for k, image in enumerate(self.images) if k not in gone]
        self._fits = [fit for k, fit in enumerate(self._fits) if k not in gone]
        self._heights = np.delete(self._heights, chosen)

    def offsets(self, first: int) -> Float64:
        """How far the stars from `first` on are off their places, (n, 2) pixels, to first order and at most one."""
        moved = np.zeros((len(self._fits) - first, 2))
        for k, (fit, image) in enumerate(zip(self._fits[first:], self.images[first:], strict=True)):
            if fit is None or image is None:
                continue
            seen = fit.core & ~self._hidden[fit.rows, fit.columns]
            part = self._residual[fit.rows, fit.columns] + image.light
            flux, dx, dy = np.linalg.lstsq(fit.terms[:3, seen].T, part[seen], rcond=None)[0].tolist()
            if flux > 0:
                moved[k] = np.clip([dx / flux, dy / flux], -1.0, 1.0)
        return moved

    def wide_light(self, first: int, radius: float) -> Float64:
        """Light within a radius (pixels) over that of the fit, of the stars from `first` on; a lump has little."""
        shares = np.zeros(len(self._fits) - first)
        for k, (fit, image) in enumerate(zip(self._fits[first:], self.images[first:], strict=True)):
            if fit is not None and image is not None:
                seen = (fit.radius <= radius) & ~self._hidden[fit.rows, fit.columns]
                part = self._residual[fit.rows, fit.columns] + image.light
                shares[k] = part[seen].sum() / image.flux
        return shares

    def run(self, rounds: int, *, first: int = 0, profiles: bool = True) -> None:
        """Fit the stars, each to what the others leave.

        Parameters
        ----------
        rounds : int
        first : int
            Leave the stars before this one as they are.
        profiles : bool
            Give bright stars their own mean profile in the last round.
        """
        left, variance, hidden = self._residual, self._variance, self._hidden
        order = (first + np.argsort(-self._heights[first:])).tolist()
        for number in range(rounds):
            for k in order:
                fit, before = self._fits[k], self.images[k]
                if fit is None:
                    continue
                part = left[fit.rows, fit.columns]
                if before is not None:
                    part += before.light
                after = fit.solved(part, variance, hidden, self._psf.fwhm)
                if after is not None and profiles and number == rounds - 1:
                    after = fit.widened(after, part, variance, hidden, self._psf.fwhm)
                self.images[k] = after
                if after is not None:
                    part -= after.light


class _Fit(NamedTuple):
    """Pixels of a star, its image there with derivatives (4, ny, nx), distance from it, and the core that is fitted."""

    rows: slice
    columns: slice
    terms: Float64
    radius: Float64
    core: Bool

    @classmethod
    def of(cls, x: float, y: float, shape: tuple[int, ...], psf: PointSpread, half: int) -> _Fit | None:
        column, row = round(x), round(y)
        ny, nx = shape
        if not (0 <= column < nx and 0 <= row < ny):
            return None
        image = psf.at(x - column, y - row, half)
        down, across = np.gradient(image)
        offset = np.arange(-half, half + 1.0)
        dy, dx = offset[:, np.newaxis] - (y - row), offset - (x - column)
        terms = np.array([image, -across, -down, -(2 * image + dx * across + dy * down)])
        inside = (
            slice(max(half - row, 0), min(ny - row + half, 2 * half + 1)),
            slice(max(half - column, 0), min(nx - column + half, 2 * half + 1)),
        )
        radius = np.hypot(dx, dy)[inside]
        at_y, at_x = row - half, column - half
        return cls(
            slice(at_y + inside[0].start, at_y + inside[0].stop),
            slice(at_x + inside[1].start, at_x + inside[1].stop),
            terms[(slice(None), *inside)],
            radius,
            radius <= max(_CORE * psf.fwhm, 1.5),
        )

    def widened(self, star: StarImage, part: Float64, variance: Float32, hidden: Bool, fwhm: float) -> StarImage:
        """Add to a bright star what it has in all directions beyond the usual image: its frames had another seeing."""
        variances = variance[self.rows, self.columns]
        near = (self.radius <= _OUTER_RING * fwhm) & ~hidden[self.rows, self.columns]
        bright = star.bright and near.any()
        if not bright:
            return star
        ring = np.rint(self.radius).astype(np.intp)
        middle, number = ring_medians(ring, part - star.light, near)
        noise = np.bincount(ring[near], weights=variances[near], minlength=len(number)) / np.maximum(number, 1)
        error = np.sqrt(np.pi / 2 * noise / np.maximum(number, 1))
        sure = (np.abs(middle) > _SURE_RING * error) & (np.arange(len(middle)) > _INNER_RING * fwhm)
        known = np.where(sure, middle, 0.0)
        return star._replace(light=star.light + np.interp(self.radius, np.arange(len(known)), known))

    def solved(self, part: Float64, variance: Float32, hidden: Bool, fwhm: float) -> StarImage | None:
        """Fit the star; None if there is no light to be fitted."""
        usable = ~hidden[self.rows, self.columns]
        seen, whole = self.core & usable, True
        if seen.sum() < _MOST_OF_CORE * self.core.sum():
            # Saturated, or cut: the rest tells how bright it is, and nothing else.
            seen, whole = (self.radius <= _WIDE_CORE * fwhm) & usable, False
        noise = variance[self.rows, self.columns][seen].astype(np.float64)
        values, terms = part[seen], self.terms[:, seen]
        weight = (terms[0] ** 2 / noise).sum()
        flux = float((terms[0] * values / noise).sum() / weight) if weight > 0 else 0.0
        if not flux > 0:
            return None
        solution, good, width = np.array([flux, 0.0, 0.0, 0.0]), whole, 1.0
        bright = bool(flux**2 * weight > _BRIGHT**2)
        if bright and whole:
            inverse = 1 / (noise + (_PIXEL_ERROR * flux * terms[0]) ** 2)
            weighted = terms * inverse
            free = np.linalg.lstsq(weighted @ terms.T, weighted @ values, rcond=None)[0]
            limits = np.array([_MOST_SHIFT, _MOST_SHIFT, _MOST_WIDTH]) * free[0]
            good = bool(free[0] > 0 and (np.abs(free[1:]) <= limits).all())
            solution = free if good else solution
            width = 1 + float(free[3] / free[0]) if free[0] > 0 else 0.0
            deviation = np.abs(values - solution @ terms).sum()
            good = good and bool(deviation <= _WORST * np.sqrt(2 / np.pi / inverse).sum())
        dx, dy = (solution[1:3] / solution[0]).tolist()
        light = np.tensordot(solution, self.terms, 1)
        flux, error = float(solution[0]), float(weight**-0.5)
        return StarImage(self.rows, self.columns, self.radius, light, flux, error, dx, dy, width, bright, good)


def ring_medians(ring: NDArray[np.intp], values: Float64, seen: Bool) -> tuple[Float64, Float64]:
    """Median of the values in each ring, 0 without any, and their number."""
    names, kept = ring[seen], values[seen]
    order = np.lexsort((kept, names))
    number = np.bincount(names, minlength=int(ring.max()) + 1)
    end = np.cumsum(number)
    start = end - number
    ordered = kept[order]
    if not ordered.size:
        return np.zeros(len(number)), number.astype(np.float64)
    last = ordered.size - 1
    low, high = (np.minimum(start + (number - odd) // 2, last).clip(0) for odd in (1, 0))
    middle = (ordered[low] + ordered[high]) / 2
    return np.asarray(np.where(number > 0, middle, 0.0)), number.astype(np.float64)
