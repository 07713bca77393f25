"""Planes that stay in their files: the same numbers wherever they are looked at; one sentence if a file changes."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from raw_frames import electrons

from keyhole.errors import InputError
from keyhole.frames import Parking, Table, into_memory, read_frame, reading, stored, write_frame
from keyhole.frames.parking import by_rows
from keyhole.frames.stored import StoredPlane

RNG = np.random.default_rng(3)


@pytest.fixture
def product(tmp_path):
    frame = electrons(RNG.normal(5, 1, (30, 20)), mask=RNG.integers(0, 65536, (30, 20)).astype(np.uint16))
    frame.variance = RNG.normal(9, 1, (30, 20)).astype(np.float32)
    return write_frame(frame, tmp_path / "product.fits")


PARTS = (np.s_[:], np.s_[3:9], np.s_[::3, ::3], np.s_[4:, 2:7], np.s_[5], np.s_[2, 3], np.s_[-4:])


@pytest.mark.parametrize("most_open", [0, 512])
def test_every_part_of_a_stored_plane_is_that_of_the_array(product, monkeypatch, most_open):
    monkeypatch.setattr(stored, "_MOST_OPEN", most_open)
    left, read = read_frame(product, stored=True), read_frame(product)
    for plane, array in ((left.data, read.data), (left.variance, read.variance), (left.mask, read.mask)):
        assert isinstance(plane, StoredPlane)
        assert (plane.shape, plane.dtype, plane.nbytes) == (array.shape, array.dtype, array.nbytes)
        for part in PARTS:
            np.testing.assert_array_equal(plane[part], array[part])
            assert plane[part].dtype == array.dtype
        np.testing.assert_array_equal(np.asarray(plane), array)
        rows = by_rows(plane)
        np.testing.assert_array_equal(rows[4:8], array[4:8])
        np.testing.assert_array_equal(rows[2:20, 3:9][5:8], array[7:10, 3:9])
    into_memory(left)
    assert type(left.data) is type(left.mask) is np.ndarray
    np.testing.assert_array_equal(left.variance, read.variance)


def test_a_plane_in_its_file_is_not_written_to_disk_again(product, tmp_path):
    frame = read_frame(product, stored=True)
    data = frame.data
    with Parking(tmp_path, 0) as parking:
        parking.park(frame)
    assert frame.data is data


def test_other_numbers_than_those_of_products_are_read(tmp_path):
    frame = electrons(np.zeros((4, 5)))
    frame.mask = None
    path = write_frame(frame, tmp_path / "plain.fits")
    packed = tmp_path / "packed.fits.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert isinstance(read_frame(path, stored=True).data, StoredPlane)
    assert isinstance(read_frame(packed, stored=True).data, np.ndarray)


def test_a_file_that_is_replaced_meanwhile_is_refused(product):
    frame = read_frame(product, stored=True)
    product.write_bytes(product.read_bytes()[:-2880])
    with pytest.raises(InputError, match=r"product.fits: the file was changed or removed"):
        frame.data[2:4]
    product.unlink()
    with pytest.raises(InputError, match="run again"):
        frame.mask[:]


def test_a_file_that_is_cut_while_it_is_open_is_refused(product):
    frame = read_frame(product, stored=True)
    frame.data[:1]
    with product.open("r+b") as file:
        file.truncate(6000)
    with pytest.raises(InputError, match="changed or removed"):
        frame.mask[:]


def test_tables_of_text_and_numbers_are_read_as_astropy_reads_them(product, monkeypatch):
    frame = read_frame(product)
    frame.tables["MIXED"] = Table(
        {
            "NAME": np.array(["a", "long name ", ""]),
            "F": np.array([1.5, -2, np.nan], np.float32),
            "D": np.array([1e300, 0, 1]),
            "I": np.array([-3, 2, 1], np.int16),
            "J": np.array([-3, 2, 1], np.int32),
            "K": np.array([-3, 2**40, 1]),
            "B": np.array([0, 255, 1], np.uint8),
        },
        {"F": "pix"},
        {"NAME": "A20"},
    )
    frame.tables["TRUTH"] = Table({"L": np.array([True, False]), "PAIR": np.zeros((2, 2), np.float32)})
    write_frame(frame, product)
    plain = read_frame(product)
    monkeypatch.setattr(reading, "plain_table", lambda cards, data: None)
    usual = read_frame(product)
    assert list(plain.tables) == list(usual.tables) == ["MIXED", "TRUTH"]
    for name, table in usual.tables.items():
        other = plain.tables[name]
        assert (other.units, other.formats) == (table.units, table.formats)
        for column, values in table.columns.items():
            np.testing.assert_array_equal(other.columns[column], values)
            assert other.columns[column].dtype.kind == values.dtype.kind
            assert other.columns[column].dtype.isnative
