"""A stack as a picture: the lit area, stretched so that stars and noise both show, with a scale bar."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging.preview import COLOURS, asinh_levels, box_of
from keyhole.imaging.preview import png_rgb as png_bytes

__all__ = ["Picture", "picture_of", "png_bytes"]

_UNLIT = (226, 228, 232)
_BAR_COLOUR = (40, 40, 40)
_MARGIN = 8


class Picture(NamedTuple):
    """A picture and what is needed to read it.

    Attributes
    ----------
    rgb : (height, width, 3) uint8 ndarray
        First row at the top, which is the largest y.
    bar_arcsec : float or None
        Length of the scale bar; None: there is none, as the pixel scale is not known.
    """

    rgb: NDArray[np.uint8]
    bar_arcsec: float | None


def picture_of(
    data: NDArray[np.float32], usable: NDArray[np.bool_], *, pixel_scale: float | None, zoom: int = 2
) -> Picture:
    """Draw the smallest box that holds all usable pixels.

    Parameters
    ----------
    data : (ny, nx) float32
        Sky-subtracted image, any unit. Not changed.
    usable : (ny, nx) bool
        True where a pixel may be shown; the rest is light grey, whatever it holds.
    pixel_scale : float or None
        Arcsec per pixel; None: not known, no scale bar is drawn.
    zoom : int
        Picture pixels per image pixel.

    Raises
    ------
    AlgorithmError
        No pixel is usable.
    """
    box = box_of(usable)
    rgb = _coloured(data[box].astype(np.float64), usable[box])
    rgb = np.repeat(np.repeat(rgb[::-1], zoom, axis=0), zoom, axis=1)
    framed = np.full((rgb.shape[0] + 4 * _MARGIN, rgb.shape[1] + 2 * _MARGIN, 3), 255.0)
    framed[_MARGIN : _MARGIN + rgb.shape[0], _MARGIN:-_MARGIN] = rgb
    length = None
    if pixel_scale:
        length = _bar_length(rgb.shape[1] * pixel_scale / zoom)
        width = round(length / pixel_scale * zoom)
        framed[-2 * _MARGIN : -2 * _MARGIN + 3, _MARGIN : _MARGIN + width] = _BAR_COLOUR
    return Picture(np.rint(framed).astype(np.uint8), length)


def _coloured(values: NDArray[np.float64], good: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Colours (ny, nx, 3), 0 to 255, on an asinh scale in units of the sky's noise."""
    level = asinh_levels(values, good).level
    stops = np.linspace(0, 1, len(COLOURS))
    rgb = np.stack([np.interp(level, stops, COLOURS[:, c]) for c in range(3)], axis=-1)
    rgb[~good] = _UNLIT
    return rgb


def _bar_length(extent: float) -> float:
    """The longest of 1, 2, 5, 10, ... arcsec that is at most a quarter of the extent."""
    steps = [m * 10.0**e for e in range(-1, 3) for m in (1, 2, 5)]
    return max((s for s in steps if s <= extent / 4), default=steps[0])
