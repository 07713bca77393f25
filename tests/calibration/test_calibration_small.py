"""A small database is read without SQLAlchemy; everything else is left to the full store."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from dataclasses import replace
from datetime import datetime

import pytest
from known_facts import DARK, RULE, SCIENCE

from keyhole.calibration import Entry
from keyhole.calibration.database import AskedStore, CalibrationStore
from keyhole.calibration.database import small as small_module
from keyhole.calibration.database.small import read_small
from keyhole.errors import SetupError

KIND = "processed_dark"


@pytest.fixture
def filled(tmp_path):
    store = CalibrationStore(tmp_path / "masters.db")
    store.create()
    for number in range(3):
        name = f"{number}.fits"
        facts = replace(DARK, name=name)
        store.import_entries([Entry(0, name, f"/data/{name}", "0" * 32, 7, datetime(2026, 1, 1, 0, 0, 0, 5), facts)])
    return store


def test_what_is_read_is_what_sqlalchemy_reads(filled):
    assert read_small(filled.path, KIND) == filled.entries(KIND)
    assert read_small(filled.path, "processed_flat") == []


def test_a_question_about_few_masters_loads_no_sqlalchemy(filled):
    code = (
        "import sys\nfrom keyhole.calibration.database import AskedStore\n"
        f"print(AskedStore({str(filled.path)!r}).count({KIND!r}), 'sqlalchemy' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split() == ["3", "False"]


def test_each_question_sees_what_was_added_meanwhile(filled):
    asked = AskedStore(filled.address)
    assert asked.count(KIND) == 3
    facts = replace(DARK, name="new.fits")
    filled.import_entries([Entry(0, "new.fits", "/data/new.fits", "0" * 32, 7, datetime(2026, 1, 1), facts)])
    assert asked.count(KIND) == 4
    assert len(asked.ranked(RULE[KIND], SCIENCE, limit=9)) == len(filled.ranked(RULE[KIND], SCIENCE, limit=9)) == 4


def test_many_masters_are_left_to_the_full_store(filled, monkeypatch):
    monkeypatch.setattr(small_module, "_FEW", 2)
    assert read_small(filled.path, KIND) is None
    assert AskedStore(filled.address).count(KIND) == 3


def test_other_versions_foreign_and_damaged_files_are_left_to_the_full_store(filled, tmp_path):
    with sqlite3.connect(filled.path) as connection:
        connection.execute("UPDATE keyhole_schema SET version = 99")
    connection.close()
    (tmp_path / "text.db").write_text("no database at all" * 99)
    (tmp_path / "empty.db").write_bytes(b"")
    for path in (filled.path, tmp_path / "text.db", tmp_path / "empty.db", tmp_path / "lost.db"):
        assert read_small(path, KIND) is None
        with pytest.raises(SetupError):
            AskedStore(str(path)).count(KIND)


def test_a_file_that_may_only_be_read_is_left_to_the_full_store(filled, monkeypatch):
    monkeypatch.setattr(small_module.os, "access", lambda *_: False)
    assert read_small(filled.path, KIND) is None


def test_a_server_is_left_to_the_full_store():
    asked = AskedStore("postgresql://user:secret@127.0.0.1:1/none")
    assert asked.exists and "secret" not in asked.location + repr(asked)
    with pytest.raises(SetupError):
        asked.count(KIND)
