"""A stack as a picture: the lit area, stretched so that stars and noise both show, with a scale bar."""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import AlgorithmError

__all__ = ["Picture", "picture_of", "png_bytes"]

_SIGMA_PER_MAD = 1.4826
# Black lies 2.5 sigma below the sky, the knee of the asinh at 3 sigma; white is what 3 pixels in 10,000 exceed.
_BLACK, _KNEE = -2.5, 3.0
_WHITE_PERCENTILE = 99.97
# Dark blue over orange to white, monotonic in lightness (safe for colour-blind eyes and grey print).
_COLOURS = np.array(
    [
        (8, 10, 28),
        (28, 26, 74),
        (88, 38, 108),
        (168, 62, 88),
        (232, 116, 52),
        (250, 196, 92),
        (255, 252, 240),
    ],
    dtype=np.float64,
)
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
    if not usable.any():
        raise AlgorithmError("the image has no usable pixel, so there is nothing to draw; look at its DQ plane")
    rows, columns = np.flatnonzero(usable.any(axis=1)), np.flatnonzero(usable.any(axis=0))
    box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
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
    sky = float(np.median(values[good]))
    sigma = _SIGMA_PER_MAD * float(np.median(np.abs(values[good] - sky))) or 1.0
    scaled = (np.where(good, values, sky) - sky) / sigma
    top = max(float(np.percentile(scaled[good], _WHITE_PERCENTILE)), 4 * _KNEE)
    low, high = np.arcsinh(_BLACK / _KNEE), np.arcsinh(top / _KNEE)
    level = np.clip((np.arcsinh(scaled / _KNEE) - low) / (high - low), 0, 1)
    stops = np.linspace(0, 1, len(_COLOURS))
    rgb = np.stack([np.interp(level, stops, _COLOURS[:, c]) for c in range(3)], axis=-1)
    rgb[~good] = _UNLIT
    return rgb


def _bar_length(extent: float) -> float:
    """The longest of 1, 2, 5, 10, ... arcsec that is at most a quarter of the extent."""
    steps = [m * 10.0**e for e in range(-1, 3) for m in (1, 2, 5)]
    return max((s for s in steps if s <= extent / 4), default=steps[0])


def png_bytes(rgb: NDArray[np.uint8]) -> bytes:
    """Encode an image as PNG (8 bit, RGB; W3C Portable Network Graphics, section 5).

    Parameters
    ----------
    rgb : (height, width, 3) uint8
        First row at the top. Not changed.

    Returns
    -------
    bytes
        A complete PNG file.
    """
    height, width = rgb.shape[:2]
    lines = np.zeros((height, 1 + 3 * width), np.uint8)
    lines[:, 1:] = rgb.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = (
        _chunk(b"IHDR", header),
        _chunk(b"IDAT", zlib.compress(lines.tobytes(), 9)),
        _chunk(b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
