"""Combining frames: darks, lamp flats, science images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from keyhole.errors import DataError
from keyhole.frames import Frame, merge_provenance
from keyhole.frames.parking import by_rows
from keyhole.imaging.combine import Combined, Middle, combine
from keyhole.primitives.base import NonNegative, Params, Positive, Sigma

__all__ = ["StackParams", "combine_frames", "combined_header", "count_inputs"]

Operation = Literal["mean", "wtmean", "median", "lmedian"]
Rejection = Literal["none", "minmax", "sigclip", "varclip"]


class StackParams(Params):
    """Parameters shared by all steps that combine frames."""

    suffix: str | None = Field("_stack", description="Ending of the output name")
    apply_dq: bool = Field(True, description="Use the data-quality planes; False drops them")
    statsec: str | None = Field(None, description="Section x1:x2,y1:y2 (1-based, inclusive) for levels")
    operation: Operation = Field("mean", description="Estimator of the combined pixel")
    reject_method: Rejection = Field("sigclip", description="Outlier rejection before combining")
    hsigma: Sigma = Field(3.0, description="Upper clipping limit in sigma (sigclip, varclip)")
    lsigma: Sigma = Field(3.0, description="Lower clipping limit in sigma (sigclip, varclip)")
    mclip: bool = Field(True, description="Clip about the median on every pass; False = mean from the second on")
    max_iters: Positive | None = Field(None, description="Most clipping passes; None = to convergence")
    nlow: NonNegative = Field(0, description="Number of lowest pixels dropped by minmax")
    nhigh: NonNegative = Field(0, description="Number of highest pixels dropped by minmax")
    memory: float | None = Field(1.0, ge=0.01, description="Memory (GB) the stacking may use")
    debug_pixel: NonNegative | None = Field(None, description="Accepted for compatibility")
    save_rejection_map: bool = Field(False, description="Attach a plane REJMAP: inputs not used per pixel")
    debug_old_normalization: bool = Field(False, description="Accepted for compatibility")
    separate_ext: bool = Field(True, description="Treat extensions one by one; there is a single one")


def combine_frames(
    frames: list[Frame],
    params: StackParams,
    weights: Sequence[float] | None = None,
    *,
    allowed: Callable[[Middle], NDArray[np.float32]] | None = None,
    shares: Sequence[NDArray[np.float32]] | None = None,
) -> Combined:
    """Combine the planes of frames of one shape as the parameters say.

    Parameters
    ----------
    weights : n floats, optional
        Weight of each frame, for a mean.
    allowed : function of the median image, optional
        What clipping allows besides the noise, (ny, nx) float32.
    shares : n float32 arrays (ny, nx), optional
        What each pixel weighs beside the weight of its frame, for a mean.

    Raises
    ------
    DataError
        The shapes differ.
    """
    shapes = {frame.data.shape for frame in frames}
    if len(shapes) > 1:
        raise DataError(f"the frames to combine have shapes {sorted(shapes)}; resample them to one grid first")
    masks = [frame.mask for frame in frames] if params.apply_dq else []
    variances = [frame.variance for frame in frames]
    return combine(
        [by_rows(frame.data) for frame in frames],
        None if any(v is None for v in variances) else [by_rows(v) for v in variances if v is not None],
        [by_rows(m) for m in masks if m is not None] if masks and all(m is not None for m in masks) else None,
        operation=params.operation,
        reject_method=params.reject_method,
        lsigma=params.lsigma,
        hsigma=params.hsigma,
        nlow=params.nlow,
        nhigh=params.nhigh,
        mclip=params.mclip,
        max_iters=params.max_iters,
        allowed=allowed,
        weights=weights if params.operation == "mean" else None,
        shares=shares if params.operation == "mean" else None,
    )


def combined_header(
    frames: list[Frame], combined: Combined, params: StackParams, weights: Sequence[float] | None = None
) -> Frame:
    """Build the frame of a combination: headers of the first input, with what belongs to all.

    Counts, exposure and times follow the published cards; total exposure, mean time, effective read noise and
    effective gain stand beside them under their own names.
    """
    first = frames[0]
    out = first.copy()
    out.data, out.variance, out.mask = combined.data, combined.variance, combined.mask
    out.planes, out.path = {}, None
    out.tables.pop("OBJCAT", None)
    count_inputs(out, frames, weights)
    phu = out.primary
    label = str(phu.get("DATALAB", ""))
    phu["DATALAB"] = label if label.endswith("-STACK") else f"{label}-STACK"
    merge_provenance(out, frames)
    if params.save_rejection_map:
        out.planes["REJMAP"] = combined.unused
    return out


def count_inputs(out: Frame, frames: list[Frame], weights: Sequence[float] | None = None) -> None:
    """Write down what went into a combination; inputs may be combinations themselves. Changes `out`.

    Parameters
    ----------
    weights : n floats, optional
        Weights of the mean; equal if None.
    """
    phu, n = out.primary, len(frames)
    share = np.full(n, 1 / n) if weights is None else np.asarray(weights, np.float64) / np.sum(weights)
    counts = [int(frame.primary.get("NCOMBINE", 1)) for frame in frames]
    noise = [float(frame.header["RDNOISE"]) for frame in frames if "RDNOISE" in frame.header]
    if len(noise) == n:
        effective = np.array([float(frame.header.get("EFFRDN", frame.header["RDNOISE"])) for frame in frames])
        out.header["RDNOISE"] = (float(np.sqrt(np.mean(np.square(noise)))), "electrons, one exposure")
        out.header["EFFRDN"] = (float(np.sqrt(np.sum((share * effective) ** 2))), "electrons, of the combination")
    gains = [float(frame.header["GAIN"]) for frame in frames if "GAIN" in frame.header]
    if len(gains) == n:
        out.header["GAIN"] = n / sum(1 / g for g in gains)
        effective = np.array([float(frame.header.get("EFFGAIN", frame.header["GAIN"])) for frame in frames])
        out.header["EFFGAIN"] = (float(1 / np.sum(share**2 / effective)), "Photon variance is signal / EFFGAIN")
    # Without weights the inputs of the inputs count the same.
    time_share = share if weights is not None else np.array(counts) / sum(counts)
    airmasses = [(a, w) for a, w in zip((f.describe("airmass") for f in frames), time_share, strict=True) if a]
    if airmasses:
        mean = np.average([a for a, _ in airmasses], weights=[w for _, w in airmasses])
        phu["AIRMASS"] = (float(mean), "Mean airmass of the inputs")
    _times(phu, frames, time_share)
    phu["NCOMBINE"] = (sum(counts), "Number of frames combined")
    _list_inputs(phu, frames, share)


def _list_inputs(phu: Any, frames: list[Frame], share: NDArray[np.float64]) -> None:
    """Names of the raw frames, and the part that each has in the mean."""
    number = 0
    for frame, weight in zip(frames, share.tolist(), strict=True):
        names = [str(frame.primary[key]) for key in frame.primary if key.startswith("IMCMB")]
        inner = [float(frame.primary.get(f"WTCMB{k:03d}", 1 / len(names))) for k in range(1, len(names) + 1)]
        for name, part in zip(names or [f"{frame.root}.fits"], inner or [1.0], strict=True):
            number += 1
            phu[f"IMCMB{number:03d}"] = (name, "Input of the combination")
            phu[f"WTCMB{number:03d}"] = (round(weight * part, 6), "Weight of that input")


def _times(phu: Any, frames: list[Frame], share: NDArray[np.float64]) -> None:
    exposures = [f.primary.get("TOTEXP", _exposure(f)) for f in frames]
    if all(isinstance(e, (int, float)) for e in exposures):
        phu["TOTEXP"] = (float(sum(exposures)), "Exposure time of all inputs together (s)")
    times = [_middle(frame) for frame in frames]
    known = [time for time in times if time is not None]
    if len(known) == len(times):
        base = min(known)
        offsets = [(time - base).total_seconds() for time in known]
        mean = base + timedelta(seconds=float(np.average(offsets, weights=share)))
        phu["DATE-MID"] = (mean.isoformat(timespec="milliseconds"), "Weighted mean UT of mid-exposures")


def _exposure(frame: Frame) -> Any:
    """Exposure time as it was, also of a frame that was scaled to that of another one."""
    return frame.primary.get("ORIGTEXP", frame.describe("exposure_time"))


def _middle(frame: Frame) -> datetime | None:
    """Mean UT of the exposures in a frame: as written down by an earlier combination, else its own middle."""
    written = frame.primary.get("DATE-MID")
    if isinstance(written, str):
        return datetime.fromisoformat(written)
    start: datetime | None = frame.describe("ut_datetime")
    return None if start is None else start + timedelta(seconds=(_exposure(frame) or 0.0) / 2)
