"""The truth of a night, written beside it: stars, frames, dark and flat."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.simulate.cards import BLOCK, card, header_block
from keyhole.simulate.geometry import TARGET
from keyhole.simulate.night import Night
from keyhole.simulate.rays import ray_columns
from keyhole.simulate.readout import expected_dark
from keyhole.simulate.sequence import FramePlan
from keyhole.simulate.stars import MOFFAT_BETA, enclosed_fraction, moffat_alpha
from keyhole.simulate.tables import Column, write_ecsv

__all__ = ["APERTURE_FWHM", "contamination", "true_dark", "true_flat", "write_truth"]

APERTURE_FWHM = 2.5
"""Radius of the aperture in which stars are judged, in units of the seeing."""

_ISOLATED = 0.005  # share of foreign light in the aperture
_EDGE_FWHM = 1.5  # a star nearer to the edge than this touches it


def write_truth(folder: Path, night: Night, peaks: NDArray[np.float64]) -> Path:
    """Write all truth of a night.

    Parameters
    ----------
    folder : Path
        Of the raw frames; ``truth.ecsv`` goes there, and with it ``frames.ecsv``, ``rays.ecsv``,
        ``dark.fits`` and ``flat.fits`` to ``truth`` in it.
    night : Night
        The night.
    peaks : ndarray of float64, shape (n,)
        Highest pixel of each star in any frame, electrons per coadd.

    Returns
    -------
    Path
        The table of the stars.
    """
    meta = _meta(night)
    stars = _star_columns(night, peaks)
    for path in (folder / "truth.ecsv", folder / "truth" / "truth.ecsv"):
        write_ecsv(path, stars, meta)
    write_ecsv(folder / "truth" / "frames.ecsv", _frame_columns(night), meta)
    write_ecsv(folder / "truth" / "rays.ecsv", ray_columns(night), meta)
    dark, flat = true_dark(night), true_flat(night)
    for name, image, unit in (("dark", dark, "electron"), ("flat", flat, "")):
        if image is not None:
            _write_image(folder / "truth" / f"{name}.fits", image, unit)
    return folder / "truth.ecsv"


def true_dark(night: Night) -> NDArray[np.float32] | None:
    """Give the noiseless dark: electrons of one dark frame, electronic offset and fixed pattern included."""
    darks = [plan for plan in night.plans if plan.kind == "DARK"]
    return expected_dark(night.settings(darks[0]), night.array) if darks else None


def true_flat(night: Night) -> NDArray[np.float32] | None:
    """Give the noiseless flat: response times lamp pattern times opening, median 1 inside the keyhole."""
    flats = [plan for plan in night.plans if plan.kind == "FLAT_ON"]
    if not flats:
        return None
    opening = np.mean([night.opening.transmission(*plan.flexure) for plan in flats], axis=0)
    flat = night.array.response * night.lamp * opening
    level: NDArray[np.float32] = (flat / np.median(flat[opening > 0.99])).astype(np.float32)
    return level


def contamination(
    pixels: NDArray[np.float64], electrons: NDArray[np.float64], *, radius: float, fwhm: float
) -> NDArray[np.float64]:
    """Give the light of all other stars in the aperture around each star, electrons.

    Parameters
    ----------
    pixels : ndarray of float64, shape (n, 2)
        Positions.
    electrons : ndarray of float64, shape (n,)
        Light of each star.
    radius, fwhm : float
        Aperture and seeing, pixels.
    """
    grid = np.linspace(-radius, radius, 25)
    dx, dy = (axis.ravel() for axis in np.meshgrid(grid, grid))
    inside = np.hypot(dx, dy) <= radius
    dx, dy = dx[inside], dy[inside]
    alpha = moffat_alpha(fwhm)
    foreign = np.zeros(len(pixels))
    for number, (x, y) in enumerate(pixels):
        base = 1.0 + ((x + dx[:, None] - pixels[:, 0]) ** 2 + (y + dy[:, None] - pixels[:, 1]) ** 2) / alpha**2
        surface = (MOFFAT_BETA - 1.0) / (np.pi * alpha**2) * base**-MOFFAT_BETA
        share = surface.mean(axis=0) * np.pi * radius**2
        share[number] = 0.0
        foreign[number] = share @ electrons
    return foreign


def _meta(night: Night) -> dict[str, str | bool | int | float]:
    science = [plan for plan in night.science if plan.transparency > 0]
    options = night.options
    target = night.geometry.target_pixel + (night.star_shift(night.science[0]) if night.science else np.zeros(2))
    (a, b), (c, d) = night.geometry.true_cd.tolist()
    return {
        "seed": night.seed,
        "camera": options.camera,
        "filter": options.filter,
        "array": options.array,
        "read_mode": options.read_mode,
        "well_depth": options.well,
        "exptime": options.exptime,
        "coadds": options.coadds,
        "frames": options.frames,
        "pixel_scale": night.geometry.pixel_scale,
        "target_ra": TARGET[0],
        "target_dec": TARGET[1],
        "target_x": float(target[0]),
        "target_y": float(target[1]),
        "cd1_1": a,
        "cd1_2": b,
        "cd2_1": c,
        "cd2_2": d,
        "position_angle": night.geometry.position_angle,
        "zeropoint": night.band.zeropoint,
        "moffat_beta": MOFFAT_BETA,
        "fwhm": float(np.mean([plan.seeing for plan in science])) if science else 0.0,
        "transparency": float(np.mean([plan.transparency for plan in science])) if science else 1.0,
        "without": " ".join(sorted(options.without)),
        "nebula": options.nebula,
        "era": options.era,
    }


def _star_columns(night: Night, peaks: NDArray[np.float64]) -> list[Column]:
    stars, science = night.stars, night.science
    first = night.star_shift(science[0]) if science else np.zeros(2)
    zero = np.array([(star.x, star.y) for star in stars]).reshape(-1, 2)
    electrons = night.star_electrons(science[0]) if science else np.zeros(len(stars))
    limits = _limits(night)
    coverage = _coverage(night, science, zero)
    if science:
        fwhm = float(np.mean([plan.seeing for plan in science])) / night.geometry.pixel_scale
        radius = APERTURE_FWHM * fwhm
        own = np.maximum(electrons * enclosed_fraction(radius, fwhm), 1e-9)
        alone = contamination(zero, electrons, radius=radius, fwhm=fwhm) / own < _ISOLATED
    else:
        alone = np.zeros(len(stars), bool)
    numbers = range(1, len(stars) + 1)
    return [
        Column("id", "", "number of the star; 1 and 2 are the targets", list(numbers)),
        Column("ra", "deg", "right ascension", [star.ra for star in stars]),
        Column("dec", "deg", "declination", [star.dec for star in stars]),
        Column("x", "pix", "x in the first science frame, first pixel is 0", (zero[:, 0] + first[0]).tolist()),
        Column("y", "pix", "y in the first science frame, first pixel is 0", (zero[:, 1] + first[1]).tolist()),
        Column("mag", "mag", "magnitude", [star.mag for star in stars]),
        Column("electrons", "electron", "light in one exposure of transparency 1", electrons.tolist()),
        Column("peak", "electron", "highest pixel in any frame, one coadd", peaks.tolist()),
        Column("isolated", "", "less than 0.5 % foreign light in the aperture", alone.tolist()),
        Column("saturated", "", "peak reaches the well in some frame", (peaks >= limits[0]).tolist()),
        Column("nonlinear", "", "peak exceeds the linear limit in some frame", (peaks >= limits[1]).tolist()),
        Column("touches_edge", "", "edge of the keyhole cuts the star in some frame", coverage.touches.tolist()),
        Column("frames_inside", "", "frames in which the whole star is seen", coverage.inside.tolist()),
        Column("transparency", "", "mean of the frames that see it", coverage.transparency.tolist()),
        Column("seeing", "arcsec", "mean of the frames that see it", coverage.seeing.tolist()),
    ]


def _limits(night: Night) -> tuple[float, float]:
    """Give well and linear limit, electrons of one coadd."""
    if not night.options.has("non-linearity"):
        return np.inf, np.inf
    return night.detector.well, night.detector.well * night.detector.linear_limit


class _Coverage(NamedTuple):
    """What the frames see of each star: frames with all of it, whether an edge cuts it, mean conditions."""

    inside: NDArray[np.int64]
    touches: NDArray[np.bool_]
    transparency: NDArray[np.float64]
    seeing: NDArray[np.float64]


def _coverage(night: Night, science: list[FramePlan], zero: NDArray[np.float64]) -> _Coverage:
    inside = np.zeros(len(zero), np.int64)
    seen, transparency, seeing = (np.zeros(len(zero)) for _ in range(3))
    touches = np.zeros(len(zero), bool)
    for plan in science:
        if plan.transparency == 0:
            continue  # the telescope was closed
        # Flexure moves keyhole and stars together.
        places = zero + night.star_shift(plan) - plan.flexure
        depth = night.opening.depth(places[:, 0], places[:, 1])
        size = _EDGE_FWHM * plan.seeing / night.geometry.pixel_scale
        inside += depth >= size
        touches |= np.abs(depth) < size
        seen += depth >= 0
        transparency += plan.transparency * (depth >= 0)
        seeing += plan.seeing * (depth >= 0)
    never = seen == 0
    count = np.where(never, 1, seen)
    return _Coverage(inside, touches, np.where(never, 1.0, transparency / count), seeing / count)


def _frame_columns(night: Night) -> list[Column]:
    plans, science = night.plans, night.science
    first = night.star_shift(science[0]) if science else np.zeros(2)
    true = [night.star_shift(plan) - first if plan.kind == "OBJECT" else np.zeros(2) for plan in plans]
    header = [night.geometry.shift(plan.poffset, plan.qoffset) for plan in plans]
    return [
        Column("name", "", "file", [plan.name for plan in plans]),
        Column("kind", "", "OBJECT, DARK, FLAT_ON or FLAT_OFF", [plan.kind for plan in plans]),
        Column("ut", "", "start of the exposure", [plan.start.isoformat() for plan in plans]),
        Column("exptime", "s", "exposure time of one coadd", [float(plan.exptime) for plan in plans]),
        Column("coadds", "", "number of coadds", [plan.coadds for plan in plans]),
        Column("dither_x", "pix", "true shift of the stars against the first frame", [float(t[0]) for t in true]),
        Column("dither_y", "pix", "true shift of the stars against the first frame", [float(t[1]) for t in true]),
        Column("commanded_x", "pix", "shift that the header states", [float(h[0]) for h in header]),
        Column("commanded_y", "pix", "shift that the header states", [float(h[1]) for h in header]),
        Column("pointing_x", "pix", "pointing error", [plan.pointing[0] for plan in plans]),
        Column("pointing_y", "pix", "pointing error", [plan.pointing[1] for plan in plans]),
        Column("keyhole_x", "pix", "displacement of keyhole and stars", [plan.flexure[0] for plan in plans]),
        Column("keyhole_y", "pix", "displacement of keyhole and stars", [plan.flexure[1] for plan in plans]),
        Column("seeing", "arcsec", "full width at half maximum", [plan.seeing for plan in plans]),
        Column("transparency", "", "transparency", [plan.transparency for plan in plans]),
        Column("sky", "electron", "sky in the keyhole's centre", [night.sky_electrons(plan) for plan in plans]),
        Column("lamp", "", "brightness of the lamp", [plan.lamp for plan in plans]),
    ]


def _write_image(path: Path, image: NDArray[np.float32], unit: str) -> None:
    ny, nx = image.shape
    cards = [
        card("SIMPLE", True, "standard FITS"),
        card("BITPIX", -32, "float32"),
        card("NAXIS", 2, "number of axes"),
        card("NAXIS1", nx, "columns"),
        card("NAXIS2", ny, "rows"),
    ]
    if unit:
        cards.append(card("BUNIT", unit, "unit"))
    data = image.astype(">f4").tobytes()
    path.write_bytes(header_block(cards) + data + bytes(-len(data) % BLOCK))
