"""Measuring detected sources: position, flux, width, and what is doubtful about them."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging._neighbours import median_at, near, places, square_offsets
from keyhole.imaging.bits import SATURATED
from keyhole.imaging.catalogue import (
    UNDEFINED,
    Catalogue,
    PixelToSky,
    empty_catalogue,
    seeing,
    stellarity,
    world_columns,
)
from keyhole.imaging.medians import median
from keyhole.imaging.photometry import kron_light
from keyhole.imaging.scene import ApertureNoise, Ellipses, Scene, StarField

__all__ = ["measure"]

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Index = NDArray[np.intp]
Bool = NDArray[np.bool_]

_MIN_NEIGHBOURS: Final = 4
"""Usable neighbours, of eight, that a pixel needs to be filled from them."""
_FEW_HIDDEN: Final = 0.03
_MIN_AXIS: Final = 0.5
"""Pixels; smaller axes are sampling."""
_MIN_CORE: Final = 1.2
"""Smallest radius, pixels, of the circle in which the width of a core is measured."""
_WIDE_CORE: Final = 1.5
"""Width of a source, in units of the median, from which on it is measured apart."""
_CENTROID_STEPS: Final = 20
_CENTROID_STEP: Final = 1e-4
"""Pixels; a centre that moves less stays."""
_MAX_STAMP: Final = 60
"""Largest half side of a stamp, pixels."""
_DEFAULT_SEEING: Final = 1.2
"""Arcsec, for the size of stamps when there is no better figure."""
_NEIGHBOUR, _BLENDED, _SATURATED, _CUT, _INCOMPLETE = 1, 2, 4, 8, 16


def measure(
    scene: Scene,
    objects: NDArray[Any],
    *,
    pixel_scale: float,
    phot_min_radius: float,
    noise_factors: ApertureNoise,
    min_area: int,
    pixel_to_sky: PixelToSky | None,
    field: StarField | None = None,
    total: bool = True,
) -> tuple[Catalogue, float | None]:
    """Catalogue of the objects of sep, and the width of the stars among them in pixels. Fills holes in the scene."""
    table = empty_catalogue(len(objects))
    if not len(objects):
        return table, None
    _mend(scene)
    ellipses = Ellipses(
        objects["x"],
        objects["y"],
        np.maximum(objects["a"], _MIN_AXIS),
        np.maximum(objects["b"], _MIN_AXIS),
        np.clip(objects["theta"], -np.pi / 2, np.pi / 2),
    )
    light = kron_light(
        scene,
        objects,
        ellipses,
        min_radius=phot_min_radius,
        noise_factors=noise_factors,
        field=field,
        total=total,
    )
    positive = np.where(light.flux > 0, light.flux, np.nan)
    columns = {
        "FLUX_AUTO": light.flux,
        "FLUXERR_AUTO": light.error,
        "MAG_AUTO": -2.5 * np.log10(positive),
        "MAGERR_AUTO": 2.5 / np.log(10) * light.error / positive,
        "FLUX_RADIUS": light.half_light,
    }
    centre, window = _centres(scene, objects, columns["FLUX_RADIUS"])
    columns |= _positions(scene, centre, window, noise_factors(window))
    columns["FWHM_IMAGE"] = _core_fwhm(scene, centre, columns["FLUX_RADIUS"])
    columns |= _shapes(ellipses) | _error_ellipses(columns) | _flags(scene, objects, light.unlike)
    columns["FLAGS"] += _INCOMPLETE * light.truncated + _NEIGHBOUR * light.neighbours
    columns["BACKGROUND"] = scene.background[_nearest(scene, centre)]
    columns["ISOAREA_IMAGE"] = scene.areas
    columns["NUMBER"] = np.arange(1, len(objects) + 1)
    _enter(table, columns)

    fwhm = seeing(table, min_area=min_area)
    if fwhm is not None:
        snr = columns["FLUX_AUTO"] / np.maximum(columns["FLUXERR_AUTO"], 1e-30)
        _enter(table, {"CLASS_STAR": stellarity(columns["FWHM_IMAGE"], snr, fwhm)})
    half = max(10, int(1.2 * (_DEFAULT_SEEING / pixel_scale if fwhm is None else fwhm)))
    _enter(table, _profile(scene, centre, columns["FLUX_AUTO"], half))
    _enter(table, world_columns(table, pixel_scale, pixel_to_sky))
    return table, fwhm


def _enter(table: Catalogue, columns: dict[str, NDArray[Any]]) -> None:
    """Write columns into a catalogue, undefined where not finite. Changes ``table``."""
    for name, values in columns.items():
        table[name][:] = np.where(np.isfinite(values), values, UNDEFINED)


def _mend(scene: Scene) -> None:
    """Fill lone unusable pixels from their neighbours, so that a star around one keeps its shape. Changes planes."""
    usable = ~scene.hidden
    alone = np.count_nonzero(usable) > (1 - _FEW_HIDDEN) * usable.size
    # Where few pixels are hidden, those in the middle of others are few as well.
    y, x = places(scene.hidden if alone else scene.hidden & near(usable, 1))
    values, count = median_at(scene.data, usable, y, x, radius=1)
    enough = count >= _MIN_NEIGHBOURS
    y, x = y[enough], x[enough]
    scene.data[y, x] = values[enough]
    scene.variance[y, x], _ = median_at(scene.variance, usable, y, x, radius=1)
    scene.hidden[y, x] = False


class _Centres(NamedTuple):
    """Positions of sources, pixels of the scene."""

    x: Float64
    y: Float64


def _centres(scene: Scene, objects: NDArray[Any], half_light: Float64) -> tuple[_Centres, Float64]:
    """Windowed positions, and the sigma of the window of each source.

    The window is about that of the stars for all sources: a star whose blends make it look wide in one frame but not
    in the next would move.
    """
    sigma = half_light * 2 / 2.3548
    clean = np.isfinite(sigma) & (objects["flag"] == 0)
    typical = median(sigma[clean]) if clean.any() else float(np.nanmin(np.append(sigma, 4.0)))
    window = np.clip(np.where(np.isfinite(sigma), sigma, typical), 0.7 * typical, 1.3 * typical)
    start = _Centres(objects["x"], objects["y"])
    x, y = _windowed_centroids(_Stamps(scene, start, int(np.ceil(4 * window.max())) + 1), scene, window)
    # Near a brighter neighbour the iteration walks off.
    astray = ~(np.hypot(x - start.x, y - start.y) <= np.maximum(1.0, 0.5 * window))
    return _Centres(np.where(astray, start.x, x), np.where(astray, start.y, y)), window


def _windowed_centroids(stamps: _Stamps, scene: Scene, window: Float64) -> tuple[Float64, Float64]:
    """Centroids under a Gaussian window that follows them (SExtractor manual, XWIN_IMAGE).

    A pixel that is hidden or belongs to a neighbour is left out together with the one opposite to it, or its absence
    would move the centroid.
    """
    own, values = stamps.own(scene, np.arange(len(window))), stamps.cut(scene.data).astype(np.float64)
    light = np.empty_like(values)
    half = own.shape[1] // 2
    first_x, first_y = stamps.dx[:, 0, :], stamps.dy[:, :, 0]
    moved, active = np.zeros((2, len(own))), np.arange(len(own))
    # Twice the centre in the stamp, rounded: where it stays, the pixels opposite to each other do.
    middle = np.full((2, len(own)), -1, np.intp)
    for _ in range(_CENTROID_STEPS):
        dx, dy = first_x[active] - moved[0, active, np.newaxis], first_y[active] - moved[1, active, np.newaxis]
        now = np.rint(2 * (half - np.array([dx[:, half], dy[:, half]]))).astype(np.intp)
        changed = (now != middle[:, active]).any(axis=0)
        middle[:, active] = now
        if changed.any():
            some = active[changed]
            light[some] = values[some] * (own[some] & _opposite(own[some], *middle[:, some]))
        weight = _gaussians(dx, dy, window[active])
        weight *= light[active]
        columns, rows = weight.sum(axis=1), weight.sum(axis=2)
        total = columns.sum(axis=1)
        norm = np.where(total > 0, total, np.nan)
        # The window draws every step back by half.
        step = 2 * np.array([(columns * dx).sum(axis=1), (rows * dy).sum(axis=1)]) / norm
        lost = ~(np.hypot(*(moved[:, active] + step)) < half)
        step[:, lost] = 0.0
        moved[:, active] += step
        active = active[np.abs(step).max(axis=0) >= _CENTROID_STEP]
        if not active.size:
            break
    return stamps.x + moved[0], stamps.y + moved[1]


def _gaussians(dx: Float64, dy: Float64, window: Float64) -> Float64:
    """Gaussians cut off at 4 sigma on stamps, from the distances of their columns and rows."""
    sigma2 = window[:, np.newaxis] ** 2
    square_x, square_y = dx**2, dy**2
    weight = np.exp(square_y / (-2 * sigma2))[:, :, np.newaxis] * np.exp(square_x / (-2 * sigma2))[:, np.newaxis]
    weight *= square_y[:, :, np.newaxis] + square_x[:, np.newaxis] <= 16 * sigma2[:, :, np.newaxis]
    return np.asarray(weight)


def _opposite(own: Bool, column: Index, row: Index) -> Bool:
    """What stamps are at the pixels opposite to each across a centre; False beyond them.

    `column` and `row` are those of the centres, times two.
    """
    index = np.arange(own.shape[1])
    across, down = column[:, np.newaxis] - index, row[:, np.newaxis] - index
    there = (down >= 0) & (down < len(index))
    there = there[:, :, np.newaxis] & ((across >= 0) & (across < len(index)))[:, np.newaxis]
    source = np.arange(len(own))[:, np.newaxis, np.newaxis]
    last = len(index) - 1
    return np.asarray(there & own[source, down.clip(0, last)[:, :, np.newaxis], across.clip(0, last)[:, np.newaxis]])


def _positions(scene: Scene, centre: _Centres, window: Float64, noise_factor: Float64) -> dict[str, NDArray[Any]]:
    """1-based positions in the frame with the variances of windowed centroids (SExtractor manual, ERRX2WIN)."""
    half = int(np.ceil(4 * window.max()))
    stamps = _Stamps(scene, centre, half)
    dx, dy = stamps.dx[:, 0, :], stamps.dy[:, :, 0]
    weight = _gaussians(dx, dy, window)
    total = (weight * stamps.cut(scene.data)).sum(axis=(1, 2))
    factor = 2 * noise_factor / np.where(total > 0, total, np.nan)
    noise = weight**2 * stamps.cut(scene.variance)
    columns, rows = noise.sum(axis=1), noise.sum(axis=2)
    mixed = np.einsum("nyx,nx->ny", noise, dx)
    return {
        "X_IMAGE": centre.x + scene.origin[0] + 1.0,
        "Y_IMAGE": centre.y + scene.origin[1] + 1.0,
        "ERRX2_IMAGE": (columns * dx**2).sum(axis=1) * factor**2,
        "ERRY2_IMAGE": (rows * dy**2).sum(axis=1) * factor**2,
        "ERRXY_IMAGE": (mixed * dy).sum(axis=1) * factor**2,
    }


def _core_fwhm(scene: Scene, centre: _Centres, half_light: Float64) -> Float64:
    """Full width at half maximum of the core: a Gaussian through the pixels above about a third of the peak.

    ln I = ln P - r² / (2 sigma²) is fitted with weights I² to the pixels nearer than 0.6 FWHM, until the
    width stays. Wings do not enter, whatever the profile; the pixels themselves broaden the result.
    """
    start = np.where(np.isfinite(half_light), 2 * half_light, 4.0)
    fwhm = np.empty_like(start)
    # A few wide sources need large stamps, the others do not.
    wide = start > _WIDE_CORE * median(start)
    for members in (np.flatnonzero(~wide), np.flatnonzero(wide)):
        if members.size:
            fwhm[members] = _fitted_fwhm(scene, _Centres(centre.x[members], centre.y[members]), members, start[members])
    return fwhm


def _fitted_fwhm(scene: Scene, centre: _Centres, members: Index, start: Float64) -> Float64:
    """Widths of some sources, rows of the labels, from first guesses; see `_core_fwhm`."""
    half = int(np.clip(np.ceil(1.2 * start.max()), 4, _MAX_STAMP))
    stamps = _Stamps(scene, centre, half)
    values = np.where(stamps.own(scene, members), stamps.cut(scene.data), 0.0).astype(np.float64)
    r2 = stamps.dx**2 + stamps.dy**2
    log = np.log(np.where(values > 0, values, 1.0))
    squared = np.where(values > 0, values, 0.0) ** 2
    moments = np.array([squared, squared * r2, squared * log, squared * r2**2, squared * r2 * log])
    moments, r2 = moments.reshape(5, len(r2), -1), r2.reshape(len(r2), -1)
    fwhm = start
    for _ in range(8):
        within = r2 <= np.maximum(0.6 * fwhm, _MIN_CORE)[:, np.newaxis] ** 2
        norm, wr, wl, wrr, wrl = np.einsum("knp,np->kn", moments, within.astype(np.float64))
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = (wr * wl - norm * wrl) / (norm * wrr - wr**2)
            width = 2 * np.sqrt(np.log(2) / np.where(slope > 0, slope, np.nan))
        fwhm = np.where(np.isfinite(width), np.minimum(width, 2.0 * half), fwhm)
    return np.where(np.isfinite(width), fwhm, np.nan)


def _shapes(ellipses: Ellipses) -> dict[str, NDArray[Any]]:
    return {
        "A_IMAGE": ellipses.a,
        "B_IMAGE": ellipses.b,
        "THETA_IMAGE": np.degrees(ellipses.theta),
        "ELLIPTICITY": 1.0 - ellipses.b / ellipses.a,
    }


def _error_ellipses(columns: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Axes and angle of the position errors."""
    xx, yy, xy = (columns[name] for name in ("ERRX2_IMAGE", "ERRY2_IMAGE", "ERRXY_IMAGE"))
    mean, spread = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    return {
        "ERRA_IMAGE": np.sqrt(mean + spread),
        "ERRB_IMAGE": np.sqrt(np.maximum(mean - spread, 0.0)),
        "ERRTHETA_IMAGE": np.degrees(0.5 * np.arctan2(2 * xy, xx - yy)),
    }


def _flags(scene: Scene, objects: NDArray[Any], unlike: Bool) -> dict[str, NDArray[Any]]:
    """What is doubtful about each source, from the quality bits on and right beside its pixels."""
    import sep

    number = len(objects) + 1
    doubtful = (scene.bits != 0) | scene.hidden
    pixels = np.flatnonzero(doubtful)
    if pixels.size > _FEW_HIDDEN * doubtful.size:
        pixels = np.flatnonzero(doubtful & near(scene.labels != 0, 1))
    names = _label_on_or_beside(scene.labels, pixels)
    pixels, names = pixels[names > 0], names[names > 0]
    bits = scene.bits.ravel()[pixels]
    image_flags = np.zeros(number, np.int64)
    np.bitwise_or.at(image_flags, names, bits)
    flagged = np.bincount(names[bits != 0], minlength=number)
    cut = np.bincount(names[scene.hidden.ravel()[pixels]], minlength=number)[1:] > 0
    cut |= (objects["flag"] & sep.OBJ_TRUNC) != 0
    saturated = (image_flags[1:] & SATURATED) != 0
    blended = (objects["flag"] & sep.OBJ_MERGED) != 0
    blended |= unlike & ~saturated & ~cut
    return {
        "FLAGS": _BLENDED * blended + _SATURATED * saturated + _CUT * cut,
        "IMAFLAGS_ISO": image_flags[1:],
        "NIMAFLAGS_ISO": flagged[1:],
    }


def _label_on_or_beside(labels: NDArray[np.int32], pixels: Index) -> NDArray[np.int32]:
    """Labels of pixels (places in the flattened image); of those between sources the largest of their neighbours."""
    (ny, nx), (y, x) = labels.shape, np.divmod(pixels, labels.shape[1])
    found = labels[y, x]
    free = np.flatnonzero(found == 0)
    for dy, dx in square_offsets(1):
        beside = labels[(y[free] + dy).clip(0, ny - 1), (x[free] + dx).clip(0, nx - 1)]
        found[free] = np.maximum(found[free], beside)
    return found


def _profile(scene: Scene, centre: _Centres, flux: Float64, half: int) -> dict[str, NDArray[Any]]:
    """Peak, width of the area above half of it, and diameter that holds half of the flux."""
    stamps = _Stamps(scene, centre, half)
    values = stamps.cut(scene.data)
    inner = values[:, half - 2 : half + 3, half - 2 : half + 3]
    peak = inner.max(axis=(1, 2))
    r2 = stamps.dx**2 + stamps.dy**2
    above = values > peak[:, np.newaxis, np.newaxis] / 2
    first = above.sum(axis=(1, 2))
    # Neighbours above half of the peak lie outside the circle of one and a half times the area.
    near = above & (r2 < 1.5 * first[:, np.newaxis, np.newaxis] / np.pi)
    area = near.sum(axis=(1, 2))
    order = np.argsort(r2.reshape(len(r2), -1), axis=1)
    growth = np.cumsum(np.take_along_axis(values.reshape(len(values), -1), order, axis=1), axis=1)
    reached = growth >= flux[:, np.newaxis] / 2
    radius2 = np.take_along_axis(r2.reshape(len(r2), -1), order, axis=1)
    half_light = np.sqrt(np.take_along_axis(radius2, reached.argmax(axis=1)[:, np.newaxis], axis=1)[:, 0])
    (ny, nx), (x0, y0) = scene.frame_shape, scene.origin
    x, y = np.rint(centre.x) + x0, np.rint(centre.y) + y0
    whole = (x >= half) & (x < nx - half) & (y >= half) & (y < ny - half) & (peak > 0)
    return {
        "FLUX_MAX": np.where(peak > 0, peak, values[:, half, half]),
        "PROFILE_FWHM": np.where(whole, 2 * np.sqrt(area / np.pi), np.nan),
        "PROFILE_EE50": np.where(whole & reached.any(axis=1) & (flux > 0), 2 * half_light, np.nan),
    }


def _nearest(scene: Scene, centre: _Centres) -> tuple[Index, Index]:
    ny, nx = scene.data.shape
    return (
        np.clip(np.rint(centre.y).astype(np.intp), 0, ny - 1),
        np.clip(np.rint(centre.x).astype(np.intp), 0, nx - 1),
    )


class _Stamps:
    """Square cut-outs around all sources, ``(n, 2 half + 1, 2 half + 1)``; 0 beyond the scene.

    ``dx`` and ``dy`` are the distances of their pixels from the exact centres.
    """

    def __init__(self, scene: Scene, centre: _Centres, half: int) -> None:
        offset = np.arange(-half, half + 1)
        rows, columns = _nearest(scene, centre)
        self._rows = rows[:, np.newaxis, np.newaxis] + offset[:, np.newaxis]
        self._columns = columns[:, np.newaxis, np.newaxis] + offset
        ny, nx = scene.data.shape
        inside_y = (self._rows >= 0) & (self._rows < ny)
        self._inside = inside_y & (self._columns >= 0) & (self._columns < nx)
        self._rows, self._columns = self._rows.clip(0, ny - 1), self._columns.clip(0, nx - 1)
        self.x, self.y = centre.x, centre.y
        self.dx = offset + (columns - centre.x)[:, np.newaxis, np.newaxis]
        self.dy = offset[:, np.newaxis] + (rows - centre.y)[:, np.newaxis, np.newaxis]

    def cut(self, plane: NDArray[Any]) -> NDArray[Any]:
        """The stamps of one plane."""
        return np.where(self._inside, plane[self._rows, self._columns], 0)

    def own(self, scene: Scene, members: Index) -> Bool:
        """Pixels that are usable and belong to no other source than that of the stamp, a row of the labels."""
        labels = self.cut(scene.labels)
        source = members[:, np.newaxis, np.newaxis] + 1
        return np.asarray(~self.cut(scene.hidden).astype(bool) & ((labels == 0) | (labels == source)))
