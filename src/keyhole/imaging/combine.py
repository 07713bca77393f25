"""One image from many: rejection of outliers and combination, pixel by pixel, with variance and quality bits.

Above every output pixel stands a column of ``n`` inputs. Only the inputs of the best quality class present
take part (good before cosmic ray before overlap before bad before unilluminated before no data), outliers
among them are rejected, the rest is combined. Inputs are taken as independent of each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import AlgorithmError, ParameterError
from keyhole.imaging import bits
from keyhole.imaging._averages import Operation, average, middle
from keyhole.imaging._loading import load
from keyhole.imaging._order_statistics import sort_planes
from keyhole.imaging._planes import Band, Planes, RowReader, bands, block_of, columns_of, common_shape
from keyhole.imaging._rejection import Columns, Rejection, RejectMethod, find_outliers

__all__ = ["Combined", "Middle", "Operation", "RejectMethod", "RowReader", "combine"]


class Combined(NamedTuple):
    """Result of a combination.

    Attributes
    ----------
    data : (ny, nx) float32
        0 where there is no data in any input.
    variance : (ny, nx) float32
    mask : (ny, nx) uint16
        Bits of the inputs that were used, OR-ed; 16 where there is no data.
    unused : (ny, nx) int16
        How many inputs were masked or rejected.
    burnt : (ny, nx) uint16 or None
        Non-linear and saturated bits of all usable inputs, rejected ones too; None without masks.
    """

    data: NDArray[np.float32]
    variance: NDArray[np.float32]
    mask: NDArray[np.uint16]
    unused: NDArray[np.int16]
    burnt: NDArray[np.uint16] | None = None


class Middle(NamedTuple):
    """Median image of a combination, before anything was rejected.

    Attributes
    ----------
    data, variance : (ny, nx) float32
        0 where there is no data.
    mask : (ny, nx) uint16
        Bits of the combined image.
    """

    data: NDArray[np.float32]
    variance: NDArray[np.float32]
    mask: NDArray[np.uint16]


Allowance = Callable[[Middle], NDArray[np.float32]]


def combine(
    data: Planes,
    variance: Planes | None = None,
    mask: Planes | None = None,
    *,
    operation: Operation,
    reject_method: RejectMethod,
    lsigma: float = 3.0,
    hsigma: float = 3.0,
    nlow: int = 0,
    nhigh: int = 0,
    mclip: bool = True,
    max_iters: int | None = None,
    allowed: NDArray[np.float32] | Allowance | None = None,
    weights: Sequence[float] | NDArray[np.float64] | None = None,
    shares: Planes | None = None,
) -> Combined:
    """Combine images of the same pixels into one.

    Parameters
    ----------
    data : n planes (ny, nx), or (n, ny, nx)
        Any unit and number type. A value that is not finite counts as no data. Planes may be a `RowReader`: they
        are read in bands of rows, and the memory needed does not grow with their height.
    variance : the same shapes, unit squared, optional
        Without it the variance of the result comes from the scatter of the values (0 where one value is left
        alone).
    mask : the same shapes, uint16 quality bits, optional
    operation : {"mean", "wtmean", "median", "lmedian"}
        "wtmean" weights with 1 / variance (needs `variance`); "lmedian" takes the lower of two middle values.
    reject_method : {"none", "minmax", "sigclip", "varclip"}
        "minmax" drops `nlow` lowest and `nhigh` highest (in proportion where fewer take part). "sigclip"
        rejects what lies more than `lsigma` below or `hsigma` above the median, in units of the standard
        deviation of the values about their mean; a lone outlier among n is n / sqrt(n - 1) of these off, so that 3
        sigma reject none among 7 or fewer. "varclip" takes each value's own sqrt(variance) as unit and so works from 3
        inputs on; without `variance` it is "sigclip".
    mclip : bool
        Clip about the median on every pass; False: about the mean from the second pass on.
    max_iters : int, optional
        Largest number of clipping passes; None: until nothing changes.
    allowed : (ny, nx) float32, or a function from `Middle` to it, optional
        What clipping allows besides the noise: seeing and clouds change the light of a star from image to image
        (`keyhole.imaging.starlight`). A function is asked when the medians of all columns are known; the columns
        that have lost a value and are allowed something are then clipped once more.
    weights : n positive numbers, optional
        Weight of each input in a "mean".
    shares : the same shapes as the data, optional
        What each pixel of an input weighs beside that in a "mean": images that are combinations themselves hold
        fewer exposures at their edges.

    Returns
    -------
    Combined
        The variance is that of independent normal inputs: for a mean ``sum(w**2 v) / sum(w)**2``, for
        "wtmean" ``1 / sum(1 / v)``, for a median the mean variance over n times the exact factor for n values
        (1 to pi/2). Dropping extremes before a median leaves the median, and so its variance, unchanged.
        Inputs are not changed.

    Raises
    ------
    AlgorithmError
        No input, different shapes, everything rejected by minmax, weights or variances that do not fit.
    ParameterError
        Unknown operation or method.
    """
    shape = common_shape(data, variance, mask)
    rule = Rejection(reject_method, lsigma, hsigma, nlow, nhigh, mclip, max_iters)
    _check_options(len(data), operation, rule, variance is not None)
    scale = None if weights is None else _checked_weights(weights, len(data), operation)
    work = _Work((data, variance, mask), shares, shape, operation, rule, scale)
    if not callable(allowed):
        return work.run(allowed)
    medians = _Medians(*(np.zeros(shape, kind) for kind in (np.float32, np.float32, bool)))
    result = work.run(None, medians)
    if medians.lost.any():
        leeway = allowed(Middle(medians.data, medians.variance, result.mask))
        work.run_again(result, leeway, medians.lost & (leeway > 0))
    return result


class _Medians(NamedTuple):
    """Median of the accepted values of each column and its variance; where clipping rejected a value."""

    data: NDArray[np.float32]
    variance: NDArray[np.float32]
    lost: NDArray[np.bool_]


class _Block(NamedTuple):
    """Combined columns; positions of those that lost a value by clipping; the medians before, if they are wanted."""

    combined: Combined
    lost: NDArray[np.intp]
    medians: tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]] | None = None


@dataclass(frozen=True)
class _Work:
    """What is combined, and how."""

    kinds: tuple[Planes, Planes | None, Planes | None]
    shares: Planes | None
    shape: tuple[int, int]
    operation: Operation
    rule: Rejection
    scale: NDArray[np.float64] | None

    def run(self, allowed: NDArray[np.float32] | None, medians: _Medians | None = None) -> Combined:
        """Combine all columns. Fills `medians` if they are wanted."""
        n, nx = len(self.kinds[0]), self.shape[1]
        result = _room(self.shape)
        burnt = None if self.kinds[2] is None else np.zeros(self.shape, bits.MASK_DTYPE)
        for start, band in bands(self.kinds, *self.shape):
            for first, rows in band.blocks():
                columns, empty = load(*_rows_of(band, rows))
                at = slice(start + first, start + first + len(empty) // nx)
                if burnt is not None and columns.bits is not None:
                    burnt[at] = _burnt(columns.bits).reshape(-1, nx)
                if allowed is not None:
                    columns = replace(columns, allowed=allowed[at].ravel())
                if self.shares is not None:
                    columns = replace(columns, share=_share(columns, block_of(self.shares, at, np.float32)))
                block = self._combine(columns, with_medians=medians is not None)
                if empty.any():
                    block.combined.data[empty] = block.combined.variance[empty] = 0
                    block.combined.mask[empty] = bits.NO_DATA
                    block.combined.unused[empty] = n
                _put(block.combined, result, at)
                if medians is not None and block.medians is not None:
                    medians.data[at], medians.variance[at] = (part.reshape(-1, nx) for part in block.medians)
                    medians.lost[at].reshape(-1)[block.lost] = True
        return result._replace(burnt=burnt)

    def run_again(self, result: Combined, allowed: NDArray[np.float32], wanted: NDArray[np.bool_]) -> None:
        """Combine some columns anew with what they are allowed. Changes `result`."""
        for start, band in bands(self.kinds, *self.shape, np.asarray(wanted.any(axis=1))):
            for first, rows in band.blocks():
                at = slice(start + first, start + first + rows.stop - rows.start)
                index = np.flatnonzero(wanted[at])
                if not index.size:
                    continue
                columns, _ = load(*_columns_of(band, rows, index))
                columns = replace(columns, allowed=allowed[at].ravel()[index])
                if self.shares is not None:
                    columns = replace(columns, share=_share(columns, columns_of(self.shares, at, index, np.float32)))
                _put(self._combine(columns).combined, result, at, index)

    def _combine(self, columns: Columns, *, with_medians: bool = False) -> _Block:
        """Reject and combine; only the columns that lost a value are combined a second time."""
        n, m = columns.values.shape
        operation, scale, rule = self.operation, self.scale, self.rule
        rows = _sorted(columns) if rule.method != "none" or operation in ("median", "lmedian") else []
        medians = None
        if with_medians:
            medians = middle(columns, rows, lower=False)
            columns = replace(columns, centre=medians[0].astype(np.float32))
        if rule.method == "none" or n == 1:
            return _Block(_merge(columns, rows, operation, scale), np.zeros(0, np.intp), medians)
        index, accepted = find_outliers(columns, rows, rule)
        result = _merge(columns, rows, operation, scale) if len(index) < m else _room((m,))
        lost = index[:0]
        if index.size:
            part = columns.take(index, accepted)
            lost = index[part.count < columns.count[index]]
            again = _merge(part, _sorted(part) if operation in ("median", "lmedian") else [], operation, scale)
            _put(again, result, slice(None), index)
        if rule.method == "minmax" and operation in ("median", "lmedian"):
            result = result._replace(variance=_merge(columns, rows, operation, scale).variance)
        return _Block(result, lost, medians)


def _put(part: Combined, whole: Combined, rows: slice, index: NDArray[np.intp] | slice = slice(None)) -> None:
    """Put combined columns into their places in some rows. Changes `whole`."""
    whole.data[rows].reshape(-1)[index] = part.data
    whole.variance[rows].reshape(-1)[index] = part.variance
    whole.mask[rows].reshape(-1)[index] = part.mask
    whole.unused[rows].reshape(-1)[index] = part.unused


def _rows_of(
    band: Band, rows: slice
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None, NDArray[np.uint16] | None]:
    """Rows of all planes as columns (n, m), as copies."""
    n = len(band.data)
    return (
        block_of(band.data, rows, np.float32).reshape(n, -1),
        None if band.variance is None else block_of(band.variance, rows, np.float32).reshape(n, -1),
        None if band.mask is None else block_of(band.mask, rows, bits.MASK_DTYPE).reshape(n, -1),
    )


def _columns_of(
    band: Band, rows: slice, index: NDArray[np.intp]
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None, NDArray[np.uint16] | None]:
    """Some columns of rows of all planes, as copies."""
    return (
        columns_of(band.data, rows, index, np.float32),
        None if band.variance is None else columns_of(band.variance, rows, index, np.float32),
        None if band.mask is None else columns_of(band.mask, rows, index, bits.MASK_DTYPE),
    )


def _share(columns: Columns, weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the values of columns weigh, nothing where they take no part."""
    part = weights.reshape(columns.values.shape)
    return part if columns.accepted is None else part * columns.accepted


def _burnt(flags: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Non-linear and saturated bits of the accepted values of columns where these are usable."""
    found: NDArray[np.uint16] = np.bitwise_or.reduce(flags, axis=0)
    found[~bits.usable(found)] = 0
    return found


def _check_options(n: int, operation: Operation, rule: Rejection, has_variance: bool) -> None:
    for name, value, known in (
        ("operation", operation, get_args(Operation)),
        ("reject_method", rule.method, get_args(RejectMethod)),
    ):
        if value not in known:
            raise ParameterError(f"{name}={value!r} is not known; use one of {', '.join(known)}.")
    if rule.method == "minmax" and (rule.nlow + rule.nhigh >= n or min(rule.nlow, rule.nhigh) < 0):
        raise AlgorithmError(
            f"minmax with nlow={rule.nlow} and nhigh={rule.nhigh} leaves nothing of {n} images; "
            f"use 0 <= nlow + nhigh < {n}."
        )
    if operation == "wtmean" and not has_variance:
        raise AlgorithmError("wtmean needs a variance plane in every image; use mean instead.")


def _checked_weights(
    weights: Sequence[float] | NDArray[np.float64], n: int, operation: Operation
) -> NDArray[np.float64]:
    scale = np.asarray(weights, dtype=np.float64)
    if operation != "mean":
        raise AlgorithmError(f"Weights per image apply to operation mean, not to {operation}.")
    if scale.shape != (n,) or not (np.isfinite(scale).all() and (scale > 0).all()):
        raise AlgorithmError(f"{n} images need {n} positive weights, got {scale.tolist()}.")
    return scale


def _room(shape: tuple[int, ...]) -> Combined:
    """Room for a result."""
    return Combined(
        np.empty(shape, np.float32),
        np.empty(shape, np.float32),
        np.empty(shape, bits.MASK_DTYPE),
        np.empty(shape, np.int16),
    )


def _sorted(columns: Columns) -> list[NDArray[np.float32]]:
    work = columns.values.copy()
    if columns.accepted is not None:
        np.copyto(work, np.inf, where=~columns.accepted)
    return sort_planes(work)


def _merge(
    columns: Columns,
    rows: list[NDArray[np.float32]],
    operation: Operation,
    scale: NDArray[np.float64] | None,
) -> Combined:
    """Combine the accepted values of each column."""
    if operation in ("mean", "wtmean"):
        value, noise = average(columns, operation, scale)
    else:
        value, noise = middle(columns, rows, lower=operation == "lmedian")
    m = columns.values.shape[1]
    flags = np.zeros(m, bits.MASK_DTYPE) if columns.bits is None else np.bitwise_or.reduce(columns.bits, axis=0)
    unused = (len(columns.values) - columns.count).astype(np.int16)
    return Combined(value.astype(np.float32), noise.astype(np.float32), flags, unused)
