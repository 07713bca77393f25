"""Objects of a sequence of frames, so that no star takes part in a sky; found in bins of their pixels.

The first pass of `keyhole.imaging.twopass` serves the detection alone, which smooths over the width of a star: bins of
0.4 widths show it all, and there are far fewer of these than pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyhole.imaging._bins import bin_factor, kept_sums, unbinned
from keyhole.imaging._skymatch import SkyMatch, match_sky
from keyhole.imaging._skypool import SharedVariance
from keyhole.imaging._skyrest import difference
from keyhole.imaging._skysequence import (
    Levels,
    Planes,
    PlaneSequence,
    Ticks,
    packed,
    skies_without,
    unpacked,
)
from keyhole.imaging.deep_objects import DeepSum
from keyhole.imaging.medians import sampled_median
from keyhole.imaging.objects import Limits, SmoothWeight, find_above, pixel_noise

__all__ = ["Detection", "KnownObjects", "find_all_objects"]

_BEYOND_DOUBT: Final = 2.5
"""Detection limit of a single frame in units of that of the sum."""
_MUCH: Final = 0.125
"""Part of a frame that no stars cover."""
_SINGLE_WINGS: Final = 0.2
"""Part of the noise of a pixel that the wings of stars exceed which a single frame shows."""
_SAMPLE: Final = 3000

Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]


class Detection(NamedTuple):
    """What counts as an object; see `keyhole.imaging.objects.single_frame_objects`."""

    threshold: float
    min_pixels: int
    grow: float
    fwhm: float
    wing_sigma: float

    def limits(self, noise: float) -> Limits:
        """Limits of a single frame with a noise per pixel, in its bins."""
        found = Limits(self.threshold, self.threshold + 1, self.min_pixels, self.grow, _SINGLE_WINGS * noise, self.fwhm)
        return found.in_bins(bin_factor(self.fwhm))


class _Binned(NamedTuple):
    """A frame in bins.

    Attributes
    ----------
    mean, number : float32 arrays
        Mean and number of the usable pixels.
    response : float32 array
        Variance of one pixel of each bin in units of the usual one.
    sigma : float
        Usual noise of a pixel.
    objects : bool array
        The objects that the frame shows.
    beyond_doubt : bits
        Those of them that are no noise.
    is_covered : bool
        Whether these cover so much that they may be a pattern, which leaves with the sky.
    """

    mean: Float32
    number: Float32
    response: Float32
    sigma: float
    objects: Bool
    beyond_doubt: NDArray[np.uint8]
    is_covered: bool


class KnownObjects(NamedTuple):
    """The objects of every frame: those on the sum of all, and those that it shows by itself.

    Attributes
    ----------
    shape : (ny, nx)
    factor : int
        Pixels on the side of a bin.
    deep : DeepSum or None
        None: there are no objects.
    own : list of bits
    """

    shape: tuple[int, int]
    factor: int = 1
    deep: DeepSum | None = None
    own: Sequence[NDArray[np.uint8]] = ()

    def of(self, index: int) -> Bool:
        """True on the objects of a frame."""
        if self.deep is None:
            return np.zeros(self.shape, dtype=bool)
        # The sum knows the place of a frame to the pixel.
        own = unpacked(self.own[index], _shape_in_bins(self.shape, self.factor))
        mask = self.deep.mask(index, self.shape)
        mask |= unbinned(own, self.factor, self.shape)
        return mask


def find_all_objects(
    sequence: PlaneSequence,
    levels: Levels,
    shifts: ArrayLike,
    detection: Detection,
    *,
    matching: dict[str, bool],
    tick: Ticks,
) -> KnownObjects:
    """Objects on the sum of the frames less a first sky, and those that a frame shows by itself.

    The latter are elsewhere where a frame does not lie at its commanded place.

    Parameters
    ----------
    sequence, levels, shifts
        See `keyhole.imaging.twopass.two_pass_skies`.
    detection : Detection
    matching : keyword arguments of `match_sky`
    tick : Ticks
        Told twice of every frame.
    """
    number, factor = len(sequence.frames), bin_factor(detection.fwhm)
    levels = levels.for_detection()
    moves = np.rint(np.asarray(shifts, dtype=np.float64).reshape(-1, 2)).astype(int)
    nothing, everything = (slice(0, 0), slice(0, 0)), tuple(slice(0, size) for size in sequence.shape)
    boxes = [everything if seen else nothing for seen in sequence.seen]
    deep = DeepSum(boxes, moves, fwhm=detection.fwhm)  # type: ignore[arg-type]
    own, search = [], _Search(detection)
    kept: dict[int, _Binned] = {}
    for part, chosen in sequence.parts(number):
        frames = {}
        for i in part:
            frames[i] = kept[i] if i in kept else _in_bins(*sequence.planes([i]).one(0), factor, search)
            # Ticked here, when it is first seen: frames of an earlier part may come again.
            if i not in kept:
                tick()
        kept = frames
        planes = Planes([frames[i].mean for i in part], [], [frames[i].number > 0 for i in part])
        noise = SharedVariance(
            np.add.reduce([frames[i].response for i in part]) / np.float32(len(part) * factor**2),
            np.array([frames[i].sigma ** 2 for i in part], np.float32),
        )
        objects = [frames[i].objects for i in part]
        portion = []
        wanted = [part.index(i) for i in chosen]
        for k, sky in skies_without(planes, objects, sequence.within(part), levels, wanted, noise=noise):
            i, frame, usable = part[k], frames[part[k]], planes.usable[k]
            match = SkyMatch(1.0, 0.0)
            if usable.any():
                # The search follows the background that is left.
                match = match_sky(frame.mean, sky.data, usable, objects=frame.objects, roughly=True, **matching)
            rest = difference(frame.mean, sky.data, match)
            portion.append(deep.in_bins(i, rest, frame.number, frame.sigma))
            # Peaks of the noise that are masked in a single frame would bias its skies: only what is beyond doubt is.
            own.append(packed(search.shown(rest, frame.number)[1]) if frame.is_covered else frame.beyond_doubt)
            tick()
        deep.add(portion)
    deep.search(
        threshold=detection.threshold,
        min_pixels=detection.min_pixels,
        grow=detection.grow,
        wing_sigma=detection.wing_sigma,
    )
    return KnownObjects(sequence.shape, factor, deep, own)


def _shape_in_bins(shape: tuple[int, int], factor: int) -> tuple[int, int]:
    return -(-shape[0] // factor), -(-shape[1] // factor)


def _in_bins(data: Float32, variance: Float32, usable: Bool, factor: int, search: _Search) -> _Binned:
    light, number = kept_sums(data, usable, factor)
    mean = np.divide(light, np.maximum(number, 1), out=light)
    typical = sampled_median(variance, usable, number=_SAMPLE) if usable.any() else 0.0
    # One pixel tells the noise of those in its bin.
    one = np.s_[::factor, ::factor]
    known = usable[one] & np.isfinite(data[one])
    response = np.where(known, variance[one] / np.float32(typical if typical > 0 else 1), np.float32(1))
    objects, beyond_doubt = search.shown(mean, number)
    sigma = max(float(typical), 0.0) ** 0.5
    is_covered = bool(np.count_nonzero(beyond_doubt) > _MUCH * np.count_nonzero(number))
    return _Binned(mean, number, response, sigma, objects, packed(beyond_doubt), is_covered)


class _Search:
    """Search of frames in bins for the objects that each shows by itself.

    From frame to frame few bins lose or win pixels, and the smoothing of their numbers is the same elsewhere.
    """

    def __init__(self, detection: Detection) -> None:
        self._detection = detection
        self._weight: SmoothWeight | None = None

    def shown(self, mean: Float32, number: Float32) -> tuple[Bool, Bool]:
        """Objects that a frame shows, and those of them that are beyond doubt."""
        whole = number > 0
        if not whole.any():
            return whole, whole
        noise = pixel_noise(mean, whole) * bin_factor(self._detection.fwhm)
        limits = self._detection.limits(noise)
        self._weight = SmoothWeight.of(number, limits.smoothing, self._weight)
        objects, beyond_doubt = find_above(mean, self._weight, limits, _BEYOND_DOUBT)
        return objects, beyond_doubt
