from __future__ import annotations

import numpy as np
import pytest

from keyhole.errors import ParameterError
from keyhole.imaging.skygroups import associate, overlap, separate


def plain_associate(times, places, configs, objects, skies, *, time, distance, min_skies, max_skies, use_all):
    """The rules, frame by frame and candidate by candidate."""
    result = []
    for i in range(len(times)):
        if not objects[i]:
            result.append([])
            continue
        allowed = []
        for j in range(len(times)):
            apart = ((places[i][0] - places[j][0]) ** 2 + (places[i][1] - places[j][1]) ** 2) ** 0.5
            serves = (skies[j] or objects[j]) if use_all else (skies[j] and configs[i] == configs[j])
            if j != i and apart > distance and serves:
                allowed.append(j)
        if not use_all:
            allowed.sort(key=lambda j: (abs(times[j] - times[i]), j))
            allowed = allowed[: max_skies or len(allowed)]
            near = sum(abs(times[j] - times[i]) <= time for j in allowed)
            allowed = allowed[: max(min_skies, near)]
        result.append(sorted(allowed, key=lambda j: times[j]))
    return result


@pytest.mark.parametrize("seed", range(12))
def test_association_equals_the_plain_rules(seed):
    rng = np.random.default_rng(seed)
    n = 25
    times = np.cumsum(rng.uniform(20, 200, n))
    places = rng.integers(-2, 3, (n, 2)) * 2.0
    configs = rng.integers(0, 2, n).tolist()
    objects, skies = rng.random(n) < 0.7, rng.random(n) < 0.6
    rule = {
        "time": float(rng.uniform(100, 800)),
        "distance": float(rng.uniform(0, 4)),
        "min_skies": int(rng.integers(0, 6)),
        "max_skies": [None, 2, 5][seed % 3],
        "use_all": bool(seed % 4 == 3),
    }
    got = associate(times, places, configs, objects, skies, **rule)
    assert got.skies == plain_associate(times, places, configs, objects, skies, **rule)


def dithers(n: int) -> dict:
    return {
        "times_s": np.arange(n) * 100.0,
        "positions_arcsec": np.column_stack([np.arange(n) * 4.0, np.zeros(n)]),
        "configs": ["J"] * n,
        "is_object": [True] * n,
        "is_sky": [True] * n,
    }


def test_twenty_dithers_get_seven_to_fourteen_skies_within_ten_minutes():
    numbers = [len(skies) for skies in associate(**{**dithers(20), "times_s": np.arange(20) * 85.0}).skies]
    assert numbers[0] == 7
    assert max(numbers) == 14


def test_a_frame_is_never_its_own_sky_even_at_distance_zero():
    same = dithers(3) | {"positions_arcsec": np.zeros((3, 2))}
    assert associate(**same, distance=0).skies == [[], [], []]
    assert associate(**same).without == [0, 1, 2]
    moved = dithers(3)
    assert all(i not in skies for i, skies in enumerate(associate(**moved, distance=0).skies))


def test_time_limit_gives_way_to_the_minimum_and_that_is_told():
    got = associate(**dithers(6), time=50, min_skies=2)
    assert [len(skies) for skies in got.skies] == [2] * 6
    assert got.beyond_time == list(range(6))
    assert associate(**dithers(6), time=300, min_skies=2).beyond_time == []


def test_two_and_three_frames_serve_each_other():
    assert associate(**dithers(2)).skies == [[1], [0]]
    assert associate(**dithers(3)).skies == [[1, 2], [0, 2], [0, 1]]
    assert associate(**dithers(1)).without == [0]


def test_use_all_knows_neither_time_nor_configuration():
    frames = dithers(4) | {"configs": [0, 1, 0, 1], "is_sky": [False] * 4}
    assert associate(**frames, time=0, use_all=True).skies[0] == [1, 2, 3]


def test_lists_of_different_length_are_refused():
    with pytest.raises(ParameterError, match="is_sky has 2 entries for 3 frames"):
        associate(**(dithers(3) | {"is_sky": [True, True]}))


def keyhole_bar() -> np.ndarray:
    lit = np.zeros((400, 1000), bool)
    lit[170:230, 200:800] = True
    return lit


def test_overlap_reaches_far_along_the_bar_and_little_across_it():
    lit = keyhole_bar()
    assert overlap(lit, (530.0, 0.0), 0.9)
    assert not overlap(lit, (545.0, 0.0), 0.9)
    assert overlap(lit, (0.0, -53.0), 0.9)
    assert not overlap(lit, (0.0, -55.0), 0.9)
    assert overlap(lit, (599.0, 59.0), 1.0)
    assert not overlap(lit, (600.0, 0.0), 1.0)


def test_overlap_equals_counting_common_pixels():
    rng = np.random.default_rng(2)
    lit = rng.random((12, 15)) < 0.04
    lit[3, 4] = True
    points = np.argwhere(lit)
    for dy in range(-14, 15):
        for dx in range(-16, 17):
            moved = {(y + dy, x + dx) for y, x in points}
            assert overlap(lit, (dx, dy), 1.0) == any((y, x) in moved for y, x in points)


def classes(positions, *, target=(0.0, 0.0), objects=(), skies=(), unguided=()):
    n = len(positions)
    return separate(
        keyhole_bar(),
        positions,
        target_pixels=target,
        forced_object=[i in objects for i in range(n)],
        forced_sky=[i in skies for i in range(n)],
        unguided=[i in unguided for i in range(n)],
    )


def test_one_dither_pattern_is_object_and_sky_at_once():
    got = classes([(0, 0), (300, 0), (600, 0), (900, 0)])
    assert got.groups == [0, 0, 0, 0]
    assert got.objects == got.skies == [0, 1, 2, 3]
    assert got.dropped == []


def test_of_two_groups_the_one_near_the_target_is_the_object():
    got = classes([(0, 900), (0, 0), (0, 905), (20, 3), (4, 896)])
    assert got.groups == [0, 1, 0, 1, 0]
    assert (got.objects, got.skies) == ([1, 3], [0, 2, 4])
    assert got.reasons[1] == "object: near the target"


def test_of_many_groups_the_nearest_are_objects_until_half_of_the_frames():
    got = classes([(0, 0), (0, 200), (0, 400), (0, 600), (0, 601)])
    assert (got.objects, got.skies) == ([0, 1, 2], [3, 4])


def test_a_given_class_holds_for_its_group_and_the_rest_is_the_other():
    got = classes([(0, 0), (0, 1000), (0, 1003), (5, 0)], objects=[1])
    assert (got.objects, got.skies) == ([1, 2], [0, 3])
    assert got.reasons[2] == "object: in the group of a given object frame"


def test_given_sky_in_the_only_group_makes_all_frames_both():
    got = classes([(0, 0), (5, 0)], skies=[0])
    assert got.objects == got.skies == [0, 1]


def test_a_frame_given_as_both_keeps_both_and_is_told():
    got = classes([(0, 0), (0, 900)], objects=[0], skies=[0])
    assert (got.objects, got.skies, got.dropped, got.conflicts) == ([0], [0], [1], [0])


def test_unguided_frames_are_skies_unless_they_are_objects():
    got = classes([(0, 0), (3, 0), (0, 900)], unguided=[2])
    assert (got.objects, got.skies) == ([0, 1], [2])
    got = classes([(0, 0), (3, 0), (0, 900)], unguided=[0, 2], objects=[0])
    assert (got.objects, got.skies) == ([0, 1], [2])


def test_groups_merge_through_a_frame_that_overlaps_both():
    got = classes([(0, 0), (0, 100), (0, 50)])
    assert got.groups == [0, 0, 0]


def test_no_frame_gives_empty_lists():
    assert separate(keyhole_bar(), [], target_pixels=(0, 0), forced_object=[], forced_sky=[], unguided=[]) == (
        [],
        [],
        [],
        [],
        [],
        [],
    )


def test_a_fraction_of_the_field_out_of_range_is_refused():
    with pytest.raises(ParameterError, match=r"frac_fov=1\.5"):
        separate(
            keyhole_bar(),
            [(0, 0)],
            target_pixels=(0, 0),
            forced_object=[False],
            forced_sky=[False],
            unguided=[False],
            frac_fov=1.5,
        )
