"""Statistics of the neighbours of every pixel, from usable pixels alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging._order_statistics import sort_planes, sorted_median

__all__ = [
    "bounding_box",
    "count_near",
    "local_median",
    "median_at",
    "near",
    "near_places",
    "neighbour_statistic",
    "outnumbered_near",
    "places",
    "ring_offsets",
    "square_offsets",
]

_BLOCK_VALUES: Final = 1 << 20
_WORTH_A_PASS: Final = 500
"""Pixels that are set one by one in the time of calling for it, ..."""
_IN_PASSES: Final = 0.5
"""... and how many such pixels of each square take less time than a pass over this part of an image."""

Offsets = Sequence[tuple[int, int]]


def bounding_box(region: NDArray[np.bool_], margin: int = 0) -> tuple[slice, slice]:
    """Rows and columns of the smallest box around the True pixels, with a margin; empty if there are none."""
    if region.size and all(edge.any() for edge in (region[0], region[-1], region[:, 0], region[:, -1])):
        return slice(0, region.shape[0]), slice(0, region.shape[1])
    rows = np.flatnonzero(region.any(axis=1))
    columns = np.flatnonzero(region.any(axis=0))
    if not rows.size:
        return slice(0, 0), slice(0, 0)
    return (
        slice(max(int(rows[0]) - margin, 0), min(int(rows[-1]) + 1 + margin, region.shape[0])),
        slice(max(int(columns[0]) - margin, 0), min(int(columns[-1]) + 1 + margin, region.shape[1])),
    )


def places(region: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the True pixels: ``numpy.nonzero(region)``, many times faster where they are few."""
    y, x = np.divmod(np.flatnonzero(region), region.shape[1])
    return y, x


def square_offsets(radius: int) -> Offsets:
    """Offsets (y, x) to all pixels of the square of side ``2 * radius + 1``, its centre left out."""
    reach = range(-radius, radius + 1)
    return [(dy, dx) for dy in reach for dx in reach if (dy, dx) != (0, 0)]


def ring_offsets(inner: float, outer: float) -> Offsets:
    """Offsets (y, x) to all pixels whose centres are `inner` to `outer` pixels away, both included."""
    reach = range(-int(outer), int(outer) + 1)
    return [(dy, dx) for dy in reach for dx in reach if inner**2 <= dy**2 + dx**2 <= outer**2]


def local_median(
    data: NDArray[np.float32], usable: NDArray[np.bool_], *, radius: int
) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Median over the usable pixels of the square of side ``2 * radius + 1``, its centre left out."""
    return neighbour_statistic(data, usable, square_offsets(radius))


def neighbour_statistic(
    data: NDArray[np.float32], usable: NDArray[np.bool_], offsets: Offsets, *, mean: bool = False
) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Median (or mean) of the usable pixels at given offsets from every pixel.

    Parameters
    ----------
    data : (ny, nx) float32, finite where usable
    usable : (ny, nx) bool
    offsets : list of (dy, dx), not empty
    mean : bool
        Mean instead of median.

    Returns
    -------
    value : (ny, nx) float32
        0 where there is no usable neighbour.
    count : (ny, nx) int
        Usable neighbours.
    """
    ny, nx = data.shape
    radius = max(max(abs(dy), abs(dx)) for dy, dx in offsets)
    padded = np.full((ny + 2 * radius, nx + 2 * radius), np.inf, np.float32)
    padded[radius : radius + ny, radius : radius + nx] = np.where(usable, data, np.inf)
    value = np.zeros((ny, nx), np.float32)
    count = np.zeros((ny, nx), np.intp)
    step = max(1, _BLOCK_VALUES // (len(offsets) * nx))
    for first in range(0, ny, step):
        height = min(step, ny - first)
        top = first + radius
        planes = np.stack(
            [padded[top + dy : top + dy + height, radius + dx : radius + dx + nx].ravel() for dy, dx in offsets]
        )
        there = np.count_nonzero(planes < np.inf, axis=0)
        at_least_one = np.maximum(there, 1)
        if mean:
            planes[planes == np.inf] = 0
            centre = (planes.sum(axis=0, dtype=np.float64) / at_least_one).astype(np.float32)
        else:
            centre = sorted_median(sort_planes(planes), at_least_one)
        value[first : first + height] = np.where(there > 0, centre, 0).reshape(height, nx)
        count[first : first + height] = there.reshape(height, nx)
    return value, count


def median_at(
    data: NDArray[np.float32],
    usable: NDArray[np.bool_],
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    *,
    radius: int,
) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """What `local_median` says of some pixels alone, except that the median is 1 where there is no neighbour.

    Parameters
    ----------
    data : (ny, nx) float32, finite where usable
    usable : (ny, nx) bool
    rows, columns : (m,) int
        The pixels.
    radius : int

    Returns
    -------
    value : (m,) float32
    count : (m,) int
    """
    # Few pixels are asked for: those around them are looked up, and no plane is made.
    (ny, nx), (dy, dx) = data.shape, np.array(square_offsets(radius)).T[:, :, np.newaxis]
    value, count = np.ones(len(rows), np.float32), np.zeros(len(rows), np.intp)
    pixels, known = data.ravel(), usable.ravel()
    step = max(1, _BLOCK_VALUES // len(dy))
    for first in range(0, len(rows), step):
        part = slice(first, first + step)
        y, x = rows[part] + dy, columns[part] + dx
        inside = (y >= 0) & (y < ny) & (x >= 0) & (x < nx)
        place = y * nx + x
        place[~inside] = 0
        inside &= known[place]
        planes = np.where(inside, pixels[place], np.float32(np.inf))
        there = inside.sum(axis=0)
        middle = sorted_median(sort_planes(planes), np.maximum(there, 1))
        value[part], count[part] = np.where(there > 0, middle, 1), there
    return value, count


def near(region: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    """Pixels whose square of side ``2 * radius + 1`` holds a True pixel.

    Equal to ``scipy.ndimage.maximum_filter(region, 2 * radius + 1)``. Changes its input: no.
    """
    grown = region.copy()
    for along in (False, True):
        done = 0
        # Twice as far with every pass, as the region grows too.
        while done < radius:
            step = min(max(done, 1), radius - done)
            source = grown.copy() if done or along else region
            if along:
                grown[:, step:] |= source[:, :-step]
                grown[:, :-step] |= source[:, step:]
            else:
                grown[step:] |= source[:-step]
                grown[:-step] |= source[step:]
            done += step
    return grown


def outnumbered_near(few: NDArray[np.bool_], many: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    """Where the square of side ``2 * radius + 1`` around a pixel holds more pixels of `many` than of `few`.

    The sums over the squares are differences of running sums, along one axis and then the other.
    """
    found = np.zeros(few.shape, dtype=bool)
    # Farther than `radius` from `many` nothing is outnumbered; the squares reach that far again.
    box = bounding_box(many, 2 * radius)
    sums = many[box].astype(np.int32) - few[box]
    for axis in (0, 1):
        n = sums.shape[axis]
        ends = np.clip(np.arange(n) + radius, 0, n - 1)
        begins = np.arange(n) - radius - 1
        running = np.cumsum(sums, axis=axis, dtype=np.int32)
        before = np.take(running, np.maximum(begins, 0), axis=axis)
        there = (begins >= 0).astype(np.int32)
        sums = np.take(running, ends, axis=axis) - before * (there[:, np.newaxis] if axis == 0 else there)
    inner = bounding_box(many, radius)
    found[inner] = sums[tuple(slice(i.start - b.start, i.stop - b.start) for i, b in zip(inner, box, strict=True))] > 0
    return found


def near_places(places: NDArray[np.intp], shape: tuple[int, int], radius: int) -> NDArray[np.intp]:
    """Flat indices of the pixels that `near` finds about others, given by flat indices; ascending.

    Few are marked one by one.
    """
    (ny, nx), side = shape, 2 * radius + 1
    if side**2 * (places.size + _WORTH_A_PASS) > _IN_PASSES * ny * nx:
        region = np.zeros(shape, np.bool_)
        region.reshape(-1)[places] = True
        return np.flatnonzero(near(region, radius))
    # A margin takes in what is beyond the image.
    width = nx + 2 * radius
    region = np.zeros((ny + 2 * radius, width), np.bool_)
    flat, corner = region.reshape(-1), places + places // nx * (2 * radius)
    for step in range(side**2):
        flat[corner + (step // side * width + step % side)] = True
    return np.flatnonzero(region[radius : radius + ny, radius : radius + nx])


def count_near(region: NDArray[np.bool_], radius: int) -> NDArray[np.intp]:
    """How many True pixels the square of side ``2 * radius + 1`` around each pixel holds, itself included."""
    ny, nx = region.shape
    sums = np.zeros((ny + 1, nx + 1), np.intp)
    np.cumsum(np.cumsum(region, axis=0), axis=1, out=sums[1:, 1:])
    top, bottom = np.clip(np.arange(ny) - radius, 0, ny), np.clip(np.arange(ny) + radius + 1, 0, ny)
    left, right = np.clip(np.arange(nx) - radius, 0, nx), np.clip(np.arange(nx) + radius + 1, 0, nx)
    strips = sums[bottom] - sums[top]
    return np.asarray(strips[:, right] - strips[:, left])
