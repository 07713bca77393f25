"""Convolution against that of scipy.signal."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from keyhole.imaging._convolution import convolved


@pytest.mark.parametrize(("shape", "kernel"), [((30, 41), (7, 7)), ((64, 64), (1, 1)), ((9, 50), (15, 5))])
def test_convolution_is_that_of_scipy_signal(shape: tuple[int, int], kernel: tuple[int, int]) -> None:
    rng = np.random.default_rng(5)
    image, weights = rng.normal(size=shape).astype(np.float32), rng.normal(size=kernel)
    expected = signal.oaconvolve(image.astype(np.float64), weights, mode="same")
    np.testing.assert_allclose(convolved(image, weights), expected, atol=1e-12 * np.abs(weights).sum() * 5)


def test_a_point_becomes_the_kernel_about_it() -> None:
    image, weights = np.zeros((11, 12)), np.arange(9.0).reshape(3, 3)
    image[4, 6] = 1
    np.testing.assert_allclose(convolved(image, weights)[3:6, 5:8], weights, atol=1e-12)
