"""Registration against known shifts: rich and poor fields, false detections, rotations, missing frames."""

from __future__ import annotations

import numpy as np
import pytest

from keyhole.errors import AlgorithmError
from keyhole.imaging._adjustment import _Observations, _solve, adjust
from keyhole.imaging._voting import Catalogue
from keyhole.imaging.match import SourceList, register

SEARCH, MATCH = 13.3, 3.3
FIELD = (700.0, 90.0)


def turn(degrees):
    angle = np.radians(degrees)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def night(frames=12, stars=20, *, seed=0, false=3, error=0.05, pointing=1.0, seen=0.85):
    """Source lists of a dithered field, commanded shifts and true shifts."""
    rng = np.random.default_rng(seed)
    sky = rng.uniform((0, 0), FIELD, (stars, 2))
    flux = 1e5 * 10 ** (-0.4 * rng.uniform(0, 4, stars))
    commanded = np.column_stack([rng.integers(-2, 3, frames) * 26.0, rng.integers(-1, 2, frames) * 5.0])
    commanded[0] = 0
    true = commanded + rng.normal(0, pointing, (frames, 2))
    lists = []
    for shift in true:
        detected = rng.random(stars) < seen
        xy = (sky + shift + rng.normal(size=sky.shape) * error * np.sqrt(1e5 / flux)[:, np.newaxis] / 2)[detected]
        number = rng.poisson(false)
        xy = np.concatenate([xy, rng.uniform((0, 0), FIELD, (number, 2))])
        every = np.concatenate([flux[detected] * rng.normal(1, 0.03, detected.sum()), rng.uniform(1e3, 1e4, number)])
        lists.append(SourceList(xy[:, 0], xy[:, 1], every))
    return lists, commanded, true - true[0]


def rms(registration, true):
    return float(np.sqrt(((registration.shifts - true) ** 2).mean()))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_rich_field_is_registered_to_a_few_hundredths_of_a_pixel(seed):
    lists, commanded, true = night(seed=seed)
    found = register(lists, commanded, search_radius=SEARCH, match_radius=MATCH)
    assert rms(found, true) < 0.03
    assert all(frame.method == "sources" for frame in found.frames)
    assert all(frame.n_matched >= 10 and frame.rms < 0.12 and frame.significance > 5 for frame in found.frames)
    assert all(np.array_equal(frame.matrix, np.eye(2)) for frame in found.frames)


def test_reference_is_at_zero_and_may_be_any_frame():
    lists, commanded, true = night(seed=4)
    found = register(lists, commanded, search_radius=SEARCH, match_radius=MATCH, reference=7)
    assert (found.frames[7].dx, found.frames[7].dy) == (0.0, 0.0)
    assert rms(found, true - true[7]) < 0.03


def test_order_of_frames_does_not_matter():
    lists, commanded, _ = night(seed=5)
    order = np.random.default_rng(0).permutation(len(lists))
    straight = register(lists, commanded, search_radius=SEARCH, match_radius=MATCH)
    mixed = register(
        [lists[i] for i in order],
        commanded[order],
        search_radius=SEARCH,
        match_radius=MATCH,
        reference=int(np.flatnonzero(order == 0)[0]),
    )
    np.testing.assert_allclose(mixed.shifts, straight.shifts[order], atol=0.01)


def test_crowded_field_with_as_many_false_as_true_sources():
    lists, commanded, true = night(frames=4, stars=80, seed=6, false=80)
    found = register(lists, commanded, search_radius=SEARCH, match_radius=MATCH)
    assert rms(found, true) < 0.03


def test_lists_without_fluxes_and_with_errors_are_accepted():
    lists, commanded, true = night(seed=7)
    bare = register([(s.x, s.y) for s in lists], commanded, search_radius=SEARCH, match_radius=MATCH)
    assert rms(bare, true) < 0.05
    full = [SourceList(s.x, s.y, s.flux, 0.025 * np.sqrt(1e5 / s.flux)) for s in lists]
    assert rms(register(full, commanded, search_radius=SEARCH, match_radius=MATCH), true) < 0.03


def test_outlying_pairs_do_not_pull_the_shift():
    lists, commanded, true = night(frames=6, stars=15, seed=8, false=0, seen=1.0)
    # A blend moved by two pixels in one frame, the brightest star at that.
    x = np.array(lists[3].x)
    x[np.argmax(lists[3].flux)] += 2.0
    lists[3] = lists[3]._replace(x=x)
    found = register(lists, commanded, search_radius=SEARCH, match_radius=MATCH)
    assert np.abs(found.shifts[3] - true[3]).max() < 0.05


def test_one_star_in_every_frame_is_enough():
    lists, commanded, true = night(frames=5, stars=1, seed=9, false=0, seen=1.0, error=0.01)
    found = register(lists, commanded, search_radius=SEARCH, match_radius=MATCH)
    assert rms(found, true) < 0.1
    assert [frame.n_matched for frame in found.frames] == [1] * 5
    strict = register(lists, commanded, search_radius=SEARCH, match_radius=MATCH, min_sources=2)
    assert all(frame.method == "offsets" for frame in strict.frames)


def test_single_pair_of_very_different_brightness_is_not_believed():
    lists = [SourceList([50.0], [40.0], [1e5]), SourceList([53.0], [41.0], [1e3])]
    found = register(lists, [(0, 0), (0, 0)], search_radius=SEARCH, match_radius=MATCH)
    assert [frame.method for frame in found.frames] == ["offsets", "offsets"]
    np.testing.assert_array_equal(found.shifts, 0)


def test_single_pair_is_not_believed_when_another_one_is_possible():
    lists = [SourceList([50.0], [40.0], [1e4]), SourceList([53.0, 45.0], [41.0, 38.0], [1e4, 1.1e4])]
    found = register(lists, [(0, 0), (0, 0)], search_radius=SEARCH, match_radius=MATCH)
    assert found.frames[1].method == "offsets"


def test_frames_of_noise_alone_keep_their_commanded_shifts():
    kept = total = 0
    for seed in range(6):
        lists, commanded, _ = night(frames=10, stars=0, seed=seed, false=4)
        found = register(lists, commanded, search_radius=SEARCH, match_radius=MATCH)
        for frame, shift in zip(found.frames, commanded - commanded[0], strict=True):
            total += 1
            if frame.method == "offsets":
                kept += 1
                assert (frame.dx, frame.dy) == tuple(shift)
                assert frame.rms is None
    assert kept > 0.8 * total


def test_frame_without_sources_takes_what_the_others_tell_about_the_reference_and_says_so():
    lists, commanded, true = night(seed=10)
    lists[4] = SourceList([], [], [])
    lists[5] = SourceList([np.nan], [3.0], [1.0])
    found = register(lists, commanded + 100.0, search_radius=SEARCH, match_radius=MATCH)
    others = [i for i in range(12) if i not in (4, 5)]
    common = np.median((found.shifts - commanded + commanded[0])[others], axis=0)
    for i in (4, 5):
        assert found.frames[i].method == "offsets"
        assert found.frames[i].n_matched == 0
        np.testing.assert_allclose(found.shifts[i], commanded[i] - commanded[0] + common)
    assert np.abs(found.shifts[others] - true[others]).max() < 0.1


@pytest.mark.parametrize("jumped", [0, 6])
def test_frame_that_jumped_out_of_the_search_is_found_further_away(jumped):
    lists, commanded, true = night(seed=12)
    lists[jumped] = SourceList(lists[jumped].x + 11.0, lists[jumped].y - 12.0, lists[jumped].flux)
    true[jumped] += (11.0, -12.0)
    lost = register(lists, commanded, search_radius=SEARCH, match_radius=MATCH)
    found = register(lists, commanded, search_radius=SEARCH, match_radius=MATCH, jump_radius=4 * SEARCH)
    assert any(frame.method == "offsets" for frame in lost.frames)
    assert all(frame.method == "sources" for frame in found.frames)
    assert rms(found, true - true[0]) < 0.03


def test_second_of_two_frames_that_jumped_is_found_further_away():
    lists, commanded, true = night(seed=12)
    lists, commanded, true = lists[:2], commanded[:2], true[:2]
    lists[1] = SourceList(lists[1].x + 11.0, lists[1].y - 12.0, lists[1].flux)
    true[1] += (11.0, -12.0)
    found = register(lists, commanded, search_radius=SEARCH, match_radius=MATCH, jump_radius=4 * SEARCH)
    assert all(frame.method == "sources" for frame in found.frames)
    assert rms(found, true - true[0]) < 0.05


@pytest.mark.parametrize("seed", range(4))
def test_shift_at_the_rim_of_the_search_is_no_accident(seed):
    rng = np.random.default_rng(seed)
    sky = rng.uniform((0, 0), (700, 90), (12, 2))
    moved = sky + np.array([SEARCH, 0]) + rng.normal(0, 0.1, sky.shape)
    found = register([tuple(sky.T), tuple(moved.T)], np.zeros((2, 2)), search_radius=SEARCH, match_radius=MATCH)
    if found.frames[1].method == "sources":
        assert found.frames[1].dx == pytest.approx(SEARCH, abs=0.2)


def test_reference_without_sources_does_not_spoil_the_others():
    lists, commanded, true = night(seed=11)
    lists[0] = SourceList([], [])
    found = register(lists, commanded, search_radius=SEARCH, match_radius=MATCH)
    assert found.frames[0].method == "offsets"
    assert all(frame.method == "sources" for frame in found.frames[1:])
    relative = found.shifts[1:] - true[1:]
    assert np.abs(relative - relative.mean(axis=0)).max() < 0.08
    # Tied to the reference by the mean of the commanded shifts.
    np.testing.assert_allclose((found.shifts[1:] - commanded[1:]).mean(axis=0), 0, atol=1e-6)


def test_frames_far_apart_are_tied_through_those_between():
    rng = np.random.default_rng(12)
    sky = rng.uniform((0, 0), (1500, 90), (60, 2))
    commanded = np.array([(-300.0 * i, 0.0) for i in range(4)])
    true = commanded + rng.normal(0, 1, (4, 2))
    lists = []
    for shift in true:
        xy = sky + shift + rng.normal(0, 0.03, sky.shape)
        xy = xy[(xy[:, 0] > 0) & (xy[:, 0] < 500)]
        lists.append(SourceList(xy[:, 0], xy[:, 1]))
    found = register(lists, commanded, search_radius=SEARCH, match_radius=MATCH)
    assert all(frame.method == "sources" for frame in found.frames)
    assert np.abs(found.shifts - (true - true[0])).max() < 0.1


def turned_night(degrees, **options):
    """Every second frame is turned; returns also how frame 1 maps points of the reference."""
    lists, commanded, true = night(**options)
    centre = np.array(FIELD) / 2
    for i in range(1, len(lists), 2):
        x, y = turn(degrees) @ np.array([lists[i].x, lists[i].y])
        lists[i] = lists[i]._replace(x=x, y=y)
        commanded[i] += turn(degrees) @ centre - centre
        true[i] = turn(degrees) @ true[i]
    return lists, commanded, true


@pytest.mark.parametrize("degrees", [0.1, -0.3])
def test_real_rotation_is_found(degrees):
    lists, commanded, true = turned_night(degrees, frames=6, stars=30, seed=13, false=2)
    found = register(lists, commanded, search_radius=SEARCH, match_radius=MATCH)
    corners = np.array([(0, 0), (700, 0), (0, 90), (700, 90)], float).T
    for i, frame in enumerate(found.frames):
        matrix = turn(degrees) if i % 2 else np.eye(2)
        place = frame.matrix @ corners + np.array([[frame.dx], [frame.dy]])
        assert np.abs(place - matrix @ corners - true[i][:, np.newaxis]).max() < 0.12
        assert frame.rotation == pytest.approx(degrees if i % 2 else 0.0, abs=0.01)


def test_rotation_is_neither_allowed_by_two_stars_nor_when_switched_off():
    lists, commanded, _ = turned_night(0.1, frames=4, stars=2, seed=14, false=0, seen=1.0)
    found = register(lists, commanded, search_radius=SEARCH, match_radius=MATCH)
    assert all(frame.rotation == 0 for frame in found.frames)
    lists, commanded, _ = turned_night(0.1, frames=6, stars=30, seed=13)
    off = register(lists, commanded, search_radius=SEARCH, match_radius=MATCH, rotate=False)
    assert all(frame.rotation == 0 for frame in off.frames)


def test_one_blended_star_feigns_no_rotation():
    """In bad seeing a bright star moved half a pixel towards its neighbour, with a small formal error."""
    rng = np.random.default_rng(21)
    places = np.column_stack([rng.uniform(0, 640, 18), rng.uniform(0, 95, 18)])
    places[0] = (20.0, 50.0)
    scatter = np.full(18, 0.15)
    scatter[0] = 0.02
    shifts = np.array([(0.0, 0.0), (26.0, 5.0), (-30.0, -4.0), (55.0, 2.0), (-58.0, 6.0), (80.0, -3.0)])
    lists = []
    for i, shift in enumerate(shifts):
        x, y = (places + shift + rng.normal(0, scatter[:, np.newaxis], (18, 2))).T
        if i == 2:
            y[0] -= 0.5
        lists.append(SourceList(x, y, None, scatter))
    found = register(lists, shifts, search_radius=SEARCH, match_radius=MATCH)
    assert all(frame.rotation == 0 for frame in found.frames)
    assert np.abs(found.shifts - shifts).max() < 0.15


def test_joint_solution_is_that_of_plain_least_squares():
    rng = np.random.default_rng(15)
    stars, shifts = rng.uniform(0, 500, (8, 2)), rng.uniform(-5, 5, (4, 2))
    seen = rng.random((4, 8)) < 0.7
    weight = rng.uniform(100, 400, (4, 8))
    z = stars + shifts[:, np.newaxis] + rng.normal(0, 0.02, (4, 8, 2))
    catalogues = [
        Catalogue(z[i, seen[i]], np.ones(seen[i].sum()), weight[i, seen[i]], np.ones(seen[i].sum(), np.intp))
        for i in range(4)
    ]
    solution = adjust(catalogues, shifts, match_radius=MATCH, rotate=False)
    rows, values = [], []
    for i, s in np.argwhere(seen):
        row = np.zeros(12)
        row[i], row[4 + s] = 1, 1
        rows.append(row * np.sqrt(weight[i, s]))
        values.append(z[i, s] * np.sqrt(weight[i, s]))
    plain = np.linalg.lstsq(np.array(rows), np.array(values), rcond=None)[0][:4]
    np.testing.assert_allclose(solution.offset - solution.offset[0], plain - plain[0], atol=1e-6)


def test_single_frame_and_unchanged_input():
    lists, commanded, _ = night(frames=2, seed=16)
    before = [tuple(np.array(column) for column in s[:3]) for s in lists]
    alone = register(lists[:1], commanded[:1], search_radius=SEARCH, match_radius=MATCH)
    assert (alone.frames[0].dx, alone.frames[0].dy) == (0.0, 0.0)
    register(lists, commanded, search_radius=SEARCH, match_radius=MATCH)
    for old, new in zip(before, lists, strict=True):
        for a, b in zip(old, new[:3], strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"expected": [(0, 0)]}, "2 source lists but 1"),
        ({"expected": [(0, 0), (np.nan, 0)]}, "not finite"),
        ({"reference": 2}, "reference frame 2"),
        ({"match_radius": 0.0}, "positive"),
        ({"lists": [([1.0], [1.0, 2.0])] * 2}, "differ in length"),
    ],
)
def test_wrong_input_of_the_registration_is_named(change, message):
    call = {"lists": [([1.0], [1.0])] * 2, "expected": [(0, 0)] * 2, "search_radius": 5.0, "match_radius": 2.0}
    call |= change
    with pytest.raises(AlgorithmError, match=message):
        register(call.pop("lists"), call.pop("expected"), **call)


def test_offsets_of_frames_in_groups_without_tie_are_those_of_the_smallest_correction():
    rng = np.random.default_rng(16)
    # Frames 0, 1, 2 share stars 0-2, frames 3 and 5 share star 3, frame 4 saw nothing.
    frame, star = np.array([0, 1, 1, 2, 2, 0, 3, 5]), np.array([0, 0, 1, 1, 2, 2, 3, 3])
    observed = _Observations(frame, star, rng.uniform(0, 100, (8, 2)), rng.uniform(1, 4, 8))
    start = rng.uniform(-3, 3, (6, 2))
    solved, places = _solve(observed, start)
    rows = np.zeros((8, 10))
    rows[np.arange(8), frame], rows[np.arange(8), 6 + star] = 1, 1
    root = np.sqrt(observed.weight)[:, np.newaxis]
    left = observed.z - solved[frame] - places[star]
    best = np.linalg.lstsq(rows * root, observed.z * root, rcond=None)
    np.testing.assert_allclose((left**2 * root**2).sum(), ((observed.z - rows @ best[0]) ** 2 * root**2).sum())
    for group in ([0, 1, 2], [3, 5], [4]):
        np.testing.assert_allclose((solved - start)[group].mean(axis=0), 0, atol=1e-9)
