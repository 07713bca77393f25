"""Matching a sky to its frame: the factor or offset that leaves no level."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import AlgorithmError
from keyhole.imaging._masked import zero_except
from keyhole.imaging.levels import Level, level_from_sums, level_limits, sky_level
from keyhole.imaging.medians import sampled_median

__all__ = ["Beginning", "SkyMatch", "level_near_zero", "match_sky"]

_PASSES: Final = 20
_MATCHED: Final = 0.002
"""Level that may be left, in units of the noise of a pixel."""
_SAMPLE: Final = 20_000
"""Pixels that tell where to begin; of fewer all are taken."""
_FINAL_PASSES: Final = 4
_NEAR: Final = 0.03
"""Change, in units of the noise, of which the response of a normal distribution leaves a few per cent."""
_SETTLED: Final = 0.01
"""The same where little is known of the scatter at first."""
_FEW: Final = 1000
_STEPS: Final = 8
_BLOCK: Final = 1 << 13
"""Pixels in a sum; with more of them the libraries would wake their threads for a dot product."""

Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]


class SkyMatch(NamedTuple):
    """What to subtract: ``scale * sky + offset``."""

    scale: float
    offset: float


def match_sky(
    data: Float32,
    sky: Float32,
    usable: Bool,
    *,
    objects: Bool | None = None,
    scale_sky: bool = True,
    offset_sky: bool = False,
    roughly: bool = False,
) -> SkyMatch:
    """Factor (or offset) that makes the level of the frame minus its sky zero.

    Parameters
    ----------
    data, sky : float32 arrays (ny, nx)
    usable : bool array (ny, nx)
        True where a pixel is usable.
    objects : bool array (ny, nx), optional
        True on known objects, left out of the level.
    scale_sky : bool
        Find the factor ``f`` with ``level(data - f sky) = 0``, to a few thousandths of the noise of a pixel.
    offset_sky : bool
        If ``scale_sky`` is off: find the offset ``level(data - sky)``.
    roughly : bool
        A sample of the pixels is enough for the factor: to a few hundredths of the noise of a pixel.

    Returns
    -------
    SkyMatch
        ``(1, 0)`` if both are off. A sky whose level is not positive cannot be scaled, then the offset is
        found. Changes its input: no.

    Raises
    ------
    AlgorithmError
        No usable pixel.

    Notes
    -----
    The level is that of `keyhole.imaging.levels.sky_level`. A sample of the pixels gives it to a few thousandths of
    their noise without sorting all of them; the last step of its iteration, sums over all, tells where it ends.
    """
    if not (scale_sky or offset_sky):
        return SkyMatch(1.0, 0.0)
    # A frame full of stars has its level under them: then the unmasked level is the only one there is.
    masked = objects is not None
    quiet = usable if objects is None else usable & ~objects
    if not quiet.any():
        quiet = usable
    if not quiet.any():
        raise AlgorithmError("sky cannot be matched to a frame without a usable pixel; check its mask")
    begun = Beginning.of(data, sky, quiet, masked=masked) if scale_sky else None
    if begun is None:
        return SkyMatch(1.0, _level((data - sky)[quiet], masked=masked).value)
    planes = data.ravel(), sky.ravel(), quiet.ravel()
    for _ in range(_FINAL_PASSES if begun.is_sampled and not roughly else 0):
        begun, is_last = begun.after(*_left(planes, begun.factor, begun.sigma, masked=masked))
        if is_last:
            break
    return SkyMatch(begun.factor, 0.0)


class Beginning(NamedTuple):
    """The factor on a sky as a part of the pixels tells it.

    Attributes
    ----------
    factor : float
    sigma : float
        Scatter of the pixels about it.
    sky_value : float
        Level of the sky, positive.
    is_sampled : bool
        Whether the other pixels have something to add.
    masked : bool
        Whether stars are left out.
    """

    factor: float
    sigma: float
    sky_value: float
    is_sampled: bool
    masked: bool

    @classmethod
    def of(cls, data: Float32, sky: Float32, quiet: Bool, *, masked: bool) -> Beginning | None:
        """Begin with a sample, if there are more pixels; None without a sky that can be scaled. See `match_sky`."""
        some = quiet.ravel()
        number = int(np.count_nonzero(some))
        sky_value = sampled_median(sky, quiet) if number else 0.0
        if sky_value <= 0:
            return None
        step = max(number // _SAMPLE, 1) | 1
        step = step if np.count_nonzero(some[::step]) >= _FEW else 1
        frame, model = (plane.ravel()[::step][some[::step]] for plane in (data, sky))
        factor, sigma = sampled_median(frame) / sky_value, 0.0
        # A sample only tells where the sums over all pixels begin.
        matched = _NEAR if step > 1 else _MATCHED
        for _ in range(_PASSES):
            rest = _level(frame - np.float32(factor) * model, masked=masked)
            sigma = rest.sigma
            factor += rest.value / sky_value
            if abs(rest.value) <= matched * sigma:
                break
        return cls(factor, sigma, sky_value, step > 1 and sigma > 0, masked)

    def after(self, level: float, sigma: float) -> tuple[Beginning, bool]:
        """Take level and scatter after one step of their iteration over all pixels; and tell whether it is the last."""
        left, wider = _final_step(level, sigma, self.sigma, masked=self.masked)
        wide = self.sigma + wider
        return self._replace(factor=self.factor + left / self.sky_value, sigma=wide), (
            max(abs(left), abs(wider)) <= _NEAR * wide
        )


def _level(values: Float32, *, masked: bool) -> Level:
    everything = np.ones(values.shape, dtype=bool)
    return sky_level(values, everything, objects=~everything if masked else None)


def level_near_zero(values: Float32, counted: Bool, sigma: float) -> Level:
    """Level of some values without stars, `keyhole.imaging.levels.sky_level`, where it is known to be near zero.

    Sums over the values between the limits tell it to a few thousandths of sigma, and no value is sorted. Of few
    values, or if they lead nowhere, it is found without.

    Parameters
    ----------
    values : float32 array of any shape
        Finite where they count.
    counted : bool array of the same shape
    sigma : float
        Their scatter, roughly.
    """
    level, number = 0.0, int(np.count_nonzero(counted))
    for _ in range(_STEPS if number >= _FEW and sigma > 0 else 0):
        below, above = level_limits(masked=True)
        inside = values >= np.float32(level - below * sigma)
        inside &= values <= np.float32(level + above * sigma)
        inside &= counted
        rest = zero_except(values - np.float32(level), inside)
        squares = float((rest * rest).sum(dtype=np.float64))
        found = level_from_sums(int(np.count_nonzero(inside)), float(rest.sum(dtype=np.float64)), squares, masked=True)
        change, wider = _final_step(*found, sigma, masked=True)
        level, sigma = level + change, sigma + wider
        if not sigma > 0:
            break
        if max(abs(change), abs(wider)) <= _SETTLED * sigma:
            return Level(level, sigma, number)
    return sky_level(values, counted, objects=np.zeros_like(counted))


def _final_step(level: float, sigma: float, before: float, *, masked: bool) -> tuple[float, float]:
    """Changes of level and scatter at the end of an iteration of which one step gives these, from 0 and `before`.

    A step leaves a known part of the distance to where level and scatter stay as they are: that by which mean and
    variance of a normal distribution between two limits change with the limits.
    """
    step = np.linalg.solve(np.eye(2) - _response(*level_limits(masked=masked)), (level, sigma - before))
    return float(step[0]), float(step[1])


@lru_cache(maxsize=4)
def _response(a: float, b: float) -> NDArray[np.float64]:
    """Derivatives of level and scatter after a step of `level_from_sums` from those before it, (2, 2).

    At level 0 and scatter 1 of a unit normal distribution that is cut at -a and b.
    """
    density_a, density_b = (math.exp(-0.5 * x * x) / math.sqrt(2 * math.pi) for x in (a, b))
    inside = 0.5 * (math.erf(b / math.sqrt(2)) + math.erf(a / math.sqrt(2)))
    mean = (density_a - density_b) / inside
    square = 1 - (a * density_a + b * density_b) / inside
    variance = square - mean * mean
    # Of mean and variance to the lower and the upper limit, and of these to level and scatter.
    at_a, at_b = density_a / inside, density_b / inside
    means = np.array([at_a * (mean + a), at_b * (b - mean)])
    variances = np.array([at_a * (square - a * a), at_b * (b * b - square)]) - 2 * mean * means
    limits = np.array([[1, -a], [1, b]])
    scatter = variances @ limits / (2 * variance)
    response = np.stack([means @ limits - mean * scatter, scatter])
    response.flags.writeable = False
    return np.asarray(response)


def _left(planes: tuple[Float32, Float32, Bool], factor: float, sigma: float, *, masked: bool) -> tuple[float, float]:
    """One step of the iteration of a level: of all quiet pixels, about zero and with the scatter so far."""
    below, above = level_limits(masked=masked)
    low, high = np.float32(-below * sigma), np.float32(above * sigma)
    data, sky, quiet = planes
    number, total, squares = 0, 0.0, 0.0
    for start in range(0, data.size, _BLOCK):
        part = slice(start, start + _BLOCK)
        rest = np.float32(-factor) * sky[part]
        rest += data[part]
        counted = rest >= low
        counted &= rest <= high
        counted &= quiet[part]
        zero_except(rest, counted)
        number += int(np.count_nonzero(counted))
        total += float(rest.sum())
        squares += float(np.dot(rest, rest))
    return level_from_sums(number, total, squares, masked=masked) if number else (0.0, sigma)
