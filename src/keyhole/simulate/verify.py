"""How good a reduced image is, measured against the truth of a simulated night."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keyhole.errors import DataError
from keyhole.simulate.judge import (
    Background,
    Photometry,
    background,
    detections,
    locate,
    photometry,
    position_errors,
    saturation,
    star_table,
)
from keyhole.simulate.measure import robust_width
from keyhole.simulate.product import read_plane, read_product
from keyhole.simulate.tables import read_ecsv
from keyhole.simulate.true_stars import true_stars

__all__ = ["MasterVerification", "Verification", "verify", "verify_master"]

_PULL_RANGE = (5.0, 100.0)  # S/N of the stars that judge the errors; brighter ones show the systematics


@dataclass(frozen=True)
class Verification:
    """Quality of a reduced image.

    Stars are judged in circles of 2.5 times the seeing above the local background.  The light outside the
    circle is known from the seeing of the frames that see the star, the expected light from their
    transparency; the small amount of neighbours' light is subtracted.  Measurements that are impossible are
    NaN.

    Attributes
    ----------
    stack, truth : str
        The two files.
    stars : int
        Isolated stars within the linear range, with S/N > 30 and all pixels of the circle usable.
    flux_ratio, flux_scatter, flux_worst : float
        Measured over true light of these stars: median, robust scatter, largest deviation of one star from 1.
    pull_stars : int
        Stars as above, but with S/N between 5 and 100.
    pull_median, pull_width : float
        Their (measured - true) / error: median and robust width; 0 and 1 are perfect.
    offset : float
        Common shift of the stars against their true sky positions, arcsec.
    position_rms, position_worst : float
        Distance of the bright stars from their true positions after that shift, arcsec.
    position_rms_pixel : float
        The same on the array, against the positions in the first frame, pixels.
    fwhm_ratio : float
        Width of the bright stars over that of the truth.
    background : float
        Median of the pixels without stars, in units of their robust scatter.
    background_sigma : float
        That scatter, electrons.
    noise_ratio : float
        Robust scatter of these pixels over sqrt(VAR).
    aperture_noise_ratio : float
        The same for sums in circles; above 1 if neighbouring pixels vary together.
    completeness : float
        Share of the true stars with S/N > 5 that are found.
    completeness_stars : int
        Number of these stars.
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
    stars: int
    flux_ratio: float
    flux_scatter: float
    flux_worst: float
    pull_stars: int
    pull_median: float
    pull_width: float
    offset: float
    position_rms: float
    position_worst: float
    position_rms_pixel: float
    fwhm_ratio: float
    background: float
    background_sigma: float
    noise_ratio: float
    aperture_noise_ratio: float
    completeness: float
    completeness_stars: int
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


def verify(stack_path: Path | str, truth_path: Path | str) -> Verification:
    """Measure a stacked image, in electrons of a single exposure, against the truth.

    Parameters
    ----------
    stack_path : path
        FITS file with an image (SCI, or the first one) and, if there are any, VAR, DQ and OBJCAT.
    truth_path : path
        ``truth.ecsv`` of the night.  Stars outside of the image are ignored.

    Returns
    -------
    Verification

    Raises
    ------
    InputError
        A file does not exist.
    DataError
        A file is not what it should be, or the stars of the truth are not in the image.
    """
    product = read_product(Path(stack_path))
    stars = true_stars(read_ecsv(Path(truth_path)), Path(truth_path))
    if product.unit not in ("", "electron", "electrons", "e-"):
        raise DataError(f"{stack_path} is in {product.unit!r}; verify needs an image in electrons.")
    scene = locate(product, stars)
    empty = background(scene)
    light = photometry(scene)
    errors = position_errors(scene, light)
    found = detections(scene)
    burnt = saturation(scene)
    return Verification(
        stack=str(stack_path),
        truth=str(truth_path),
        **_flux_numbers(light),
        offset=errors.offset,
        position_rms=errors.rms,
        position_worst=errors.worst,
        position_rms_pixel=errors.rms_pixel,
        fwhm_ratio=light.fwhm_ratio,
        **_background_numbers(empty),
        completeness=found.share,
        completeness_stars=found.stars,
        found_by=found.by,
        false_detections=found.false,
        nan_pixels=int(np.count_nonzero(~np.isfinite(product.data))),
        saturated_stars=burnt.stars,
        saturated_flagged=burnt.flagged,
        saturated_kept=burnt.kept,
        star_table=star_table(scene, light, errors),
    )


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
    """

    pixels: int
    median: float
    pull_median: float
    pull_width: float

    def as_dict(self) -> dict[str, Any]:
        """Give all numbers as plain values for JSON; what is not a number is None."""
        return {name: _plain(value) for name, value in asdict(self).items()}


def verify_master(master_path: Path | str, truth_path: Path | str) -> MasterVerification:
    """Measure a master dark or flat, pixel by pixel, against ``truth/dark.fits`` or ``truth/flat.fits``.

    Parameters
    ----------
    master_path : path
        FITS file with SCI, VAR and, if there is one, DQ.
    truth_path : path
        The true image.

    Returns
    -------
    MasterVerification

    Raises
    ------
    InputError
        A file does not exist.
    DataError
        A file is not what it should be, or the shapes differ.
    """
    product, truth = read_product(Path(master_path)), read_plane(Path(truth_path))
    if product.variance is None:
        raise DataError(f"{master_path} has no VAR plane; give a master with its variance.")
    if truth.shape != product.data.shape:
        raise DataError(
            f"{master_path} is {product.data.shape}, {truth_path} {truth.shape}; give the truth of its night."
        )
    judged = product.usable
    if "flat" in Path(truth_path).name:
        judged = judged & (truth > 0.5)
    pull = (product.data[judged] - truth[judged]) / np.sqrt(product.variance[judged])
    if not len(pull):
        return MasterVerification(0, math.nan, math.nan, math.nan)
    return MasterVerification(
        len(pull), float(np.median(product.data[judged])), float(np.median(pull)), robust_width(pull)
    )


def _flux_numbers(light: Photometry) -> dict[str, Any]:
    ratios = light.ratio[light.judged]
    faint = light.measured & (light.snr >= _PULL_RANGE[0]) & (light.snr <= _PULL_RANGE[1])
    pulls = light.pull[faint]
    return {
        "stars": len(ratios),
        "flux_ratio": _median(ratios),
        "flux_scatter": robust_width(ratios),
        "flux_worst": float(np.max(np.abs(ratios - 1))) if len(ratios) else math.nan,
        "pull_stars": len(pulls),
        "pull_median": _median(pulls),
        "pull_width": robust_width(pulls),
    }


def _background_numbers(empty: Background) -> dict[str, Any]:
    return {
        "background": empty.level,
        "background_sigma": empty.sigma,
        "noise_ratio": empty.noise_ratio,
        "aperture_noise_ratio": empty.aperture_noise_ratio,
    }


def _median(values: Any) -> float:
    return float(np.median(values)) if len(values) else math.nan


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
