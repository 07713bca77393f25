"""Pattern and row offsets of the read-out: put in, measured, compared with what was put in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from keyhole.imaging import readout
from keyhole.imaging.readout import PatternRules, measure_readout

SHAPE = (240, 512)
PARTS = [(rows, columns) for rows in (slice(0, 120), slice(120, 240)) for columns in (slice(0, 256), slice(256, 512))]
NOISE = 14.0
ONLY_PATTERN = PatternRules(rows=np.inf, level=False)


def unlit() -> Any:
    dark = np.ones(SHAPE, bool)
    dark[60:180, 120:400] = False
    return dark


def frame(seed: int, *, tile: float = 0.0, row: float = 0.0, first_row: int = 0) -> tuple[Any, Any]:
    """A frame of noise and what the read-out added to it; the pattern starts at a row of each quadrant."""
    rng = np.random.default_rng(seed)
    added = np.zeros(SHAPE, np.float32)
    for rows, columns in PARTS:
        pattern = np.tile(rng.normal(0, tile, (4, 16)), (30, 16))
        pattern[:first_row] = 0
        added[rows, columns] = pattern + rng.normal(0, row, (120, 1))
    return (rng.normal(0, NOISE, SHAPE) + added).astype(np.float32), added


def spread(values: Any, dark: Any) -> float:
    """Largest rms over the quadrants, each about its own mean, of the pixels that matter."""
    return max(float(values[part][~dark[part]].std()) for part in PARTS)


@pytest.mark.parametrize("tile", [2.0, 15.0])
def test_pattern_is_removed_to_the_error_of_its_mean(tile: float) -> None:
    data, added = frame(1, tile=tile)
    dark = unlit()
    data[~dark] += 5000
    found = measure_readout(data, dark, parts=PARTS, rules=ONLY_PATTERN)
    # A quadrant has 22200 unlit pixels: 347 boxes.
    assert spread(added - found.offsets, dark) < 1.5 * NOISE / np.sqrt(347)
    for part, quadrant in zip(PARTS, found.quadrants, strict=True):
        assert quadrant.strength > 15 and quadrant.rms == pytest.approx(float(added[part].std()), rel=0.2)


def test_template_is_the_plain_mean_box_shrunk_towards_nothing() -> None:
    data, _ = frame(2, tile=3.0)
    loose = PatternRules(rows=np.inf, level=False, lsigma=20, hsigma=20)
    found = measure_readout(data, np.ones(SHAPE, bool), parts=PARTS, rules=loose)
    part = data[PARTS[0]].astype(np.float64)
    boxes = [part[y : y + 4, x : x + 16] for y in range(0, 120, 4) for x in range(0, 256, 16)]
    mean = np.mean([box - box.mean() for box in boxes], axis=0)
    variance = np.mean([np.mean((box - box.mean() - mean) ** 2) for box in boxes])
    chi2 = (mean**2).sum() * len(boxes) / variance
    np.testing.assert_allclose(found.offsets[:4, :16], mean * (1 - 61 / chi2), atol=1e-3)
    assert found.quadrants[0].strength == pytest.approx((chi2 - 63) / np.sqrt(126), rel=1e-3)


def test_frame_without_pattern_stays_as_it_is() -> None:
    for seed in range(6):
        data, _ = frame(seed)
        found = measure_readout(data, unlit(), parts=PARTS, rules=PatternRules(level=False))
        assert not found.offsets.any()


def test_forced_cleaning_of_weak_patterns_never_adds_noise_on_average() -> None:
    rules = PatternRules(rows=np.inf, level=False, force=True)
    for tile in (0.0, 0.3, 0.8):
        before, after = [], []
        for seed in range(8):
            data, added = frame(seed, tile=tile)
            found = measure_readout(data, unlit(), parts=PARTS, rules=rules)
            before.append(np.mean(added**2))
            after.append(np.mean((added - found.offsets) ** 2))
        assert np.mean(after) < np.mean(before) + 0.02


def test_stars_leave_no_trace_in_what_is_subtracted() -> None:
    data, _ = frame(3, tile=10.0, row=4.0)
    dark = unlit()
    rng = np.random.default_rng(5)
    starry = data + np.where(dark, 0, 10 ** rng.uniform(0, 5, SHAPE)).astype(np.float32)
    rules = PatternRules()
    plain = measure_readout(data, dark, parts=PARTS, rules=rules).offsets
    np.testing.assert_array_equal(measure_readout(starry, dark, parts=PARTS, rules=rules).offsets, plain)


def test_pattern_that_starts_within_a_quadrant_is_subtracted_from_there_on() -> None:
    data, added = frame(4, tile=12.0, first_row=48)
    dark = unlit()
    found = measure_readout(data, dark, parts=PARTS, rules=ONLY_PATTERN)
    for quadrant, (rows, _) in zip(found.quadrants, PARTS, strict=True):
        assert abs(quadrant.rows[0] - rows.start - 48) <= 8
        assert quadrant.rows[1] == rows.stop
    assert spread(added - found.offsets, dark) < 4.0


def test_row_offsets_are_removed_where_unlit_pixels_tell_them() -> None:
    data, added = frame(6, row=6.0)
    dark = unlit()
    dark[100:104] = False
    found = measure_readout(data, dark, parts=PARTS, rules=PatternRules(level=False))
    left = added - found.offsets
    for part in PARTS:
        centred = left[part] - left[part].mean()
        assert centred[dark[part].any(axis=1)].std() < 2.5
    # Rows without an unlit pixel are left alone.
    assert not found.offsets[100:104].any()


def test_slow_changes_of_stray_light_are_no_row_offsets() -> None:
    data, _ = frame(7)
    data += (8 * np.sin(np.arange(240) / 60.0)).astype(np.float32)[:, None]
    found = measure_readout(data, unlit(), parts=PARTS, rules=PatternRules(level=False))
    assert all(q.row_rms < 0.6 for q in found.quadrants)


def test_quadrants_are_brought_to_zero() -> None:
    data, _ = frame(8)
    levels = [5.0, -3.0, 60.0, 0.0]
    for part, level in zip(PARTS, levels, strict=True):
        data[part] += level
    found = measure_readout(data, unlit(), parts=PARTS, rules=PatternRules())
    assert [float(np.median(found.offsets[part])) for part in PARTS] == pytest.approx(levels, abs=0.4)


def test_light_where_none_was_expected_does_not_spoil_the_pattern() -> None:
    data, added = frame(9, tile=8.0)
    dark = unlit()
    data[~dark] += 3000
    found = measure_readout(data, np.ones(SHAPE, bool), parts=PARTS, rules=ONLY_PATTERN)
    assert spread(added - found.offsets, dark) < 2.5


def test_pixels_that_are_no_number_or_too_few_pixels_give_nothing() -> None:
    data, added = frame(10, tile=10.0)
    dark = unlit()
    data[::9, ::7] = np.nan
    found = measure_readout(data, dark & np.isfinite(data), parts=PARTS, rules=ONLY_PATTERN)
    assert np.isfinite(found.offsets).all()
    assert spread(added - found.offsets, dark) < 1.5
    nothing = measure_readout(data, np.zeros(SHAPE, bool), parts=PARTS, rules=PatternRules())
    assert not nothing.offsets.any()
    assert all(q.rms == 0 for q in nothing.quadrants)


def test_input_is_not_changed() -> None:
    data, _ = frame(11, tile=5.0, row=5.0)
    before = data.copy()
    measure_readout(data, unlit(), parts=PARTS, rules=PatternRules())
    np.testing.assert_array_equal(data, before)


@pytest.mark.parametrize("number", [31, 32, 200])
def test_the_median_of_surrounding_rows_is_that_of_mirrored_rows_at_the_ends(number: int) -> None:
    values = np.random.default_rng(7).normal(0, 1, number)
    padded = np.pad(values, 15, mode="reflect")
    expected = [np.median(padded[k : k + 31]) for k in range(number)]
    np.testing.assert_array_equal(readout._running_median(values), expected)
