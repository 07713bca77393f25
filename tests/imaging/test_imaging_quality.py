"""Quality of pixels: each effect is put into an image and found there, and only there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from keyhole.errors import AlgorithmError
from keyhole.imaging._enclosed import enclosed
from keyhole.imaging._neighbours import local_median
from keyhole.imaging.bits import BAD, NONLINEAR, SATURATED, UNILLUMINATED
from keyhole.imaging.noise import clipped_median_sigma, robust_sigma
from keyhole.imaging.quality import (
    apply_dq,
    expected_defect,
    flag_saturation,
    full_share,
    hot_pixels,
    level_of_defect,
    linearised_level,
    nonlinearity_correct,
    weak_pixels,
)

LEVELS: Any = {"saturation_level": 6666, "nonlinear_level": 4761}


def test_saturation_and_non_linearity_start_at_their_levels() -> None:
    raw = np.zeros((3, 6), np.float32)
    raw[1] = [4760, 4761, 6665, 6666, 9000, 4760]
    assert flag_saturation(raw, **LEVELS).tolist() == [[0] * 6, [0, 2, 2, 4, 4, 0], [0] * 6]


def test_hidden_saturation_inside_a_bright_ring_is_flagged() -> None:
    y, x = np.mgrid[:120, :140]
    raw = np.full(y.shape, 100, np.float32)
    for centre, radius in (((40, 50), 8), ((0, 100), 6), ((119, 139), 5)):
        distance = np.hypot(y - centre[0], x - centre[1])
        raw[distance < radius] = 7000
        raw[distance < radius - 3] = 50  # both reads saturated
    raw[80, 80] = raw[81, 81] = raw[80, 82] = raw[79, 81] = 5000  # a hole of one pixel
    flags = flag_saturation(raw, **LEVELS)
    assert (flags[raw == 50] == SATURATED).all()
    assert flags[80, 81] == SATURATED
    assert (flags[raw == 100] & SATURATED).sum() == SATURATED
    assert flags[80, 80] == NONLINEAR


def test_region_larger_than_a_hole_is_background() -> None:
    raw = np.full((150, 300), 5000, np.float32)
    raw[20:130, 20:120] = 100  # 11000 pixels
    raw[40:60, 200:220] = 100
    flags = flag_saturation(raw, **LEVELS)
    assert (flags[20:130, 20:120] == 0).all()
    assert (flags[40:60, 200:220] == SATURATED).all()


def test_frame_without_light_has_no_flags() -> None:
    assert not flag_saturation(np.zeros((30, 30), np.float32), **LEVELS).any()


def test_linearity_correction_recovers_the_true_counts() -> None:
    rng = np.random.default_rng(3)
    gamma_eta = {"even": (7.8e-07, 1.1e-11), "odd": (8.3e-07, 4.8e-12)}
    coadds, exposure, delta = 2, 30.0, 1.39
    true = rng.uniform(0, 120000, (6, 50))
    # What the detector shows: the inverse of the polynomial by fixed-point iteration, row by row.
    measured = np.empty_like(true)
    for row in range(6):
        gamma, eta = gamma_eta["odd" if row % 2 else "even"]
        goal = true[row] / coadds * (exposure + delta) / exposure
        c = goal.copy()
        for _ in range(200):
            c = goal / (1 + c * (gamma + c * eta))
        measured[row] = c * coadds
    data, variance = nonlinearity_correct(
        measured.astype(np.float32),
        np.full(true.shape, 100, np.float32),
        coadds=coadds,
        exposure_per_coadd=exposure,
        time_delta=delta,
        **gamma_eta,
    )
    np.testing.assert_allclose(data, true, rtol=1e-5)
    scale = exposure / (exposure + delta)
    assert variance is not None
    np.testing.assert_allclose(variance, (100 + true / scale - measured) * scale**2, rtol=1e-3)


def test_linearity_correction_refuses_impossible_times() -> None:
    with pytest.raises(AlgorithmError, match=r"0\.1 s"):
        nonlinearity_correct(
            np.ones((2, 2), np.float32),
            None,
            coadds=1,
            exposure_per_coadd=0.1,
            time_delta=-0.2,
            even=(0, 0),
            odd=(0, 0),
        )


def test_limits_of_the_detector_follow_the_even_rows() -> None:
    level = linearised_level(60000, coadds=2, even=(1e-6, 1e-11))
    assert level == pytest.approx(2 * 30000 * (1 + 30000 * (1e-6 + 30000e-11)), rel=1e-9)


def test_local_median_equals_the_plain_one() -> None:
    rng = np.random.default_rng(4)
    data = rng.normal(size=(13, 17)).astype(np.float32)
    usable = rng.random(data.shape) < 0.6
    usable[:6, :6] = False
    median, count = local_median(data, usable, radius=2)
    for y in range(13):
        for x in range(17):
            near = [
                data[j, i]
                for j in range(max(y - 2, 0), min(y + 3, 13))
                for i in range(max(x - 2, 0), min(x + 3, 17))
                if (j, i) != (y, x) and usable[j, i]
            ]
            assert count[y, x] == len(near)
            assert median[y, x] == pytest.approx(np.median(near) if near else 0, abs=1e-6)


def dark_with_defects() -> tuple[Any, Any]:
    rng = np.random.default_rng(11)
    dark = rng.normal(60, 3, (120, 150)).astype(np.float32)
    dark[::2] += 8  # row offsets are no defects
    defects = np.zeros(dark.shape, bool)
    defects[rng.integers(0, 120, 60), rng.integers(0, 150, 60)] = True
    defects[50:57, 70:77] = True  # a cluster as large as the neighbourhood
    dark[defects] += rng.uniform(200, 5000, defects.sum()).astype(np.float32)
    defects[90, 90] = True
    dark[90, 90] = -300
    return dark, defects


def test_hot_and_cold_pixels_and_clusters_are_found_and_nothing_else() -> None:
    dark, defects = dark_with_defects()
    found = hot_pixels(dark)
    np.testing.assert_array_equal(found, defects)
    variance = np.where(defects, 1e8, 10).astype(np.float32)
    assert not hot_pixels(dark, variance).any()


def test_sound_pixel_amid_hot_ones_is_not_cold() -> None:
    rng = np.random.default_rng(14)
    dark = rng.normal(60, 3, (60, 60)).astype(np.float32)
    hot = np.zeros(dark.shape, bool)
    hot[20:29, 20:29] = hot[40, 40] = True
    hot[24, 24] = hot[22, 26] = False
    dark[hot] += 2000
    dark[24, 24] = dark[22, 26] = 55
    np.testing.assert_array_equal(hot_pixels(dark, nsigma=5.0, minimum=1.0), hot)


def test_hot_pixels_are_judged_even_if_masked_and_not_finite_is_hot() -> None:
    dark, defects = dark_with_defects()
    dark[3, 3] = np.nan
    defects[3, 3] = True
    mask = np.where(defects, BAD, 0).astype(np.uint16)
    np.testing.assert_array_equal(hot_pixels(dark, None, mask), defects)


def lit_flat() -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(12)
    y, x = np.mgrid[:100, :200]
    lit = (np.abs(y - 50) < 30) & (np.abs(x - 100) < 80)
    flat = np.where(lit, 1 + 0.1 * (x - 100) / 80 + rng.normal(0, 0.02, y.shape), 0.001).astype(np.float32)
    weak = np.zeros(lit.shape, bool)
    weak[40:46, 60:66] = True
    weak[30, 30] = weak[31, 150] = weak[21, 100] = True
    flat[40:46, 60:66] = 0.3
    flat[30, 30] = 0.65
    flat[31, 150] = 1.6
    flat[21, 100] = 0.02
    return flat, lit, weak


def test_weak_pixels_and_pixels_out_of_line_are_found_and_nothing_else() -> None:
    flat, lit, weak = lit_flat()
    np.testing.assert_array_equal(weak_pixels(flat, lit), weak)


def test_group_of_weak_pixels_is_found_as_a_whole_and_nothing_beside_it() -> None:
    rng = np.random.default_rng(13)
    flat = rng.normal(1, 0.02, (90, 120)).astype(np.float32)
    y, x = np.mgrid[:90, :120]
    weak = np.hypot(y - 40, x - 60) < 9  # 253 pixels, most of which no limit for single pixels would catch
    flat[weak] = rng.uniform(0.45, 0.75, weak.sum())
    flat += (0.1 * (x - 60) / 60).astype(np.float32)
    np.testing.assert_array_equal(weak_pixels(flat, np.ones(flat.shape, bool)), weak)


def test_lit_pixel_without_a_number_is_weak() -> None:
    flat, lit, weak = lit_flat()
    flat[50, 100], flat[50, 120], weak[50, 100], weak[50, 120] = np.nan, np.inf, True, True
    np.testing.assert_array_equal(weak_pixels(flat, lit), weak)


def test_flat_without_light_has_no_weak_pixels() -> None:
    assert not weak_pixels(np.zeros((9, 9), np.float32), np.zeros((9, 9), bool)).any()


@pytest.mark.parametrize("curves", [[(8e-7, 1.1e-11), (7e-7, 5e-12)], [(2e-6, 0.0)]])
def test_expected_defect_is_what_the_polynomial_would_add(curves: list[tuple[float, float]]) -> None:
    counts = 40000.0
    linear = np.mean([counts * (1 + counts * (gamma + counts * eta)) for gamma, eta in curves])
    assert expected_defect(counts, curves) == pytest.approx(1 - counts / linear)
    assert level_of_defect(expected_defect(counts, curves), curves) == pytest.approx(counts)


def test_flagged_pixels_get_the_median_of_the_others() -> None:
    data = np.array([[1, 2, 3, 10, 500]], np.float32)
    mask = np.array([[0, SATURATED, 0, 0, UNILLUMINATED]], np.uint16)
    assert apply_dq(data, mask).tolist() == [[1, 2, 3, 10, 2.5]]
    assert apply_dq(data, mask, replace_value="mean").tolist() == [[1, 2, 3, 10, 4]]
    assert apply_dq(data, mask, replace_value=-1.0).tolist() == [[1, 2, 3, 10, -1]]
    assert apply_dq(data, mask, replace_flags=SATURATED, replace_value=0.0).tolist() == [[1, 0, 3, 10, 500]]
    assert data[0, 4] == 500


@pytest.mark.parametrize("strange", [(), (np.nan,), (np.inf, -np.inf)])
@pytest.mark.parametrize("everywhere", [True, False])
def test_median_of_a_large_frame_is_that_of_a_fair_part_of_its_good_numbers(strange, everywhere) -> None:
    rng = np.random.default_rng(12)
    data = rng.normal(50, 3, (500, 700)).astype(np.float32)
    mask = (rng.random(data.shape) < 0.1).astype(np.uint16)
    for value in strange:
        data[rng.random(data.shape) < (0.2 if everywhere else 1e-4)] = value
    filled = apply_dq(data, mask)
    good = (mask == 0) & np.isfinite(data)
    step = (int(good.sum()) // 100_000) | 1
    some = data.ravel()[::step][good.ravel()[::step]]
    assert set(filled[mask > 0].tolist()) == {float(np.median(some))}
    np.testing.assert_array_equal(filled[mask == 0], data[mask == 0])


def test_ring_fills_from_the_neighbourhood_and_grows_inwards() -> None:
    y, x = np.mgrid[:30, :30]
    data = (10 * x).astype(np.float32)
    mask = np.zeros(data.shape, np.uint16)
    mask[10:19, 10:19] = BAD
    spoiled = np.where(mask > 0, -999, data).astype(np.float32)
    once = apply_dq(spoiled, mask, inner=1, outer=2)
    assert once[14, 14] == -999
    assert once[14, 10] == pytest.approx(np.median([80, 90, 90, 90]), abs=10)
    often = apply_dq(spoiled, mask, inner=1, outer=2, max_iters=9)
    assert (often >= 0).all()
    np.testing.assert_array_equal(often[mask == 0], data[mask == 0])
    ring = np.hypot(y - 14, x - 14)
    single = np.zeros(data.shape, np.uint16)
    single[14, 14] = BAD
    got = apply_dq(data, single, inner=3, outer=5, replace_value="mean")
    assert got[14, 14] == pytest.approx(float(data[(ring >= 3) & (ring <= 5)].mean()))


def test_filling_needs_a_good_pixel_and_a_ring_with_pixels() -> None:
    data = np.ones((3, 3), np.float32)
    with pytest.raises(AlgorithmError, match="All 9 pixels"):
        apply_dq(data, np.full((3, 3), BAD, np.uint16))
    one = np.zeros((3, 3), np.uint16)
    one[1, 1] = BAD
    with pytest.raises(AlgorithmError, match="from 3 to 2 pixels"):
        apply_dq(data, one, inner=3, outer=2)


def test_holes_are_those_that_labelling_finds() -> None:
    rng = np.random.default_rng(8)
    for _ in range(30):
        raw = np.where(rng.random((40, 40)) < 0.35, 5000, 100).astype(np.float32)
        labels, _n = ndimage.label(raw < 5000)
        sizes = np.bincount(labels.ravel())
        holes = (labels > 0) & (sizes[labels] <= 800)
        np.testing.assert_array_equal(flag_saturation(raw, **LEVELS) == SATURATED, holes)


def plain_holes(high: np.ndarray) -> np.ndarray:
    """Holes by labelling the window of every pixel that could be the first of one."""
    holes = np.zeros_like(high)
    walls = np.pad(high, 1, constant_values=True)
    for y, x in np.argwhere(~high & walls[:-2, 1:-1] & walls[1:-1, :-2]):
        y1, y2, x1, x2 = max(y - 150, 0), min(y + 150, high.shape[0]), max(x - 150, 0), min(x + 150, high.shape[1])
        labels, _ = ndimage.label(~high[y1:y2, x1:x2])
        hole = labels == labels[y - y1, x - x1]
        open_sides = [
            y1 > 0 and hole[0].any(),
            y2 < high.shape[0] and hole[-1].any(),
            x1 > 0 and hole[:, 0].any(),
            x2 < high.shape[1] and hole[:, -1].any(),
        ]
        if not any(open_sides) and hole.sum() <= min(10000, high.size // 2):
            holes[y1:y2, x1:x2] |= hole
    return holes


def test_holes_are_those_of_labelling_a_window_about_each() -> None:
    rng = np.random.default_rng(9)
    y, x = np.mgrid[:420, :450]
    for radius in (4.0, 9.0, 14.0, 50.0, 110.0, 160.0):
        high = rng.random((420, 450)) < 0.002
        for _ in range(3):
            cy, cx = rng.integers(0, 420), rng.integers(0, 450)
            ring = np.hypot(y - cy, x - cx)
            high |= (ring < radius) & (ring > 0.8 * radius - 2)
        assert plain_holes(high).sum() > 0 or radius > 50
        np.testing.assert_array_equal(enclosed(high), plain_holes(high))


def test_hot_pixels_are_those_of_comparing_every_pixel() -> None:
    rng = np.random.default_rng(10)
    dark = rng.normal(20, 4, (60, 70)).astype(np.float32)
    dark[rng.random(dark.shape) < 0.02] += np.float32(150)
    dark[30:33, 40:43] += np.float32(400)
    dark[rng.random(dark.shape) < 0.01] -= np.float32(90)
    variance = rng.uniform(10, 25, dark.shape).astype(np.float32)
    mask = np.where(rng.random(dark.shape) < 0.01, BAD, 0).astype(np.uint16)
    for nsigma, minimum in ((6.0, 100.0), (6.0, 0.0), (1.0, 0.0), (10.0, 300.0)):
        good = mask == 0
        level = clipped_median_sigma(dark, good)

        def expected(usable, dark=dark, level=level):
            around, count = local_median(dark, usable, radius=2)
            limits = level.median - 5 * level.sigma, level.median + 5 * level.sigma
            return np.where(count < 3, np.float32(level.median), np.clip(around, *limits))

        difference = dark - expected(good)
        limit = np.maximum(nsigma * np.maximum(robust_sigma(difference[good]), np.sqrt(variance)), minimum)
        first = np.abs(difference) > limit
        found = first & (np.abs(dark - expected(good & ~first)) > limit)
        got = hot_pixels(dark, variance, mask, nsigma=nsigma, minimum=minimum)
        np.testing.assert_array_equal(got, found)
        assert found.any()


def test_full_wells_are_a_part_of_the_lit_pixels():
    mask = np.full((50, 60), 64, np.uint16)
    assert full_share(mask) == 0
    mask[:20] = 0
    mask[:5] = 2
    mask[5:10] = 4
    # Hot pixels beside the light do not count.
    mask[30:] |= 4
    assert full_share(mask) == 0.5
