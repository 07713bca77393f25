"""Registering dithered frames on their sources.

The sources of two frames of the same field differ by one shift, those of unrelated pairs by any. Each pair
of sources votes for its difference; the true shift is where the votes meet, near the commanded one (offset
histogram). One least squares solution then gives the shifts of all frames and the positions of all stars
together, so that no single frame, and not the reference either, decides how well the others fit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyhole.errors import AlgorithmError
from keyhole.imaging._adjustment import Solution, adjust, rotation_matrix
from keyhole.imaging._voting import Catalogue, Vote, largest_group
from keyhole.imaging.medians import median, median_image

__all__ = ["FrameRegistration", "Registration", "SourceList", "register"]

_FLOOR: Final = 0.02
"""Position error of the best sources, pixels: sampling and blends, not photons."""
_TYPICAL: Final = 0.1
"""Position error of a source of median flux where none is given, pixels."""

Float64 = NDArray[np.float64]


class SourceList(NamedTuple):
    """Sources of one frame.

    Attributes
    ----------
    x, y : (n,) array_like
        0-based pixel positions.
    flux : (n,) array_like, optional
        Any unit, the same in all frames.
    error : (n,) array_like, optional
        Position error per axis (1 sigma), pixels.
    """

    x: ArrayLike
    y: ArrayLike
    flux: ArrayLike | None = None
    error: ArrayLike | None = None


class FrameRegistration(NamedTuple):
    """Where a frame lies: position in the frame = matrix @ position in the reference + (dx, dy).

    Attributes
    ----------
    dx, dy : float
        Pixels.
    matrix : (2, 2) float64
        Rotation about pixel (0, 0); the unit matrix unless a rotation was significant.
    n_matched : int
        Sources that agree with the solution.
    rms : float or None
        Scatter of these sources per axis, weighted as in the solution, pixels; None without any.
    method : 'sources' or 'offsets'
        'offsets' when the commanded shift had to be taken as it is.
    significance : float
        -log10 of the number of equally good agreements expected by chance.
    """

    dx: float
    dy: float
    matrix: Float64
    n_matched: int
    rms: float | None
    method: Literal["sources", "offsets"]
    significance: float

    @property
    def rotation(self) -> float:
        """Rotation angle from the reference to the frame, degrees, from x towards y."""
        return math.degrees(math.atan2(self.matrix[1, 0], self.matrix[0, 0]))


class Registration(NamedTuple):
    """Where all frames lie.

    Attributes
    ----------
    frames : tuple of FrameRegistration
        One for each frame, in order.
    reference : int
        Index of the frame that defines the positions.
    """

    frames: tuple[FrameRegistration, ...]
    reference: int

    @property
    def shifts(self) -> Float64:
        """``(dx, dy)`` of each frame, ``(k, 2)`` pixels."""
        return np.array([(frame.dx, frame.dy) for frame in self.frames], dtype=np.float64).reshape(-1, 2)


def register(
    lists: Sequence[SourceList | tuple[ArrayLike, ...]],
    expected: ArrayLike,
    *,
    search_radius: float,
    match_radius: float,
    reference: int = 0,
    min_sources: int = 1,
    rotate: bool = True,
    field_area: float | None = None,
    jump_radius: float | None = None,
) -> Registration:
    """Find the shift of every frame relative to the reference.

    A frame whose sources do not allow it keeps its commanded shift, corrected for what the other frames have in
    common, and says so. When the reference itself has no usable sources, the other frames are still registered
    with each other, and tied to it by the mean of their commanded shifts.

    Parameters
    ----------
    lists : sequence of SourceList or (x, y[, flux[, error]])
        Sources of each frame; an empty list is allowed. Changes its input: no.
    expected : (k, 2) array_like
        Commanded shifts, pixels: position in the frame = position in the reference + shift, up to pointing
        errors. A shift common to all is irrelevant.
    search_radius : float
        Largest pointing error between two frames, pixels.
    match_radius : float
        Largest distance of two detections of a star once the shifts are known, pixels.
    reference : int
        Index of the reference frame.
    min_sources : int
        Fewest agreeing sources for a shift to be accepted. A single pair is accepted only when no other pair
        is possible within the search radius, the fluxes do not contradict it and chance is unlikely.
    rotate : bool
        Allow a small rotation (up to about a degree) where at least three well spread sources prove it
        (F-test).
    field_area : float, optional
        Area of a frame in which sources can be found, pixels; tells how likely chance pairs are. Estimated
        from the sources when None.
    jump_radius : float, optional
        Frames that are not found within `search_radius` are looked for so far away, pixels: the telescope was
        somewhere else, but not far.

    Returns
    -------
    Registration

    Raises
    ------
    AlgorithmError
        When the numbers of lists and shifts differ, or a radius, shift or index makes no sense.
    """
    shifts = _checked_shifts(len(lists), expected, reference, (search_radius, match_radius))
    catalogues = [_catalogue(SourceList(*sources)) for sources in lists]
    needed = max(min_sources, 1)
    votes = _gather(catalogues, shifts, search_radius, field_area, needed)
    if jump_radius is not None and len(votes) < len(shifts):
        nearer = shifts
        if votes:
            # Where the others really are tells where the missing ones should be.
            found = np.array([votes[i].shift for i in votes])
            nearer = shifts + median_image(found - shifts[list(votes)])
            nearer[list(votes)] = found
        more = _gather(catalogues, nearer, jump_radius, field_area, needed)
        votes = more if len(more) > len(votes) else votes
    frames = [_at_commanded_shift(shift) for shift in shifts]
    if len(votes) > 1:
        members = sorted(votes)
        start = np.array([votes[i].shift for i in members])
        solution = adjust([catalogues[i] for i in members], start, match_radius=match_radius, rotate=rotate)
        tied = [i for i, number in zip(members, solution.n_matched, strict=True) if number >= needed]
        if len(tied) > 1:
            placed = _relative_to(reference, members, solution, shifts, tied)
            for i, (matrix, shift) in placed.items():
                row = members.index(i)
                frames[i] = FrameRegistration(
                    dx=float(shift[0]),
                    dy=float(shift[1]),
                    matrix=matrix,
                    n_matched=int(solution.n_matched[row]),
                    rms=float(solution.rms[row]),
                    method="sources",
                    significance=votes[i].significance,
                )
            # The pointing error of the reference is in every shift; those that are known show it.
            common = median_image([placed[i][1] - shifts[i] for i in placed])
            for i, shift in enumerate(shifts):
                if i not in placed and i != reference:
                    frames[i] = _at_commanded_shift(shift + common)
    return Registration(tuple(frames), reference)


def _gather(
    catalogues: Sequence[Catalogue], expected: Float64, radius: float, field_area: float | None, needed: int
) -> dict[int, Vote]:
    """First shifts of the frames that agree within `radius`, pixels."""
    area = _extent(catalogues, expected, radius) if field_area is None else field_area
    return largest_group(catalogues, expected, search_radius=radius, field_area=area, min_sources=needed)


def _relative_to(
    reference: int, members: Sequence[int], solution: Solution, expected: Float64, tied: Sequence[int]
) -> dict[int, tuple[Float64, Float64]]:
    """Matrix and shift of each tied frame, from positions in the reference to positions in the frame."""
    row = {i: members.index(i) for i in tied}
    if reference in row:
        zero, turn = solution.offset[row[reference]], solution.angle[row[reference]]
    else:
        # The frames are known among themselves; their pointing errors average out.
        rows = list(row.values())
        zero, turn = (solution.offset[rows] - expected[list(row)]).mean(axis=0), 0.0
    placed = {}
    for i, k in row.items():
        angle = solution.angle[k]
        matrix = rotation_matrix(angle - turn) if angle != turn else np.eye(2)
        placed[i] = (matrix, rotation_matrix(angle) @ (solution.offset[k] - zero))
    return placed


def _extent(catalogues: Sequence[Catalogue], shifts: Float64, search_radius: float) -> float:
    """Area of the rectangle that holds all sources; that of a frame much wider than the search at least."""
    every = np.concatenate([c.xy - shift for c, shift in zip(catalogues, shifts, strict=True)])
    area = float(np.prod(np.ptp(every, axis=0))) if len(every) else 0.0
    return max(area, 100.0 * search_radius**2)


def _at_commanded_shift(shift: Float64) -> FrameRegistration:
    return FrameRegistration(
        dx=float(shift[0]),
        dy=float(shift[1]),
        matrix=np.eye(2),
        n_matched=0,
        rms=None,
        method="offsets",
        significance=0.0,
    )


def _checked_shifts(number: int, expected: ArrayLike, reference: int, radii: tuple[float, float]) -> Float64:
    """Commanded shifts relative to the reference."""
    shifts = np.asarray(expected, dtype=np.float64).reshape(-1, 2)
    if len(shifts) != number:
        raise AlgorithmError(f"registration got {number} source lists but {len(shifts)} commanded shifts")
    if not 0 <= reference < number:
        raise AlgorithmError(f"reference frame {reference} does not exist: there are {number} frames")
    if not np.isfinite(shifts).all():
        raise AlgorithmError("a commanded shift is not finite; check the offset keywords of the headers")
    if not all(radius > 0 for radius in radii):
        raise AlgorithmError(f"search and match radius must be positive, got {radii[0]} and {radii[1]} pixels")
    return np.asarray(shifts - shifts[reference])


def _catalogue(sources: SourceList) -> Catalogue:
    """Finite positions with weights from errors, else from fluxes, else equal."""
    x, y = (np.atleast_1d(np.asarray(v, dtype=np.float64)) for v in (sources.x, sources.y))
    unknown = np.full(x.shape, np.nan)
    flux = unknown if sources.flux is None else np.atleast_1d(np.asarray(sources.flux, dtype=np.float64))
    error = unknown if sources.error is None else np.atleast_1d(np.asarray(sources.error, dtype=np.float64))
    if not x.shape == y.shape == flux.shape == error.shape:
        raise AlgorithmError(
            f"the columns of a source list differ in length: {x.shape}, {y.shape}, {flux.shape}, {error.shape}"
        )
    flux = np.where(flux > 0, flux, np.nan)
    known = np.isfinite(flux)
    faintness = median(flux[known]) / flux if known.any() else np.ones(x.shape)
    guess = _TYPICAL * np.where(np.isfinite(faintness), faintness, 3.0)
    scatter = np.where(error > 0, error, guess)
    finite = np.isfinite(x) & np.isfinite(y)
    weight = 1.0 / (scatter**2 + _FLOOR**2)
    return Catalogue(np.column_stack([x, y]), flux, weight, np.ones(x.shape, np.intp)).chosen(finite)
