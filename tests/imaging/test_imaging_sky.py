from __future__ import annotations

import numpy as np
import pytest
from sky_scene import SIGMA, SKY, make_scene

from keyhole.errors import AlgorithmError, ParameterError
from keyhole.imaging._skymean import clipped_means, combine_members
from keyhole.imaging._skypool import make_pool
from keyhole.imaging.combine import combine
from keyhole.imaging.levels import sky_level
from keyhole.imaging.sky import CombineRule, Sky, SkyMatch, make_skies, match_sky, smooth_background, subtract


def plain_clipped_mean(values, variances, good, limit=3.0):
    """Mean, variance and number of what lies near the median, or near the lower of two discrepant values."""
    v, s2 = values[good].astype(float), variances[good].astype(float)
    n = len(v)
    if not n:
        return 0.0, 0.0, 0
    low, high = np.sort(v)[[(n - 1) // 2, n // 2]]
    centre = low if n == 2 or high - low > limit * np.sqrt(2 * variances.mean()) else (low + high) / 2
    near = np.abs(v - centre) <= limit * np.sqrt(s2 * (1 + 2 / n))
    return v[near].mean(), s2[near].sum() / near.sum() ** 2, near.sum()


def random_stack(n, seed=4):
    rng = np.random.default_rng(seed)
    frames = [rng.normal(1000, 30, (12, 15)).astype(np.float32) for _ in range(n)]
    variances = [np.full((12, 15), 900, np.float32) for _ in range(n)]
    usables = [rng.random((12, 15)) < 0.7 for _ in range(n)]
    for frame in frames:
        frame[rng.random(frame.shape) < 0.05] += 2000
    return frames, variances, usables


@pytest.mark.parametrize("n", [2, 3, 4, 7, 12])
def test_skies_equal_the_plain_clipped_mean_of_the_other_frames(n):
    frames, variances, usables = random_stack(n)
    others = [[j for j in range(n) if j != i] for i in range(n)]
    skies = make_skies(frames, usables, others, variances=variances, scale=False)
    for sky, members in zip(skies, others, strict=True):
        for y in range(12):
            for x in range(15):
                take = [np.array([plane[j][y, x] for j in members]) for plane in (frames, variances, usables)]
                mean, variance, count = plain_clipped_mean(*take)
                assert sky.count[y, x] == count
                if count:
                    assert sky.data[y, x] == pytest.approx(mean, rel=1e-5)
                    assert sky.variance[y, x] == pytest.approx(variance, rel=1e-5)


@pytest.mark.parametrize(
    "rule",
    [
        CombineRule("median", "minmax", nlow=1, nhigh=1),
        CombineRule("median", "none"),
        CombineRule("mean", "sigclip", lsigma=2.0, hsigma=2.0),
        CombineRule("wtmean", "none"),
        CombineRule("lmedian", "varclip"),
    ],
)
def test_other_ways_of_combining_are_those_of_combine(rule):
    frames, variances, usables = random_stack(6)
    (sky, *_) = make_skies(frames, usables, [[1, 2, 3, 4, 5]] + [[0]] * 5, variances=variances, scale=False, rule=rule)
    masks = [np.where(usable, 0, 16).astype(np.uint16) for usable in usables[1:]]
    wanted = combine(
        frames[1:],
        variances[1:],
        masks,
        operation=rule.operation,
        reject_method=rule.reject_method,
        lsigma=rule.lsigma,
        hsigma=rule.hsigma,
        nlow=rule.nlow,
        nhigh=rule.nhigh,
    )
    covered = sky.count > 0
    assert covered.mean() > 0.9
    np.testing.assert_allclose(sky.data[covered], wanted.data[covered], rtol=1e-6)
    np.testing.assert_allclose(sky.variance[covered], wanted.variance[covered], rtol=1e-6)


def test_frames_are_scaled_to_one_level_whatever_part_of_the_pattern_is_masked():
    rng = np.random.default_rng(1)
    pattern = np.linspace(0.9, 1.1, 200) * np.ones((80, 1))
    factors = np.array([1.0, 1.2, 0.9, 1.05, 0.95])
    frames = [(3000 * f * pattern + rng.normal(0, 5, (80, 200))).astype(np.float32) for f in factors]
    usables = [np.ones((80, 200), bool) for _ in factors]
    for i, usable in enumerate(usables):
        usable[:, 40 * i : 40 * i + 40] = False
    skies = make_skies(frames, usables, [[j for j in range(5) if j != i] for i in range(5)])
    for sky in skies:
        ratio = (sky.data / pattern)[sky.count > 0]
        assert np.std(ratio) / np.mean(ratio) < 0.0015


def test_offsets_instead_of_factors_bring_frames_to_one_level():
    rng = np.random.default_rng(2)
    shape = (60, 80)
    pattern = rng.normal(0, 20, shape)
    frames = [(level + pattern + rng.normal(0, 3, shape)).astype(np.float32) for level in (-100, 0, 300)]
    usables = [np.ones(shape, bool)] * 3
    (sky, *_) = make_skies(frames, usables, [[1, 2], [0], [0]], zero=True)
    assert np.std(sky.data - pattern) < 3
    assert sky.notes == ()
    (sky, *_) = make_skies(frames, usables, [[1, 2], [0], [0]], scale=True)
    assert "not scaled" in sky.notes[0]


def test_one_sky_is_that_frame_and_two_are_their_mean():
    frames, variances, _ = random_stack(3)
    frames = [np.clip(frame, 950, 1050) for frame in frames]
    usables = [np.ones((12, 15), bool)] * 3
    one, two, _ = make_skies(frames, usables, [[1], [0, 2], [0]], variances=variances, scale=False)
    np.testing.assert_array_equal(one.data, frames[1])
    np.testing.assert_allclose(two.data, (frames[0] + frames[2]) / 2, rtol=1e-6)
    np.testing.assert_allclose(two.variance, 450, rtol=1e-6)


def test_of_two_skies_the_one_without_the_cosmic_ray_is_taken():
    frames = [np.full((6, 6), 1000, np.float32) for _ in range(3)]
    frames[2][3, 3] = 4000
    variances = [np.full((6, 6), 900, np.float32)] * 3
    (sky, *_) = make_skies(frames, [np.ones((6, 6), bool)] * 3, [[1, 2], [0], [0]], variances=variances, scale=False)
    assert (sky.data[3, 3], sky.count[3, 3], sky.variance[3, 3]) == (1000, 1, 900)


def test_minmax_with_too_few_skies_gives_way_and_that_is_told():
    frames, variances, _ = random_stack(3)
    usables = [np.ones((12, 15), bool)] * 3
    rule = CombineRule("median", "minmax", nlow=1, nhigh=1)
    skies = make_skies(frames, usables, [[1, 2], [0, 2], [0, 1]], variances=variances, rule=rule)
    for sky in skies:
        assert sky.notes == (
            "minmax with nlow=1 and nhigh=1 needs more than 2 skies, there are 2: clipped with the known noise instead",
        )


def test_pixels_without_a_sky_are_filled_smoothly_with_the_variance_of_the_model():
    scene = make_scene(3, stars=0, cosmic_rays=0, tilt=0.02)
    hole = np.zeros_like(scene.lit)
    hole[40:60, 240:270] = True
    objects = [hole] * 3
    (sky, *_) = make_skies(
        scene.frames, scene.usables, [[1, 2], [0, 2], [0, 1]], variances=scene.variances, objects=objects
    )
    assert (sky.count[hole] == 0).all()
    near = scene.lit & ~hole
    scale = np.mean(sky.data[near]) / np.mean(scene.skies[0][near])
    np.testing.assert_allclose(sky.data[hole], scale * scene.skies[0][hole], atol=0.25 * SIGMA)
    error = sky.data[hole] - scale * scene.skies[0][hole]
    assert np.mean(error**2) < 4 * sky.variance[hole].min()
    # A smooth model has no pixel noise, or the noise of a frame minus its sky would be too large there.
    assert sky.variance[hole].max() < 0.2 * np.median(sky.variance[near])


def test_pixels_without_an_associated_sky_come_from_the_wider_network():
    frames = [np.full((30, 30), 1000 + i, np.float32) for i in range(4)]
    variances = [np.full((30, 30), 900, np.float32)] * 4
    usables = [np.ones((30, 30), bool) for _ in range(4)]
    usables[1][5, 5] = False
    (sky, *_) = make_skies(frames, usables, [[1], [0, 2], [1, 3], [2, 1]], variances=variances, scale=False)
    # Frame 0 has frame 1 only; frames 2 and 3 are linked to it through the lists of the others.
    assert sky.data[5, 5] == pytest.approx(1002.5, abs=0.6)
    assert sky.data[6, 6] == 1001
    assert sky.variance[5, 5] == pytest.approx(900)
    assert sky.count[5, 5] == 0


def test_a_frame_never_enters_its_own_sky():
    frames = [np.full((30, 30), 1000, np.float32) for _ in range(3)]
    frames[0] += 500
    usables = [np.ones((30, 30), bool) for _ in range(3)]
    for usable in usables[1:]:
        usable[5, 5] = False
    (sky, *_) = make_skies(frames, usables, [[1, 2], [0, 2], [0, 1]], scale=False)
    assert sky.data[5, 5] == 1000


@pytest.mark.parametrize("rule", [CombineRule(), CombineRule("median", "none")])
@pytest.mark.parametrize("n", [2, 3, 6])
def test_variance_of_the_sky_is_its_true_scatter(rule, n):
    rng = np.random.default_rng(n)
    frames = [rng.normal(1000, 30, (150, 200)).astype(np.float32) for _ in range(n + 1)]
    variances = [np.full((150, 200), 900, np.float32)] * (n + 1)
    usables = [np.ones((150, 200), bool)] * (n + 1)
    (sky, *_) = make_skies(
        frames,
        usables,
        [list(range(1, n + 1))] + [[0]] * n,
        variances=variances,
        scale=False,
        rule=rule,
    )
    assert np.var(sky.data) == pytest.approx(sky.variance.mean(dtype=float), rel=0.04)


def test_masked_frames_are_no_harm_and_inputs_stay():
    scene = make_scene(4)
    scene.usables[2][:] = False
    before = [frame.copy() for frame in scene.frames]
    skies = make_skies(scene.frames, scene.usables, [[1, 2], [2], [0], [0, 1, 2]])
    assert np.isfinite(skies[1].data).all()
    assert "other frames of the sequence were used" in skies[1].notes[0]
    assert skies[0].count.max() == 1
    alone = make_skies(scene.frames, scene.usables, [[2], [2], [2], [2]])
    assert "the sky is a constant" in alone[0].notes[0]
    assert np.ptp(alone[0].data) == 0
    for frame, copy in zip(scene.frames, before, strict=True):
        np.testing.assert_array_equal(frame, copy)
    with pytest.raises(AlgorithmError, match="no usable pixel in any of 4 frames"):
        make_skies(scene.frames, [np.zeros_like(scene.lit)] * 4, [[1]] * 4)
    with pytest.raises(ParameterError, match="associations has 1 entries for 4 frames"):
        make_skies(scene.frames, scene.usables, [[1]])
    with pytest.raises(ParameterError, match="no frame"):
        make_skies([], [], [])


def test_matched_sky_leaves_no_level():
    scene = make_scene(2, drift=0.3)
    quiet = [scene.lit & (stars < 5) for stars in scene.stars]
    match = match_sky(scene.frames[0], scene.frames[1], quiet[0] & quiet[1])
    rest = scene.frames[0] - np.float32(match.scale) * scene.frames[1]
    level = sky_level(rest, quiet[0] & quiet[1])
    assert abs(level.value) < 0.02 * level.sigma
    assert match.offset == 0
    truth = np.median(scene.skies[0] / scene.skies[1])
    assert match.scale == pytest.approx(truth, abs=4 * 2 * SIGMA / SKY / level.n**0.5)


def test_matched_offset_leaves_no_level():
    scene = make_scene(2, drift=0.3, stars=0)
    match = match_sky(scene.frames[0], scene.frames[1], scene.lit, scale_sky=False, offset_sky=True)
    rest = scene.frames[0] - scene.frames[1] - np.float32(match.offset)
    assert abs(sky_level(rest, scene.lit).value) < 0.02 * SIGMA
    assert match.scale == 1
    assert match_sky(scene.frames[0], scene.frames[1], scene.lit, scale_sky=False) == (1, 0)


def test_a_sky_that_is_not_positive_is_matched_by_an_offset():
    rng = np.random.default_rng(6)
    sky = rng.normal(-20, 3, (40, 50)).astype(np.float32)
    everything = np.ones(sky.shape, bool)
    match = match_sky(sky + np.float32(7), sky, everything)
    assert match.scale == 1
    assert match.offset == pytest.approx(7, abs=1e-3)
    with pytest.raises(AlgorithmError, match="without a usable pixel"):
        match_sky(sky, sky, ~everything)


def test_subtraction_propagates_the_variance():
    one = np.ones((2, 3), np.float32)
    sky = Sky(100 * one, 9 * one, np.ones((2, 3), np.int16))
    data, variance = subtract(500 * one, 16 * one, sky, SkyMatch(2.0, 50.0))
    np.testing.assert_allclose(data, 250)
    np.testing.assert_allclose(variance, 16 + 4 * 9)
    assert data.dtype == variance.dtype == np.float32


def test_background_of_a_single_frame_follows_the_sky_below_the_stars():
    scene = make_scene(1, tilt=0.02, drift=0, pattern=0.02)
    background = smooth_background(scene.frames[0], scene.lit)
    error = (background - scene.skies[0])[scene.lit]
    assert abs(np.median(error)) < 0.05 * SIGMA
    assert np.abs(error).max() < 0.3 * SIGMA
    assert np.ptp(background[~scene.lit]) <= np.ptp(background[scene.lit])
    with pytest.raises(AlgorithmError, match="no background"):
        smooth_background(scene.frames[0], np.zeros_like(scene.lit))


def test_a_frame_without_skies_gets_its_own_background_and_that_is_told():
    scene = make_scene(1)
    (sky,) = make_skies(scene.frames, scene.usables, [[]])
    np.testing.assert_array_equal(sky.data, smooth_background(scene.frames[0], scene.lit))
    assert "own smooth background" in sky.notes[0]
    few = np.zeros_like(scene.lit)
    few[50, 100:104] = True
    assert smooth_background(scene.frames[0], few)[0, 0] == pytest.approx(np.median(scene.frames[0][few]))


@pytest.mark.parametrize("kind", ["windows", "all others", "few", "the same for many"])
def test_skies_made_together_equal_skies_made_one_by_one(kind):
    rng = np.random.default_rng(31)
    n, shape = 12, (40, 90)
    frames = [(2000 + 100 * k + rng.normal(0, 30, shape)).astype(np.float32) for k in range(n)]
    for frame in frames:
        frame[rng.random(shape) < 0.02] += 400
        frame[rng.random(shape) < 0.01] -= 200
    usables = [rng.random(shape) > 0.05 for _ in range(n)]
    objects = [rng.random(shape) < 0.5 for _ in range(n)]
    variances = [rng.uniform(700, 1100, shape).astype(np.float32) for _ in range(n)]
    pool = make_pool(frames, variances, usables, objects, scale=True, zero=False)
    lists = {
        "windows": [[j for j in range(n) if j != i and abs(i - j) < 5] for i in range(n)],
        "all others": [[j for j in range(n) if j != i] for i in range(n)],
        "few": [[1], [0, 5], [4, 7, 9], [11, 2]],
        "the same for many": [[0, 1, 2], [0, 1, 2], [2, 3, 4]],
    }[kind]
    together = list(clipped_means(pool, lists, CombineRule(lsigma=2.5)))
    lost = 0
    for members, column in zip(lists, together, strict=True):
        plain = combine_members(pool, members, CombineRule(lsigma=2.5))
        np.testing.assert_array_equal(column.count, plain.count)
        np.testing.assert_allclose(column.data, plain.data, rtol=3e-7)
        np.testing.assert_allclose(column.variance, plain.variance, rtol=1e-5)
        lost += int((np.isfinite(pool.planes[members]).sum(axis=0) - plain.count).sum())
    assert lost > 10


def test_one_clipped_mean_equals_a_loop_over_its_pixels():
    rng = np.random.default_rng(32)
    n, shape = 7, (8, 25)
    frames = [rng.normal(1000, 20, shape).astype(np.float32) for _ in range(n)]
    frames[3][rng.random(shape) < 0.3] += 300
    usables = [rng.random(shape) > 0.3 for _ in range(n)]
    variances = [rng.uniform(300, 500, shape).astype(np.float32) for _ in range(n)]
    pool = make_pool(frames, variances, usables, None, scale=False, zero=False)
    column = combine_members(pool, range(n), CombineRule())
    for k in range(pool.planes.shape[1]):
        good = np.isfinite(pool.planes[:, k])
        values, noises = np.sort(pool.planes[good, k]), pool.variances[:, k]
        count = values.size
        if not count:
            assert column.count[k] == 0
            continue
        lower, upper = values[(count - 1) // 2], values[count // 2]
        apart = count == 2 or upper - lower > 3 * np.sqrt(2 * noises.mean())
        centre = lower if apart else (lower + upper) / 2
        limit = 3 * np.sqrt(1 + 2 / count) * np.sqrt(noises)
        near = good & (np.abs(np.where(good, pool.planes[:, k], 1e9) - centre) <= limit)
        assert column.count[k] == near.sum()
        assert column.data[k] == pytest.approx(pool.planes[near, k].mean(), rel=1e-6)
        assert column.variance[k] == pytest.approx(noises[near].sum() / near.sum() ** 2, rel=1e-5)
