"""How much light a frame received, and which frames received none."""

from __future__ import annotations

import numpy as np

from keyhole.frames import Frame
from keyhole.imaging import bits
from keyhole.imaging.medians import median

__all__ = ["LIGHT_KEY", "has_light", "record_light"]

LIGHT_KEY = "LITLEVEL"
# Clouds dim the stars but hardly the sky; a shutter or dome in the beam takes all of it.
_DARK_SHARE = 0.1
# Below this level (electrons) the sky of the whole sequence is too faint to tell frames apart.
_LEAST_SKY = 20.0


def record_light(frame: Frame, offset: float) -> None:
    """Write the level of the lit pixels over the electronic offset into the header. Changes `frame`.

    Nothing is written for a frame in which lit and unlit pixels are not told apart.

    Parameters
    ----------
    offset : float
        Level of the unlit pixels, in the unit of the data.
    """
    if frame.mask is None or not bits.any_set(frame.mask, bits.UNILLUMINATED):
        return
    lit = bits.usable(frame.mask)
    level = median(frame.data[lit]) - offset if lit.any() else 0.0
    frame.header[LIGHT_KEY] = (round(level, 2), "Median of the lit pixels over the offset")


def has_light(frames: list[Frame]) -> list[bool]:
    """Say for each frame whether light reached the detector, by comparison with the other frames.

    A frame whose level is not recorded, and every frame of a sequence with too faint a sky, is taken to have
    light.
    """
    given = [frame.header.get(LIGHT_KEY) for frame in frames]
    levels = np.array([np.nan if level is None else float(level) for level in given])
    known = levels[np.isfinite(levels)]
    if known.size < 2:
        return [True] * len(frames)
    usual = median(known) if known.size > 2 else float(known.max())
    if usual < _LEAST_SKY:
        return [True] * len(frames)
    return [not level < _DARK_SHARE * usual for level in levels.tolist()]
