"""What is known about an instrument, as immutable values that only the loader makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple

__all__ = [
    "Detector",
    "ExpectedKeyhole",
    "Instrument",
    "KeyholeGeometry",
    "NonLinearity",
    "Observatory",
    "Response",
]


@dataclass(frozen=True, slots=True)
class Detector:
    """Detector properties in one read mode and well depth.

    Attributes
    ----------
    read_noise : float
        Electrons, one coadd.
    gain : float
        Electrons per ADU.
    well : float
        Saturation, electrons, one coadd.
    linear_limit : float
        Fraction of the saturation level up to which the response is (or can be made) linear.
    nonlinear_limit : float
        Fraction of the saturation level; recorded, used by nothing.
    """

    read_noise: float
    gain: float
    well: float
    linear_limit: float
    nonlinear_limit: float


class Response(NamedTuple):
    """Coefficients of corrected = m (1 + m (gamma + m eta)), m in electrons of one coadd."""

    gamma: float
    eta: float


@dataclass(frozen=True, slots=True)
class NonLinearity:
    """Non-linearity of one read mode and well depth.

    Attributes
    ----------
    time_delta : float
        Seconds; counts scale by t / (t + time_delta), t = exposure time of one coadd.
    even, odd : Response
        For rows 0, 2, 4, ... and for rows 1, 3, 5, ...; 1/e-, 1/e-**2.
    """

    time_delta: float
    even: Response
    odd: Response


@dataclass(frozen=True, slots=True)
class KeyholeGeometry:
    """Shape of the acquisition keyhole and the numbers of its registration.

    Lengths are arcsec unless the name ends in ``_px``; the instrument's TOML file explains each number.
    """

    half_disc_radius: float
    bar_width: float
    bar_length: float
    bar_slope: float
    centre_dx_px: float
    centre_dy: float
    red_camera_shift_px: tuple[float, float]
    wing_shift_px: float
    wing_x_gain: float
    no_wing_long_shift_px: float
    outer_radius_factor_short: float
    outer_radius_factor_long: float
    long_short_limit: float
    detect_sigma: float
    detect_box_px: int
    min_fraction: float


@dataclass(frozen=True, slots=True)
class ExpectedKeyhole:
    """Where a camera sees the keyhole.

    Attributes
    ----------
    centroid : tuple of float
        (x, y) of the lit area, 0-based pixels.
    expected_pixels : int
        Lit pixels in real frames.
    default_pixels : int
        Lit pixels of the shape drawn at `centroid` on the full frame.
    default_box : tuple of int
        Inclusive (xmin, xmax, ymin, ymax) of that shape.
    """

    centroid: tuple[float, float]
    expected_pixels: int
    default_pixels: int
    default_box: tuple[int, int, int, int]


@dataclass(frozen=True)
class Observatory:
    """Tables that all instruments of an observatory share."""

    name: str
    keywords: Mapping[str, str]
    filter_wavelengths: Mapping[str, float]
    wavelength_bands: Mapping[str, float]
    extinctions: Mapping[str, Mapping[str, float]]
    utc_offsets: Mapping[str, float]

    def effective_wavelength(self, filter_name: str) -> float | None:
        """Effective wavelength of a filter (component id cut) in micrometre, None when not listed."""
        return self.filter_wavelengths.get(filter_name)

    def wavelength_band(self, wavelength: float) -> str:
        """Name of the band nearest to `wavelength` (micrometre); the earlier one on a tie."""
        return min(self.wavelength_bands, key=lambda band: abs(self.wavelength_bands[band] - wavelength))

    def nominal_extinction(self, telescope: str | None, filter_name: str | None) -> float:
        """Nominal extinction in mag per airmass, 0 when the pair is not listed."""
        return self.extinctions.get(telescope or "", {}).get(filter_name or "", 0.0)

    def night(self, telescope: str | None, ut: datetime) -> date | None:
        """Civil date of the last local noon at or before `ut` (UT, without zone), None when the site is not listed.

        Everything from one noon to the next, calibrations taken by day included, is one night.
        """
        offset = self.utc_offsets.get(telescope or "")
        if offset is None or ut.year < 2:  # a time that no calendar has room before
            return None
        return (ut + timedelta(hours=offset - 12)).date()


@dataclass(frozen=True)
class Instrument:
    """Everything known about one instrument; get it from `keyhole.instruments.load`."""

    name: str
    shape: tuple[int, int]
    raw_extensions: int
    observatory: Observatory
    keywords: Mapping[str, str]
    keyhole: KeyholeGeometry
    read_modes: Mapping[tuple[int, int], str]
    well_tolerance: float
    well_depths: Mapping[str, float]
    detectors: Mapping[tuple[str, str, str], Detector]
    nonlinearities: Mapping[tuple[str, str, str], NonLinearity]
    pixel_scales: Mapping[str, float]
    x_axis_from_pa: float
    filter_wavelengths: Mapping[str, float]
    zeropoints: Mapping[tuple[str, str], float]
    dispersions: Mapping[str, Mapping[str, Mapping[str, float]]]
    xd_orders: Mapping[int, str]
    expected_keyholes: Mapping[tuple[str, bool], ExpectedKeyhole]

    def read_mode(self, lnrs: int | None, ndavgs: int | None) -> str:
        """Name of the read mode with `lnrs` read pairs and `ndavgs` averages, "Unknown" when not listed."""
        if lnrs is None or ndavgs is None:
            return "Unknown"
        return self.read_modes.get((lnrs, ndavgs), "Unknown")

    def well_depth(self, detbias_volt: float) -> str:
        """Well depth, "Shallow", "Deep" or "Unknown", from the detector bias in volt; its sign is ignored."""
        for depth, nominal in self.well_depths.items():
            if abs(nominal - abs(detbias_volt)) < self.well_tolerance:
                return depth
        return "Unknown"

    def detector(self, array_name: str | None, read_mode: str | None, well_depth: str | None) -> Detector | None:
        """Detector properties, None when the array, the mode or the depth is not listed."""
        return self.detectors.get((array_name or "", read_mode or "", well_depth or ""))

    def nonlinearity(
        self, array_name: str | None, read_mode: str | None, well_depth: str | None
    ) -> NonLinearity | None:
        """Non-linearity coefficients, None where the response is not corrected."""
        return self.nonlinearities.get((array_name or "", read_mode or "", well_depth or ""))

    def similar_nonlinearities(self, read_mode: str | None, well_depth: str | None) -> list[NonLinearity]:
        """Non-linearities of all arrays in a read mode and well depth; in the other modes if none is known."""
        every = [(key[1:], known) for key, known in self.nonlinearities.items()]
        same = [known for mode, known in every if mode == (read_mode or "", well_depth or "")]
        return same or [known for mode, known in every if mode[1] == (well_depth or "")]

    def pixel_scale(self, camera: str) -> float | None:
        """Pixel scale in arcsec per pixel of a camera (component id cut), None when not listed."""
        return self.pixel_scales.get(camera)

    def effective_wavelength(self, filter_name: str) -> float | None:
        """Effective wavelength in micrometre of a filter (component id cut), None when not listed.

        The instrument's own table wins over the observatory's.
        """
        own = self.filter_wavelengths.get(filter_name)
        return self.observatory.effective_wavelength(filter_name) if own is None else own

    def nominal_zeropoint(self, camera: str | None, filter_name: str | None) -> float | None:
        """Photometric zero point in mag (ids cut), None when none is published."""
        return self.zeropoints.get((camera or "", filter_name or ""))

    def dispersion(self, ruling: str, length: str, letter: str) -> float | None:
        """Dispersion in nanometre per pixel by ruling ("32/mm"), camera length ("Short") and order letter."""
        return self.dispersions.get(ruling, {}).get(length, {}).get(letter)

    def keyhole_expected(self, camera: str | None, wings: bool) -> ExpectedKeyhole | None:
        """Where `camera` (with component id) sees the keyhole, None when no mask is known for the pair."""
        return self.expected_keyholes.get((camera or "", wings))
