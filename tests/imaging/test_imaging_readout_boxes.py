"""Sums along memory are those of the boxes, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest

from keyhole.imaging._readout_boxes import Boxes, mean_box
from keyhole.imaging.readout import PatternRules


def boxes(seed: int = 3, shape: tuple[int, int] = (45, 150)) -> tuple[Boxes, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    data = rng.normal(7, 2, shape).astype(np.float32)
    dark = rng.random(shape) > 0.1
    data[5, 5] = np.nan
    found = Boxes.cut(data, dark, PatternRules())
    assert found is not None
    return found, data, dark


def test_boxes_hold_the_pixels_in_their_places() -> None:
    found, data, dark = boxes()
    for y, x in ((0, 0), (13, 40), (44, 149)):
        good = bool(found.good[y // 4, y % 4, x // 16, x % 16])
        value = found.values[y // 4, y % 4, x // 16, x % 16]
        expected = good and dark[y, x]
        assert value == pytest.approx((data[y, x] - found.level) if expected else 0, abs=1e-5)
    assert np.isfinite(found.values).all() and found.good[1, 1, 0, 5] == 0


def test_sums_agree_with_loops() -> None:
    found, *_ = boxes()
    values, good = found.values.astype(float), found.good.astype(float)
    np.testing.assert_allclose(mean_box(found.values), values.sum(axis=(0, 2)), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(found.row_sums(), values.sum(axis=(2, 3)).ravel(), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(found.in_boxes, np.maximum(good.sum(axis=(1, 3)), 1))
    mean = values.sum(axis=(1, 3)) / found.in_boxes
    flat = (values - mean[:, None, :, None]) * good
    np.testing.assert_allclose(found.flat(), flat, atol=1e-5)
    tile = np.random.default_rng(4).normal(size=(4, 16))
    product, norm = found.match(found.flat(), tile)
    np.testing.assert_allclose(product, (flat * tile[:, None]).sum(axis=(1, 2, 3)), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(norm, (good * tile[:, None] ** 2).sum(axis=(1, 2, 3)), rtol=1e-5)


def test_a_template_and_row_offsets_are_taken_off_good_pixels_alone() -> None:
    found, *_ = boxes()
    before, good = found.values.astype(float), found.good.astype(float)
    tile = np.random.default_rng(5).normal(size=(4, 16))
    some = np.arange(len(before)) % 2 == 0
    found.subtract(tile, some)
    expected = before - tile[:, None] * good * some[:, None, None, None]
    np.testing.assert_allclose(found.values, expected, atol=1e-5)
    shifts = np.random.default_rng(6).normal(size=45).astype(np.float32)
    found.shift_rows(shifts)
    rows = np.pad(shifts, (0, 3)).reshape(-1, 4)
    np.testing.assert_allclose(found.values, expected - rows[:, :, None, None] * good, atol=1e-5)
