from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from toy_runs import raw_file

from keyhole.cli.main import main


@pytest.fixture
def product(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return raw_file(Path("N1_stack.fits"), "science", PREPARE="2026", GEM_TLM="2026")


def drawn(capsys, *words):
    code = main(["picture", *map(str, words)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def size(path):
    return struct.unpack(">II", Path(path).read_bytes()[16:24])


def test_picture_stands_beside_the_product(product, capsys):
    code, out, _ = drawn(capsys, product)
    assert code == 0
    assert out == "wrote N1_stack.png (scale bar 2 arcsec)\n"
    assert Path("N1_stack.png").read_bytes().startswith(b"\x89PNG")
    assert size("N1_stack.png") == (2 * 64 + 16, 2 * 64 + 32)


def test_zoom_and_place_may_be_chosen(product, capsys):
    assert drawn(capsys, product, "--zoom", "3", "-o", "x.png")[0] == 0
    assert size("x.png") == (3 * 64 + 16, 3 * 64 + 32)


def test_picture_of_a_packed_product_is_called_after_the_product(product, capsys):
    import gzip

    Path("a.fits.gz").write_bytes(gzip.compress(product.read_bytes()))
    assert drawn(capsys, "a.fits.gz")[1].startswith("wrote a.png")


def test_flagged_pixels_are_cut_away(product, capsys):
    mask = np.full((64, 64), 64, np.uint16)
    mask[10:20, 30:50] = 0
    with fits.open(product, mode="update") as hdus:
        hdus.append(fits.ImageHDU(mask, name="DQ"))
    drawn(capsys, product)
    assert size("N1_stack.png") == (2 * 20 + 16, 2 * 10 + 32)


def test_product_without_a_known_scale_gets_no_bar(product, capsys, monkeypatch):
    monkeypatch.setattr("keyhole.frames.Frame.describe", lambda self, name: None)
    assert drawn(capsys, product)[1] == "wrote N1_stack.png\n"


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["nowhere.fits"], 2, "nowhere.fits"),
        (["text.fits"], 3, "text.fits"),
        (["N1_stack.fits", "-o", "nowhere/x.png"], 6, "choose another place with -o"),
        (["dark.fits"], 5, "no usable pixel"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence_and_leaves_nothing(product, capsys, words, code, told):
    Path("text.fits").write_text("text")
    raw_file(Path("dark.fits"))
    with fits.open("dark.fits", mode="update") as hdus:
        hdus.append(fits.ImageHDU(np.full((64, 64), 64, np.uint16), name="DQ"))
    before = sorted(Path().iterdir())
    found, out, err = drawn(capsys, *words)
    assert (found, out) == (code, "")
    assert told in err
    assert len(err.splitlines()) == 1
    assert sorted(Path().iterdir()) == before


def test_full_disk_leaves_no_part_of_a_picture(product, capsys, monkeypatch):
    write = Path.write_bytes

    def full(self, content):
        write(self, content[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    code, _, err = drawn(capsys, product)
    assert code == 6
    assert "No space left" in err
    assert [path.name for path in Path().iterdir()] == ["N1_stack.fits"]


def test_command_without_a_subject_says_what_there_is(capsys):
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 2
    assert "usage: keyhole" in capsys.readouterr().err
