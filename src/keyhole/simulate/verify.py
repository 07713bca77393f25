"""How good a reduced image is, measured against the truth of a simulated night."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keyhole.errors import DataError
from keyhole.simulate.judge import (
    Background,
    Catalogued,
    Detections,
    Photometry,
    PositionErrors,
    RegistrationErrors,
    Scene,
    background,
    catalogued,
    detections,
    locate,
    photometry,
    position_errors,
    registration_errors,
    remaining_rays,
    saturation,
    wcs_errors,
)
from keyhole.simulate.product import read_plane, read_product
from keyhole.simulate.statistics import excess_scatter, robust_width, weighted_mean
from keyhole.simulate.tables import read_ecsv
from keyhole.simulate.true_frames import true_frames, true_rays, true_sky
from keyhole.simulate.true_stars import true_stars
from keyhole.simulate.verification import MasterVerification, Verification

__all__ = ["MasterVerification", "Verification", "verify", "verify_master"]

_PULL_RANGE = (5.0, 100.0)  # S/N of the stars that judge the errors; brighter ones show the systematics
_BRIGHT = 100.0  # S/N of the stars whose scatter is that of the reduction
_FAINT = (18.0, 20.0)  # mag
_LOW = (5.0, 20.0)  # S/N of the stars that show a bias of faint photometry


def verify(stack_path: Path | str, truth_path: Path | str, *, registered: Sequence[Path | str] = ()) -> Verification:
    """Measure a stacked image, in electrons of a single exposure, against the truth.

    Parameters
    ----------
    stack_path : path
        FITS file with an image (SCI, or the first one) and, if there are any, VAR, DQ and OBJCAT.
    truth_path : path
        ``truth.ecsv`` of the night.  Stars outside of the image are ignored.
    registered : sequence of path
        The frames after ``adjustWCSToReference``, to judge the registration.

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
    product, truth = read_product(Path(stack_path)), Path(truth_path)
    table = read_ecsv(truth)
    stars, frames = true_stars(table, truth), true_frames(truth, table)
    if product.unit not in ("", "electron", "electrons", "e-"):
        raise DataError(f"{stack_path} is in {product.unit!r}; verify needs an image in electrons.")
    scene = locate(product, stars, frames, true_sky(table))
    light = photometry(scene)
    listed, found = catalogued(scene, light), detections(scene)
    errors, mapped, burnt = position_errors(scene, light), wcs_errors(scene), saturation(scene)
    rays = remaining_rays(scene, true_rays(truth))
    aligned = RegistrationErrors(math.nan, math.nan, 0)
    if frames is not None and registered:
        aligned = registration_errors(frames, [Path(path) for path in registered])
    return Verification(
        stack=str(stack_path),
        truth=str(truth_path),
        frames=0 if scene.frames is None else len(scene.frames.names),
        **_flux_numbers(light),
        **_faint_numbers(scene, light),
        **_catalogue_numbers(light, listed),
        offset=errors.offset,
        position_rms=errors.rms,
        position_worst=errors.worst,
        position_rms_pixel=errors.rms_pixel,
        wcs_internal=mapped.internal,
        wcs_worst=mapped.worst,
        wcs_absolute=mapped.absolute,
        registration_frames=aligned.frames,
        registration_rms=aligned.rms,
        registration_worst=aligned.worst,
        fwhm_ratio=light.fwhm_ratio,
        **_background_numbers(background(scene)),
        rays=rays.number,
        rays_left=rays.left,
        completeness=found.share,
        completeness_stars=found.stars,
        limit_completeness=found.share_at_limit,
        limit_stars=found.stars_at_limit,
        found_by=found.by,
        false_detections=found.false,
        nan_pixels=int(np.count_nonzero(~np.isfinite(product.data))),
        saturated_stars=burnt.stars,
        saturated_flagged=burnt.flagged,
        saturated_kept=burnt.kept,
        star_table=_star_table(scene, light, listed, errors, found),
    )


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
        return MasterVerification(0, *[math.nan] * 4)
    width = robust_width(pull)
    return MasterVerification(
        pixels=len(pull),
        median=float(np.median(product.data[judged])),
        pull_median=float(np.median(pull)),
        pull_width=width,
        variance_ratio=width**-2 if width > 0 else math.nan,
    )


def _flux_numbers(light: Photometry) -> dict[str, Any]:
    wide = light.wide
    ratios = wide.ratio[light.judged]
    bright = wide.clean & (wide.snr > _BRIGHT)
    clear = light.clear_ratio[bright]
    pulls = wide.pull[wide.clean & _within(wide.snr, _PULL_RANGE)]
    return {
        "stars": len(ratios),
        "flux_ratio": _median(ratios),
        "flux_scatter": robust_width(ratios),
        "flux_worst": float(np.max(np.abs(ratios - 1))) if len(ratios) else math.nan,
        "bright_stars": int(bright.sum()),
        "bright_scatter": excess_scatter(wide.ratio[bright], wide.error[bright]),
        "zero_scatter": excess_scatter(clear / _median(clear), wide.error[bright]),
        "pull_stars": len(pulls),
        "pull_median": _median(pulls),
        "pull_width": robust_width(pulls),
    }


def _faint_numbers(scene: Scene, light: Photometry) -> dict[str, Any]:
    small = light.small
    faint = small.clean & _within(scene.stars.mag, _FAINT)
    low = small.clean & _within(small.snr, _LOW)
    mean = weighted_mean(small.ratio[low], small.error[low])
    return {
        "faint_stars": int(faint.sum()),
        "faint_scatter": robust_width(small.ratio[faint]),
        "faint_noise": _median(small.error[faint]),
        "low_stars": mean.number,
        "low_ratio": mean.value,
        "low_error": mean.error,
    }


def _catalogue_numbers(light: Photometry, listed: Catalogued | None) -> dict[str, Any]:
    if listed is None:
        return {
            "catalogue_stars": 0,
            "catalogue_pull": math.nan,
            "catalogue_low": math.nan,
            "catalogue_aperture": math.nan,
        }
    snr = np.divide(1.0, listed.error, out=np.zeros_like(listed.error), where=listed.error > 0)
    clean = light.small.clean & np.isfinite(listed.ratio) & ~listed.flagged
    pulls = ((listed.ratio - 1) * snr)[clean & _within(snr, _PULL_RANGE)]
    return {
        "catalogue_stars": len(pulls),
        "catalogue_pull": robust_width(pulls),
        "catalogue_low": _median(listed.ratio[clean & _within(snr, _LOW)]),
        "catalogue_aperture": listed.aperture,
    }


def _background_numbers(empty: Background) -> dict[str, Any]:
    return {
        "background": empty.level,
        "background_electrons": empty.electrons,
        "background_sigma": empty.sigma,
        "noise_ratio": empty.noise_ratio,
        "aperture_noise_ratio": empty.aperture_noise_ratio,
        "apertures": tuple(found._asdict() for found in empty.apertures),
        "outliers": empty.outliers,
    }


def _star_table(
    scene: Scene, light: Photometry, listed: Catalogued | None, errors: PositionErrors, found: Detections
) -> tuple[dict[str, Any], ...]:
    """List every star that falls on the image."""
    stars, wide, small = scene.stars, light.wide, light.small
    nothing = np.full(len(stars.numbers), math.nan)
    columns = {
        "mag": stars.mag,
        "x": scene.places[:, 0],
        "y": scene.places[:, 1],
        "expected": light.expected,
        "flux": wide.ratio * light.expected,
        "error": wide.error * light.expected,
        "ratio": wide.ratio,
        "clear_ratio": light.clear_ratio,
        "small_ratio": small.ratio,
        "small_error": small.error,
        "catalogue_ratio": nothing if listed is None else listed.ratio,
        "catalogue_error": nothing if listed is None else listed.error,
        "snr": found.snr,
        "distance": np.hypot(*errors.each.T),
    }
    flags = {
        "isolated": stars.isolated,
        "judged": light.judged,
        "clean": wide.clean,
        "small_clean": small.clean,
        "found": found.found,
        "catalogue_flagged": np.zeros(len(stars.numbers), bool) if listed is None else listed.flagged,
    }
    return tuple(
        {
            "id": int(stars.numbers[k]),
            **{name: float(values[k]) for name, values in columns.items()},
            **{name: bool(values[k]) for name, values in flags.items()},
        }
        for k in np.flatnonzero(scene.inside)
    )


def _within(values: Any, limits: tuple[float, float]) -> Any:
    return (values >= limits[0]) & (values <= limits[1])


def _median(values: Any) -> float:
    return float(np.median(values)) if len(values) else math.nan
