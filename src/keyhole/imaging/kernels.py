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

__all__ = ["INTERPOLANTS", "kernel_power", "kernel_weights"]

Float64 = NDArray[np.float64]

_PHASES: Final = 16
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


def kernel_power(interpolant: str, shift: ArrayLike | None) -> float:
    """Variance of an interpolated pixel over that of the independent pixels it is made of.

    Parameters
    ----------
    interpolant : str
        One of `INTERPOLANTS`.
    shift : (dx, dy) or None
        Shift of the frame, pixels; only the fractional part matters. None: the mean over all shifts.

    Returns
    -------
    float
        Sum of the squared weights: 1 for a whole-pixel shift.
    """
    if shift is None:
        every = (np.arange(_PHASES) + 0.5) / _PHASES
        return float((kernel_weights(interpolant, every) ** 2).sum(axis=-1).mean() ** 2)
    parts = np.asarray(shift, dtype=np.float64) % 1.0
    return float((kernel_weights(interpolant, parts) ** 2).sum(axis=-1).prod())


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
