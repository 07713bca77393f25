from __future__ import annotations

import bz2
import gzip
import subprocess
import sys

import pytest

from keyhole.errors import DataError, InputError
from keyhole.headers import check_complete, read_headers

GNIRS = ("INSTRUME= 'GNIRS'", "OBJECT  = 'a star'")
PRODUCT = (*GNIRS, "GEM-TLM = '2020-03-02'")


@pytest.fixture
def write(tmp_path):
    def write(content: bytes, name: str = "frame.fits"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


PACKERS = {"frame.fits": bytes, "frame.fits.gz": gzip.compress, "frame.fits.bz2": bz2.compress}


@pytest.mark.parametrize("name", PACKERS)
def test_headers_of_plain_and_packed_files(name, write, fits_bytes):
    content = fits_bytes(GNIRS, ("IMAGE", ["FRMNAME = 'S20040212S0191:0'"], 5000))
    headers = read_headers(write(PACKERS[name](content), name))
    assert headers.primary["OBJECT"] == "a star"
    assert [extension["FRMNAME"] for extension in headers.extensions] == ["S20040212S0191:0"]
    assert headers.name.endswith(name)
    assert not headers.single


@pytest.mark.parametrize("name", PACKERS)
def test_product_gives_its_science_extensions_only(name, write, fits_bytes):
    kinds = [("SCI", 1), ("VAR", 1), ("DQ", 1), ("SCI", 2), ("VAR", 2), ("OBJMASK", 2)]
    planes = [("IMAGE", [f"EXTNAME = '{kind}'", f"EXTVER  = {n}"], 3000) for kind, n in kinds]
    tables = [("BINTABLE", ["EXTNAME = 'HISTORY'"], 10), ("BINTABLE", [], 0)]
    content = fits_bytes(PRODUCT, *planes, *tables)
    headers = read_headers(write(PACKERS[name](content), name))
    assert [extension["EXTVER"] for extension in headers.extensions] == [1, 2]


def test_bytes_that_no_header_may_hold_are_read_as_question_marks_and_blanks(write, fits_bytes):
    damaged = fits_bytes((*GNIRS, "OBSERVER= 'Jos\xe9 \x7f'", "SSA     = 'a\0b'"))
    primary = read_headers(write(damaged)).primary
    assert (primary["OBSERVER"], primary["SSA"]) == ("Jos? ?", "a b")


def test_packing_is_seen_from_the_content(write, fits_bytes):
    headers = read_headers(write(gzip.compress(fits_bytes(GNIRS)), "frame.fits"))
    assert headers.primary["OBJECT"] == "a star"


def test_packed_raw_frame_is_not_unpacked_beyond_its_header(write, fits_bytes):
    content = fits_bytes(GNIRS, ("IMAGE", [], 3_000_000))
    packed = gzip.compress(content, compresslevel=0)
    headers = read_headers(write(packed[:100_000], "frame.fits.gz"))
    assert len(headers.extensions) == 1
    with pytest.raises(DataError, match="ends after"):
        check_complete(write(packed[:100_000], "frame.fits.gz"))


def test_image_in_the_primary_unit_is_the_extension(write):
    cards = ["SIMPLE  = T", "BITPIX  = -32", "NAXIS   = 2", "NAXIS1  = 10", "NAXIS2  = 7", "END"]
    content = "".join(card.ljust(80) for card in cards).encode().ljust(2880) + bytes(2880)
    headers = read_headers(write(content))
    assert len(headers.extensions) == 1
    assert headers.extensions[0]["NAXIS2"] == 7


def test_header_of_several_blocks_with_end_in_the_text(write, fits_bytes):
    many = [f"KEY{i:05d}= {i}" for i in range(100)]
    tricky = ["COMMENT   THE END     of it", "UTEND   = '04:45:51.4'", "ENDING  = 1"]
    headers = read_headers(write(fits_bytes([*many, *tricky, "LAST    = 5"], ("IMAGE", [], 10))))
    assert headers.primary["KEY00099"] == 99
    assert headers.primary["LAST"] == 5
    assert len(headers.extensions) == 1


def test_missing_file_and_folder_are_input_errors(tmp_path):
    with pytest.raises(InputError, match=r"none\.fits does not exist"):
        read_headers(tmp_path / "none.fits")
    with pytest.raises(InputError, match="cannot be read"):
        read_headers(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"just some words\n" * 500,
        b"SIMPLE",
        gzip.compress(b"words", mtime=0),
        b"BZh but not packed",
        b"\x1f\x8b\x08",
    ],
    ids=["empty", "words", "one word", "packed words", "no bzip2", "cut gzip"],
)
def test_what_is_no_fits_file_is_refused(content, write):
    with pytest.raises(DataError, match="is no FITS file"):
        read_headers(write(content))


def test_damaged_packed_file_is_a_data_error(write, fits_bytes):
    packed = bytearray(bz2.compress(fits_bytes(GNIRS)))
    packed[30] ^= 0xFF
    with pytest.raises(DataError):
        read_headers(write(bytes(packed)))


def test_file_that_ends_in_its_primary_header_is_refused(write, fits_bytes):
    content = fits_bytes([f"KEY{i:05d}= {i}" for i in range(100)])
    with pytest.raises(DataError, match="ends within a header, after 3000 bytes"):
        read_headers(write(content[:3000]))


def test_file_that_ends_in_an_extension_header_is_refused(write, fits_bytes):
    content = fits_bytes(GNIRS, ("IMAGE", [], 10))
    with pytest.raises(DataError, match="ends within a header"):
        read_headers(write(content[: 2880 + 100]))


def test_size_cards_that_are_no_numbers_are_refused(write):
    cards = ["SIMPLE  = T", "BITPIX  = 'x'", "NAXIS   = 0", "END"]
    with pytest.raises(DataError, match="BITPIX"):
        read_headers(write("".join(card.ljust(80) for card in cards).encode().ljust(2880)))


@pytest.mark.parametrize("name", PACKERS)
def test_missing_pixels_are_found_by_the_complete_check_only(name, write, fits_bytes):
    content = fits_bytes(GNIRS, ("IMAGE", [], 5000))
    path = write(PACKERS[name](content[:6000]), name)
    assert len(read_headers(path).extensions) == 1
    with pytest.raises(DataError, match=r"ends after 6000 of 10760 bytes"):
        check_complete(path)


@pytest.mark.parametrize("name", PACKERS)
def test_complete_file_passes_the_check_even_without_filling(name, write, fits_bytes):
    content = fits_bytes(PRODUCT, ("IMAGE", ["EXTNAME = 'SCI'"], 5000), ("IMAGE", ["EXTNAME = 'DQ'"], 100))
    assert len(check_complete(write(PACKERS[name](content), name)).extensions) == 1
    assert len(check_complete(write(PACKERS[name](content[:-2780]), name)).extensions) == 1
    with pytest.raises(DataError, match="ends after"):
        check_complete(write(PACKERS[name](content[:-2781]), name))


def test_records_after_the_last_unit_are_ignored(write, fits_bytes):
    content = fits_bytes(GNIRS, ("IMAGE", [], 10)) + b"\0" * 2880
    assert len(check_complete(write(content)).extensions) == 1


def test_same_units_as_astropy_finds(tmp_path):
    fits = pytest.importorskip("astropy.io.fits")
    np = pytest.importorskip("numpy")
    path = tmp_path / "frame.fits"
    columns = fits.ColDefs([fits.Column("a", "PJ()", array=[np.arange(3), np.arange(900)])])
    fits.HDUList(
        [
            fits.PrimaryHDU(),
            fits.ImageHDU(np.zeros((7, 11), np.float32), name="SCI"),
            fits.ImageHDU(np.zeros((7, 11), np.int32)),
            fits.BinTableHDU.from_columns(columns, name="TAB"),
            fits.ImageHDU(np.zeros((2, 3, 4), np.uint16), name="SCI", ver=2),
        ]
    ).writeto(path)
    shapes = [(h["NAXIS"], h["NAXIS1"]) for h in check_complete(path).extensions]
    assert shapes == [(2, 11), (2, 11), (3, 4)]


def test_reading_headers_imports_nothing_heavy():
    code = (
        "import sys, keyhole.headers\n"
        "heavy = {'numpy', 'astropy', 'erfa', 'pydantic', 'scipy', 'astrodata'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
