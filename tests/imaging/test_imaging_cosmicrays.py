"""Cosmic rays by comparison of exposures: hits put in are found, whatever stars, seeing and clouds do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sky_scene import moffat

from keyhole.imaging import _blot, _layers, cosmicrays
from keyhole.imaging._blot import blot, median_reference
from keyhole.imaging._bridging import few_bad
from keyhole.imaging._differences import Adjusted, Look, deviation_of, differences, largest_step, step_at
from keyhole.imaging._noisy import NoisyPixels
from keyhole.imaging._order_statistics import median_efficiency
from keyhole.imaging.bits import BAD, COSMIC_RAY, SATURATED, UNILLUMINATED
from keyhole.imaging.cosmicrays import Exposure, HitRule, Hits, find_hits

SHAPE = (70, 110)
SIGMA = 20.0
STARS = np.array([(30.3, 30.8, 4e5), (62.1, 40.4, 6e4), (80.7, 22.2, 1e5), (48.0, 52.0, 1.5e4)])
STEPS = np.array(
    [(0.0, 0.0), (9.4, -3.3), (-8.7, 4.6), (4.2, 7.1), (-5.3, -6.2), (13.6, 2.4), (-12.2, 1.3), (6.5, -5.5)]
)


def night(n: int = 6, *, fwhms=None, clear=None, seed: int = 2, sigma: float = SIGMA, level: float = 0.0):
    """Exposures of one field; the mask leaves a bar of light."""
    rng = np.random.default_rng(seed)
    exposures = []
    for i in range(n):
        fwhm = 4.0 if fwhms is None else fwhms[i]
        shift = STEPS[i % len(STEPS)]
        light = sum(moffat(SHAPE, x + shift[0], y + shift[1], flux, fwhm) for x, y, flux in STARS)
        light = light * (1.0 if clear is None else clear[i])
        variance = (sigma**2 + light).astype(np.float32)
        data = (level + light + rng.normal(0, np.sqrt(variance))).astype(np.float32)
        mask = np.full(SHAPE, UNILLUMINATED, np.uint16)
        mask[6:-6, 4:-4] = 0
        exposures.append(Exposure(data, variance, mask, shift=shift, fwhm=fwhm))
    return exposures


def hit(exposures, number: int, places, electrons: float):
    data = exposures[number].data.copy()
    for y, x in places:
        data[y, x] += electrons
    exposures[number] = replace(exposures[number], data=data)


def flagged(exposures, bit: int = COSMIC_RAY, **options):
    """Places of the flagged pixels of each exposure."""
    out = []
    for found in find_hits(exposures, **options):
        full = np.zeros(SHAPE, np.uint16)
        full[found.box] = found.bits
        out.append({(int(y), int(x)) for y, x in np.argwhere(full & bit)})
    return out


def test_marking_a_mask_is_setting_all_bits_in_it():
    exposures = night(6)
    hit(exposures, 2, {(20, 50), (30, 21)}, 3000)
    for number in range(6):
        hit(exposures, number, {(36, 40)}, 500 * (-1) ** number)
    for exposure, found in zip(exposures, find_hits(exposures, same_array=True), strict=True):
        expected, mask = exposure.mask.copy(), exposure.mask.copy()
        expected[found.box] |= found.bits
        numbers = found.mark(mask)
        np.testing.assert_array_equal(mask, expected)
        assert numbers == tuple(np.count_nonzero(found.bits & bit) for bit in (COSMIC_RAY, BAD))
        assert numbers[1] > 0


def test_noisy_pixels_that_could_not_be_used_before_are_not_counted_again():
    mask = np.zeros((3, 7), np.uint16)
    mask[0, :4], mask[2, 2] = UNILLUMINATED, SATURATED
    hit_there, noisy = np.zeros((2, 3, 7), np.bool_)
    hit_there[1, 6] = hit_there[2, 1] = noisy[0, 2:6] = True
    found = Hits((slice(1, 4), slice(0, 7)), np.packbits(hit_there), mask, noisy)
    whole = np.zeros((5, 9), np.uint16)
    assert found.mark(whole) == (2, 2)
    assert np.argwhere(whole & COSMIC_RAY).tolist() == [[2, 6], [3, 1]]
    assert np.argwhere(whole & BAD).tolist() == [[1, 4], [1, 5]]


@pytest.mark.parametrize("n", [3, 4, 8])
def test_hits_are_flagged_in_the_exposure_that_has_them_and_nowhere_else(n: int) -> None:
    exposures = night(n)
    places = {(20, 50), (50, 80), (36, 20)}
    hit(exposures, 1, places, 12 * SIGMA)
    hit(exposures, 0, [(40, 90)], -12 * SIGMA)  # left by a hit in its sky
    assert flagged(exposures) == [{(40, 90)}, places, *[set()] * (n - 2)]


def test_exposures_of_a_long_sequence_are_compared_with_their_neighbours(monkeypatch) -> None:
    exposures = night(11)
    places = {(20, 50), (50, 80), (36, 20)}
    for number in (1, 4, 9):
        hit(exposures, number, places, 12 * SIGMA)
    whole = flagged(exposures)
    monkeypatch.setattr(cosmicrays, "_MOST", 6)
    parts = flagged(exposures)
    assert [pixels & places for pixels in parts] == [pixels & places for pixels in whole]
    assert parts[1] == places
    assert sum(len(one ^ other) for one, other in zip(parts, whole, strict=True)) <= 3
    sizes = [len(part) for part in cosmicrays._parts(list(range(11)))]
    assert sizes == [6, 5]


@pytest.mark.parametrize("n", [1, 2])
def test_one_and_two_exposures_are_looked_at_by_sharpness(n: int) -> None:
    exposures = night(n)
    hit(exposures, 0, [(20, 50), (50, 80)], 15 * SIGMA)
    assert flagged(exposures) == [{(20, 50), (50, 80)}, *[set()] * (n - 1)]


@pytest.mark.parametrize(
    "fwhms", [(2.7, 3.0, 4.0, 4.0, 4.6, 5.2), (4.0, 5.2, 2.8, 4.0, 4.0, 4.0), (15, 20, 11, 13, 15, 17)]
)
def test_seeing_that_changes_by_a_third_flags_no_star(fwhms) -> None:
    assert flagged(night(6, fwhms=fwhms)) == [set()] * 6
    assert flagged(night(6, fwhms=fwhms)[:3]) == [set()] * 3


def test_clouds_flag_no_star_and_hide_no_hit() -> None:
    exposures = night(6, clear=(1.0, 0.3, 0.8, 1.0, 0.5, 0.9))
    hit(exposures, 1, [(50, 60)], 10 * SIGMA)
    assert flagged(exposures) == [set(), {(50, 60)}, *[set()] * 4]


def test_registration_error_of_a_tenth_of_a_pixel_flags_no_star() -> None:
    exposures = [replace(e, shift=e.shift + (-1) ** i * np.array([0.1, -0.1])) for i, e in enumerate(night(6))]
    assert flagged(exposures) == [set()] * 6


def test_star_cut_by_a_ragged_edge_is_spared_when_the_seeing_changes() -> None:
    exposures = night(6, fwhms=(10, 7, 10, 11, 10, 12))
    mask = exposures[1].mask.copy()
    x, y = np.rint(STARS[0, :2] + STEPS[1]).astype(int)
    for step in range(-12, 13):
        mask[: y - 2 + abs(step) // 3, x + step] = UNILLUMINATED
    exposures[1] = replace(exposures[1], mask=mask)
    assert flagged(exposures) == [set()] * 6


def test_hit_in_the_wing_of_a_star_is_found() -> None:
    exposures = night(6)
    x, y = np.rint(STARS[0, :2] + STEPS[2]).astype(int)
    hit(exposures, 2, [(int(y) + 6, int(x))], 600)
    assert flagged(exposures)[2] == {(int(y) + 6, int(x))}


@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("side", [2, 3])
def test_large_hit_is_flagged_as_a_whole(n: int, side: int) -> None:
    exposures = night(n)
    block = {(53 + j, 80 + i) for j in range(side) for i in range(side)}
    hit(exposures, 0, block, 60 * SIGMA)
    assert block <= flagged(exposures)[0]


def test_hits_grow_into_faint_neighbours_only_where_they_deviate() -> None:
    exposures = night(5)
    hit(exposures, 3, [(55, 85)], 60 * SIGMA)
    hit(exposures, 3, [(55, 86), (56, 85)], 3.9 * SIGMA)
    alone = flagged(exposures, rule=HitRule(grow=0))[3]
    grown = flagged(exposures)[3]
    assert (55, 85) in alone < grown
    assert {(55, 86), (56, 85)} <= grown
    assert all(abs(y - 55) <= 2 and abs(x - 85) <= 2 for y, x in grown)


def test_noise_is_not_flagged() -> None:
    found = flagged(night(8, seed=11), same_array=True) + flagged(night(8, seed=12), BAD, same_array=True)
    assert sum(map(len, found)) <= 1  # of 100000 pixels


def test_noise_larger_than_the_variance_says_flags_nothing() -> None:
    found = []
    for seed in range(8):
        exposures = [replace(e, variance=e.variance / 4) for e in night(6, seed=seed)]
        found.append(sum(map(len, flagged(exposures))))
    # Of 46000 pixels, of which the known noise would call 1100 hit.
    assert np.mean(found) <= 4


def test_noisy_pixel_is_bad_in_all_exposures_and_a_single_hit_makes_none() -> None:
    exposures = night(8)
    rng = np.random.default_rng(5)
    for i in range(8):
        hit(exposures, i, [(33, 55)], float(rng.choice([-1, 1]) * rng.uniform(3, 4.5) * SIGMA))
    hit(exposures, 4, [(45, 70)], 1e4)
    assert flagged(exposures, BAD, same_array=True) == [{(33, 55)}] * 8
    assert flagged(exposures, BAD) == [set()] * 8
    assert flagged(exposures, BAD, same_array=True, rule=HitRule(noisy=0)) == [set()] * 8


def test_exposures_of_different_times_levels_and_angles_are_compared() -> None:
    exposures = night(5)
    exposures[1] = replace(
        exposures[1], data=exposures[1].data * 3 + 500, variance=exposures[1].variance * 9, seconds=3.0
    )
    # A frame turned by 180 degrees: position in it = -position on the reference + what remains.
    turned = exposures[2]
    exposures[2] = Exposure(
        turned.data[::-1, ::-1],
        turned.variance[::-1, ::-1],
        turned.mask[::-1, ::-1],
        shift=np.array([SHAPE[1] - 1, SHAPE[0] - 1]) - turned.shift,
        matrix=-np.eye(2),
        fwhm=4.0,
    )
    hit(exposures, 1, [(30, 90)], 45 * SIGMA)
    hit(exposures, 2, [(20, 60)], 15 * SIGMA)
    assert flagged(exposures) == [set(), {(30, 90)}, {(20, 60)}, set(), set()]


def test_saturated_core_is_no_hit_but_a_lone_saturated_pixel_is() -> None:
    exposures = night(5)
    x, y = np.rint(STARS[0, :2] + STEPS[1]).astype(int)
    mask, data = exposures[1].mask.copy(), exposures[1].data.copy()
    core = np.s_[y - 1 : y + 2, x - 1 : x + 2]
    mask[core] = mask[25, 90] = SATURATED
    data[core] = data[core].max() * np.random.default_rng(1).uniform(0.9, 1.1, (3, 3))
    data[25, 90] = 9e4
    exposures[1] = replace(exposures[1], mask=mask, data=data)
    assert flagged(exposures)[1] == {(25, 90)}


def test_exposures_without_variance_mask_or_light_are_taken() -> None:
    exposures = [replace(e, variance=None) for e in night(5)]
    dark = np.full(SHAPE, UNILLUMINATED, np.uint16)
    exposures[4] = replace(exposures[4], mask=dark)
    hit(exposures, 0, [(55, 90)], 15 * SIGMA)
    values = exposures[3].data.copy()
    values[30, 30] = np.nan
    exposures[3] = replace(exposures[3], data=values)
    assert flagged(exposures) == [{(55, 90)}, *[set()] * 4]
    assert flagged([exposures[4]]) == [set()]


def test_comparison_can_be_switched_off_and_nothing_is_changed() -> None:
    exposures = night(4)
    hit(exposures, 0, [(55, 90)], 20 * SIGMA)
    before = [(e.data.copy(), e.mask.copy()) for e in exposures]
    assert flagged(exposures, rule=HitRule(compare=False))[0] == {(55, 90)}
    for (data, mask), exposure in zip(before, exposures, strict=True):
        np.testing.assert_array_equal(exposure.data, data)
        np.testing.assert_array_equal(exposure.mask, mask)


def test_median_mapped_back_gives_the_light_without_the_hit() -> None:
    exposures = night(8, sigma=0.5, clear=(1, 1, 1, 1, 1, 1, 1, 0.5))
    hit(exposures, 0, [(40, 60)], 1e5)
    reference = median_reference(exposures)
    assert reference.seen.max() == 8
    for number, clear in ((0, 1.0), (7, 0.5)):
        exposure = exposures[number]
        expected = blot(reference, exposure, exposure.sigma())
        assert expected.scale == pytest.approx(clear, rel=0.03)
        light = sum(moffat(SHAPE, *(star[:2] + exposure.shift), star[2], 4.0) for star in STARS)
        inside = expected.known & (expected.seen > 4)
        np.testing.assert_allclose(expected.data[inside], light[inside], atol=0.04 * light.max())
        assert abs(expected.data[40, 60] - light[40, 60]) < 30


@pytest.mark.parametrize("shape", [(5, 7), (130, 33), (200, 700)])
def test_largest_step_is_that_to_any_of_four_neighbours(shape: tuple[int, int]) -> None:
    plane = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    padded = np.pad(plane, 1, constant_values=np.nan)
    around = [padded[1 + dy :, 1 + dx :][: shape[0], : shape[1]] for dy, dx in ((-1, 0), (1, 0), (0, -1), (0, 1))]
    np.testing.assert_array_equal(largest_step(plane), np.nanmax(np.abs(np.array(around) - plane), axis=0))


def test_parts_that_are_looked_at_alone_give_what_the_whole_gives() -> None:
    rng = np.random.default_rng(8)
    shape = (300, 400)
    data = rng.normal(0, 1, shape).astype(np.float32)
    y, x = rng.integers(0, 300, 400), rng.integers(0, 400, 400)
    data[y, x] += 40
    good = rng.random(shape) > 0.01
    compared = np.ones(shape, bool)
    compared[:30] = compared[:, :40] = compared[:, 390:] = False
    zero = np.zeros(shape, np.float32)
    look = Look(data, zero, zero + 1, good, compared & good, zero > 1)
    rule = HitRule()
    where = good & ~compared
    whole = cosmicrays._alone_in(look, data, where, 3.0, rule)
    np.testing.assert_array_equal(cosmicrays._alone(look, data, 3.0, rule), whole)
    assert 20 < np.count_nonzero(whole) == np.count_nonzero(whole & where)


def test_what_stars_vary_by_with_the_seeing_is_no_deviation() -> None:
    shape = (90, 800)
    expected = np.zeros(shape, np.float32)
    expected[40, 300] = 1000
    sigma, good = np.full(shape, 2, np.float32), np.ones(shape, bool)
    residual, step = np.full(shape, 8, np.float32), np.full(shape, 2, np.float32)
    residual[40, 300] = 152
    found = deviation_of(Look(expected + residual, expected, sigma, good, good, ~good), residual, step)
    # 8 over noise and gradient; 152 over these and three tenths of the star.
    assert found[10, 10] == pytest.approx(2) and found[40, 300] == pytest.approx(0.5)


@pytest.mark.parametrize("shape", [(3, 7), (130, 333), (200, 700)])
def test_differences_in_blocks_of_rows_are_those_of_whole_planes(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    data, model = rng.normal(50, 3, (2, *shape)).astype(np.float32)
    sigma = rng.uniform(1, 2, shape).astype(np.float32)
    compared = rng.random(shape) > 0.05
    one = Adjusted(np.float32(1.1), np.float32(40), np.float32(-2), np.float32(1.2))
    expected, noise = model * one.scale, sigma * one.noise
    taken = data - one.level - one.middle
    step = largest_step(expected) * np.float32(0.3)
    y, x = np.nonzero((np.abs(taken - expected) > 2 * noise + step) & compared)
    squares = np.minimum((taken - expected) / (noise + step + np.float32(0.3) * np.maximum(expected, 0)), 5) ** 2

    array = NoisyPixels((shape[0] + 5, shape[1] + 5))
    box = (slice(2, 2 + shape[0]), slice(3, 3 + shape[1]))
    look = Look(data.copy(), model, sigma, compared, compared, ~compared)
    found = differences(look, one, 2.0, 0.3, array.part(box))
    for plane, plain in ((found.look.data, taken), (found.look.expected, expected), (found.look.sigma, noise)):
        np.testing.assert_array_equal(plane, plain)
    np.testing.assert_array_equal(found.residual, taken - expected)
    np.testing.assert_array_equal(found.outliers, (y, x))
    assert y.size == 0 or (np.abs(found.residual[y, x]) > 2).all()
    np.testing.assert_array_equal(step_at(expected, y, x) * np.float32(0.3), step[y, x])
    np.testing.assert_allclose(array._squares[box], np.where(compared, squares, 0), rtol=1e-5)
    np.testing.assert_array_equal(array.count[box], compared)
    assert array.count.sum() == compared.sum()


def test_noise_of_the_difference_to_a_median_grows_with_the_noise_of_the_median() -> None:
    exposures = night(5)
    reference = median_reference(exposures)
    expected = blot(reference, exposures[1], exposures[1].sigma())
    growth = np.ones(expected.known.shape, np.float32)
    expected.where.multiply(growth, reference.growth)
    for number in range(1, 6):
        there = expected.known & (expected.seen == number)
        assert there.any() == (expected.seen == number).any()
        plain = np.sqrt(1 + median_efficiency(np.array([number])) / number)
        np.testing.assert_allclose(growth[there], plain[0], rtol=1e-6)
    assert growth.min() >= 1


def test_a_median_of_few_bad_pixels_is_that_of_interpolated_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    exposures = []
    for whole in night(5):
        exposure = whole.cut(np.s_[6 : SHAPE[0] - 6, 4 : SHAPE[1] - 4])
        data, mask = exposure.data.copy(), exposure.mask.copy()
        spoiled = rng.random(mask.shape) < 0.004
        data[spoiled], mask[spoiled] = 1e5, BAD
        exposures.append(replace(exposure, data=data, mask=mask, seconds=float(rng.uniform(1, 3))))
    ways = []
    monkeypatch.setattr(_layers, "few_bad", lambda good: ways.append(few_bad(good)) or ways[-1])
    fast = median_reference(exposures)
    fast_blot = [blot(fast, exposure, exposure.sigma()) for exposure in exposures]
    assert all(ways) and few_bad(fast.good)
    for module in (_layers, _blot):
        monkeypatch.setattr(module, "few_bad", lambda good: False)
    slow = median_reference(exposures)
    np.testing.assert_array_equal(fast.seen, slow.seen)
    np.testing.assert_allclose(fast.data, slow.data, rtol=1e-6, atol=1e-5)
    assert (fast.seen == 5).any() and (fast.seen == 0).any()
    for exposure, quick in zip(exposures, fast_blot, strict=True):
        plain = blot(fast, exposure, exposure.sigma())
        np.testing.assert_array_equal(quick.data, plain.data)
        np.testing.assert_array_equal(quick.known, plain.known)
        np.testing.assert_array_equal(quick.seen, plain.seen)
        assert quick.scale == plain.scale


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (5, 1), (2, 2), (7, 9)])
def test_the_largest_step_is_that_to_one_of_four_neighbours(shape: tuple[int, int]) -> None:
    plane = np.random.default_rng(6).normal(0, 1, shape).astype(np.float32)
    found = largest_step(plane)
    assert found.shape == shape
    for y, x in np.ndindex(shape):
        beside = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
        steps = [abs(plane[at] - plane[y, x]) for at in beside if 0 <= at[0] < shape[0] and 0 <= at[1] < shape[1]]
        assert found[y, x] == max(steps, default=0)


def test_level_and_noise_of_a_large_exposure_come_from_a_fair_sample_of_its_rows() -> None:
    rng = np.random.default_rng(7)
    data = rng.normal(30, 5, (600, 1000)).astype(np.float32)
    mask = np.zeros(data.shape, np.uint16)
    exposure = Exposure(data, np.full(data.shape, 25, np.float32), mask)
    assert exposure.level == pytest.approx(np.median(data), abs=5 * 0.01)
    # The rows of the sample are bad: others tell.
    mask[::13] = BAD
    mask[::7] = BAD
    assert Exposure(data, None, mask).level == np.median(data[mask == 0])


def test_more_exposures_are_counted_than_a_byte_holds() -> None:
    array, box = NoisyPixels((3, 4)), np.s_[0:3, 0:4]
    known = np.ones((3, 4), bool)
    known[1, 2] = False
    for _ in range(600):
        array.part(box).add(np.s_[:, :], (np.full((3, 4), 2, np.float32), known))
    np.testing.assert_array_equal(array.count, np.where(known, 600, 0))
    np.testing.assert_array_equal(array._squares, np.where(known, 2400, 0))
    np.testing.assert_array_equal(array.found(1e-7), known)


@pytest.mark.parametrize("least", [0.0, 2.0])
def test_the_noise_of_no_pixel_is_taken_as_next_to_nothing(least: float) -> None:
    variance = np.random.default_rng(9).uniform(3, 5, (40, 50)).astype(np.float32)
    variance[7, 8] = least
    sigma = Exposure(np.zeros_like(variance), variance, np.zeros(variance.shape, np.uint16)).sigma()
    assert sigma[7, 8] == pytest.approx(np.sqrt(max(least, 4e-3)), rel=0.05)
    np.testing.assert_array_equal(
        np.delete(sigma.ravel(), 7 * 50 + 8), np.sqrt(np.delete(variance.ravel(), 7 * 50 + 8))
    )
