"""Covariance of a stack against noise that is really drawn, shifted, subtracted and added."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from keyhole.errors import AlgorithmError
from keyhole.imaging.covariance import (
    Covariance,
    StackInput,
    aperture_factor,
    correlation_factor,
    cut_circle_factor,
    independent,
    stack_covariance,
)
from keyhole.imaging.kernels import kernel_weights

SIZE = 512


def shifted(noise, shift, interpolant="poly3"):
    """Sample a periodic field of noise at the pixels plus a shift, step by step."""
    whole = np.floor(shift).astype(int)
    wx, wy = (kernel_weights(interpolant, part) for part in np.asarray(shift) - whole)
    first = 1 - len(wx) // 2
    out = np.zeros_like(noise)
    for j, weight_y in enumerate(wy):
        for i, weight_x in enumerate(wx):
            move = (-(whole[1] + first + j), -(whole[0] + first + i))
            out += weight_y * weight_x * np.roll(noise, move, axis=(0, 1))
    return out


def autocorrelation(image, reach):
    power = np.abs(np.fft.rfft2(image)) ** 2
    full = np.fft.irfft2(power, image.shape) / image.size
    return np.roll(full, (reach, reach), axis=(0, 1))[: 2 * reach + 1, : 2 * reach + 1]


def drawn_stack(shifts, weights, sigmas, skies, seed=3):
    """A mean of frames minus the mean of the frames named for each, and the variance it has by the books."""
    rng = np.random.default_rng(seed)
    fields = [sigma * rng.standard_normal((SIZE, SIZE)) for sigma in sigmas]
    total, books = np.zeros((SIZE, SIZE)), 0.0
    for k, (shift, weight) in enumerate(zip(shifts, weights, strict=True)):
        frame = fields[k] - (np.mean([fields[j] for j in skies[k]], axis=0) if skies[k] else 0)
        variance = sigmas[k] ** 2 + sum(sigmas[j] ** 2 for j in skies[k]) / max(len(skies[k]), 1) ** 2
        total += weight * shifted(frame, shift)
        parts = np.asarray(shift) % 1
        books += weight**2 * variance * np.prod([(kernel_weights("poly3", part) ** 2).sum() for part in parts])
    return total / sum(weights), books / sum(weights) ** 2


def inputs(shifts, weights, sigmas, skies):
    made = []
    for k, (shift, weight) in enumerate(zip(shifts, weights, strict=True)):
        added = {str(j): sigmas[j] ** 2 / len(skies[k]) ** 2 for j in skies[k]}
        variance = sigmas[k] ** 2 + sum(added.values())
        shares = {name: value / variance for name, value in added.items()}
        made.append(StackInput(shift, weight, variance**0.5, "poly3", name=str(k), shares=shares))
    return made


SHIFTS = [(0.0, 0.0), (6.4, 0.3), (0.6, 0.2), (6.1, -0.4)]
SKIES = [[1, 3], [0, 2], [1, 3], [0, 2]]


@pytest.mark.parametrize(
    ("weights", "sigmas", "skies"),
    [
        ([1, 1, 1, 1], [1, 1, 1, 1], [[], [], [], []]),
        ([1, 1, 1, 1], [1, 1, 1, 1], SKIES),
        ([1, 2, 0.5, 1], [1, 0.7, 2, 1.3], SKIES),
    ],
    ids=["interpolation alone", "skies shared by frames at one place", "weights and noise differ"],
)
def test_covariance_is_that_of_a_drawn_stack(weights, sigmas, skies):
    stack, books = drawn_stack(SHIFTS, weights, sigmas, skies)
    found = stack_covariance(inputs(SHIFTS, weights, sigmas, skies), reach=9)
    measured = autocorrelation(stack, 9)
    assert measured[9, 9] / books == pytest.approx(found.excess, rel=0.02)
    np.testing.assert_allclose(measured / measured[9, 9], found.values, atol=0.015)
    np.testing.assert_allclose(found.values, found.values[::-1, ::-1], atol=1e-12)


def test_skies_shared_by_frames_at_one_place_add_up_in_the_pixel():
    # Two frames at one place and one sky for both: 1/4 (s2 + s2 + 4 s2) instead of 1/4 (s2 + s2 + 2 s2).
    items = [StackInput((0, 0), 1, 2**0.5, name=name, shares={"sky": 0.5}) for name in ("a", "b")]
    found = stack_covariance(items, reach=1)
    assert found.excess == pytest.approx(6 / 4)
    np.testing.assert_allclose(found.values, independent(1).values)


def test_frame_in_the_sky_of_another_is_negative_at_the_dither():
    items = [
        StackInput((0, 0), 1, 2**0.5, name="a", shares={"b": 0.5}),
        StackInput((4, 0), 1, 2**0.5, name="b", shares={"a": 0.5}),
    ]
    found = stack_covariance(items, reach=5)
    # Each field enters with +1 at its own place and -1 at the other: four terms, two of them 4 pixels apart.
    assert found.values[5, 9] == pytest.approx(-0.5)
    assert found.values[5, 1] == pytest.approx(-0.5)


def test_aperture_factor_is_the_noise_of_exact_circles():
    stack, _ = drawn_stack(SHIFTS, [1, 1, 1, 1], [1, 1, 1, 1], SKIES, seed=8)
    found = stack_covariance(inputs(SHIFTS, [1, 1, 1, 1], [1, 1, 1, 1], SKIES), reach=15)
    for radius in (1.5, 3.0, 6.0):
        half = int(radius) + 2
        fine = (np.arange((2 * half + 1) * 10) + 0.5) / 10 - 0.5 - half
        ratios, cuts = [], []
        for y, x in ((0.05, 0.1), (0.3, 0.1), (0.45, 0.5), (0.2, 0.4), (0.35, 0.25), (0.1, 0.3)):
            inside = (fine[:, None] - y) ** 2 + (fine - x) ** 2 <= radius**2
            area = inside.reshape(2 * half + 1, 10, 2 * half + 1, 10).mean(axis=(1, 3))
            sums = ndimage.convolve(stack, area, mode="wrap")
            ratios.append(sums.std() / stack.std() / np.sqrt((area**2).sum()))
            cuts.append((area**2).sum() / area.sum())
        assert cut_circle_factor(radius) ** 2 == pytest.approx(np.mean(cuts), rel=0.03)
        assert np.mean(ratios) == pytest.approx(aperture_factor(found, radius), rel=0.02)


def test_independent_pixels_have_the_factor_one():
    for radius in (1.0, 4.5, 20.0):
        assert aperture_factor(independent(), radius) == pytest.approx(1.0)


def test_wide_apertures_feel_the_whole_kernel():
    item = StackInput((0.5, 0.25), 1, 3.0, "poly3")
    wide = aperture_factor(stack_covariance([item], reach=90), 45.0)
    assert wide == pytest.approx(correlation_factor([(0.5, 0.25)], "poly3"), rel=0.02)
    assert correlation_factor([(3.0, -7.0)] * 3, "poly5") == pytest.approx(1.0)


def test_rotated_frame_has_the_mean_of_all_sub_pixel_phases():
    turned = stack_covariance([StackInput((0, 0), 1, 1, "poly3", turned=True)], reach=45)
    assert aperture_factor(turned, 20.0) == pytest.approx(1 / 0.776, rel=0.02)


def test_stack_of_a_stack_keeps_the_correlation_of_its_input():
    first = stack_covariance([StackInput((0.5, 0.5), 1, 1, "poly3")], reach=6)
    rng = np.random.default_rng(5)
    image = shifted(shifted(rng.standard_normal((SIZE, SIZE)), (0.5, 0.5)), (0.3, 0.6))
    found = stack_covariance([StackInput((0.3, 0.6), 1, 1, "poly3", covariance=first)], reach=6)
    measured = autocorrelation(image, 6)
    np.testing.assert_allclose(measured / measured[6, 6], found.values, atol=0.015)
    # The variance by the books takes the pixels of the first stack for independent.
    power = np.prod([(kernel_weights("poly3", part) ** 2).sum() for part in (0.3, 0.6)])
    books = power * (kernel_weights("poly3", 0.5) ** 2).sum() ** 2
    assert measured[6, 6] / books == pytest.approx(found.excess, rel=0.02)


def test_covariance_is_cut_and_padded_about_its_centre():
    values = np.arange(25.0).reshape(5, 5)
    assert Covariance(values).widened(1).values[1, 1] == values[2, 2]
    assert Covariance(values).widened(4).values[4, 4] == values[2, 2]
    assert Covariance(values).widened(4).values[0, 0] == 0


def test_stack_without_frames_or_noise_is_refused_in_words():
    with pytest.raises(AlgorithmError, match="at least one frame"):
        stack_covariance([], reach=3)
    with pytest.raises(AlgorithmError, match="not known"):
        stack_covariance([StackInput((0, 0), 1, 0.0)], reach=3)
