"""Keeping the books of the noise: what of it frames have in common, from the masters to the stack.

Cards and tables that travel with the frames: ``CALNOISE`` is the noise that the masters added to a frame, and
the table ``SKYUSED`` names the frames in its sky with the part of its variance that each of them brought. From
these, and from where the frames lie in the stack, follows the covariance of the stack's pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.frames import Frame, MasterPart, Table
from keyhole.imaging import bits
from keyhole.imaging.apertures import adopted_factors, empty_apertures
from keyhole.imaging.combine import Combined
from keyhole.imaging.covariance import Covariance, StackInput, aperture_factor, independent, stack_covariance
from keyhole.imaging.kernels import kernel_power
from keyhole.imaging.medians import median
from keyhole.imaging.objects import safe_width, single_frame_objects

__all__ = [
    "ApertureNoise",
    "coverage",
    "describe_noise",
    "exposure_shares",
    "keep_sky_shares",
    "record_dark_noise",
    "record_flat_noise",
    "record_interpolation",
    "shared_noise",
    "stack_inputs",
    "typical_variance",
]

MASTER_KEY = "CALNOISE"
INTERPOLANT_KEY = "INTERPOL"
TURNED_KEY = "RESTURN"
SKY_TABLE = "SKYUSED"
COVARIANCE_TABLE = "NOISECOV"
APERTURE_TABLE = "APNOISE"

_RADII = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0, 9.0, 12.0, 15.0)  # pixels
_LONG_RADII = (20.0, 30.0, 45.0)
_FINE_SCALE = 0.1  # arcsec per pixel
_WIDE_SEEING = 0.75  # arcsec, where it is not known
_WING_SIGMA = 0.1  # of a pixel: starlight that is not empty sky
_WORTH_A_WORD = 0.01
_STEP = 3  # pixels: a fair sample tells the median
_SAMPLE = 40_000
_MANY_PIXELS = 300_000
_LEAST_SHARE = 1e-4


class _FlatSample(NamedTuple):
    """Regular pixels of a flat, each (ny, nx): whether they can be used, value and variance."""

    good: NDArray[np.bool_]
    data: NDArray[np.float32]
    variance: NDArray[np.float32]


def record_dark_noise(frame: Frame, dark: MasterPart) -> None:
    """Write down the noise that the dark adds to every frame it is subtracted from. Changes `frame`."""
    _record(frame, dark.once(_dark_variance))


def record_flat_noise(frame: Frame, flat: MasterPart, quotient: NDArray[Any]) -> None:
    """Write down the noise that the masters have in a frame divided by its flat. Changes `frame`.

    Parameters
    ----------
    quotient : (ny, nx) float32
        The frame after the division.
    """
    sample = flat.once(_flat_sample)
    if sample is None:
        return
    part = _fair_part(quotient)
    good = sample.good if frame.mask is None else sample.good & bits.usable(frame.mask[part])
    before = float(frame.header.get(MASTER_KEY, 0.0)) ** 2
    added = quotient[part][good] ** 2 * sample.variance[good] + np.float32(before)
    _record(frame, _middle(added / sample.data[good] ** 2))


def _dark_variance(dark: Frame) -> float | None:
    """Usual variance of a pixel of a dark."""
    if dark.variance is None:
        return None
    part = _fair_part(dark.data)
    good = np.ones(dark.data[part].shape, bool) if dark.mask is None else bits.usable(dark.mask[part])
    return _middle(dark.variance[part][good])


def _flat_sample(flat: Frame) -> _FlatSample | None:
    if flat.variance is None:
        return None
    part = _fair_part(flat.data)
    good = flat.data[part] > 0
    if flat.mask is not None:
        good &= bits.usable(flat.mask[part])
    return _FlatSample(good, flat.data[part].copy(), flat.variance[part].copy())


def _fair_part(image: NDArray[Any]) -> tuple[slice, slice]:
    """Every third pixel along both axes, fewer of a large image; an odd step, as the patterns of arrays are even."""
    step = max(_STEP, int((image.size / _SAMPLE) ** 0.5) | 1)
    return np.s_[::step, ::step]


def _middle(variances: NDArray[Any]) -> float | None:
    return median(variances) if variances.size else None


def _record(frame: Frame, variance: float | None) -> None:
    if variance is not None:
        noise = float(np.sqrt(np.float32(variance)))
        frame.header[MASTER_KEY] = (round(noise, 4), "Noise of the masters in a pixel")


def shared_noise(frames: Sequence[Frame], associations: Sequence[Sequence[int]]) -> list[float]:
    """Variance of the masters in each frame that leaves with its sky: all, if its skies had the same masters."""
    masters = [(frame.primary.get("DARKIM"), frame.primary.get("FLATIM")) for frame in frames]
    shared = []
    for frame, own, skies in zip(frames, masters, associations, strict=True):
        same = bool(len(skies)) and all(masters[j] == own for j in skies)
        shared.append(float(frame.header.get(MASTER_KEY, 0.0)) ** 2 if same else 0.0)
    return shared


def keep_sky_shares(frame: Frame, members: Sequence[str], share: float) -> None:
    """Attach the names of the frames in a sky, with what each added to the variance of the frame.

    Parameters
    ----------
    members : sequence of str
        Root names of the frames that the sky was made of.
    share : float
        Part of the variance that came from all of them together.
    """
    frame.header.remove(MASTER_KEY, ignore_missing=True)
    if members and share > 0:
        frame.tables[SKY_TABLE] = Table(
            {
                "SKYNAME": np.array(members, dtype=np.str_),
                "SHARE": np.full(len(members), share / len(members), np.float32),
            }
        )


@dataclass
class ApertureNoise:
    """Noise of the apertures of a frame: its table, or one number for all radii.

    Attributes
    ----------
    table : Table or None
        Radius and factor, see `describe_noise`.
    usual : float
        What to take without a table.
    """

    table: Table | None
    usual: float = 1.0

    @classmethod
    def of(cls, frame: Frame) -> ApertureNoise:
        """What the frame states of itself; independent pixels if nothing."""
        return cls(frame.tables.get(APERTURE_TABLE), float(frame.header.get("CORRNOIS", 1.0)))

    @property
    def known(self) -> bool:
        """Whether there is a table to compare with."""
        return self.table is not None

    def at(self, radii: NDArray[np.float64]) -> NDArray[np.float64]:
        """Factors for circles of the given radii in pixels."""
        if self.table is None:
            return np.full(np.shape(radii), self.usual)
        return np.asarray(np.interp(radii, self.table.columns["RADIUS"], self.table.columns["FACTOR"]), np.float64)

    def check(self, frame: Frame, objmask: NDArray[np.uint8]) -> dict[float, float]:
        """Measure the factors in the empty parts of a frame, and adopt what is significantly larger.

        Changes the table and card CORRNOIS of `frame`.

        Parameters
        ----------
        objmask : (ny, nx) uint8
            1 on objects.

        Returns
        -------
        dict of float to float
            Radii whose factor was raised, and measured over predicted factor.
        """
        if self.table is None or frame.variance is None:
            return {}
        columns = self.table.columns
        good = frame.variance > 0
        if frame.mask is not None:
            good &= bits.usable(frame.mask)
        scale = float(frame.describe("pixel_scale") or 1.0)
        fwhm = float(frame.primary.get("MEANFWHM", _WIDE_SEEING)) / scale
        objects = single_frame_objects(frame.data, good, grow=fwhm, wing_sigma=_WING_SIGMA, fwhm=safe_width(fwhm))
        empty = good & ~objects & (objmask == 0)
        found = empty_apertures(frame.data, frame.variance, empty, columns["RADIUS"].tolist())
        columns["MEASURED"] = found.factor.astype(np.float32)
        columns["NUMBER"] = found.number.astype(np.int32)
        adopted = adopted_factors(columns["PREDICTED"], found)
        raised = adopted > columns["PREDICTED"] * (1 + _WORTH_A_WORD)
        columns["FACTOR"] = adopted.astype(np.float32)
        frame.header["CORRNOIS"] = round(float(adopted.max()), 4)
        ratio = adopted / columns["PREDICTED"]
        return {float(columns["RADIUS"][k]): float(ratio[k]) for k in np.flatnonzero(raised)}


def record_interpolation(frame: Frame, interpolant: str, factor: float, *, turned: bool) -> None:
    """Write down how a frame was put on another grid. Changes `frame`.

    Parameters
    ----------
    factor : float
        Noise of wide apertures over that of their pixels that the interpolation causes.
    turned : bool
        Whether the frame was rotated.
    """
    before = float(frame.header.get("CORRNOIS", 1.0)) if frame.tables.pop(APERTURE_TABLE, None) else 1.0
    frame.header["CORRNOIS"] = (round(factor * before, 4), "Largest noise of an aperture over that of its pixels")
    frame.header[INTERPOLANT_KEY] = (interpolant, "Kernel of the interpolation")
    frame.header[TURNED_KEY] = (turned, "Whether the frame was rotated")


def coverage(frames: Sequence[Frame], combined: Combined | None) -> NDArray[np.int16]:
    """Number of raw frames in each pixel of a combination; None: of the single frame itself."""
    if combined is None:
        return _frames_in(frames[0])
    if not any("COVERAGE" in frame.planes for frame in frames):
        used = len(frames) - combined.unused
        return np.where(bits.usable(combined.mask), used, 0).astype(np.int16)
    total = np.zeros(combined.data.shape, np.int16)
    for frame in frames:
        total += _frames_in(frame)
    return np.where(bits.usable(combined.mask), total, 0).astype(np.int16)


def exposure_shares(frames: Sequence[Frame]) -> list[NDArray[np.float32]] | None:
    """Number of exposures in each pixel of combinations over the usual number, for their weights; None for raw frames.

    The noise of a combination follows this number, to the edges, and unlike VAR it knows nothing of the light. The
    usual number is that where the variance is the usual one.
    """
    if not any("COVERAGE" in frame.planes for frame in frames):
        return None
    shares = []
    for frame in frames:
        number = _frames_in(frame).astype(np.float32)
        seen = number > 0
        usual = np.median(number[seen]) if seen.any() else 1.0
        if frame.variance is not None and seen.any() and typical_variance(frame) > 0:
            usual = np.median(number[seen] * frame.variance[seen]) / typical_variance(frame)
        shares.append(number / np.float32(usual))
    return shares


def _frames_in(frame: Frame) -> NDArray[np.int16]:
    good = np.ones(frame.data.shape, bool) if frame.mask is None else bits.usable(frame.mask)
    return np.where(good, frame.planes.get("COVERAGE", np.int16(1)), 0).astype(np.int16)


def describe_noise(out: Frame, inputs: Sequence[StackInput]) -> None:
    """Attach to a combination how its pixels vary together: variance, card, tables. Changes `out`.

    Parameters
    ----------
    out : Frame
        With the variance that a combination of independent inputs would have.
    inputs : sequence of StackInput
        As `stack_inputs` gives them, with the weights.
    """
    for key in (INTERPOLANT_KEY, TURNED_KEY, MASTER_KEY):
        out.header.remove(key, ignore_missing=True)
    radii = _RADII + (_LONG_RADII if float(out.describe("pixel_scale") or 1.0) < _FINE_SCALE else ())
    known = out.variance is not None and all(item.sigma > 0 for item in inputs)
    covariance = stack_covariance(inputs, reach=2 * int(radii[-1]) + 3) if known else independent()
    if out.variance is not None:
        out.variance = out.variance * np.float32(covariance.excess)
    factors = np.array([aperture_factor(covariance, radius) for radius in radii])
    out.header["CORRNOIS"] = (round(float(factors.max()), 4), "Largest noise of an aperture over that of its pixels")
    out.header["SKYNOISE"] = (round(float(np.sqrt(typical_variance(out))), 4), "Noise of a pixel without stars")
    out.tables.pop(SKY_TABLE, None)
    out.tables[COVARIANCE_TABLE] = _covariance_table(covariance)
    nothing = np.full(len(radii), np.nan, np.float32)
    out.tables[APERTURE_TABLE] = Table(
        {
            "RADIUS": np.array(radii, np.float32),
            "FACTOR": factors.astype(np.float32),
            "PREDICTED": factors.astype(np.float32),
            "MEASURED": nothing,
            "NUMBER": np.zeros(len(radii), np.int32),
        },
        {"RADIUS": "pix"},
    )


def typical_variance(frame: Frame) -> float:
    """Median variance of the usable pixels without objects; 0 where there is none."""
    if frame.variance is None:
        return 0.0
    part = _fair_part(frame.data) if frame.data.size > _MANY_PIXELS else np.s_[:, :]
    variance = frame.variance[part]
    good = np.ones(variance.shape, bool) if frame.mask is None else bits.usable(frame.mask[part])
    quiet = good & (frame.planes["OBJMASK"][part] == 0) if "OBJMASK" in frame.planes else good
    values = variance[quiet if quiet.any() else good]
    return median(values) if values.size else 0.0


def stack_inputs(frames: Sequence[Frame]) -> list[StackInput]:
    """What the noise of a mean of these frames on one grid depends on, with equal weights."""
    return [_stack_input(frame) for frame in frames]


def _stack_input(frame: Frame) -> StackInput:
    interpolant = frame.header.get(INTERPOLANT_KEY)
    turned = bool(frame.header.get(TURNED_KEY, False))
    shift = tuple(1.0 - float(frame.header.get(f"AREA1_{axis}", 1.0)) for axis in (1, 2))
    if interpolant is None:
        shift = (float(np.rint(shift[0])), float(np.rint(shift[1])))
    # The variance plane holds what the interpolation left of the noise.
    power = 1.0 if interpolant is None else kernel_power(interpolant, None if turned else shift)
    table = frame.tables.get(SKY_TABLE)
    rows = [] if table is None else list(zip(table.columns["SKYNAME"], table.columns["SHARE"], strict=True))
    return StackInput(
        shift=(shift[0], shift[1]),
        weight=1.0,
        sigma=float(np.sqrt(typical_variance(frame) / power)),
        interpolant=interpolant,
        turned=turned,
        name=frame.root,
        shares={str(name): float(share) for name, share in rows},
        covariance=_read_covariance(frame),
    )


def _covariance_table(covariance: Covariance) -> Table:
    """The covariance as a table: lags in pixels and correlation, one row of each pair of opposite lags."""
    values, reach = covariance.values, covariance.reach
    dy, dx = (grid.ravel() for grid in np.mgrid[-reach : reach + 1, -reach : reach + 1])
    half = (dy > 0) | ((dy == 0) & (dx >= 0))
    kept = half & (np.abs(values.ravel()) > _LEAST_SHARE)
    return Table(
        {
            "DX": dx[kept].astype(np.int16),
            "DY": dy[kept].astype(np.int16),
            "CORR": values.ravel()[kept].astype(np.float32),
        },
        {"DX": "pix", "DY": "pix"},
    )


def _read_covariance(frame: Frame) -> Covariance | None:
    table = frame.tables.get(COVARIANCE_TABLE)
    if table is None or not len(table):
        return None
    dx, dy = (table.columns[name].astype(int) for name in ("DX", "DY"))
    reach = int(max(np.abs(dx).max(), np.abs(dy).max()))
    values = np.zeros((2 * reach + 1, 2 * reach + 1))
    values[reach + dy, reach + dx] = table.columns["CORR"]
    values[reach - dy, reach - dx] = table.columns["CORR"]
    return Covariance(values)
