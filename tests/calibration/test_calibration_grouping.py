from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from known_facts import DARK, FLAT, RULE, SCIENCE

from keyhole.calibration import Grade, judge_set, raw_sets, set_criteria
from keyhole.engine import inputs

RAW_DARK = replace(DARK, caltype=None, tags=frozenset({"RAW", "DARK", "GNIRS"}), night="2012-01-01")
LAMP_ON = replace(FLAT, caltype=None, tags=frozenset({"RAW", "FLAT", "IMAGE", "LAMPON"}), night="2012-01-16")
LAMP_OFF = replace(LAMP_ON, tags=frozenset({"RAW", "FLAT", "IMAGE", "LAMPOFF"}))


def series(base, n, *, first=1, minutes=1.0, **change):
    return [
        replace(
            base,
            name=f"{first + number}.fits",
            ut_datetime=base.ut_datetime + number * timedelta(minutes=minutes),
            **change,
        )
        for number in range(n)
    ]


def names(found):
    return [(made.caltype, [frame.name for frame in made.frames], [f.name for f in made.lamp_off]) for made in found]


def test_darks_of_one_kind_and_night_make_one_set_in_time():
    darks = series(RAW_DARK, 3)
    assert names(raw_sets(reversed(darks))) == [("processed_dark", ["1.fits", "2.fits", "3.fits"], [])]


def test_darks_of_other_coadds_exposures_or_nights_make_sets_of_their_own():
    frames = [
        *series(RAW_DARK, 2),
        *series(RAW_DARK, 2, first=3, coadds=2),
        *series(RAW_DARK, 2, first=5, exposure_time=30.0),
        *series(RAW_DARK, 2, first=7, night="2012-01-02"),
        *series(RAW_DARK, 2, first=9, read_mode="Bright Objects"),
    ]
    assert sorted(made.names for made in raw_sets(frames)) == [
        (f"{number}.fits", f"{number + 1}.fits") for number in (1, 3, 5, 7, 9)
    ]


def test_exposures_that_differ_by_less_than_the_header_can_say_are_one_set():
    frames = [*series(RAW_DARK, 1), *series(RAW_DARK, 1, first=2, exposure_time=60.0000001)]
    assert len(raw_sets(frames)) == 1


def test_lamp_off_flats_go_with_lamp_on_flats_of_the_same_optics_within_a_day():
    on, other = series(LAMP_ON, 2), series(LAMP_ON, 1, first=3, filter_name="Open&H_G0516")
    off = series(LAMP_OFF, 2, first=4)
    (late,) = series(LAMP_OFF, 1, first=6)
    late = replace(late, ut_datetime=late.ut_datetime + timedelta(days=1))
    found = {made.frames[0].filter_name: made for made in raw_sets([*off, late, *other, *on])}
    assert names([found["Open&J_G0517"]]) == [("processed_flat", ["1.fits", "2.fits"], ["4.fits", "5.fits"])]
    assert found["Open&H_G0516"].lamp_off == ()


def test_other_frames_and_unknown_settings_make_no_set():
    frames = [SCIENCE, replace(RAW_DARK, read_mode="Unknown"), replace(RAW_DARK, ut_datetime=None), DARK]
    assert raw_sets(frames) == []


def test_a_set_is_judged_as_the_master_it_makes():
    (made,) = raw_sets(series(RAW_DARK, 3))
    rule, judgement = judge_set(made, SCIENCE)
    assert rule is RULE["dark"]
    assert judgement.grade is Grade.DOUBTFUL  # one coadd, the frame has two
    assert judge_set(made, replace(SCIENCE, instrument="NIRI")) is None


def test_a_run_asks_of_its_inputs_what_the_rules_ask_of_a_set():
    for kind in ("dark", "flat"):
        asked = [quantity for quantity, _ in inputs._COMMON[kind]]
        assert asked == [criterion.quantity for criterion in set_criteria(kind)]
