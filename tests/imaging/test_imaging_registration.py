"""Which account of the dither pattern the sources confirm."""

from __future__ import annotations

import numpy as np
import pytest

from keyhole.imaging.match import SourceList
from keyhole.imaging.registration import Account, accounts, register_by_accounts

DITHERS = np.array([(0.0, 0.0), (80.0, 15.0), (160.0, -15.0), (-90.0, 0.0), (-170.0, 20.0)])
SETTINGS = {"search_radius": 13.0, "match_radius": 3.3, "jump_radius": 50.0}


def source_lists(shifts, *, stars=12, seed=3):
    rng = np.random.default_rng(seed)
    places, flux = rng.uniform((0, 0), (640, 95), (stars, 2)), 10 ** rng.uniform(3, 5, stars)
    lists = []
    for shift in shifts:
        x, y = (places + shift + rng.normal(0, 0.03, places.shape)).T
        lists.append(SourceList(x, y, flux * rng.normal(1, 0.02, stars)))
    return lists


def found(lists, possible):
    return register_by_accounts(lists, possible, **SETTINGS)


def test_commanded_offsets_are_kept_where_they_hold():
    confirmed = found(source_lists(DITHERS), accounts(DITHERS, None, tolerance=13.0))
    assert confirmed.rank == 0
    np.testing.assert_allclose(confirmed.registration.shifts, DITHERS, atol=0.05)


@pytest.mark.parametrize("signs", [(-1, -1), (-1, 1)])
def test_stars_that_move_against_the_offsets_are_believed(signs):
    true = DITHERS * np.array(signs)
    confirmed = found(source_lists(true), accounts(DITHERS, None, tolerance=13.0))
    assert "reversed" in confirmed.account.words
    np.testing.assert_allclose(confirmed.registration.shifts, true, atol=0.05)


def test_wcs_is_believed_where_the_offsets_are_those_of_another_sequence():
    confirmed = found(source_lists(DITHERS), accounts(np.zeros_like(DITHERS), DITHERS, tolerance=13.0))
    assert confirmed.account.words == "the WCS of the headers"
    np.testing.assert_allclose(confirmed.registration.shifts, DITHERS, atol=0.05)


def test_frames_without_stars_do_not_choose_another_account():
    rng = np.random.default_rng(5)
    lists = [SourceList(*rng.uniform((0, 0), (640, 95), (4, 2)).T) for _ in DITHERS]
    assert found(lists, accounts(DITHERS, None, tolerance=13.0)).rank == 0


def test_accounts_that_say_the_same_are_one():
    wcs = DITHERS + np.array([5.0, 0.3])
    names = [account.words for account in accounts(DITHERS, wcs, tolerance=13.0)]
    assert names[0] == "the commanded offsets"
    assert not any("WCS" in name for name in names)
    # No offsets, no directions.
    assert len(accounts(np.zeros_like(DITHERS), None, tolerance=13.0)) == 1


def test_one_account_is_a_plain_registration():
    confirmed = found(source_lists(DITHERS), [Account("the headers", DITHERS)])
    assert all(frame.method == "sources" for frame in confirmed.registration.frames)
