"""What the positions of a sequence's headers are worth."""

from __future__ import annotations

import numpy as np
import pytest

from keyhole.errors import AlgorithmError
from keyhole.imaging.pointing import axis_signs, common_place

DITHERS = np.array([(0.0, 0.0), (26.0, 6.0), (52.0, -6.0), (-26.0, 0.0), (-52.0, 6.0), (78.0, -6.0), (13.0, 3.0)])


def pointing_errors(seed, n=7, sigma=1.0):
    return np.random.default_rng(seed).normal(0, sigma, (n, 2))


def test_mean_of_all_headers_is_better_than_one_of_them():
    single, together = [], []
    for seed in range(30):
        stated = pointing_errors(seed)
        place = common_place(stated, DITHERS + stated, tolerance=10.0)
        assert place.evidence == "all"
        assert place.number > len(stated) / 2
        single.append(np.hypot(*stated[0]))
        together.append(np.hypot(*place.position))
    assert np.mean(together) < 0.55 * np.mean(single)


def test_scatter_is_that_of_the_pointing_errors():
    stated = pointing_errors(3, 400)
    place = common_place(stated, np.zeros((400, 2)), tolerance=10.0)
    assert place.scatter == pytest.approx(1.0, rel=0.06)


def test_few_headers_of_another_place_are_named_and_left_out():
    stated = pointing_errors(1)
    stated[[2, 5]] += (40.0, -30.0)
    place = common_place(stated, DITHERS, tolerance=10.0)
    assert place.evidence == "most"
    assert place.outliers == (2, 5)
    assert np.hypot(*place.position) < 2


def test_headers_that_all_carry_the_position_of_the_first_are_recognised():
    errors = pointing_errors(2)
    # The header of the first frame holds; seen from the others it moves with them.
    moves = DITHERS + errors
    place = common_place(errors[0] + moves - moves[0], moves, tolerance=10.0)
    assert place.evidence == "first"
    np.testing.assert_allclose(place.position, errors[0], atol=1e-9)


def test_headers_that_move_against_the_frames_agree_about_the_undithered_one():
    errors = pointing_errors(4, sigma=0.5)
    zero = np.array([7.0, -3.0])
    truth = np.array([3.0, 1.0])
    stated = truth + errors + 1.97 * (DITHERS - zero)
    place = common_place(stated, DITHERS, tolerance=10.0, undithered=zero)
    assert place.evidence == "undithered"
    assert np.hypot(*(place.position - truth)) < 1.5
    # Where the offsets are not told, nobody knows which frame that would be.
    assert common_place(stated, DITHERS, tolerance=10.0).evidence == "none"


def test_headers_without_any_order_give_their_median_and_say_so():
    stated = np.random.default_rng(8).uniform(-300, 300, (9, 2))
    place = common_place(stated, np.random.default_rng(9).uniform(-80, 80, (9, 2)), tolerance=10.0)
    assert place.evidence == "none"
    np.testing.assert_allclose(place.position, np.median(stated, axis=0))
    assert place.scatter > 100


def test_one_header_is_taken_as_it_is():
    place = common_place([(4.0, 5.0)], [(0.0, 0.0)], tolerance=1.0)
    assert place.number == 1
    assert place.position.tolist() == [4.0, 5.0]
    assert np.isnan(place.scatter)


def test_wrong_numbers_are_refused():
    with pytest.raises(AlgorithmError, match="no header"):
        common_place(np.zeros((0, 2)), np.zeros((0, 2)), tolerance=1.0)
    with pytest.raises(AlgorithmError, match="do not fit 2 shifts"):
        common_place(np.zeros((3, 2)), np.zeros((2, 2)), tolerance=1.0)


@pytest.mark.parametrize("signs", [(1, 1), (-1, -1), (-1, 1), (1, -1)])
def test_signs_of_the_axes_follow_from_the_motion_of_the_stars(signs):
    found = DITHERS * np.array(signs) + pointing_errors(5) + (11.0, 4.0)
    assert axis_signs(found, DITHERS) == signs


def test_axis_without_dithers_keeps_its_sign():
    along = DITHERS * (1.0, 0.0)
    assert axis_signs(-along + pointing_errors(6), along) == (-1, 1)


def test_jump_of_one_of_two_frames_does_not_mirror_the_detector():
    commanded = np.array([(0.0, 0.0), (-26.4, -19.6)])
    jumped = np.array([commanded[0], commanded[1] + (52.5, 83.5)])
    assert axis_signs(jumped, commanded) == (1, 1)
    assert axis_signs(commanded * (-1, 1) + 0.5, commanded) == (-1, 1)
