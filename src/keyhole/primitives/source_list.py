"""The catalogue of a frame as registration and photometry want it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keyhole.frames import Frame

__all__ = ["BLEND_ERROR", "CUT_ERROR", "source_list"]

# Bit of FLAGS for sources whose pixels are cut off.
_CUT = 8
# Bits of FLAGS for neighbours and blends.
_BLENDED = 3
BLEND_ERROR = 0.2
"""How far off the centre of a blended source may be, pixels: in bad seeing its neighbour draws it."""
CUT_ERROR = 1.5
"""How far off the centre of a source that is cut may be, pixels."""


def source_list(frame: Frame, *, stars_only: bool) -> NDArray[np.float64]:
    """Positions (0-based), fluxes, position errors and flux errors of the catalogue of a frame, ``(n, 5)``.

    The position error is given for sources that are blended, and for those that reach beyond the lit area: their
    centre is that of what is left of them. It is NaN for all others, as is a flux error that is not known.
    """
    table = frame.tables.get("OBJCAT")
    if table is None:
        return np.zeros((0, 5))
    columns = [table.columns[name] for name in ("X_IMAGE", "Y_IMAGE", "FLUX_AUTO")]
    flags = table.columns["FLAGS"]
    error = np.where(flags & _CUT, CUT_ERROR, np.where(flags & _BLENDED, BLEND_ERROR, np.nan))
    noise = table.columns.get("FLUXERR_AUTO", np.full(len(flags), np.nan))
    values = np.column_stack([*columns, error, noise]).astype(np.float64) - [1.0, 1.0, 0.0, 0.0, 0.0]
    kept = np.isfinite(values[:, :3]).all(axis=1)
    if stars_only:
        kept &= table.columns["CLASS_STAR"] > 0.8
    return np.asarray(values[kept])
