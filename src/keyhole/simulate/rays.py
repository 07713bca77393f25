"""Where cosmic rays hit the lit part of the science frames: the part of the truth that judges their removal."""

from __future__ import annotations

import numpy as np

from keyhole.simulate.artefacts import cosmic_rays
from keyhole.simulate.night import Night
from keyhole.simulate.streams import stream
from keyhole.simulate.tables import Column

__all__ = ["ray_columns"]

_LEAST = 5.0  # electrons; less is lost in any noise


def ray_columns(night: Night) -> list[Column]:
    """List every lit pixel of a science frame in which a cosmic ray set electrons free.

    Parameters
    ----------
    night : Night
        The night.

    Returns
    -------
    list of Column
        Name of the frame, number of the hit in it, pixel, electrons before response and saturation.
    """
    from scipy.ndimage import label  # slow import

    names: list[str] = []
    numbers: list[int] = []
    places: list[tuple[float, float]] = []
    electrons: list[float] = []
    for plan in night.science if night.options.has("cosmic-rays") else []:
        rng = stream(night.seed, "cosmic rays", plan.serial)
        impacts = cosmic_rays(night.instrument.shape, plan.total_exptime, rng)
        hits, _ = label(impacts > 0, structure=np.ones((3, 3)))
        seen = (impacts > _LEAST) & (night.opening.transmission(*plan.flexure) > 0.5)
        for y, x in zip(*np.nonzero(seen), strict=True):
            names.append(plan.name)
            numbers.append(int(hits[y, x]))
            places.append((float(x), float(y)))
            electrons.append(float(impacts[y, x]))
    return [
        Column("name", "", "file", names),
        Column("hit", "", "number of the hit in the frame", numbers),
        Column("x", "pix", "x in the frame, first pixel is 0", [place[0] for place in places]),
        Column("y", "pix", "y in the frame, first pixel is 0", [place[1] for place in places]),
        Column("electrons", "electron", "set free in the pixel", electrons),
    ]
