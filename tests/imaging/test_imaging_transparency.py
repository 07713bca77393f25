"""Transparency from common stars, against the transparency that was put in."""

from __future__ import annotations

import numpy as np

from keyhole.imaging.transparency import relative_transparency


def sources(transparency, *, stars=12, seed=3, scatter=0.01, seen=0.7):
    """Source lists on a common grid of a field under clouds."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(0, 600, (stars, 2))
    flux = 10 ** rng.uniform(3, 6, stars)
    lists = []
    for factor in transparency:
        there = rng.random(stars) < seen
        light = flux * factor * rng.normal(1, scatter, stars)
        places_seen = places + rng.normal(0, 0.2, places.shape)
        lists.append(np.column_stack([places_seen, light, np.full(stars, np.nan)])[there])
    return lists


def test_clouds_are_measured_though_no_star_is_in_all_frames():
    truth = np.array([1.0, 0.4, 0.9, 1.0, 0.7, 1.1, 1.0, 1.0])
    found = relative_transparency(sources(truth), radius=2.0)
    np.testing.assert_allclose(found.factor, truth / np.median(truth), rtol=0.02)
    assert (found.error < 0.02).all()


def test_a_variable_star_and_a_blend_do_not_change_the_answer():
    lists = sources(np.ones(6), seen=1.1)
    lists[2][0, 2] *= 5
    lists[4][3, 2] *= 0.2
    found = relative_transparency(lists, radius=2.0)
    np.testing.assert_allclose(found.factor, 1, atol=0.02)


def test_frame_without_common_stars_has_no_transparency():
    lists = [*sources([1.0, 0.5, 1.0]), np.zeros((0, 4)), np.array([[5000.0, 5000.0, 10.0, 1.0]])]
    found = relative_transparency(lists, radius=2.0)
    assert np.isfinite(found.factor[:3]).all()
    assert np.isnan(found.factor[3:]).all()
    assert found.stars[3:].tolist() == [0, 0]


def test_no_stars_at_all_and_one_frame_give_nothing():
    assert np.isnan(relative_transparency([np.zeros((0, 4))] * 2, radius=2.0).factor).all()
    assert np.isnan(relative_transparency(sources([1.0]), radius=2.0).factor).all()


def test_faint_stars_count_as_little_as_their_errors_say():
    rng = np.random.default_rng(11)
    found = []
    for _ in range(40):
        lists = []
        for _ in range(5):
            error = np.array([0.003, 0.2, 0.25, 0.3])
            flux = np.array([1e6, 3e3, 2e3, 1e3]) * (1 + error * rng.standard_normal(4))
            x = np.array([10.0, 60.0, 110.0, 160.0])
            lists.append(np.column_stack([x, x, flux, error * flux]))
        found.append(relative_transparency(lists, radius=2.0))
    factors, errors = np.array([f.factor for f in found]), np.array([f.error for f in found])
    # Equal weights would give a tenth.
    assert factors.std() < 0.006
    assert 0.2 < factors.std() / errors.mean() < 1.2


def test_two_faint_stars_have_a_large_error():
    x = np.array([10.0, 60.0])
    lists = [np.column_stack([x, x, [1e3, 2e3], [50.0, 80.0]]) for _ in range(4)]
    found = relative_transparency(lists, radius=2.0)
    np.testing.assert_allclose(found.error, 0.0316, rtol=0.1)


def test_input_is_not_changed():
    lists = sources([1.0, 0.6])
    before = [found.copy() for found in lists]
    relative_transparency(lists, radius=2.0)
    for now, then in zip(lists, before, strict=True):
        np.testing.assert_array_equal(now, then)
