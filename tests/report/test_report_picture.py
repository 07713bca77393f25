from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest

from keyhole.errors import AlgorithmError
from keyhole.report import picture_of, png_bytes

MARGIN = 8
UNLIT = (226, 228, 232)
BAR = (40, 40, 40)


@pytest.fixture
def scene():
    """Noise of 1 about a level of 50, with a bright star at (x, y) = (30, 10)."""
    data = np.random.default_rng(3).normal(50, 1, (40, 60)).astype(np.float32)
    data[10, 30] += 5000
    return data, np.ones(data.shape, bool)


def inner(picture, zoom=1):
    """The picture without its frame, first row at the bottom, one pixel per image pixel."""
    return picture.rgb[MARGIN : -3 * MARGIN, MARGIN:-MARGIN][::-1][::zoom, ::zoom]


def lightness(rgb):
    return rgb.astype(float) @ (0.2126, 0.7152, 0.0722)


def decoded(png):
    """Plain decoder for 8-bit RGB without filters."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    at, body, kinds = 8, b"", []
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        content = png[at + 8 : at + 8 + length]
        (check,) = struct.unpack(">I", png[at + 8 + length : at + 12 + length])
        assert check == zlib.crc32(kind + content)
        kinds.append(kind)
        if kind == b"IHDR":
            width, height, *form = struct.unpack(">IIBBBBB", content)
        if kind == b"IDAT":
            body += content
        at += 12 + length
    assert kinds == [b"IHDR", b"IDAT", b"IEND"]
    assert form == [8, 2, 0, 0, 0]
    rows = np.frombuffer(zlib.decompress(body), np.uint8).reshape(height, 1 + 3 * width)
    assert not rows[:, 0].any()
    return rows[:, 1:].reshape(height, width, 3)


def test_png_gives_every_pixel_back():
    rgb = np.random.default_rng(1).integers(0, 256, (7, 5, 3)).astype(np.uint8)
    np.testing.assert_array_equal(decoded(png_bytes(rgb)), rgb)
    single = np.array([[[1, 2, 3]]], np.uint8)
    np.testing.assert_array_equal(decoded(png_bytes(single)), single)


def test_star_is_the_brightest_pixel_and_stands_where_it_is_in_the_image(scene):
    bright = lightness(inner(picture_of(*scene, pixel_scale=0.15, zoom=1)))
    assert np.unravel_index(bright.argmax(), bright.shape) == (10, 30)


def test_brighter_pixels_are_never_darker_in_the_picture():
    data = np.linspace(-3, 100, 400, dtype=np.float32).reshape(20, 20)
    bright = lightness(inner(picture_of(data, np.ones(data.shape, bool), pixel_scale=0.15, zoom=1)))
    assert (np.diff(bright.ravel()) >= -1).all()


def test_level_of_the_sky_has_no_part_in_the_picture(scene):
    data, usable = scene
    one = picture_of(data, usable, pixel_scale=0.15)
    two = picture_of((data - 50) * 3, usable, pixel_scale=0.15)
    assert np.abs(one.rgb.astype(int) - two.rgb).max() <= 1


@pytest.mark.parametrize("zoom", [1, 2, 5])
def test_each_pixel_becomes_a_square(scene, zoom):
    picture = picture_of(*scene, pixel_scale=0.15, zoom=zoom)
    assert picture.rgb.shape == (40 * zoom + 4 * MARGIN, 60 * zoom + 2 * MARGIN, 3)
    np.testing.assert_array_equal(inner(picture, zoom), inner(picture_of(*scene, pixel_scale=0.15, zoom=1)))


def test_only_the_box_of_usable_pixels_is_drawn_and_the_rest_is_grey(scene):
    data, usable = scene
    usable[:5] = usable[:, 50:] = False
    usable[20, 20] = False
    shown = inner(picture_of(data, usable, pixel_scale=0.15, zoom=1))
    assert shown.shape == (35, 50, 3)
    assert tuple(shown[15, 20]) == UNLIT
    assert (shown == UNLIT).all(axis=-1).sum() == 1


def test_values_of_unusable_pixels_have_no_part_in_the_picture(scene):
    data, usable = scene
    usable[20:25, 20:25] = False
    spoilt = data.copy()
    spoilt[20:25, 20:25] = [np.nan, np.inf, -np.inf, 1e30, -1e30]
    before = spoilt.copy()
    one = picture_of(data, usable, pixel_scale=0.15)
    two = picture_of(spoilt, usable, pixel_scale=0.15)
    np.testing.assert_array_equal(one.rgb, two.rgb)
    np.testing.assert_array_equal(spoilt, before)


def test_flat_image_and_single_pixel_can_be_drawn():
    flat = np.full((6, 7), 3, np.float32)
    colours = np.unique(
        inner(picture_of(flat, np.ones(flat.shape, bool), pixel_scale=0.15, zoom=1)).reshape(-1, 3), axis=0
    )
    assert len(colours) == 1
    only = np.zeros((6, 7), bool)
    only[2, 3] = True
    assert picture_of(flat, only, pixel_scale=0.15, zoom=1).rgb.shape == (1 + 4 * MARGIN, 1 + 2 * MARGIN, 3)


def test_image_without_usable_pixel_is_refused():
    with pytest.raises(AlgorithmError, match="no usable pixel"):
        picture_of(np.zeros((4, 4), np.float32), np.zeros((4, 4), bool), pixel_scale=0.15)


@pytest.mark.parametrize(
    ("width", "scale", "length"),
    [(400, 0.1, 10.0), (399, 0.1, 5.0), (80, 0.1, 2.0), (400, 0.01, 1.0), (3000, 1.0, 500.0), (4, 0.1, 0.1)],
)
def test_scale_bar_is_the_longest_round_length_up_to_a_quarter_of_the_width(width, scale, length):
    data = np.random.default_rng(1).normal(0, 1, (4, width)).astype(np.float32)
    picture = picture_of(data, np.ones(data.shape, bool), pixel_scale=scale, zoom=2)
    assert picture.bar_arcsec == pytest.approx(length)
    bar = (picture.rgb[-2 * MARGIN] == BAR).all(axis=-1)
    assert bar.sum() == round(2 * length / scale)


def test_no_bar_is_drawn_if_the_scale_is_not_known(scene):
    picture = picture_of(*scene, pixel_scale=None)
    assert picture.bar_arcsec is None
    assert not (picture.rgb[-3 * MARGIN :] == BAR).all(axis=-1).any()
