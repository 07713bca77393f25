from __future__ import annotations

import numpy as np
import pytest

from keyhole.imaging._bins import bin_factor, bin_sums, binned, kept_sums, unbinned


@pytest.mark.parametrize(("factor", "lead"), [(1, (0, 0)), (2, (0, 0)), (3, (2, 1)), (5, (0, 4))])
def test_bins_equal_a_loop_over_pixels(factor, lead):
    rng = np.random.default_rng(factor)
    image = rng.normal(100, 10, (11, 17)).astype(np.float32)
    weight = rng.integers(0, 3, image.shape).astype(np.float32)
    mean, total = binned(image, weight, factor, lead)
    sums, weights = np.zeros(mean.shape), np.zeros(mean.shape)
    for (y, x), value in np.ndenumerate(image):
        place = (y + lead[0]) // factor, (x + lead[1]) // factor
        sums[place] += value * weight[y, x]
        weights[place] += weight[y, x]
    np.testing.assert_array_equal(total, weights)
    np.testing.assert_allclose(mean * weights, sums, rtol=1e-5)


def test_a_mask_in_bins_covers_the_pixels_of_these():
    mask = np.zeros((4, 6), np.bool_)
    mask[1, 2] = True
    whole = unbinned(mask, 3, (10, 15), (1, 0))
    assert set(zip(*np.nonzero(whole), strict=True)) == {(y, x) for y in (2, 3, 4) for x in (6, 7, 8)}


@pytest.mark.parametrize(("factor", "lead"), [(1, (0, 0)), (2, (0, 0)), (2, (1, 3)), (3, (7, 2)), (5, (0, 4))])
@pytest.mark.parametrize("shape", [(10, 15), (11, 17), (1, 1)])
def test_every_pixel_has_the_value_of_its_bin(factor, lead, shape):
    rng = np.random.default_rng(factor)
    mask = rng.random(tuple(-(-(before + n) // factor) + 1 for before, n in zip(lead, shape, strict=True))) < 0.5
    whole = unbinned(mask, factor, shape, lead)
    assert whole.shape == shape
    for (y, x), value in np.ndenumerate(whole):
        assert value == mask[(y + lead[0]) // factor, (x + lead[1]) // factor]


def test_stars_keep_enough_bins_across_their_width():
    assert [bin_factor(width) for width in (1.0, 3.0, 5.0, 15.0)] == [1, 1, 2, 6]


@pytest.mark.parametrize("factor", [1, 2, 5, 17])
@pytest.mark.parametrize("lead", [(0, 0), (1, 3)])
def test_true_pixels_of_a_mask_are_counted_as_numbers_are_added(factor, lead):
    mask = np.random.default_rng(factor).random((43, 57)) < 0.9
    found = bin_sums(mask, factor, lead)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, bin_sums(mask.astype(np.float32), factor, lead))
    assert found.sum() == mask.sum()


@pytest.mark.parametrize("factor", [1, 2, 3])
@pytest.mark.parametrize("shape", [(40, 50), (41, 51), (301, 1000)])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.6])
@pytest.mark.parametrize("spoilt", [(), (np.nan,), (np.inf, -np.inf)])
@pytest.mark.parametrize("hide", [True, False])
def test_sums_of_kept_pixels_are_those_of_an_image_with_nothing_elsewhere(factor, shape, share, spoilt, hide):
    rng = np.random.default_rng(6)
    image = rng.normal(1000, 30, shape).astype(np.float32)
    kept = rng.random(shape) >= share
    # In one square, and in the last one.
    for place, value in zip([(4, 6), (5, 6), (-1, -1)], [*spoilt, 7.0, 8.0], strict=False):
        image[place] = value
        kept[place] = not hide
    before = image.copy()
    sums, number = kept_sums(image, kept, factor)
    good = kept & np.isfinite(image)
    np.testing.assert_array_equal(number, bin_sums(good, factor))
    np.testing.assert_array_equal(sums, bin_sums(np.where(good, image, np.float32(0)), factor))
    np.testing.assert_array_equal(image, before)
