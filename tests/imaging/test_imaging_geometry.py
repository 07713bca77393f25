"""The tangent plane against astropy, square pixels and common grids against figures worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.wcs import WCS

from keyhole.errors import AlgorithmError
from keyhole.imaging.geometry import TangentPlane, common_grid, square_cd

SCALE = 0.15


def rotated_cd(angle_deg: float, sx: float, sy: float, parity: float = -1.0) -> np.ndarray:
    angle = np.radians(angle_deg)
    along_x = parity * np.array([np.cos(angle), np.sin(angle)]) * sx
    along_y = np.array([-np.sin(angle), np.cos(angle)]) * sy
    return np.column_stack([along_x, along_y]) / 3600.0


def astropy_wcs(plane: TangentPlane):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = plane.crval
    wcs.wcs.crpix = plane.crpix
    wcs.wcs.cd = np.array(plane.cd)
    return wcs


@pytest.mark.parametrize("crval", [(16.24142, 33.93044), (359.999, -60.0), (0.001, 89.9), (180.0, 0.0)])
def test_tangent_plane_agrees_with_astropy(crval):
    plane = TangentPlane(crval, (629.0, 519.5), rotated_cd(33.0, SCALE, SCALE))
    x, y = np.random.default_rng(3).uniform(-200, 1200, (2, 50))
    ra, dec = plane.pixel_to_sky(x, y)
    true_ra, true_dec = astropy_wcs(plane).wcs_pix2world(x, y, 0)
    difference = (ra - true_ra + 180) % 360 - 180
    assert np.abs(difference * np.cos(np.radians(dec))).max() * 3600 < 1e-8
    assert np.abs(dec - true_dec).max() * 3600 < 1e-8
    assert ((ra >= 0) & (ra < 360)).all()


def test_sky_to_pixel_undoes_pixel_to_sky():
    plane = TangentPlane((0.0002, -45.0), (1.0, 1.0), rotated_cd(-70.0, SCALE, 0.16, parity=1.0))
    x, y = np.meshgrid([-500.0, 0.0, 1023.0], [0.0, 511.5, 1021.0])
    back_x, back_y = plane.sky_to_pixel(*plane.pixel_to_sky(x, y))
    assert np.abs(back_x - x).max() < 1e-6
    assert np.abs(back_y - y).max() < 1e-6


def test_reference_pixel_is_one_based_as_in_fits():
    plane = TangentPlane((10.0, 20.0), (5.0, 7.0), rotated_cd(0.0, SCALE, SCALE))
    ra, dec = plane.pixel_to_sky(4.0, 6.0)
    assert (float(ra), float(dec)) == pytest.approx((10.0, 20.0), abs=1e-12)


def test_point_behind_the_plane_has_no_pixel():
    plane = TangentPlane((10.0, 20.0), (5.0, 7.0), rotated_cd(0.0, SCALE, SCALE))
    x, y = plane.sky_to_pixel([190.0, 10.0], [-20.0, 20.0])
    assert np.isnan(x[0])
    assert np.isnan(y[0])
    assert (x[1], y[1]) == pytest.approx((4.0, 6.0))


def test_matrix_without_inverse_is_refused():
    with pytest.raises(AlgorithmError, match="no inverse"):
        TangentPlane((0.0, 0.0), (1.0, 1.0), np.zeros((2, 2)))
    with pytest.raises(AlgorithmError, match="not finite"):
        TangentPlane((np.nan, 0.0), (1.0, 1.0), np.eye(2))
    with pytest.raises(AlgorithmError, match="not positive"):
        square_cd(np.eye(2), 0.0)


@pytest.mark.parametrize("parity", [-1.0, 1.0])
@pytest.mark.parametrize("angle", [0.0, 27.0, 90.0, -160.0])
def test_square_cd_keeps_the_axis_that_has_the_scale_of_the_camera(angle, parity):
    wanted = rotated_cd(angle, SCALE, SCALE, parity)
    skewed = wanted.copy()
    # The other axis is 6 % too long and not perpendicular.
    skewed[:, 1] = 1.06 * (0.995 * wanted[:, 1] + 0.1 * wanted[:, 0])
    np.testing.assert_allclose(square_cd(skewed, SCALE), wanted, atol=1e-12)
    skewed = wanted.copy()
    skewed[:, 0] = 0.9 * (0.995 * wanted[:, 0] - 0.1 * wanted[:, 1])
    np.testing.assert_allclose(square_cd(skewed, SCALE), wanted, atol=1e-12)


@pytest.mark.parametrize("parity", [-1.0, 1.0])
def test_square_cd_takes_the_nearest_rotation_when_no_single_axis_is_right(parity):
    wanted = rotated_cd(40.0, SCALE, SCALE, parity)
    # Directions turned by equal angles to either side: the polar factor is the bisector.
    tilt = np.array([[1.0, 0.02], [0.02, 1.0]])
    np.testing.assert_allclose(square_cd(wanted @ tilt * 1.2, SCALE), wanted, atol=1e-10)


def test_common_grid_of_one_frame_is_that_frame():
    assert common_grid([(1022, 1024)], [(0.0, 0.0)]) == ((1022, 1024), (0, 0))


def test_common_grid_holds_all_corners():
    # Frames move by -159.3 .. 0 in x: their right edges reach 1023 + 159.3 in the reference.
    grid = common_grid([(1022, 1024)] * 3, [(0.0, 0.0), (-158.6, 6.4), (-20.0, -10.5)])
    assert grid.origin == (0, -6)
    assert grid.shape == (1031 + 6 + 1, 1181 + 1)
    assert common_grid([(10, 20), (10, 20)], [(0, 0), (2.9999999996, -1.0000000004)]).shape == (11, 23)


def test_common_grid_wants_one_finite_shift_per_frame():
    with pytest.raises(AlgorithmError, match="one shift per frame"):
        common_grid([(10, 10)], [(0, 0), (1, 1)])
    with pytest.raises(AlgorithmError, match="finite"):
        common_grid([(10, 10)], [(0, np.nan)])
