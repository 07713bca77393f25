from __future__ import annotations

from pathlib import Path

import pytest

from keyhole.cli.arguments import inline_options, regroup
from keyhole.cli.reduce import make_parser


def understood(line: str):
    return make_parser().parse_intermixed_args(regroup(inline_options(line.split())))


# -- inputs and values ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "a.fits b.fits -p x=1 s:y=2",
        "-p x=1 s:y=2 a.fits b.fits",
        "a.fits -p x=1 s:y=2 b.fits",
        "a.fits -p x=1 -p s:y=2 b.fits",
        "a.fits --param x=1 s:y=2 b.fits",
        "a.fits --par x=1 s:y=2 b.fits",
        "a.fits --param=x=1 -p s:y=2 b.fits",
        "-p x=1 a.fits -p s:y=2 b.fits",
        "a.fits -px=1 b.fits --param s:y=2",
    ],
)
def test_inputs_may_stand_anywhere_and_keep_their_order(line):
    found = understood(line)
    assert found.files == ["a.fits", "b.fits"]
    assert found.param == ["x=1", "s:y=2"]


@pytest.mark.parametrize(
    "line",
    [
        "@t.lis --user_cal processed_dark:d.fits processed_flat:f.fits",
        "--user_cal processed_dark:d.fits processed_flat:f.fits @t.lis",
        "--user processed_dark:d.fits @t.lis --user processed_flat:f.fits",
        "--user_cal=processed_dark:d.fits @t.lis --us processed_flat:f.fits",
    ],
)
def test_masters_by_hand_and_inputs_are_told_apart(line):
    found = understood(line)
    assert found.files == ["@t.lis"]
    assert found.user_cal == ["processed_dark:d.fits", "processed_flat:f.fits"]


def test_inputs_may_stand_between_other_options():
    found = understood("a.fits -r alignAndStack b.fits --suffix _x --ql c.fits")
    assert found.files == ["a.fits", "b.fits", "c.fits"]
    assert (found.recipe, found.suffix, found.mode) == ("alignAndStack", "_x", "ql")


def test_first_word_belongs_to_the_option_so_that_a_slip_is_noticed():
    assert understood("a.fits -p nonsense").param == ["nonsense"]
    assert understood("@t.lis --user_cal d_dark.fits").user_cal == ["d_dark.fits"]
    assert understood("@t.lis --user_cal d_dark.fits").files == ["@t.lis"]


def test_input_whose_name_looks_like_a_value_is_an_input_behind_a_list_sign():
    found = understood("--user_cal processed_dark:d.fits @odd:name.lis")
    assert found.files == ["@odd:name.lis"]


def test_kinds_of_upload_are_told_from_inputs():
    found = understood("--upload metrics calibs a.fits")
    assert (found.upload, found.files) == (["metrics", "calibs"], ["a.fits"])


@pytest.mark.parametrize(
    "line", ["a.fits -p", "a.fits --user_cal --ql", "--upload nonsense", "a.fits --nosuch", "--u x:y"]
)
def test_option_without_value_or_unknown_ends_with_usage(line, capsys):
    with pytest.raises(SystemExit) as caught:
        understood(line)
    assert caught.value.code == 2
    assert "usage: reduce" in capsys.readouterr().err


def test_last_of_two_modes_wins_and_none_is_sq():
    assert understood("a.fits").mode == "sq"
    assert understood("a.fits --qa --ql").mode == "ql"
    assert understood("a.fits --ql --qa").mode == "qa"


def test_words_are_not_changed_without_such_options():
    words = ["a.fits", "-r", "x", "--ql", "-"]
    assert regroup(words) == words


# -- options in lists -----------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_list_of_names_is_left_to_be_read_as_a_list():
    Path("t.lis").write_text("# names\na.fits b.fits\nx=1.fits\n")
    assert inline_options(["@t.lis", "-r", "x"]) == ["@t.lis", "-r", "x"]


def test_list_may_hold_a_whole_call():
    Path("call.txt").write_text("a.fits b.fits   # the inputs\n-p x=1\n  s:y=2\n# no more\n--suffix _x --ql\n")
    found = understood("@call.txt c.fits")
    assert found.files == ["a.fits", "b.fits", "c.fits"]
    assert found.param == ["x=1", "s:y=2"]
    assert (found.suffix, found.mode) == ("_x", "ql")


def test_list_may_hold_the_values_of_an_option():
    Path("pars.lis").write_text("x=1\ns:y=2\n")
    Path("cals.lis").write_text("processed_dark:d.fits\n")
    found = understood("-p @pars.lis a.fits --user_cal @cals.lis b.fits")
    assert found.param == ["x=1", "s:y=2"]
    assert found.user_cal == ["processed_dark:d.fits"]
    assert found.files == ["a.fits", "b.fits"]


def test_list_in_a_list_is_inlined_where_it_holds_options():
    Path("outer.txt").write_text("@inner.txt --ql @names.lis\n")
    Path("inner.txt").write_text("-p x=1\n")
    Path("names.lis").write_text("a.fits\n")
    found = understood("@outer.txt")
    assert (found.files, found.param, found.mode) == (["@names.lis"], ["x=1"], "ql")


def test_list_that_contains_itself_ends():
    Path("loop.txt").write_text("--ql @loop.txt\n")
    assert inline_options(["@loop.txt"]) == ["--ql", "@loop.txt"]


@pytest.mark.parametrize("content", [None, b"\xff\xfe-p\n", b""])
def test_list_that_cannot_be_read_is_left_to_be_told(content):
    if content is not None:
        Path("t.lis").write_bytes(content)
    assert inline_options(["@t.lis"]) == ["@t.lis"]
    assert inline_options(["@"]) == ["@"]
