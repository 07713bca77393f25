"""What products say about the masters they were made with, and runs that make do without."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from toy_runs import raw_file, raw_files

from keyhole.calibration import CalibrationStore, Config, Database, Grade, MissingCalibrationError, parse_user_cals
from keyhole.engine.events import CalibrationChosen, Caveat
from keyhole.engine.request import Association
from keyhole.engine.served import Served
from keyhole.frames import Frame, read_frame


def darks_only(p):
    p.darkCorrect()


def both(p):
    p.darkCorrect()
    p.flatCorrect()


def database(file: Path, *masters: Path) -> Config:
    store = CalibrationStore(file)
    store.create()
    for master in masters:
        store.add(master)
    return Config((Database(str(file), get=True, store=False),), source=None)


@pytest.fixture
def science(tmp_path):
    return raw_files(tmp_path, "science", 2, COADDS=1, EXPTIME=60.0)


def history_of(header):
    return " ".join("".join(str(line).ljust(72) for line in header["HISTORY"]).split())


def calibrations_in(frame, step):
    table = frame.tables["HISTORY"].columns
    (args,) = [args for name, args in zip(table["primitive"], table["args"], strict=True) if name == step]
    return json.loads(args).get("calibrations")


# -- grades ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cards", "expected"),
    [
        ({"DATE_OBS": "2012-01-17", "UT": "19:00:00.0"}, (0, "same night, 8.5 h after the frame")),
        ({}, (1, "14.7 days before the frame")),
        ({"COADDS": 2}, (2, "2 coadds of 30 s, frame has 1 coadd of 60 s; same total exposure; 14.7 days before")),
    ],
)
def test_grade_and_reason_stand_in_header_history_and_event(reduced, science, tmp_path, cards, expected):
    grade, reason = expected
    dark = raw_file(tmp_path / "x_dark.fits", "master dark", **cards)
    (first, _) = reduced(science, darks_only, config=database(tmp_path / "cal.db", dark)).outputs
    product = read_frame(first)
    assert (product.primary["CALGRADE"], product.primary["DARKGRAD"]) == (grade, grade)
    assert f"dark x_dark.fits: grade {grade} ({Grade(grade).words}): {reason}" in history_of(product.primary)
    (told,) = calibrations_in(product, "darkCorrect")
    assert (told["kind"], told["file"], told["grade"]) == ("processed_dark", "x_dark.fits", grade)
    assert told["reason"].startswith(reason)
    (event,) = reduced.of(CalibrationChosen)
    assert event.grade == grade


def test_a_master_given_by_hand_against_the_rule_has_grade_three(reduced, science, tmp_path):
    short = raw_file(tmp_path / "short_dark.fits", "master dark", EXPTIME=10.0)
    fitting = raw_file(tmp_path / "fitting_dark.fits", "master dark")
    config = database(tmp_path / "cal.db", fitting)
    result = reduced(science, darks_only, config=config, user_cals=parse_user_cals([f"processed_dark:{short}"]))
    product = read_frame(result.outputs[0])
    assert (product.primary["CALGRADE"], product.primary["DARKIM"]) == (3, "short_dark.fits")
    assert "grade 3 (against the rule, by hand only): total exposure 10 s, needed 60 s" in history_of(product.primary)


def test_a_master_named_by_a_parameter_is_graded_too(reduced, science, tmp_path):
    mine = raw_file(tmp_path / "my_dark.fits", "master dark")
    result = reduced(science, darks_only, settings={"darkCorrect:dark": str(mine)})
    assert read_frame(result.outputs[1]).primary["DARKGRAD"] == 1


def test_the_worst_calibration_counts(reduced, science, tmp_path):
    dark = raw_file(tmp_path / "x_dark.fits", "master dark")
    flat = raw_file(tmp_path / "x_flat.fits", "master flat", DATE_OBS="2011-06-01")
    result = reduced(science, both, config=database(tmp_path / "cal.db", dark, flat))
    primary = read_frame(result.outputs[0]).primary
    assert (primary["DARKGRAD"], primary["FLATGRAD"], primary["CALGRADE"]) == (1, 2, 2)
    assert "more than 90 days" in " ".join(result.caveats)


def test_a_product_made_without_calibrations_has_no_grade(reduced, science):
    result = reduced(science, lambda p: p.toyMultiply())
    assert "CALGRADE" not in read_frame(result.outputs[0]).primary


def test_a_product_keeps_the_grade_of_the_products_it_is_made_of(reduced, science, tmp_path):
    dark = raw_file(tmp_path / "x_dark.fits", "master dark", COADDS=2)
    (first, _) = reduced(science, darks_only, config=database(tmp_path / "cal.db", dark)).outputs
    (again,) = reduced([first], lambda p: p.toyMultiply()).outputs
    assert read_frame(again).primary["CALGRADE"] == 2


def test_each_frame_tells_its_own_masters_and_a_combination_those_of_all():
    def association(name, grade):
        return Association("processed_dark", Path(name), "from db", name, ("a",), (), grade)

    served = Served({("a", "processed_dark"): association("a.fits", Grade.GOOD)})
    served._chosen[("b", "processed_dark")] = association("b.fits", Grade.DOUBTFUL)
    assert served.ask("a", "processed_dark") == Path("a.fits")
    assert served.ask("b", "processed_dark") == Path("b.fits")
    assert served.ask("c", "processed_dark") is None
    single, stack = (
        Frame(name, fits.Header({"ORIGNAME": "a.fits"}), fits.Header(), np.zeros((2, 2), np.float32))
        for name in ("a_x.fits", "a_stack.fits")
    )
    stack.primary["NCOMBINE"] = 2
    for product in (single, stack):
        served.write_cards(product)
        served.write_cards(product)  # a second time changes nothing
    assert (single.primary["CALGRADE"], len(single.primary["HISTORY"])) == (1, 1)
    assert (stack.primary["CALGRADE"], len(stack.primary["HISTORY"])) == (2, 2)


# -- best effort ----------------------------------------------------------------------------------------


def test_all_missing_masters_are_told_at_once_with_their_candidates(reduced, science, tmp_path):
    short = raw_file(tmp_path / "short_dark.fits", "master dark", EXPTIME=10.0)
    deep = raw_file(tmp_path / "deep_flat.fits", "master flat", DETBIAS=-0.6)
    with pytest.raises(MissingCalibrationError) as caught:
        reduced(science, both, config=database(tmp_path / "cal.db", short, deep))
    assert "short_dark.fits" in str(caught.value)
    assert "deep_flat.fits" in str(caught.value)
    told = {item.caltype: [c.entry.name for c in item.candidates] for item in caught.value.explanations}
    assert told == {"processed_dark": ["short_dark.fits"], "processed_flat": ["deep_flat.fits"]}
    assert {item.path for item in caught.value.explanations} == {str(science[0])}
    assert list(reduced.folder.iterdir()) == []


def test_best_effort_goes_on_marks_the_product_and_warns_at_start_and_end(reduced, science, tmp_path):
    short = raw_file(tmp_path / "short_dark.fits", "master dark", EXPTIME=10.0)
    flat = raw_file(tmp_path / "x_flat.fits", "master flat")
    result = reduced(science, both, config=database(tmp_path / "cal.db", short, flat), best_effort=True)
    product = read_frame(result.outputs[0])
    assert (product.primary["CALGRADE"], product.primary["DARKGRAD"]) == (4, 4)
    assert product.primary["FLATGRAD"] < 4
    assert "no dark: none fits" in history_of(product.primary)
    assert "best effort: 2 frames without dark" in product.primary["CAVEAT01"]
    warnings = [event.text for event in reduced.of(Caveat)]
    assert "short_dark.fits" in warnings[0]
    assert warnings[-1].endswith("made without a dark (best effort, CALGRADE 4); do not measure on it")


def test_best_effort_changes_nothing_where_all_is_found(reduced, science, tmp_path):
    dark = raw_file(tmp_path / "x_dark.fits", "master dark")
    config = database(tmp_path / "cal.db", dark)
    result = reduced(science, darks_only, config=config, best_effort=True)
    assert read_frame(result.outputs[0]).primary["CALGRADE"] == 1
    assert reduced.of(Caveat) == []


def test_a_correction_that_is_forced_stops_even_the_best_effort(reduced, science, tmp_path):
    with pytest.raises(MissingCalibrationError):
        reduced(
            science,
            darks_only,
            config=database(tmp_path / "cal.db"),
            best_effort=True,
            settings={"darkCorrect:do_cal": "force"},
        )
