"""Combination of images against a plain reference that walks over the pixels, and against known truth."""

from __future__ import annotations

import itertools
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyhole.errors import AlgorithmError, ParameterError
from keyhole.imaging import _planes
from keyhole.imaging.bits import BAD, COSMIC_RAY, NO_DATA, NONLINEAR, OVERLAP, SATURATED, UNILLUMINATED
from keyhole.imaging.combine import combine

OPERATIONS = ("mean", "wtmean", "median", "lmedian")
METHODS = ("none", "minmax", "sigclip", "varclip")
CLASSES = (COSMIC_RAY, OVERLAP, BAD, UNILLUMINATED, NO_DATA)
MEDIAN_FACTOR = {
    1: 1,
    2: 1,
    3: 1.34601,
    4: 1.19280,
    5: 1.43417,
    6: 1.28846,
    7: 1.47313,
    8: 1.34545,
    9: 1.49491,
}
LOWER_FACTOR = {1: 1, 2: 1.36338, 4: 1.44182, 6: 1.47728, 8: 1.49749}


def badness(flag: int) -> int:
    return max((rank for rank, bit in enumerate(CLASSES, 1) if flag & bit), default=0)


def keep_of_pixel(a: Any, v: Any, total: int, options: dict[str, Any]) -> list[bool]:
    """Which of the participating values survive, in plain words of the definition."""
    n = len(a)
    method = options["reject_method"]
    if method == "minmax":
        low = int(n * options["nlow"] / total + 0.001)
        high = int(n * options["nhigh"] / total + 0.001)
        kept = set(sorted(range(n), key=lambda i: (a[i], i))[low : n - high])
        return [i in kept for i in range(n)]
    keep = [True] * n
    if method == "none":
        return keep
    for step in range(options["max_iters"] or 100):
        left = [a[i] for i in range(n) if keep[i]]
        centre = np.median(left) if step == 0 or options["mclip"] else np.mean(left)
        sigma = [np.std(left)] * n if method == "sigclip" or v is None else [np.sqrt(x) for x in v]
        new = [
            keep[i] and centre - options["lsigma"] * sigma[i] <= a[i] and a[i] <= centre + options["hsigma"] * sigma[i]
            for i in range(n)
        ]
        if new == keep or not any(new):
            break
        keep = new
    return keep


def combine_pixel(a: Any, v: Any, q: Any, options: dict[str, Any]) -> tuple[float, float, int, int]:
    total = len(a)
    best = min(badness(flag) for flag in q)
    part = [i for i in range(total) if badness(q[i]) == best]
    if best == len(CLASSES):
        return 0, 0, NO_DATA, total
    chosen_v = None if v is None else [v[i] for i in part]
    keep = keep_of_pixel([a[i] for i in part], chosen_v, total, options)
    used = [i for i, kept in zip(part, keep, strict=True) if kept]
    flags = int(np.bitwise_or.reduce([q[i] for i in used]))
    values, n, operation = [a[i] for i in used], len(used), options["operation"]
    noise = None if v is None else sum(v[i] for i in used) / n**2
    if operation == "wtmean":
        weight = [1 / v[i] for i in used]
        return float(np.average(values, weights=weight)), 1 / sum(weight), flags, total - n
    if operation == "mean":
        value, factor = float(np.mean(values)), 1.0
    elif operation == "median" or n % 2:
        value, factor = float(np.median(values)), MEDIAN_FACTOR[n]
    else:
        value, factor = float(sorted(values)[(n - 1) // 2]), LOWER_FACTOR[n]
    if noise is None:
        noise = sum((x - value) ** 2 for x in values) / (n * max(n - 1, 1))
    if operation != "mean" and options["reject_method"] == "minmax":
        # The median of what minmax leaves is the median of all: so is its variance.
        whole = dict(options, reject_method="none")
        return value, combine_pixel(a, v, q, whole)[1], flags, total - n
    return value, factor * noise, flags, total - n


def make_stack(seed: int, n: int, shape: tuple[int, int], masked: float) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    data = rng.normal(100, 10, (n, *shape)).astype(np.float32)
    data[rng.random(data.shape) < 0.1] += 300
    variance = rng.uniform(50, 150, data.shape).astype(np.float32)
    mask = np.zeros(data.shape, np.uint16)
    for bit in (*CLASSES, NONLINEAR, SATURATED):
        mask[rng.random(data.shape) < masked] |= bit
    return data, variance, mask


# Each of two values lies one scatter from their mean: at that limit rounding decides.
CLIP_LIMITS = st.floats(0.8, 4).filter(lambda limit: abs(limit - 1) > 1e-3)


@settings(max_examples=120, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    n=st.integers(1, 9),
    shape=st.tuples(st.integers(1, 4), st.integers(1, 5)),
    masked=st.sampled_from([0.0, 0.1, 0.5]),
    operation=st.sampled_from(OPERATIONS),
    method=st.sampled_from(METHODS),
    limits=st.tuples(CLIP_LIMITS, CLIP_LIMITS),
    mclip=st.booleans(),
    max_iters=st.sampled_from([None, 1, 2]),
    low_high=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    given_planes=st.tuples(st.booleans(), st.booleans()),
)
def test_combination_equals_the_plain_reference(
    *,
    seed: int,
    n: int,
    shape: tuple[int, int],
    masked: float,
    operation: str,
    method: str,
    limits: tuple[float, float],
    mclip: bool,
    max_iters: int | None,
    low_high: tuple[int, int],
    given_planes: tuple[bool, bool],
) -> None:
    data, variance, mask = make_stack(seed, n, shape, masked)
    v = variance if given_planes[0] or operation == "wtmean" else None
    q = mask if given_planes[1] else None
    nlow = min(low_high[0], n - 1)
    options = {
        "operation": operation,
        "reject_method": method,
        "lsigma": limits[0],
        "hsigma": limits[1],
        "nlow": nlow,
        "nhigh": min(low_high[1], n - 1 - nlow),
        "mclip": mclip,
        "max_iters": max_iters,
    }
    before = [plane.copy() for plane in (data, variance, mask)]

    result = combine(data, v, q, **options)

    for plane, copy in zip((data, variance, mask), before, strict=True):
        np.testing.assert_array_equal(plane, copy)
    *planes, burnt = result
    assert [plane.dtype for plane in planes] == [np.float32, np.float32, np.uint16, np.int16]
    if q is None:
        assert burnt is None
    else:
        flags = np.where(mask & ~np.uint16(NONLINEAR | SATURATED), 0, mask)
        np.testing.assert_array_equal(burnt, np.bitwise_or.reduce(flags, axis=0))
        assert burnt.dtype == np.uint16
    for y, x in itertools.product(*map(range, shape)):
        flags = [0] * n if q is None else mask[:, y, x].tolist()
        noise = None if v is None else variance[:, y, x].astype(float)
        expected = combine_pixel(data[:, y, x].astype(float), noise, flags, options)
        got = [float(plane[y, x]) for plane in planes]
        np.testing.assert_allclose(got, expected, rtol=2e-5, atol=1e-5)


def test_blocks_of_rows_give_the_same_as_one_block(monkeypatch: pytest.MonkeyPatch) -> None:
    data, variance, mask = make_stack(3, 7, (11, 13), 0.2)
    whole = combine(data, variance, mask, operation="mean", reject_method="varclip")
    monkeypatch.setattr(_planes, "_BLOCK_VALUES", 7 * 13 * 2)
    blocks = combine(list(data), list(variance), list(mask), operation="mean", reject_method="varclip")
    for one, other in zip(whole, blocks, strict=True):
        np.testing.assert_array_equal(one, other)


class Reader:
    """An image of which rows are read, and how often."""

    def __init__(self, plane: Any) -> None:
        self._plane, self.shape, self.rows = plane, plane.shape, []

    def __getitem__(self, rows: slice) -> Any:
        self.rows.append(rows)
        return self._plane[rows].astype(self._plane.dtype.newbyteorder(">"))


def test_images_on_disk_are_read_once_in_bands_and_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    data, variance, mask = make_stack(3, 7, (11, 13), 0.2)
    allowed = np.linspace(0, 2, 11 * 13, dtype=np.float32).reshape(11, 13)
    whole = combine(data, variance, mask, operation="mean", reject_method="varclip", allowed=allowed)
    monkeypatch.setattr(_planes, "_BLOCK_VALUES", 7 * 13)
    monkeypatch.setattr(_planes, "_BAND_VALUES", 7 * 13 * 4)
    readers = [[Reader(plane) for plane in planes] for planes in (data, variance, mask)]
    result = combine(*readers, operation="mean", reject_method="varclip", allowed=allowed)
    for one, other in zip(whole, result, strict=True):
        np.testing.assert_array_equal(one, other)
    assert all(r.rows == [slice(0, 4), slice(4, 8), slice(8, 11)] for planes in readers for r in planes)


def test_order_of_frames_is_irrelevant() -> None:
    data, variance, mask = make_stack(5, 8, (6, 7), 0.1)
    one = combine(data, variance, mask, operation="median", reject_method="sigclip")
    other = combine(data[::-1], variance[::-1], mask[::-1], operation="median", reject_method="sigclip")
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_sorting_by_network_and_by_library_agree_for_many_frames() -> None:
    rng = np.random.default_rng(1)
    for n in (127, 128, 129, 200):
        data = rng.normal(size=(n, 3, 5)).astype(np.float32)
        result = combine(data, operation="median", reject_method="none")
        np.testing.assert_array_equal(result.data, np.median(data, axis=0).astype(np.float32))


def test_varclip_removes_a_cosmic_ray_from_three_frames_and_sigclip_cannot() -> None:
    data = np.full((3, 2, 2), 100, np.float32)
    data[1, 0, 0] = 5000
    variance = np.full_like(data, 64)
    kept = combine(data, variance, operation="mean", reject_method="sigclip")
    clipped = combine(data, variance, operation="mean", reject_method="varclip")
    assert kept.data[0, 0] > 1000
    assert clipped.data[0, 0] == 100
    assert clipped.unused.tolist() == [[1, 0], [0, 0]]
    np.testing.assert_allclose(clipped.variance, [[64 / 2, 64 / 3], [64 / 3, 64 / 3]], rtol=1e-6)


def test_where_all_would_be_rejected_none_is() -> None:
    data = np.array([0, 1000], np.float32).reshape(2, 1, 1)
    result = combine(data, np.ones_like(data), operation="mean", reject_method="varclip")
    assert result.data[0, 0] == 500
    assert result.unused[0, 0] == 0


def test_best_quality_class_alone_is_used() -> None:
    data = np.array([1, 2, 4, 8], np.float32).reshape(4, 1, 1)
    variance = np.ones_like(data)
    for flags, value, flag in (
        ((0, SATURATED, BAD, NO_DATA), 1.5, SATURATED),
        ((COSMIC_RAY, COSMIC_RAY | NONLINEAR, BAD, 0x100), 1.5, COSMIC_RAY | NONLINEAR),
        ((UNILLUMINATED, BAD, BAD | COSMIC_RAY, NO_DATA), 3, BAD | COSMIC_RAY),
        ((UNILLUMINATED,) * 4, 3.75, UNILLUMINATED),
    ):
        mask = np.array(flags, np.uint16).reshape(4, 1, 1)
        result = combine(data, variance, mask, operation="mean", reject_method="none")
        assert result.data[0, 0] == value
        assert result.mask[0, 0] == flag


def test_no_data_anywhere_gives_zero_with_the_no_data_bit() -> None:
    data = np.full((3, 2, 2), np.nan, np.float32)
    data[:, 1, 1] = 7
    mask = np.full(data.shape, NO_DATA, np.uint16)
    mask[:, 1, 1] = 0
    for operation, method in itertools.product(OPERATIONS, METHODS):
        result = combine(data, np.ones_like(data), mask, operation=operation, reject_method=method)
        np.testing.assert_array_equal(result.data, [[0, 0], [0, 7]])
        assert result.variance[0, 0] == 0
        np.testing.assert_array_equal(result.mask, [[16, 16], [16, 0]])
        np.testing.assert_array_equal(result.unused, [[3, 3], [3, 0]])


def test_value_that_is_not_finite_counts_as_no_data() -> None:
    data = np.array([1, np.nan, 3], np.float32).reshape(3, 1, 1)
    result = combine(data, operation="mean", reject_method="none")
    assert result.data[0, 0] == 2
    assert result.mask[0, 0] == 0
    assert result.unused[0, 0] == 1


@pytest.mark.parametrize("operation", OPERATIONS)
def test_one_frame_is_returned_as_it_is(operation: Any) -> None:
    data, variance, _ = make_stack(9, 1, (3, 4), 0)
    result = combine(data, variance, operation=operation, reject_method="sigclip")
    np.testing.assert_array_equal(result.data, data[0])
    np.testing.assert_allclose(result.variance, variance[0], rtol=1e-6)


@pytest.mark.parametrize("n", [2, 3, 4, 7, 14, 25, 30])
@pytest.mark.parametrize("operation", ["median", "lmedian"])
def test_variance_of_a_median_is_the_measured_one(n: int, operation: Any) -> None:
    rng = np.random.default_rng(n)
    data = rng.normal(0, 3, (n, 200, 300)).astype(np.float32)
    result = combine(data, np.full_like(data, 9), operation=operation, reject_method="none")
    # 60000 values: the measured variance is good to 0.6 per cent.
    assert result.data.var() == pytest.approx(float(result.variance[0, 0]), rel=0.02)


def test_variance_of_minmax_median_is_that_of_the_median_of_all() -> None:
    data = np.random.default_rng(2).normal(0, 1, (8, 100, 100)).astype(np.float32)
    plain = combine(data, np.ones_like(data), operation="median", reject_method="none")
    dropped = combine(data, np.ones_like(data), operation="median", reject_method="minmax", nlow=1, nhigh=1)
    np.testing.assert_array_equal(dropped.data, plain.data)
    np.testing.assert_array_equal(dropped.variance, plain.variance)
    assert (dropped.unused == 2).all()


def test_minmax_drops_the_right_number_of_equal_values() -> None:
    data = np.array([5, 5, 5, 5, 9], np.float32).reshape(5, 1, 1)
    variance = np.arange(1, 6, dtype=np.float32).reshape(5, 1, 1)
    result = combine(data, variance, operation="mean", reject_method="minmax", nlow=2, nhigh=1)
    assert result.unused[0, 0] == 3
    assert result.data[0, 0] == 5
    assert result.variance[0, 0] == pytest.approx((3 + 4) / 4)


def test_weighted_frames_give_the_weighted_mean_and_its_variance() -> None:
    data = np.array([1, 2, 4, 99], np.float32).reshape(4, 1, 1)
    variance = np.array([1, 2, 3, 4], np.float32).reshape(4, 1, 1)
    mask = np.array([0, 0, 0, BAD], np.uint16).reshape(4, 1, 1)
    result = combine(data, variance, mask, operation="mean", reject_method="none", weights=[1, 2, 3, 4])
    assert result.data[0, 0] == pytest.approx((1 + 4 + 12) / 6)
    assert result.variance[0, 0] == pytest.approx((1 * 1 + 4 * 2 + 9 * 3) / 36)
    no_noise = combine(data, None, mask, operation="mean", reject_method="none", weights=[2, 2, 2, 2])
    equal = combine(data, None, mask, operation="mean", reject_method="none")
    np.testing.assert_allclose(no_noise.variance, equal.variance, rtol=1e-6)


@pytest.mark.parametrize("n", [5, 300])
def test_weights_of_masked_frames_are_those_of_the_rest(n: int) -> None:
    rng = np.random.default_rng(n)
    data = rng.normal(50, 3, (n, 6, 7)).astype(np.float32)
    variance = rng.uniform(1, 4, data.shape).astype(np.float32)
    mask = np.where(rng.random(data.shape) < 0.3, BAD, 0).astype(np.uint16)
    mask[0] = mask[:, 0] = 0
    weights = rng.uniform(0.5, 2, n)
    found = combine(data, variance, mask, operation="mean", reject_method="none", weights=weights)
    for y, x in np.ndindex(6, 7):
        good = mask[:, y, x] == 0
        share = weights[good] / weights[good].sum()
        assert found.data[y, x] == pytest.approx((share * data[good, y, x]).sum(), rel=1e-6)
        assert found.variance[y, x] == pytest.approx((share**2 * variance[good, y, x]).sum(), rel=1e-6)
        assert found.unused[y, x] == n - good.sum()


def test_a_constant_sky_offset_loses_no_precision() -> None:
    data = np.full((20, 4, 4), 1e6, np.float32)
    data[0] += 1
    result = combine(data, operation="mean", reject_method="none")
    assert result.data[0, 0] == pytest.approx(1e6 + 0.05, abs=0.04)


def test_memory_is_bounded_by_the_blocks() -> None:
    data = np.ones((20, 500, 500), np.float32)
    tracemalloc.start()
    combine(data, data, operation="mean", reject_method="sigclip")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 25e6 < data.nbytes * 1.5


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (
            {"reject_method": "minmax", "nlow": 1, "nhigh": 2},
            AlgorithmError,
            ("nlow=1", "nhigh=2", "3"),
        ),
        ({"operation": "sum"}, ParameterError, ("sum", "lmedian")),
        ({"reject_method": "clip"}, ParameterError, ("clip", "varclip")),
        ({"operation": "wtmean"}, AlgorithmError, ("variance",)),
        ({"weights": [1, 2]}, AlgorithmError, ("3", "[1.0, 2.0]")),
        ({"weights": [1, 2, 0]}, AlgorithmError, ("positive",)),
        ({"weights": [1, 2, 3], "operation": "median"}, AlgorithmError, ("median",)),
    ],
)
def test_wrong_options_are_refused_with_their_numbers(
    change: dict[str, Any], error: type[Exception], words: tuple[str, ...]
) -> None:
    options = {"operation": "mean", "reject_method": "none", **change}
    with pytest.raises(error) as info:
        combine(np.ones((3, 2, 2), np.float32), **options)
    for word in words:
        assert word in str(info.value)


def test_shapes_that_differ_are_named() -> None:
    planes = [np.ones((3, 4), np.float32), np.ones((3, 5), np.float32)]
    with pytest.raises(AlgorithmError, match=r"\(3, 4\), \(3, 5\)"):
        combine(planes, operation="mean", reject_method="none")
    with pytest.raises(AlgorithmError, match=r"1 mask planes"):
        combine(planes[:1] * 2, None, [np.zeros((3, 4))], operation="mean", reject_method="none")
    with pytest.raises(AlgorithmError, match="empty"):
        combine([], operation="mean", reject_method="none")


@pytest.mark.parametrize("method", ["sigclip", "varclip"])
def test_clipping_allows_what_is_given_besides_the_noise(method):
    values = np.full((12, 1, 3), 100.0, np.float32) + np.linspace(-1, 1, 12, dtype=np.float32)[:, None, None]
    values[0, 0] = (160.0, 1500.0, 40.0)
    variance = np.ones_like(values)
    plain, tolerant = (
        combine(values, variance, operation="mean", reject_method=method, lsigma=3, hsigma=3, allowed=a)
        for a in (None, np.full((1, 3), 70, np.float32))
    )
    assert plain.unused.tolist() == [[1, 1, 1]]
    assert tolerant.unused.tolist() == [[0, 1, 0]]
    assert tolerant.data[0, 0] == pytest.approx(values[:, 0, 0].mean())


@pytest.mark.parametrize("noisy", [True, False])
def test_shares_weigh_each_value_like_a_plain_loop(noisy):
    rng = np.random.default_rng(31)
    data = rng.normal(100, 5, (3, 6, 7)).astype(np.float32)
    variance = rng.uniform(1, 4, data.shape).astype(np.float32) if noisy else None
    mask = np.where(rng.random(data.shape) < 0.2, BAD, 0).astype(np.uint16)
    shares = rng.integers(0, 4, data.shape).astype(np.float32)
    weights = np.array([1.0, 2.0, 0.5])
    found = combine(data, variance, mask, operation="mean", reject_method="none", weights=weights, shares=shares)
    for y, x in itertools.product(range(6), range(7)):
        good = mask[:, y, x] == min(mask[:, y, x])
        weight = weights * shares[:, y, x] * good
        weight = weight if weight.sum() > 0 else good.astype(float)
        weight /= weight.sum()
        assert found.data[y, x] == pytest.approx(weight @ data[:, y, x], rel=1e-5)
        if variance is not None:
            assert found.variance[y, x] == pytest.approx(weight**2 @ variance[:, y, x], rel=1e-5)


def test_shares_of_rejected_values_are_lost():
    data = np.full((4, 2, 2), 10.0, np.float32)
    data[0] = 500.0
    found = combine(
        data, np.ones_like(data), operation="mean", reject_method="varclip", shares=np.ones_like(data) * [[[3.0, 1.0]]]
    )
    assert found.data == pytest.approx(10.0)
    assert found.variance == pytest.approx(1 / 3)


@pytest.mark.parametrize("n", [3, 8, 70])
@pytest.mark.parametrize("method", ["sigclip", "varclip"])
@pytest.mark.parametrize("operation", ["mean", "wtmean", "median"])
@pytest.mark.parametrize("on_disk", [False, True])
def test_what_is_allowed_may_follow_from_the_medians(monkeypatch, n, method, operation, on_disk):
    rng = np.random.default_rng(n)
    shape = (9, 7)
    data = rng.normal(0, 3, (n, *shape)).astype(np.float32)
    data[rng.random(data.shape) < 0.05] += 40
    variance = rng.uniform(4, 12, data.shape).astype(np.float32)
    mask = rng.choice([0, 0, 0, 0, BAD, NO_DATA], data.shape).astype(np.uint16)
    mask[:, 2, 3], mask[:, 4, 4] = BAD, NO_DATA
    plane = np.where(np.arange(63).reshape(shape) % 3 == 0, 0, rng.uniform(0, 60, shape)).astype(np.float32)
    plane[5:7] = 0
    options = {"operation": operation, "reject_method": method, "lsigma": 2.0, "hsigma": 2.5}
    if operation == "mean":
        options |= {"weights": rng.uniform(0.5, 2, n), "shares": rng.uniform(0.5, 1, data.shape).astype(np.float32)}
    asked = []

    def allowed(middle):
        asked.append(middle)
        return plane

    told = combine(data, variance, mask, allowed=plane, **options)
    strict = combine(data, variance, mask, **options)
    median = combine(data, variance, mask, operation="median", reject_method="none")
    planes = (data, variance, mask)
    if on_disk:
        monkeypatch.setattr(_planes, "_BLOCK_VALUES", n * 7 * 2)
        monkeypatch.setattr(_planes, "_BAND_VALUES", n * 7 * 2)
        planes = tuple([Reader(image) for image in images] for images in planes)
    found = combine(*planes, allowed=allowed, **options)
    for one, other in zip(found, told, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(asked) == 1
    np.testing.assert_array_equal(asked[0].data, median.data)
    np.testing.assert_array_equal(asked[0].variance, median.variance)
    if n > 3:
        assert (strict.unused > found.unused).any()


def test_rows_that_are_allowed_nothing_are_not_read_again(monkeypatch):
    rng = np.random.default_rng(1)
    data = rng.normal(0, 1, (5, 8, 6)).astype(np.float32)
    data[2] += np.where(rng.random((8, 6)) < 0.5, 30, 0).astype(np.float32)
    variance = np.ones_like(data)
    plane = np.zeros((8, 6), np.float32)
    plane[3] = 50
    monkeypatch.setattr(_planes, "_BAND_VALUES", 5 * 6 * 2)
    readers = [[Reader(image) for image in images] for images in (data, variance)]
    combine(*readers, operation="mean", reject_method="varclip", allowed=lambda _: plane)
    assert [rows.start for rows in readers[0][0].rows] == [0, 2, 4, 6, 2]


def test_nobody_is_asked_what_is_allowed_where_nothing_is_rejected():
    def never(middle):
        raise AssertionError

    data = np.ones((5, 4, 4), np.float32)
    assert not combine(data, data, operation="mean", reject_method="varclip", allowed=never).unused.any()


@pytest.mark.parametrize(("n", "method", "rejected"), [(7, "sigclip", 0), (8, "sigclip", 1), (3, "varclip", 1)])
def test_from_how_many_values_on_a_lone_outlier_can_be_rejected(n: int, method: str, rejected: int) -> None:
    data = np.random.default_rng(n).normal(0, 0.3, (n, 1, 50)).astype(np.float32)
    data[0] = 1e4
    found = combine(data, np.ones_like(data), operation="mean", reject_method=method)  # type: ignore[arg-type]
    assert (found.unused == rejected).all()
