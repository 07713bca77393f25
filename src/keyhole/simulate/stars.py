"""Stars: which there are, and what image each makes on the array."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.simulate.geometry import SkyGeometry
from keyhole.simulate.slot import Slot
from keyhole.simulate.streams import stream

__all__ = [
    "MOFFAT_BETA",
    "Star",
    "enclosed_fraction",
    "make_stars",
    "moffat_alpha",
    "paint_stars",
    "peak_fraction",
]

MOFFAT_BETA = 3.0
"""Exponent of the star profile; the code below uses that it is 3."""

# Magnitude and offset from the target along and across the slot (arcsec) of the two targets.
_TARGETS = ((13.2, 0.0, 0.0), (14.6, 6.5, -1.0))
# One star far above the others, so that saturation occurs in every night.
_BRIGHTEST = 12.3
_MAGNITUDES = (13.0, 20.0)
_MAGNITUDE_POWER = 0.6  # 1 is as many bright as faint ones
_SEPARATION = 3.0  # arcsec, between stars that are not meant to be pairs
_PAIRS = 0.08  # share of the stars that stand close to another one
_AT_EDGE = 0.1  # share of the stars placed at the edge of the undithered keyhole
_REACH = 12.0  # arcsec, half the side of the painted square
_CORE = 2.5  # arcsec, half the side of the finely sampled square
_SAMPLES = 5  # per pixel and axis


class Star(NamedTuple):
    """One star: sky position (degrees), pixel at zero offset (first pixel is 0), magnitude."""

    ra: float
    dec: float
    x: float
    y: float
    mag: float


def moffat_alpha(fwhm: float) -> float:
    """Give the core radius of a Moffat profile of exponent 3 from its full width at half maximum."""
    return float(fwhm / (2.0 * np.sqrt(2.0 ** (1.0 / MOFFAT_BETA) - 1.0)))


def enclosed_fraction(radius: NDArray[np.float64] | float, fwhm: float) -> NDArray[np.float64]:
    """Give the share of a star's light within a radius (same unit as the width)."""
    inside = 1.0 - (1.0 + (np.asarray(radius) / moffat_alpha(fwhm)) ** 2) ** (1.0 - MOFFAT_BETA)
    return np.asarray(inside, np.float64)


def peak_fraction(fwhm: float) -> float:
    """Give the share of a star's light in the pixel on which it is centred; width in pixels."""
    return float(_core_image(np.array([0.0]), np.array([0.0]), moffat_alpha(fwhm)).item())


def make_stars(
    geometry: SkyGeometry,
    opening: Slot,
    shifts: NDArray[np.float64],
    *,
    seed: int,
    count: int,
    targets: int = 2,
    target_mag: float | None = None,
    faintest: float = _MAGNITUDES[1],
) -> list[Star]:
    """Scatter the targets and `count` field stars over the part of the sky that the frames see.

    Parameters
    ----------
    geometry : SkyGeometry
        Sky and array.
    opening : Slot
        The keyhole.
    shifts : ndarray of float64, shape (n, 2)
        Commanded shifts (x, y) of the stars in the frames, pixels.
    seed : int
        Seed of the night.
    count : int
        Field stars; the first one is bright.
    targets : int
        How many of the two targets there are.
    target_mag : float, optional
        Magnitude of the first target; the usual one if not given.
    faintest : float
        Magnitude of the faintest field stars.

    Returns
    -------
    list of Star
        The targets first, then the field stars.
    """
    if not targets and not count:
        return []
    rng = stream(seed, "stars")
    scale = geometry.pixel_scale
    # A long camera sees less sky; there the second target stands closer.
    shrink = min(1.0, scale / 0.1517 * 2.0)
    places = [geometry.target_pixel + np.array([along, across]) * shrink / scale for _, along, across in _TARGETS]
    mags = [mag for mag, _, _ in _TARGETS]
    if target_mag is not None:
        mags[0] = target_mag
    separation = _SEPARATION / scale * min(1.0, scale / 0.1517 * 1.5)
    for number in range(count):
        place = _find_place(opening, shifts, places, rng, separation)
        if number % max(1, round(1 / _AT_EDGE)) == 5:
            place = _to_edge(opening, place, rng)
        elif rng.random() < _PAIRS:
            angle = rng.uniform(0, 2 * np.pi)
            mate = places[int(rng.integers(len(places)))]
            place = mate + rng.uniform(1.0, 2.0) / scale * np.array([np.cos(angle), np.sin(angle)])
        places.append(place)
        low = _MAGNITUDES[0]
        magnitude = low + (faintest - low) * rng.random() ** _MAGNITUDE_POWER
        mags.append(_BRIGHTEST if number == 0 else magnitude)
    # Missing targets keep their place free, so that the field stars are the same with and without them.
    places, mags = places[:2][:targets] + places[2:], mags[:2][:targets] + mags[2:]
    pixels = np.array(places)
    return [
        Star(float(ra), float(dec), float(x), float(y), float(mag))
        for (ra, dec), (x, y), mag in zip(geometry.to_sky(pixels), pixels, mags, strict=True)
    ]


def paint_stars(
    positions: NDArray[np.float64],
    electrons: NDArray[np.float64],
    *,
    fwhm: float,
    pixel_scale: float,
    box: tuple[slice, slice],
) -> NDArray[np.float32]:
    """Paint Moffat stars, integrated over the pixels.

    Parameters
    ----------
    positions : ndarray of float64, shape (n, 2)
        Pixel (x, y) on the array, first pixel is 0.
    electrons : ndarray of float64, shape (n,)
        Total light of each.
    fwhm : float
        Full width at half maximum, arcsec.
    pixel_scale : float
        Arcsec per pixel.
    box : tuple of slice
        (y, x) part of the array that is painted.

    Returns
    -------
    ndarray of float32, shape of the box
    """
    rows, columns = box
    image = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.float64)
    alpha = moffat_alpha(fwhm / pixel_scale)
    for (x, y), flux in zip(positions, electrons, strict=True):
        for reach, sample in ((_REACH, _wing_image), (_CORE, _core_image)):
            near_y = _overlap(y, reach / pixel_scale, rows)
            near_x = _overlap(x, reach / pixel_scale, columns)
            if near_y.stop <= near_y.start or near_x.stop <= near_x.start:
                continue
            patch = sample(np.arange(near_x.start, near_x.stop) - x, np.arange(near_y.start, near_y.stop) - y, alpha)
            part = (
                slice(near_y.start - rows.start, near_y.stop - rows.start),
                slice(near_x.start - columns.start, near_x.stop - columns.start),
            )
            if sample is _core_image:
                # The coarse image of the core is replaced, not added to.
                patch = patch - _wing_image(
                    np.arange(near_x.start, near_x.stop) - x, np.arange(near_y.start, near_y.stop) - y, alpha
                )
            image[part] += flux * patch
    return image.astype(np.float32)


def _overlap(centre: float, reach: float, part: slice) -> slice:
    low, high = int(np.floor(centre - reach)), int(np.ceil(centre + reach)) + 1
    return slice(max(low, part.start), min(high, part.stop))


def _wing_image(dx: NDArray[np.float64], dy: NDArray[np.float64], alpha: float) -> NDArray[np.float64]:
    """Sample the profile, of unit volume, at the pixel centres."""
    base = 1.0 + (np.square(dx)[None, :] + np.square(dy)[:, None]) / alpha**2
    profile: NDArray[np.float64] = (MOFFAT_BETA - 1.0) / (np.pi * alpha**2) / (base * base * base)
    return profile


def _core_image(dx: NDArray[np.float64], dy: NDArray[np.float64], alpha: float) -> NDArray[np.float64]:
    """Average the profile over each pixel, with Gauss-Legendre nodes."""
    nodes, weights = np.polynomial.legendre.leggauss(_SAMPLES)
    fine_x = (dx[:, None] + nodes / 2).ravel()
    fine_y = (dy[:, None] + nodes / 2).ravel()
    fine = _wing_image(fine_x, fine_y, alpha).reshape(dy.size, _SAMPLES, dx.size, _SAMPLES)
    mean: NDArray[np.float64] = np.einsum("ajbk,j,k->ab", fine, weights / 2, weights / 2)
    return mean


def _find_place(
    opening: Slot,
    shifts: NDArray[np.float64],
    places: list[NDArray[np.float64]],
    rng: np.random.Generator,
    separation: float,
) -> NDArray[np.float64]:
    """Find a place that some frame sees, not too near to the other stars if there is room."""
    box_y, box_x = opening.box()
    place = np.zeros(2)
    for _ in range(400):
        shift = shifts[int(rng.integers(len(shifts)))] if len(shifts) else np.zeros(2)
        place = rng.uniform((box_x.start, box_y.start), (box_x.stop, box_y.stop))
        if opening.depth(place[:1], place[1:])[0] < 0:
            continue
        place = place - shift
        if np.min(np.hypot(*(np.array(places) - place).T)) > separation:
            return place
    return place


def _to_edge(opening: Slot, place: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Move a place across the slot to the keyhole's edge at zero offset, give or take two pixels."""
    box_y, _ = opening.box()
    column = np.arange(box_y.start - 5.0, box_y.stop + 5.0)
    inside = opening.depth(np.full_like(column, place[0]), column) > 0
    if not inside.any():
        return place
    ends = column[inside][[0, -1]]
    return np.array([place[0], ends[int(rng.integers(2))] + rng.uniform(-2.0, 2.0)])
