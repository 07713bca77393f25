"""Pixels and MD5 sum of a file in one reading."""

from __future__ import annotations

import bz2
import hashlib
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from keyhole.errors import DataError
from keyhole.frames import file_md5, read_frame, read_frame_and_checksum
from keyhole.frames.checked import CheckedFile


@pytest.fixture
def numbers(tmp_path: Path) -> tuple[Path, np.ndarray]:
    """A file of 300,000 numbers behind 100 bytes, and before 70 more."""
    rng = np.random.default_rng(4)
    values = rng.normal(size=300_000).astype(">f4")
    path = tmp_path / "numbers"
    path.write_bytes(rng.bytes(100) + values.tobytes() + rng.bytes(70))
    return path, values


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def test_the_sum_is_that_of_the_whole_file_wherever_the_numbers_lie(numbers):
    path, values = numbers
    room = np.empty((300, 1000), np.float32)
    with CheckedFile(path, summed=True) as file:
        file.fill(100, room)
        assert file.checksum() == _md5(path)
    np.testing.assert_array_equal(room.ravel(), values)


def test_the_sum_needs_no_numbers_to_be_taken(numbers):
    path, _ = numbers
    with CheckedFile(path, summed=True) as file:
        assert file.checksum() == _md5(path) == file_md5(path)


def test_numbers_can_be_taken_in_any_order(numbers):
    path, values = numbers
    late, early = np.empty(1000, np.float32), np.empty(10, np.float32)
    with CheckedFile(path, summed=True) as file:
        file.fill(100 + 4 * 200_000, late)
        file.fill(100, early)
        np.testing.assert_array_equal(late, values[200_000:201_000])
        np.testing.assert_array_equal(early, values[:10])
        assert file.checksum() == _md5(path)


@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "i8", "f4", "f8"])
def test_numbers_of_every_width_come_in_the_order_of_this_machine(tmp_path, dtype):
    values = np.arange(-500, 200_000).astype(dtype)
    path = tmp_path / "numbers"
    path.write_bytes(values.astype(np.dtype(dtype).newbyteorder(">")).tobytes())
    room = np.empty(values.shape, dtype)
    with CheckedFile(path) as file:
        file.fill(0, room)
    np.testing.assert_array_equal(room, values)


def test_a_file_that_ends_too_early_is_told(numbers):
    path, _ = numbers
    with CheckedFile(path) as file, pytest.raises(EOFError, match="too early"):
        file.fill(100, np.empty(400_000, np.float32))


def test_a_frame_and_the_sum_of_its_file(tmp_path):
    data = np.random.default_rng(1).normal(size=(300, 200)).astype(np.float32)
    planes = [fits.ImageHDU(data, name="SCI"), fits.ImageHDU(data**2, name="VAR")]
    planes.append(fits.ImageHDU(np.ones((300, 200), np.uint16), name="DQ"))
    path = tmp_path / "frame.fits"
    fits.HDUList([fits.PrimaryHDU(), *planes]).writeto(path)
    frame, checksum = read_frame_and_checksum(path)
    assert checksum == _md5(path)
    np.testing.assert_array_equal(frame.data, data)
    np.testing.assert_array_equal(frame.variance, data**2)
    assert (frame.mask == 1).all()


@pytest.mark.parametrize("form", ["packed", "scaled"])
def test_the_sum_of_a_file_of_another_form_is_that_of_its_bytes_on_disk(tmp_path, form):
    data = np.arange(60_000, dtype=np.float32).reshape(300, 200) % 1000
    path = tmp_path / "frame.fits"
    science = fits.ImageHDU(data.copy(), name="SCI")
    if form == "scaled":
        science.scale("int16", bscale=0.5, bzero=10)
    fits.HDUList([fits.PrimaryHDU(), science]).writeto(path)
    if form == "packed":
        packed = tmp_path / "frame.fits.bz2"
        packed.write_bytes(bz2.compress(path.read_bytes()))
        path = packed
    frame, checksum = read_frame_and_checksum(path)
    assert checksum == _md5(path)
    np.testing.assert_array_equal(frame.data, read_frame(path).data)
    np.testing.assert_allclose(frame.data, data, atol=0.5)


def test_a_file_that_is_cut_while_it_is_read_is_damaged(tmp_path, monkeypatch):
    path = tmp_path / "frame.fits"
    data = np.zeros((300, 200), np.float32)
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(data, name="SCI")]).writeto(path)
    opened = CheckedFile.__init__

    def cut(self, path, **how):
        opened(self, path, **how)
        with path.open("r+b") as file:
            file.truncate(10_000)

    monkeypatch.setattr(CheckedFile, "__init__", cut)
    with pytest.raises(DataError, match=r"frame\.fits.*ends too early"):
        read_frame(path)
