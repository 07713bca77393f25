"""Where a place on the sky falls on the array, and what the headers say about it."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["TARGET", "HeaderWcs", "SkyGeometry", "tangent_to_sky"]

TARGET = (16.24142, 33.93044)
"""Right ascension and declination of the target, degrees."""

_PIXEL_SCALE = 0.1517
# CD matrix of real frames of 2012 at position angle zero, degrees per pixel.  The x scale is that of the
# camera, the y scale is six percent too large, and the axes are not quite at right angles.
_HEADER_CD = np.array([[-1.00727e-6, 4.457104e-5], [-4.212283e-5, -1.79227e-6]])
_CRPIX = np.array([487.586, 578.747])
# Pixel (first pixel is 1) of the target at zero offset, from real headers of January 2012; the decimals make
# the reference point of N20120117S0019 what is on record.
_TARGET_PIXEL = np.array([523.2870, 493.1440])
_POSITION_ANGLE = 103.3
_INSTRUMENT_ALIGNMENT_ANGLE = 89.7


class HeaderWcs(NamedTuple):
    """The WCS cards of a header: CRPIX (first pixel is 1), CRVAL in degrees, CD in degrees per pixel."""

    crpix: tuple[float, float]
    crval: tuple[float, float]
    cd: tuple[tuple[float, float], tuple[float, float]]


class SkyGeometry:
    """Sky, telescope offsets and array of one camera.

    Parameters
    ----------
    pixel_scale : float
        True scale of the camera, arcsec per pixel.
    target_pixel : tuple of float, optional
        Pixel (x, y), first pixel is 0, on which the target falls without offset; that of the short cameras if
        not given.

    Attributes
    ----------
    pixel_scale : float
    position_angle : float
        PA card, degrees.
    alignment_angle : float
        IAA card, degrees.
    target_pixel : ndarray of float64, shape (2,)
    """

    def __init__(self, pixel_scale: float, target_pixel: tuple[float, float] | None = None) -> None:
        self.pixel_scale = pixel_scale
        self.position_angle = _POSITION_ANGLE
        self.alignment_angle = _INSTRUMENT_ALIGNMENT_ANGLE
        usual = _TARGET_PIXEL - 1.0
        self.target_pixel = usual if target_pixel is None else np.array(target_pixel)
        ratio = pixel_scale / _PIXEL_SCALE
        self._header_cd = _rotation(self.position_angle) @ _HEADER_CD * ratio
        self._crpix = self.target_pixel + 1.0 + (_CRPIX - _TARGET_PIXEL)
        # The x axis of the sky is that of the header; the true pixels are square, the parity is the header's.
        x_axis = self._header_cd[:, 0] / np.hypot(*self._header_cd[:, 0])
        y_axis = np.array([-x_axis[1], x_axis[0]]) * np.sign(np.linalg.det(self._header_cd))
        self._true_cd = np.column_stack([x_axis, y_axis]) * pixel_scale / 3600.0

    def shift(self, poffset: float, qoffset: float) -> NDArray[np.float64]:
        """Give the shift of the stars on the array for telescope offsets P, Q in arcsec; pixels (x, y)."""
        return np.array([qoffset, -poffset]) / self.pixel_scale

    def to_pixel(self, ra: NDArray[np.float64], dec: NDArray[np.float64]) -> NDArray[np.float64]:
        """Project sky positions to the array at zero offset.

        Parameters
        ----------
        ra, dec : ndarray of float64, shape (n,)
            Degrees.

        Returns
        -------
        ndarray of float64, shape (n, 2)
            Pixel (x, y), first pixel is 0.
        """
        plane = np.column_stack(_project(ra, dec, TARGET))
        return self.target_pixel + plane @ np.linalg.inv(self._true_cd).T

    def to_sky(self, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Invert `to_pixel`; returns (ra, dec) in degrees, shape (n, 2)."""
        plane = (np.asarray(pixels, dtype=np.float64) - self.target_pixel) @ self._true_cd.T
        return np.column_stack(tangent_to_sky(plane[:, 0], plane[:, 1], TARGET))

    @property
    def true_cd(self) -> NDArray[np.float64]:
        """Degrees on the tangent plane per pixel, shape (2, 2)."""
        return self._true_cd

    def header_wcs(self, poffset: float, qoffset: float, *, cd: NDArray[np.float64] | None = None) -> HeaderWcs:
        """Give the WCS that the header of a frame with these commanded offsets (arcsec) carries.

        Its reference value is such that the target has its right coordinates where the commanded offsets put
        it.  The matrix is that of 2012 unless `cd` is given (degrees per pixel, shape (2, 2)).
        """
        matrix = self._header_cd if cd is None else cd
        pixel = self.target_pixel + 1.0 + self.shift(poffset, qoffset)
        wanted = matrix @ (pixel - self._crpix)
        crval = np.array(TARGET)
        for _ in range(10):
            xi, eta = _project(np.array([TARGET[0]]), np.array([TARGET[1]]), (crval[0], crval[1]))
            crval[0] += (xi[0] - wanted[0]) / math.cos(math.radians(crval[1]))
            crval[1] += eta[0] - wanted[1]
        (a, b), (c, d) = matrix.tolist()
        return HeaderWcs(
            crpix=(float(self._crpix[0]), float(self._crpix[1])),
            crval=(float(crval[0]), float(crval[1])),
            cd=((a, b), (c, d)),
        )

    def telescope_offsets(self, poffset: float, qoffset: float) -> tuple[float, float]:
        """Give XOFFSET and YOFFSET, arcsec: P and Q turned by the instrument alignment angle (port 3)."""
        turn = math.radians(90.0 - self.alignment_angle)
        x = -(qoffset * math.cos(turn) + poffset * math.sin(turn))
        y = poffset * math.cos(turn) - qoffset * math.sin(turn)
        return x, y

    def sky_offsets(self, poffset: float, qoffset: float) -> tuple[float, float]:
        """Give RAOFFSET and DECOFFSE, arcsec, as headers of the time write them."""
        turn = math.radians(self.position_angle)
        ra = -(poffset * math.cos(turn) - qoffset * math.sin(turn))
        dec = -(poffset * math.sin(turn) + qoffset * math.cos(turn))
        return ra, dec


def _rotation(angle: float) -> NDArray[np.float64]:
    """Matrix that turns (east, north) by a position angle in degrees."""
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return np.array([[cos, sin], [-sin, cos]])


def _project(
    ra: NDArray[np.float64], dec: NDArray[np.float64], centre: tuple[float, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gnomonic projection, degrees (Calabretta & Greisen 2002, section 5.1.3)."""
    a, d = np.radians(ra), np.radians(dec)
    a0, d0 = np.radians(centre)
    depth = np.sin(d) * np.sin(d0) + np.cos(d) * np.cos(d0) * np.cos(a - a0)
    xi = np.cos(d) * np.sin(a - a0) / depth
    eta = (np.sin(d) * np.cos(d0) - np.cos(d) * np.sin(d0) * np.cos(a - a0)) / depth
    return np.degrees(xi), np.degrees(eta)


def tangent_to_sky(
    xi: NDArray[np.float64], eta: NDArray[np.float64], centre: tuple[float, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Invert the gnomonic projection about `centre`, all in degrees; returns right ascension and declination."""
    x, y = np.radians(xi), np.radians(eta)
    a0, d0 = np.radians(centre)
    depth = np.cos(d0) - y * np.sin(d0)
    ra = a0 + np.arctan2(x, depth)
    dec = np.arctan2(np.sin(d0) + y * np.cos(d0), np.hypot(x, depth))
    return np.degrees(ra) % 360.0, np.degrees(dec)
