from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_frames import DARK, FLAT, MASTER_DARK, MASTER_FLAT, SCIENCE, write_frame

from keyhole.cli import caldb

WIDTH = 80


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    """Run ``caldb`` in a folder with one science frame; returns exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    write_frame(Path("science.fits"), SCIENCE)

    def call(*words):
        code = caldb.main(list(words))
        streams = capsys.readouterr()
        return code, streams.out, streams.err

    call("init")
    return call


def add(run, name, cards, **changes):
    write_frame(Path(name), cards, **changes)
    assert run("add", name)[0] == 0


def test_what_is_taken_is_told_with_grade_and_reason(run):
    add(run, "x_dark.fits", MASTER_DARK, COADDS=2)
    code, out, _ = run("why", "science.fits", "dark")
    assert code == 0
    assert "=> x_dark.fits is taken, grade 1 (good): 14.5 days before the frame" in out
    row = next(line for line in out.splitlines() if line.startswith("x_dark.fits"))
    assert row.split() == ["x_dark.fits", "1", *(["✓"] * 7)]


def test_each_miss_is_a_row_of_marks_and_a_sentence_and_the_nearest_comes_with_a_way_out(run):
    add(run, "old_dark.fits", MASTER_DARK, DATE_OBS="2011-10-01")
    add(run, "far_dark.fits", MASTER_DARK, LNRS=1, DETBIAS=-0.6)
    code, out, _ = run("why", "science.fits", "dark")
    assert code == 4
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.count("✓") > 1}
    assert rows == {
        "old_dark.fits": ["3", "✓", "✓", "✓", "✓", "✗", "✓", "✓"],
        "far_dark.fits": ["3", "✓", "✗", "✗", "✓", "✓", "✓", "✓"],
    }
    text = " ".join(out.split())
    assert "- far_dark.fits: same array and total exposure, but read mode Bright Objects, needed Faint Objects" in text
    assert (
        "=> no dark fits; the nearest is old_dark.fits: same array, read mode, well depth and total exposure, "
        "but 107.5 days before the frame, limit 90 days"
    ) in text
    assert f"reduce science.fits --user_cal processed_dark:{Path.cwd()}/old_dark.fits" in out.splitlines()[-1]


def test_the_command_of_the_nearest_miss_is_accepted_by_reduce(run, capsys):
    from keyhole.cli.reduce import make_parser

    add(run, "old_dark.fits", MASTER_DARK, DATE_OBS="2011-10-01")
    words = run("why", "science.fits", "dark")[1].splitlines()[-1].split()
    assert words[0] == "reduce"
    options = make_parser().parse_args(words[1:])
    assert options.user_cal == [f"processed_dark:{Path.cwd()}/old_dark.fits"]


def test_without_a_kind_a_science_frame_is_asked_for_all_and_a_flat_for_the_mask(run):
    add(run, "x_dark.fits", MASTER_DARK)
    add(run, "x_flat.fits", MASTER_FLAT)
    code, out, _ = run("why", "science.fits")
    assert code == 0  # a mask is not required
    assert [line.split()[0] for line in out.splitlines() if " for science.fits" in line] == ["dark", "flat", "bpm"]
    write_frame(Path("raw_flat.fits"), FLAT)
    code, out, _ = run("why", "raw_flat.fits")
    assert (code, "bpm for raw_flat.fits" in out, "dark for" in out) == (0, True, False)
    assert run("why", "science.fits", "bpm")[0] == 4


def test_no_line_of_the_table_is_wider_than_a_terminal(run):
    for number in range(3):
        add(run, f"N20120117S00{number}4_flat.fits", MASTER_FLAT, DETBIAS=-0.6)
    _, out, _ = run("why", "science.fits", "flat")
    # Commands are copied and must not be broken.
    assert max(len(line) for line in out.splitlines() if "reduce " not in line) <= WIDTH


def test_a_file_that_changed_is_shown_as_unusable_and_the_next_is_taken(run):
    add(run, "best_dark.fits", MASTER_DARK, DATE_OBS="2012-01-16")
    add(run, "next_dark.fits", MASTER_DARK)
    write_frame(Path("best_dark.fits"), MASTER_DARK, DATE_OBS="2012-01-16", pixel=7)
    code, out, _ = run("why", "science.fits", "dark")
    assert code == 0
    assert "=> next_dark.fits is taken, grade 2" in out
    row = next(line for line in out.splitlines() if line.startswith("best_dark.fits"))
    assert row.split() == ["best_dark.fits", "-", *(["✓"] * 6), "✗"]
    assert "has changed since it was added" in " ".join(out.split())


def test_the_same_is_given_as_json(run):
    add(run, "old_dark.fits", MASTER_DARK, DATE_OBS="2011-10-01")
    code, out, _ = run("why", "science.fits", "dark", "--json")
    (told,) = json.loads(out)
    assert (code, told["kind"], told["chosen"], told["total"]) == (4, "dark", None, 1)
    (candidate,) = told["candidates"]
    assert candidate["checks"]["time"] == {"passed": False, "value": "-107.5 days"}
    assert candidate["checks"]["read mode"]["passed"] is True
    assert (candidate["grade"], candidate["usable"], candidate["age_days"]) == (3, False, -107.4874)


def test_raw_frames_that_would_make_a_master_are_named(run):
    Path("raw").mkdir()
    for number in range(2):
        write_frame(Path(f"raw/d{number}.fits"), DARK, UT=f"18:0{number}:00.0")
    write_frame(Path("raw/short.fits"), DARK, EXPTIME=1.0)
    Path("raw/junk.fits").write_text("no FITS at all")
    _, out, err = run("why", "science.fits", "dark", "--raw", "raw")
    assert "2 raw frames in raw would make a dark of grade 2:" in out
    assert out.splitlines()[-1].strip() == "reduce raw/d0.fits raw/d1.fits"
    assert "junk.fits" in err
    _, out, _ = run("why", "science.fits", "flat", "--raw", "raw")
    assert "no raw frames in raw would make a flat" in out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("nosuch.fits",), "nosuch.fits does not exist"),
        (("science.fits", "arc"), "unknown kind 'arc'; known kinds are dark, flat, bpm"),
        (("science.fits", "--raw", "nowhere"), "nowhere is no folder"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(run, words, sentence):
    code, _, err = run("why", *words)
    assert code == 2
    assert sentence in err
    assert len(err.splitlines()) == 1
