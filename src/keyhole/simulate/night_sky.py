"""Light that fills the keyhole: the sky, its changes, and the calibration lamp."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.simulate.slot import Slot
from keyhole.simulate.streams import stream

__all__ = ["BANDS", "LAMP_ELECTRONS", "Band", "SkyDrift", "bar_coordinates", "lamp_pattern"]


class Band(NamedTuple):
    """Brightness in one filter.

    Attributes
    ----------
    zeropoint : float
        Magnitude of a star that gives one electron per second.
    sky : float
        Electrons per second in a pixel of 0.1517 arcsec.
    thermal : float
        The part of `sky` that comes from telescope and instrument and remains with the calibration unit in
        the beam.
    """

    zeropoint: float
    sky: float
    thermal: float


# J is set by two observations of the tutorial's field: a sky of 3720 electrons in 60 s, and a 13.2 mag star
# that comes near the well in 60 s.  The others follow from it with typical Mauna Kea sky brightness and
# filter widths.
BANDS: dict[str, Band] = {
    "YPHOT": Band(24.3, 28.0, 0.05),
    "JPHOT": Band(24.5, 57.0, 0.05),
    "J": Band(24.58, 62.0, 0.05),
    "H": Band(24.6, 380.0, 0.5),
    "H2": Band(21.9, 35.0, 3.0),
    "KPHOT": Band(23.9, 380.0, 60.0),
    "K": Band(24.1, 430.0, 75.0),
}

LAMP_ELECTRONS = 35000.0
"""Electrons per pixel of one lamp flat; the lamp's filters keep it the same for all bands."""

_LAMP_PATTERN = 0.05
_DRIFT_WAVES = ((0.030, 4000.0), (0.015, 1300.0))  # amplitude, period in s
_FLICKER = 0.003
_SLOPE = 0.01
_SLOPE_PERIOD = 9000.0  # s


class SkyDrift:
    """Level and slope of the sky as functions of time.

    Parameters
    ----------
    seed : int
        Seed of the night.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        rng = stream(seed, "sky drift")
        self._phases = rng.uniform(0, 2 * np.pi, len(_DRIFT_WAVES))
        self._slope_phases = rng.uniform(0, 2 * np.pi, 2)

    def level(self, seconds: float, index: int) -> float:
        """Give the level at a time (s), 1 on average; every frame flickers a little on its own."""
        waves = zip(_DRIFT_WAVES, self._phases, strict=True)
        slow = sum(size * np.sin(2 * np.pi * seconds / period + phase) for (size, period), phase in waves)
        return float(1.0 + slow + _FLICKER * stream(self._seed, "sky flicker", index).standard_normal())

    def slope(self, seconds: float) -> tuple[float, float]:
        """Give the slope along and across the slot: relative change from the centre to the end."""
        phases = 2 * np.pi * seconds / _SLOPE_PERIOD + self._slope_phases
        along, across = _SLOPE * np.sin(phases)
        return float(along), float(across)


def bar_coordinates(opening: Slot) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Give (u, v) of every pixel: -1 to 1 along and across the keyhole's box."""
    box_y, box_x = opening.box()
    y, x = np.ogrid[: opening.shape[0], : opening.shape[1]]
    u = (x - (box_x.start + box_x.stop - 1) / 2) / ((box_x.stop - box_x.start) / 2)
    v = (y - (box_y.start + box_y.stop - 1) / 2) / ((box_y.stop - box_y.start) / 2)
    return u.astype(np.float32), v.astype(np.float32)


def lamp_pattern(opening: Slot, lit: NDArray[np.bool_], *, seed: int) -> NDArray[np.float32]:
    """Draw how unevenly the lamp lights the keyhole: smooth, +-5 %, median 1 inside.

    Parameters
    ----------
    opening : Slot
        The keyhole.
    lit : ndarray of bool, shape (ny, nx)
        Its pixels.
    seed : int
        Seed of the night.

    Returns
    -------
    ndarray of float32, shape (ny, nx)
    """
    rng = stream(seed, "lamp")
    u, v = bar_coordinates(opening)
    # A wave and a lean along the slot, a lean and a bow across it; on purpose not a polynomial.
    wave = np.sin(rng.uniform(1.2, 2.6) * u + rng.uniform(0, 2 * np.pi))
    field = wave + rng.normal(0, 0.5) * u + rng.normal(0, 0.3) * v + rng.normal(0, 0.2) * u * v
    field = field + rng.normal(0, 0.2) * np.cos(1.5 * v)
    inside = field[lit]
    middle, half = np.median(inside), (inside.max() - inside.min()) / 2
    # The pattern far outside the keyhole is never seen; keep it within bounds.
    pattern: NDArray[np.float32] = 1.0 + _LAMP_PATTERN * np.clip((field - middle) / half, -2.0, 2.0)
    return pattern.astype(np.float32)
