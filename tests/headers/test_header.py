"""A header that changes does what one of astropy does, card by card."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from keyhole.frames import from_astropy, to_astropy
from keyhole.headers import Header, Setting


def images(*cards: str) -> str:
    return "".join(card.ljust(80) for card in cards)


def raw() -> fits.Header:
    header = fits.Header()
    header["INSTRUME"] = ("GNIRS", "Instrument's name")
    header["EXPTIME"] = (60.0, "Exposure / s")
    header["COADDS"] = 1
    header["LAMP"] = True
    header["EMPTY"] = None
    header["LONGTEXT"] = ("a b/c " * 25).strip(), "a comment"
    header["HIERARCH ESO det gain"] = (1.5, "e/adu")
    header.add_comment("written by hand")
    header.add_history("first")
    header["AFTER"] = ("it's", "stands before the commentary")
    return header


def test_every_card_of_astropy_is_found_with_value_and_comment() -> None:
    theirs, ours = raw(), from_astropy(raw())
    for card in theirs.cards:
        if card.keyword in ("COMMENT", "HISTORY"):
            assert list(ours[card.keyword]) == list(theirs[card.keyword])
            continue
        expected = None if isinstance(card.value, fits.card.Undefined) else card.value
        assert ours[card.keyword] == expected and type(ours[card.keyword]) is type(expected), card.keyword
        assert ours.comments[card.keyword] == card.comment, card.keyword


def test_cards_that_nobody_changed_keep_their_text() -> None:
    odd = images(
        "EXPTIME =                   6.0E1 / s", "GAIN    = 13.50", "NAME    = 'a'", "HISTORY one", "COMMENT two"
    )
    assert to_astropy(Header(odd)).tostring(sep="", endcard=False, padding=False) == odd


def test_a_value_that_is_set_keeps_the_comment_and_the_place() -> None:
    theirs, ours = raw(), from_astropy(raw())
    for header in (theirs, ours):
        header["EXPTIME"] = 30.0
        header["COADDS"] = (2, "Number of coadds")
        header["NEW"] = (3, "behind the last, before the commentary")
        header["new"] = 4
    assert to_astropy(ours).tostring() == theirs.tostring()


def test_setting_the_same_value_leaves_the_text_alone() -> None:
    header = Header(images("GAIN    = 13.50               / e/ADU"))
    header["GAIN"] = 13.5
    assert [card for _, card in header.texts()] == [images("GAIN    = 13.50               / e/ADU")]
    header["GAIN"] = (13.5, "another comment")
    assert [card for _, card in header.texts()] == [Setting(13.5, "another comment")]


def test_a_number_of_another_type_is_another_value() -> None:
    header = Header(images("COADDS  = 1"))
    header["COADDS"] = 1.0
    assert isinstance(header["COADDS"], float)


def test_removing_cards() -> None:
    header = Header(images("A       = 1", "HISTORY one", "HISTORY two", "B       = 2", "A       = 3"))
    header.remove("HISTORY")
    del header["a"]
    assert list(header) == ["B"] and "A" not in header and header.get("HISTORY") is None
    header.remove("A", ignore_missing=True)
    with pytest.raises(KeyError, match="A"):
        header.remove("A")
    with pytest.raises(KeyError):
        header["A"]
    assert header.pop("B") == 2 and len(header) == 0
    assert header.pop("B", 7) == 7


def test_of_a_repeated_keyword_the_first_counts_and_both_are_written() -> None:
    text = images("A       = 1", "A       = 2")
    header = Header(text)
    assert header["A"] == 1 and len(header) == 1
    assert to_astropy(header).tostring(sep="", endcard=False, padding=False) == text


def test_history_is_added_behind_history_and_cut_at_72_characters() -> None:
    theirs, ours = raw(), from_astropy(raw())
    for header in (theirs, ours):
        header.add_history("second " * 20)
        header.add_comment("another")
        header["LAST"] = 1
    assert to_astropy(ours).tostring() == theirs.tostring()
    assert len(ours["HISTORY"]) == 3


def test_set_moves_a_card() -> None:
    header = Header({"A": 1, "B": 2, "C": (3, "third")})
    header.set("C", 4, before="A")
    header.set("A", 5, "five", after="B")
    header.set("D", 6, after="NOWHERE")
    assert list(header.items()) == [("C", 4), ("B", 2), ("A", 5), ("D", 6)]
    assert header.comments["A"] == "five" and header.comments["C"] == "third"


@pytest.mark.parametrize(
    "value", [np.nan, np.inf, -np.inf, np.float32("nan"), complex(np.nan, 1), [1], object(), "é", "a\nb"]
)
def test_what_a_card_cannot_hold_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="KEY"):
        Header()["KEY"] = value


@pytest.mark.parametrize("value", [np.int16(3), np.bool_(True), np.float32(1.1), np.float64(1.1), 1 + 2j, "x", None])
def test_values_of_numpy_are_written_as_astropy_writes_them(value: object) -> None:
    theirs, ours = fits.Header(), Header()
    theirs["KEY"] = ours["KEY"] = value
    assert to_astropy(ours).tostring() == theirs.tostring()


def test_a_copy_is_its_own_and_travels() -> None:
    header = from_astropy(raw())
    for other in (header.copy(), copy.copy(header), copy.deepcopy(header), pickle.loads(pickle.dumps(header))):
        other["EXPTIME"] = 1.0
        other.add_history("more")
        assert header["EXPTIME"] == 60.0 and len(header["HISTORY"]) == 1 and len(other["HISTORY"]) == 2


def test_cards_and_comments_can_be_looked_at_and_changed() -> None:
    theirs, ours = raw(), from_astropy(raw())
    known = [(card.keyword.upper(), card.comment) for card in theirs.cards]
    assert [(card.keyword, card.comment) for card in ours.cards] == known
    assert [card.value for card in ours.cards if card.keyword == "HISTORY"] == ["first"]
    for header in (theirs, ours):
        header.comments["EXPTIME"] = "changed"
        header.append(("ADDED", 1))
        header.append(("ADDED2", 2, "with a comment"))
        header.rename_keyword("COADDS", "NCOADDS")
    assert to_astropy(ours).tostring() == theirs.tostring() and ours["NCOADDS"] == 1
    with pytest.raises(ValueError, match="there already"):
        ours.rename_keyword("ADDED", "added2")
    del ours.comments["EXPTIME"]
    assert ours.comments["EXPTIME"] == "" and len(ours.comments) == len(ours) - 2


def test_keywords_are_found_in_any_case() -> None:
    header = Header({"abc": 1})
    assert header["ABC"] == header["aBc"] == header.get(" abc ") == 1 and "Abc" in header


def test_a_hierarch_card_without_a_value_is_kept_as_it_is() -> None:
    header = Header(images("HIERARCH nothing here", "A       = 1"))
    assert list(header)[1] == "A"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert to_astropy(header).tostring(sep="", endcard=False, padding=False).startswith("HIERARCH nothing here")


_texts = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=120).map(str.rstrip)
_values = st.one_of(
    _texts, st.integers(-(2**40), 2**40), st.floats(allow_nan=False, allow_infinity=False), st.booleans()
)


@given(st.lists(st.tuples(st.sampled_from(["A", "B", "LONGNAME", "HISTORY", "COMMENT"]), _values), max_size=12))
def test_any_sequence_of_settings_gives_the_cards_of_astropy(settings: list[tuple[str, object]]) -> None:
    theirs, ours = fits.Header(), Header()
    for keyword, value in settings:
        if keyword in ("HISTORY", "COMMENT"):
            theirs.add_history(str(value)) if keyword == "HISTORY" else theirs.add_comment(str(value))
            ours[keyword] = str(value)
        else:
            theirs[keyword] = ours[keyword] = value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        written = to_astropy(ours).tostring()
        assert written == theirs.tostring()
        read = fits.Header.fromstring(written)
        for keyword in ("A", "B", "LONGNAME"):
            assert from_astropy(read).get(keyword) == read.get(keyword)


def test_names_follow_every_change() -> None:
    header = Header({"A": 1, "B": 2})
    assert list(header) == ["A", "B"]
    header["C"] = 3
    assert list(header) == ["A", "B", "C"] and len(header) == 3
    header.add_history("one")
    assert list(header)[-1] == "HISTORY"
    header.set("C", 3, before="A")
    assert next(iter(header)) == "C"
    header.rename_keyword("C", "D")
    assert next(iter(header)) == "D"
    other = header.copy()
    del other["A"]
    assert "A" not in list(other) and "A" in list(header)
