from __future__ import annotations

import math
import pickle

import pytest

from keyhole.headers import Cards


def cards(*lines: str) -> Cards:
    return Cards("".join(line.ljust(80)[:80] for line in lines))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("                  12 / twelve", 12),
        ("-7", -7),
        ("                 10. / a float without digits", 10.0),
        (" -4.21346886744447123456E-05 / past column 30", -4.21346886744447123456e-05),
        ("1.5D3", 1500.0),
        ("1.5d-3", 0.0015),
        ("2e2", 200.0),
        (".5", 0.5),
        ("                    T / true", True),
        ("F", False),
        ("'J_G0517 '           / trailing blanks", "J_G0517"),
        ("'        '", ""),
        ("''", ""),
        ("'  leading stay'", "  leading stay"),
        ("'O''Neill / not a comment' / a comment", "O'Neill / not a comment"),
        ("'it''s'''", "it's'"),
        ("'32/mm_G5506'", "32/mm_G5506"),
        ("                     / undefined", None),
        ("", None),
        ("(1.0, -2.0)", complex(1, -2)),
        ("1_000", "1_000"),
        ("NaN", "NaN"),
        ("'never closed", "never closed"),
    ],
)
def test_value_of_a_card(field, value):
    found = cards(f"KEY     = {field}")["KEY"]
    assert found == value
    assert type(found) is type(value)


def test_negative_zero_keeps_its_sign():
    found = cards("QOFFSET =                  -0. / offset")["QOFFSET"]
    assert found == 0
    assert math.copysign(1, found) == -1


def test_value_may_follow_the_equals_sign_directly():
    assert cards("KEY     =5")["KEY"] == 5
    assert cards("KEY     ='a'")["KEY"] == "a"


def test_first_of_repeated_cards_counts():
    assert cards("KEY     = 1", "KEY     = 2")["KEY"] == 1


def test_comments_and_history_may_stand_anywhere():
    header = cards(
        "COMMENT   first",
        "A       = 1",
        "HISTORY one",
        "",
        "COMMENT = 'string  '           / comment",
        "HISTORY two",
        "B       = 2",
    )
    assert (header["A"], header["B"]) == (1, 2)
    assert header["HISTORY"] == "one\ntwo"
    assert header["COMMENT"] == "  first\n= 'string  '           / comment"
    assert "" not in header
    assert list(header) == ["COMMENT", "A", "HISTORY", "B"]


def test_continued_string_is_one_value():
    header = cards("LONG    = 'abc&'", "CONTINUE  'd''e &'", "CONTINUE  'f' / comment", "B       = 2")
    assert header["LONG"] == "abcd'e f"
    assert header["B"] == 2


def test_ampersand_without_continuation_is_text():
    assert cards("A       = 'x & y &'", "B       = 1")["A"] == "x & y &"


def test_continuation_without_beginning_is_ignored():
    header = cards("A       = 'x&'", "A       = 'y&'", "CONTINUE  'z'")
    assert header["A"] == "x&"


def test_hierarch_card_has_its_long_name():
    header = cards("HIERARCH ESO det gain = 1.5 / e/adu", "HIERARCH nothing here", "A       = 1")
    assert header["ESO DET GAIN"] == 1.5
    assert header["A"] == 1


def test_card_without_value_indicator_is_text():
    assert cards("NOVALUE   some words")["NOVALUE"] == "some words"


def test_missing_card_is_a_key_error_and_has_a_default():
    header = cards("A       =")
    assert "A" in header
    assert header.get("A", 5) is None
    assert header.get("B", 5) == 5
    assert "B" not in header
    with pytest.raises(KeyError):
        header["B"]


def test_cards_survive_pickling():
    header = cards("A       = 1", "B       = 'x'")
    assert dict(pickle.loads(pickle.dumps(header))) == {"A": 1, "B": "x"}
    assert len(header) == 2


def test_same_values_as_astropy_reads():
    fits = pytest.importorskip("astropy.io.fits")
    header = fits.Header()
    header["A"] = (1.23456789012345e-17, "tiny")
    header["B"] = "it's a / string"
    header["C"] = -3
    header["D"] = True
    header["E"] = "long " * 40 + "end"
    header["F"] = None
    header.add_history("done")
    header["HIERARCH some long keyword"] = 4.5
    found = Cards(header.tostring(endcard=False, padding=False))
    assert [found[key] for key in "ABCDE"] == [header[key] for key in "ABCDE"]
    assert found["F"] is None
    assert found["HISTORY"] == "done"
    assert found["SOME LONG KEYWORD"] == 4.5


def test_cards_that_are_shared_are_the_same_and_held_once():
    lines = "OBJECT  = 'Some star'", "EXPTIME =                 60.0 / s", "COMMENT words"
    one, other = cards(*lines), cards(*lines, "GAIN    =  2")
    expected = dict(one)
    for some in (one, other):
        some.share()
    assert dict(one) == expected
    assert dict(other) == {**expected, "GAIN": 2}
    assert all(one._images[keyword] is other._images[keyword] for keyword in one)
