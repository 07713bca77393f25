"""The fast median against that of numpy."""

from __future__ import annotations

import numpy as np
import pytest

from keyhole.imaging import medians
from keyhole.imaging.medians import distinct, median, median_image, sampled_median, spread_places


@pytest.mark.parametrize("size", [1, 2, 5, 30_000, 100_001, 200_000])
@pytest.mark.parametrize("kind", ["noise", "digits", "skewed", "sorted", "constant"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_median_is_that_of_numpy_to_the_last_bit(size: int, kind: str, dtype: type) -> None:
    rng = np.random.default_rng(size)
    values = {
        "noise": rng.normal(1000, 30, size),
        "digits": rng.normal(0, 2, size).round(),
        "skewed": rng.exponential(5, size) ** 3,
        "sorted": np.sort(rng.normal(size=size)),
        "constant": np.full(size, 7.1),
    }[kind].astype(dtype)
    before = values.copy()
    assert median(values) == np.median(values)
    np.testing.assert_array_equal(values, before)


def test_a_sample_that_misleads_does_no_harm() -> None:
    values = np.random.default_rng(3).normal(size=160_000)
    values[:: (values.size // medians._SAMPLE) | 1] += 100
    assert median(values) == np.median(values)


def test_integers_and_planes_have_medians_too() -> None:
    values = np.random.default_rng(4).integers(0, 9, size=(300, 400))
    assert median(values) == np.median(values)


@pytest.mark.parametrize("size", [3, 50_000, 150_000])
def test_a_median_with_a_value_that_is_no_number_is_none_either(size: int) -> None:
    values = np.random.default_rng(5).normal(size=size)
    values[size // 3] = np.nan
    assert np.isnan(median(values))
    assert np.isnan(median(values[:0]))


@pytest.mark.parametrize("size", [4, 50_000, 150_000])
def test_infinite_values_are_the_largest(size: int) -> None:
    values = np.random.default_rng(6).normal(size=size)
    values[: size // 4] = np.inf
    assert median(values) == np.median(values)


def test_a_sampled_median_is_near_that_of_all_chosen_values() -> None:
    rng = np.random.default_rng(5)
    values = rng.normal(100, 10, (300, 400)).astype(np.float32)
    chosen = rng.random(values.shape) < 0.5
    values[~chosen] = np.nan
    assert sampled_median(values, chosen) == pytest.approx(np.median(values[chosen]), abs=0.6)
    assert sampled_median(values[chosen], number=10**6) == np.median(values[chosen])
    lonely = np.zeros_like(chosen)
    lonely[7, 8] = chosen[7, 8] = True
    values[7, 8] = 3.0
    assert sampled_median(values, lonely) == 3.0


@pytest.mark.parametrize("n", [1, 2, 5, 8])
@pytest.mark.parametrize("damage", [None, np.nan, np.inf])
def test_the_median_of_images_is_that_of_numpy(n: int, damage: float | None) -> None:
    images = np.random.default_rng(n).normal(size=(n, 7, 3))
    if damage is not None:
        images[n // 2, 2, 1] = damage
    np.testing.assert_array_equal(median_image(images), np.median(images, axis=0))
    np.testing.assert_array_equal(median_image(list(images)), np.median(images, axis=0))


@pytest.mark.parametrize("size", [0, 1, 2, 300])
def test_distinct_values_are_those_of_numpy(size: int) -> None:
    for values in (np.random.default_rng(size).integers(0, 40, size), np.zeros(size)):
        np.testing.assert_array_equal(distinct(values), np.unique(values))


def test_the_median_of_a_list_of_numbers() -> None:
    assert median([3, 1, 2.5]) == 2.5
    assert np.isnan(median([]))


@pytest.mark.parametrize("share", [1.0, 0.9, 0.3, 0.01])
def test_places_are_spread_over_all_chosen_pixels(share: float) -> None:
    chosen = np.random.default_rng(2).random((400, 500)) < share
    chosen[:40] = False
    places = spread_places(chosen, 5000)
    assert chosen.ravel()[places].all()
    assert (np.diff(places) > 0).all()
    assert min(2500, np.count_nonzero(chosen)) <= places.size <= 10_000
    rows = places // 500
    assert rows.min() < 60 and rows.max() > 380


def test_few_chosen_pixels_in_one_corner_are_all_found() -> None:
    chosen = np.zeros((300, 300), bool)
    chosen[-5:, -7:] = True
    np.testing.assert_array_equal(spread_places(chosen, 1000), np.flatnonzero(chosen))
    assert spread_places(np.zeros((300, 300), bool), 1000).size == 0
