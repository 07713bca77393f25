"""Interpolation kernels, and how strongly they tie the noise of neighbouring pixels.

A value between pixels is a weighted sum of the pixels around it, separable in x and y. The weights of every
kernel sum to one, so a constant stays what it is, and at a whole pixel they are zero but for one.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyhole.errors import ParameterError

__all__ = ["INTERPOLANTS", "correlation_factor", "kernel_weights"]

Float64 = NDArray[np.float64]

_SPLINE_REACH: Final = {3: 8, 5: 14}
"""Pixels to either side after which the weights of an interpolating spline of that degree are below 3e-5."""


def kernel_weights(interpolant: str, fraction: ArrayLike) -> Float64:
    """Weights of the pixels around a position.

    Parameters
    ----------
    interpolant : str
        One of `INTERPOLANTS`.
    fraction : array_like of any shape
        Distance of the position from the pixel below it, 0 <= fraction < 1.

    Returns
    -------
    float64 array (..., n)
        Weights of the pixels ``1 - n/2 ... n/2``, counted from the pixel below; they sum to one.

    Raises
    ------
    ParameterError
        When the kernel is not known.
    """
    try:
        kernel = _KERNELS[interpolant]
    except KeyError:
        near = difflib.get_close_matches(interpolant, INTERPOLANTS, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"use one of {', '.join(INTERPOLANTS)}"
        raise ParameterError(f"interpolant '{interpolant}' is not known; {hint}") from None
    return kernel(np.asarray(fraction, dtype=np.float64))


def correlation_factor(
    fractions: ArrayLike,
    interpolant: str,
    *,
    radius: float | None = None,
    weights: ArrayLike | None = None,
) -> float:
    """Noise of an aperture over the noise that its pixels would have together if they were independent.

    Interpolation lowers the noise of a pixel by smoothing, which leaves the noise of a wide aperture as it
    was. The variance of each pixel of a stack is right by itself; the error of a sum over an aperture is
    this factor times the root of the summed variance (Casertano et al. 2000, AJ 120, 2747, appendix;
    Fruchter & Hook 2002, PASP 114, 144).

    Parameters
    ----------
    fractions : (k, 2) array_like
        Shift ``(dx, dy)`` of each frame of the mean, pixels; only the fractional parts matter.
    interpolant : str
        One of `INTERPOLANTS`.
    radius : float, optional
        Radius of a circular aperture, pixels; None for an aperture much wider than the kernel.
    weights : (k,) array_like, optional
        Weight of each frame in the mean; equal when None.

    Returns
    -------
    float
        sigma(aperture) / sqrt(sum of pixel variances): 1 without interpolation, and 1.29 for 'poly3' in the
        limit of many frames and wide apertures.
    """
    parts = np.asarray(fractions, dtype=np.float64).reshape(-1, 2) % 1.0
    share = np.ones(len(parts)) if weights is None else np.asarray(weights, dtype=np.float64)
    per_axis = kernel_weights(interpolant, parts)
    along_x, along_y = _autocorrelations(per_axis[:, 0]), _autocorrelations(per_axis[:, 1])
    reach = along_x.shape[1] // 2
    pixel = along_x[:, reach] * along_y[:, reach]
    if radius is None:
        aperture = np.ones(len(parts))
    else:
        aperture = np.einsum("ky,kx,yx->k", along_y, along_x, _pair_counts(radius, reach))
    return math.sqrt(float((share**2 * aperture).sum() / (share**2 * pixel).sum()))


def _autocorrelations(weights: Float64) -> Float64:
    """Covariance of white noise after each kernel, lags ``-(n-1) ... n-1``: ``(k, n)`` to ``(k, 2n - 1)``."""
    covariances: Float64 = np.array([np.correlate(w, w, mode="full") for w in weights])
    return covariances


def _pair_counts(radius: float, reach: int) -> Float64:
    """Number of pixel pairs of a disc at each lag, divided by the number of its pixels."""
    half = max(math.floor(radius), 0)
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    disc = np.pad((x**2 + y**2 <= radius**2).astype(np.float64), 2 * reach)
    core = disc[reach : disc.shape[0] - reach, reach : disc.shape[1] - reach]
    lags = range(2 * reach + 1)
    size_y, size_x = core.shape
    counts = [[(core * disc[j : j + size_y, i : i + size_x]).sum() for i in lags] for j in lags]
    return np.asarray(np.array(counts) / core.sum())


def _nearest(fraction: Float64) -> Float64:
    upper = (fraction >= 0.5).astype(np.float64)
    return np.stack([1.0 - upper, upper], axis=-1)


def _linear(fraction: Float64) -> Float64:
    return np.stack([1.0 - fraction, fraction], axis=-1)


def _lagrange(fraction: Float64, *, points: int) -> Float64:
    """Polynomial through the nearest pixels."""
    nodes = range(1 - points // 2, points // 2 + 1)
    weights = []
    for own in nodes:
        weight = np.ones_like(fraction)
        for other in nodes:
            if other != own:
                weight = weight * (fraction - other) / (own - other)
        weights.append(weight)
    return np.stack(weights, axis=-1)


def _lanczos(fraction: Float64, *, lobes: int) -> Float64:
    """Windowed sinc (Duchon 1979, J. Appl. Meteor. 18, 1016), normalised so that a constant is kept."""
    distance = fraction[..., np.newaxis] - np.arange(1 - lobes, lobes + 1)
    weights = np.sinc(distance) * np.sinc(distance / lobes)
    # The sinc of a whole number is 1e-17 in floating point; a whole-pixel shift must copy exactly.
    weights[np.abs(weights) < 1e-15] = 0.0
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def _spline(fraction: Float64, *, degree: int) -> Float64:
    """Weights of the pixels themselves in an interpolating B-spline (Unser 1999, IEEE SPM 16(6), 22)."""
    nodes = np.arange(-(degree - 1) // 2, (degree + 1) // 2 + 1)
    basis = _b_spline(fraction[..., np.newaxis] - nodes, degree)
    weights = basis @ _inverse_filter(degree)
    weights[np.broadcast_to((fraction == 0)[..., np.newaxis], weights.shape)] = 0.0
    weights[fraction == 0, _SPLINE_REACH[degree] - 1] = 1.0
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def _b_spline(x: Float64, degree: int) -> Float64:
    half = (degree + 1) / 2
    total = np.zeros_like(x)
    for k in range(degree + 2):
        total += (-1) ** k * math.comb(degree + 1, k) * np.maximum(x + half - k, 0.0) ** degree
    return np.where(np.abs(x) < half, total / math.factorial(degree), 0.0)


@lru_cache(maxsize=4)
def _inverse_filter(degree: int) -> Float64:
    """Spline coefficients around a position as sums over the pixels, ``(degree + 1, n)``."""
    reach = _SPLINE_REACH[degree]
    # Wide enough that its ends are not felt in the middle.
    size = 6 * reach + 1
    centre = size // 2
    lag = np.arange(size)
    samples = _b_spline((lag[:, np.newaxis] - lag).astype(np.float64), degree)
    inverse = np.linalg.inv(samples)
    rows = slice(centre - (degree - 1) // 2, centre + (degree + 1) // 2 + 1)
    return np.asarray(inverse[rows, centre + 1 - reach : centre + 1 + reach])


_KERNELS: Final[dict[str, Callable[[Float64], Float64]]] = {
    "nearest": _nearest,
    "linear": _linear,
    "poly3": lambda fraction: _lagrange(fraction, points=4),
    "poly5": lambda fraction: _lagrange(fraction, points=6),
    "lanczos3": lambda fraction: _lanczos(fraction, lobes=3),
    "spline3": lambda fraction: _spline(fraction, degree=3),
    "spline5": lambda fraction: _spline(fraction, degree=5),
}

INTERPOLANTS: Final[tuple[str, ...]] = tuple(_KERNELS)
"""Names of the kernels."""
