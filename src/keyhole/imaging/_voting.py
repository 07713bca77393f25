"""Where the votes of source pairs meet: first shifts of frames, and which of them can be believed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Catalogue", "Vote", "largest_group", "nearest_pairs", "vote"]

_VOTE_SIGMA: Final = 0.7
"""Width of one vote, pixels: true pairs agree to a few tenths of a pixel, blended ones to somewhat more."""
_CORE: Final = 1.0
"""Distance from the peak of the votes, pixels, within which a pair supports it."""
_MAX_CHANCE: Final = 0.1
"""Expected number of equally good agreements by chance above which a shift is not believed."""
_MAX_FLUX_RATIO: Final = 4.0
"""Two detections further apart in flux are not one star, whatever the transparency did."""
_MAX_VOTERS: Final = 150
"""Brightest sources that vote; more cost time and add no certainty."""

Float64 = NDArray[np.float64]
Index = NDArray[np.intp]


class Catalogue(NamedTuple):
    """Sources: positions ``(n, 2)``, fluxes (NaN when not known), weights per axis (1/pixel²), detections."""

    xy: Float64
    flux: Float64
    weight: Float64
    seen: Index

    def chosen(self, rows: Index | NDArray[np.bool_]) -> Catalogue:
        """The sources of these rows."""
        return Catalogue(self.xy[rows], self.flux[rows], self.weight[rows], self.seen[rows])

    def brightest(self, number: int) -> Catalogue:
        """The brightest sources, or the first ones without fluxes."""
        if len(self.xy) <= number:
            return self
        return self.chosen(np.argsort(-self.flux, kind="stable")[:number])

    def established(self) -> Catalogue:
        """The sources that were detected about as often as any."""
        return self.chosen(2 * self.seen >= self.seen.max(initial=0))


class Vote(NamedTuple):
    """A shift and how well it is supported.

    ``chance`` is the number of equally good agreements that unrelated sources would give.
    """

    shift: Float64
    n_pairs: int
    chance: float

    @property
    def significance(self) -> float:
        """-log10 of the chance, not below 0."""
        return abs(math.log10(min(max(self.chance, 1e-300), 1.0)))


def nearest_pairs(first: Float64, second: Float64, radius: float) -> tuple[Index, Index]:
    """Indices of the points that are each other's nearest, within a radius."""
    if not len(first) or not len(second):
        return np.empty(0, np.intp), np.empty(0, np.intp)
    distance = np.hypot(*(first[:, np.newaxis] - second).transpose(2, 0, 1))
    partner = distance.argmin(axis=1)
    rows = np.arange(len(first))
    mutual = (distance.argmin(axis=0)[partner] == rows) & (distance[rows, partner] <= radius)
    return rows[mutual], partner[mutual]


def vote(stars: Catalogue, sources: Catalogue, *, search_radius: float, field_area: float) -> Vote | None:
    """Most supported shift of sources against stars, both at expected positions; None when there is none."""
    stars, sources = stars.brightest(2 * _MAX_VOTERS), sources.brightest(_MAX_VOTERS)
    _, _, votes = _differences(stars, sources, search_radius)
    if not len(votes):
        return None
    distance2 = ((votes[:, np.newaxis] - votes) ** 2).sum(axis=2)
    support = np.exp(-distance2 / (2 * _VOTE_SIGMA**2)).sum(axis=1)
    # Among equals the one nearest to the commanded shift.
    support -= 1e-3 * np.hypot(votes[:, 0], votes[:, 1]) / search_radius
    peak = votes[int(support.argmax())]
    for _ in range(5):
        closeness = np.exp(-((votes - peak) ** 2).sum(axis=1) / (2 * _VOTE_SIGMA**2))
        peak = (votes * closeness[:, np.newaxis]).sum(axis=0) / closeness.sum()
    n_pairs = len(nearest_pairs(stars.xy + peak, sources.xy, _CORE)[0])
    if n_pairs < 2:
        return _single_pair(stars.established(), sources, search_radius, field_area)
    # At the rim of the search some agreeing pairs lie beyond it and did not vote.
    others = max(len(votes) - n_pairs, 0) + 0.5
    by_chance = others * min((_CORE / search_radius) ** 2, 0.25)
    return Vote(peak, n_pairs, len(votes) * _poisson_tail(n_pairs - 1, by_chance))


def _single_pair(stars: Catalogue, sources: Catalogue, search_radius: float, field_area: float) -> Vote | None:
    """The shift of the only pair that is possible, None when there are several or none."""
    star, source, votes = _differences(stars, sources, search_radius)
    ratio = np.abs(np.log(sources.flux[source] / stars.flux[star]))
    possible = np.flatnonzero(~(ratio > math.log(_MAX_FLUX_RATIO)))
    if len(possible) != 1:
        return None
    chance = len(stars.xy) * len(sources.xy) * math.pi * search_radius**2 / field_area
    return Vote(votes[possible[0]], 1, chance)


def _differences(stars: Catalogue, sources: Catalogue, radius: float) -> tuple[Index, Index, Float64]:
    """Pairs of star and source within a radius, and where the source lies relative to the star."""
    difference = sources.xy[np.newaxis] - stars.xy[:, np.newaxis]
    star, source = np.nonzero(np.hypot(difference[..., 0], difference[..., 1]) <= radius)
    return star, source, difference[star, source]


def largest_group(
    catalogues: Sequence[Catalogue],
    expected: Float64,
    *,
    search_radius: float,
    field_area: float,
    min_sources: int,
) -> dict[int, Vote]:
    """First shifts of the largest set of frames that agree, by frame.

    Starts from the frame with most sources and adds those that match what has been gathered so far; should
    few match that frame, another start is tried.
    """
    left = [i for i, catalogue in enumerate(catalogues) if len(catalogue.xy) >= min_sources]
    best: dict[int, Vote] = {}

    def support(stars: Catalogue, i: int) -> Vote | None:
        sources = _shifted(catalogues[i], expected[i])
        found = vote(stars, sources, search_radius=search_radius, field_area=field_area)
        if found is None or found.n_pairs < min_sources or found.chance > _MAX_CHANCE:
            return None
        return found._replace(shift=expected[i] + found.shift)

    while len(left) > len(best):
        start = max(left, key=lambda i: len(catalogues[i].xy))
        group = _group_of(start, left, catalogues, expected, support)
        if len(group) > len(best):
            best = group
        left = [i for i in left if i not in group]
    return best


def _group_of(
    start: int,
    candidates: Sequence[int],
    catalogues: Sequence[Catalogue],
    expected: Float64,
    support: Callable[[Catalogue, int], Vote | None],
) -> dict[int, Vote]:
    group = {start: Vote(expected[start], len(catalogues[start].xy), math.inf)}
    stars = _shifted(catalogues[start], expected[start])
    # Near frames first: they share most stars, and the list of stars grows towards the far ones.
    pending = sorted((i for i in candidates if i != start), key=lambda i: math.dist(expected[i], expected[start]))
    added = True
    while pending and added:
        added = False
        for i in pending:
            found = support(stars, i)
            if found is not None:
                group[i], added = found, True
                stars = _merged(stars, _shifted(catalogues[i], found.shift))
        pending = [i for i in pending if i not in group]
    if len(group) > 1:
        # The first frame is as certain as the best of those that match it.
        group[start] = group[start]._replace(chance=min(group[i].chance for i in group if i != start))
    return group


def _shifted(catalogue: Catalogue, shift: Float64) -> Catalogue:
    return catalogue._replace(xy=catalogue.xy - shift)


def _merged(stars: Catalogue, sources: Catalogue) -> Catalogue:
    """Stars with the sources of one more frame: matched ones averaged, the others appended."""
    known, seen = nearest_pairs(stars.xy, sources.xy, 2 * _CORE)
    new = np.ones(len(sources.xy), bool)
    new[seen] = False
    xy, weight, count = stars.xy.copy(), stars.weight.copy(), stars.seen.copy()
    total = weight[known] + sources.weight[seen]
    share = (sources.weight[seen] / total)[:, np.newaxis]
    xy[known] += share * (sources.xy[seen] - xy[known])
    weight[known] = total
    count[known] += sources.seen[seen]
    return Catalogue(
        np.concatenate([xy, sources.xy[new]]),
        np.concatenate([stars.flux, sources.flux[new]]),
        np.concatenate([weight, sources.weight[new]]),
        np.concatenate([count, sources.seen[new]]),
    )


def _poisson_tail(count: int, mean: float) -> float:
    """Probability of at least ``count`` events when ``mean`` are expected."""
    if count <= 0:
        return 1.0
    term = math.exp(count * math.log(mean) - mean - math.lgamma(count + 1))
    total, k = 0.0, count
    while term > 1e-17 * max(total, 1e-300):
        total += term
        k += 1
        term *= mean / k
    return min(total, 1.0)
