"""The infrared array: what is fixed in each pixel, whatever falls on it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.simulate.options import NightOptions
from keyhole.simulate.streams import stream

__all__ = ["ArrayModel", "Flaw", "build_array", "quadrants", "tile_pattern"]

# Measured on the bad-pixel map of the Gemini North array of 2012-12-05 (1022 x 1024 pixels, 512 of them bad
# in 127 groups): number of groups of each size, pixels joined by side or corner.
_FLAW_GROUPS = {1: 96, 2: 10, 3: 6, 4: 5, 5: 2, 6: 3, 10: 1, 11: 1, 16: 1, 50: 1, 243: 1}
# Shares of the kinds among the flawed groups; the map does not tell them apart.
_FLAW_SHARES = (0.6, 0.25, 0.15)

_DARK_RATE = 0.15  # electrons per second
_DARK_SPREAD = 0.15  # natural logarithm
_WARM_FRACTION = 0.002
_WARM_MEDIAN_RATE = 1.0  # electrons per second
_HOT_RATES = (8.0, 2000.0)  # electrons per second; 60 s of them give 480 electrons up to far above the well

_PEDESTAL = 65.0  # electrons per coadd
_ROW_OFFSET = 4.0  # electrons per coadd, odd minus even rows, in each quadrant differently
_TILE = (4, 16)  # rows, columns
_TILE_SPREAD = 3.0  # electrons per coadd

_PIXEL_RESPONSE_SPREAD = 0.01
_LARGE_SCALE_AMPLITUDE = 0.025
_STREAK_SPREAD = 0.004
_WELL_SPREAD = 0.015


class Flaw:
    """Kinds of pixels in `ArrayModel.flaws`."""

    NONE = 0
    HOT = 1
    DEAD = 2
    COLD = 3
    WARM = 4


class ArrayModel(NamedTuple):
    """Fixed properties of every pixel.

    Attributes
    ----------
    response : ndarray of float32, shape (ny, nx)
        Electrons per electron that a perfect pixel would make; median 1 inside the keyhole.
    dark_rate : ndarray of float32, shape (ny, nx)
        Electrons per second.
    offset : ndarray of float32, shape (ny, nx)
        Electronic offset and fixed pattern, electrons per coadd.
    well_factor : ndarray of float32, shape (ny, nx)
        Saturation in units of the nominal well; never below 1.
    flaws : ndarray of uint8, shape (ny, nx)
        Kind of each pixel, see `Flaw`.
    """

    response: NDArray[np.float32]
    dark_rate: NDArray[np.float32]
    offset: NDArray[np.float32]
    well_factor: NDArray[np.float32]
    flaws: NDArray[np.uint8]


def build_array(
    shape: tuple[int, int], *, seed: int, options: NightOptions, lit: NDArray[np.bool_] | None = None
) -> ArrayModel:
    """Make the array of a night.

    Parameters
    ----------
    shape : tuple of int
        (ny, nx).
    seed : int
        Seed of the night.
    options : NightOptions
        Says which effects exist.
    lit : ndarray of bool, shape (ny, nx), optional
        Pixels whose median response is 1; all if not given.

    Returns
    -------
    ArrayModel
    """
    flaws = _flaws(shape, seed) if options.has("bad-pixels") else np.zeros(shape, np.uint8)
    return ArrayModel(
        response=_response(shape, seed, options, flaws, lit),
        dark_rate=_dark_rate(shape, seed, options, flaws),
        offset=_offset(shape, seed, options),
        well_factor=_well_factor(shape, seed),
        flaws=flaws,
    )


def tile_pattern(shape: tuple[int, int], rng: np.random.Generator, spread: float) -> NDArray[np.float32]:
    """Repeat a random 16 x 4 pixel tile over each quadrant of the array, each quadrant with its own tile."""
    pattern = np.empty(shape, np.float32)
    for rows, columns in quadrants(shape):
        tile = (spread * rng.standard_normal(_TILE)).astype(np.float32)
        size = (rows.stop - rows.start, columns.stop - columns.start)
        repeats = (-(-size[0] // _TILE[0]), -(-size[1] // _TILE[1]))
        pattern[rows, columns] = np.tile(tile, repeats)[: size[0], : size[1]]
    return pattern


def quadrants(shape: tuple[int, int]) -> list[tuple[slice, slice]]:
    """Give the (y, x) slices of the four quadrants, each of which is read by electronics of its own."""
    half_y, half_x = shape[0] // 2, shape[1] // 2
    return [
        (rows, columns)
        for rows in (slice(0, half_y), slice(half_y, shape[0]))
        for columns in (slice(0, half_x), slice(half_x, shape[1]))
    ]


def _flaws(shape: tuple[int, int], seed: int) -> NDArray[np.uint8]:
    """Scatter groups of bad pixels as dense and as clustered as on the real array, and warm single pixels."""
    rng = stream(seed, "flaws")
    flaws = np.zeros(shape, np.uint8)
    flaws[rng.random(shape) < _WARM_FRACTION] = Flaw.WARM
    area = shape[0] * shape[1] / (1022 * 1024)
    for size, count in _FLAW_GROUPS.items():
        # The whole array has exactly the groups of the real one, a part of it its share.
        for _ in range(int(count * area + rng.random())):
            kind = rng.choice([Flaw.HOT, Flaw.DEAD, Flaw.COLD], p=_FLAW_SHARES)
            for y, x in _grow_group(shape, size, rng):
                flaws[y, x] = kind
    return flaws


def _grow_group(shape: tuple[int, int], size: int, rng: np.random.Generator) -> set[tuple[int, int]]:
    """Let a group of pixels grow from a random place by adding random neighbours."""
    group = {(int(rng.integers(shape[0])), int(rng.integers(shape[1])))}
    while len(group) < size:
        members = sorted(group)
        y, x = members[int(rng.integers(len(members)))]
        step_y, step_x = rng.integers(-1, 2, 2)
        y, x = y + int(step_y), x + int(step_x)
        if 0 <= y < shape[0] and 0 <= x < shape[1]:
            group.add((y, x))
    return group


def _dark_rate(
    shape: tuple[int, int], seed: int, options: NightOptions, flaws: NDArray[np.uint8]
) -> NDArray[np.float32]:
    rng = stream(seed, "dark rate")
    if not options.has("dark-current"):
        return np.zeros(shape, np.float32)
    rate = (_DARK_RATE * np.exp(_DARK_SPREAD * rng.standard_normal(shape))).astype(np.float32)
    warm = flaws == Flaw.WARM
    rate[warm] += rng.lognormal(np.log(_WARM_MEDIAN_RATE), 1.0, int(warm.sum()))
    hot = flaws == Flaw.HOT
    low, high = np.log(_HOT_RATES)
    rate[hot] = np.exp(rng.uniform(low, high, int(hot.sum())))
    return rate


def _response(
    shape: tuple[int, int],
    seed: int,
    options: NightOptions,
    flaws: NDArray[np.uint8],
    lit: NDArray[np.bool_] | None,
) -> NDArray[np.float32]:
    response = np.ones(shape, np.float32)
    if options.has("response"):
        rng = stream(seed, "response")
        response += _PIXEL_RESPONSE_SPREAD * rng.standard_normal(shape, dtype=np.float32)
        response *= 1.0 + _large_scale(shape, rng)
        response *= 1.0 + _streaks(shape, rng)
        response /= np.median(response if lit is None else response[lit])
    rng = stream(seed, "flawed response")
    dead, cold = flaws == Flaw.DEAD, flaws == Flaw.COLD
    response[dead] *= rng.uniform(0.0, 0.1, int(dead.sum()))
    response[cold] *= rng.uniform(0.3, 0.8, int(cold.sum()))
    return response


def _large_scale(shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """Waves of 400 to 1200 pixels, together within the large-scale amplitude."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    field = np.zeros(shape, np.float64)
    for _ in range(6):
        length, angle, phase = rng.uniform(400, 1200), rng.uniform(0, np.pi), rng.uniform(0, 2 * np.pi)
        field += np.sin(2 * np.pi / length * (x * np.cos(angle) + y * np.sin(angle)) + phase)
    return np.asarray(_LARGE_SCALE_AMPLITUDE * field / np.abs(field).max(), np.float32)


def _streaks(shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """Fine streaks, a hundred pixels long and about a pixel wide, slightly inclined to the rows."""
    from scipy.ndimage import gaussian_filter1d

    noise = rng.standard_normal(shape, dtype=np.float32)
    streaks = gaussian_filter1d(gaussian_filter1d(noise, 40.0, axis=1, mode="wrap"), 0.7, axis=0, mode="wrap")
    lean = 0.05
    for column in range(shape[1]):
        streaks[:, column] = np.roll(streaks[:, column], int(lean * column))
    return np.asarray(_STREAK_SPREAD * streaks / streaks.std(), np.float32)


def _offset(shape: tuple[int, int], seed: int, options: NightOptions) -> NDArray[np.float32]:
    offset = np.full(shape, _PEDESTAL if options.has("pedestal") else 0.0, np.float32)
    if options.has("pattern"):
        rng = stream(seed, "pattern")
        offset += tile_pattern(shape, rng, _TILE_SPREAD)
        for rows, columns in quadrants(shape):
            step = _ROW_OFFSET * rng.uniform(0.5, 1.5)
            odd = (np.arange(rows.start, rows.stop) % 2).astype(np.float32) - 0.5
            offset[rows, columns] += (step * odd)[:, None]
    return offset


def _well_factor(shape: tuple[int, int], seed: int) -> NDArray[np.float32]:
    # The nominal well is the level that all pixels reach, so single pixels hold the same or more.
    spread: NDArray[np.float32] = np.abs(stream(seed, "well").standard_normal(shape, dtype=np.float32))
    return 1.0 + np.float32(_WELL_SPREAD) * spread
