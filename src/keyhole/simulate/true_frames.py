"""The science frames of a night as its truth describes them, and where the sky lies on the first of them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import DataError
from keyhole.instruments import load
from keyhole.simulate.geometry import tangent_to_sky
from keyhole.simulate.slot import Slot, slot
from keyhole.simulate.tables import TruthTable, read_ecsv

__all__ = ["TrueFrames", "TrueRays", "TrueSky", "true_frames", "true_rays", "true_sky"]

_FLOATS = NDArray[np.float64]


class TrueFrames(NamedTuple):
    """Science frames of a night.

    Attributes
    ----------
    names : tuple of str
        File names.
    dither : ndarray of float64, shape (n, 2)
        True shift (x, y) of the stars against the first frame of the night, pixels.
    keyhole : ndarray of float64, shape (n, 2)
        Displacement of the keyhole from its usual place, pixels.
    fwhm : ndarray of float64, shape (n,)
        Seeing, pixels.
    transparency : ndarray of float64, shape (n,)
    opening : Slot
        The keyhole at its usual place.
    """

    names: tuple[str, ...]
    dither: _FLOATS
    keyhole: _FLOATS
    fwhm: _FLOATS
    transparency: _FLOATS
    opening: Slot

    def only(self, names: Collection[str]) -> TrueFrames:
        """Give the frames of these names (with or without ``.fits``); all if none of them is known."""
        wanted = {name.removesuffix(".fits") for name in names}
        kept = [k for k, name in enumerate(self.names) if name.removesuffix(".fits") in wanted]
        if not kept:
            return self
        return self._replace(
            names=tuple(self.names[k] for k in kept),
            dither=self.dither[kept],
            keyhole=self.keyhole[kept],
            fwhm=self.fwhm[kept],
            transparency=self.transparency[kept],
        )

    def depth(self, number: int, x: _FLOATS, y: _FLOATS) -> _FLOATS:
        """Give the distance (pixels, positive inside) of places from the keyhole's edge in a frame.

        Parameters
        ----------
        number : int
            Of the frame.
        x, y : ndarray of float64
            Places on the sky by their pixels in the first frame; they broadcast against each other.
        """
        dx, dy = self.dither[number] - self.keyhole[number]
        return self.opening.depth(x + dx, y + dy)


class TrueSky(NamedTuple):
    """Tangent plane of the first frame: the target's sky position (degrees) and pixel, degrees per pixel."""

    target: tuple[float, float]
    pixel: _FLOATS
    cd: _FLOATS

    def to_sky(self, pixels: _FLOATS) -> _FLOATS:
        """Give (ra, dec) in degrees, shape (n, 2), of pixels of the first frame."""
        plane = (np.asarray(pixels, np.float64) - self.pixel) @ self.cd.T
        return np.column_stack(tangent_to_sky(plane[:, 0], plane[:, 1], self.target))


class TrueRays(NamedTuple):
    """Pixels hit by cosmic rays: frame, number of the hit in it, pixel in the frame (x, y), electrons."""

    name: NDArray[np.str_]
    hit: NDArray[np.int64]
    xy: _FLOATS
    electrons: _FLOATS


def true_frames(truth: Path, table: TruthTable) -> TrueFrames | None:
    """Read what is known of the science frames.

    Parameters
    ----------
    truth : Path
        ``truth.ecsv`` of the night.
    table : TruthTable
        Its content.

    Returns
    -------
    TrueFrames or None
        None if there is no ``frames.ecsv``.

    Raises
    ------
    DataError
        The table of frames is not what it should be.
    """
    path = _beside(truth, "frames.ecsv")
    if path is None:
        return None
    columns = read_ecsv(path).columns
    try:
        science = columns["kind"] == "OBJECT"
        numbers = {
            name: columns[name][science].astype(np.float64)
            for name in ("dither_x", "dither_y", "keyhole_x", "keyhole_y", "seeing", "transparency")
        }
        camera, filter_name = str(table.meta["camera"]), str(table.meta["filter"])
        scale = float(table.meta["pixel_scale"])
    except (KeyError, ValueError) as error:
        raise DataError(f"{path} lacks {error}; simulate the night again.") from error
    return TrueFrames(
        names=tuple(str(name) for name in columns["name"][science]),
        dither=np.column_stack([numbers["dither_x"], numbers["dither_y"]]),
        keyhole=np.column_stack([numbers["keyhole_x"], numbers["keyhole_y"]]),
        fwhm=numbers["seeing"] / scale,
        transparency=numbers["transparency"],
        opening=slot(load("GNIRS"), camera, wings="PHOT" not in filter_name),
    )


def true_sky(table: TruthTable) -> TrueSky | None:
    """Take the tangent plane out of a truth table; None if it does not state it."""
    names = ("target_ra", "target_dec", "target_x", "target_y", "cd1_1", "cd1_2", "cd2_1", "cd2_2")
    if any(name not in table.meta for name in names):
        return None
    ra, dec, x, y, a, b, c, d = (float(table.meta[name]) for name in names)
    return TrueSky((ra, dec), np.array([x, y]), np.array([[a, b], [c, d]]))


def true_rays(truth: Path) -> TrueRays | None:
    """Read the cosmic ray hits of a night; None if there is no ``rays.ecsv``."""
    path = _beside(truth, "rays.ecsv")
    if path is None:
        return None
    columns = read_ecsv(path).columns
    try:
        xy = np.column_stack([columns["x"], columns["y"]]).astype(np.float64)
        hits, electrons = columns["hit"].astype(np.int64), columns["electrons"].astype(np.float64)
        return TrueRays(columns["name"].astype(np.str_), hits, xy, electrons)
    except (KeyError, ValueError) as error:
        raise DataError(f"{path} lacks {error}; simulate the night again.") from error


def _beside(truth: Path, name: str) -> Path | None:
    """Find a file of the truth in the folder of `truth` or in ``truth`` under it."""
    places = (truth.parent / "truth" / name, truth.parent / name)
    return next((path for path in places if path.is_file()), None)
