"""A quadrant of the detector cut into the small boxes of pixels that its electronics repeat."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging.noise import clipped_median_sigma

__all__ = ["Boxes", "mean_box"]

_FEWEST_BOXES: Final = 16
_WELL_FILLED: Final = 0.5
_SAMPLE: Final = 4000
_FEWEST_ROWS: Final = 8


class Rules(Protocol):
    """What is needed of the rules by which a pattern is looked for."""

    @property
    def box(self) -> tuple[int, int]:
        """Rows and columns of a box."""

    @property
    def lsigma(self) -> float:
        """Sigma below which a pixel is left out."""

    @property
    def hsigma(self) -> float:
        """Sigma above which a pixel is left out."""


@dataclass
class Boxes:
    """A quadrant cut into boxes. Its pixels stay in their order, so that sums run along memory.

    Attributes
    ----------
    values : (nby, box_y, nbx, box_x) float32
        Pixels minus the level of the quadrant; 0 where not good.
    good : float32 array of the same shape
        1 or 0. Never changes, so that what is counted of it is counted once.
    level : float
        Level of the quadrant that was taken off.
    sigma : float
        Scatter of a pixel.
    """

    values: NDArray[np.float32]
    good: NDArray[np.float32]
    level: float
    sigma: float

    @classmethod
    def cut(cls, data: NDArray[np.float32], dark: NDArray[np.bool_], rules: Rules) -> Boxes | None:
        """Cut into boxes, leave outliers and boxes with light out; None if too few are left."""
        (ny, nx), (by, bx) = data.shape, rules.box
        usable = np.count_nonzero(dark)
        if usable < _FEWEST_BOXES * by * bx:
            return None
        # Whole rows, at an odd step: all phases of a box are visited alike.
        step = max(min(usable // _SAMPLE, ny // _FEWEST_ROWS), 1) | 1
        sample = data[::step][dark[::step]]
        level = clipped_median_sigma(sample if sample.size else data[dark], at_most=2 * _SAMPLE)
        if level.sigma == 0:
            return None
        shape = (-(-ny // by), by, -(-nx // bx), bx)
        pixels = np.zeros((shape[0] * by, shape[2] * bx), np.float32)
        inside = pixels[:ny, :nx]
        np.subtract(data, np.float32(level.median), out=inside)
        weight = np.zeros(pixels.shape, np.float32)
        good = (inside > -rules.lsigma * level.sigma) & (inside < rules.hsigma * level.sigma)
        good &= dark
        weight[:ny, :nx] = good
        boxes = cls(pixels.reshape(shape), weight.reshape(shape), level.median, level.sigma)
        full = _total(boxes.good) >= _WELL_FILLED * by * bx
        if np.count_nonzero(full) < _FEWEST_BOXES:
            return None
        lines = boxes.good.reshape(shape[0], by, -1)
        lines *= np.repeat(full, bx, axis=1)[:, None]
        # Not a product with the weights: a value that is no number would spread from there.
        np.copyto(pixels, 0, where=weight == 0)
        return boxes

    @cached_property
    def in_boxes(self) -> NDArray[np.float32]:
        """Number of good pixels in each box, 1 where there is none; (nby, nbx)."""
        return np.maximum(_total(self.good), 1)

    @cached_property
    def in_rows(self) -> NDArray[np.float64]:
        """Number of good pixels in each row of the quadrant; (nby * box_y,)."""
        return self._rows(self.good)

    @cached_property
    def at_phases(self) -> NDArray[np.float64]:
        """Number of boxes in which each of their pixels is good; (box_y, box_x)."""
        return mean_box(self.good)

    def row_sums(self) -> NDArray[np.float64]:
        """Sum of the pixels of each row; (nby * box_y,)."""
        return self._rows(self.values)

    def _rows(self, boxes: NDArray[np.float32]) -> NDArray[np.float64]:
        nby, by = boxes.shape[:2]
        return np.asarray(boxes.reshape(nby * by, -1).sum(axis=1).astype(np.float64))

    def flat(self) -> NDArray[np.float32]:
        """Pixels minus the mean of their box."""
        lines = self._lines(self.values)
        mean = np.repeat(_total(self.values) / self.in_boxes, self.values.shape[3], axis=1)
        flat = lines - mean[:, None]
        flat *= self._lines(self.good)
        return flat.reshape(self.values.shape)

    def subtract(self, tile: NDArray[np.float64], bands: NDArray[np.bool_]) -> None:
        """Take a template off the bands of boxes in which it is."""
        lines, good, strip = self._lines(self.values), self._lines(self.good), self._strip(tile)
        if bands.all():
            lines -= strip * good
        else:
            lines[bands] -= strip * good[bands]

    def match(
        self, residual: NDArray[np.float32], tile: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Of each band, what is left in its pixels times the template, and the template's square there."""
        strip, bands = self._strip(tile), len(self.values)
        product = residual.reshape(bands, -1) @ strip.ravel()
        norm = self.good.reshape(bands, -1) @ (strip**2).ravel()
        return product.astype(np.float64), norm.astype(np.float64)

    def _strip(self, tile: NDArray[np.float64]) -> NDArray[np.float32]:
        """A template for each of the boxes side by side; (box_y, nbx * box_x)."""
        return np.tile(tile, (1, self.values.shape[2])).astype(np.float32)

    @staticmethod
    def _lines(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        return boxes.reshape(*boxes.shape[:2], -1)

    def shift_rows(self, shifts: NDArray[np.float32]) -> None:
        """Take the offsets of rows off."""
        if shifts.any():
            bands, height = self.values.shape[:2]
            padded = np.zeros(bands * height, shifts.dtype)
            padded[: shifts.size] = shifts
            lines = self._lines(self.values)
            lines -= padded.reshape(bands, height, 1) * self._lines(self.good)

    def measure_scatter(self) -> None:
        """Take the scatter of the pixels as it is now."""
        self.sigma = float(np.linalg.norm(self.values) / np.sqrt(max(float(self.in_rows.sum()), 1.0)))

    def only(self, bands: NDArray[np.bool_]) -> Boxes:
        """The bands of boxes that are named; their values are copied."""
        if bands.all():
            every = copy.copy(self)
            every.values = self.values.copy()
            return every
        return Boxes(self.values[bands], self.good[bands], self.level, self.sigma)


def _total(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sum over each box."""
    nby, by, nbx, bx = boxes.shape
    lines = boxes.reshape(nby, by, nbx * bx).sum(axis=1)
    return np.asarray(lines.reshape(nby, nbx, bx).sum(axis=2))


def mean_box(boxes: NDArray[np.float32]) -> NDArray[np.float64]:
    """Sum over all boxes of each of their pixels."""
    nby, by, nbx, bx = boxes.shape
    lines = np.ones(nby, np.float32) @ boxes.reshape(nby, by * nbx * bx)
    return np.asarray(lines.reshape(by, nbx, bx).sum(axis=1).astype(np.float64))
