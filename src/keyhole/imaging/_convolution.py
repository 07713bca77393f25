"""Convolution with a small kernel through Fourier transforms."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["convolved"]


def convolved(image: NDArray[Any], kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convolve an image with a kernel of odd size; outside of the image there is nothing.

    Equal to ``scipy.signal.oaconvolve(image, kernel, mode="same")`` but for rounding. `scipy.signal` loads half of
    scipy, which takes longer than numpy and astropy together, where this needs `scipy.fft` alone.

    Parameters
    ----------
    image : (ny, nx)
    kernel : (ky, kx) float64

    Returns
    -------
    (ny, nx) float64
    """
    from scipy import fft  # slow import: few steps need it

    shape = [n + k - 1 for n, k in zip(image.shape, kernel.shape, strict=True)]
    size = [fft.next_fast_len(n, real=True) for n in shape]
    product = fft.rfft2(image.astype(np.float64), size) * fft.rfft2(kernel, size)
    top, left = ((k - 1) // 2 for k in kernel.shape)
    return np.asarray(fft.irfft2(product, size)[top : top + image.shape[0], left : left + image.shape[1]])
