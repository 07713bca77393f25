from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from toy_runs import raw_file, raw_files

from keyhole.calibration import CalibrationStore, Config, Database, parse_user_cals
from keyhole.engine.events import CalibrationChosen, Caveat, Note, RunStarted
from keyhole.errors import CalibrationError, DataError, InputError, KeyholeError, SetupError
from keyhole.frames import file_md5, read_frame


def darks_only(p):
    p.darkCorrect()


def dark_and_mask(p):
    p.addDQ(add_illum_mask=False)
    p.darkCorrect()


def config_of(*files: Path, get: bool = True, store: bool = False, implicit: bool = False) -> Config:
    databases = tuple(Database(str(file), get=get, store=store) for file in files)
    return Config(databases, source=None, implicit=implicit)


def database(file: Path, *masters: Path) -> Config:
    store = CalibrationStore(file)
    store.create()
    for master in masters:
        store.add(master)
    return config_of(file)


@pytest.fixture
def science(tmp_path):
    return raw_files(tmp_path, "science", 3)


@pytest.fixture
def dark(tmp_path):
    return raw_file(tmp_path / "good_dark.fits", "master dark", seed=9)


def chosen(reduced):
    return [
        (event.kind, event.path and Path(event.path).name, len(event.frames)) for event in reduced.of(CalibrationChosen)
    ]


# -- from the database ----------------------------------------------------------------------------------


def test_master_of_the_database_is_used_and_announced(reduced, science, dark, tmp_path):
    result = reduced(science, darks_only, config=database(tmp_path / "cal.db", dark))
    assert chosen(reduced) == [("processed_dark", "good_dark.fits", 3)]
    event = reduced.of(CalibrationChosen)[0]
    assert event.origin == f"from {tmp_path / 'cal.db'}"
    assert (event.grade, "14.7 days before the frame" in event.reason) == (2, True)
    product = read_frame(result.outputs[1])
    np.testing.assert_array_equal(product.data, read_frame(science[1]).data - read_frame(dark).data)
    assert result.calibrations[0].frames == tuple(str(path) for path in science)
    provenance = product.tables["PROVENANCE"].columns
    assert dict(zip(provenance["filename"], provenance["md5"], strict=True))["good_dark.fits"] == file_md5(dark)


def test_doubt_about_a_master_is_told_once_and_stands_in_the_product(reduced, science, dark, tmp_path):
    # The dark is one coadd of 60 s, the frames two of 30 s.
    result = reduced(science, darks_only, config=database(tmp_path / "cal.db", dark))
    (caveat,) = reduced.of(Caveat)
    assert "1 coadd of 60 s, frame has 2 coadds of 30 s" in caveat.text
    assert result.caveats == {caveat.text: 1}
    assert read_frame(result.outputs[0]).primary["CAVEAT01"] == caveat.text


def test_each_frame_gets_the_master_nearest_in_time_and_each_group_is_announced(reduced, tmp_path):
    early = raw_file(tmp_path / "a.fits", "science", DATE_OBS="2012-01-01")
    late = raw_file(tmp_path / "b.fits", "science", DATE_OBS="2012-03-01")
    other = raw_file(tmp_path / "c.fits", "science", DATE_OBS="2012-01-02")
    masters = [
        raw_file(tmp_path / f"{name}_dark.fits", "master dark", seed=n, DATE_OBS=date)
        for n, (name, date) in enumerate([("january", "2012-01-02"), ("march", "2012-03-02")])
    ]
    result = reduced([early, late, other], darks_only, config=database(tmp_path / "cal.db", *masters))
    assert chosen(reduced) == [("processed_dark", "january_dark.fits", 2), ("processed_dark", "march_dark.fits", 1)]
    assert [read_frame(path).primary["DARKIM"] for path in result.outputs] == [
        "january_dark.fits",
        "march_dark.fits",
        "january_dark.fits",
    ]


def test_missing_required_master_stops_the_run_and_says_the_nearest_miss(reduced, science, tmp_path):
    short = raw_file(tmp_path / "short_dark.fits", "master dark", EXPTIME=10.0)
    with pytest.raises(CalibrationError) as caught:
        reduced(science, darks_only, config=database(tmp_path / "cal.db", short))
    message = str(caught.value)
    assert "short_dark.fits" in message
    assert "3 frames are without" in message
    assert "--user_cal processed_dark:FILE" in message
    assert reduced.of(RunStarted)
    assert list(reduced.folder.iterdir()) == []


def test_optional_master_that_is_missing_is_only_told(reduced, science, dark, tmp_path):
    reduced(science, dark_and_mask, config=database(tmp_path / "cal.db", dark))
    assert chosen(reduced) == [("processed_bpm", None, 3), ("processed_dark", "good_dark.fits", 3)]
    assert reduced.of(CalibrationChosen)[0].reason == "none in the databases"


@pytest.mark.parametrize("mode", ["ql", "qa"])
def test_quick_look_goes_on_without_a_dark_and_says_so_in_the_product(reduced, science, tmp_path, mode):
    result = reduced(science, darks_only, config=database(tmp_path / "cal.db"), mode=mode)
    assert chosen(reduced) == [("processed_dark", None, 3)]
    (text,) = result.caveats
    assert "no processed dark" in text
    assert [event.text for event in reduced.of(Caveat)] == [text]
    assert read_frame(result.outputs[0]).primary["CAVEAT01"] == text


def test_quick_look_says_why_a_master_does_not_fit(reduced, science, tmp_path):
    short = raw_file(tmp_path / "short_dark.fits", "master dark", EXPTIME=10.0)
    reduced(science, darks_only, config=database(tmp_path / "cal.db", short), mode="ql")
    assert reduced.of(CalibrationChosen)[0].reason == "none fits"


def test_forced_correction_stops_even_a_quick_look(reduced, science, tmp_path):
    with pytest.raises(CalibrationError):
        reduced(
            science,
            darks_only,
            config=database(tmp_path / "cal.db"),
            mode="ql",
            settings={"darkCorrect:do_cal": "force"},
        )


@pytest.mark.parametrize("setting", ["darkCorrect:do_cal=skip", "darkCorrect:skip_primitive=True"])
def test_correction_that_is_switched_off_is_a_caveat_and_asks_for_no_master(reduced, science, setting):
    key, _, value = setting.partition("=")
    result = reduced(science, lambda p: (p.darkCorrect(), p.toyWrite()), settings={key: value})
    assert chosen(reduced) == []
    assert list(result.caveats) == ["darkCorrect is switched off: the dark is not applied"]
    assert read_frame(result.outputs[0]).primary["CAVEAT01"] in result.caveats


def test_master_that_is_gone_is_a_warning_that_names_it(reduced, science, dark, tmp_path):
    far = raw_file(tmp_path / "far_dark.fits", "master dark", DATE_OBS="2011-12-01")
    config = database(tmp_path / "cal.db", dark, far)
    dark.unlink()
    result = reduced(science, darks_only, config=config)
    assert chosen(reduced) == [("processed_dark", "far_dark.fits", 3)]
    assert any("good_dark.fits is no longer on disk" in text for text in result.caveats)


# -- given by hand --------------------------------------------------------------------------------------


def test_master_given_by_hand_wins_over_the_database(reduced, science, dark, tmp_path):
    mine = raw_file(tmp_path / "my_dark.fits", "master dark", seed=4)
    reduced(
        science,
        darks_only,
        config=database(tmp_path / "cal.db", dark),
        user_cals=parse_user_cals([f"processed_dark:{mine}"]),
    )
    assert chosen(reduced) == [("processed_dark", "my_dark.fits", 3)]
    assert reduced.of(CalibrationChosen)[0].origin == "given by hand"


def test_master_given_by_hand_that_does_not_fit_is_used_with_a_warning(reduced, science, tmp_path):
    short = raw_file(tmp_path / "short_dark.fits", "master dark", EXPTIME=10.0)
    result = reduced(science, darks_only, user_cals=parse_user_cals([f"processed_dark:{short}"]))
    assert any("short_dark.fits, given by hand: total exposure 10 s, needed 60 s" in text for text in result.caveats)
    assert "CAVEAT01" in read_frame(result.outputs[0]).primary


def test_master_given_by_hand_is_never_overwritten(reduced, science):
    path = raw_file(reduced.folder / f"{science[0].stem}_darkCorrected.fits", "master dark")
    before = path.read_bytes()
    result = reduced(science[:1], darks_only, user_cals=parse_user_cals([f"processed_dark:{path}"]))
    assert path.read_bytes() == before
    assert result.outputs[0].name == f"{science[0].stem}_aligned_darkCorrected.fits"


def test_master_given_by_hand_that_no_step_uses_is_told(reduced, science, tmp_path):
    flat = raw_file(tmp_path / "my_flat.fits", "master flat")
    reduced(science, lambda p: p.toyMultiply(), user_cals=parse_user_cals([f"processed_flat:{flat}"]))
    assert [event.text for event in reduced.of(Caveat)] == [
        "the flat given by hand is not used: no step of toy asks for it"
    ]


def test_master_whose_name_no_header_can_hold_is_refused(reduced, science, tmp_path):
    path = raw_file(tmp_path / "düster_dark.fits", "master dark")
    with pytest.raises(InputError, match="plain ASCII"):
        reduced(science, darks_only, user_cals=parse_user_cals([f"processed_dark:{path}"]))


# -- named by a parameter -------------------------------------------------------------------------------


def test_master_named_by_a_parameter_is_used_and_no_database_is_asked(reduced, science, tmp_path):
    mine = raw_file(tmp_path / "my_dark.fits", "master dark", seed=4)
    result = reduced(
        science, darks_only, config=config_of(tmp_path / "nowhere" / "cal.db"), settings={"darkCorrect:dark": str(mine)}
    )
    assert chosen(reduced) == [("processed_dark", "my_dark.fits", 3)]
    assert reduced.of(CalibrationChosen)[0].origin == "named by a parameter"
    assert read_frame(result.outputs[0]).primary["DARKIM"] == "my_dark.fits"


@pytest.mark.parametrize(
    ("kind", "error"),
    [("nothing", InputError), ("text", DataError), ("flat", CalibrationError), ("raw", CalibrationError)],
)
def test_master_named_by_a_parameter_is_checked_before_any_step(reduced, science, tmp_path, kind, error):
    path = tmp_path / "my.fits"
    if kind == "text":
        path.write_text("text")
    elif kind == "flat":
        raw_file(path, "master flat")
    elif kind == "raw":
        raw_file(path, "dark")
    with pytest.raises(error, match=r"my\.fits"):
        reduced(science, lambda p: (p.toyWrite(), p.darkCorrect()), settings={"dark": str(path)})
    assert list(reduced.folder.iterdir()) == []


def test_bad_pixel_mask_named_by_a_parameter_replaces_the_databases(reduced, science, tmp_path):
    mask = raw_file(tmp_path / "my_bpm.fits", "master bpm")
    recipe = lambda p: p.addDQ(add_illum_mask=False)  # noqa: E731
    reduced(science, recipe, settings={"static_bpm": str(mask)})
    assert chosen(reduced) == [("processed_bpm", "my_bpm.fits", 3)]
    reduced(science, recipe, settings={"static_bpm": None})
    assert chosen(reduced) == []
    reduced(science, recipe, settings={"user_bpm": str(mask)})
    assert chosen(reduced) == [("processed_bpm", "my_bpm.fits", 3), ("processed_bpm", None, 3)]


def bare_map(path, values=None):
    map_ = np.zeros((64, 64), np.int32) if values is None else values
    map_[7, 9] = 1
    fits.PrimaryHDU(map_).writeto(path)
    return path


@pytest.mark.parametrize("given", ["static_bpm", "user_bpm", "user_cal"])
def test_bare_map_is_used_by_hand_with_a_word_of_what_it_leaves_open(reduced, science, tmp_path, given):
    path = bare_map(tmp_path / "map.fits.gz")
    how = (
        {"user_cals": parse_user_cals([f"processed_bpm:{path}"])}
        if given == "user_cal"
        else {"settings": {f"addDQ:{given}": str(path)}}
    )
    result = reduced(science, lambda p: p.addDQ(add_illum_mask=False), **how)
    assert ("processed_bpm", "map.fits.gz", 3) in chosen(reduced)
    (text,) = result.caveats
    assert text == "bad-pixel mask map.fits.gz, given by hand, says nothing about array and date; it is used as it is"
    product = read_frame(result.outputs[2])
    assert np.argwhere(product.mask).tolist() == [[7, 9]]
    assert "map.fits.gz" in product.tables["PROVENANCE"].columns["filename"]
    origin = given if given != "user_cal" else "processed_bpm"
    assert product.primary["BPMSRC"] == f"{origin}: map.fits.gz"
    assert [event.text for event in reduced.of(Note)] == [f"source of bad pixels: {origin}: map.fits.gz"]


def test_absence_of_bad_pixels_is_noted_once_too(reduced, science):
    reduced(science, lambda p: p.addDQ(add_illum_mask=False))
    assert [event.text for event in reduced.of(Note)] == ["source of bad pixels: none"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.zeros((3, 64, 64), np.int16), "is no bad-pixel mask: that is one two-dimensional image"),
        (np.full((64, 64), np.nan, np.float32), "4095 of 4096 values are no numbers"),
        (np.ones((64, 64), np.uint8), "all 4096 pixels are bad"),
        (np.zeros((32, 64), np.int16), "is 64 x 32 pixels, N20120102S0001.fits is 64 x 64 pixels"),
    ],
)
def test_what_is_no_map_for_these_frames_is_refused_in_a_sentence(reduced, science, tmp_path, values, words):
    path = tmp_path / "map.fits"
    if values.ndim == 2:
        bare_map(path, values)
    else:
        fits.PrimaryHDU(values).writeto(path)
    with pytest.raises(KeyholeError, match=words):
        reduced(science, lambda p: p.addDQ(add_illum_mask=False), settings={"user_bpm": str(path)})


def test_frame_that_is_no_mask_is_refused_with_the_way_to_make_it_one(reduced, science, tmp_path):
    flat = raw_file(tmp_path / "flat.fits", "flat")
    with pytest.raises(CalibrationError, match=r"neither BPMASK nor PROCBPM .*keyhole bpm import .*flat\.fits"):
        reduced(science, lambda p: p.addDQ(add_illum_mask=False), settings={"user_bpm": str(flat)})
    dark = raw_file(tmp_path / "a_dark.fits", "master dark")
    with pytest.raises(CalibrationError, match="is no processed bad-pixel mask"):
        reduced(science, lambda p: p.addDQ(add_illum_mask=False), settings={"static_bpm": str(dark)})


def test_mask_of_the_database_serves_frames_taken_later_and_no_earlier_ones(reduced, tmp_path):
    mask = raw_file(tmp_path / "a_bpm.fits", "master bpm", DATE_OBS="2012-01-10")
    early = raw_file(tmp_path / "early.fits", "science", DATE_OBS="2012-01-09")
    late = raw_file(tmp_path / "late.fits", "science", DATE_OBS="2012-01-11")
    result = reduced([early, late], lambda p: p.addDQ(add_illum_mask=False), config=database(tmp_path / "c.db", mask))
    assert [read_frame(path).primary["BPMSRC"] for path in result.outputs] == ["none", "processed_bpm: a_bpm.fits"]
    assert np.argwhere(read_frame(result.outputs[1]).mask).tolist() == [[3, 5]]


# -- databases that are not there -----------------------------------------------------------------------


def test_missing_database_stops_a_run_that_needs_a_master(reduced, science, tmp_path):
    with pytest.raises(SetupError, match="caldb init"):
        reduced(science, darks_only, config=config_of(tmp_path / "cal.db"))


def test_missing_folder_of_the_database_stops_every_run_that_asks(reduced, tmp_path):
    darks = raw_files(tmp_path, "dark", 2)
    with pytest.raises(SetupError, match="caldb init"):
        reduced(darks, lambda p: p.addDQ(), config=config_of(tmp_path / "nowhere" / "cal.db"))


def test_missing_database_is_a_warning_told_once_where_nothing_depends_on_it(reduced, tmp_path):
    darks = raw_files(tmp_path, "dark", 2)
    result = reduced(darks, lambda p: p.addDQ(), config=config_of(tmp_path / "cal.db"))
    (caveat,) = reduced.of(Caveat)
    assert caveat.text.startswith("no calibration database was asked: ")
    assert chosen(reduced) == [("processed_bpm", None, 2)]
    assert list(result.caveats) == [caveat.text]


def test_run_with_everything_given_by_hand_needs_no_database(reduced, science, dark, tmp_path):
    result = reduced(
        science,
        dark_and_mask,
        config=config_of(tmp_path / "nowhere" / "cal.db"),
        user_cals=parse_user_cals([f"processed_dark:{dark}"]),
    )
    assert len(result.outputs) == 3


def test_run_without_configuration_asks_nobody(reduced, science, dark):
    result = reduced(science, darks_only, user_cals=parse_user_cals([f"processed_dark:{dark}"]), config=None)
    assert len(result.outputs) == 3


# -- storing --------------------------------------------------------------------------------------------


def store_dark(p):
    p.storeProcessedDark()


def test_master_is_registered_in_the_database_of_the_folder_made_on_first_use(reduced, tmp_path):
    file = tmp_path / "cal_manager.db"
    (master,) = reduced(
        raw_files(tmp_path, "dark", 1), store_dark, config=config_of(file, store=True, implicit=True)
    ).outputs
    assert [entry.path for entry in CalibrationStore(file).entries()] == [str(master)]
    assert [event.text for event in reduced.of(Note)] == [f"{master.name} is registered in {file}"]


def test_master_is_registered_whatever_its_suffix(reduced, tmp_path):
    file = tmp_path / "cal_manager.db"
    reduced(
        raw_files(tmp_path, "dark", 1), store_dark, config=config_of(file, store=True, implicit=True), suffix="_mine"
    )
    assert [entry.name for entry in CalibrationStore(file).entries()] == ["N20120102S0001_mine.fits"]


def test_image_that_is_named_like_a_master_is_not_registered(reduced, science, tmp_path):
    file = tmp_path / "cal_manager.db"
    result = reduced(science, lambda p: p.toyFirst(), config=config_of(file, store=True, implicit=True), suffix="_flat")
    assert result.outputs[0].name.endswith("_flat.fits")
    assert not file.exists()


def test_database_that_takes_no_masters_gets_none(reduced, tmp_path):
    config = database(tmp_path / "cal.db")
    reduced(raw_files(tmp_path, "dark", 1), store_dark, config=config)
    assert CalibrationStore(tmp_path / "cal.db").entries() == []


def test_master_stands_even_if_it_cannot_be_registered(reduced, tmp_path):
    config = config_of(tmp_path / "nowhere" / "cal.db", get=False, store=True)
    result = reduced(raw_files(tmp_path, "dark", 1), store_dark, config=config)
    assert result.outputs[0].is_file()
    assert "written but not registered" in reduced.of(Caveat)[0].text


def test_databases_that_are_there_are_asked_and_the_missing_one_is_told(reduced, science, dark, tmp_path):
    database(tmp_path / "cal.db", dark)
    config = config_of(tmp_path / "nowhere" / "cal.db", tmp_path / "cal.db")
    result = reduced(science, darks_only, config=config)
    assert chosen(reduced) == [("processed_dark", "good_dark.fits", 3)]
    (text,) = [text for text in result.caveats if text.startswith("not asked: ")]
    assert str(tmp_path / "nowhere") in text
    with pytest.raises(SetupError, match="nowhere"):
        reduced(science, darks_only, config=config_of(tmp_path / "nowhere" / "cal.db", tmp_path / "none.db"))


def test_missing_master_is_told_with_the_database_that_was_not_there(reduced, science, tmp_path):
    database(tmp_path / "cal.db")
    with pytest.raises(CalibrationError, match="nowhere"):
        reduced(science, darks_only, config=config_of(tmp_path / "nowhere" / "cal.db", tmp_path / "cal.db"))
