"""The catalogue of a frame as registration and photometry want it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keyhole.frames import Frame

__all__ = ["CUT_ERROR", "source_list"]

# Bit of FLAGS for sources whose pixels are cut off.
_CUT = 8
CUT_ERROR = 1.5
"""How far off the centre of a source that is cut may be, pixels."""


def source_list(frame: Frame, *, stars_only: bool) -> NDArray[np.float64]:
    """Positions (0-based), fluxes and position errors of the catalogue of a frame, ``(n, 4)``.

    The error is given for sources that reach beyond the lit area alone: their centre is that of what is left
    of them.
    """
    table = frame.tables.get("OBJCAT")
    if table is None:
        return np.zeros((0, 4))
    columns = [table.columns[name] for name in ("X_IMAGE", "Y_IMAGE", "FLUX_AUTO")]
    error = np.where(table.columns["FLAGS"] & _CUT, CUT_ERROR, np.nan)
    values = np.column_stack([*columns, error]).astype(np.float64) - [1.0, 1.0, 0.0, 0.0]
    kept = np.isfinite(values[:, :3]).all(axis=1)
    if stars_only:
        kept &= table.columns["CLASS_STAR"] > 0.8
    return np.asarray(values[kept])
