"""Where pixels lie: the tangent plane on the sky, square pixels, and the grid that holds shifted frames.

Pixel positions are 0-based ``(x, y)`` of pixel centres; only the reference pixel of a tangent plane is
1-based, as FITS headers write it. The projection is TAN of Calabretta & Greisen (2002, A&A 395, 1077).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyhole.errors import AlgorithmError

__all__ = ["Grid", "TangentPlane", "common_grid", "square_cd"]

_AXIS_TOLERANCE = 0.01
"""Relative difference up to which the length of a pixel axis agrees with the scale of the camera."""

Matrix = tuple[tuple[float, float], tuple[float, float]]
Float64 = NDArray[np.float64]


class Grid(NamedTuple):
    """A pixel grid placed in the pixel frame of a reference image.

    Attributes
    ----------
    shape : tuple of int
        ``(ny, nx)``.
    origin : tuple of int
        ``(x, y)`` of the grid's first pixel, in 0-based pixels of the reference.
    """

    shape: tuple[int, int]
    origin: tuple[int, int]


@dataclass(frozen=True)
class TangentPlane:
    """A linear pixel grid on the plane that touches the sky at ``crval``.

    Parameters
    ----------
    crval : pair of float
        Right ascension and declination of the reference point, degrees.
    crpix : pair of float
        Pixel ``(x, y)`` of the reference point, 1-based as in FITS.
    cd : 2 x 2 of float
        Degrees per pixel: ``[[CD1_1, CD1_2], [CD2_1, CD2_2]]``.

    Raises
    ------
    AlgorithmError
        When the matrix cannot be inverted or a number is not finite.
    """

    crval: tuple[float, float]
    crpix: tuple[float, float]
    cd: Matrix

    def __post_init__(self) -> None:
        """Turn what was given into plain numbers and refuse a matrix without inverse."""
        cd = _checked_matrix(self.cd)
        ra, dec = (float(v) for v in self.crval)
        x, y = (float(v) for v in self.crpix)
        if not all(map(math.isfinite, (ra, dec, x, y))):
            raise AlgorithmError(
                f"the reference point of the WCS is not finite (CRVAL {ra}, {dec}; CRPIX {x}, {y}); "
                "give the frame a usable WCS"
            )
        object.__setattr__(self, "crval", (ra, dec))
        object.__setattr__(self, "crpix", (x, y))
        object.__setattr__(self, "cd", _as_tuples(cd))

    def pixel_to_sky(self, x: ArrayLike, y: ArrayLike) -> tuple[Float64, Float64]:
        """Sky positions of pixel positions.

        Parameters
        ----------
        x, y : array_like
            0-based pixel positions; they broadcast against each other.

        Returns
        -------
        ra, dec : float64 arrays
            Degrees, 0 <= ra < 360.
        """
        dx = np.asarray(x, dtype=np.float64) + 1.0 - self.crpix[0]
        dy = np.asarray(y, dtype=np.float64) + 1.0 - self.crpix[1]
        (a, b), (c, d) = self.cd
        xi = np.radians(a * dx + b * dy)
        eta = np.radians(c * dx + d * dy)
        ra0, dec0 = (math.radians(v) for v in self.crval)
        towards_pole = math.cos(dec0) - eta * math.sin(dec0)
        ra = np.degrees(ra0 + np.arctan2(xi, towards_pole)) % 360.0
        dec = np.degrees(np.arctan2(math.sin(dec0) + eta * math.cos(dec0), np.hypot(xi, towards_pole)))
        return ra, dec

    def sky_to_pixel(self, ra: ArrayLike, dec: ArrayLike) -> tuple[Float64, Float64]:
        """Pixel positions of sky positions.

        Parameters
        ----------
        ra, dec : array_like
            Degrees; they broadcast against each other.

        Returns
        -------
        x, y : float64 arrays
            0-based pixel positions; NaN for a point 90 degrees or more from the reference point, which has
            no place on the plane.
        """
        ra0, dec0 = (math.radians(v) for v in self.crval)
        delta = np.radians(np.asarray(ra, dtype=np.float64)) - ra0
        decl = np.radians(np.asarray(dec, dtype=np.float64))
        # Cosine of the distance to the reference point.
        cosine = math.sin(dec0) * np.sin(decl) + math.cos(dec0) * np.cos(decl) * np.cos(delta)
        depth = np.where(cosine > 0, cosine, np.nan)
        xi = np.degrees(np.cos(decl) * np.sin(delta) / depth)
        eta = np.degrees((math.cos(dec0) * np.sin(decl) - math.sin(dec0) * np.cos(decl) * np.cos(delta)) / depth)
        (a, b), (c, d) = self.cd
        determinant = a * d - b * c
        x = (d * xi - b * eta) / determinant + self.crpix[0] - 1.0
        y = (a * eta - c * xi) / determinant + self.crpix[1] - 1.0
        return x, y


def square_cd(cd: ArrayLike, pixel_scale: float) -> Float64:
    """Matrix of square pixels of the camera's true scale, with orientation and parity of a header's matrix.

    When exactly one axis of the header's matrix has the length of a pixel of the camera (within 1 %), that
    axis is believed and keeps its direction. Otherwise the direction is that of the orthogonal matrix nearest
    to the header's (polar decomposition; Higham 1986, SIAM J. Sci. Stat. Comput. 7, 1160).

    Parameters
    ----------
    cd : 2 x 2 array_like
        ``[[CD1_1, CD1_2], [CD2_1, CD2_2]]``, degrees per pixel.
    pixel_scale : float
        Arcsec per pixel of the camera.

    Returns
    -------
    float64 array (2, 2)
        Degrees per pixel, orthogonal columns of equal length.

    Raises
    ------
    AlgorithmError
        When the matrix has no inverse or the scale is not positive.
    """
    matrix = _checked_matrix(cd)
    if not (math.isfinite(pixel_scale) and pixel_scale > 0):
        raise AlgorithmError(f"pixel scale {pixel_scale} arcsec is not positive; check the camera's table entry")
    scale = pixel_scale / 3600.0
    parity = math.copysign(1.0, float(np.linalg.det(matrix)))
    lengths = np.hypot(matrix[0], matrix[1])
    agrees = np.abs(lengths / scale - 1.0) <= _AXIS_TOLERANCE
    if agrees[0] and not agrees[1]:
        along_x = matrix[:, 0] / lengths[0]
        along_y = parity * np.array([-along_x[1], along_x[0]])
        return np.column_stack([along_x, along_y]) * scale
    if agrees[1] and not agrees[0]:
        along_y = matrix[:, 1] / lengths[1]
        along_x = parity * np.array([along_y[1], -along_y[0]])
        return np.column_stack([along_x, along_y]) * scale
    left, _, right = np.linalg.svd(matrix)
    return np.asarray(left @ right * scale, dtype=np.float64)


def common_grid(shapes: Sequence[tuple[int, int]], shifts: ArrayLike) -> Grid:
    """Smallest grid of reference pixels that holds the pixel centres of all shifted frames.

    Parameters
    ----------
    shapes : sequence of (ny, nx)
        Shape of each frame.
    shifts : (k, 2) array_like
        ``(dx, dy)`` of each frame, pixels: position in the frame = position in the reference + shift.

    Returns
    -------
    Grid
        ``origin = ceil(smallest corner)`` and ``size = floor(largest) - ceil(smallest) + 1`` per axis.

    Raises
    ------
    AlgorithmError
        When there is no frame, the numbers of shapes and shifts differ, or a shift is not finite.
    """
    moves = np.asarray(shifts, dtype=np.float64).reshape(-1, 2)
    if not shapes or len(shapes) != len(moves):
        raise AlgorithmError(
            f"a common grid needs one shift per frame, got {len(shapes)} frames and {len(moves)} shifts"
        )
    if not np.isfinite(moves).all():
        raise AlgorithmError("a common grid needs finite shifts; register the frames first")
    last = np.array([(nx - 1, ny - 1) for ny, nx in shapes], dtype=np.float64)
    # Whole-pixel shifts come out of fits as 2.9999999996: they must not cost a row.
    low = np.ceil(np.round((-moves).min(axis=0), 6)).astype(int)
    high = np.floor(np.round((last - moves).max(axis=0), 6)).astype(int)
    width, height = (high - low + 1).tolist()
    return Grid(shape=(height, width), origin=(int(low[0]), int(low[1])))


def _checked_matrix(cd: ArrayLike) -> Float64:
    matrix = np.asarray(cd, dtype=np.float64)
    if matrix.shape != (2, 2) or not _has_inverse(*matrix.ravel().tolist()):
        raise AlgorithmError(
            f"the WCS matrix {matrix.tolist()} has no inverse; check the CD cards of the frame's header"
        )
    return matrix


def _has_inverse(a: float, b: float, c: float, d: float) -> bool:
    # By the determinant that positions are divided by.
    return all(map(math.isfinite, (a, b, c, d))) and a * d != b * c


def _as_tuples(matrix: Float64) -> Matrix:
    (a, b), (c, d) = matrix.tolist()
    return (float(a), float(b)), (float(c), float(d))
