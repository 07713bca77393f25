"""Cosmic rays on single images: hits put in are found, stars of any width are not."""

from __future__ import annotations

import numpy as np
import pytest
from sky_scene import moffat

from keyhole.imaging import laplacian
from keyhole.imaging.laplacian import laplacian_hits, star_contrast, star_excess

SHAPE = (80, 100)
SIGMA = 10.0


def image(*stars: tuple[float, float, float], fwhm: float = 4.0, seed: int = 3, sigma: float = SIGMA):
    """Stars (x, y, flux) on a sloping background, the noise of each pixel, and that all are usable."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    light = 0.4 * x - 0.2 * y + sum((moffat(SHAPE, *star, fwhm) for star in stars), np.zeros(SHAPE))
    noise = np.sqrt(sigma**2 + np.maximum(light, 0) / 4).astype(np.float32)
    data = light + np.random.default_rng(seed).normal(0, noise)
    return data.astype(np.float32), noise, np.ones(SHAPE, bool)


def slow_significance(data: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Van Dokkum's S: Laplacian of the image on half pixels, negative values cut, averaged back, over 2 sigma."""
    fine = np.pad(np.kron(data, np.ones((2, 2))), 1, mode="edge")
    laplacian = 4 * fine[1:-1, 1:-1] - fine[:-2, 1:-1] - fine[2:, 1:-1] - fine[1:-1, :-2] - fine[1:-1, 2:]
    positive = np.maximum(laplacian, 0)
    ny, nx = data.shape
    return positive.reshape(ny, 2, nx, 2).mean(axis=(1, 3)) / (2 * sigma)


def test_laplacian_is_that_of_the_image_on_half_pixels() -> None:
    from keyhole.imaging.laplacian import _Edges

    data, sigma, usable = image((40.3, 30.8, 4000))
    y, x = np.indices(data.shape).reshape(2, -1)
    significance = _Edges(data, sigma, usable).laplacian(y, x).reshape(data.shape) / (2 * sigma)
    np.testing.assert_allclose(significance, slow_significance(data, sigma), atol=1e-3)


def test_many_pixels_are_looked_at_as_few_are(monkeypatch: pytest.MonkeyPatch) -> None:
    data, sigma, usable = image((40.3, 30.8, 4000))
    usable &= np.random.default_rng(1).random(data.shape) > 0.05
    edges, where = laplacian._Edges(data, sigma, usable), usable.copy()
    where[:30] = False
    monkeypatch.setattr(laplacian, "_BLOCK", 7 * data.shape[1])
    found = []
    for few in (0.0, 2.0):
        monkeypatch.setattr(laplacian, "_FEW", few)
        found.append(edges.beyond(0.8, where))
    np.testing.assert_array_equal(*found)
    assert 0 < found[0][0].size < np.count_nonzero(where) / 2


def test_hits_are_found_where_they_are_and_nowhere_else() -> None:
    data, sigma, usable = image((30.2, 40.6, 3e5), (70.7, 20.1, 4e4))
    single = [(10, 12), (60, 85), (44, 50), (5, 95)]
    for y, x in single:
        data[y, x] += 120
    data[70, 20:32] += 250  # a track
    hits = laplacian_hits(data, sigma, usable, fwhm=4.0)
    assert all(hits[y, x] for y, x in single)
    assert hits[70, 20:32].all()
    hits[69:72, 19:33] = False
    for y, x in single:
        hits[y, x] = False
    assert not hits.any()


@pytest.mark.parametrize("fwhm", [2.6, 4.0, 8.0, 16.0])
@pytest.mark.parametrize("flux", [3e3, 1e5, 3e6])
def test_stars_of_any_width_and_place_in_the_pixel_are_spared(fwhm: float, flux: float) -> None:
    for i, (x, y) in enumerate([(50.0, 40.0), (50.5, 40.5), (50.25, 40.6)]):
        data, sigma, usable = image((x, y, flux), (58.0, 44.3, flux), fwhm=fwhm, seed=i)
        assert not laplacian_hits(data, sigma, usable, fwhm=fwhm).any()
        assert not laplacian_hits(-data, sigma, usable, fwhm=fwhm).any()


def test_hit_on_a_wide_star_is_found_as_it_is_sharper() -> None:
    data, sigma, usable = image((50.0, 40.0, 1e6), fwhm=12.0)
    data[42, 51] += 8000
    hits = laplacian_hits(data, sigma, usable, fwhm=12.0)
    assert np.argwhere(hits).tolist() == [[42, 51]]


def test_star_cut_by_the_edge_of_the_usable_pixels_is_spared() -> None:
    data, sigma, usable = image((50.0, 40.0, 1e6), fwhm=4.0)
    usable[:40] = False
    data[:40] = 0
    assert not laplacian_hits(data, sigma, usable, fwhm=4.0).any()


def test_only_pixels_asked_for_are_looked_at_and_the_input_stays() -> None:
    data, sigma, usable = image()
    data[20, 20] = data[50, 50] = 500
    before, where = data.copy(), np.zeros(SHAPE, bool)
    where[40:] = True
    assert np.argwhere(laplacian_hits(data, sigma, usable, where=where)).tolist() == [[50, 50]]
    np.testing.assert_array_equal(data, before)


def test_unusable_pixels_are_neither_hits_nor_make_their_neighbours_hits() -> None:
    data, sigma, usable = image()
    usable[30:33, 30:33] = False
    data[30:33, 30:33] = 1e6
    assert not laplacian_hits(data, sigma, usable).any()
    assert not laplacian_hits(data, sigma, np.zeros(SHAPE, bool)).any()


@pytest.mark.parametrize("fwhm", [2.0, 3.0, 5.0, 15.0])
def test_shape_of_a_star_follows_from_its_width(fwhm: float) -> None:
    y, x = np.mgrid[-7:8, -7:8]
    star = np.exp(-4 * np.log(2) * (x**2 + y**2) / fwhm**2).astype(np.float32)
    ring = np.median(np.delete(star[6:9, 6:9].ravel(), 4))
    assert star_excess(fwhm) == pytest.approx(1 / ring - 1, rel=1e-5)
    medians = [[np.median(star[j - 1 : j + 2, i - 1 : i + 2]) for i in range(4, 11)] for j in range(4, 11)]
    laplacian = slow_significance(star, np.ones(star.shape))[7, 7] * 2
    assert star_contrast(fwhm) == pytest.approx(laplacian / (medians[3][3] - np.median(medians)), rel=0.15)
    assert star_excess(1.0) == star_excess(2.0) > star_excess(fwhm + 1)
