from __future__ import annotations

import bz2
import gzip
import shutil

import pytest
from toy_runs import raw_file, raw_files

from keyhole.engine.inputs import accept
from keyhole.errors import DataError, InputError


def take(*files):
    return accept(files, supported=lambda name: name == "GNIRS")


def test_darks_are_accepted_in_the_order_given(tmp_path):
    files = raw_files(tmp_path, "dark", 3)
    inputs = take(files[2], str(files[0]), files[1])
    assert [item.path for item in inputs.items] == [files[2], files[0], files[1]]
    assert inputs.kind == "dark"
    assert {"DARK", "RAW"} <= inputs.tags
    assert inputs.warnings == []


@pytest.mark.parametrize(
    ("kind", "cards", "words"),
    [
        ("dark", {}, "1 dark  a.fits  60 s  Faint Objects"),
        ("flat", {}, "1 flat  a.fits  J  ShortBlue  1.2 s"),
        ("science", {}, "1 science image  a.fits  J  ShortBlue  60 s (2 x 30)  Faint Objects"),
    ],
)
def test_summary_says_what_the_inputs_are(tmp_path, kind, cards, words):
    assert take(raw_file(tmp_path / "a.fits", kind, **cards)).summary.startswith(words)


def test_summary_of_several_names_first_and_last_and_no_unknown_value(tmp_path):
    files = raw_files(tmp_path, "dark", 3, EXPTIME=None)
    summary = take(*files).summary
    assert summary.startswith(f"3 darks  {files[0].name} ... {files[2].name}")
    assert "None" not in summary


def test_reduced_image_is_told_from_a_raw_one(tmp_path):
    path = raw_file(tmp_path / "a_stack.fits", "science", PREPARE="2026", GEM_TLM="2026")
    assert take(path).kind == "reduced image"


# -- duplicates -----------------------------------------------------------------------------------------


def test_file_given_twice_is_used_once_with_a_warning(tmp_path):
    one, two = raw_files(tmp_path, "dark", 2)
    inputs = take(one, two, one)
    assert [item.path for item in inputs.items] == [one, two]
    assert inputs.warnings == [f"{one.name} is given more than once; used once"]


def test_link_to_a_file_is_the_same_file(tmp_path):
    path = raw_file(tmp_path / "a.fits")
    link = tmp_path / "link.fits"
    link.symlink_to(path)
    inputs = take(path, link)
    assert len(inputs.items) == 1
    assert "link.fits is given more than once" in inputs.warnings[0]


def test_packed_copy_of_a_frame_is_the_same_exposure(tmp_path):
    path = raw_file(tmp_path / "a.fits")
    packed = tmp_path / "a.fits.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    (tmp_path / "copy").mkdir()
    copied = shutil.copy(path, tmp_path / "copy")
    inputs = take(packed, path, copied)
    assert [item.path for item in inputs.items] == [packed]
    assert inputs.warnings == [
        f"{path} is the same exposure as {packed}; used once",
        f"{copied} is the same exposure as {packed}; used once",
    ]


def test_different_frames_of_one_name_are_refused(tmp_path):
    (tmp_path / "other").mkdir()
    one = raw_file(tmp_path / "a.fits")
    two = raw_file(tmp_path / "other" / "a.fits", UT="19:00:00.0")
    with pytest.raises(InputError, match="different frames of one name; rename one"):
        take(one, two)


def test_reduced_images_of_one_name_may_stand_together(tmp_path):
    (tmp_path / "other").mkdir()
    cards = {"PREPARE": "2026", "GEM_TLM": "2026"}
    files = [raw_file(folder / "a_stack.fits", "science", **cards) for folder in (tmp_path, tmp_path / "other")]
    assert len(take(*files).items) == 2


def test_packed_frames_are_accepted(tmp_path):
    path = raw_file(tmp_path / "a.fits")
    packed = tmp_path / "b.fits.bz2"
    packed.write_bytes(bz2.compress(path.read_bytes()))
    assert take(packed).items[0].root == "b"


# -- refusals -------------------------------------------------------------------------------------------


def refused(error, *files):
    with pytest.raises(error) as caught:
        take(*files)
    return str(caught.value)


def test_no_input_is_refused():
    assert "name FITS files or an @list" in refused(InputError)


def test_missing_file_is_refused(tmp_path):
    assert "nowhere.fits" in refused(InputError, raw_file(tmp_path / "a.fits"), tmp_path / "nowhere.fits")


def test_folder_is_refused(tmp_path):
    assert "irectory" in refused(InputError, tmp_path)


def test_list_without_its_sign_is_recognised(tmp_path):
    path = tmp_path / "darks.lis"
    path.write_text("a.fits\nb.fits\n")
    assert f"write @{path}" in refused(InputError, path)


@pytest.mark.parametrize(
    ("name", "content"), [("a.fits", b"text"), ("a.lis", b""), ("a.lis", b"\xff\x00"), ("a", b"\0")]
)
def test_what_is_neither_fits_nor_a_list_is_no_fits(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    assert "no FITS file" in refused(DataError, path)


@pytest.mark.parametrize("keep", [1000, 4000, 12000])
def test_truncated_file_is_refused(tmp_path, keep):
    path = raw_file(tmp_path / "a.fits")
    path.write_bytes(path.read_bytes()[:keep])
    assert "a.fits" in refused(DataError, path)


def test_frame_without_instrument_is_refused(tmp_path):
    assert "names no instrument" in refused(DataError, raw_file(tmp_path / "a.fits", INSTRUME=None))


def test_frame_of_another_instrument_is_refused(tmp_path):
    assert "instrument NIRI is not supported" in refused(DataError, raw_file(tmp_path / "a.fits", INSTRUME="NIRI"))


def test_file_name_that_no_header_can_hold_is_refused(tmp_path):
    assert "plain ASCII" in refused(InputError, raw_file(tmp_path / "düster.fits"))


@pytest.mark.parametrize(
    ("kind", "words"),
    [("master dark", "master dark"), ("master flat", "master flat"), ("master bpm", "master bad-pixel mask")],
)
def test_master_given_as_raw_frame_is_refused(tmp_path, kind, words):
    assert f"this is a {words} already" in refused(InputError, raw_file(tmp_path / "a.fits", kind))


def test_spectrum_is_refused(tmp_path):
    path = raw_file(tmp_path / "a.fits", "science", ACQMIR="Out", SLIT="0.30arcsec_G5530")
    assert "a spectrum" in refused(InputError, path)


def test_spectroscopic_flat_is_refused(tmp_path):
    path = raw_file(tmp_path / "a.fits", "flat", ACQMIR="Out", SLIT="0.30arcsec_G5530")
    assert "a spectroscopic flat" in refused(InputError, path)


def test_frame_that_is_nothing_known_is_refused(tmp_path):
    path = raw_file(tmp_path / "a.fits", "science", ACQMIR=None)
    assert "neither image, dark nor flat" in refused(InputError, path)


def test_mixed_kinds_are_refused_with_an_example_of_each_in_order(tmp_path):
    darks = raw_files(tmp_path, "dark", 2)
    flat = raw_file(tmp_path / "flat.fits", "flat")
    message = refused(InputError, darks[0], flat, darks[1])
    assert f"{darks[0].name} is a dark, flat.fits is a flat; give one kind at a time" in message


def mixed(*files, kinds=("flat", "dark")):
    return accept(files, supported=lambda name: name == "GNIRS", together=lambda tags: frozenset(kinds))


def test_recipe_may_take_several_kinds_whose_darks_need_no_common_exposure(tmp_path):
    flats = [raw_file(tmp_path / f"f{n}.fits", "flat") for n in range(2)]
    darks = [raw_file(tmp_path / f"d{n}.fits", EXPTIME=2.0 * n + 1, DATALAB=f"D-{n}") for n in range(3)]
    inputs = mixed(*flats, *darks)
    assert (len(inputs.items), inputs.kind) == (5, "flat")
    assert "LAMPON" in inputs.tags
    assert inputs.summary.startswith("2 flats and 3 darks  f0.fits ... d2.fits  J  ShortBlue  1.2 s")


def test_other_kinds_than_those_of_the_recipe_stay_refused(tmp_path):
    flat, dark = raw_file(tmp_path / "f.fits", "flat"), raw_file(tmp_path / "d.fits")
    science = raw_file(tmp_path / "s.fits", "science")
    with pytest.raises(InputError, match=r"f.fits is a flat, d.fits is a dark, s.fits is a science image; give one"):
        mixed(flat, dark, science)
    with pytest.raises(InputError, match="give one kind at a time"):
        mixed(flat, science)


@pytest.mark.parametrize(
    ("kind", "cards", "words"),
    [
        ("flat", {"FILTER2": "H_G0516"}, "the flats differ in filter"),
        ("dark", {"LNRS": 1, "NDAVGS": 1}, "the darks differ in read mode"),
        ("dark", {"ARRAYID": "SN7638228.1.2"}, "the darks differ in array"),
    ],
)
def test_frames_of_one_kind_share_in_a_mixed_list_what_they_must(tmp_path, kind, cards, words):
    files = [raw_file(tmp_path / "f.fits", "flat"), raw_file(tmp_path / "d.fits")]
    with pytest.raises(InputError, match=words):
        mixed(*files, raw_file(tmp_path / "other.fits", kind, **cards))


def test_frames_of_different_arrays_do_not_mix(tmp_path):
    flat = raw_file(tmp_path / "f.fits", "flat", ARRAYID="SN7638228.1.2")
    with pytest.raises(InputError, match=r"the inputs differ in array: f.fits has SN7638228.1.2, d.fits has"):
        mixed(flat, raw_file(tmp_path / "d.fits"))


@pytest.mark.parametrize("kind", ["dark", "flat", "science"])
def test_raw_frames_of_different_size_do_not_mix(tmp_path, kind):
    files = [
        raw_file(tmp_path / "a.fits", kind),
        raw_file(tmp_path / "b.fits", kind, side=32, UT="11:00:00.0", DATALAB="b"),
    ]
    with pytest.raises(InputError, match=r"s differ in size: a.fits has 64 x 64 pixels, b.fits has 32 x 32; leave out"):
        take(*files)


def test_frames_of_different_kinds_share_their_size(tmp_path):
    flat = raw_file(tmp_path / "f.fits", "flat")
    with pytest.raises(InputError, match=r"the inputs differ in size: f.fits has 64 x 64 pixels, d.fits has 32 x 32"):
        mixed(flat, raw_file(tmp_path / "d.fits", side=32))


def test_kind_that_chooses_the_recipe_must_come_first(tmp_path):
    files = [raw_file(tmp_path / "d.fits"), raw_file(tmp_path / "f.fits", "flat")]
    with pytest.raises(InputError, match=r"a flat must come first for this recipe: put f.fits before d.fits"):
        accept(
            files,
            supported=lambda name: True,
            together=lambda tags: frozenset({"flat", "dark"} if "FLAT" in tags else ()),
        )


def test_exposure_time_of_darks_alone_stays_common_whatever_the_recipe_takes(tmp_path):
    with pytest.raises(InputError, match="differ in exposure time"):
        mixed(raw_file(tmp_path / "a.fits"), raw_file(tmp_path / "b.fits", EXPTIME=5.0))


@pytest.mark.parametrize(
    ("kind", "cards", "words"),
    [
        ("dark", {"EXPTIME": 30.0}, "exposure time"),
        ("dark", {"EXPTIME": 30.0, "COADDS": 2}, "number of coadds"),
        ("dark", {"LNRS": 1, "NDAVGS": 1}, "read mode"),
        ("dark", {"DETBIAS": -0.6}, "well depth"),
        ("flat", {"CAMERA": "LongBlue_G5542"}, "camera"),
        ("flat", {"FILTER2": "H_G0516"}, "filter"),
        ("science", {"FILTER2": "H_G0516"}, "filter"),
        ("science", {"LNRS": 1, "NDAVGS": 1}, "read mode"),
        ("science", {"SLIT": "Other_G5530"}, "slit and decker"),
    ],
)
def test_frames_that_differ_in_what_they_must_share_are_refused(tmp_path, kind, cards, words):
    one = raw_file(tmp_path / "one.fits", kind)
    two = raw_file(tmp_path / "two.fits", kind, **cards)
    message = refused(InputError, one, two)
    assert f"differ in {words}: one.fits has" in message
    assert "two.fits has" in message


def test_exposure_times_within_a_hundredth_of_a_second_are_equal(tmp_path):
    one = raw_file(tmp_path / "one.fits", EXPTIME=60.0)
    two = raw_file(tmp_path / "two.fits", EXPTIME=60.009)
    three = raw_file(tmp_path / "three.fits", EXPTIME=60.02)
    assert len(take(one, two).items) == 2
    refused(InputError, one, three)


def test_flats_may_differ_in_exposure_time(tmp_path):
    one = raw_file(tmp_path / "one.fits", "flat", EXPTIME=1.0)
    assert len(take(one, raw_file(tmp_path / "two.fits", "flat", EXPTIME=2.0)).items) == 2
