"""Two or more images of one field: brought onto one grid, their difference, and their figures side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import InputError
from keyhole.frames import Frame
from keyhole.imaging import bits
from keyhole.imaging.detect import detect_sources
from keyhole.imaging.figures import background_left
from keyhole.imaging.geometry import TangentPlane
from keyhole.imaging.match import SourceList, register
from keyhole.imaging.preview import DIFFERENCE, Preview, box_of, make_preview
from keyhole.imaging.resample import resample
from keyhole.report.words import clipped, figure, number, plural, with_error

__all__ = ["compared"]

_SEARCH, _MATCH = 3.0, 0.4  # arcsec
# Sigma to both sides of the difference.
_REACH = 5.0
_FEWEST = 3
_BRIGHT = 20.0
_ROWS = (
    ("fwhm", "Seeing of the image"),
    ("depth_rate", "5σ limit, point source"),
    ("sources", "Sources"),
    ("background", "Background between stars"),
    ("noise", "Noise of a pixel (measured)"),
    ("pixel_noise", "Noise of a pixel (stated)"),
    ("tile_rms", "Scatter of background patches"),
    ("tile_rms_expected", "… expected from the noise"),
    ("correlation_factor", "Largest correlation factor"),
    ("frames_combined", "Frames combined"),
    ("total_exposure", "Total exposure"),
)

Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]


class _Image(NamedTuple):
    """An image cut to its light, its sources and its place on the sky."""

    name: str
    data: NDArray[np.float32]
    mask: NDArray[np.uint16]
    quiet: Bool
    plane: TangentPlane
    stars: Float64
    scale: float


class _Pair(NamedTuple):
    """A second image on the grid of the first, and how they differ."""

    data: NDArray[np.float32]
    usable: Bool
    shift: tuple[float, float]
    matched: int
    ratio: float
    ratio_error: float
    scatter: float
    difference: NDArray[np.float32]
    level: float
    level_error: float
    noise: float


def compared(frames: Sequence[Frame], groups: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Compare images with the first of them.

    Parameters
    ----------
    frames : sequence of Frame
        Images with a WCS, two or more. Not changed.
    groups : sequence of dict
        What is known of each, as `keyhole.engine.product.account_of_product` tells it.

    Returns
    -------
    dict
        ``names``, ``words``, ``rows`` (``name``, ``values``), ``layers`` (``file``, ``words``, ``style``) and
        ``base``, how to read the layers.
    dict of str to bytes
        PNG of each layer.

    Raises
    ------
    InputError
        An image has no WCS or no usable pixel, or shows another part of the sky than the first.
    """
    images = [_image(frame) for frame in frames]
    first = images[0]
    box = box_of(bits.usable(first.mask))
    pairs = [_paired(first, other) for other in images[1:]]
    pictures: dict[str, bytes] = {}
    layers = []

    def show(name: str, preview: Preview, words: str) -> None:
        pictures[name] = preview.png
        layers.append({"file": name, "words": words, "style": _style(preview, box)})

    usable = bits.usable(first.mask)
    base = make_preview(first.data, usable)
    show("layer-1", base, first.name)
    for number_, (pair, other) in enumerate(zip(pairs, images[1:], strict=True), start=2):
        show(f"layer-{number_}", make_preview(pair.data, pair.usable), f"{other.name}, on the grid of the first")
        both = pair.usable & usable
        words = f"Difference: {other.name} minus the first, blue −{_REACH:g}σ to brown +{_REACH:g}σ"
        show(f"difference-{number_}", make_preview(pair.difference, both, linear=_REACH, colours=DIFFERENCE), words)
    told = {
        "names": [image.name for image in images],
        "words": " ".join(_words(pair, image) for pair, image in zip(pairs, images[1:], strict=True)),
        "rows": _rows(groups, pairs, first.scale),
        "layers": layers,
        "base": _base(base, frames[0], first),
    }
    return told, pictures


def _image(frame: Frame) -> _Image:
    mask = np.zeros(frame.data.shape, np.uint16) if frame.mask is None else frame.mask
    mask = np.where(np.isfinite(frame.data), mask, mask | bits.MASK_DTYPE(bits.NO_DATA)).astype(bits.MASK_DTYPE)
    if not bits.usable(mask).any():
        raise InputError(f"{frame.name}: no pixel is usable; leave it out of the comparison")
    data = np.where(np.isfinite(frame.data), frame.data, np.float32(0))
    plane = _plane(frame)
    # Of the WCS, as the camera of another program's image may not be known.
    step = 3600 * math.sqrt(abs(float(np.linalg.det(np.array(plane.cd)))))
    found = detect_sources(data, frame.variance, mask, pixel_scale=step)
    columns = [found.catalogue[name].astype(np.float64) for name in ("X_IMAGE", "Y_IMAGE", "FLUX_AUTO", "FLUXERR_AUTO")]
    stars = np.column_stack(columns) - [1.0, 1.0, 0.0, 0.0]
    quiet = bits.usable(mask) & (found.objmask == 0)
    return _Image(clipped(frame.name, 100), data, mask, quiet, plane, stars, step)


def _plane(frame: Frame) -> TangentPlane:
    header = {**frame.primary, **frame.header}
    try:
        crval, crpix = ((float(header[f"{key}1"]), float(header[f"{key}2"])) for key in ("CRVAL", "CRPIX"))
        (a, b), (c, d) = (tuple(_matrix_card(header, i, j) for j in (1, 2)) for i in (1, 2))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{frame.name}: no WCS in the header ({error}); such an image cannot be compared") from error
    return TangentPlane(crval=crval, crpix=crpix, cd=((a, b), (c, d)))


def _matrix_card(header: dict[str, Any], i: int, j: int) -> float:
    """Degrees per pixel, of either form that FITS knows (Calabretta & Greisen 2002, section 2.1)."""
    if any(f"CD{k}_{m}" in header for k in (1, 2) for m in (1, 2)):
        return float(header.get(f"CD{i}_{j}", 0.0))
    return float(header[f"CDELT{i}"]) * float(header.get(f"PC{i}_{j}", 1.0 if i == j else 0.0))


def _paired(first: _Image, other: _Image) -> _Pair:
    matrix, shift = _mapping(first, other)
    moved, matched = _by_stars(first, other, matrix, shift)
    out = resample(
        other.data, None, other.mask, shift=shift + moved, matrix=matrix, output_shape=first.data.shape, conserve=False
    )
    usable = bits.usable(out.mask)
    both = usable & bits.usable(first.mask)
    if not both.any():
        raise InputError(f"{other.name} shows another part of the sky than {first.name}; compare images of one field")
    ratio, error, scatter = _ratio(first, other, matrix, shift + moved)
    factor = ratio if math.isfinite(ratio) and ratio > 0 else 1.0
    difference = out.data / np.float32(factor) - first.data
    quiet = both & first.quiet
    left = background_left(difference, quiet if quiet.any() else both)
    gone = (float(moved[0]), float(moved[1]))
    numbers = (ratio, error, scatter, difference, left.level, left.error, left.noise)
    return _Pair(out.data, usable, gone, matched, *numbers)


def _mapping(first: _Image, other: _Image) -> tuple[Float64, Float64]:
    """Affine map from pixels of the first image to those of the other, by their WCS."""
    ny, nx = first.data.shape
    x, y = np.array([0.0, nx - 1.0, 0.0]), np.array([0.0, 0.0, ny - 1.0])
    u, v = other.plane.sky_to_pixel(*first.plane.pixel_to_sky(x, y))
    if not (np.isfinite(u).all() and np.isfinite(v).all()):
        raise InputError(f"{other.name} shows another part of the sky than {first.name}; compare images of one field")
    matrix = np.array([[(u[1] - u[0]) / x[1], (u[2] - u[0]) / y[2]], [(v[1] - v[0]) / x[1], (v[2] - v[0]) / y[2]]])
    return matrix, np.array([u[0], v[0]])


def _by_stars(first: _Image, other: _Image, matrix: Float64, shift: Float64) -> tuple[Float64, int]:
    """By how much the stars of the other image lie beside the place where the WCS put them, its pixels."""
    if len(first.stars) < _FEWEST or len(other.stars) < _FEWEST:
        return np.zeros(2), 0
    expected = (matrix @ first.stars[:, :2].T).T + shift
    lists = [
        SourceList(expected[:, 0], expected[:, 1], first.stars[:, 2]),
        SourceList(other.stars[:, 0], other.stars[:, 1], other.stars[:, 2]),
    ]
    found = register(
        lists,
        np.zeros((2, 2)),
        search_radius=_SEARCH / other.scale,
        match_radius=_MATCH / other.scale,
        min_sources=_FEWEST,
        rotate=False,
    ).frames[1]
    return (np.array([found.dx, found.dy]), found.n_matched) if found.method == "sources" else (np.zeros(2), 0)


def _ratio(first: _Image, other: _Image, matrix: Float64, shift: Float64) -> tuple[float, float, float]:
    """Light of the stars in the other image over that in the first: median, its error, and scatter."""
    if not len(first.stars) or not len(other.stars):
        return math.nan, math.nan, math.nan
    places = (matrix @ first.stars[:, :2].T).T + shift
    apart = np.hypot(*(places[:, None] - other.stars[None, :, :2]).transpose(2, 0, 1))
    nearest = apart.argmin(axis=1)
    good = apart.min(axis=1) < _MATCH / other.scale
    light, noise = first.stars[:, 2], first.stars[:, 3]
    good &= (light > _BRIGHT * noise) & (other.stars[nearest, 2] > 0)
    if np.count_nonzero(good) < _FEWEST:
        return math.nan, math.nan, math.nan
    ratios = other.stars[nearest[good], 2] / light[good]
    middle = float(np.median(ratios))
    scatter = 1.4826 * float(np.median(np.abs(ratios - middle)))
    return middle, 1.2533 * scatter / math.sqrt(len(ratios)), scatter


def _words(pair: _Pair, image: _Image) -> str:
    place = f"{number(image.scale * math.hypot(*pair.shift), 2)}″ beside its WCS by {plural(pair.matched, 'star')}"
    light = with_error(pair.ratio, pair.ratio_error) if math.isfinite(pair.ratio) else "not known"
    return (
        f"{image.name} lies {place}; light of its stars over that of the first: {light}, by which it is divided for "
        f"the difference; left between the stars: {with_error(pair.level, pair.level_error)}, scatter "
        f"{number(pair.noise)}."
    )


def _rows(groups: Sequence[dict[str, Any]], pairs: Sequence[_Pair], scale: float) -> list[dict[str, Any]]:
    rows = [
        {"name": words, "values": [figure(group["figures"], name) for group in groups]}
        for name, words in _ROWS
        if any((group["figures"].get(name) or {}).get("value") is not None for group in groups)
    ]
    dash = ["–"]
    more = (
        ("Light of the stars over the first", [with_error(pair.ratio, pair.ratio_error) for pair in pairs]),
        ("… scatter of that", [number(pair.scatter, 2) for pair in pairs]),
        ("Stars beside the place of the first", [f"{number(scale * math.hypot(*p.shift), 2)}″" for p in pairs]),
        ("Difference between the stars", [with_error(pair.level, pair.level_error) for pair in pairs]),
        ("… scatter of a pixel", [number(pair.noise) for pair in pairs]),
    )
    return rows + [{"name": words, "values": dash + values} for words, values in more]


def _style(preview: Preview, box: tuple[slice, slice]) -> str:
    """Where a picture lies on that of the first image, per cent."""
    wide, high = box[1].stop - box[1].start, box[0].stop - box[0].start
    left = 100 * (preview.x0 - box[1].start) / wide
    top = 100 * (1 - (preview.y0 - box[0].start + preview.height * preview.binning) / high)
    return f"left:{left:.4f}%;top:{top:.4f}%;width:{100 * preview.width * preview.binning / wide:.4f}%"


def _base(preview: Preview, frame: Frame, image: _Image) -> dict[str, Any]:
    keys = ("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2", "CD1_1", "CD1_2", "CD2_1", "CD2_2")
    plane = image.plane
    numbers = (*plane.crval, *plane.crpix, *plane.cd[0], *plane.cd[1])
    return {
        "width": preview.width,
        "height": preview.height,
        "x0": preview.x0,
        "y0": preview.y0,
        "binning": preview.binning,
        "black": preview.low,
        "white": preview.high,
        "stretch": "asinh",
        "unit": str(frame.header.get("BUNIT", "")),
        "pixel_scale": image.scale,
        "wcs": dict(zip(keys, numbers, strict=True)),
    }
