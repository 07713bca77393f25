from __future__ import annotations

import numpy as np
import pytest

from keyhole.imaging._products import over_pixels, per_pixel


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products_in_pieces_equal_the_whole_product(dtype):
    rng = np.random.default_rng(1)
    left, right = rng.normal(size=(12, 20)).astype(dtype), rng.normal(size=(20, 5003)).astype(dtype)
    product = per_pixel(left, right)
    assert product.dtype == dtype
    np.testing.assert_allclose(product, left @ right, atol=1e-4)
    np.testing.assert_allclose(over_pixels(right, right.T), right @ right.T, atol=1e-2, rtol=1e-4)
