"""Outside of the light: emptied by clearUnlit, cut off by cropToLight."""

from __future__ import annotations

import numpy as np
import pytest
from raw_frames import FakeContext, electrons

from keyhole.frames import Frame, Table
from keyhole.imaging import bits
from keyhole.primitives.outside import ClearUnlitParams, CropParams, clear_unlit, crop_to_light
from keyhole.primitives.wcs import plane_of


def lit_frame(*, number: int = 0, rows: slice = slice(12, 30), columns: slice = slice(20, 70)) -> Frame:
    rng = np.random.default_rng(number)
    mask = np.full((50, 90), bits.UNILLUMINATED, np.uint16)
    mask[rows, columns] = 0
    mask[0] = bits.NO_DATA
    mask[rows.start + 2, columns.start + 3] = bits.BAD
    frame = electrons(rng.normal(5, 1, (50, 90)), number=number, mask=mask)
    frame.planes["OBJMASK"] = (rng.random((50, 90)) > 0.9).astype(np.uint8)
    frame.tables["OBJCAT"] = Table({"X_IMAGE": np.array([31.0, -999.0]), "Y_IMAGE": np.array([21.5, 15.0])})
    frame.header["AREA1_1"], frame.header["AREA1_2"] = 7.5, 3.0
    return frame


def test_unlit_pixels_and_those_without_data_become_zero_and_keep_their_flags() -> None:
    frame = lit_frame()
    data, mask = frame.data, frame.mask.copy()
    (out,) = clear_unlit([frame], ClearUnlitParams(), FakeContext())
    outside = (mask & 80) != 0
    assert (out.data[outside] == 0).all()
    assert (out.variance[outside] == 0).all()
    np.testing.assert_array_equal(out.data[~outside], data[~outside])
    assert (out.variance[~outside] == 100).all()
    np.testing.assert_array_equal(out.mask, mask)


def test_published_choice_leaves_what_is_there() -> None:
    frame = lit_frame()
    before = frame.data.copy()
    (out,) = clear_unlit([frame], ClearUnlitParams(replace_flags=0), FakeContext())
    np.testing.assert_array_equal(out.data, before)


def test_crop_keeps_every_lit_pixel_with_its_place_on_the_sky() -> None:
    frame, context = lit_frame(), FakeContext()
    whole = frame.copy()
    (out,) = crop_to_light([frame], CropParams(), context)
    assert out.data.shape == out.variance.shape == out.mask.shape == out.planes["OBJMASK"].shape == (18, 50)
    np.testing.assert_array_equal(out.data, whole.data[12:30, 20:70])
    np.testing.assert_array_equal(out.planes["OBJMASK"], whole.planes["OBJMASK"][12:30, 20:70])
    x, y = np.array([20.0, 69.0, 44.2]), np.array([12.0, 29.0, 17.9])
    before, after = plane_of(whole).pixel_to_sky(x, y), plane_of(out).pixel_to_sky(x - 20, y - 12)
    np.testing.assert_allclose(after, before, atol=1e-12)
    assert out.tables["OBJCAT"].columns["X_IMAGE"].tolist() == [11.0, -999.0]
    assert out.tables["OBJCAT"].columns["Y_IMAGE"].tolist() == [9.5, 3.0]
    assert (out.header["CROPX"], out.header["CROPY"]) == (20, 12)
    assert out.header["DATASEC"] == "[1:50,1:18]"
    assert (out.header["AREA1_1"], out.header["AREA1_2"]) == (-12.5, -9.0)
    assert context.notes == ["50 x 18 of 90 x 50 pixels kept"]


def test_second_crop_counts_from_the_first_pixel_of_the_array() -> None:
    frame = lit_frame()
    (out,) = crop_to_light([frame], CropParams(margin=5), FakeContext())
    assert out.data.shape == (28, 60)
    (out,) = crop_to_light([out], CropParams(), FakeContext())
    assert (out.header["CROPX"], out.header["CROPY"]) == (20, 12)


def test_frames_on_one_grid_stay_on_one() -> None:
    frames = [lit_frame(), lit_frame(number=1, rows=slice(15, 40), columns=slice(10, 60))]
    out = crop_to_light(frames, CropParams(), FakeContext())
    assert {frame.data.shape for frame in out} == {(28, 60)}
    assert {(frame.header["CROPX"], frame.header["CROPY"]) for frame in out} == {(10, 12)}


@pytest.mark.parametrize("crop", [True, False])
def test_nothing_is_cut_without_light_or_without_wish(crop: bool) -> None:
    frame, context = lit_frame(), FakeContext()
    if crop:
        frame.mask = np.full(frame.data.shape, bits.UNILLUMINATED, np.uint16)
    (out,) = crop_to_light([frame], CropParams(crop=crop), context)
    assert out.data.shape == (50, 90)
    assert context.caveats == (["no pixel is lit; nothing is cut off"] if crop else [])
