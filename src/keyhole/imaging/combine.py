"""One image from many: rejection of outliers and combination, pixel by pixel, with variance and quality bits.

Above every output pixel stands a column of ``n`` inputs. Only the inputs of the best quality class present
take part (good before cosmic ray before overlap before bad before unilluminated before no data), outliers
among them are rejected, the rest is combined. Inputs are taken as independent of each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import AlgorithmError, ParameterError
from keyhole.imaging import bits
from keyhole.imaging._masked import zero_all_except
from keyhole.imaging._order_statistics import (
    lower_median_efficiency,
    median_efficiency,
    pick,
    sort_planes,
    sorted_median,
)
from keyhole.imaging._planes import Band, Planes, RowReader, bands, block_of, common_shape
from keyhole.imaging._rejection import Columns, Rejection, RejectMethod, find_outliers

__all__ = ["Combined", "Operation", "RejectMethod", "RowReader", "combine"]

Operation = Literal["mean", "wtmean", "median", "lmedian"]


_BADNESS_ORDER: Final = (bits.COSMIC_RAY, bits.OVERLAP, bits.BAD, bits.UNILLUMINATED, bits.NO_DATA)
_NO_DATA_CLASS: Final = len(_BADNESS_ORDER)


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
    allowed: NDArray[np.float32] | None = None,
    centre: NDArray[np.float32] | None = None,
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
    allowed : (ny, nx) float32, optional
        What clipping allows besides the noise: seeing and clouds change the light of a star from image to image
        (`keyhole.imaging.starlight`).
    centre : (ny, nx) float32, optional
        The median of the inputs that take part, where it is known from before, NaN elsewhere: "varclip" of a mean
        then needs not look for it again.
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
    ny, nx = common_shape(data, variance, mask)
    n = len(data)
    rule = Rejection(reject_method, lsigma, hsigma, nlow, nhigh, mclip, max_iters)
    _check_options(n, operation, rule, variance is not None)
    scale = None if weights is None else _checked_weights(weights, n, operation)
    result = _room((ny, nx))
    burnt = None if mask is None else np.zeros((ny, nx), bits.MASK_DTYPE)
    for start, band in bands((data, variance, mask), ny, nx):
        for first, rows in band.blocks():
            columns, empty = _load(band, rows)
            at = slice(start + first, start + first + len(empty) // nx)
            if burnt is not None and columns.bits is not None:
                burnt[at] = _burnt(columns.bits).reshape(-1, nx)
            if allowed is not None:
                columns = replace(columns, allowed=allowed[at].ravel())
            if centre is not None and not np.isnan(centre[at]).any():
                columns = replace(columns, centre=centre[at].ravel())
            if shares is not None:
                columns = replace(columns, share=_shares_at(shares, at, columns.accepted))
            block = _combine_columns(columns, operation, rule, scale)
            if empty.any():
                for plane in (block.data, block.variance):
                    plane[empty] = 0
                block.mask[empty] = bits.NO_DATA
                block.unused[empty] = n
            result.data[at] = block.data.reshape(-1, nx)
            result.variance[at] = block.variance.reshape(-1, nx)
            result.mask[at] = block.mask.reshape(-1, nx)
            result.unused[at] = block.unused.reshape(-1, nx)
    return result._replace(burnt=burnt)


def _burnt(flags: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Non-linear and saturated bits of the accepted values of columns where these are usable."""
    found: NDArray[np.uint16] = np.bitwise_or.reduce(flags, axis=0)
    found[~bits.usable(found)] = 0
    return found


def _shares_at(shares: Planes, at: slice, accepted: NDArray[np.bool_] | None) -> NDArray[np.float32]:
    """What the values of some rows weigh, nothing where they take no part."""
    part = np.stack([np.asarray(plane[at], np.float32).ravel() for plane in shares])
    return part if accepted is None else part * accepted


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


@lru_cache(maxsize=1)
def _badness_table() -> NDArray[np.uint8]:
    """Class of every mask value: 0 if usable, rising with badness; unknown bits count as bad pixels."""
    values = np.arange(1 << 16)
    unknown = bits.UNUSABLE & ~sum(_BADNESS_ORDER)
    table = np.zeros(values.shape, np.uint8)
    for badness, bit in enumerate(_BADNESS_ORDER, start=1):
        table[values & (bit | unknown if bit == bits.BAD else bit) != 0] = badness
    return table


def _load(band: Band, rows: slice) -> tuple[Columns, NDArray[np.bool_]]:
    """The columns of some rows with the best class accepted, and which of them have no data at all."""
    values = _columns(band.data, rows, np.float32)
    n, m = values.shape
    noise = None if band.variance is None else _columns(band.variance, rows, np.float32)
    flags = None if band.mask is None else _columns(band.mask, rows, bits.MASK_DTYPE)
    finite = np.isfinite(values)
    if noise is not None:
        finite &= np.isfinite(noise)
    if not finite.all():
        flags = np.zeros(values.shape, bits.MASK_DTYPE) if flags is None else flags
        flags[~finite] |= bits.MASK_DTYPE(bits.NO_DATA)
    accepted = None if flags is None else (flags & bits.MASK_DTYPE(bits.UNUSABLE)) == 0
    if flags is not None and accepted is not None and not accepted.all():
        empty = np.zeros(m, dtype=bool)
        hopeless = np.flatnonzero(~accepted.any(axis=0))
        if hopeless.size:
            badness = _badness_table()[flags[:, hopeless]]
            best = badness.min(axis=0)
            accepted[:, hopeless] = badness == best
            empty[hopeless] = best == _NO_DATA_CLASS
        # Half of the time of numpy.count_nonzero, and again a fifth of that in bytes.
        count = accepted.sum(axis=0, dtype=np.uint8 if n < 256 else np.int32).astype(np.intp)
        zero_all_except(accepted, values, noise, flags)
        if empty.any():
            # These columns are only carried along; their values may be anything.
            values[:, empty] = 0
            if noise is not None:
                noise[:, empty] = 0
        return Columns(values, noise, flags, accepted, count), empty
    return Columns(values, noise, flags, None, np.full(m, n, np.intp)), np.zeros(m, dtype=bool)


def _columns(planes: Planes, rows: slice, dtype: type[np.generic]) -> NDArray[Any]:
    """Rows of all planes as columns (n, m), as a copy."""
    return block_of(planes, rows, dtype).reshape(len(planes), -1)


def _combine_columns(
    columns: Columns, operation: Operation, rule: Rejection, scale: NDArray[np.float64] | None
) -> Combined:
    """Reject and combine; only the columns that lost a value are combined a second time."""
    n, m = columns.values.shape
    clips_about_median = rule.method != "none" and not (columns.centre is not None and rule.by_variance(columns))
    needs_order = clips_about_median or operation in ("median", "lmedian")
    rows = _sorted(columns) if needs_order else []
    if rule.method == "none" or n == 1:
        return _merge(columns, rows, operation, scale)
    index, accepted = find_outliers(columns, rows, rule)
    result = _merge(columns, rows, operation, scale) if len(index) < m else _room((m,))
    if index.size:
        part = columns.take(index, accepted)
        again = _merge(part, _sorted(part) if operation in ("median", "lmedian") else [], operation, scale)
        result.data[index] = again.data
        result.variance[index] = again.variance
        result.mask[index] = again.mask
        result.unused[index] = again.unused
    if rule.method == "minmax" and operation in ("median", "lmedian"):
        result = result._replace(variance=_merge(columns, rows, operation, scale).variance)
    return result


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
        value, noise = _average(columns, operation, scale)
    else:
        value, noise = _middle(columns, rows, lower=operation == "lmedian")
    m = columns.values.shape[1]
    flags = np.zeros(m, bits.MASK_DTYPE) if columns.bits is None else np.bitwise_or.reduce(columns.bits, axis=0)
    unused = (len(columns.values) - columns.count).astype(np.int16)
    return Combined(value.astype(np.float32), noise.astype(np.float32), flags, unused)


def _average(
    columns: Columns, operation: Operation, scale: NDArray[np.float64] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean with equal, given or inverse-variance weights, and its variance."""
    count = columns.count
    if operation == "wtmean" and columns.variance is not None:
        positive = columns.variance > 0
        weight = np.zeros(positive.shape)
        np.divide(1.0, columns.variance, out=weight, where=positive)
        total = weight.sum(axis=0)
        weighted = total > 0
        total[~weighted] = 1
        value = np.where(weighted, (weight * columns.values).sum(axis=0) / total, _sum(columns.values) / count)
        return value, np.where(weighted, 1 / total, 0)
    if columns.share is not None:
        return _shared_average(columns, scale)
    if scale is None:
        number = columns.number
        value = _sum(columns.values) / number
        if columns.variance is not None:
            return value, _single_sum(columns.variance) / number**2
        return value, _scatter_variance(columns, value)
    total = scale.sum() if columns.accepted is None else _weighted_sum(scale, columns.accepted)
    value = _weighted_sum(scale, columns.values) / total
    if columns.variance is not None:
        return value, _weighted_sum(scale**2, columns.variance, np.float32) / total**2
    spread = _offsets(columns, value) ** 2
    return value, _weighted_sum(scale**2, spread) / total**2 * count / np.maximum(count - 1, 1)


def _weighted_sum(
    weights: NDArray[np.float64], planes: NDArray[Any], dtype: type[np.floating[Any]] = np.float64
) -> NDArray[np.floating[Any]]:
    """Sum of planes times their weights.

    A matrix product is faster, but its last bit depends on where a column stands in the block.
    """
    total, term = np.zeros(planes.shape[1], dtype), np.empty(planes.shape[1], dtype)
    weights = weights.astype(dtype)
    for weight, plane in zip(weights, planes, strict=True):
        np.multiply(plane, weight, out=term)
        total += term
    return total


def _shared_average(
    columns: Columns, scale: NDArray[np.float64] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean with a weight of each value, and its variance."""
    part = np.asarray(columns.share, np.float64)
    weight = part if scale is None else scale[:, np.newaxis] * part
    if not weight.all():
        # Values without any weight count alike where there are no others.
        accepted = np.ones(weight.shape, bool) if columns.accepted is None else columns.accepted
        weight = np.where(weight.sum(axis=0) > 0, weight, accepted)
    weight = weight / weight.sum(axis=0)
    value = (weight * columns.values).sum(axis=0)
    if columns.variance is not None:
        return value, (weight**2 * columns.variance).sum(axis=0)
    count = columns.count
    spread = (weight**2 * _offsets(columns, value) ** 2).sum(axis=0)
    return value, spread * count / np.maximum(count - 1, 1)


def _middle(
    columns: Columns, rows: list[NDArray[np.float32]], *, lower: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Median or lower median, and its variance."""
    count = columns.count
    middle = pick(rows, (count - 1) // 2) if lower else sorted_median(rows, count)
    value = middle.astype(np.float64)
    factor = lower_median_efficiency(count) if lower else median_efficiency(count)
    if columns.variance is None:
        return value, factor * _scatter_variance(columns, value)
    return value, factor * _single_sum(columns.variance) / count**2


def _sum(planes: NDArray[np.float32]) -> NDArray[np.float64]:
    """Sum over the inputs in double precision."""
    return np.asarray(planes.sum(axis=0, dtype=np.float64))


def _single_sum(planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sum over the inputs in single precision: enough for variances, which do not cancel each other."""
    return np.asarray(np.add.reduce(planes, axis=0))


def _offsets(columns: Columns, value: NDArray[np.float64]) -> NDArray[np.float64]:
    offset = np.asarray(columns.values - value, np.float64)
    return offset if columns.accepted is None else np.asarray(offset * columns.accepted)


def _scatter_variance(columns: Columns, value: NDArray[np.float64]) -> NDArray[np.float64]:
    """Variance of a mean from the scatter of the accepted values about `value`."""
    count = columns.count
    squares = (_offsets(columns, value) ** 2).sum(axis=0)
    return np.asarray(squares / (count * np.maximum(count - 1, 1)))
