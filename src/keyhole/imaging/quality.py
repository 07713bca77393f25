"""Quality of pixels: saturation, non-linearity, hot and weak ones, and filling in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import AlgorithmError
from keyhole.imaging import bits
from keyhole.imaging._enclosed import enclosed
from keyhole.imaging._neighbours import (
    bounding_box,
    median_at,
    near,
    neighbour_statistic,
    places,
    ring_offsets,
)
from keyhole.imaging._rows import row_blocks
from keyhole.imaging._standing_out import FEWEST_NEIGHBOURS, standing_out
from keyhole.imaging.medians import median, sampled_median, spread_places
from keyhole.imaging.noise import clipped_median_sigma, robust_sigma

__all__ = [
    "apply_dq",
    "expected_defect",
    "flag_saturation",
    "full_share",
    "hot_pixels",
    "level_of_defect",
    "linearised_level",
    "nonlinearity_correct",
    "weak_pixels",
]

_Part = slice | tuple[NDArray[np.intp], NDArray[np.intp]]

_BLOCK: Final = 1 << 15
"""Pixels that are computed together in the cache."""

_GLOW_SIGMA: Final = 5.0
"""How far the local level of a dark may wander from its overall level, in units of its scatter."""


_LEVEL_SAMPLE: Final = 200_000
"""Pixels from which level and scatter of a dark are taken."""

_SCATTER_SAMPLE: Final = 10_000
"""Pixels from which the scatter about the neighbours is taken."""

_FILL_SAMPLE: Final = 100_000
"""Pixels from which the level of what is filled is taken."""

_WIDE: Final = 15
"""Farther than groups of weak pixels reach, in pixels."""


def flag_saturation(raw: NDArray[np.float32], *, saturation_level: float, nonlinear_level: float) -> NDArray[np.uint16]:
    """Flag saturated and non-linear pixels of a raw exposure.

    A pixel driven far beyond saturation reads low again, because both of its reads are saturated. Such pixels
    are holes: regions (neighbours share a side) of at most 10000 pixels that non-linear pixels cut off from
    the rest.

    Parameters
    ----------
    raw : (ny, nx) float32
        Raw counts, before any correction.
    saturation_level, nonlinear_level : float
        In the unit of `raw`.

    Returns
    -------
    (ny, nx) uint16
        Bit 4 at and above saturation and in the holes, bit 2 from the non-linear level up to saturation.
    """
    flags = np.zeros(raw.shape, bits.MASK_DTYPE)
    high = raw >= min(nonlinear_level, saturation_level)
    places = np.flatnonzero(high)
    if not places.size:
        return flags
    saturated = raw.ravel()[places] >= saturation_level
    flags.ravel()[places] = np.where(saturated, bits.MASK_DTYPE(bits.SATURATED), bits.MASK_DTYPE(bits.NONLINEAR))
    flags[enclosed(high)] = bits.SATURATED
    return flags


def full_share(mask: NDArray[np.uint16]) -> float:
    """Part of the lit pixels that are non-linear or saturated, by a regular sample; 0 where nothing is lit.

    Parameters
    ----------
    mask : (ny, nx) uint16
    """
    # An odd step, as the array's own pattern repeats every 16 x 4 pixels.
    sample = mask[::5, ::5]
    lit = sample[(sample & bits.MASK_DTYPE(bits.UNILLUMINATED)) == 0]
    full = np.count_nonzero(lit & bits.MASK_DTYPE(bits.NONLINEAR | bits.SATURATED))
    return float(full / max(lit.size, 1))


def nonlinearity_correct(
    data: NDArray[np.float32],
    variance: NDArray[np.float32] | None,
    *,
    coadds: int,
    exposure_per_coadd: float,
    time_delta: float,
    even: tuple[float, float],
    odd: tuple[float, float],
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Make counts proportional to light: a polynomial per row parity, then the true length of the exposure.

    With c the counts of one coadd, ``c' = c (1 + c (gamma + c eta))``, then everything is scaled with
    ``t / (t + time_delta)``. The photon noise grows with the counts that the detector had lost.

    Parameters
    ----------
    data : (ny, nx) float32
        Electrons, sum of the coadds.
    variance : (ny, nx) float32, optional
        Electrons squared.
    coadds : int
    exposure_per_coadd, time_delta : float
        Seconds.
    even, odd : (gamma, eta)
        Per electron and per electron squared, for the 0-based even and odd rows.

    Returns
    -------
    data, variance : (ny, nx) float32 (variance None if none was given)

    Raises
    ------
    AlgorithmError
        An exposure time that is not positive, or shorter than the correction.
    """
    effective = exposure_per_coadd + time_delta
    if exposure_per_coadd <= 0 or effective <= 0:
        raise AlgorithmError(
            f"An exposure of {exposure_per_coadd} s cannot be corrected for {time_delta} s of non-linearity."
        )
    scale = exposure_per_coadd / effective
    corrected = np.empty_like(data)
    for first, coefficients in ((0, even), (1, odd)):
        corrected[first::2] = _linear_counts(data[first::2], coadds, coefficients)
    if variance is None:
        return corrected * np.float32(scale), None
    noise = np.maximum(variance + (corrected - data), 0)
    return corrected * np.float32(scale), noise * np.float32(scale**2)


def linearised_level(level: float, *, coadds: int, even: tuple[float, float]) -> float:
    """What the polynomial of the even rows makes of a detector limit (electrons, sum of the coadds)."""
    return float(_linear_counts(np.array(level, np.float64), coadds, even))


def expected_defect(counts: float, curves: Sequence[tuple[float, float]]) -> float:
    """Part of the light that is missing where so many electrons of one coadd are read, by the mean of polynomials."""
    added = [counts * (gamma + counts * eta) for gamma, eta in curves]
    mean = sum(added) / len(added)
    return mean / (1 + mean)


def level_of_defect(defect: float, curves: Sequence[tuple[float, float]]) -> float:
    """Electrons read in one coadd where that part of the light is missing, by the mean of polynomials."""
    gamma, eta = (sum(values) / len(curves) for values in zip(*curves, strict=True))
    wanted = defect / (1 - defect)
    # The positive root of eta c**2 + gamma c = wanted, in the form that also holds for eta = 0.
    return float(2 * wanted / (gamma + np.sqrt(gamma**2 + 4 * eta * wanted)))


def _linear_counts(
    counts: NDArray[np.floating[Any]], coadds: int, coefficients: tuple[float, float]
) -> NDArray[np.float64]:
    gamma, eta = coefficients
    single = counts.astype(np.float64) / coadds
    return np.asarray(single * (1 + single * (gamma + single * eta)) * coadds)


def hot_pixels(
    dark: NDArray[np.float32],
    variance: NDArray[np.float32] | None = None,
    mask: NDArray[np.uint16] | None = None,
    *,
    nsigma: float = 10.0,
    minimum: float = 100.0,
) -> NDArray[np.bool_]:
    """Pixels of a dark far above or below their neighbours.

    A pixel is compared with the median of the 5 x 5 pixels around it (kept near the level of the whole dark,
    so that clusters cannot hide) and is hot or cold when it differs by more than `minimum` and by more than
    `nsigma` times the larger of the scatter of all such differences and its own sigma.

    Parameters
    ----------
    dark : (ny, nx) float32
        Electrons.
    variance : (ny, nx) float32, optional
    mask : (ny, nx) uint16, optional
        Pixels that are unusable already are not compared with, but still judged.
    nsigma : float
    minimum : float
        Electrons. A smaller excess is real but harmless: it is subtracted, and its noise is in the variance.

    Returns
    -------
    (ny, nx) bool
    """
    good = np.isfinite(dark)
    if mask is not None:
        good &= bits.usable(mask)
    level = clipped_median_sigma(dark, good, at_most=_LEVEL_SAMPLE)
    reach = _GLOW_SIGMA * level.sigma

    def expected(around: NDArray[np.float32], count: NDArray[np.intp]) -> NDArray[np.float32]:
        """What a pixel with such neighbours should hold."""
        near_level = np.clip(around, level.median - reach, level.median + reach)
        return np.where(count < FEWEST_NEIGHBOURS, np.float32(level.median), near_level)

    scatter = _scatter_about(dark, good, expected)

    def judged(part: _Part) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Values of some pixels, infinite where they are no numbers, and how far off they may be."""
        value = np.where(np.isfinite(dark[part]), dark[part], np.float32(np.inf))
        sigma: NDArray[np.float32] | float = scatter
        if variance is not None:
            sigma = np.maximum(np.sqrt(np.maximum(variance[part], 0)), np.float32(scatter))
        return value, np.broadcast_to(np.maximum(nsigma * sigma, minimum), value.shape)

    # What is expected lies within reach of the level everywhere: most pixels pass without a look at their neighbours.
    found = np.zeros(dark.shape, dtype=bool)
    for rows in row_blocks(dark.shape, _BLOCK):
        value, limit = judged(rows)
        found[rows] = np.abs(value - np.float32(level.median)) > limit - np.float32(1.001 * reach)
    neighbours = good
    for _ in range(2):
        spots = places(found)
        around = expected(*median_at(dark, neighbours, *spots, radius=2))
        value, limit = judged(spots)
        found[spots] = np.abs(value - around) > limit
        # A sound pixel amid hot ones looks cold; without them it does not.
        neighbours = good & ~found
    return found


def _scatter_about(
    dark: NDArray[np.float32],
    good: NDArray[np.bool_],
    expected: Callable[[NDArray[np.float32], NDArray[np.intp]], NDArray[np.float32]],
) -> float:
    """Robust scatter of the good pixels about their neighbours, from a sample that gives it to a per cent."""
    rows, columns = _fair_sample(good)
    return robust_sigma(dark[rows, columns] - expected(*median_at(dark, good, rows, columns, radius=2)))


def _fair_sample(good: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of some of the good pixels, at regular distances."""
    rows, columns = np.divmod(spread_places(good, _SCATTER_SAMPLE), good.shape[1])
    return rows, columns


def weak_pixels(
    flat: NDArray[np.float32],
    usable: NDArray[np.bool_],
    *,
    weak: float = 0.5,
    nsigma: float = 5.0,
    tolerance: float = 0.2,
    radius: int = 3,
) -> NDArray[np.bool_]:
    """Pixels of a flat that are weak or out of line with their neighbours; dividing by them would amplify
    noise.

    A pixel is held against the median of its neighbours, the square of side ``2 * radius + 1``; what stands out
    there is held against the 31 x 31 pixels around it, and so is whoever touches a pixel that was found: groups of
    weak pixels are found as a whole, and no sound ones with them.

    Parameters
    ----------
    flat : (ny, nx) float32
        Normalised: 1 is the usual response.
    usable : (ny, nx) bool
        Lit pixels that can be used; the others are neither judged nor compared with. One of them that holds no
        number is weak.
    weak : float
        Below this response a pixel is weak whatever its neighbours are.
    nsigma : float
        Largest difference from the median of the others, as a fraction of it, in units of the robust scatter of
        these fractions.
    tolerance : float
        Smaller fractions are never out of line.
    radius : int
        Pixels.

    Returns
    -------
    (ny, nx) bool
    """
    found = np.zeros(flat.shape, dtype=bool)
    box = bounding_box(usable)
    response, lit = flat[box], usable[box]
    good = lit & (response >= weak) & (response > 0) & np.isfinite(response)
    found[box] = lit & ~good
    if not good.any():
        return found
    outstanding, limit = standing_out(response, good, radius=radius, nsigma=nsigma, tolerance=tolerance)

    def differing(candidates: NDArray[np.bool_], least: float) -> NDArray[np.bool_]:
        """Candidates that differ from their wide surroundings by more than a part of them."""
        rows, columns = places(candidates)
        wide, _ = median_at(response, good, rows, columns, radius=_WIDE)
        differ = np.zeros_like(candidates)
        differ[rows, columns] = np.abs(response[rows, columns] / wide - 1) > least
        return differ

    # A sound pixel beside a group of weak ones differs from its neighbours, but not from its wide surroundings.
    weak_ones = (lit & ~good) | differing(outstanding, limit / 2)
    fresh = weak_ones
    while fresh.any():
        # Weak pixels of a group resemble their neighbours; whoever touches one is held against the surroundings.
        fresh = differing(near(fresh, 1) & good & ~weak_ones, limit)
        weak_ones = weak_ones | fresh
    found[box] = weak_ones
    return found


def _fair_level(data: NDArray[np.float32], flagged: NDArray[np.bool_], number: int) -> float | None:
    """Median of a fair part of the pixels that are not flagged, so many; None where one of these holds no number."""
    step = max(number // _FILL_SAMPLE, 1) | 1
    some = data.ravel()[::step][~flagged.ravel()[::step]]
    return median(some) if some.size and np.isfinite(some).all() else None


def apply_dq(
    data: NDArray[np.float32],
    mask: NDArray[np.uint16],
    *,
    replace_flags: int = bits.UNUSABLE,
    replace_value: Literal["median", "mean"] | float = "median",
    inner: float | None = None,
    outer: float | None = None,
    max_iters: int = 1,
) -> NDArray[np.float32]:
    """Fill flagged pixels with the level of the others, or of those in a ring around each.

    Parameters
    ----------
    data : (ny, nx) float32
    mask : (ny, nx) uint16
    replace_flags : int
        Bits that make a pixel to be replaced.
    replace_value : "median", "mean" or number
        Of all pixels without these bits, the median of a fair part of them if they are more than a hundred thousand;
        a number is written as it is (a ring then does not matter).
    inner, outer : float, optional
        With both, the pixels `inner` to `outer` pixels away are taken instead of all.
    max_iters : int
        Passes with the ring; filled pixels count as good in the next pass, so that larger regions fill from
        the outside. What stays without good neighbours keeps its value.

    Returns
    -------
    (ny, nx) float32

    Raises
    ------
    AlgorithmError
        No good pixel to take the level from, or a ring with no pixels.
    """
    flagged = (mask & bits.MASK_DTYPE(replace_flags & 0xFFFF)) != 0
    filled = data.copy()
    places = np.flatnonzero(flagged)
    if not places.size:
        return filled
    if not isinstance(replace_value, str):
        filled.reshape(-1)[places] = replace_value
        return filled
    ring = inner is not None and outer is not None
    if replace_value == "median" and not ring:
        level = _fair_level(data, flagged, data.size - places.size)
        if level is not None:
            filled.reshape(-1)[places] = level
            return filled
    good = np.isfinite(data)
    good.reshape(-1)[places] = False
    if not good.any():
        raise AlgorithmError(f"All {data.size} pixels have bits of {replace_flags}: nothing to replace them with.")
    if inner is None or outer is None:
        if replace_value == "median":
            level = sampled_median(data, good, number=_FILL_SAMPLE)
        else:
            level = float(np.mean(data[good], dtype=np.float64))
        filled.reshape(-1)[places] = level
        return filled
    offsets = ring_offsets(inner, outer)
    if not offsets:
        raise AlgorithmError(f"The ring from {inner} to {outer} pixels holds no pixel; use inner <= outer.")
    for _ in range(max_iters):
        value, count = neighbour_statistic(filled, good, offsets, mean=replace_value == "mean")
        new = ~good & flagged & (count > 0)
        if not new.any():
            break
        filled[new] = value[new]
        good |= new
    return filled
