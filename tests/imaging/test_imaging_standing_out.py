"""Pixels of a flat that differ from their neighbours: bounds and medians of a few give what medians of all give."""

from __future__ import annotations

import numpy as np
import pytest

from keyhole.imaging import _standing_out
from keyhole.imaging._neighbours import local_median
from keyhole.imaging._standing_out import standing_out
from keyhole.imaging.noise import robust_sigma

SHAPE = (450, 500)


def flat(scatter: float, outliers: int, holes: float):
    """A sloping response with pixels that differ, and some that are not good."""
    rng = np.random.default_rng(5)
    response = rng.normal(1, scatter, SHAPE) * np.linspace(0.8, 1.2, SHAPE[1])
    y, x = rng.integers(0, SHAPE[0], outliers), rng.integers(0, SHAPE[1], outliers)
    response[y, x] *= rng.uniform(0.6, 1.5, outliers)
    response = np.maximum(response, 0.05).astype(np.float32)
    good = rng.random(SHAPE) >= holes
    # A pixel with too few neighbours is never out of line.
    good[:9, :9] = False
    good[4, 4] = True
    response[4, 4] = 5
    return response, good


def plain(response, good, radius, nsigma, tolerance):
    """Medians of all pixels."""
    around, count = local_median(response, good, radius=radius)
    fraction = np.where(good & (count >= 3), response / np.maximum(around, np.float32(1e-6)), np.float32(1))
    limit = max(nsigma * robust_sigma(fraction[good]), tolerance)
    return good & (np.abs(fraction - 1) > limit), limit


@pytest.mark.parametrize(
    ("night", "fast"),
    [((0.01, 60, 0.01), True), ((0.02, 0, 0.3), True), ((0.01, 9000, 0.01), False), ((0.08, 50, 0.01), False)],
)
@pytest.mark.parametrize("radius", [1, 3])
def test_few_medians_tell_what_all_of_them_tell(night, fast, radius, monkeypatch) -> None:
    response, good = flat(*night)
    pixels, limit = plain(response, good, radius, 5.0, 0.2)
    whole = []
    monkeypatch.setattr(
        _standing_out, "local_median", lambda *plane, **options: whole.append(1) or local_median(*plane, **options)
    )
    found = standing_out(response, good, radius=radius, nsigma=5.0, tolerance=0.2)
    np.testing.assert_array_equal(found.pixels, pixels)
    assert found.limit == limit
    assert pixels.any() == (night[1] > 0)
    assert not found.pixels[4, 4]
    if radius == 3:
        assert (not whole) == fast
