"""The combined value of each column and its variance: means with weights of several kinds, and medians."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging._order_statistics import lower_median_efficiency, median_efficiency, pick, sorted_median
from keyhole.imaging._rejection import Columns

__all__ = ["Operation", "average", "middle"]

Operation = Literal["mean", "wtmean", "median", "lmedian"]


def average(
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


def middle(
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
