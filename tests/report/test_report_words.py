from __future__ import annotations

import math

import pytest

from keyhole.report.plots import Plot, ticks
from keyhole.report.remedies import RANKS, remedy_for
from keyhole.report.verdict import answers_of, state_of
from keyhole.report.words import clipped, number, slug, with_error

from report_pages import frame, image_group, told  # isort: skip  (support of the tests)


@pytest.mark.parametrize(
    ("value", "error", "unit", "words"),
    [
        (0.55443, 0.00247, "arcsec", "(0.5544 ± 0.0025)″"),
        (3583.369, 0.5057, "electron", "3583.37 ± 0.51 e⁻"),
        (1234567.0, 4321.0, "", "1234567 ± 4321"),
        (-0.31, 0.5, "electron", "−0.31 ± 0.50 e⁻"),
        (12.695, None, "electron / s", "12.7 e⁻/s"),
        (42, None, "", "42"),
        (None, 0.1, "s", "–"),
        (math.nan, None, "s", "–"),
        (0.5, math.nan, "", "0.500"),
        (1.5e-9, None, "", "1.50e-09"),
    ],
)
def test_numbers_are_rounded_to_their_error(value, error, unit, words):
    assert with_error(value, error, unit) == words


def test_words_are_bounded_and_without_control_characters():
    assert clipped("a\x00b\n") == "a\ufffdb\ufffd"
    assert len(clipped("x" * 10_000, 50)) == 50
    assert slug("<a b>/ü") == "a-b" and slug("///") == "x"
    assert number("<b>") == "<b>"


@pytest.mark.parametrize(
    ("span", "log", "expected"),
    [((0, 10), False, [0, 2, 4, 6, 8, 10]), ((1, 20), True, [1, 2, 5, 10, 20]), ((3, 3), False, [3])],
)
def test_ticks_are_round_and_within_the_axis(span, log, expected):
    assert ticks(span, 5, log=log) == pytest.approx(expected)


@pytest.mark.parametrize("low", [1e-9, 0.3, 17.0, 4e8])
@pytest.mark.parametrize("width", [1e-3, 1.0, 7.7])
def test_any_axis_gets_some_ticks_and_not_too_many(low, width):
    found = ticks((low, low * (1 + width)), 6)
    assert 2 <= len(found) <= 8
    assert all(low * (1 - 1e-9) <= tick <= low * (1 + width) * (1 + 1e-9) for tick in found)


def test_points_lie_where_the_axes_say():
    plot = Plot("t", "d", "x", "y", (0, 10), (1, 100), log=False)
    assert plot.x(0) == plot.left and plot.x(10) == plot.width - 10
    assert plot.y(100) < plot.y(50.5) < plot.y(1)
    assert plot.y(50.5) == pytest.approx((plot.y(1) + plot.y(100)) / 2)
    logarithmic = Plot("t", "d", "x", "y", (1, 100), (1, 100), log=True)
    assert logarithmic.x(10) == pytest.approx((logarithmic.x(1) + logarithmic.x(100)) / 2)


KNOWN = (
    "dark N1_dark.fits: 1 coadd of 60 s, frame has 2 coadds of 30 s; same total exposure",
    "array SN1 has no known non-linearity: bright stars stay uncorrected",
    "N1: hardly any light reached the detector; left out",
    "N1 lies 3.0 arcsec from its commanded place",
    "too few sources to align by; the commanded offset is used, wrong by about 0.2 arcsec",
    "no whole sources to align by; aligned on all light, to about a tenth of a pixel",
    "the transparency changed (N1 0.63); counts were brought to that of the median frame",
    "no common star tells the transparency; taken to be that of the median frame",
    "the sources contradict the commanded offsets and confirm the WCS of the headers",
    "the WCS of 3 headers disagrees with that of the others, which is taken",
    "fewer than 3 skies exist; the noise of the sky is high",
    "fewer than 3 skies within 600 s; ones further in time are used",
    "illumination unchecked with 2 frames; fluxes may be some per cent off",
    "with 2 frames cosmic rays are recognised by their sharpness alone",
    "3.0 % of the pixels look like cosmic rays; check its alignment",
    "a master dark of a single dark keeps its noise and cosmic rays; give several",
    "no lamp-off flats: the level of unlit pixels is subtracted; hot pixels and thermal light stay",
    "the keyhole is drawn at its usual place: no light",
    "no processed dark; the frames are used without that correction",
    "x_stack.fits: made without a dark (best effort, CALGRADE 4); do not measure on it",
    "the frames are not on one grid and are stacked as they are; resampleToCommonFrame aligns them",
)


@pytest.mark.parametrize("caveat", KNOWN)
def test_caveats_of_the_steps_have_a_meaning_and_a_remedy_of_their_own(caveat):
    general, found = remedy_for("something that nobody has seen"), remedy_for(caveat)
    assert found != general
    assert found.rank in RANKS and found.meaning.endswith(".") and found.action[-1] in ".?"


def answer(question, **changed):
    group = image_group(**changed)
    answers = answers_of(group)
    return next(one for one in answers if question in one.question), state_of(group, answers)


def test_frames_by_their_offsets_alone_forbid_to_trust_the_image():
    frames = [frame(k, registration="offsets" if k == 2 else "sources") for k in range(5)]
    found, (state, words) = answer("aligned", frames=frames)
    assert found.state == "bad" and found.headline == "Not all: 1 by the offsets alone"
    assert (state, words) == ("bad", "Do not use before a look")


@pytest.mark.parametrize(("scatter", "state"), [(0.01, "good"), (0.2, "care"), (0.5, "bad")])
def test_alignment_is_judged_by_the_scatter_of_the_stars(scatter, state):
    frames = [frame(k, registration_scatter=scatter) for k in range(5)]
    assert answer("aligned", frames=frames)[0].state == state


@pytest.mark.parametrize(("rms", "state"), [(1.2, "good"), (7.0, "care"), (30.0, "bad")])
def test_sky_is_judged_by_what_it_adds_to_the_faintest_stars(rms, state):
    figures = image_group()["figures"] | {"tile_rms": told(rms, None, "electron")}
    assert answer("sky", figures=figures)[0].state == state


@pytest.mark.parametrize(("ratio", "state"), [(1.1, "good"), (1.5, "care"), (2.5, "bad")])
def test_depth_is_judged_by_how_the_noise_averages(ratio, state):
    figures = image_group()["figures"] | {
        "growth_noise": told([10.0, 10.0 * ratio]),
        "growth_expected": told([10.0, 10.0]),
    }
    assert answer("deep", figures=figures)[0].state == state


@pytest.mark.parametrize(("grade", "state"), [(0, "good"), (2, "care"), (3, "bad"), (4, "bad")])
def test_calibrations_are_judged_by_their_grade(grade, state):
    chosen = [{"kind": "dark", "file": "d.fits" if grade < 4 else None, "grade": grade, "reason": "why"}]
    found, _ = answer("dark", calibrations=chosen)
    assert found.state == state and f"grade {grade} of 4" in found.detail


def test_serious_caveat_decides_what_comes_next():
    caveats = [{"text": "x: made without a dark (best effort)", "count": 1, "step": None}]
    found, (state, _) = answer("next", caveats=caveats)
    assert state == "bad" and found.detail.startswith("Do not measure on this image")


def test_good_image_says_what_to_measure_on():
    assert "GRB120116A-J_stack.fits" in answer("next")[0].detail


def test_nobody_is_told_to_trust_what_is_not_known_or_what_a_caveat_doubts():
    figures = {name: value for name, value in image_group()["figures"].items() if not name.startswith("tile")}
    assert answer("sky", figures=figures)[1] == ("care", "Usable, as far as is known")
    caveats = [{"text": "something that nobody has seen", "count": 1, "step": None}]
    assert answer("sky", caveats=caveats)[1] == ("care", "Usable with care")
    assert answer("sky")[1] == ("good", "Can be trusted")
