"""Images of the usual form are read without astropy, to the same bits and cards; others with it."""

from __future__ import annotations

import bz2
import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from keyhole.errors import DataError
from keyhole.frames import read_frame, reading, to_astropy

RNG = np.random.default_rng(11)
PIXELS = {
    "u1": RNG.integers(0, 255, (70, 9)).astype("u1"),
    "i2": RNG.integers(-32768, 32767, (70, 9)).astype("i2"),
    "u2": RNG.integers(0, 65535, (70, 9)).astype("u2"),
    "i4": RNG.integers(-(2**31), 2**31 - 1, (70, 9)).astype("i4"),
    "i8": RNG.integers(-(2**40), 2**40, (70, 9)),
    "f4": RNG.normal(size=(70, 9)).astype("f4"),
    "f8": RNG.normal(size=(70, 9)),
}


def raw_file(path: Path, values: np.ndarray, **cards: object) -> Path:
    primary = fits.PrimaryHDU()
    primary.header["INSTRUME"] = ("GNIRS", "Instrument")
    image = fits.ImageHDU(values)
    image.header.update(cards)
    fits.HDUList([primary, image]).writeto(path)
    return path


@pytest.mark.parametrize("kind", PIXELS)
def test_pixels_and_cards_are_those_of_astropy(tmp_path: Path, kind: str) -> None:
    path = raw_file(tmp_path / "raw.fits", PIXELS[kind], GAIN=13.5)
    quick, slow = read_frame(path), reading._by_astropy(path)
    assert quick.data.dtype == np.float32 and quick.data.flags.writeable and quick.data.dtype.isnative
    np.testing.assert_array_equal(quick.data, slow.data)
    np.testing.assert_array_equal(quick.data, PIXELS[kind].astype(np.float32))
    assert to_astropy(quick.primary).tostring() == to_astropy(slow.primary).tostring()
    left = set(quick.header) ^ set(slow.header)
    assert left <= {"BZERO", "BSCALE"} and quick.header["GAIN"] == 13.5


@pytest.mark.parametrize("ending", ["gz", "bz2"])
def test_a_packed_file_is_unpacked_once_and_gives_the_same(tmp_path: Path, ending: str) -> None:
    path = raw_file(tmp_path / "raw.fits", PIXELS["i4"])
    packed = tmp_path / f"raw.fits.{ending}"
    packed.write_bytes((gzip if ending == "gz" else bz2).compress(path.read_bytes()))
    np.testing.assert_array_equal(read_frame(packed).data, read_frame(path).data)
    packed.write_bytes(packed.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"raw\.fits.* (ends after \d+ of \d+ bytes|is empty or damaged)"):
        read_frame(packed)


def test_planes_and_tables_of_a_product(tmp_path: Path) -> None:
    columns = [fits.Column("NAME", "5A", array=["a", "bc"]), fits.Column("X", "D", unit="pix", array=[1.5, 2.5])]
    units = [
        fits.PrimaryHDU(),
        fits.ImageHDU(PIXELS["f4"], name="SCI"),
        fits.ImageHDU(PIXELS["f4"] ** 2, name="VAR"),
        fits.ImageHDU(PIXELS["u2"], name="DQ"),
        fits.ImageHDU(PIXELS["u1"], name="OBJMASK"),
        fits.BinTableHDU.from_columns(columns, name="OBJCAT"),
        fits.ImageHDU(name="NOTHING"),
    ]
    path = tmp_path / "product.fits"
    fits.HDUList(units).writeto(path)
    for frame in (read_frame(path), reading._by_astropy(path)):
        assert frame.mask is not None and frame.mask.dtype == np.uint16 and frame.mask.dtype.isnative
        np.testing.assert_array_equal(frame.mask, PIXELS["u2"])
        np.testing.assert_array_equal(frame.variance, PIXELS["f4"] ** 2)
        np.testing.assert_array_equal(frame.planes["OBJMASK"], PIXELS["u1"])
        assert list(frame.planes) == ["OBJMASK"] and list(frame.tables) == ["OBJCAT"]
        table = frame.tables["OBJCAT"]
        assert list(table.columns["NAME"]) == ["a", "bc"] and list(table.columns["X"]) == [1.5, 2.5]
        assert table.units == {"X": "pix"} and table.formats == {"NAME": "5A"}


def test_scaled_and_compressed_images_are_read_by_astropy(tmp_path: Path) -> None:
    scaled = tmp_path / "scaled.fits"
    image = fits.ImageHDU(PIXELS["i2"].astype(np.float32) * 0.5 + 7)
    image.scale("int16", bscale=0.5, bzero=7)
    fits.HDUList([fits.PrimaryHDU(), image]).writeto(scaled)
    np.testing.assert_allclose(read_frame(scaled).data, PIXELS["i2"] * 0.5 + 7)
    packed = tmp_path / "packed.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(PIXELS["i4"] // 100000, name="SCI")]).writeto(packed)
    np.testing.assert_array_equal(read_frame(packed).data, PIXELS["i4"] // 100000)


def test_an_image_in_the_primary_unit_is_the_science_image(tmp_path: Path) -> None:
    path = tmp_path / "simple.fits"
    fits.PrimaryHDU(PIXELS["f4"], fits.Header({"GAIN": 2.0})).writeto(path)
    frame = read_frame(path)
    assert frame.header["GAIN"] == frame.primary["GAIN"] == 2.0
    np.testing.assert_array_equal(frame.data, PIXELS["f4"])


@pytest.mark.parametrize("shape", [(3, 4, 5), (7,)])
def test_an_image_of_other_dimensions_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = raw_file(tmp_path / "cube.fits", np.zeros(shape, np.float32))
    with pytest.raises(DataError, match="no two-dimensional image"):
        read_frame(path)


def test_a_raw_frame_is_read_without_loading_astropy(tmp_path: Path) -> None:
    path = raw_file(tmp_path / "raw.fits", PIXELS["i4"])
    code = (
        f"import sys; from keyhole.frames import read_frame; read_frame({str(path)!r}); print('astropy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
