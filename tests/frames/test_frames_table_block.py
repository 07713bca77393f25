"""Tables written by us against those of astropy, byte by byte."""

from __future__ import annotations

import io

import numpy as np
import pytest
from astropy.io import fits

from keyhole.frames import Table
from keyhole.frames.io import _table_block, _table_hdu
from keyhole.frames.tables import plain_table


def by_astropy(name, table):
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), _table_hdu(name, table)]).writeto(file, output_verify="silentfix+ignore")
    return file.getvalue()[2880:]


def numbers(rows):
    types = ("u1", "i1", "i2", "u2", "i4", "u4", "i8", "f2", "f4", "f8", ">f4", ">i4")
    columns = {f"COLUMN_{k}": np.arange(rows).astype(kind) for k, kind in enumerate(types)}
    return Table(columns, {"COLUMN_1": "pix", "COLUMN_8": "electron / s"})


@pytest.mark.parametrize("rows", [0, 1, 7, 500])
@pytest.mark.parametrize("name", ["OBJCAT", "notes"])
def test_numbers_have_the_bytes_of_astropy(name, rows):
    assert _table_block(name, numbers(rows)) == by_astropy(name, numbers(rows))


@pytest.mark.parametrize("form", [None, "28A", "A128", "3A", "A"])
@pytest.mark.parametrize("name", ["filename", "args"])
def test_texts_have_the_bytes_of_astropy(name, form):
    texts = np.array(["", "N20120117S0014.fits", "it's a 'quoted' word"])
    for values in (texts, texts.astype("S"), texts.astype(object), texts[:0]):
        table = Table({name: values, "SHARE": np.ones(len(values), np.float32)}, {}, {name: form} if form else {})
        assert _table_block("HISTORY", table) == by_astropy("HISTORY", table)


def test_what_is_written_is_read_again():
    table = Table({"NAME": np.array(["a", "bcd"]), "N": np.array([3, 4], np.int32)}, {"N": "pix"}, {"NAME": "9A"})
    block = _table_block("SKYUSED", table)
    header = fits.Header.fromstring(block[:2880].decode())
    again = plain_table(dict(header), block[2880:])
    assert again.columns["NAME"].tolist() == ["a", "bcd"]
    assert again.columns["N"].tolist() == [3, 4]
    assert again.units == {"N": "pix"}


@pytest.mark.parametrize(
    "values",
    [
        np.array([True, False]),
        np.zeros((2, 3)),
        np.array([1j, 2j]),
        np.array(["\u00e4", "b"]),
        np.array([1, "a"], object),
    ],
)
def test_other_tables_are_left_to_astropy(values):
    assert _table_block("OTHER", Table({"VALUE": values})) is None


def test_names_that_do_not_fit_a_plain_card_are_left_to_astropy():
    assert _table_block("OTHER", Table({"it's": np.ones(2)})) is None
    assert _table_block("OTHER", Table({"long" * 20: np.ones(2)})) is None
    assert _table_block("OTHER", Table({})) is None
