"""Frames that hold a part of their image."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from raw_frames import electrons

from keyhole.frames import Frame, Table, Window, as_window, cut, read_frame, share_window, whole, write_frame
from keyhole.primitives.wcs import plane_of, set_plane

SHAPE = (40, 60)


def image(number: int = 0) -> Frame:
    rng = np.random.default_rng(number)
    mask = np.full(SHAPE, 64, np.uint16)
    mask[10:20, 15:40] = rng.integers(0, 2, (10, 25))
    data = np.where(mask == 64, 0, rng.normal(5, 1, SHAPE))
    frame = electrons(data, number=number, mask=mask)
    frame.variance = np.where(mask == 64, 0, frame.variance).astype(np.float32)
    frame.planes["OBJMASK"] = (mask == 1).astype(np.uint8)
    frame.tables["OBJCAT"] = Table({"X_IMAGE": np.array([31.0, -999.0]), "Y_IMAGE": np.array([12.5, 15.0])})
    return frame


def planes(frame: Frame) -> list[np.ndarray]:
    return [frame.data, frame.variance, frame.mask, frame.planes["OBJMASK"]]


def test_cut_and_whole_are_inverse_where_the_outside_is_empty() -> None:
    frame, original = image(), image()
    cut(frame, slice(8, 22), slice(16, 44))
    cut(frame, slice(1, 13), slice(0, 26))
    assert frame.window == Window(SHAPE, (9, 16))
    assert frame.data.shape == (12, 26)
    np.testing.assert_array_equal(frame.data, original.data[9:21, 16:42])
    back = whole(frame)
    assert back.window is None
    assert frame.window is not None
    # The cut took one column of the light.
    for plane, before, empty in zip(planes(back), planes(original), (0, 0, 64, 0), strict=True):
        kept = np.full(SHAPE, empty, before.dtype)
        kept[9:21, 16:42] = before[9:21, 16:42]
        assert plane.dtype == before.dtype
        np.testing.assert_array_equal(plane, kept)
    assert back.tables["OBJCAT"].columns["X_IMAGE"].tolist() == [31.0, -999.0]
    assert back.tables["OBJCAT"].columns["Y_IMAGE"].tolist() == [12.5, 15.0]


def test_sky_position_of_a_pixel_is_the_same_in_window_and_image() -> None:
    frame, original = image(), image()
    cut(frame, slice(8, 22), slice(16, 44))
    x, y = np.array([20.0, 30.5]), np.array([11.0, 18.2])
    np.testing.assert_allclose(
        plane_of(frame).pixel_to_sky(x - 16, y - 8), plane_of(original).pixel_to_sky(x, y), rtol=1e-14
    )
    # Cards keep to the whole image, also when the WCS is written from the window.
    set_plane(frame, plane_of(frame))
    assert frame.header["CRPIX1"] == pytest.approx(original.header["CRPIX1"])
    assert frame.header["CRPIX2"] == pytest.approx(original.header["CRPIX2"])


def test_a_cut_frame_keeps_nothing_of_the_rest_in_memory() -> None:
    frame = image()
    cut(frame, slice(8, 22), slice(0, 60))
    assert all(plane.base is None for plane in planes(frame))


def test_frames_get_the_smallest_window_that_holds_all_of_them() -> None:
    frames, originals = [image(k) for k in range(3)], [image(k) for k in range(3)]
    cut(frames[0], slice(8, 22), slice(14, 40))
    cut(frames[1], slice(9, 24), slice(15, 41))
    cut(frames[2], slice(8, 24), slice(14, 41))
    table = frames[1].tables["OBJCAT"]
    share_window(frames)
    assert {frame.window for frame in frames} == {Window(SHAPE, (8, 14))}
    assert {frame.data.shape for frame in frames} == {(16, 27)}
    for frame, original in zip(frames, originals, strict=True):
        np.testing.assert_array_equal(whole(frame).data, original.data)
        np.testing.assert_array_equal(whole(frame).mask, original.mask)
    # The table that was there may belong to another frame, too.
    assert table.columns["X_IMAGE"].tolist() == [16.0, -999.0]


def test_a_whole_frame_among_others_makes_all_whole() -> None:
    frames = [image(0), image(1)]
    cut(frames[1], slice(8, 22), slice(14, 40))
    share_window(frames)
    assert {frame.data.shape for frame in frames} == {SHAPE}
    assert frames[1].window in (None, Window(SHAPE, (0, 0)))


def test_part_of_a_master_is_that_of_the_frame() -> None:
    master, frame = image(5), image(1)
    cut(frame, slice(8, 22), slice(14, 40))
    part = as_window(master, frame.window, frame.data.shape)
    np.testing.assert_array_equal(part.data, master.data[8:22, 14:40])
    assert (master.data.shape, master.window) == (SHAPE, None)
    assert set(part.tables) == set(master.tables)
    assert as_window(master, None, SHAPE) is master


def test_files_hold_the_whole_image(tmp_path) -> None:
    frame, original = image(), image()
    cut(frame, slice(8, 22), slice(14, 40))
    back = read_frame(write_frame(frame, tmp_path / "window.fits"))
    for plane, before in zip(planes(back), planes(original), strict=True):
        np.testing.assert_array_equal(plane, before)
    with fits.open(tmp_path / "window.fits") as hdus:
        assert hdus["SCI"].header["CRPIX1"] == original.header["CRPIX1"]
