"""Which pixels may glow after an exposure, and in which it matters later."""

from __future__ import annotations

import numpy as np
import pytest

from keyhole.imaging import bits, persistence
from keyhole.imaging.persistence import BrightPixels, afterglow, bright_pixels

SATURATION = 6666.0


def test_pixels_above_the_fluence_and_flagged_ones_may_glow() -> None:
    data = np.full((5, 6), 100, np.float32)
    mask = np.zeros((5, 6), np.uint16)
    # 35 % of the way from the sky to saturation is at 2398.
    data[0] = [100, 2396, 2400, 50, 9000, 7000]
    mask[0] = [0, 0, 0, bits.SATURATED, bits.BAD, bits.UNILLUMINATED]
    found = bright_pixels(data, mask, saturation=SATURATION, fluence=0.35)
    assert found.pixels.tolist() == [2, 3]
    # The flagged pixel reads low, as both of its reads are saturated.
    assert found.light.tolist() == [2400, SATURATION]
    by_flags = bright_pixels(data, mask, saturation=SATURATION, fluence=None)
    assert by_flags.pixels.tolist() == [3]


@pytest.mark.parametrize(("flags", "expected"), [(bits.SATURATED, [1]), (bits.SATURATED | bits.NONLINEAR, [0, 1])])
def test_non_linear_pixels_glow_if_asked_for(flags: int, expected: list[int]) -> None:
    mask = np.array([[bits.NONLINEAR, bits.SATURATED, 0]], np.uint16)
    data = np.array([[5000, 7000, 100]], np.float32)
    assert bright_pixels(data, mask, saturation=SATURATION, fluence=None, flags=flags).pixels.tolist() == expected


@pytest.mark.parametrize("flag", [0, bits.NONLINEAR])
def test_bright_sky_is_no_star(flag: int) -> None:
    data = np.random.default_rng(2).normal(0.7 * SATURATION, 20, (60, 70)).astype(np.float32)
    mask = np.full(data.shape, flag, np.uint16)
    flags = bits.SATURATED | bits.NONLINEAR
    assert bright_pixels(data, mask, saturation=SATURATION, fluence=0.35, flags=flags).pixels.size == 0
    if not flag:
        data[20, 30], data[40, 50] = 0.85 * SATURATION, 0.75 * SATURATION
        found = bright_pixels(data, mask, saturation=SATURATION, fluence=0.35, flags=flags)
        assert found.pixels.tolist() == [20 * 70 + 30]


def test_pixel_that_a_star_lights_now_is_not_given_up() -> None:
    data = np.full((4, 5), 280, np.float32)
    data[0, 2] = 280 + 700
    data[3, 3] = 280 + 600
    earlier = [BrightPixels(np.array([2, 7, 18]), np.array([6666, 6666, 6666], np.float32))]
    assert afterglow(data, None, earlier, outshone=0.1).tolist() == [7, 18]
    assert afterglow(data, None, earlier, outshone=None).tolist() == [2, 7, 18]


def test_each_pixel_is_named_once_and_nothing_without_predecessor() -> None:
    data = np.zeros((3, 3), np.float32)
    one = BrightPixels(np.array([4, 1]), np.array([9.0, 9.0], np.float32))
    two = BrightPixels(np.array([4]), np.array([8.0], np.float32))
    assert afterglow(data, None, [one, two]).tolist() == [1, 4]
    assert afterglow(data, None, []).size == 0
    assert afterglow(data, np.full((3, 3), bits.BAD, np.uint16), [one], outshone=0.5).tolist() == [1, 4]


def test_input_is_not_changed() -> None:
    data, mask = np.full((3, 3), 7000, np.float32), np.zeros((3, 3), np.uint16)
    found = bright_pixels(data, mask, saturation=SATURATION, fluence=0.5)
    afterglow(data, mask, [found], outshone=0.1)
    assert (data == 7000).all()
    assert (mask == 0).all()


def test_where_few_pixels_are_usable_all_of_them_tell_the_level() -> None:
    data = np.random.default_rng(6).normal(500, 20, (600, 700)).astype(np.float32)
    mask = np.full(data.shape, bits.BAD, np.uint16)
    mask[101:141, 203:243] = 0
    assert persistence._level(data, mask) == np.median(data[mask == 0])
    assert persistence._level(data, np.full_like(mask, bits.BAD)) == 0
    assert persistence._level(data, None) == pytest.approx(500, abs=1)
