"""Removing what the read-out adds to single frames."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from keyhole.errors import ParameterError
from keyhole.frames import Frame, Window
from keyhole.imaging import bits
from keyhole.imaging.levels import lit_box
from keyhole.imaging.readout import PatternRules, QuadrantPattern, away_from, measure_readout, quadrants
from keyhole.primitives.base import Context, Params, Positive, Sigma, primitive

__all__ = ["CleanReadoutParams", "clean_readout"]

# Pixels next to the lit area that may still see some light.
_SOFT_EDGE = 5
# Rows above and below the lit area that tell about it.
_ROWS_AROUND = 64


class CleanReadoutParams(Params):
    """Parameters of cleanReadout."""

    suffix: str | None = Field("_readoutCleaned", description="Ending of the output name")
    clean: Literal["default", "force", "skip"] = Field(
        "default",
        description="default = only if the pattern is strong enough; force = always; skip = never, as published",
    )
    hsigma: Sigma = Field(3.0, description="Upper clip (sigma) when forming the pattern box")
    lsigma: Sigma = Field(3.0, description="Lower clip (sigma) when forming the pattern box")
    pattern_x_size: int = Field(16, ge=2, le=64, description="Pattern box width (pixels, power of 2)")
    pattern_y_size: int = Field(4, ge=1, le=64, description="Pattern box height (pixels, power of 2)")
    debug_subtract_background: bool = Field(True, description="Remove the mean of each box first")
    level_bias_offset: bool = Field(True, description="Bring the unlit pixels of each quadrant to zero")
    smoothing_extent: Positive = Field(
        5, description="Accepted for compatibility; quadrants are levelled by all their unlit pixels"
    )
    intraquad_smooth: Positive = Field(50, description="Accepted for compatibility; as smoothing_extent")
    sg_win_size: int = Field(25, ge=3, description="Rows over which the strength of the pattern is averaged")
    simple_thres: float = Field(0.6, ge=0, description="Part of its full strength above which the pattern is there")
    pat_strength_thres: float = Field(
        15.0, ge=0, description="Sigma by which the scatter must drop beyond chance for a quadrant to be cleaned"
    )
    row_strength_thres: float | None = Field(
        5.0, ge=0, description="The same for offsets of rows; None = rows are left as they are, as published"
    )
    debug_canny_sigma: float = Field(3.0, ge=1, description="Accepted for compatibility; no edges are sought")


@primitive("cleanReadout", CleanReadoutParams, scope="frame", stamp="CLNREAD", windowed=True)
def clean_readout(frames: list[Frame], params: CleanReadoutParams, context: Context) -> list[Frame]:
    """Subtract pattern and row offsets of the read-out where they are significant.

    They are measured in each frame and quadrant on the unlit pixels around the keyhole, so that
    stars leave no trace in them. Where nothing is significant nothing is subtracted.
    """
    rules = _rules(params)
    if params.clean == "skip":
        return frames
    for frame in frames:
        rows, dark = _unlit(frame)
        parts = _parts(frame, rows)
        allowed = rules
        if not _knows_unlit(frame):
            # The level of lit pixels, and what their rows have in common, is the sky.
            context.caveat(
                "no pixel is known to be without light: of the read-out only its pattern is removed", [frame]
            )
            allowed = replace(rules, level=False, rows=np.inf)
        found = measure_readout(frame.data[rows], dark, parts=parts, rules=allowed)
        frame.data = frame.data.copy()
        frame.data[rows] -= found.offsets
        _tell(frame, found.quadrants, context)
    return frames


def _rules(params: CleanReadoutParams) -> PatternRules:
    for name in ("pattern_x_size", "pattern_y_size"):
        size = getattr(params, name)
        if size & (size - 1):
            raise ParameterError(f"cleanReadout: {name}={size} is no power of 2; the published box is 16 x 4 pixels")
    return PatternRules(
        box=(params.pattern_y_size, params.pattern_x_size),
        lsigma=params.lsigma,
        hsigma=params.hsigma,
        subtract_background=params.debug_subtract_background,
        strength=params.pat_strength_thres,
        force=params.clean == "force",
        smooth=params.sg_win_size,
        on_off=params.simple_thres,
        rows=np.inf if params.row_strength_thres is None else params.row_strength_thres,
        level=params.level_bias_offset,
    )


def _parts(frame: Frame, rows: slice) -> list[tuple[slice, slice]]:
    """The quadrants in some rows of a frame, which may be a part of its image."""
    ny, nx = frame.data.shape
    window = frame.window or Window((ny, nx), (0, 0))
    y0, x0 = window.origin
    return quadrants(window.shape, slice(rows.start + y0, rows.stop + y0), slice(x0, x0 + nx))


def _knows_unlit(frame: Frame) -> bool:
    """Whether some pixels are known to see no light; a dark sees none at all."""
    unlit = frame.mask is not None and bool((frame.mask & bits.MASK_DTYPE(bits.UNILLUMINATED)).any())
    return unlit or bool(frame.tags & {"DARK", "BIAS"})


def _unlit(frame: Frame) -> tuple[slice, NDArray[np.bool_]]:
    """Rows that are cleaned, and their good pixels without light; all of them where no keyhole is drawn."""
    ny = frame.data.shape[0]
    if frame.mask is None:
        return slice(0, ny), np.isfinite(frame.data)
    lit = (frame.mask & bits.UNILLUMINATED) == 0
    if lit.all() or not lit.any():
        return slice(0, ny), np.asarray((frame.mask & ~bits.MASK_DTYPE(bits.UNILLUMINATED)) == 0)
    box = lit_box(lit)
    rows = slice(max(box[0].start - _ROWS_AROUND, 0), min(box[0].stop + _ROWS_AROUND, ny))
    dark = frame.mask[rows] == bits.UNILLUMINATED
    return rows, dark & away_from(lit[rows], _SOFT_EDGE)


def _tell(frame: Frame, found: list[QuadrantPattern], context: Context) -> None:
    """Write down what was subtracted. Changes `frame`."""
    pattern = [q.rms for q in found if q.rms > 0]
    rows = [q.row_rms for q in found if q.row_rms > 0]
    for key, values, meaning in (
        ("PATRMS", pattern, "Largest rms of the pattern subtracted (electron)"),
        ("ROWRMS", rows, "Largest rms of the row offsets subtracted (electron)"),
    ):
        frame.header[key] = (round(max(values, default=0.0), 3), meaning)
    words = [f"a pattern of {max(pattern):.1f} e- rms in {len(pattern)} quadrants"] if pattern else []
    words += [f"row offsets of {max(rows):.1f} e- rms"] if rows else []
    if words:
        context.note(f"{frame.root}: {' and '.join(words)} subtracted")
