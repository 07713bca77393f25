from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest

from keyhole.errors import AlgorithmError
from keyhole.imaging.preview import COLOURS, make_preview, png_indexed


def chunks(png):
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    at, found = 8, []
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        content = png[at + 8 : at + 8 + length]
        assert struct.unpack(">I", png[at + 8 + length : at + 12 + length])[0] == zlib.crc32(kind + content)
        found.append((kind, content))
        at += 12 + length
    return found


def indices(png):
    told = dict(chunks(png))
    width, height, depth, kind, *_ = struct.unpack(">IIBBBBB", told[b"IHDR"])
    assert (depth, kind) == (8, 3)
    rows = np.frombuffer(zlib.decompress(told[b"IDAT"]), np.uint8).reshape(height, 1 + width)
    assert not rows[:, 0].any()
    return rows[:, 1:]


@pytest.fixture
def scene():
    data = np.random.default_rng(3).normal(50, 2, (40, 60)).astype(np.float32)
    data[10, 30] = 5000
    return data, np.ones(data.shape, bool)


def test_indexed_png_gives_every_number_back_and_0_is_transparent():
    index = np.random.default_rng(1).integers(0, 256, (7, 5)).astype(np.uint8)
    png = png_indexed(index)
    np.testing.assert_array_equal(indices(png), index)
    told = dict(chunks(png))
    assert told[b"tRNS"] == b"\x00"
    palette = np.frombuffer(told[b"PLTE"], np.uint8).reshape(256, 3)
    np.testing.assert_array_equal(palette[[1, 255]], COLOURS[[0, -1]])


def test_brighter_is_never_darker_in_any_grey():
    palette = np.frombuffer(dict(chunks(png_indexed(np.zeros((1, 1), np.uint8))))[b"PLTE"], np.uint8).reshape(256, 3)
    assert (np.diff(palette[1:].astype(float) @ (0.2126, 0.7152, 0.0722)) >= -0.5).all()


def test_first_row_is_the_top_and_the_star_is_white(scene):
    shown = indices(make_preview(*scene).png)[::-1]
    assert np.unravel_index(shown.argmax(), shown.shape) == (10, 30)
    assert shown.max() == 255 and shown.min() >= 1


def test_numbers_tell_how_the_picture_is_to_be_read(scene):
    found = make_preview(*scene)
    assert found.sky == pytest.approx(50, abs=0.2) and found.sigma == pytest.approx(2, rel=0.1)
    assert found.low == pytest.approx(found.sky - 2.5 * found.sigma)
    assert found.high > found.sky + 12 * found.sigma * 0.99
    linear = make_preview(*scene, linear=4)
    assert (linear.low, linear.high) == pytest.approx((linear.sky - 4 * linear.sigma, linear.sky + 4 * linear.sigma))


def test_box_begins_at_the_first_usable_pixel_and_the_rest_is_transparent(scene):
    data, usable = scene
    usable[:5] = usable[:, :7] = False
    usable[20, 20] = False
    data[20, 20] = np.nan
    found = make_preview(data, usable)
    assert (found.x0, found.y0, found.width, found.height) == (7, 5, 53, 35)
    shown = indices(found.png)[::-1]
    assert shown[15, 13] == 0 and (shown == 0).sum() == 1


def test_large_image_is_averaged_in_squares():
    data = np.zeros((200, 400), np.float32)
    data[100:110, 200:210] = 100
    data += np.random.default_rng(1).normal(0, 1, data.shape)
    found = make_preview(data, np.ones(data.shape, bool), most_pixels=200 * 400 // 16)
    assert (found.binning, found.width, found.height) == (4, 100, 50)
    assert found.sigma == pytest.approx(0.25, rel=0.1)
    shown = indices(found.png)[::-1]
    assert np.unravel_index(shown.argmax(), shown.shape) in {(25, 50), (25, 51), (26, 50), (26, 51)}


def test_image_is_not_changed_and_one_without_usable_pixel_is_refused(scene):
    data, usable = scene
    before = data.copy()
    make_preview(data, usable)
    np.testing.assert_array_equal(data, before)
    with pytest.raises(AlgorithmError, match="no usable pixel"):
        make_preview(data, np.zeros(data.shape, bool))
