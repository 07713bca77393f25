"""Products of small matrices with many pixels, in pieces.

One large product would wake the threads of the linear algebra library, which costs more than it saves for
matrices this thin, and takes processors from others.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["over_pixels", "per_pixel"]

_PIECE: Final = 200_000
"""Multiplications in a piece: below this the common libraries use one thread."""

Matrix = NDArray[Any]


def per_pixel(left: Matrix, right: Matrix) -> Matrix:
    """Product ``left @ right`` of (k, n) and (n, m) with many m."""
    k, n = left.shape
    m = right.shape[1]
    step = max(_PIECE // max(k * n, 1), 64)
    product = np.empty((k, m), np.result_type(left, right))
    for start in range(0, m, step):
        np.matmul(left, right[:, start : start + step], out=product[:, start : start + step])
    return product


def over_pixels(left: Matrix, right: Matrix) -> Matrix:
    """Product ``left @ right`` of (k, m) and (m, t) with many m."""
    (k, m), t = left.shape, right.shape[1]
    step = max(_PIECE // max(k * t, 1), 64)
    product = np.zeros((k, t), np.result_type(left, right))
    for start in range(0, m, step):
        product += left[:, start : start + step] @ right[start : start + step]
    return product
