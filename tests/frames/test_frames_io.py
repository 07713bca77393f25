"""Frames go to disk and come back; half a file never stands under a product's name."""

from __future__ import annotations

import bz2
import errno
import gzip
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from keyhole.errors import DataError, InputError, SetupError
from keyhole.frames import (
    Frame,
    Table,
    add_history,
    add_provenance,
    merge_provenance,
    read_frame,
    write_frame,
)
from keyhole.frames import io as frames_io


def small_frame(name: str = "N20120117S0014_stack.fits") -> Frame:
    rng = np.random.default_rng(7)
    primary, header = fits.Header(), fits.Header()
    primary["INSTRUME"], primary["OBSERVAT"] = "GNIRS", "Gemini-North"
    primary["ORIGNAME"] = "N20120117S0014.fits"
    header["BUNIT"], header["GAIN"] = "electron", 1.0
    header["CRVAL1"], header["CRVAL2"] = 16.2, 33.9
    frame = Frame(
        name=name,
        primary=primary,
        header=header,
        data=rng.normal(size=(6, 9)).astype(np.float32),
        variance=rng.uniform(1, 2, size=(6, 9)).astype(np.float32),
        mask=rng.integers(0, 65535, size=(6, 9)).astype(np.uint16),
        planes={"OBJMASK": rng.integers(0, 2, size=(6, 9)).astype(np.uint8)},
    )
    columns = {
        "NUMBER": np.arange(3),
        "X_IMAGE": np.array([1.5, 2.5, 3.5]),
        "FLUX_AUTO": np.ones(3, np.float32),
    }
    frame.tables["OBJCAT"] = Table(columns, {"X_IMAGE": "pix"})
    add_history(frame, "prepare", '{"suffix": "_prepared"}', "2026-01-01T00:00:00", "2026-01-01T00:00:01")
    add_provenance(frame, "2026-01-01T00:00:00", "N20120117S0014.fits", "0" * 32, "prepare")
    return frame


def test_what_is_written_comes_back_unchanged(tmp_path: Path) -> None:
    frame = small_frame()
    back = read_frame(write_frame(frame, tmp_path / frame.name))
    assert np.array_equal(back.data, frame.data)
    assert np.array_equal(back.variance, frame.variance)
    assert np.array_equal(back.mask, frame.mask)
    assert np.array_equal(back.planes["OBJMASK"], frame.planes["OBJMASK"])
    assert (back.data.dtype, back.mask.dtype) == (np.float32, np.uint16)
    assert back.data.dtype.isnative and back.mask.dtype.isnative
    for name, table in frame.tables.items():
        for column, values in table.columns.items():
            assert np.array_equal(back.tables[name].columns[column], values), (name, column)
    assert back.tables["OBJCAT"].units["X_IMAGE"] == "pix"
    assert back.primary["ORIGNAME"] == "N20120117S0014.fits"


def test_file_has_the_published_layout(tmp_path: Path) -> None:
    write_frame(small_frame(), tmp_path / "a.fits")
    with fits.open(tmp_path / "a.fits") as hdus:
        names = [hdu.name for hdu in hdus]
        assert names == ["PRIMARY", "SCI", "VAR", "DQ", "OBJMASK", "OBJCAT", "HISTORY", "PROVENANCE"]
        assert [hdus[n].header["BITPIX"] for n in ("SCI", "VAR", "DQ", "OBJMASK")] == [-32, -32, 16, 8]
        assert hdus["DQ"].header["BZERO"] == 32768
        assert hdus[0].header["NEXTEND"] == 7
        assert all(hdus[n].header["EXTVER"] == 1 for n in ("SCI", "VAR", "DQ", "OBJMASK", "OBJCAT"))
        assert hdus["VAR"].header["CRVAL1"] == 16.2
        assert "GAIN" not in hdus["DQ"].header
        assert hdus["HISTORY"].columns["primitive"].format == "128A"
        assert hdus["PROVENANCE"].columns["timestamp"].format == "28A"
        hdus.verify("exception")


def test_product_opens_in_astrodata_and_converts_both_ways(tmp_path: Path) -> None:
    import astrodata

    import gemini_instruments  # noqa: F401

    frame = small_frame()
    ad = astrodata.open(write_frame(frame, tmp_path / frame.name))
    assert np.array_equal(ad[0].data, frame.data)
    assert np.array_equal(ad[0].variance, frame.variance)
    assert np.array_equal(ad[0].mask, frame.mask)
    assert len(ad[0].OBJCAT) == 3 and len(ad.HISTORY) == 1
    back = Frame.from_astrodata(frame.to_astrodata())
    assert np.array_equal(back.data, frame.data) and np.array_equal(back.mask, frame.mask)
    assert set(back.tables) == set(frame.tables)
    assert np.array_equal(back.planes["OBJMASK"], frame.planes["OBJMASK"])


def raw_file(path: Path, bitpix: type = np.float32) -> np.ndarray:
    data = np.arange(20, dtype=bitpix).reshape(4, 5)
    primary = fits.PrimaryHDU()
    primary.header["INSTRUME"] = "GNIRS"
    fits.HDUList([primary, fits.ImageHDU(data)]).writeto(path)
    return data


@pytest.mark.parametrize("ending", [".gz", ".bz2"])
def test_compressed_raw_frames_are_read_as_they_are(tmp_path: Path, ending: str) -> None:
    data = raw_file(tmp_path / "a.fits")
    packed = (gzip if ending == ".gz" else bz2).compress((tmp_path / "a.fits").read_bytes())
    (tmp_path / f"a.fits{ending}").write_bytes(packed)
    frame = read_frame(tmp_path / f"a.fits{ending}")
    assert np.array_equal(frame.data, data)
    assert frame.root == "a"


def test_integer_frames_become_float32(tmp_path: Path) -> None:
    data = raw_file(tmp_path / "a.fits", np.int32)
    frame = read_frame(tmp_path / "a.fits")
    assert frame.data.dtype == np.float32 and np.array_equal(frame.data, data)


def test_bad_files_are_named_in_one_sentence(tmp_path: Path) -> None:
    raw_file(tmp_path / "whole.fits")
    (tmp_path / "cut.fits").write_bytes((tmp_path / "whole.fits").read_bytes()[:-2880])
    (tmp_path / "text.fits").write_text("no FITS at all\n" * 300)
    (tmp_path / "empty.fits").write_bytes(b"")
    for name in ("cut.fits", "text.fits", "empty.fits"):
        with pytest.raises(DataError, match=name):
            read_frame(tmp_path / name)
    with pytest.raises(InputError, match="lost"):
        read_frame(tmp_path / "lost.fits")


def test_not_finite_pixels_are_never_written(tmp_path: Path) -> None:
    frame = small_frame()
    frame.data = frame.data.copy()
    frame.data[2, 3] = np.nan
    with pytest.raises(DataError, match="not finite"):
        write_frame(frame, tmp_path / "a.fits")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "disk"),
        (PermissionError(errno.EACCES, "Permission denied"), "cannot be written"),
    ],
)
def test_failed_write_leaves_the_old_product(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: OSError, words: str
) -> None:
    target = write_frame(small_frame(), tmp_path / "a.fits")
    before = target.read_bytes()

    def failing(_: Frame) -> Iterator[bytes]:
        yield b"half"
        raise failure

    monkeypatch.setattr(frames_io, "_blocks", failing)
    with pytest.raises(SetupError, match=words):
        write_frame(small_frame(), target)
    assert target.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.fits"]


def test_interrupted_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: Frame) -> Iterator[bytes]:
        yield b"half"
        raise KeyboardInterrupt

    monkeypatch.setattr(frames_io, "_blocks", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_frame(small_frame(), tmp_path / "a.fits")
    assert not list(tmp_path.iterdir())


def test_provenance_of_a_combination_is_the_union_without_repeats() -> None:
    first, second, target = small_frame(), small_frame(), small_frame()
    add_provenance(second, "2026-01-01T00:00:00", "dark.fits", "1" * 32, "darkCorrect")
    merge_provenance(target, [first, second])
    assert list(target.tables["PROVENANCE"].columns["filename"]) == ["N20120117S0014.fits", "dark.fits"]


def test_a_frame_crosses_processes_and_copies_leave_it_alone() -> None:
    frame = small_frame()
    again = pickle.loads(pickle.dumps(frame))
    assert np.array_equal(again.data, frame.data) and again.primary["INSTRUME"] == "GNIRS"
    twin = frame.copy()
    twin.primary["OBJECT"] = "changed"
    twin.tables["OBJCAT"].columns["NEW"] = np.zeros(3)
    assert "OBJECT" not in frame.primary and "NEW" not in frame.tables["OBJCAT"].columns


def test_table_columns_of_every_numeric_type_are_written(tmp_path: Path) -> None:
    columns = {kind: np.arange(3).astype(kind) for kind in ("bool", "i1", "u1", "u2", "u4", "f2", "c8", "c16")}
    columns["u4"][2] = 2**32 - 1
    columns["i1"][0] = -128
    columns |= {"vector": np.arange(6.0, dtype="f4").reshape(3, 2), "cube": np.arange(18).reshape(3, 2, 3)}
    frame = small_frame()
    frame.tables["EXTRA"] = Table(columns)
    back = read_frame(write_frame(frame, tmp_path / "a.fits")).tables["EXTRA"].columns
    for name, values in columns.items():
        np.testing.assert_array_equal(back[name], values)
    assert (back["u2"].dtype, back["u4"].dtype, back["i1"].dtype) == (np.int32, np.int64, np.int16)


@pytest.mark.parametrize("values", [np.array([None, 1]), np.array([["a"], ["b"]]), np.zeros(2, "u8")])
def test_column_that_cannot_be_written_is_named(tmp_path: Path, values: np.ndarray) -> None:
    frame = small_frame()
    frame.tables["EXTRA"] = Table({"odd": values})
    with pytest.raises(DataError, match="table EXTRA: column odd"):
        write_frame(frame, tmp_path / "a.fits")
    assert not list(tmp_path.iterdir())


def test_tables_are_those_of_astropy_and_astropy_table_is_not_loaded_for_them(tmp_path: Path) -> None:
    code = (
        "import sys, numpy as np\n"
        "from keyhole.frames import Frame, Table, write_frame, read_frame\n"
        "from astropy.io import fits\n"
        "values = {'text': np.array(['a', 'bcd']), 'flag': np.array([True, False]), 'cube': np.ones((2, 3, 2))}\n"
        "frame = Frame('a.fits', fits.Header(), fits.Header(), np.zeros((3, 4), np.float32))\n"
        "frame.tables['EXTRA'] = Table(values, {'flag': 's'})\n"
        "read_frame(write_frame(frame, sys.argv[1]))\n"
        "assert 'astropy.table' not in sys.modules\n"
        "columns = [fits.Column('text', 'A4', array=values['text']), fits.Column('flag', 'L', unit='s', "
        "array=values['flag']), fits.Column('cube', '6D', dim='(2,3)', array=values['cube'])]\n"
        "fits.BinTableHDU.from_columns(columns, name='EXTRA').writeto(sys.argv[2])"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "a.fits", tmp_path / "b.fits"], check=True)
    ours, theirs = (Path(tmp_path / name).read_bytes() for name in ("a.fits", "b.fits"))
    assert ours[ours.index(b"XTENSION= 'BINTABLE'") :] == theirs[theirs.index(b"XTENSION= 'BINTABLE'") :]


def test_two_threads_write_one_name_under_two_temporary_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def noting(_: Frame, path: Path) -> None:
        seen.append(path.name)
        path.write_bytes(b"whole")

    monkeypatch.setattr(frames_io, "_write", noting)
    write_frame(small_frame(), tmp_path / "a.fits")
    thread = threading.Thread(target=write_frame, args=(small_frame(), tmp_path / "a.fits"))
    thread.start()
    thread.join()
    assert len(set(seen)) == 2


def test_answers_of_a_frame_follow_its_headers() -> None:
    frame = small_frame()
    frame.primary["OBSTYPE"] = "DARK"
    assert "DARK" in frame.tags
    frame.primary["OBSTYPE"] = "OBJECT"
    assert "DARK" not in frame.tags
    frame.header["GAIN"] = 2.5
    frame.primary["PREPARE"] = "2026-01-01T00:00:00"
    assert frame.describe("gain") == 2.5
    frame.header["GAIN"] = 1.0
    assert frame.describe("gain") == 1.0
