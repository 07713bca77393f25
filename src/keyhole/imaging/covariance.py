"""How the noise of a stack hangs together: covariance of its pixels, and what an aperture feels of it.

Two things tie the noise of pixels together. Interpolation spreads the noise of one detector pixel over its
neighbours (Fruchter & Hook 2002, PASP 114, 144). And the skies that are subtracted share frames: the noise of
one frame enters the stack at its own place with positive sign, and at the places of all frames whose sky it
belongs to with negative sign. Both are known, so the covariance can be calculated: every frame is a field of
independent noise, the stack a sum of shifted copies of these fields.

Each pixel's variance by itself is the covariance at lag zero; the noise of an aperture also depends on the
rest (Casertano et al. 2000, AJ 120, 2747, appendix; Labbe et al. 2003, AJ 125, 1107).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyhole.errors import AlgorithmError
from keyhole.imaging.kernels import kernel_power, kernel_weights

__all__ = [
    "Covariance",
    "StackInput",
    "aperture_factor",
    "correlation_factor",
    "cut_circle_factor",
    "independent",
    "stack_covariance",
]

Float64 = NDArray[np.float64]

_PHASES: Final = 4
"""Sub-pixel phases per axis that stand for a frame whose rotation takes it through all of them."""
_DISC_CENTRES: Final = 4
"""Places of a circle's centre in a pixel, per axis; half of them for a wide circle."""
_DISC_SAMPLES: Final = 8
"""Samples of a pixel that is cut by the edge, per axis; a quarter of them for a wide circle."""
_WIDE: Final = 8.0
_NEGLIGIBLE: Final = 1e-5


class StackInput(NamedTuple):
    """One frame of a weighted mean.

    Attributes
    ----------
    shift : (dx, dy)
        Position in the frame = position in the stack + shift, pixels.
    weight : float
    sigma : float
        Noise of one pixel before the interpolation, any unit that is the same for all.
    interpolant : str or None
        Kernel of the interpolation; None: whole pixels were copied.
    turned : bool
        The frame was rotated, so that its pixels fall on all sub-pixel phases.
    name : str
        The frame whose noise this is.
    shares : dict of str to float
        Part of the frame's variance that comes from each frame of the sky that was subtracted from it. The
        rest is the frame's own.
    covariance : Covariance or None
        Of the pixels before the interpolation, where the frame is a stack itself.
    """

    shift: tuple[float, float]
    weight: float
    sigma: float
    interpolant: str | None = None
    turned: bool = False
    name: str = ""
    shares: dict[str, float] = {}  # noqa: RUF012  (never changed)
    covariance: Covariance | None = None


class Covariance(NamedTuple):
    """Noise covariance of the pixels of an image, the same everywhere.

    Attributes
    ----------
    values : (2 m + 1, 2 m + 1) float64
        At the lags ``(dy, dx) = (-m ... m, -m ... m)``, 1 at lag zero.
    excess : float
        Variance of a pixel over that which a combination of inputs without shared noise would have.
    """

    values: Float64
    excess: float = 1.0

    @property
    def reach(self) -> int:
        """Largest lag, pixels."""
        return int(self.values.shape[0]) // 2

    def widened(self, reach: int) -> Covariance:
        """The same with another largest lag; what is beyond is cut, or zero."""
        grow = reach - self.reach
        if grow >= 0:
            return self._replace(values=np.pad(self.values, grow))
        return self._replace(values=self.values[-grow:grow, -grow:grow])


def independent(reach: int = 0) -> Covariance:
    """Covariance of pixels that know nothing of each other."""
    values = np.zeros((2 * reach + 1, 2 * reach + 1))
    values[reach, reach] = 1.0
    return Covariance(values)


def stack_covariance(inputs: Sequence[StackInput], *, reach: int) -> Covariance:
    """Covariance of the pixels of a weighted mean of interpolated, sky-subtracted frames.

    The noise of frame j enters frame i with amplitude ``a_ij``: the root of its share in the variance of i,
    positive for ``i = j`` and negative otherwise. With the normalised weights ``w_i``, kernels ``k_i`` and
    shifts ``s_i``

        C(lag) = sum_ij w_i w_j sigma_i sigma_j (sum_n a_in a_jn) (k_i * k_j)(lag + s_i - s_j)

    where ``*`` is the correlation of the kernels on the pixels.

    Parameters
    ----------
    inputs : sequence of StackInput
        At least one.
    reach : int
        Largest lag to be calculated, pixels.

    Returns
    -------
    Covariance

    Raises
    ------
    AlgorithmError
        No input, or no noise in any.
    """
    if not inputs:
        raise AlgorithmError("the noise of a stack of no frames is asked for; give at least one frame")
    amplitude = np.array([item.weight * item.sigma for item in inputs])
    if not (np.isfinite(amplitude).all() and (amplitude > 0).any()):
        raise AlgorithmError("the noise of the frames of a stack is not known; give their variances")
    common = _common_noise(inputs) * np.outer(amplitude, amplitude)
    values, plain = np.zeros((2 * reach + 1, 2 * reach + 1)), 0.0
    phases = _phases() if any(item.turned for item in inputs) else np.zeros((1, 2))
    for phase in phases:
        shifts = np.array([item.shift for item in inputs]) + phase * [[item.turned] for item in inputs]
        whole = np.floor(shifts).astype(int)
        kernels = [_kernels(item, part) for item, part in zip(inputs, shifts - whole, strict=True)]
        _add_pairs(values, common, whole, kernels, [item.covariance for item in inputs])
        powers = np.array([(ky**2).sum() * (kx**2).sum() for ky, kx in kernels])
        plain += float((amplitude**2 * powers).sum())
    pixel = values[reach, reach]
    if not pixel > _NEGLIGIBLE * plain:
        return independent(reach)
    return Covariance(values / pixel, float(pixel / plain))


def aperture_factor(covariance: Covariance, radius: float) -> float:
    """Noise of the sum over a circle over that which its pixels would have if they were independent.

    The circle may lie anywhere on the pixel grid, and a pixel cut by its edge counts with the share of its
    area: ``error = factor * sqrt(sum(share**2 * VAR))``.

    Parameters
    ----------
    covariance : Covariance
        Lags beyond its reach count as independent.
    radius : float
        Pixels.

    Returns
    -------
    float
        1 for independent pixels.
    """
    pairs = _disc_pairs(float(radius))
    half = pairs.shape[0] // 2
    known = covariance.widened(half).values
    return math.sqrt(max(float((pairs * known).sum()), 0.0) / float(pairs[half, half]))


def cut_circle_factor(radius: float) -> float:
    """Root of the sum of squared pixel shares of a circle over that of the shares themselves.

    Programs that sum variances over a circle with exact edges, ``sum(share * VAR)``, give too large an error,
    as a pixel's noise counts with the square of its share; this is by how much.

    Parameters
    ----------
    radius : float
        Pixels.

    Returns
    -------
    float
        Mean over all places of the circle on the grid: about ``sqrt(1 - 0.37 / radius)``.
    """
    pairs = _disc_pairs(float(radius))
    return math.sqrt(float(pairs.max()) / (math.pi * radius**2))


def correlation_factor(fractions: ArrayLike, interpolant: str) -> float:
    """Noise of an aperture much wider than the kernel over that of its pixels, from interpolation alone.

    Parameters
    ----------
    fractions : (k, 2) array_like
        Shift ``(dx, dy)`` of each frame of an equally weighted mean, pixels; only the fractional parts matter.
    interpolant : str
        One of `keyhole.imaging.kernels.INTERPOLANTS`.

    Returns
    -------
    float
        1 without interpolation, and 1.29 for 'poly3' in the limit of many frames.
    """
    parts = np.asarray(fractions, dtype=np.float64).reshape(-1, 2) % 1.0
    return 1 / math.sqrt(float(np.mean([kernel_power(interpolant, part) for part in parts])))


def _common_noise(inputs: Sequence[StackInput]) -> Float64:
    """How much of its noise each frame has in common with each other one, ``(n, n)``, 1 on the diagonal."""
    names: dict[str, int] = {}
    # A frame without a name shares its noise with nobody.
    own = [names.setdefault(item.name or f"#{k}", len(names)) for k, item in enumerate(inputs)]
    for item in inputs:
        for name in item.shares:
            names.setdefault(name, len(names))
    parts = np.zeros((len(inputs), len(names)))
    for k, item in enumerate(inputs):
        for name, share in item.shares.items():
            parts[k, names[name]] -= math.sqrt(max(share, 0.0))
        parts[k, own[k]] += math.sqrt(max(1 - sum(item.shares.values()), 0.0))
    norm = np.sqrt((parts**2).sum(axis=1, keepdims=True))
    parts = parts / np.where(norm > 0, norm, 1)
    return np.asarray(parts @ parts.T)


def _phases() -> Float64:
    steps = (np.arange(_PHASES) + 0.5) / _PHASES
    return np.array([(x, y) for x in steps for y in steps])


def _kernels(item: StackInput, fraction: Float64) -> tuple[Float64, Float64]:
    """Weights in y and x, of the pixels ``1 - n/2 ... n/2`` from the one below."""
    if item.interpolant is None:
        unit = np.array([1.0, 0.0])
        return unit, unit
    weights = kernel_weights(item.interpolant, fraction)
    return weights[1], weights[0]


def _add_pairs(
    values: Float64,
    common: Float64,
    whole: NDArray[np.int_],
    kernels: Sequence[tuple[Float64, Float64]],
    tied: Sequence[Covariance | None],
) -> None:
    """Add the correlated kernels of all pairs of frames to `values` (changed)."""
    reach = values.shape[0] // 2
    longest = max(len(ky) for ky, _ in kernels)
    along_y, along_x = (_centred([pair[axis] for pair in kernels], longest) for axis in (0, 1))
    for i in range(len(kernels)):
        moves = whole[i] - whole
        near = (np.abs(moves) <= reach + longest).all(axis=1) & (np.abs(common[i]) > 0)
        for j in np.flatnonzero(near):
            bump = common[i, j] * np.outer(
                np.correlate(along_y[i], along_y[j], "full"), np.correlate(along_x[i], along_x[j], "full")
            )
            if i == j and (own := tied[i]) is not None:
                bump = _convolved(bump, own.values)
            # A noise pixel at p of both frames is at p - s_i and at p - s_j of the stack.
            x, y = (int(move) + reach - bump.shape[0] // 2 for move in moves[j])
            rows, columns = (slice(max(v, 0), max(min(v + len(bump), len(values)), 0)) for v in (y, x))
            # Kernels of frames that are near overlap, or end where the lags begin: no end passes the other one.
            values[rows, columns] += bump[max(-y, 0) : rows.stop - y, max(-x, 0) : columns.stop - x]


def _centred(weights: Sequence[Float64], length: int) -> Float64:
    """Kernels of different lengths, padded so that their pixels agree."""
    return np.array([np.pad(w, (length - len(w)) // 2) for w in weights])


def _convolved(first: Float64, second: Float64) -> Float64:
    size = first.shape[0] + second.shape[0] - 1
    product = np.fft.rfft2(first, (size, size)) * np.fft.rfft2(second, (size, size))
    return np.asarray(np.fft.irfft2(product, (size, size)))


@lru_cache(maxsize=64)
def _disc_pairs(radius: float) -> Float64:
    """Expected number of pixel pairs in a circle at each lag, counted by area, averaged over its centre."""
    half = math.ceil(radius) + 1
    size, padded = 2 * half + 1, 4 * half + 1
    samples, places = (_DISC_SAMPLES, _DISC_CENTRES) if radius < _WIDE else (_DISC_SAMPLES // 4, _DISC_CENTRES // 2)
    fine = (np.arange(size * samples) + 0.5) / samples - 0.5 - half
    # Circles that mirror each other have mirrored pairs: a quarter of their places tells those of all.
    centres = (np.arange(places // 2) + 0.5) / places
    power = np.zeros((padded, padded // 2 + 1))
    for y in centres:
        for x in centres:
            inside = (fine[:, np.newaxis] - y) ** 2 + (fine - x) ** 2 <= radius**2
            area = inside.reshape(size, samples, size, samples).mean(axis=(1, 3))
            power += np.abs(np.fft.rfft2(area, (padded, padded))) ** 2
    pairs = np.fft.fftshift(np.fft.irfft2(power, (padded, padded))) / len(centres) ** 2
    pairs = (pairs + pairs[:, ::-1]) / 2
    return np.asarray(pairs)
