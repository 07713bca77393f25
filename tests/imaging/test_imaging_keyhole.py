"""The keyhole as drawn, against its definition, and as found again in exposures made from it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from keyhole.errors import AlgorithmError
from keyhole.imaging._keyhole_edge import fit_edge
from keyhole.imaging._keyhole_outline import OutlineModel
from keyhole.imaging.keyhole import KeyholeShape, Placement, draw_keyhole, lit_area, locate_keyhole
from keyhole.instruments import load

SHAPE = (1022, 1024)
GNIRS = load("GNIRS")
SHORT, SHORT_RED, LONG, LONG_RED = "ShortBlue_G5540", "ShortRed_G5539", "LongBlue_G5542", "LongRed_G5543"
CASES = [(LONG, False), (LONG, True), (LONG_RED, False), (LONG_RED, True), (SHORT, False), (SHORT, True)]
CASES.append((SHORT_RED, True))


def setting(camera: str, wings: bool) -> dict[str, Any]:
    scale = GNIRS.pixel_scale(camera.partition("_")[0])
    shape = KeyholeShape(**asdict(GNIRS.keyhole))
    return {"geometry": shape, "pixel_scale": scale, "wings": wings, "red": "Red" in camera}


def plain_drawing(
    centroid: tuple[float, float], camera: str, *, wings: bool, xshift: float = 0, yshift: float = 0
) -> Any:
    """The definition, pixel by pixel, with its numbers written out."""
    s = GNIRS.pixel_scale(camera.partition("_")[0])
    cx, cy = centroid
    x0, x1, xc = cx - 97.8 / s / 2 + xshift, cx + 97.8 / s / 2 + xshift, cx + 2 + xshift
    yc = cy + 3.2 / s + yshift
    if "Red" in camera:
        x0, x1, xc, yc = x0 - 5, x1 - 5, xc - 5, yc - 4
    if wings:
        yc -= 15 * (min(x1, 1023) - max(x0, 0)) / 1023
        if x0 <= 0:
            xc += 2.5 * (cx - 512)
    elif s < 0.1:
        yc -= 4
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    half, radius = 9.6 / s / 2, 14.7 / s
    tilt = 0.01 * (x - cx)
    lit = (x0 <= x) & (x <= x1) & (y > yc - half + tilt) & (y <= yc + half + tilt)
    distance = (x - xc) ** 2 + (y - yc) ** 2
    lit |= (distance < radius**2) & (y < yc)
    return lit if wings else lit & (distance <= ((1.13 if s < 0.1 else 1.29) * radius) ** 2)


def exposure(
    lit: Any, *, sky: float, read_noise: float = 10.0, seed: int = 1, blur: float = 0.7, stars: int = 60
) -> Any:
    """Electrons of a sky with a gradient and stars seen through the keyhole, with hot pixels."""
    rng = np.random.default_rng(seed)
    window = ndimage.gaussian_filter(lit.astype(np.float32), blur)
    light = np.full(SHAPE, sky, np.float32) * np.linspace(0.95, 1.05, SHAPE[1], dtype=np.float32)
    y, x = np.mgrid[-15:16, -15:16]
    star = 0.5 / np.pi / 3 * (1 + (x**2 + y**2) / 9) ** -2.5
    for _ in range(stars):
        row, column = rng.integers(360, 520), rng.integers(20, 1000)
        light[row - 15 : row + 16, column - 15 : column + 16] += star * 10 ** rng.uniform(2, 5)
    light *= window
    data = 60 + light + rng.standard_normal(SHAPE, dtype=np.float32) * np.sqrt(light + read_noise**2)
    hot = rng.random(SHAPE) < 0.003
    data[hot] += 10 ** rng.uniform(2, 5, hot.sum())
    return data.astype(np.float32)


def locate(data: Any, camera: str, wings: bool, **changes: Any) -> Placement:
    expected = GNIRS.keyhole_expected(camera, wings)
    options: dict[str, Any] = {
        "read_noise": 10.0,
        "expected_pixels": expected.expected_pixels,
        "default_centroid": expected.centroid,
        **setting(camera, wings),
        **changes,
    }
    return locate_keyhole(data, **options)


def default_of(camera: str, wings: bool) -> tuple[float, float]:
    return GNIRS.keyhole_expected(camera, wings).centroid


def smooth_drawing(centroid: tuple[float, float], camera: str, wings: bool, parts: int = 4) -> Any:
    """The fraction of every pixel that is lit."""
    shifts = (np.arange(parts) + 0.5) / parts - 0.5
    drawn = [
        draw_keyhole(SHAPE, centroid=centroid, xshift=dx, yshift=dy, **setting(camera, wings))
        for dx in shifts
        for dy in shifts
    ]
    return np.mean(drawn, axis=0, dtype=np.float32)


@pytest.mark.parametrize(("camera", "wings"), CASES)
def test_default_drawing_has_the_recorded_pixels_and_box(camera: str, wings: bool) -> None:
    expected = GNIRS.keyhole_expected(camera, wings)
    lit = draw_keyhole(SHAPE, centroid=expected.centroid, **setting(camera, wings))
    rows, columns = np.nonzero(lit)
    assert lit.sum() == expected.default_pixels
    box = (columns.min(), columns.max(), rows.min(), rows.max())
    assert box == tuple(expected.default_box)


@pytest.mark.parametrize(("camera", "wings"), CASES)
def test_drawing_is_the_definition_at_any_place(camera: str, wings: bool) -> None:
    rng = np.random.default_rng(len(camera) + wings)
    place = default_of(camera, wings)
    for reach in (5, 60):
        centroid = (place[0] + rng.uniform(-reach, reach), place[1] + rng.uniform(-reach, reach))
        shifts = {"xshift": int(rng.integers(-100, 101)), "yshift": int(rng.integers(-100, 101))}
        drawn = draw_keyhole(SHAPE, centroid=centroid, **shifts, **setting(camera, wings))
        np.testing.assert_array_equal(drawn, plain_drawing(centroid, camera, wings=wings, **shifts))


@pytest.mark.parametrize(("camera", "wings"), CASES)
def test_margin_takes_off_the_pixels_nearer_to_the_edge(camera: str, wings: bool) -> None:
    margin = 2.0
    keyhole = setting(camera, wings)
    whole = draw_keyhole(SHAPE, centroid=default_of(camera, wings), **keyhole)
    inner = draw_keyhole(SHAPE, centroid=default_of(camera, wings), margin=margin, **keyhole)
    # The detector's own border is no edge of the keyhole.
    depth = ndimage.distance_transform_edt(np.pad(whole, 8, mode="edge"))[8:-8, 8:-8]
    assert not (inner & ~whole).any()
    assert not (inner & (depth < margin - 0.5)).any()
    assert (inner[depth > margin + 1.5]).mean() > 0.999


def test_shape_beyond_the_detector_lights_nothing() -> None:
    assert not draw_keyhole(SHAPE, centroid=(5000.0, -900.0), **setting(SHORT, True)).any()


@pytest.mark.parametrize("wings", [True, False])
def test_short_keyhole_is_found_to_a_fifth_of_a_pixel(wings: bool) -> None:
    rng = np.random.default_rng(wings)
    place = default_of(SHORT, wings)
    errors = []
    for seed, sky in enumerate((3700, 3700, 300, 35000)):
        true = (place[0] + rng.uniform(-12, 12), place[1] + rng.uniform(-12, 12))
        data = exposure(smooth_drawing(true, SHORT, wings), sky=sky, seed=seed)
        found = locate(data, SHORT, wings)
        assert found.trusted, found.reason
        assert found.dx == pytest.approx(found.centroid[0] - place[0])
        errors.append(np.subtract(found.centroid, true))
    assert np.sqrt(np.mean(np.square(errors))) < 0.1


@pytest.mark.parametrize(("camera", "wings"), [case for case in CASES if case[0] != SHORT])
def test_other_cameras_are_found_too(camera: str, wings: bool) -> None:
    place = default_of(camera, wings)
    # With wings the disc of a long camera moves 3.5 pixels for one of the centroid.
    true = (place[0] + 2.3, place[1] - 6.6)
    found = locate(exposure(smooth_drawing(true, camera, wings), sky=1000), camera, wings)
    assert found.trusted, found.reason
    np.testing.assert_allclose(found.centroid, true, atol=0.2)


def test_sky_as_faint_as_the_read_noise_still_places_the_keyhole() -> None:
    place = default_of(SHORT, True)
    true = (place[0] - 7.4, place[1] + 4.3)
    found = locate(exposure(smooth_drawing(true, SHORT, True), sky=15, stars=5), SHORT, True)
    assert found.trusted, found.reason
    np.testing.assert_allclose(found.centroid, true, atol=0.7)


def test_drawn_mask_at_the_found_place_covers_the_lit_pixels() -> None:
    place = default_of(SHORT, True)
    lit = draw_keyhole(SHAPE, centroid=(place[0] + 3.3, place[1] - 1.3), **setting(SHORT, True))
    found = locate(exposure(lit, sky=3700), SHORT, True)
    drawn = draw_keyhole(SHAPE, centroid=found.centroid, **setting(SHORT, True))
    # A centroid of pixels above a threshold loses 883 and admits 851 of 49571.
    assert np.count_nonzero(drawn != lit) < 200
    assert found.n_lit == pytest.approx(lit.sum(), rel=0.02)


def test_masked_pixels_do_not_matter() -> None:
    place = default_of(SHORT, True)
    data = exposure(draw_keyhole(SHAPE, centroid=place, **setting(SHORT, True)), sky=3700)
    usable = np.random.default_rng(2).random(SHAPE) > 0.05
    usable[:, 480:500] = False
    spoiled = np.where(usable, data, np.float32(1e6))
    spoiled[~usable & (np.arange(SHAPE[1]) % 2 == 0)] = np.nan
    before = spoiled.copy()
    found = locate(spoiled, SHORT, True, usable=usable)
    assert found.trusted, found.reason
    np.testing.assert_allclose(found.centroid, place, atol=0.2)
    np.testing.assert_array_equal(spoiled, before)


def test_keyhole_far_from_its_place_is_found_by_its_light() -> None:
    place = default_of(SHORT, True)
    true = (place[0] + 45.0, place[1] + 70.0)
    data = exposure(draw_keyhole(SHAPE, centroid=true, **setting(SHORT, True)), sky=3700)
    found = locate(data, SHORT, True)
    assert found.trusted, found.reason
    np.testing.assert_allclose(found.centroid, true, atol=0.3)


def test_frame_without_light_falls_back_to_the_default_place() -> None:
    for read_noise in (10.0, None):
        found = locate(exposure(np.zeros(SHAPE, bool), sky=0), SHORT, True, read_noise=read_noise)
        assert not found.trusted
        assert found.centroid == default_of(SHORT, True)
        assert (found.dx, found.dy) == (0, 0)
        assert "no light" in found.reason


def test_light_of_another_shape_is_not_trusted() -> None:
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    for other in ((np.hypot(x - 300, y - 450) < 120), np.ones(SHAPE, bool), x > 512):
        found = locate(exposure(other, sky=3700, stars=0), SHORT, True)
        assert not found.trusted, found
        assert found.centroid == default_of(SHORT, True)


def test_frame_without_usable_pixels_is_refused() -> None:
    with pytest.raises(AlgorithmError, match="none of 1046528 pixels"):
        locate(np.zeros(SHAPE, np.float32), SHORT, True, usable=np.zeros(SHAPE, bool))


def edge_of(data: Any, camera: str, wings: bool, *, usable: Any = None) -> Any:
    s = setting(camera, wings)
    model = OutlineModel(SHAPE, s["geometry"], s["pixel_scale"], wings, s["red"])
    return fit_edge(data, usable, model, start=default_of(camera, wings))


@pytest.mark.parametrize(("camera", "wings"), [(SHORT, True), (SHORT, False), (LONG, True), (LONG_RED, False)])
def test_edge_tells_the_place_to_some_hundredths_of_a_pixel(camera: str, wings: bool) -> None:
    rng = np.random.default_rng(17)
    place = default_of(camera, wings)
    errors = []
    for seed, sky in enumerate((3700, 400)):
        true = (place[0] + rng.uniform(-4, 4), place[1] + rng.uniform(-14, 14))
        data = exposure(smooth_drawing(true, camera, wings, 10), sky=sky, seed=seed)
        found = edge_of(data, camera, wings)
        errors.append(np.subtract(found.centroid, true))
        assert found.error < 0.1
        assert found.lit > 0.95
        assert locate(data, camera, wings).centroid == found.centroid
    assert np.sqrt(np.mean(np.square(errors))) < 0.06


@pytest.mark.parametrize("moved", [(28.0, -18.0), (-26.0, 22.0), (5.0, 26.0)])
def test_edge_tells_a_place_far_from_the_usual_one(moved: tuple[float, float]) -> None:
    place = default_of(SHORT, True)
    true = (place[0] + moved[0], place[1] + moved[1])
    found = edge_of(exposure(smooth_drawing(true, SHORT, True, 10), sky=400), SHORT, True)
    np.testing.assert_allclose(found.centroid, true, atol=0.15)


def test_slope_of_the_sky_hot_pixels_and_masked_columns_do_not_move_the_edge() -> None:
    place = default_of(SHORT, True)
    true = (place[0] + 3.3, place[1] - 6.2)
    window = smooth_drawing(true, SHORT, True, 10)
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    sky = 1000 * (1 + 0.15 * (columns - 500) / 320 + 0.1 * (rows - 450) / 100)
    data = (window * sky + 60 + np.random.default_rng(4).normal(0, 35, SHAPE)).astype(np.float32)
    data[::11, ::13] = 5e4
    usable = (columns > 430) | (columns < 410)
    found = edge_of(np.where(usable, data, np.float32(np.nan)), SHORT, True, usable=usable)
    np.testing.assert_allclose(found.centroid, true, atol=0.1)


def test_edge_says_nothing_without_light_or_far_from_its_place() -> None:
    place = default_of(SHORT, True)
    assert edge_of(exposure(np.zeros(SHAPE, bool), sky=0), SHORT, True) is None
    away = draw_keyhole(SHAPE, centroid=(place[0] + 45.0, place[1] + 70.0), **setting(SHORT, True))
    assert edge_of(exposure(away, sky=3700), SHORT, True) is None


@pytest.mark.parametrize(("camera", "wings"), CASES)
def test_depth_is_positive_where_the_keyhole_is_drawn(camera: str, wings: bool) -> None:
    s = setting(camera, wings)
    place = default_of(camera, wings)
    drawn = draw_keyhole(SHAPE, centroid=place, **s)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(np.float64)
    outline = OutlineModel(SHAPE, s["geometry"], s["pixel_scale"], wings, s["red"]).outline(place)
    assert np.count_nonzero((outline.depth(x, y) > 0) != drawn) < 10


@pytest.mark.parametrize("sky", [3700, 60])
def test_lit_area_is_found_by_its_light_alone(sky: float) -> None:
    lit = draw_keyhole(SHAPE, centroid=(420.0, 600.0), **setting(SHORT, True))
    data = exposure(lit, sky=sky, stars=20)
    found = lit_area(data, np.ones(SHAPE, bool))
    assert found is not None
    # The border is a pixel wide, and some more where the sky is faint.
    assert np.count_nonzero(found != lit) < 1500
    inner = lit_area(data, np.ones(SHAPE, bool), margin=3)
    assert inner is not None
    assert not (inner & ~lit).any()
    assert np.count_nonzero(inner) > 0.85 * np.count_nonzero(lit)


def test_no_lit_area_is_found_where_there_is_no_light_or_nothing_but_light() -> None:
    good = np.ones(SHAPE, bool)
    assert lit_area(exposure(np.zeros(SHAPE, bool), sky=0), good) is None
    assert lit_area(exposure(np.ones(SHAPE, bool), sky=3700, stars=0), good) is None
    assert lit_area(np.zeros(SHAPE, np.float32), ~good) is None


def test_dead_pixels_and_masked_columns_make_no_hole_in_the_lit_area() -> None:
    lit = draw_keyhole(SHAPE, centroid=(420.0, 600.0), **setting(SHORT, True))
    data = exposure(lit, sky=3700, stars=0)
    data[600:603, 400:403] = 60
    good = np.ones(SHAPE, bool)
    good[:, 450:454] = False
    found = lit_area(np.where(good, data, np.float32(0)), good)
    assert found is not None
    assert found[598:606, 395:460].all()
