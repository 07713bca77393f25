"""The level of the background: of one frame, of frames relative to each other, and its shape over the field.

Stars add light and never remove it, so the distribution of pixel values is a normal one with a tail on its
bright side. The level is found from the part that the tail hardly reaches: the mean and variance of the
values between ``level - 3 sigma`` and ``level + b sigma`` are those of a truncated normal distribution, which
gives level and sigma in closed form; limits and estimate are iterated until they agree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import AlgorithmError
from keyhole.imaging._products import over_pixels, per_pixel
from keyhole.imaging.medians import median

__all__ = [
    "Level",
    "Surface",
    "bases",
    "fit_surface",
    "level_from_sums",
    "level_limits",
    "lit_box",
    "pair_scales",
    "sky_level",
]

_LOWER = 3.0
_UPPER_WITH_STARS = 1.0
_UPPER_MASKED = 2.0
_ITERATIONS = 60
_CONVERGED = 1e-4
_FEW = 25
_MAD_TO_SIGMA = 1.4826022
_SCATTER_VALUES = 5_000


class Level(NamedTuple):
    """Level of the sky in one frame.

    Attributes
    ----------
    value : float
        Level, in the unit of the data; 0 if ``n`` is 0.
    sigma : float
        Scatter of single pixels about the level.
    n : int
        Number of pixels that were looked at; 0 if every pixel is masked.
    """

    value: float
    sigma: float
    n: int


@dataclass(frozen=True)
class Surface:
    """A polynomial surface in normalised coordinates (products of Legendre polynomials).

    Attributes
    ----------
    coefficients : float64 array (degree_y + 1, degree_x + 1)
        Coefficient of ``L_j(y) L_i(x)``.
    box : tuple of slices (rows, columns)
        Region whose borders are mapped to -1 and +1.
    sigma : float
        Robust scatter of the fitted pixels about the surface.
    used : bool array
        Which of the fitted pixels were kept, in the order of the fit's usable pixels.
    """

    coefficients: NDArray[np.float64]
    box: tuple[slice, slice]
    sigma: float
    used: NDArray[np.bool_]

    def over_box(self) -> NDArray[np.float64]:
        """The surface on every pixel of its box, shape of the box."""
        rows, columns = self.box
        along_y, along_x = bases(self.coefficients.shape[0] - 1, rows), bases(self.coefficients.shape[1] - 1, columns)
        return np.asarray(along_y @ self.coefficients @ along_x.T, dtype=np.float64)


def lit_box(usable: NDArray[np.bool_], *, margin: int = 0) -> tuple[slice, slice]:
    """Bounding box of the usable pixels.

    Parameters
    ----------
    usable : bool array (ny, nx)
        True where a pixel is usable.
    margin : int
        Pixels added on every side, as far as the frame reaches.

    Returns
    -------
    tuple of slices (rows, columns)
        Both are empty (``slice(0, 0)``) if no pixel is usable.
    """
    rows = np.flatnonzero(usable.any(axis=1))
    if rows.size == 0:
        return slice(0, 0), slice(0, 0)
    columns = np.flatnonzero(usable[rows[0] : rows[-1] + 1].any(axis=0))
    ny, nx = usable.shape
    return (
        slice(max(int(rows[0]) - margin, 0), min(int(rows[-1]) + 1 + margin, ny)),
        slice(max(int(columns[0]) - margin, 0), min(int(columns[-1]) + 1 + margin, nx)),
    )


def sky_level(
    data: NDArray[np.float32],
    usable: NDArray[np.bool_],
    *,
    objects: NDArray[np.bool_] | None = None,
) -> Level:
    """Level of the sky in the presence of stars, good to about 1e-4 of a sky of some thousand electrons.

    Parameters
    ----------
    data : float32 array of any shape
        One frame; values that are not finite are ignored.
    usable : bool array of the same shape
        True where a pixel is usable.
    objects : bool array of the same shape, optional
        True on known objects. They are left out, and values up to 2 sigma above the level are then used
        instead of 1 sigma, which halves the statistical error.

    Returns
    -------
    Level
        With ``n = 0`` and value and sigma 0 if no pixel is left. Fewer than 25 pixels give their median.
        Changes its input: no.

    Notes
    -----
    Mean and variance of a normal distribution truncated at ``-a`` and ``b`` (in sigma) are
    ``mu = (phi(a) - phi(b)) / P`` and ``1 - (a phi(a) + b phi(b)) / P - mu**2`` with ``P = Phi(b) - Phi(-a)``
    (Johnson, Kotz & Balakrishnan 1994, *Continuous Univariate Distributions* 1, section 10.1).
    """
    chosen = usable if objects is None else usable & ~objects
    values = data[chosen]
    values = values[np.isfinite(values)]
    if values.size == 0:
        return Level(0.0, 0.0, 0)
    values.sort()
    n = values.size
    centre = 0.5 * (float(values[(n - 1) // 2]) + float(values[n // 2]))
    # The dark side alone: stars hardly touch it. One sigma below the centre lie 15.87 per cent.
    sigma = centre - float(values[round(0.1587 * (n - 1))])
    if n < _FEW or sigma == 0.0:
        return Level(centre, sigma, n)
    upper = _UPPER_WITH_STARS if objects is None else _UPPER_MASKED
    value, sigma = _truncated_normal(values, centre, sigma, upper)
    return Level(value, sigma, n)


def _truncated_normal(values: NDArray[np.float32], centre: float, sigma: float, upper: float) -> tuple[float, float]:
    """Level and sigma from the sorted values between -3 and ``upper`` sigma."""
    shift, variance = _truncated_moments(_LOWER, upper)
    # Sums of differences from the centre keep their digits where sums of the values would not.
    offsets = values.astype(np.float64) - centre
    squares = offsets * offsets
    level = 0.0
    start = level, sigma
    for _ in range(_ITERATIONS):
        low = int(offsets.searchsorted(level - _LOWER * sigma))
        high = int(offsets.searchsorted(level + upper * sigma, side="right"))
        n = high - low
        if n < _FEW:
            level, sigma = start
            break
        mean = float(offsets[low:high].sum()) / n
        spread = math.sqrt(max(float(squares[low:high].sum()) / n - mean * mean, 0.0) / variance)
        previous, level = level, mean - shift * spread
        if spread == 0.0:
            break
        sigma = spread
        if abs(level - previous) < _CONVERGED * sigma:
            break
    return centre + level, sigma


def level_limits(*, masked: bool) -> tuple[float, float]:
    """How many sigma below and above the level values count in `sky_level`, with stars or without."""
    return _LOWER, _UPPER_MASKED if masked else _UPPER_WITH_STARS


def level_from_sums(number: float, total: float, squares: float, *, masked: bool) -> tuple[float, float]:
    """One step of the iteration of `sky_level`, from sums over the values between the limits.

    Parameters
    ----------
    number, total, squares : float
        Number of values between the limits (`level_limits`) about the level so far, sum of their differences from
        any value near it, and sum of the squares of these.
    masked : bool
        Whether stars are left out.

    Returns
    -------
    level, sigma : float
        Of the differences.
    """
    shift, variance = _truncated_moments(*level_limits(masked=masked))
    mean = total / number
    sigma = math.sqrt(max(squares / number - mean * mean, 0.0) / variance)
    return mean - shift * sigma, sigma


def _truncated_moments(a: float, b: float) -> tuple[float, float]:
    """Mean and variance of the unit normal distribution between -a and b."""
    density_a = math.exp(-0.5 * a * a) / math.sqrt(2 * math.pi)
    density_b = math.exp(-0.5 * b * b) / math.sqrt(2 * math.pi)
    inside = 0.5 * (math.erf(b / math.sqrt(2)) + math.erf(a / math.sqrt(2)))
    mean = (density_a - density_b) / inside
    return mean, 1.0 - (a * density_a + b * density_b) / inside - mean * mean


def pair_scales(
    frames: Sequence[NDArray[np.float32]],
    usables: Sequence[NDArray[np.bool_]],
    *,
    max_pixels: int = 20_000,
) -> NDArray[np.float64]:
    """Factors that bring frames to the level of the first one, from the ratios of all pairs.

    The ratio of a pair is the median over the pixels usable and positive in both, its weight their number.
    The logarithms of the factors are the weighted least-squares solution of ``x_i - x_j = ln(ratio d_j /
    d_i)`` with ``x_0 = 0``, a linear problem solved directly.

    Parameters
    ----------
    frames : sequence of float32 arrays (ny, nx)
        Frames with a background well above zero.
    usables : sequence of bool arrays (ny, nx)
        True where a pixel is usable; leave objects out here.
    max_pixels : int
        Regularly spaced pixels looked at per pair; the weights are still those of all pixels.

    Returns
    -------
    float64 array (n,)
        Multiply frame i by factor i. A frame that shares no pixel with the first one, not even through
        others, gets the factor 1. Changes its input: no.
    """
    n = len(frames)
    lit = np.logical_or.reduce(usables) if n else np.zeros((0, 0), bool)
    rows, columns = lit_box(lit)
    # An odd step visits all rows and columns alike, so patterns of even period cannot bias the ratios.
    step = max(int(lit.sum()) // max_pixels, 1) | 1
    index = np.flatnonzero(lit[rows, columns])[::step]
    values = np.stack([frame[rows, columns].ravel()[index] for frame in frames]) if n else np.zeros((0, 0))
    good = np.stack([use[rows, columns].ravel()[index] for use in usables]) if n else np.zeros((0, 0), bool)
    good = good & (values > 0)
    normal = np.zeros((n, n))
    right = np.zeros(n)
    for i, j in combinations(range(n), 2):
        both = good[i] & good[j]
        weight = int(both.sum())
        if weight == 0:
            continue
        log_ratio = math.log(float(np.median(values[j, both] / values[i, both])))
        normal[[i, j], [i, j]] += weight
        normal[[i, j], [j, i]] -= weight
        right[i] += weight * log_ratio
        right[j] -= weight * log_ratio
    return np.exp(_solve_from_first(normal, right))


def _solve_from_first(normal: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Solve the normal equations with x_0 = 0 for the frames connected with the first, 0 for the others."""
    n = len(right)
    solution = np.zeros(n)
    connected = np.zeros(n, bool)
    connected[:1] = True
    for _ in range(n):
        connected |= (normal[:, connected] != 0).any(axis=1)
    free = connected.copy()
    free[:1] = False
    if free.any():
        solution[free] = np.linalg.solve(normal[np.ix_(free, free)], right[free])
    return solution


def fit_surface(
    data: NDArray[np.float32],
    usable: NDArray[np.bool_],
    *,
    degree_x: int,
    degree_y: int,
    lower: float = 3.0,
    upper: float = 3.0,
    iterations: int = 10,
    max_pixels: int = 100_000,
) -> Surface:
    """Low-order surface through the usable pixels by least squares with rejection on both sides.

    Parameters
    ----------
    data : float32 array (ny, nx)
        One frame.
    usable : bool array (ny, nx)
        True where a pixel takes part; the normalised coordinates span the bounding box of these pixels.
    degree_x, degree_y : int
        Degree along x and y; all products of both are fitted.
    lower, upper : float
        Rejection limits in robust sigma below and above the surface.
    iterations : int
        Largest number of fits.
    max_pixels : int
        A larger number of usable pixels is thinned regularly.

    Returns
    -------
    Surface
        Changes its input: no.

    Raises
    ------
    AlgorithmError
        Fewer than three usable pixels for each coefficient.
    """
    box = lit_box(usable)
    places = np.flatnonzero(usable[box] & np.isfinite(data[box]))
    step = max(places.size // max_pixels, 1) | 1
    rows, columns = np.divmod(places[::step], box[1].stop - box[1].start)
    terms = (degree_x + 1) * (degree_y + 1)
    if rows.size < 3 * terms:
        msg = (
            f"surface of degree {degree_x} x {degree_y}: only {rows.size} usable pixels for {terms} "
            "coefficients; use a lower degree"
        )
        raise AlgorithmError(msg)
    values = data[box][rows, columns].astype(np.float64)
    basis = (bases(degree_y, box[0])[rows][:, :, None] * bases(degree_x, box[1])[columns][:, None, :]).reshape(
        -1, terms
    )
    used = np.ones(rows.size, bool)
    normal, right = over_pixels(basis.T, basis), over_pixels(basis.T, values[:, None])
    for _ in range(iterations):
        # Legendre products on the unit square are nearly orthogonal, so the normal equations lose few digits;
        # lstsq resolves what is left of degeneracy (one row of pixels, say) to the smallest solution.
        solution = np.linalg.lstsq(normal, right, rcond=1e-10)[0][:, 0]
        residual = values - per_pixel(solution[None], basis.T)[0]
        # Outliers on one side lift the whole surface: limits count from the median of the residuals.
        some = _sample(residual[used])
        middle = median(some)
        sigma = _MAD_TO_SIGMA * median(np.abs(some - middle))
        kept = (residual - middle >= -lower * sigma) & (residual - middle <= upper * sigma)
        if sigma == 0.0 or int(kept.sum()) < 3 * terms or np.array_equal(kept, used):
            break
        # From one fit to the next few pixels come and go.
        changed = np.flatnonzero(kept != used)
        part = basis[changed]
        weighted = part.T * np.where(kept[changed], 1.0, -1.0)
        normal += over_pixels(weighted, part)
        right += over_pixels(weighted, values[changed, None])
        used = kept
    return Surface(solution.reshape(degree_y + 1, degree_x + 1), box, sigma, used)


def _sample(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Regularly spaced values, enough for a scatter."""
    return values[:: max(values.size // _SCATTER_VALUES, 1) | 1]


def bases(degree: int, span: slice) -> NDArray[np.float64]:
    """Legendre polynomials on the pixels of a span, one column per degree."""
    places = _normalised(np.arange(span.start, span.stop), span)
    columns = [np.ones_like(places), places]
    # The recurrence is all that is needed of numpy.polynomial, which is slow to import.
    for k in range(1, degree):
        columns.append(((2 * k + 1) * places * columns[k] - k * columns[k - 1]) / (k + 1))
    return np.stack(columns[: degree + 1], axis=1)


def _normalised(index: NDArray[np.int_], span: slice) -> NDArray[np.float64]:
    """Map the pixels of a span to -1 .. +1."""
    middle = 0.5 * (span.start + span.stop - 1)
    return np.asarray((index - middle) / max(0.5 * (span.stop - 1 - span.start), 0.5), dtype=np.float64)
