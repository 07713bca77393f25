from __future__ import annotations

import pytest
from astropy.io import fits

from keyhole.simulate.cards import card, comment, header_block


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (10.0, "                 10."),
        (-0.0, "                 -0."),
        (0.13, "                0.13"),
        (-4.21346886744447e-5, "-4.21346886744447E-05"),
        (True, "                   T"),
        (1024, "                1024"),
        ("J_G0517", "'J_G0517 '          "),
        ("", "'        '          "),
    ],
)
def test_values_look_as_the_telescope_writes_them(value, text):
    written = card("KEY", value, "meaning")
    assert len(written) == 80
    assert written.startswith(f"KEY     = {text} / meaning")


@pytest.mark.parametrize("value", [1.5e-7, -123.456789012345, 0.1, 3.0, 1e20, 487.586543899258])
def test_floats_come_back_as_they_were(value):
    assert fits.Card.fromstring(card("KEY", value)).value == pytest.approx(value, rel=1e-14)


def test_long_floats_run_past_column_thirty():
    written = card("CD2_1", -4.18734396727074e-5, "matrix")
    assert written[30] != " "
    assert written[31:34] == " / "


def test_a_quote_in_a_string_survives():
    assert fits.Card.fromstring(card("OBSERVER", "O'Neill")).value == "O'Neill"


def test_too_long_strings_and_infinite_numbers_are_refused():
    with pytest.raises(ValueError, match="does not fit"):
        card("KEY", "x" * 90)
    with pytest.raises(ValueError, match="FITS header"):
        card("KEY", float("nan"))


def test_header_blocks_are_whole_blocks_and_end():
    block = header_block([comment("words")] * 40)
    assert len(block) == 2 * 2880
    assert block[40 * 80 :].startswith(b"END ")
