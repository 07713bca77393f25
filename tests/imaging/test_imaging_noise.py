"""Robust levels and the noise model against known distributions."""

from __future__ import annotations

import numpy as np
import pytest

from keyhole.errors import AlgorithmError
from keyhole.imaging.bits import BAD, NONLINEAR, SATURATED, UNILLUMINATED, UNUSABLE, any_of, any_set, usable
from keyhole.imaging.noise import clipped_median_sigma, pedestal, robust_sigma, variance_model


def normal_image(sigma: float = 5.0, level: float = 100.0) -> np.ndarray:
    return np.random.default_rng(7).normal(level, sigma, (200, 300)).astype(np.float32)


def test_only_non_linear_and_saturated_pixels_stay_usable() -> None:
    assert UNUSABLE == 65529
    values = np.arange(1 << 16, dtype=np.uint16)
    expected = [not (value & ~(NONLINEAR | SATURATED)) for value in range(1 << 16)]
    np.testing.assert_array_equal(usable(values), expected)


def test_robust_sigma_is_blind_to_outliers() -> None:
    values = normal_image()
    values[:, ::10] = 1e6
    assert robust_sigma(values) == pytest.approx(5, rel=0.2)
    assert robust_sigma(normal_image()) == pytest.approx(5, rel=0.01)


def test_clipped_level_finds_the_parent_of_a_contaminated_sample() -> None:
    values = normal_image()
    clean = clipped_median_sigma(values)
    assert clean.median == pytest.approx(100, abs=0.1)
    assert clean.sigma == pytest.approx(5, rel=0.01)
    values[np.random.default_rng(1).random(values.shape) < 0.05] += 500
    spoiled = clipped_median_sigma(values)
    assert spoiled.median == pytest.approx(100, abs=0.4)
    assert spoiled.sigma == pytest.approx(5, rel=0.02)


def test_clipped_level_leaves_out_what_is_not_usable_or_not_finite() -> None:
    values = normal_image()
    good = np.ones(values.shape, bool)
    good[:150] = False
    values[:150] = -1000
    values[199] = np.nan
    level = clipped_median_sigma(values, good)
    assert level.median == pytest.approx(100, abs=0.3)
    assert level.pixels <= 49 * 300


def test_clipped_level_of_coarse_digits_keeps_their_scatter() -> None:
    values = np.where(np.arange(1000) % 5 == 0, 10.0, 0.0)
    level = clipped_median_sigma(values)
    assert level.median == 0
    assert level.sigma == pytest.approx(4, rel=0.01)


def test_clipped_level_of_constant_pixels_has_no_scatter() -> None:
    assert clipped_median_sigma(np.full((5, 5), 3.0)) == (3.0, 0.0, 25)


def test_level_without_pixels_is_refused() -> None:
    with pytest.raises(AlgorithmError, match="none of 4 pixels"):
        clipped_median_sigma(np.ones((2, 2)), np.zeros((2, 2), bool))


def test_pedestal_is_measured_where_no_light_falls() -> None:
    data = normal_image(level=60)
    lit = np.zeros(data.shape, bool)
    lit[50:150] = True
    data[lit] += 3700
    mask = np.zeros(data.shape, np.uint16)
    mask[~lit] = UNILLUMINATED
    mask[:30] |= BAD
    data[:30] = 1e5
    before = data.copy()
    assert pedestal(data, ~lit, mask) == pytest.approx(60, abs=0.2)
    assert pedestal(normal_image(level=60), None) == pytest.approx(60, abs=0.2)
    np.testing.assert_array_equal(data, before)


def test_pedestal_needs_unlit_pixels() -> None:
    region = np.zeros((20, 20), bool)
    region[0, :7] = True
    with pytest.raises(AlgorithmError, match="7 unlit pixels"):
        pedestal(np.ones((20, 20), np.float32), region)


def test_variance_is_read_noise_and_photons_above_the_pedestal() -> None:
    data = np.array([[50, 60, 160]], np.float32)
    both = variance_model(data, read_noise=10, pedestal=60)
    np.testing.assert_allclose(both, [[100, 100, 200]])
    assert both.dtype == np.float32
    np.testing.assert_allclose(variance_model(data, read_noise=10, pedestal=60, poisson=False), [[100] * 3])
    np.testing.assert_allclose(variance_model(data, read_noise=10, pedestal=60, read=False), [[0, 0, 100]])


def test_variance_in_adu_is_that_in_electrons_over_the_gain_squared() -> None:
    electrons = np.array([[0, 100, 5000]], np.float32)
    in_electrons = variance_model(electrons, read_noise=10, pedestal=40)
    in_adu = variance_model(electrons / 13.5, read_noise=10, pedestal=40 / 13.5, gain=13.5)
    np.testing.assert_allclose(in_adu, in_electrons / 13.5**2, rtol=1e-5)


def test_variance_model_is_the_measured_variance_of_simulated_exposures() -> None:
    rng = np.random.default_rng(5)
    light = np.full((100, 400), 900.0)
    frame = 70 + rng.poisson(light) + rng.normal(0, 20, light.shape)
    model = variance_model(frame.astype(np.float32), read_noise=20, pedestal=70)
    assert float(np.mean(model)) == pytest.approx(float(np.var(frame)), rel=0.02)


def plain_clipped(values: np.ndarray) -> tuple[float, float]:
    """The same steps with numpy alone, on all values."""
    middle, sigma = np.median(values), 1.482602218505602 * np.median(np.abs(values - np.median(values)))
    while True:
        kept = values[np.abs(values - middle) <= 4 * sigma]
        middle, sigma = np.median(kept), np.std(kept, dtype=np.float64) / 0.9994643
        if kept.size == values.size:
            return float(middle), float(sigma)
        values = kept


@pytest.mark.parametrize("level", [0.0, 100.0, 1e6])
def test_clipped_level_is_that_of_plain_numpy(level: float) -> None:
    values = normal_image(level=level)
    values[np.random.default_rng(2).random(values.shape) < 0.03] += 70
    found = clipped_median_sigma(values)
    assert found.median == plain_clipped(values.ravel())[0]
    assert found.sigma == pytest.approx(plain_clipped(values.ravel())[1], rel=1e-9)


def test_level_of_a_sample_is_that_of_all_within_its_error() -> None:
    values = normal_image()
    everything, sample = clipped_median_sigma(values), clipped_median_sigma(values, at_most=5000)
    assert 4000 < sample.pixels < 6000
    assert sample.median == pytest.approx(everything.median, abs=4 * 1.25 * 5 / 5000**0.5)
    assert sample.sigma == pytest.approx(everything.sigma, rel=0.05)


def test_pedestal_looks_at_all_pixels_where_few_are_dark() -> None:
    data = np.full((300, 400), 900, np.float32)
    dark = np.zeros(data.shape, bool)
    dark[100:104, 30:90] = True
    data[dark] = np.random.default_rng(3).normal(20, 2, int(dark.sum()))
    assert pedestal(data, dark) == pytest.approx(20, abs=0.5)


def test_bits_are_found_wherever_they_are() -> None:
    mask = np.zeros((7, 9), np.uint16)
    assert not any_set(mask, BAD | UNILLUMINATED)
    mask[6, 8] = UNILLUMINATED
    assert any_set(mask, UNILLUMINATED) and any_set(mask, BAD | UNILLUMINATED) and not any_set(mask, BAD)


def test_bits_of_any_of_several_masks() -> None:
    masks = np.random.default_rng(3).integers(0, 128, (4, 6, 5)).astype(np.uint16)
    before = masks.copy()
    for given_masks in (masks, list(masks)):
        np.testing.assert_array_equal(any_of(given_masks), masks[0] | masks[1] | masks[2] | masks[3])
    np.testing.assert_array_equal(masks, before)
