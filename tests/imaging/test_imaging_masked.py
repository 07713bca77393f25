from __future__ import annotations

import numpy as np
import pytest

from keyhole.imaging._masked import Chosen, number_true, zero_all_except, zero_except


def test_values_that_are_not_kept_become_zero_even_if_they_are_no_numbers():
    values = np.array([[1.5, np.inf, -np.inf], [np.nan, -2.0, 1e-42]], np.float32)
    kept = np.array([[True, False, False], [False, True, False]])
    out = zero_except(values, kept)
    assert out is values
    np.testing.assert_array_equal(values, [[1.5, 0, 0], [0, -2, 0]])


def test_few_values_are_set_one_by_one_with_the_same_result():
    values = np.random.default_rng(3).normal(0, 1, (40, 50)).astype(np.float32)
    for places in ([], [0, 777, 1999], list(range(0, 2000, 3))):
        kept = np.ones(values.shape, np.bool_)
        kept.reshape(-1)[places] = False
        np.testing.assert_array_equal(zero_except(values.copy(), kept), np.where(kept, values, 0))


def test_parts_of_planes_are_changed_in_place():
    plane = np.ones((4, 6), np.float32)
    zero_except(plane[1:3, ::2], np.zeros((2, 3), np.bool_))
    assert plane.sum() == 24 - 6


def test_planes_of_several_types_lose_the_same_values():
    rng = np.random.default_rng(4)
    kept = rng.random((7, 33)) < 0.6
    values, flags = rng.normal(0, 1, kept.shape).astype(np.float32), rng.integers(0, 1 << 16, kept.shape, np.uint16)
    values[0, :5] = np.nan
    wanted = np.where(kept, values, 0), np.where(kept, flags, 0)
    zero_all_except(kept, values, None, flags)
    np.testing.assert_array_equal(values, wanted[0])
    np.testing.assert_array_equal(flags, wanted[1])


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3])
@pytest.mark.parametrize("dtype", [np.float32, np.bool_])
def test_chosen_pixels_are_given_a_value_however_many_they_are(share, dtype):
    rng = np.random.default_rng(7)
    mask, plane = rng.random((40, 60)) < share, rng.integers(0, 2, (40, 60)).astype(dtype)
    chosen = Chosen.of(mask)
    assert chosen.few == (share < 0.1)
    expected = plane.copy()
    expected[mask] = 1
    chosen.put(plane, 1)
    np.testing.assert_array_equal(plane, expected)


@pytest.mark.parametrize("number", [1, 255, 256, 300])
def test_true_values_are_counted_also_where_there_are_more_than_a_byte_holds(number):
    mask = np.random.default_rng(8).random((number, 3, 7)) < 0.9
    mask[:, 0] = True
    np.testing.assert_array_equal(number_true(mask), mask.sum(axis=0))
