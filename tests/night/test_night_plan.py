from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from tiny_frames import DARK, FLAT, MASTER_DARK, SCIENCE, write_frame

from keyhole.calibration import CalibrationStore
from keyhole.errors import InputError, ParameterError
from keyhole.night import make_plan, take_inventory
from keyhole.night.plan import Group, Need, order_of
from keyhole.night.planfile import plan_text, read_plan


def frames(folder: Path, stem: str, cards, n: int = 2, **changes):
    for number in range(n):
        label = {"DATALAB": f"{stem}-{number}", "UT": f"0{5 + number // 60}:{number % 60:02d}:00.0"}
        write_frame(folder / f"{stem}{number}.fits", cards, **(label | changes))


def lamp_off(folder: Path, stem: str, **changes):
    frames(folder, stem, FLAT, GCALSHUT="CLOSED", **changes)


@pytest.fixture
def night(raw):
    """Two targets in two filters, darks of two exposures, flats of both filters."""
    frames(raw, "d60_", DARK)
    frames(raw, "d10_", DARK, EXPTIME=10.0)
    for band, card in (("J", "J_G0517"), ("H", "H_G0516")):
        frames(raw, f"f{band}on_", FLAT, FILTER2=card)
        lamp_off(raw, f"f{band}off_", FILTER2=card)
    frames(raw, "a_", SCIENCE, n=3)
    frames(raw, "b_", SCIENCE, OBJECT="HD 1/2", FILTER2="H_G0516", EXPTIME=10.0, COADDS=1, OBSID="GN-2")
    return raw


def by_name(plan):
    return {group.name: group for group in plan.groups}


def test_frames_are_grouped_and_served_by_rule(night):
    plan = make_plan(take_inventory(night))
    groups = by_name(plan)
    masters = {"dark-60s-Faint", "dark-10s-Faint", "flat-J-ShortBlue", "flat-H-ShortBlue"}
    assert set(groups) == masters | {"GRB120116A-J", "HD_1_2-H"}
    first, second = groups["GRB120116A-J"], groups["HD_1_2-H"]
    assert first.files == ("a_0.fits", "a_1.fits", "a_2.fits")
    assert (first.needs["dark"].group, first.needs["dark"].grade) == ("dark-60s-Faint", 2)
    assert (first.needs["flat"].group, first.needs["flat"].grade) == ("flat-J-ShortBlue", 0)
    assert (second.needs["dark"].group, second.needs["dark"].grade) == ("dark-10s-Faint", 1)
    assert second.needs["flat"].group == "flat-H-ShortBlue"
    assert groups["flat-J-ShortBlue"].files == ("fJon_0.fits", "fJon_1.fits", "fJoff_0.fits", "fJoff_1.fits")


def test_every_file_is_in_a_group_or_left_aside_with_a_reason(night):
    (night / "notes.txt").write_text("seeing was good")
    (night / "junk.fits").write_text("no FITS at all")
    (night / "cut.fits").write_bytes((night / "a_0.fits").read_bytes()[:4000])
    write_frame(night / "niri.fits", SCIENCE, INSTRUME="NIRI")
    write_frame(night / "spectrum.fits", SCIENCE, ACQMIR="Out", DATALAB="s")
    write_frame(night / "acq.fits", SCIENCE, OBSCLASS="acq", DATALAB="q")
    write_frame(night / "bad.fits", SCIENCE, RAWGEMQA="BAD", DATALAB="x")
    write_frame(night / "master.fits", MASTER_DARK)
    write_frame(night / "unknown_read.fits", DARK, LNRS=3, DATALAB="u")
    write_frame(night / "part.fits", SCIENCE, DATALAB="p", shape=(2, 4))
    frames(night, "fKon_", FLAT, FILTER2="K_G0515")
    (night / "sub").mkdir()
    (night / "sub" / "a_0.fits.gz").write_bytes(gzip.compress((night / "a_0.fits").read_bytes()))
    inventory = take_inventory(night)
    plan = make_plan(inventory)
    used = [name for group in plan.groups for name in group.files]
    aside = {item.path: item.why for item in plan.aside}
    everything = {str(path.relative_to(night)) for path in night.rglob("*") if path.is_file()}
    assert set(used) | set(aside) == everything
    assert len(used) == len(set(used))
    for name, words in {
        "notes.txt": "not a FITS file",
        "junk.fits": "FITS",
        "cut.fits": "",
        "niri.fits": "NIRI is not supported",
        "spectrum.fits": "",
        "acq.fits": "acquisition frame",
        "bad.fits": "judged it as failed",
        "master.fits": "master dark already",
        "unknown_read.fits": "not known",
        "part.fits": "an image of 4 x 2 pixels, where those of the array have 4 x 3",
        "fKon_0.fits": "lamp-off",
        "sub/a_0.fits.gz": "the same exposure as a_0.fits",
    }.items():
        assert words in aside[name], (name, aside[name])
        assert aside[name]


def test_a_master_of_the_database_serves_where_the_folder_has_none(night, tmp_path):
    for path in night.glob("d10_*"):
        path.unlink()
    store = CalibrationStore(tmp_path / "cal.db")
    store.create()
    stored = write_frame(tmp_path / "ten_dark.fits", MASTER_DARK, EXPTIME=10.0, COADDS=1)
    store.add(stored)
    groups = by_name(make_plan(take_inventory(night), [store]))
    assert groups["HD_1_2-H"].needs["dark"].path == str(stored)
    without = by_name(make_plan(take_inventory(night)))["HD_1_2-H"]
    assert without.lacks == ("dark",)
    assert "total exposure 60 s, needed 10 s" in without.needs["dark"].reason


def test_the_better_grade_wins_and_the_folder_where_they_are_equal(night, tmp_path):
    store = CalibrationStore(tmp_path / "cal.db")
    store.create()
    store.add(write_frame(tmp_path / "two_dark.fits", MASTER_DARK, COADDS=2))
    needs = by_name(make_plan(take_inventory(night), [store]))["GRB120116A-J"].needs
    assert (Path(needs["dark"].path).name, needs["dark"].grade) == ("two_dark.fits", 1)
    store.add(write_frame(tmp_path / "ten_dark.fits", MASTER_DARK, EXPTIME=10.0, COADDS=1))
    assert by_name(make_plan(take_inventory(night), [store]))["HD_1_2-H"].needs["dark"].group == "dark-10s-Faint"


def test_groups_of_one_name_are_told_apart_by_their_night(raw):
    frames(raw, "d_", DARK)
    frames(raw, "e_", DARK, DATE_OBS="2012-01-04")
    assert sorted(by_name(make_plan(take_inventory(raw)))) == ["dark-60s-Faint-2012-01-01", "dark-60s-Faint-2012-01-03"]


def test_the_plan_file_says_the_same_as_the_plan(night):
    plan = make_plan(take_inventory(night))
    file = night.parent / "plan.toml"
    file.write_text(plan_text(plan))
    again = read_plan(file)
    assert [(g.name, g.makes, g.files) for g in again.groups] == [(g.name, g.makes, g.files) for g in plan.groups]
    sources = [[{k: (n.group, n.path) for k, n in g.needs.items()} for g in p.groups] for p in (again, plan)]
    assert sources[0] == sources[1]
    assert again.aside == plan.aside
    assert again.raw == night


def test_a_person_may_drop_frames_choose_masters_and_set_parameters(night, tmp_path):
    plan = make_plan(take_inventory(night))
    mine = write_frame(tmp_path / "my dark.fits", MASTER_DARK)
    text = plan_text(plan).replace('  "a_1.fits",\n', "").replace('dark = "group:dark-60s-Faint"', f'dark = "{mine}"')
    text = text.replace('dark = "group:dark-10s-Faint"', 'dark = "none"')
    text = text.replace('make = "image"', 'make = "image"\nparameters = { "skyCorrect:scale_sky" = false, memory = 2 }')
    file = tmp_path / "plan.toml"
    file.write_text(text)
    groups = by_name(read_plan(file))
    assert groups["GRB120116A-J"].files == ("a_0.fits", "a_2.fits")
    assert groups["GRB120116A-J"].needs["dark"].path == str(mine)
    assert groups["HD_1_2-H"].lacks == ("dark",)
    assert groups["HD_1_2-H"].parameters == {"skyCorrect:scale_sky": False, "memory": 2}
    # What was changed can be written and read again.
    file.write_text(plan_text(read_plan(file)))
    assert by_name(read_plan(file))["HD_1_2-H"].parameters == {"skyCorrect:scale_sky": False, "memory": 2}


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (("version = 1", "version = 9"), ParameterError, "version 9"),
        (('"a_0.fits"', '"nosuch.fits"'), InputError, "nosuch.fits does not exist"),
        (("make = ", "mkae = "), ParameterError, "unknown key mkae"),
        (('make = "image"', 'make = "movie"'), ParameterError, "'movie' is unknown"),
        (("group:dark-60s-Faint", "group:dark-61s"), ParameterError, "there is no group dark-61s"),
        (("group:dark-60s-Faint", "group:flat-J-ShortBlue"), ParameterError, "makes a flat, not a dark"),
        (("group:dark-60s-Faint", "/nowhere/dark.fits"), InputError, "/nowhere/dark.fits does not exist"),
        (('name = "dark-10s-Faint"', 'name = "dark-60s-Faint"'), ParameterError, "two groups are called"),
        (('name = "dark-10s-Faint"', 'name = "../x"'), ParameterError, "no usable name"),
        (("raw = ", "raw = 7 # "), InputError, "folder of raw frames 7"),
        (("files = [", "files = "), InputError, "is no plan"),
        (("[[aside]]", "[[asied]]"), ParameterError, "unknown key asied"),
    ],
)
def test_mistakes_in_a_plan_are_one_sentence(night, tmp_path, change, error, words):
    (night / "notes.txt").touch()
    file = tmp_path / "plan.toml"
    text = plan_text(make_plan(take_inventory(night)))
    assert change[0] in text
    file.write_text(text.replace(*change))
    with pytest.raises(error) as caught:
        read_plan(file)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names_that_toml_must_escape_come_back(raw):
    frames(raw, 'q"uo\\te ', DARK, n=1)
    file = raw.parent / "plan.toml"
    file.write_text(plan_text(make_plan(take_inventory(raw))))
    assert read_plan(file).groups[0].files == ('q"uo\\te 0.fits',)


def test_masters_come_before_what_needs_them_and_circles_are_refused():
    image = Group("image", "image", ("a",), {"dark": Need(group="dark")})
    dark = Group("dark", "dark", ("d",))
    assert [group.name for group in order_of([image, dark])] == ["dark", "image"]
    with pytest.raises(ValueError, match="need each other"):
        order_of([image, Group("dark", "dark", ("d",), {"dark": Need(group="image")})])
