"""Resampling against a slow loop over pixels, analytic stars and simulated noise."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from keyhole.errors import AlgorithmError, ParameterError
from keyhole.imaging import _bridging, _sampler
from keyhole.imaging._sampler import Sampler, Scratch
from keyhole.imaging.kernels import INTERPOLANTS, kernel_weights
from keyhole.imaging.resample import resample

resampling = sys.modules["keyhole.imaging.resample"]

USABLE_BITS = 2 | 4


def moffat(shape, x, y, *, fwhm=4.0, beta=3.0, flux=1e5):
    alpha = fwhm / (2 * np.sqrt(2 ** (1 / beta) - 1))
    j, i = np.mgrid[: shape[0], : shape[1]]
    profile = (1 + ((i - x) ** 2 + (j - y) ** 2) / alpha**2) ** -beta
    return (flux * (beta - 1) / (np.pi * alpha**2) * profile).astype(np.float32)


def centroid(image):
    j, i = np.mgrid[: image.shape[0], : image.shape[1]]
    weight = image * (image > 0.02 * image.max())
    return (weight * i).sum() / weight.sum(), (weight * j).sum() / weight.sum()


def rotation(degrees):
    angle = np.radians(degrees)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def noisy_frame(shape=(24, 31), seed=5):
    rng = np.random.default_rng(seed)
    data = rng.normal(100, 10, shape).astype(np.float32)
    variance = rng.uniform(50, 150, shape).astype(np.float32)
    mask = np.zeros(shape, np.uint16)
    mask[:5] = mask[:, 25:] = 64
    mask[rng.random(shape) < 0.04] |= 1
    mask[10:13, 10:13] |= 6
    data[mask & 1 > 0] = 1e6
    return data, variance, mask


def slow_bridge(plane, mask):
    """Values of good pixels, and of bad ones between two opposite good ones, by position."""

    def good(y, x):
        ny, nx = plane.shape
        return 0 <= y < ny and 0 <= x < nx and not int(mask[y, x]) & ~USABLE_BITS

    values = {}
    for y, x in np.ndindex(plane.shape):
        if good(y, x):
            values[y, x] = plane[y, x]
            continue
        found = []
        for dy, dx in ((0, 1), (1, 0)):
            pair = [(y - dy, x - dx), (y + dy, x + dx)]
            next_pair = [(y - 2 * dy, x - 2 * dx), (y + 2 * dy, x + 2 * dx)]
            if all(good(*place) for place in pair):
                near = sum(float(plane[place]) for place in pair)
                curved = all(good(*place) for place in next_pair)
                far = sum(float(plane[place]) for place in next_pair) if curved else 0.0
                found.append((4 * near - far) / 6 if curved else near / 2)
        if found:
            values[y, x] = np.mean(found)
    return values


def kept_share(good, shift):
    """Share of the cubic kernel's absolute weight on good pixels; 1 where it reaches beyond the frame."""
    column, row = (int(np.floor(v)) for v in shift)
    wx, wy = (np.abs(kernel_weights("poly3", v - np.floor(v))) for v in shift)
    total = wx.sum() * wy.sum()
    lost = sum(
        wy[j] * wx[i] * np.roll(~good, (1 - j - row, 1 - i - column), axis=(0, 1)) for j in range(4) for i in range(4)
    )
    return 1 - lost / total


def slow_resample(frame, matrix, shift, *, shape, origin, interpolant, threshold=0.001):
    """The rules of `resample`, one output pixel at a time."""
    data, variance, mask = frame
    values, errors = slow_bridge(data, mask), slow_bridge(variance, mask)
    out = [np.zeros(shape), np.zeros(shape), np.full(shape, 16, np.uint16)]
    half = kernel_weights(interpolant, 0.0).size // 2
    ny, nx = data.shape
    for j in range(shape[0]):
        for i in range(shape[1]):
            x, y = matrix @ (i + origin[0], j + origin[1]) + shift
            if not (0 <= x <= nx - 1 and 0 <= y <= ny - 1):
                continue
            cx, cy = int(np.floor(x)), int(np.floor(y))
            wx, wy = kernel_weights(interpolant, x - cx), kernel_weights(interpolant, y - cy)
            value = error = weight = filled = lost = total = 0.0
            carried, named = 0, {}
            for b in range(2 * half):
                for a in range(2 * half):
                    u, v, w = cx + a + 1 - half, cy + b + 1 - half, wx[a] * wy[b]
                    total += abs(w)
                    exists = 0 <= u < nx and 0 <= v < ny
                    bits = int(mask[v, u]) if exists else 0
                    if not exists or bits & ~USABLE_BITS:
                        lost += abs(w)
                        named[bits & ~USABLE_BITS] = named.get(bits & ~USABLE_BITS, 0.0) + abs(w)
                        tied = 2.0
                    else:
                        weight, tied = weight + w, 1.0
                    if (v, u) in values:
                        filled += w
                        value += w * values[v, u]
                        error += tied * w**2 * errors[v, u]
                    overlap = max(0, 1 - abs(u - x)) * max(0, 1 - abs(v - y))
                    carried |= bits & USABLE_BITS if overlap > threshold else 0
            if lost / total <= 0.3 and weight >= 0.5:
                out[0][j, i], out[1][j, i], out[2][j, i] = value / filled, error / filled**2, carried
            else:
                nearest = int(np.floor(y + 0.5)), int(np.floor(x + 0.5))
                out[0][j, i], out[1][j, i] = data[nearest], variance[nearest]
                shares = {k: sum(w for bits, w in named.items() if bits & k) / total for k in (1, 64)}
                reasons = sum(bit for bit, share in shares.items() if share > 0.001)
                out[2][j, i] = (reasons or 16) | carried if lost / total < 0.999 else mask[nearest]
    return out


@pytest.mark.parametrize("interpolant", ["nearest", "linear", "poly3", "lanczos3"])
@pytest.mark.parametrize("angle", [0.0, 7.0])
def test_resample_agrees_with_the_loop_over_pixels(interpolant, angle):
    frame = noisy_frame()
    shift, shape, origin = np.array([2.37, -1.58]), (30, 33), (-4, -1)
    got = resample(
        *frame,
        shift=shift,
        matrix=rotation(angle),
        output_shape=shape,
        output_origin=origin,
        interpolant=interpolant,
    )
    data, variance, mask = slow_resample(
        frame, rotation(angle), shift, shape=shape, origin=origin, interpolant=interpolant
    )
    np.testing.assert_array_equal(got.mask, mask)
    np.testing.assert_allclose(got.data, data, rtol=2e-5)
    np.testing.assert_allclose(got.variance, variance, rtol=2e-5)
    assert (mask == 0).sum() > 300
    assert (got.data.dtype, got.variance.dtype, got.mask.dtype) == (np.float32, np.float32, np.uint16)


@pytest.mark.parametrize("interpolant", INTERPOLANTS)
def test_whole_pixel_shift_copies_exactly(interpolant):
    data, variance, mask = noisy_frame()
    got = resample(
        data,
        variance,
        mask,
        shift=(3, -2),
        output_shape=(30, 40),
        output_origin=(-3, 2),
        interpolant=interpolant,
    )
    ny, nx = data.shape
    np.testing.assert_array_equal(got.data[:ny, :nx], data)
    np.testing.assert_array_equal(got.variance[:ny, :nx], variance)
    np.testing.assert_array_equal(got.mask[:ny, :nx], mask)
    assert (got.mask[ny:] == 16).all()
    assert (got.mask[:, nx:] == 16).all()
    assert not got.data[ny:].any()
    assert not got.variance[:, nx:].any()


@pytest.mark.parametrize("interpolant", INTERPOLANTS)
def test_own_kernel_per_pixel_gives_the_same_as_one_kernel_for_all(interpolant):
    frame = noisy_frame()
    shared = resample(*frame, shift=(0.4, -0.7), interpolant=interpolant)
    # So near the unit matrix that no position changes, but not equal to it.
    own = resample(*frame, shift=(0.4, -0.7), matrix=np.eye(2) * (1 + 1e-15), interpolant=interpolant)
    np.testing.assert_array_equal(shared.mask, own.mask)
    np.testing.assert_allclose(shared.data, own.data, rtol=1e-5)
    np.testing.assert_allclose(shared.variance, own.variance, rtol=1e-5)


@pytest.mark.parametrize("interpolant", [name for name in INTERPOLANTS if name != "spline5"])
def test_few_bad_pixels_are_looked_at_one_by_one_with_the_same_result(interpolant, monkeypatch):
    rng = np.random.default_rng(8)
    # The kernels reach beyond the frame, where all is bad: of a smaller one that would be many pixels.
    shape = (1000, 1020) if interpolant == "spline3" else (700, 720)
    data, variance = rng.normal(100, 10, shape), rng.uniform(5, 9, shape)
    mask = np.zeros(shape, np.uint16)
    mask[rng.random(shape) < 0.003] = 1
    mask[200:206, 300:307] = 8
    mask[20:23, 30:32] = 8
    mask[40:43, 50:53] = 4
    data[mask == 1] = 1e6
    frame = data.astype(np.float32), variance.astype(np.float32), mask
    ways, few_at_once = [], resampling._move
    monkeypatch.setattr(resampling, "_move", lambda *args: ways.append(few_at_once(*args)))
    for shift, limits in (
        ((0.3, -0.4), {}),
        ((5.0, 0.6), {"max_lost": 0.1, "reasons": False}),
        ((-0.5, 0.5), {"max_lost": 0.8, "output_shape": (shape[0] + 6, shape[1] + 5), "output_origin": (-3, -2)}),
    ):
        ways.clear()
        planes = {"OBJMASK": (mask == 8).astype(np.uint8), "MODEL": data}
        got = resample(*frame, shift=shift, interpolant=interpolant, planes=planes, **limits)
        assert ways
        with monkeypatch.context() as patch:
            patch.setattr(_bridging, "_FEW", 0.0)
            every = resample(*frame, shift=shift, interpolant=interpolant, planes=planes, **limits)
        for few, all_ in zip((*got[:3], *got.planes.values()), (*every[:3], *every.planes.values()), strict=True):
            np.testing.assert_array_equal(few, all_)


def test_shifted_star_keeps_its_flux_and_moves_by_the_shift():
    star = moffat((61, 61), 30.0, 31.0)
    got = resample(star, shift=(0.37, -1.58))
    truth = moffat((61, 61), 30.0 - 0.37, 31.0 + 1.58)
    inner = slice(5, -5)
    assert got.data[inner, inner].sum() == pytest.approx(truth[inner, inner].sum(), rel=1e-3)
    assert centroid(got.data) == pytest.approx(centroid(truth), abs=0.01)
    assert np.abs(got.data - truth)[inner, inner].max() < 0.03 * truth.max()


def test_rotated_and_magnified_star_lands_where_the_matrix_says_and_keeps_its_flux():
    shape, matrix, shift = (81, 81), 1.25 * rotation(10.0), np.array([-3.0, -20.0])
    star = moffat(shape, 40.0, 41.0, fwhm=6.0)
    x, y = np.linalg.solve(matrix, np.array([40.0, 41.0]) - shift)
    got = resample(star, np.ones_like(star), shift=shift, matrix=matrix)
    box = np.s_[int(y) - 15 : int(y) + 16, int(x) - 15 : int(x) + 16]
    found = centroid(got.data[box])
    assert (found[0] + box[1].start, found[1] + box[0].start) == pytest.approx((x, y), abs=0.02)
    truth = moffat(shape, x, y, fwhm=6.0 / 1.25)
    assert got.data[box].sum() == pytest.approx(truth[box].sum(), rel=3e-3)
    kept = resample(star, np.ones_like(star), shift=shift, matrix=matrix, conserve=False)
    np.testing.assert_allclose(got.data, kept.data * 1.25**2, rtol=1e-6)
    np.testing.assert_allclose(got.variance, kept.variance * 1.25**4, rtol=1e-6)


def test_variance_is_that_of_simulated_noise():
    rng = np.random.default_rng(2)
    sigma = 3.0
    variance = np.full((300, 300), sigma**2, np.float32)
    mask = np.zeros(variance.shape, np.uint16)
    mask[rng.random(mask.shape) < 0.02] = 1
    noise = rng.normal(0, sigma, mask.shape).astype(np.float32)
    got = resample(noise, variance, mask, shift=(0.3, 0.55))
    good = got.mask == 0
    pull = got.data[good] / np.sqrt(got.variance[good])
    assert pull.std() == pytest.approx(1.0, abs=0.01)
    assert got.variance[good].mean() < 0.6 * sigma**2


def test_hot_pixel_costs_few_pixels_and_does_not_spread():
    data = np.full((21, 21), 10.0, np.float32)
    mask = np.zeros(data.shape, np.uint16)
    data[10, 10], mask[10, 10] = 1e7, 8
    for shift in [(0.5, 0.5), (0.3, -0.2), (0.02, 0.9)]:
        got = resample(data, data, mask, shift=shift)
        flagged = got.mask & 8 > 0
        assert flagged.sum() <= 2
        np.testing.assert_allclose(got.data[got.mask == 0], 10.0, rtol=1e-5)
        touched = (kept_share(mask == 0, shift) < 0.999) & (got.mask == 0)
        assert touched.sum() >= 7


def test_unilluminated_surroundings_do_not_leak_in():
    data = np.full((30, 40), 50.0, np.float32)
    mask = np.zeros(data.shape, np.uint16)
    mask[:10] = 64
    data[:10] = -1e4
    got = resample(data, data, mask, shift=(0.4, 0.4))
    assert set(np.unique(got.mask[:-1, :-1])) == {0, 64}
    np.testing.assert_allclose(got.data[got.mask == 0], 50.0, rtol=1e-5)
    assert (got.mask[11:-2, :-1] == 0).all()
    assert (got.mask[:9, :-1] == 64).all()


def test_saturated_bit_stays_on_the_pixels_that_overlap():
    mask = np.zeros((15, 15), np.uint16)
    mask[7, 7] = 4
    data = np.ones((15, 15), np.float32)
    got = resample(data, data, mask, shift=(0.5, 0.25))
    expected = {(6, 6), (6, 7), (7, 6), (7, 7)}
    assert {tuple(p) for p in np.argwhere(got.mask & 4).tolist()} == expected
    strict = resample(data, data, mask, shift=(0.5, 0.25), dq_threshold=0.3)
    assert {tuple(p) for p in np.argwhere(strict.mask & 4).tolist()} == {(7, 6), (7, 7)}


def test_pixels_beyond_the_frame_have_no_data():
    got = resample(np.ones((10, 12), np.float32), shift=(2.5, 0.0))
    assert (got.mask[:, :9] == 0).all()
    assert (got.mask[:, 9:] == 16).all()
    assert not got.data[:, 9:].any()
    assert got.variance is None
    far = resample(np.ones((10, 12), np.float32), shift=(500.3, 0.0))
    assert (far.mask == 16).all()
    assert not far.data.any()


def test_frame_without_usable_pixels_stays_flagged():
    data = np.arange(120, dtype=np.float32).reshape(10, 12)
    got = resample(data, data, np.full((10, 12), 64, np.uint16), shift=(0.3, 0.3))
    assert (got.mask[:-1, :-1] == 64).all()
    np.testing.assert_array_equal(got.data[:-1, :-1], data[:-1, :-1])


def test_not_finite_pixels_become_bad_and_vanish():
    data = np.ones((12, 12), np.float32)
    variance = np.ones((12, 12), np.float32)
    data[5, 5], variance[8, 8] = np.nan, np.inf
    got = resample(data, variance, shift=(0.1, 0.1))
    assert np.isfinite(got.data).all()
    assert np.isfinite(got.variance).all()
    assert got.mask[5, 5] == 1
    assert got.mask[8, 8] == 1


def test_further_planes_follow():
    data, variance, mask = noisy_frame()
    planes = {"OBJMASK": (data > 105).astype(np.uint8), "MODEL": data * 2}
    got = resample(data, variance, mask, shift=(0.6, 0.0), planes=planes)
    good = got.mask == 0
    np.testing.assert_allclose(got.planes["MODEL"][good], 2 * got.data[good], rtol=1e-5)
    np.testing.assert_array_equal(got.planes["OBJMASK"][:, :-1], planes["OBJMASK"][:, 1:])
    assert got.planes["OBJMASK"].dtype == np.uint8


def test_input_is_not_changed_and_other_byte_orders_are_accepted():
    data, variance, mask = noisy_frame()
    data[0, 0] = np.nan
    copies = data.copy(), variance.copy(), mask.copy()
    swapped = resample(data.astype(">f4"), variance.astype(">f4"), mask.astype(">u2"), shift=(0.3, 0.1))
    got = resample(data, variance, mask, shift=(0.3, 0.1))
    for before, after in zip(copies, (data, variance, mask), strict=True):
        np.testing.assert_array_equal(before, after)
    np.testing.assert_array_equal(got.data, swapped.data)
    assert swapped.data.dtype.isnative
    assert swapped.mask.dtype.isnative


def test_wrong_input_is_named():
    data = np.ones((5, 5), np.float32)
    with pytest.raises(AlgorithmError, match=r"variance has shape \(4, 5\)"):
        resample(data, np.ones((4, 5), np.float32))
    with pytest.raises(AlgorithmError, match="cannot be inverted"):
        resample(data, matrix=np.zeros((2, 2)))
    with pytest.raises(AlgorithmError, match="cannot be inverted"):
        resample(data, shift=(np.nan, 0.0))
    with pytest.raises(ParameterError, match="did you mean"):
        resample(data, interpolant="lanczos")


@pytest.mark.parametrize("place", [(0.3, 0.6), (0.0, 0.6), (0.0, 0.0)])
def test_sums_along_one_line_of_all_rows_are_those_of_single_rows(place, monkeypatch):
    rng = np.random.default_rng(3)
    window = rng.normal(0, 1, (43, 33)).astype(np.float32)
    sampler = Sampler(np.arange(30)[np.newaxis] + place[1], np.arange(40)[:, np.newaxis] + place[0], "poly3", Scratch())
    gaps = np.full((43, 66), np.nan, np.float32)
    gaps[:, ::2] = window
    for power in ("signed", "absolute", "squared"):
        single = sampler.sum(gaps[:, ::2], power)
        assert np.isfinite(single).all()
        np.testing.assert_array_equal(sampler.sum(window, power), single)
        with monkeypatch.context() as patch:
            patch.setattr(_sampler, "_BLOCK", 7 * 33)
            out = np.full((40, 60), -1, np.float32)
            sampler.sum(window, power, out=out[:, 5:35])
        np.testing.assert_array_equal(out[:, 5:35], single)
        assert (out[:, :5] == -1).all() and (out[:, 35:] == -1).all()


@pytest.mark.parametrize("interpolant", ["linear", "poly3"])
def test_what_touches_a_few_holes_is_found_without_a_plane(interpolant, monkeypatch):
    rng = np.random.default_rng(21)
    for number in (1, 2, 30):
        x, y = np.arange(31)[np.newaxis] - rng.uniform(-3, 3), np.arange(23)[:, np.newaxis] + rng.uniform(-3, 3)
        sampler = Sampler(x, y, interpolant, Scratch())
        holes = np.unique(rng.integers(0, sampler.size[0] * sampler.size[1], number))
        found = sampler.touching(holes)
        with monkeypatch.context() as patch:
            patch.setattr(_sampler, "_FEW_HOLES", 0)
            expected = sampler.touching(holes)
        assert found.pixels.size >= number
        for values, those in zip(found, expected, strict=True):
            np.testing.assert_array_equal(values, those)
