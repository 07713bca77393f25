from __future__ import annotations

import pytest
import tiny_frames

from keyhole.errors import ParameterError
from keyhole.headers import DESCRIPTORS, Headers, tags
from keyhole.selection import parse
from keyhole.selection.expression import TAG_NAMES

SCIENCE = tiny_frames.SCIENCE


def headers(cards=SCIENCE, **changes):
    image = {"NAXIS": 2, "NAXIS1": 1024, "NAXIS2": 1022}
    primary = {name: value for name, value in (cards | changes).items() if value is not None}
    return Headers(primary=primary, extensions=(image,), name="N20120117S0019.fits")


def holds(text, *, strict=False, **changes):
    return parse(text, strict=strict)(headers(**changes))


@pytest.mark.parametrize(
    "text",
    [
        "exposure_time==60",
        "exposure_time == 60.5",
        "60==exposure_time",
        "(exposure_time)==60",
        "ad.exposure_time() == 60",
        "exposure_time!=61",
        "exposure_time<61 and exposure_time>59",
        "1<exposure_time<=60",
        "100 > exposure_time >= 60",
        "not exposure_time==30",
        "exposure_time in (30, 60)",
        "exposure_time not in (30, 90)",
        'filter_name=="J"',
        '"J"==filter_name',
        "filter_name in ('H', 'J')",
        'ad.filter_name(pretty=True)=="J"',
        'ad.filter_name()=="Open&J_G0517"',
        'object=="GRB120116A"',
        'object in ("GRB120116A", "other")',
        '"GRB" in object',
        'camera=="ShortBlue_G5538"',
        'disperser=="MIRROR"',
        '"IMAGE" in ad.tags',
        '"FLAT" not in tags',
        "IMAGE and not FLAT",
        "read_mode=='Faint Objects' or FLAT",
        "coadds==2",
        "gain==13.5",
        'array_name=="SN7638228.1"',
        "data_section==(0, 1024, 0, 1022)",
        "central_wavelength==1.65e-6",
        "is_ao==False",
        "not is_ao",
        "gcal_lamp==None",
        "raw_iq == None",
        'ut_date>="2012-01-16"',
        'ut_date=="2012-01-17"',
        '"2012-01-16" < ut_date < "2012-01-18"',
        'ut_time>"05:00:00"',
        'ut_datetime>"2012-01-17 05:00:00"',
        'ut_datetime>="2012-01-17"',
        'ut_datetime<="2012-01-17T05:41:49.5"',
        "telescope_x_offset == -1 or True",
        "True",
    ],
)
def test_these_hold_for_the_science_frame(text):
    assert holds(text) is True


@pytest.mark.parametrize(
    "text",
    [
        "exposure_time==61",
        "exposure_time!=60",
        "exposure_time!=60 and True",
        "filter_name=='Open&J_G0517'",
        'filter_name=="j"',
        'object=="grb120116a"',
        "FLAT",
        '"FLAT" in ad.tags',
        'camera=="ShortBlue"',
        "gcal_lamp < 3",
        "not IMAGE or FLAT",
        'ut_date<"2012-01-17"',
        "gain==13",
        "gcal_lamp in ('IRhigh', 'IRlow')",
    ],
)
def test_these_do_not_hold_for_the_science_frame(text):
    assert holds(text) is False


def test_equality_of_exposure_times_is_relative_to_one_percent():
    assert holds("exposure_time==60", EXPTIME=30.25)
    assert not holds("exposure_time==60", EXPTIME=30.5)
    assert holds("exposure_time!=60", EXPTIME=30.25)


def test_strict_compares_numbers_exactly_and_names_in_full():
    assert not holds("exposure_time==60", strict=True, EXPTIME=30.25)
    assert holds("exposure_time==60", strict=True)
    assert not holds('filter_name=="J"', strict=True)
    assert holds('filter_name=="Open&J_G0517"', strict=True)
    assert not holds("central_wavelength==1.650001e-6", strict=True)
    assert holds("central_wavelength==1.650001e-6")


def test_an_undefined_value_is_equal_to_none_only_and_neither_smaller_nor_larger():
    for text in ("exposure_time<1", "exposure_time>1", "exposure_time==60", "exposure_time in (60, 30)"):
        assert holds(text, EXPTIME=None) is False
    assert holds("exposure_time==None", EXPTIME=None)
    assert holds("exposure_time!=60", EXPTIME=None)
    assert holds("exposure_time in (60, None)", EXPTIME=None)
    assert holds("exposure_time!=None")


def test_a_quantity_that_a_frame_cannot_tell_is_undefined_and_no_reason_to_stop():
    assert holds("pixel_scale==0.15", CAMERA="Strange_G1") is False
    assert holds("position_angle>0", PA=None) is False


def test_lists_compare_by_their_common_value_and_mixed_ones_compare_false():
    one = headers()
    two = Headers(primary=one.primary, extensions=one.extensions * 2, name=one.name)
    mixed = Headers(primary=one.primary, extensions=(*one.extensions, {"NAXIS1": 10, "NAXIS2": 10}), name=one.name)
    assert parse("data_section==(0, 1024, 0, 1022)")(two)
    assert not parse("data_section==(0, 1024, 0, 1022)")(mixed)


def test_a_target_that_is_named_by_a_number_can_be_found():
    assert holds('object=="1234"', OBJECT=1234)
    assert not holds('object=="GRB"', OBJECT=1234)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("exposure_tme==60", "did you mean exposure_time"),
        ("Exposure_Time==60", "did you mean exposure_time"),
        ("DRAK", "did you mean DARK"),
        ("ad.exposure_tme()==60", "did you mean exposure_time"),
        ("exposure_time=60", "a single '=' does not compare"),
        ("object='a=b'", "a single '=' does not compare"),
        ("object==J0102", "unknown name 'J0102'"),
        ("exposure_time==", "cannot be understood"),
        ("", "cannot be understood"),
        ("exposure_time is None", "'is' does not compare"),
        ("exposure_time+1==2", "is not possible here"),
        ("__import__('os').system('true')", "is not possible here"),
        ("ad.phu['OBJECT']=='x'", "is not possible here"),
        ("ad.filename=='x'", "is not possible here"),
        ("[x for x in tags]", "is not possible here"),
        ("(lambda: True)()", "is not possible here"),
        ("f'{object}'=='x'", "is not possible here"),
        ("object=={'a': 1}", "cannot be compared"),
        ("object==b'x'", "cannot be compared"),
        ("(" * 300 + "1" + ")" * 300, ""),
    ],
)
def test_what_cannot_be_meant_is_refused_before_any_file_is_read(text, words):
    with pytest.raises(ParameterError) as caught:
        parse(text)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("exposure_time=='sixty'", "goes with a number"),
        ("wcs_ra=='01:04:57' or exposure_time<'1 min'", "goes with a number"),
        ("ut_date>'yesterday'", 'write "2012-01-16"'),
        ("ut_time>'5 h'", 'write "05:00:00"'),
        ("ut_datetime>'noon'", 'write "2012-01-16"'),
        ("camera>3", "cannot be compared"),
        ("exposure_time", "neither true nor false"),
        ("exposure_time and IMAGE", "neither true nor false"),
        ("'J' in exposure_time", "nothing can be in"),
        ("ad.filter_name(short=True)=='J'", "short"),
    ],
)
def test_a_comparison_without_sense_is_refused_with_a_way_out(text, words):
    with pytest.raises(ParameterError) as caught:
        holds(text)
    assert words in str(caught.value)
    assert text in str(caught.value)


def test_a_number_in_quotes_is_a_number():
    assert holds("exposure_time=='60'")


def test_every_descriptor_is_a_name_and_no_tag_is_one():
    for name in DESCRIPTORS:
        parse(f"{name}==None")
    assert TAG_NAMES.isdisjoint(DESCRIPTORS)


def test_every_tag_of_the_frames_of_a_night_is_a_name():
    for kind in ("SCIENCE", "DARK", "FLAT", "MASTER_DARK", "MASTER_FLAT", "MASTER_BPM"):
        assert tags(headers(getattr(tiny_frames, kind))) <= TAG_NAMES
