"""A product with the true stars put on it, and what it would show without noise."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import DataError
from keyhole.simulate.expected import expected_stack, seen_by
from keyhole.simulate.measure import centroids, common_shift, detect
from keyhole.simulate.product import Product
from keyhole.simulate.stars import paint_stars
from keyhole.simulate.statistics import robust_width
from keyhole.simulate.true_frames import TrueFrames, TrueSky
from keyhole.simulate.true_stars import TrueStars

__all__ = ["Scene", "locate", "on_good", "values_at"]

_FLOATS = NDArray[np.float64]
_BOOLS = NDArray[np.bool_]

_SEARCH = 4.0  # arcsec, for the common shift against the WCS
_WIDE_SEARCH = 60.0  # arcsec, if that fails
_VOTERS = 60  # brightest stars and sources that look for the shift
_SAME_GRID = 5.0  # pixels by which a WCS may bend the pixel grid of the first frame
_ANCHORS = 9  # brightest isolated stars that fix the grid


class Scene(NamedTuple):
    """An image with the true stars put on it.

    Attributes
    ----------
    product : Product
    variance : ndarray of float32, shape (ny, nx)
        Of the file, or the scatter of the image if the file has none.
    stars : TrueStars
        ``electrons`` and ``fwhm`` are those of the frames that were combined, as far as these are known.
    places : ndarray of float64, shape (n, 2)
        Where the stars should be after one common shift, pixels.
    origin : ndarray of float64, shape (2,)
        Pixel of the image on which pixel (0, 0) of the night's first frame falls.
    inside : ndarray of bool, shape (n,)
        Stars on usable pixels.
    sources : ndarray of float64, shape (m, 3)
        Own detection: x, y, height.
    model : ndarray of float32, shape (ny, nx)
        Light of the true stars.
    seen : ndarray of int16, shape (ny, nx), or None
        Frames that see each pixel; None if they are not known.
    frames : TrueFrames or None
        The frames that were combined.
    sky : TrueSky or None
    """

    product: Product
    variance: NDArray[np.float32]
    stars: TrueStars
    places: _FLOATS
    origin: _FLOATS
    inside: _BOOLS
    sources: _FLOATS
    model: NDArray[np.float32]
    seen: NDArray[np.int16] | None
    frames: TrueFrames | None
    sky: TrueSky | None

    @property
    def sigma(self) -> NDArray[np.float32]:
        """Noise of each pixel; 1 where it is not usable."""
        return np.sqrt(np.where(self.product.usable, self.variance, np.float32(1)))


def locate(product: Product, stars: TrueStars, frames: TrueFrames | None = None, sky: TrueSky | None = None) -> Scene:
    """Find the true stars on the image: by its WCS, or by their pattern if that fails.

    Parameters
    ----------
    product : Product
    stars : TrueStars
    frames : TrueFrames, optional
        All science frames of the night; without them the stars are taken to have one mean profile.
    sky : TrueSky, optional
        Places an image without any star.

    Raises
    ------
    DataError
        They are not there.
    """
    variance = product.variance
    if variance is None:
        scatter = robust_width(product.data[product.usable].astype(np.float64))
        variance = np.full_like(product.data, max(np.nan_to_num(scatter), 1e-6) ** 2)
    sigma = np.sqrt(np.where(product.usable, variance, 1.0)).astype(np.float32)
    sources = detect(product.data, sigma, product.usable, fwhm=stars.mean_fwhm)
    combined = None if frames is None else frames.only(product.inputs)
    if combined is not None:
        combined = _scaled(combined, product.flux_reference)
        stars = _as_combined(stars, combined)
    places, origin = _places(product, stars, sources, sky)
    seen: NDArray[np.int16] | None = None
    if combined is not None:
        perfect = expected_stack(stars, combined, origin, product.data.shape)
        model, seen = perfect.light, perfect.seen
    else:
        model = paint_stars(
            places,
            stars.electrons,
            fwhm=stars.mean_fwhm * stars.pixel_scale,
            pixel_scale=stars.pixel_scale,
            box=(slice(0, product.data.shape[0]), slice(0, product.data.shape[1])),
        )
    inside = on_good(product.usable, places)
    return Scene(product, variance, stars, places, origin, inside, sources, model, seen, combined, sky)


def on_good(good: _BOOLS, places: _FLOATS) -> _BOOLS:
    """Say which places fall on good pixels."""
    return values_at(good.astype(np.float32), places) > 0


def values_at(image: NDArray[np.floating], places: _FLOATS) -> _FLOATS:
    """Give the values of the pixels at the places; 0 outside."""
    ny, nx = image.shape
    x, y = np.rint(np.nan_to_num(places, nan=-1e6, posinf=-1e6, neginf=-1e6)).astype(int).T
    inside = (x >= 0) & (x < nx) & (y >= 0) & (y < ny)
    return np.where(inside, image[np.clip(y, 0, ny - 1), np.clip(x, 0, nx - 1)], 0.0).astype(np.float64)


def _scaled(frames: TrueFrames, reference: str) -> TrueFrames:
    """Give all frames the transparency to which the product says it brought them."""
    if not reference:
        return frames
    names = [name.removesuffix(".fits") for name in frames.names]
    own = frames.transparency[names.index(reference.removesuffix(".fits"))] if reference in names else None
    level = float(np.median(frames.transparency)) if own is None else float(own)
    return frames._replace(transparency=np.full_like(frames.transparency, level))


def _as_combined(stars: TrueStars, frames: TrueFrames) -> TrueStars:
    """Give the stars light and width in the mean of the frames that see them."""
    seen = seen_by(stars, frames)
    number = seen.sum(axis=0)
    some = np.maximum(number, 1)
    light = stars.clear * (frames.transparency @ seen) / some
    return stars._replace(
        electrons=np.where(number > 0, light, stars.electrons),
        fwhm=np.where(number > 0, (frames.fwhm @ seen) / some, stars.fwhm),
    )


def _places(product: Product, stars: TrueStars, sources: _FLOATS, sky: TrueSky | None) -> tuple[_FLOATS, _FLOATS]:
    """Give the places of the stars and the origin of the first frame's pixels."""
    if not len(stars.numbers):
        return np.zeros((0, 2)), _origin_by_wcs(product, sky)
    ways = [] if product.wcs is None else [(product.to_pixel(stars.ra, stars.dec), _SEARCH)]
    ways += [(places, _WIDE_SEARCH) for places, _ in ways] + [(stars.first, _WIDE_SEARCH)]
    for places, search in ways:
        shift, votes, needed = _vote(product, stars, places, sources, search)
        if votes >= needed:
            return _on_grid(product, stars, places + shift, sources)
    raise DataError(f"{product.name} does not show the stars of the truth; give the truth.ecsv of its own night.")


def _vote(
    product: Product, stars: TrueStars, places: _FLOATS, sources: _FLOATS, search: float
) -> tuple[_FLOATS, int, float]:
    reach = search / stars.pixel_scale
    ny, nx = product.data.shape
    near = (places > -reach).all(1) & (places[:, 0] < nx + reach) & (places[:, 1] < ny + reach)
    voters = [k for k in np.argsort(-stars.electrons) if near[k]][:_VOTERS]
    shift, votes = common_shift(places[voters], sources[:_VOTERS, :2], search=reach, tolerance=0.5 * stars.mean_fwhm)
    usable = int(on_good(product.usable, places[voters] + shift).sum())
    return shift, votes, max(min(3, len(stars.numbers)), 0.25 * usable)


def _on_grid(product: Product, stars: TrueStars, places: _FLOATS, sources: _FLOATS) -> tuple[_FLOATS, _FLOATS]:
    """Replace places by the WCS by those on the pixel grid of the first frame, where that is the image's grid.

    A bent WCS is an error of the WCS alone; the stars are where the pixels have them.
    """
    moves = places - stars.first
    near = on_good(product.usable, places)
    origin = np.median(moves[near] if near.any() else moves, axis=0)
    if np.abs(moves[near] - origin).max(initial=0.0) > _SAME_GRID:
        return places, origin
    shift, votes = common_shift(
        (stars.first + origin)[near], sources[:_VOTERS, :2], search=_SAME_GRID, tolerance=0.25 * stars.mean_fwhm
    )
    origin = origin + shift if votes else origin
    # The brightest stars tell it to some thousandths of a pixel.
    found = centroids(product.data, product.usable, stars.first + origin, fwhm=stars.mean_fwhm)
    sure = stars.isolated & stars.linear & near & np.isfinite(found[:, 0])
    if sure.any():
        sure &= stars.electrons >= np.sort(stars.electrons[sure])[-_ANCHORS:][0]
        origin = origin + np.median((found - stars.first - origin)[sure], axis=0)
    return stars.first + origin, origin


def _origin_by_wcs(product: Product, sky: TrueSky | None) -> _FLOATS:
    if product.wcs is None or sky is None:
        return np.zeros(2)
    ra, dec = sky.target
    return np.asarray(product.to_pixel(np.array([ra]), np.array([dec]))[0] - sky.pixel)
