"""The published columns, and what is derived from them."""

from __future__ import annotations

import numpy as np
import pytest

from keyhole.imaging import catalogue as cat
from keyhole.imaging.geometry import TangentPlane

SCALE = 0.15


def rows(number, **values):
    table = cat.empty_catalogue(number)
    for name, value in values.items():
        table[name][:] = value
    return table


def test_catalogue_has_the_43_published_columns_in_order():
    names = [column.name for column in cat.COLUMNS]
    assert len(names) == len(set(names)) == 43
    assert names[:3] == ["NUMBER", "X_IMAGE", "Y_IMAGE"]
    assert names[-2:] == ["PROFILE_FWHM", "PROFILE_EE50"]
    types = {
        "NUMBER": "i8",
        "X_WORLD": "f8",
        "ERRXY_WORLD": "f8",
        "A_IMAGE": "f4",
        "ISOAREA_IMAGE": "i4",
        "FLAGS": "i2",
    }
    assert {name: cat.DTYPES[name].str[1:] for name in types} == types
    units = {"X_IMAGE": "pix", "ERRX2_WORLD": "deg2", "FLUX_AUTO": "count", "MAGERR_AUTO": "mag", "FWHM_WORLD": "deg"}
    assert {name: cat.UNITS[name] for name in units} == units


def test_empty_catalogue_is_undefined_everywhere():
    for column, values in zip(cat.COLUMNS, cat.empty_catalogue(3).values(), strict=True):
        assert values.dtype == np.dtype(column.dtype)
        assert (values == -999).all()
    assert len(cat.empty_catalogue()["NUMBER"]) == 0


def test_chosen_rows_are_numbered_again():
    table = rows(4, X_IMAGE=[1, 2, 3, 4], NUMBER=[1, 2, 3, 4])
    kept = cat.select_rows(table, np.array([False, True, False, True]))
    assert kept["X_IMAGE"].tolist() == [2, 4]
    assert kept["NUMBER"].tolist() == [1, 2]
    assert kept["NUMBER"].dtype == np.int64
    assert table["NUMBER"].tolist() == [1, 2, 3, 4]


def test_source_list_is_zero_based_with_errors():
    table = rows(
        2, X_IMAGE=[11.0, 5.0], Y_IMAGE=[1.0, 2.0], FLUX_AUTO=7.0, ERRX2_IMAGE=[0.03, -999], ERRY2_IMAGE=[0.05, -999]
    )
    sources = cat.source_list(table)
    assert sources.x.tolist() == [10.0, 4.0]
    assert sources.y.tolist() == [0.0, 1.0]
    np.testing.assert_allclose(sources.error, [0.2, 0.0])


def stars(widths, **values):
    table = rows(len(widths), FWHM_IMAGE=widths, ELLIPTICITY=0.1, ISOAREA_IMAGE=100, FLAGS=0, NIMAFLAGS_ISO=0)
    table["FLUX_AUTO"][:], table["FLUXERR_AUTO"][:] = 1e4, 100.0
    for name, value in values.items():
        table[name][:] = value
    return table


def test_seeing_is_the_width_of_the_stars_among_galaxies_and_hot_pixels():
    rng = np.random.default_rng(1)
    widths = np.concatenate([rng.normal(4.0, 0.05, 12), rng.uniform(6, 15, 8), [1.2, 1.3]])
    assert cat.seeing(stars(widths)) == pytest.approx(4.0, abs=0.1)


def test_seeing_leaves_out_doubtful_sources():
    widths = [4.0, 4.1, 3.9, 8.0, 8.0, 8.0, 8.0]
    poor = np.arange(7) >= 3
    for values in (
        {"FLAGS": np.where(poor, 4, 1)},
        {"ELLIPTICITY": np.where(poor, 0.7, 0.1)},
        {"ISOAREA_IMAGE": np.where(poor, 10, 100)},
        {"NIMAFLAGS_ISO": np.where(poor, 50, 0)},
        {"FLUX_AUTO": np.where(poor, 2000.0, 1e4)},
    ):
        assert cat.seeing(stars(widths, **values)) == pytest.approx(4.0, abs=0.05)


def test_seeing_falls_back_to_fainter_stars_and_then_to_none():
    assert cat.seeing(stars([3.0, 3.0], FLUX_AUTO=1500.0)) == pytest.approx(3.0)
    assert cat.seeing(stars([3.0, 3.0], FLUX_AUTO=500.0)) is None
    assert cat.seeing(cat.empty_catalogue()) is None


def test_stellarity_tells_stars_from_wide_and_sharp_sources():
    score = cat.stellarity(np.array([4.0, 4.3, 8.0, 1.5, 8.0, 0.0]), np.array([100, 100, 100, 100, 2.0, 100]), 4.0)
    assert score[0] > 0.99
    assert score[1] > 0.95
    assert score[2] < 0.01
    assert score[3] < 0.01
    assert 0.3 < score[4] < 0.6
    assert score[5] == 0.5


def test_world_columns_follow_the_plane_of_the_sky():
    angle = np.radians(25.0)
    cd = np.array([[-np.cos(angle), np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * SCALE / 3600
    plane = TangentPlane((16.24, 33.93), (500.0, 500.0), cd)
    table = rows(
        2,
        X_IMAGE=[100.0, 900.0],
        Y_IMAGE=[520.0, 480.0],
        THETA_IMAGE=[0.0, 30.0],
        ERRTHETA_IMAGE=-999,
        A_IMAGE=2.0,
        B_IMAGE=-999,
        ERRX2_IMAGE=[4.0, -999],
        ERRY2_IMAGE=[1.0, -999],
        ERRXY_IMAGE=[0.0, -999],
    )
    world = cat.world_columns(table, SCALE, plane.pixel_to_sky)
    x, y = plane.sky_to_pixel(world["X_WORLD"], world["Y_WORLD"])
    np.testing.assert_allclose(x + 1, table["X_IMAGE"], atol=1e-6)
    np.testing.assert_allclose(y + 1, table["Y_IMAGE"], atol=1e-6)
    # Pixel x points west by 25 degrees north: east of it is the opposite direction.
    np.testing.assert_allclose(world["THETA_WORLD"], [-25.0, -55.0], atol=0.1)
    assert (world["ERRTHETA_WORLD"] == -999).all()
    np.testing.assert_allclose(world["A_WORLD"], 2.0 * SCALE / 3600)
    assert (world["B_WORLD"] == -999).all()
    turned = cd @ np.diag([4.0, 1.0]) @ cd.T
    found = [world[f"{name}_WORLD"][0] for name in ("ERRX2", "ERRY2", "ERRXY")]
    np.testing.assert_allclose(found, [turned[0, 0], turned[1, 1], turned[0, 1]], rtol=5e-3)
    assert world["ERRX2_WORLD"][1] == -999


def test_world_columns_without_a_wcs_hold_sizes_only():
    world = cat.world_columns(rows(1, X_IMAGE=5.0, A_IMAGE=2.0, FWHM_IMAGE=4.0), SCALE, None)
    assert set(world) == {name for name in cat.DTYPES if name.endswith("_WORLD")}
    assert world["FWHM_WORLD"][0] == pytest.approx(4 * SCALE / 3600)
    assert world["X_WORLD"][0] == world["THETA_WORLD"][0] == -999
