"""A night with light on every pixel of the array, made of a simulated one.

python benchmarks/lit_night.py TARGET @ALL.lis @FLATS.lis
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

__all__ = ["lit_everywhere"]

# Part of the lamp's light below which a pixel lies outside of the keyhole or on its soft edge.
_FULL = 0.9
# Light of so many times the noise of a dark pixel is there.
_SEEN = 5
# Electrons per unit of a raw frame.
_GAIN = 13.5


def lit_everywhere(raw: Sequence[Path], flats: Sequence[Path], target: Path) -> None:
    """Copy raw frames and lay the light that falls into the keyhole over the rest of the array.

    Outside of the keyhole a pixel gets what an ordinary pixel inside got beyond the unlit ones, with its photon noise;
    stars stay where they are, and what lies on an unlit pixel is lost. Darks and lamp-off flats are copied as they are.

    Parameters
    ----------
    raw : paths
        All frames of a simulated night.
    flats : paths
        Those of them that are flats; one half of them has the lamp on.
    target : path
        Folder, made here.
    """
    target.mkdir(parents=True)
    levels = {path: _pixels(path) for path in flats}
    means = {path: float(image.mean()) for path, image in levels.items()}
    middle = (min(means.values()) + max(means.values())) / 2
    lamp = np.median([levels[path] for path in flats if means[path] > middle], axis=0)
    lamp = lamp - np.median([levels[path] for path in flats if means[path] <= middle], axis=0)
    outside = lamp < _FULL * np.median(lamp[lamp > np.percentile(lamp, 99) / 2])
    rng = np.random.default_rng(5)
    for path in raw:
        with fits.open(path) as hdus:
            image = hdus[-1].data
            dark = float(np.median(image[outside]))
            noise = 1.4826 * float(np.median(np.abs(image[outside] - dark)))
            light = float(np.median(image[~outside])) - dark
            if light > _SEEN * noise:
                scatter = np.sqrt(noise**2 + light / _GAIN)
                image[outside] = rng.normal(dark + light, scatter, int(outside.sum()))
            hdus.writeto(target / path.name)


def _pixels(path: Path) -> NDArray[np.float32]:
    with fits.open(path) as hdus:
        return np.asarray(hdus[-1].data, np.float32)


def _listed(word: str) -> list[Path]:
    lines = Path(word.removeprefix("@")).read_text(encoding="utf-8").split("\n")
    return [Path(line.strip()) for line in lines if line.strip() and not line.startswith("#")]


if __name__ == "__main__":
    lit_everywhere(_listed(sys.argv[2]), _listed(sys.argv[3]), Path(sys.argv[1]))
