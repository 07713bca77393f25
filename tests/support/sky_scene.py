"""Small dithered frames of a bar-shaped field with known stars, sky and noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SKY = 3000.0
READ_NOISE = 12.0
SIGMA = (SKY + READ_NOISE**2) ** 0.5


@dataclass
class Scene:
    frames: list[NDArray[np.float32]]
    variances: list[NDArray[np.float32]]
    usables: list[NDArray[np.bool_]]
    shifts: NDArray[np.float64]
    stars: list[NDArray[np.float64]]  # noise-free light of the stars in each frame
    skies: list[NDArray[np.float64]]  # noise-free sky of each frame
    lit: NDArray[np.bool_]
    places: NDArray[np.float64]  # (x, y) of each star on the common grid
    fluxes: NDArray[np.float64]

    def others(self, apart: float = 6.0) -> list[list[int]]:
        """All frames shifted by more than `apart` pixels, for each frame."""
        gaps = np.hypot(*(self.shifts[:, None] - self.shifts[None]).T)
        return [np.flatnonzero(row > apart).tolist() for row in gaps]


def moffat(shape: tuple[int, int], x: float, y: float, flux: float, fwhm: float) -> NDArray[np.float64]:
    beta = 3.0
    alpha = fwhm / (2 * (2 ** (1 / beta) - 1) ** 0.5)
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    profile = (1 + ((columns - x) ** 2 + (rows - y) ** 2) / alpha**2) ** -beta
    return flux * (beta - 1) / (np.pi * alpha**2) * profile


def make_scene(
    n: int = 9,
    *,
    seed: int = 7,
    stars: int = 14,
    drift: float = 0.03,
    tilt: float = 0.01,
    tilt_drift: float = 0.0,
    pattern: float = 0.0,
    cosmic_rays: int = 4,
    step: float = 23.0,
    brightest: float = 3e5,
) -> Scene:
    """`n` frames of 100 x 330 pixels, lit in a bar of 60 x 290; stars of 1e3 to `brightest` electrons."""
    rng = np.random.default_rng(seed)
    shape = (100, 330)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    lit = (abs(rows - 50) < 30) & (abs(columns - 165) < 145)
    order = np.array([0, 1, 2, 3, -1, -2, -3, 1.5, -1.5])
    shifts = np.zeros((n, 2))
    shifts[:, 0] = order[np.arange(n) % 9] * step + 4.4 * (np.arange(n) // 9)
    shifts += rng.normal(0, 1.3, (n, 2))
    shifts[0] = 0
    places = np.column_stack([rng.uniform(-20, 350, stars), rng.uniform(24, 76, stars)])
    fluxes = 10 ** rng.uniform(3, np.log10(brightest), stars)
    if stars:
        fluxes[0], places[0] = brightest, (150.0, 45.0)
    x = (columns - 165) / 145
    shape_of_lamp = 1 + pattern * (x**2 - 0.3 * x)
    scene = Scene([], [], [], shifts, [], [], lit, places, fluxes)
    for i in range(n):
        fwhm = 4.0 * (1 + 0.05 * rng.normal())
        light = np.zeros(shape)
        for (px, py), flux in zip(places, fluxes, strict=True):
            light += moffat(shape, px + shifts[i, 0], py + shifts[i, 1], flux, fwhm)
        slope = tilt + tilt_drift * np.sin(1.7 * i)
        sky = SKY * (1 + drift * np.sin(i / 2.0)) * (1 + slope * x) * shape_of_lamp
        light *= shape_of_lamp
        data = rng.poisson(sky + light) + rng.normal(0, READ_NOISE, shape)
        data.flat[rng.integers(0, data.size, cosmic_rays)] += rng.uniform(500, 5000, cosmic_rays)
        frame = np.where(lit, data, 0).astype(np.float32)
        scene.frames.append(frame)
        scene.variances.append((np.maximum(frame, 0) + READ_NOISE**2).astype(np.float32))
        scene.usables.append(lit.copy())
        scene.stars.append(light)
        scene.skies.append(sky)
    return scene
