"""A small 8-bit picture of an image: stars and noise both show, and the file is as small as its pixels."""

from __future__ import annotations

import struct
import zlib
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import AlgorithmError

__all__ = [
    "COLOURS",
    "DIFFERENCE",
    "Preview",
    "asinh_levels",
    "box_of",
    "linear_levels",
    "make_preview",
    "png_indexed",
    "png_rgb",
]

_SIGMA_PER_MAD = 1.4826
# Black lies 2.5 sigma below the sky, the knee of the asinh at 3 sigma; white is what 3 pixels in 10,000 exceed.
_BLACK, _KNEE = -2.5, 3.0
_WHITE_PERCENTILE = 99.97
_MOST_PIXELS = 400_000
# Dark blue over orange to white, monotonic in lightness (safe for colour-blind eyes and grey print).
COLOURS = np.array(
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
# Blue over white to brown for what may be too low or too high: told apart by all eyes.
DIFFERENCE = np.array([(5, 48, 97), (67, 147, 195), (247, 247, 247), (214, 134, 60), (110, 50, 2)], dtype=np.float64)

Float64 = NDArray[np.float64]


class Preview(NamedTuple):
    """A picture and where its pixels lie in the image.

    Attributes
    ----------
    png : bytes
        A PNG file with 255 colours; unusable pixels are transparent. First row at the top, which is the largest y.
    width, height : int
        Picture pixels.
    x0, y0 : int
        0-based image pixel that the lower left picture pixel begins with.
    binning : int
        Image pixels per picture pixel, along each axis.
    sky, sigma : float
        Median and robust scatter of the usable pixels, unit of the image.
    low, high : float
        Values shown black and white, unit of the image.
    """

    png: bytes
    width: int
    height: int
    x0: int
    y0: int
    binning: int
    sky: float
    sigma: float
    low: float
    high: float


class _Levels(NamedTuple):
    """Lightness 0 to 1 of each pixel, and the values that it stands for."""

    level: Float64
    sky: float
    sigma: float
    low: float
    high: float


def make_preview(
    data: NDArray[Any],
    usable: NDArray[np.bool_],
    *,
    linear: float | None = None,
    most_pixels: int = _MOST_PIXELS,
    colours: Float64 = COLOURS,
) -> Preview:
    """Draw the smallest box that holds all usable pixels.

    Parameters
    ----------
    data : (ny, nx)
        Image, any unit. Changes its input: no.
    usable : (ny, nx) bool
        True where a pixel may be shown.
    linear : float, optional
        Show so many sigma around the median on a linear scale; None: an asinh scale that holds stars and noise.
    most_pixels : int
        A larger box is averaged in squares.
    colours : (k, 3) float64
        `COLOURS`, or `DIFFERENCE` for a difference on a linear scale.

    Raises
    ------
    AlgorithmError
        No pixel is usable.
    """
    box = box_of(usable)
    values, good = data[box].astype(np.float64), usable[box]
    binning = max(1, int(np.ceil(np.sqrt(values.size / most_pixels))))
    values, good = _binned(values, good, binning)
    shown = asinh_levels(values, good) if linear is None else linear_levels(values, good, linear)
    index = np.where(good, 1 + np.rint(254 * shown.level), 0).astype(np.uint8)[::-1]
    height, width = index.shape
    x0, y0 = box[1].start, box[0].start
    numbers = (shown.sky, shown.sigma, shown.low, shown.high)
    return Preview(png_indexed(index, colours), width, height, int(x0), int(y0), binning, *numbers)


def box_of(usable: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Rows and columns that hold all usable pixels.

    Raises
    ------
    AlgorithmError
        There is none.
    """
    if not usable.any():
        raise AlgorithmError("the image has no usable pixel, so there is nothing to draw; look at its DQ plane")
    rows, columns = np.flatnonzero(usable.any(axis=1)), np.flatnonzero(usable.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _binned(values: Float64, good: NDArray[np.bool_], binning: int) -> tuple[Float64, NDArray[np.bool_]]:
    """Means of the usable pixels in squares; what does not fill a square at the upper ends is left out."""
    if binning == 1:
        return values, good
    ny, nx = (n // binning for n in values.shape)
    part = np.s_[: ny * binning, : nx * binning]

    def summed(plane: Float64) -> Float64:
        return np.asarray(plane[part].reshape(ny, binning, nx, binning).sum(axis=(1, 3)))

    number = summed(good.astype(np.float64))
    return summed(np.where(good, values, 0.0)) / np.maximum(number, 1), number > 0


def asinh_levels(values: Float64, good: NDArray[np.bool_]) -> _Levels:
    """Lightness on an asinh scale in units of the noise of the sky (Lupton et al. 2004, PASP 116, 133)."""
    sky, sigma = _sky(values, good)
    scaled = (np.where(good, values, sky) - sky) / sigma
    top = max(float(np.percentile(scaled[good], _WHITE_PERCENTILE)), 4 * _KNEE)
    low, high = np.arcsinh(_BLACK / _KNEE), np.arcsinh(top / _KNEE)
    level = np.clip((np.arcsinh(scaled / _KNEE) - low) / (high - low), 0, 1)
    return _Levels(level, sky, sigma, sky + _BLACK * sigma, sky + top * sigma)


def linear_levels(values: Float64, good: NDArray[np.bool_], reach: float) -> _Levels:
    """Lightness on a linear scale, `reach` sigma to both sides of the median."""
    sky, sigma = _sky(values, good)
    scaled = (np.where(good, values, sky) - sky) / sigma
    level = np.clip(0.5 + 0.5 * scaled / reach, 0, 1)
    return _Levels(level, sky, sigma, sky - reach * sigma, sky + reach * sigma)


def _sky(values: Float64, good: NDArray[np.bool_]) -> tuple[float, float]:
    sky = float(np.median(values[good]))
    return sky, _SIGMA_PER_MAD * float(np.median(np.abs(values[good] - sky))) or 1.0


def png_indexed(index: NDArray[np.uint8], colours: Float64 = COLOURS) -> bytes:
    """Encode an image of 8-bit numbers as PNG; 0 is transparent, 1 to 255 run through the colours.

    Parameters
    ----------
    index : (height, width) uint8
        First row at the top. Changes its input: no.
    colours : (k, 3) float64
        Red, green, blue from 0 to 255, at equal steps of the numbers.

    Returns
    -------
    bytes
        A complete PNG file with a palette (W3C Portable Network Graphics, section 11).
    """
    level = np.linspace(0, 1, 255)
    stops = np.linspace(0, 1, len(colours))
    palette = np.zeros((256, 3), np.uint8)
    for channel in range(3):
        palette[1:, channel] = np.rint(np.interp(level, stops, colours[:, channel]))
    return _png(index, 3, [_chunk(b"PLTE", palette.tobytes()), _chunk(b"tRNS", b"\x00")], effort=6)


def png_rgb(rgb: NDArray[np.uint8]) -> bytes:
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
    return _png(rgb, 2, [], effort=9)


def _png(pixels: NDArray[np.uint8], colour_type: int, between: list[bytes], *, effort: int) -> bytes:
    height, width = pixels.shape[:2]
    rows = pixels.reshape(height, -1)
    # Each line begins with the number of its filter: none.
    lines = np.zeros((height, 1 + rows.shape[1]), np.uint8)
    lines[:, 1:] = rows
    body = (
        _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, 0)),
        *between,
        _chunk(b"IDAT", zlib.compress(lines.tobytes(), effort)),
        _chunk(b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
