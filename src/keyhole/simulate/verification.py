"""The numbers that say how good a product is."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["MasterVerification", "Verification"]


@dataclass(frozen=True)
class Verification:
    """Quality of a reduced image.

    Stars are judged in circles above the local background, against a stack without noise: the mean of all
    frames that were combined, each with its own seeing, transparency and keyhole.  Errors are those of VAR
    times the correlation factor of the file (table APNOISE, else card CORRNOIS).  Measurements that are
    impossible are NaN.

    Attributes
    ----------
    stack, truth : str
        The two files.
    frames : int
        Science frames that were combined; 0 if the truth does not know them.
    stars : int
        Isolated stars within the linear range, with S/N > 30 and all pixels of the circle (2.5 times the
        seeing) usable.
    flux_ratio, flux_scatter, flux_worst : float
        Measured over true light of these stars: median, robust scatter, largest deviation of one star from 1.
    bright_stars, bright_scatter : int, float
        Those with S/N > 100; their scatter beyond the known errors.
    zero_scatter : float
        The same against the light at transparency 1, after one common factor: how far the image has one zero
        point.
    faint_stars, faint_scatter, faint_noise : int, float, float
        Stars of 18 to 20 mag in circles of the size of the seeing: robust scatter of measured over true
        light, median of the known errors.
    low_stars, low_ratio, low_error : int, float, float
        Stars with S/N 5 to 20 in circles of the size of the seeing: weighted mean of measured over true light
        and its error.
    pull_stars : int
        Stars as in `stars`, but with S/N between 5 and 100.
    pull_median, pull_width : float
        Their (measured - true) / error: median and robust width; 0 and 1 are perfect.
    catalogue_stars, catalogue_pull : int, float
        The same for FLUX_AUTO and FLUXERR_AUTO of the file's OBJCAT, width only.
    catalogue_low, catalogue_aperture : float
        Median of FLUX_AUTO over true light for S/N 5 to 20, in units of that of bright stars; the latter.
    offset : float
        Common shift of the stars against their true sky positions, arcsec.
    position_rms, position_worst : float
        Distance of the bright stars from their true positions after that shift, arcsec.
    position_rms_pixel : float
        The same on the array, against the positions in the first frame, pixels.
    wcs_internal, wcs_worst, wcs_absolute : float
        Error of the WCS over the lit pixels, arcsec: rms and largest after the common shift, and that shift.
    registration_frames, registration_rms, registration_worst : int, float, float
        Error of the maps between frames over the keyhole, pixels; needs the registered frames.
    fwhm_ratio : float
        Width of the bright stars over that of the truth.
    background, background_electrons : float
        Median of the pixels without stars, in units of their robust scatter and in electrons.
    background_sigma : float
        That scatter, electrons.
    noise_ratio : float
        Robust scatter of these pixels over sqrt(VAR).
    aperture_noise_ratio : float
        The same for sums in circles of 2.5 times the seeing, without the correlation factor.
    apertures : tuple of dict
        ``radius`` (pixels), ``ratio`` of the noise of empty apertures over VAR and the correlation factor,
        ``number`` of independent apertures.
    outliers : int
        Star-free pixels beyond 5 sigma where at least three frames overlap.
    rays, rays_left : int
        Cosmic ray hits that would show above 5 sigma there, and those that do.
    completeness : float
        Share of the true stars with S/N > 5 that are found.
    completeness_stars : int
        Number of these stars.
    limit_completeness, limit_stars : float, int
        The same for S/N 5 to 10.
    found_by : str
        OBJCAT, or "own detection" if the file has no catalogue.
    false_detections : int
        Sources where no true star is.
    nan_pixels : int
        Pixels of the image that are not finite.
    saturated_stars, saturated_flagged, saturated_kept : int
        True saturated stars; those with a saturated or non-linear pixel flagged; those that are still in the
        image.
    star_table : tuple of dict
        Every star of the truth that falls on the image.
    """

    stack: str
    truth: str
    frames: int
    stars: int
    flux_ratio: float
    flux_scatter: float
    flux_worst: float
    bright_stars: int
    bright_scatter: float
    zero_scatter: float
    faint_stars: int
    faint_scatter: float
    faint_noise: float
    low_stars: int
    low_ratio: float
    low_error: float
    pull_stars: int
    pull_median: float
    pull_width: float
    catalogue_stars: int
    catalogue_pull: float
    catalogue_low: float
    catalogue_aperture: float
    offset: float
    position_rms: float
    position_worst: float
    position_rms_pixel: float
    wcs_internal: float
    wcs_worst: float
    wcs_absolute: float
    registration_frames: int
    registration_rms: float
    registration_worst: float
    fwhm_ratio: float
    background: float
    background_electrons: float
    background_sigma: float
    noise_ratio: float
    aperture_noise_ratio: float
    apertures: tuple[dict[str, float], ...]
    outliers: int
    rays: int
    rays_left: int
    completeness: float
    completeness_stars: int
    limit_completeness: float
    limit_stars: int
    found_by: str
    false_detections: int
    nan_pixels: int
    saturated_stars: int
    saturated_flagged: int
    saturated_kept: int
    star_table: tuple[dict[str, Any], ...]

    def as_dict(self) -> dict[str, Any]:
        """Give all numbers as plain values for JSON; what is not a number is None."""
        return {name: _plain(value) for name, value in asdict(self).items()}


@dataclass(frozen=True)
class MasterVerification:
    """Quality of a master dark or flat.

    Attributes
    ----------
    pixels : int
        Pixels judged: usable in the master, and for a flat lit (above half of the median).
    median : float
        Median of the master there.
    pull_median, pull_width : float
        (master - truth) / error of these pixels: median and robust width.
    variance_ratio : float
        VAR over the measured variance: ``1 / pull_width**2``.
    """

    pixels: int
    median: float
    pull_median: float
    pull_width: float
    variance_ratio: float

    def as_dict(self) -> dict[str, Any]:
        """Give all numbers as plain values for JSON; what is not a number is None."""
        return {name: _plain(value) for name, value in asdict(self).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
