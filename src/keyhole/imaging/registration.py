"""Registering a sequence: which account of the dither pattern its sources confirm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyhole.imaging.match import Registration, SourceList, register
from keyhole.imaging.medians import median, median_image
from keyhole.imaging.orientation import AXIS_SIGNS

__all__ = ["Account", "Confirmed", "accounts", "register_by_accounts"]

_FEWEST_MORE: Final = 2
"""Frames that an account must place beyond those of the first one to be preferred."""
_SURE: Final = 4.0
"""-log10 of the chance, all frames together, that unrelated sources confirm an account."""

Float64 = NDArray[np.float64]


class Account(NamedTuple):
    """A set of shifts that the headers tell or might have meant, ``(n, 2)`` pixels, and what it is in words."""

    words: str
    shifts: Float64


class Confirmed(NamedTuple):
    """A registration and the account it started from; `rank` is that of the account, 0 for the first."""

    registration: Registration
    account: Account
    rank: int


def accounts(commanded: ArrayLike, stated: ArrayLike | None, *, tolerance: float) -> list[Account]:
    """Accounts of a dither pattern, the most likely first.

    Parameters
    ----------
    commanded : (n, 2) array_like
        Shifts that were sent to the telescope, pixels.
    stated : (n, 2) array_like or None
        Shifts by the WCS of the headers.
    tolerance : float
        Accounts that differ by less in all frames are one.

    Returns
    -------
    list of Account
        As commanded; as the WCS tells; as commanded with one or both axes reversed.
    """
    first = np.asarray(commanded, dtype=np.float64).reshape(-1, 2)
    found = [Account("the commanded offsets", first)]
    possible = [] if stated is None else [Account("the WCS of the headers", np.asarray(stated, dtype=np.float64))]
    names = (
        "",
        "the commanded offsets reversed",
        "the commanded offsets reversed in x",
        "the commanded offsets reversed in y",
    )
    possible += [
        Account(words, first * np.array(signs)) for words, signs in zip(names, AXIS_SIGNS, strict=True) if words
    ]
    for account in possible:
        moved = [np.abs((account.shifts - other.shifts) - (account.shifts - other.shifts)[0]).max() for other in found]
        if min(moved) > tolerance:
            found.append(account)
    return found


def register_by_accounts(
    lists: Sequence[SourceList | tuple[ArrayLike, ...]],
    possible: Sequence[Account],
    *,
    reference: int = 0,
    **settings: Any,
) -> Confirmed:
    """Register by the account of the dither pattern that the sources confirm.

    The first account is left only for one that certainly places at least two more frames; among those that
    place as many, the one with the smallest pointing errors wins.

    Parameters
    ----------
    lists : sequence of SourceList
        Sources of each frame.
    possible : sequence of Account
        The most likely first.
    reference : int
        Frame that defines the positions.
    **settings
        Further arguments of `keyhole.imaging.match.register`.

    Returns
    -------
    Confirmed
    """
    tried = [Confirmed(register(lists, possible[0].shifts, reference=reference, **settings), possible[0], 0)]
    promising = sum(len(np.atleast_1d(SourceList(*sources).x)) > 0 for sources in lists)
    if _placed(tried[0]) < promising and promising > 1:
        for rank, account in enumerate(possible[1:], start=1):
            again = register(lists, account.shifts, reference=reference, **settings)
            tried.append(Confirmed(again, account, rank))
    best = min(tried, key=lambda one: (-_placed(one), _pointing_error(one)))
    better = _placed(best) >= _placed(tried[0]) + _FEWEST_MORE and _certainty(best) >= _SURE
    return best if better else tried[0]


def _placed(one: Confirmed) -> int:
    return sum(frame.method == "sources" for frame in one.registration.frames)


def _certainty(one: Confirmed) -> float:
    """-log10 of the chance of all agreements; the frame that the others agree with does not count."""
    certain = sorted(frame.significance for frame in one.registration.frames if frame.method == "sources")
    return sum(certain[:-1])


def _pointing_error(one: Confirmed) -> float:
    """Scatter of the shifts that were found about those of the account, pixels."""
    placed = [i for i, frame in enumerate(one.registration.frames) if frame.method == "sources"]
    error = (one.registration.shifts - one.account.shifts)[placed]
    return median(np.hypot(*(error - median_image(error)).T)) if placed else 0.0
