"""Order statistics of columns against numpy's, column by column."""

from __future__ import annotations

import numpy as np
import pytest

from keyhole.imaging import _order_statistics
from keyhole.imaging._order_statistics import balanced_median, pick


def balanced_planes(rng: np.random.Generator, n: int, missing: float) -> np.ndarray:
    """Columns of which a part is infinite, with both signs in turn, the first one positive."""
    planes = rng.normal(0, 10, (n, 400)).round(1).astype(np.float32)
    planes[:, 0] = 3.25
    gone = rng.random(planes.shape) < missing
    signs = np.where(np.cumsum(gone, axis=0) % 2 == 1, np.float32(np.inf), np.float32(-np.inf))
    return np.where(gone, signs, planes)


@pytest.mark.parametrize("missing", [0.0, 0.03, 0.6])
@pytest.mark.parametrize("network", [True, False])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 13, 20, 21])
def test_the_median_of_what_is_there_is_that_of_numpy_to_the_last_bit(n, network, missing, monkeypatch):
    monkeypatch.setattr(_order_statistics, "_NETWORK_LIMIT", 64 if network else 0)
    planes = balanced_planes(np.random.default_rng(n), n, missing)
    there = np.isfinite(planes)
    expected = [np.median(column[own]) if own.any() else 0 for column, own in zip(planes.T, there.T, strict=True)]
    found = balanced_median(planes.copy(), there.sum(axis=0).astype(np.int16))
    np.testing.assert_array_equal(found, np.array(expected, np.float32))


def test_only_some_steps_of_the_network_are_needed_for_a_median():
    whole = 2 * len(_order_statistics._comparators(20))
    needed = sum(low + high for *_, low, high in _order_statistics._selection(20, (9, 10)))
    assert needed < 0.8 * whole


@pytest.mark.parametrize("number", [3, 256, 300])
def test_each_column_gives_the_row_of_its_index(number):
    rng = np.random.default_rng(4)
    rows, index = rng.normal(0, 1, (number, 50)).astype(np.float32), rng.integers(0, number, 50)
    index[:2] = 0, number - 1
    np.testing.assert_array_equal(pick(list(rows), index), np.take_along_axis(rows, index[None], axis=0)[0])
