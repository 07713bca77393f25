from __future__ import annotations

import numpy as np
import pytest
from astropy.table import Table

from keyhole.errors import DataError, InputError
from keyhole.simulate.tables import Column, read_ecsv, write_ecsv

COLUMNS = [
    Column("id", "", "number", [1, 2]),
    Column("ra", "deg", "right: ascension", [16.24142, 1e-7]),
    Column("good", "", "flag", [True, False]),
    Column("name", "", "text", ["a b", "c"]),
]


def test_tables_come_back_as_they_were(tmp_path):
    write_ecsv(tmp_path / "t.ecsv", COLUMNS, {"seed": 3, "camera": "ShortBlue_G5538"})
    table = read_ecsv(tmp_path / "t.ecsv")
    assert table.meta == {"seed": 3, "camera": "ShortBlue_G5538"}
    assert table.columns["ra"].tolist() == [16.24142, 1e-7]
    assert table.columns["good"].tolist() == [True, False]
    assert table.columns["name"].tolist() == ["a b", "c"]


def test_astropy_reads_the_same(tmp_path):
    write_ecsv(tmp_path / "t.ecsv", COLUMNS, {"seed": 3})
    table = Table.read(tmp_path / "t.ecsv")
    assert table.meta["seed"] == 3 and str(table["ra"].unit) == "deg"
    assert table["good"].dtype == bool and table["id"].dtype == np.int64


def test_what_astropy_writes_is_read(tmp_path):
    Table({"id": [1, 2], "mag": [13.2, 14.0]}).write(tmp_path / "t.ecsv", delimiter=",")
    assert read_ecsv(tmp_path / "t.ecsv").columns["mag"].tolist() == [13.2, 14.0]


def test_an_empty_table_is_a_table(tmp_path):
    write_ecsv(tmp_path / "t.ecsv", [Column("id", "", "number", [])], {})
    assert len(read_ecsv(tmp_path / "t.ecsv").columns["id"]) == 0


def test_other_files_are_refused_in_one_sentence(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_ecsv(tmp_path / "missing.ecsv")
    (tmp_path / "text").write_text("id ra\n1 2\n")
    with pytest.raises(DataError, match="not an ECSV table"):
        read_ecsv(tmp_path / "text")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00" * 10)
    with pytest.raises(DataError, match="cannot be read"):
        read_ecsv(tmp_path / "binary")
    (tmp_path / "ragged").write_text("# %ECSV 1.0\nid ra\n1\n")
    with pytest.raises(DataError, match="rows that do not fit"):
        read_ecsv(tmp_path / "ragged")
