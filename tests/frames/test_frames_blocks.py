"""Headers and images written by us against those of astropy, byte by byte."""

from __future__ import annotations

import io
import math
import warnings

import numpy as np
import pytest
from astropy.io import fits

from keyhole.frames import Frame, Table
from keyhole.frames.blocks import card_text, header_block, image_data, image_header
from keyhole.frames.cards import to_astropy
from keyhole.frames.io import _blocks, _to_hdus
from keyhole.headers import Header
from keyhole.headers.header import Setting


def by_astropy(frame):
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Card is too long")
        _to_hdus(frame).writeto(file, output_verify="silentfix+ignore")
    return file.getvalue()


def frame_with(primary, extension, **planes):
    rng = np.random.default_rng(1)
    shape = (7, 11)
    return Frame(
        name="test.fits",
        primary=primary,
        header=extension,
        data=rng.normal(size=shape).astype(np.float32),
        variance=rng.random(shape).astype(np.float32),
        mask=rng.integers(0, 1 << 16, shape).astype(np.uint16),
        planes=planes,
        tables={
            "OBJCAT": Table({"X": np.arange(3.0)}, {"X": "pix"}),
            "HISTORY": Table({"args": np.array(["a", "bc"])}),
        },
    )


READ = Header(
    "".join(
        card.ljust(80)
        for card in (
            "SIMPLE  =                    T / from the telescope",
            "BITPIX  =                   16",
            "NAXIS   =                    0",
            "EXTEND  =                    T / yes",
            "OBJECT  = 'it''s a star'       / name",
            "AIRMASS =                1.234 / unitless",
            "EMPTY   = ''",
            "EXPTIME =              6.0E+01 /seconds",
            "FLAG    =                    F",
            "",
            "HISTORY made by hand",
            "COMMENT  for a test",
        )
    )
)


def changed(header):
    out = header.copy()
    for key, value in (
        ("LONGTEXT", ("words and words " * 12).strip()),
        ("NOBLANK", "x" * 150),
        ("TEXT", "plain"),
        ("BLANKS", "trailing   "),
        ("QUOTE", "it's"),
        ("NOTHING", ""),
        ("COUNT", 12345),
        ("TRUTH", True),
        ("SHARE", np.float32(0.1)),
        ("TINY", -1.2345678901234567e-123),
        ("THIRD", 1 / 3),
        ("LARGE", 1e22),
        ("CUT", ("a" * 50, "a comment that does not fit in the card any more")),
        ("AIRMASS", 1.5),
    ):
        out[key] = value
    out.add_history("and on " * 30)
    return out


def test_file_has_the_bytes_of_astropy():
    planes = {"OBJMASK": np.ones((7, 11), np.uint8), "COVERAGE": np.ones((7, 11), np.int16)}
    for primary, extension in ((READ, Header({"BUNIT": "adu"})), (changed(READ), changed(Header()))):
        frame = frame_with(primary, extension, **planes)
        blocks = _blocks(frame)
        assert blocks is not None
        assert b"".join(blocks) == by_astropy(frame)


@pytest.mark.parametrize("length", range(60, 75))
def test_long_texts_are_parted_as_by_astropy(length):
    rng = np.random.default_rng(length)
    for text in ("a" * length, "a" * (length - 1) + " " + "b" * 30, "".join(rng.choice(list("abc  "), 200)) + "e"):
        header = Header({"CAVEAT01": text})
        assert card_text("CAVEAT01", Setting(text, None)) == to_astropy(header).tostring(endcard=False, padding=False)


@pytest.mark.parametrize("value", [0.0, -0.0, 1e-5, 123456789.123456789, -1.2345678901234567e-12, 1e300, math.pi, 7.0])
def test_floats_are_written_as_by_astropy(value):
    for number in (value, np.float32(value) if abs(value) < 1e30 else value):
        header = Header({"VALUE": number})
        assert card_text("VALUE", Setting(number, None)) == to_astropy(header).tostring(endcard=False, padding=False)


@pytest.mark.parametrize("kind", ["u1", "i2", "u2", ">u2", "i4", "f4", ">f4", "f8"])
def test_planes_of_all_types_are_read_again(kind):
    plane = np.arange(700).reshape(100, 7).astype(kind)
    head = image_header(plane, Header({"EXTNAME": "PLANE"}))
    assert head is not None
    primary = header_block([("SIMPLE", True, None), ("BITPIX", 8, None), ("NAXIS", 0, None)], Header())
    with fits.open(io.BytesIO(primary + head + b"".join(image_data(plane)))) as hdus:
        np.testing.assert_array_equal(hdus["PLANE"].data, plane)


@pytest.mark.parametrize(
    "card",
    [
        "HIERARCH ESO DET = 3",
        "lower   = 3",
        "NUMBER  = 1.5D 3",
        "DOUBLE  =                    1",
        "CHECKSUM= 'abc     '",
        "NOVALUE",
        "LATIN   = 'text without end",
    ],
)
def test_unusual_cards_are_left_to_astropy(card):
    header = Header("DOUBLE  =                    2".ljust(80) + card.ljust(80))
    assert header_block([], header) is None


def test_blank_cards_at_the_end_are_left_to_astropy():
    assert header_block([], Header("COUNT   =                    2".ljust(80) + " " * 80)) is None
    assert header_block([], Header()) is None


def test_unusual_planes_are_left_to_astropy():
    assert image_header(np.zeros((2, 2), bool), Header()) is None
    assert image_header(np.zeros((2, 2, 2), np.float32), Header()) is None
    assert image_header(np.zeros((2, 2), np.complex64), Header()) is None
