"""What a perfect stack would show: the mean of all combined frames without noise, each with its own seeing,
transparency and keyhole.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.simulate.stars import paint_stars
from keyhole.simulate.true_frames import TrueFrames
from keyhole.simulate.true_stars import TrueStars

__all__ = ["Expected", "expected_stack", "seen_by"]

_SOFT_EDGE = 1.5
"""Pixels along the keyhole's edge, in which light fades out, that count as not seen."""


class Expected(NamedTuple):
    """A stack without noise.

    Attributes
    ----------
    light : ndarray of float32, shape (ny, nx)
        Electrons of the stars.
    seen : ndarray of int16, shape (ny, nx)
        Frames that see the pixel.
    """

    light: NDArray[np.float32]
    seen: NDArray[np.int16]


def expected_stack(
    stars: TrueStars, frames: TrueFrames, origin: NDArray[np.float64], shape: tuple[int, int]
) -> Expected:
    """Render the stack of some frames.

    Parameters
    ----------
    stars : TrueStars
        Their light at transparency 1 is used.
    frames : TrueFrames
        What was combined.
    origin : ndarray of float64, shape (2,)
        Pixel (x, y) of the stack on which pixel (0, 0) of the night's first frame falls.
    shape : tuple of int
        (ny, nx) of the stack.
    """
    box = _box(frames, origin, shape)
    y, x = np.arange(box[0].start, box[0].stop)[:, None], np.arange(box[1].start, box[1].stop)
    total = np.zeros((y.size, x.size))
    number_seen = np.zeros(total.shape, np.int16)
    places = stars.first + origin
    for number, (fwhm, transparency) in enumerate(zip(frames.fwhm, frames.transparency, strict=True)):
        seen = frames.depth(number, x - origin[0], y - origin[1]) > _SOFT_EDGE
        number_seen += seen
        if len(places):
            light = paint_stars(
                places,
                stars.clear * transparency,
                fwhm=fwhm * stars.pixel_scale,
                pixel_scale=stars.pixel_scale,
                box=box,
            )
            total += np.where(seen, light, 0)
    result = Expected(np.zeros(shape, np.float32), np.zeros(shape, np.int16))
    result.light[box] = total / np.maximum(number_seen, 1)
    result.seen[box] = number_seen
    return result


def seen_by(stars: TrueStars, frames: TrueFrames) -> NDArray[np.bool_]:
    """Say which frame sees the centre of which star, shape (frames, stars)."""
    x, y = stars.first.T
    seen = [frames.depth(k, x, y) > _SOFT_EDGE for k in range(len(frames.names))]
    return np.array(seen, bool).reshape(len(seen), len(x))


def _box(frames: TrueFrames, origin: NDArray[np.float64], shape: tuple[int, int]) -> tuple[slice, slice]:
    """Find the (y, x) part of the stack that some frame lights."""
    opening = frames.opening.box()
    moves = origin + frames.keyhole - frames.dither
    corners = []
    for axis, (edge, size) in enumerate(zip(opening, shape, strict=True)):
        along = moves[:, 1 - axis]
        low, high = int(np.floor(edge.start + along.min())), int(np.ceil(edge.stop + along.max())) + 1
        corners.append(slice(min(max(low, 0), size), min(max(high, 0), size)))
    return corners[0], corners[1]
