"""Kernels against their defining properties, and noise factors against simulated noise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from keyhole.errors import ParameterError
from keyhole.imaging.kernels import INTERPOLANTS, kernel_power, kernel_weights

FRACTIONS = np.array([0.0, 0.1, 0.25, 0.5, 0.77, 0.999])


def taps(weights):
    return np.arange(1 - weights.shape[-1] // 2, weights.shape[-1] // 2 + 1)


@pytest.mark.parametrize("interpolant", INTERPOLANTS)
def test_weights_sum_to_one_and_copy_whole_pixels(interpolant):
    weights = kernel_weights(interpolant, FRACTIONS)
    np.testing.assert_allclose(weights.sum(axis=-1), 1.0, atol=1e-12)
    np.testing.assert_array_equal(weights[0], (taps(weights) == 0).astype(float))


@pytest.mark.parametrize("interpolant", INTERPOLANTS)
def test_kernels_are_symmetric(interpolant):
    fraction = np.array([0.1, 0.3, 0.45])
    mirrored = kernel_weights(interpolant, 1 - fraction)[:, ::-1]
    np.testing.assert_allclose(kernel_weights(interpolant, fraction), mirrored, atol=1e-12)


def test_cubic_polynomial_has_the_published_weights():
    p = FRACTIONS
    q = 1 - p
    published = [
        q * (q**2 - 1) / 6,
        q + p * (p**2 - 1) / 6 - q * (q**2 - 1) / 3,
        p + q * (q**2 - 1) / 6 - p * (p**2 - 1) / 3,
        p * (p**2 - 1) / 6,
    ]
    np.testing.assert_allclose(kernel_weights("poly3", p), np.transpose(published), atol=1e-14)


@pytest.mark.parametrize(("interpolant", "degree"), [("linear", 1), ("poly3", 3), ("poly5", 5)])
def test_polynomials_of_its_degree_pass_unchanged(interpolant, degree):
    weights = kernel_weights(interpolant, FRACTIONS)
    for power in range(degree + 1):
        sampled = taps(weights).astype(float) ** power
        np.testing.assert_allclose(weights @ sampled, FRACTIONS**power, atol=1e-10)


@pytest.mark.parametrize("degree", [3, 5])
def test_splines_agree_with_scipy(degree):
    values = np.random.default_rng(0).normal(size=100)
    for fraction in FRACTIONS:
        weights = kernel_weights(f"spline{degree}", fraction)
        inner = [weights @ values[i + taps(weights)] for i in range(30, 70)]
        expected = ndimage.shift(values, -fraction, order=degree, mode="mirror")[30:70]
        np.testing.assert_allclose(inner, expected, atol=2e-4)


def test_unknown_kernel_names_the_nearest_one():
    with pytest.raises(ParameterError, match="did you mean 'poly3'"):
        kernel_weights("poly33", 0.5)


@pytest.mark.parametrize("interpolant", INTERPOLANTS)
def test_whole_pixel_shift_keeps_all_of_the_noise(interpolant):
    assert kernel_power(interpolant, (3.0, -7.0)) == pytest.approx(1.0)


def test_cubic_polynomial_has_the_known_mean_squared_weight():
    # 0.776 per axis, the average over sub-pixel shifts.
    assert kernel_power("poly3", None) == pytest.approx(0.776**2, abs=3e-3)
    assert kernel_power("linear", (0.5, 0.0)) == pytest.approx(0.5)
