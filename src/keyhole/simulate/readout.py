"""From the light that falls on the array to the numbers in the file."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.instruments import NonLinearity
from keyhole.simulate.array import ArrayModel
from keyhole.simulate.electronics import changing_offsets
from keyhole.simulate.options import NightOptions
from keyhole.simulate.streams import stream

__all__ = ["Exposure", "Response", "expected_dark", "expose", "response_curve"]

# Raw response of an array for which no polynomial was measured: up to the linear limit it falls short by no
# more than this fraction, then it bends towards saturation.
_LINEAR_DEFECT = 0.002
# The bend aims a little above the well, so that bright light reaches it.
_BEND_TARGET = 1.06
_CURVE_STEP = 10.0  # electrons

_FLOAT = NDArray[np.float32]


class Response(NamedTuple):
    """Response of the array to electrons of one coadd.

    Attributes
    ----------
    true : ndarray of float64, shape (n,)
        Electrons set free in one coadd.
    measured : tuple of ndarray of float64
        Electrons read, for the even and for the odd rows.
    well : float
        Nominal saturation, electrons of one coadd.
    exposure_factor : float
        Time during which light is collected over the nominal exposure time: non-destructive reads take time.
    """

    true: NDArray[np.float64]
    measured: tuple[NDArray[np.float64], NDArray[np.float64]]
    well: float
    exposure_factor: float = 1.0

    def apply(self, electrons: _FLOAT, well_factor: _FLOAT) -> _FLOAT:
        """Give the electrons read for the electrons set free in one coadd, saturation included."""
        read = np.empty_like(electrons)
        for parity in (0, 1):
            read[parity::2] = np.interp(electrons[parity::2], self.true, self.measured[parity])
        np.minimum(read, np.float32(self.well) * well_factor, out=read)
        return read


class Exposure(NamedTuple):
    """Detector settings of one frame.

    Attributes
    ----------
    exptime : float
        Exposure time of one coadd, s.
    coadds : int
    gain : float
        Electrons per ADU.
    read_noise : float
        Electrons, one coadd.
    response : Response
    """

    exptime: float
    coadds: int
    gain: float
    read_noise: float
    response: Response


def response_curve(
    well: float, linear_limit: float, exptime: float, polynomial: NonLinearity | None, *, linear: bool = False
) -> Response:
    """Tabulate the response of the array.

    Parameters
    ----------
    well : float
        Saturation, electrons of one coadd.
    linear_limit : float
        Fraction of the well up to which the array is linear.
    exptime : float
        Exposure time of one coadd, s.
    polynomial : NonLinearity or None
        Measured correction of the array: with m electrons read in one coadd, the true number is
        ``m (1 + m (gamma + m eta)) t / (t + time_delta)``.  The polynomial is inverted here; light is
        collected for ``t + time_delta``.  Without one the array is linear within 0.2 % up to the limit and
        then bends to saturation.
    linear : bool
        Leave out all non-linearity, saturation too.

    Returns
    -------
    Response
    """
    if linear:
        true = np.array([0.0, 1e9])
        return Response(true, (true, true), well=np.inf)
    if polynomial is None:
        true = np.arange(0.0, 4.0 * well, _CURVE_STEP)
        bent = _bending_response(true, well, linear_limit)
        return Response(true, (bent, bent), well)
    read = np.arange(0.0, 1.3 * well, _CURVE_STEP)
    even, odd = (read * (1 + read * (gamma + read * eta)) for gamma, eta in (polynomial.even, polynomial.odd))
    return Response(even, (read, np.interp(even, odd, read)), well, 1.0 + polynomial.time_delta / exptime)


def expose(
    light: _FLOAT,
    settings: Exposure,
    array: ArrayModel,
    *,
    seed: int,
    serial: int,
    options: NightOptions,
    impacts: _FLOAT | None = None,
) -> _FLOAT:
    """Expose the array and read it out.

    Parameters
    ----------
    light : ndarray of float32, shape (ny, nx)
        Expected electrons of all coadds from light in the nominal exposure time, the pixel response included.
    settings : Exposure
        Detector settings.
    array : ArrayModel
        The array.
    seed, serial : int
        Of the night and of the frame; they select the noise.
    options : NightOptions
        Says which effects exist.
    impacts : ndarray of float32, shape (ny, nx), optional
        Electrons of cosmic rays.

    Returns
    -------
    ndarray of float32, shape (ny, nx)
        ADU, summed over the coadds.
    """
    coadds = settings.coadds
    electrons = light + array.dark_rate * np.float32(settings.exptime * coadds)
    electrons *= np.float32(settings.response.exposure_factor)
    if options.has("poisson"):
        electrons[...] = stream(seed, "poisson", serial).poisson(electrons)
    if impacts is not None:
        electrons += impacts
    # The noise is drawn for the sum; every coadd gets its equal part of it through the response.
    signal = settings.response.apply(np.asarray(electrons / coadds, np.float32), array.well_factor) * np.float32(coadds)
    signal += array.offset * np.float32(coadds)
    shape = (light.shape[0], light.shape[1])
    signal += changing_offsets(shape, seed=seed, serial=serial, coadds=coadds, options=options)
    if options.has("read-noise"):
        noise = stream(seed, "read noise", serial).standard_normal(shape, dtype=np.float32)
        signal += np.float32(settings.read_noise * np.sqrt(coadds)) * noise
    adu: _FLOAT = signal / np.float32(settings.gain)
    return adu


def expected_dark(settings: Exposure, array: ArrayModel) -> _FLOAT:
    """Give the electrons, summed over the coadds, that a dark of these settings shows without noise."""
    seconds = settings.exptime * settings.response.exposure_factor
    rate = settings.response.apply(array.dark_rate * np.float32(seconds), array.well_factor)
    return (rate + array.offset) * np.float32(settings.coadds)


def _bending_response(true: NDArray[np.float64], well: float, linear_limit: float) -> NDArray[np.float64]:
    limit = linear_limit * well
    low = true * (1.0 - _LINEAR_DEFECT * np.minimum(true, limit) / limit)
    start, slope = limit * (1.0 - _LINEAR_DEFECT), 1.0 - 2.0 * _LINEAR_DEFECT
    reach = _BEND_TARGET * well - start
    high = start + reach * (1.0 - np.exp(-slope * np.maximum(true - limit, 0.0) / reach))
    return np.where(true <= limit, low, high)
