"""Bootstrap over patients, for the AUC of each label and their mean, and for the difference of two models.

A patient drawn twice counts twice, with all of his or her records, so a resample is a weight for each record and the
AUC of all resamples at once is arithmetic on a (resamples, records) matrix: no loop over resamples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from peace.core.errors import DataError
from peace.evaluation.predictions import Predictions

CELLS = 4_000_000  # weights held at once: 32 MB each for the few arrays in use


@dataclass(frozen=True)
class AucIntervals:
    """Percentile intervals. A resample in which a label lacks a class has no AUC for it and is left out there.

    The macro AUC of a resample is the mean over the labels that have one, so that rare labels do not decide which
    resamples count; `macro_incomplete` tells how many were of fewer labels. NaN where no resample has a value.
    """

    low: dict[str, float]
    high: dict[str, float]
    skipped: dict[str, int]
    macro_low: float
    macro_high: float
    macro_incomplete: int
    resamples: int


@dataclass(frozen=True)
class PairedDifference:
    """Macro AUC of `b` less that of `a` on the same records, with its interval from joint resamples.

    Of several pairs: the mean over them, and `by_pair` the difference of each.
    """

    difference: float
    low: float
    high: float
    share_not_better: float
    labels: dict[str, float]
    label_intervals: dict[str, tuple[float, float]]
    resamples: int
    by_pair: tuple[float, ...]


def auc_intervals(
    predictions: Predictions, labels: Sequence[str], resamples: int, level: float, seed: int
) -> AucIntervals:
    """Intervals of the AUC of `labels` and of their mean, over patients drawn with replacement."""
    columns = [predictions.labels.index(label) for label in labels]
    auc_rk = resampled_auc(predictions, columns, resamples, seed)
    bounds = [percentiles(auc_rk[:, k], level) for k in range(len(labels))]
    lacking = np.isnan(auc_rk)
    macro_low, macro_high = percentiles(_row_means(auc_rk), level)
    return AucIntervals(
        low={label: low for label, (low, _) in zip(labels, bounds, strict=True)},
        high={label: high for label, (_, high) in zip(labels, bounds, strict=True)},
        skipped={label: int(lacking[:, k].sum()) for k, label in enumerate(labels)},
        macro_low=macro_low,
        macro_high=macro_high,
        macro_incomplete=int(lacking.any(axis=1).sum()),
        resamples=resamples,
    )


def paired_difference(a: Predictions, b: Predictions, resamples: int, level: float, seed: int) -> PairedDifference:
    """Compare two models that scored the same records: is `b` better than `a`?

    Both see the same patients in each resample, so what makes a resample easy or hard cancels out. Raises DataError
    where records, labels or targets differ. Labels without both classes are left out of both.
    """
    return mean_paired_difference([(a, b)], resamples, level, seed)


def mean_paired_difference(
    pairs: Sequence[tuple[Predictions, Predictions]], resamples: int, level: float, seed: int
) -> PairedDifference:
    """The mean difference of several pairs of models, such as two methods at several seeds, on the same records.

    All models score the same patients in each resample. The interval speaks of patients: it holds for these trainings.
    Raises DataError as paired_difference does.
    """
    first = pairs[0][0]
    columns = [first.labels.index(label) for label in judged_labels(first, 1)]
    if not columns:
        raise DataError("no label has both classes among these records: there is no AUC to compare")
    whole = np.ones((1, len(first)))
    points, drawn = [], np.zeros((resamples, len(columns)))
    for pair in pairs:
        a, b = (aligned(first, one) for one in pair)
        points.append((weighted_auc(b, columns, whole) - weighted_auc(a, columns, whole))[0])
        # one seed: the same patients are drawn for all
        drawn += resampled_auc(b, columns, resamples, seed) - resampled_auc(a, columns, resamples, seed)
    point_k = np.mean(points, axis=0)
    drawn /= len(pairs)
    difference = _row_means(drawn)
    low, high = percentiles(difference, level)
    known = difference[~np.isnan(difference)]
    return PairedDifference(
        difference=float(point_k.mean()),
        low=low,
        high=high,
        share_not_better=float((known <= 0).mean()) if len(known) else float("nan"),
        labels={first.labels[k]: float(value) for k, value in zip(columns, point_k, strict=True)},
        label_intervals={first.labels[k]: percentiles(drawn[:, at], level) for at, k in enumerate(columns)},
        resamples=resamples,
        by_pair=tuple(float(values.mean()) for values in points),
    )


def resampled_auc(predictions: Predictions, columns: Sequence[int], resamples: int, seed: int) -> NDArray[np.float64]:
    """AUC of each resample and label column, (resamples, columns); NaN where a resample lacks a class."""
    parts = [weighted_auc(predictions, columns, weights) for weights in _draws(predictions.group, resamples, seed)]
    return np.concatenate(parts) if parts else np.empty((0, len(columns)))


def weighted_auc(
    predictions: Predictions, columns: Sequence[int], weights_rn: NDArray[np.float64]
) -> NDArray[np.float64]:
    """AUC of each row of record weights and each label column; ties count one half, as in the Mann-Whitney U.

    NaN where a row gives no weight to one of the classes.
    """
    result = np.full((len(weights_rn), len(columns)), np.nan)
    for place, k in enumerate(columns):
        order = np.argsort(predictions.probability_nk[:, k], kind="stable")
        ranked = predictions.probability_nk[order, k]
        positive, negative = (predictions.target_nk[order, k] == value for value in (1, 0))  # doubtful: neither
        ties = np.flatnonzero(np.append(True, ranked[1:] > ranked[:-1]))
        weights = weights_rn[:, order]
        positive_rt = np.add.reduceat(weights * positive, ties, axis=1)
        negative_rt = np.add.reduceat(weights * negative, ties, axis=1)
        below_rt = np.cumsum(negative_rt, axis=1)
        pairs = positive_rt.sum(axis=1) * below_rt[:, -1]
        won = np.einsum("rt,rt->r", positive_rt, below_rt - negative_rt / 2)
        np.divide(won, pairs, out=result[:, place], where=pairs > 0)
    return result


def judged_labels(predictions: Predictions, min_count: int) -> list[str]:
    """Labels with so many positives and negatives among these records."""
    few = np.minimum(*((predictions.target_nk == value).sum(axis=0) for value in (1, 0)))
    return [label for label, count in zip(predictions.labels, few, strict=True) if count >= min_count]


def auc_by_label(predictions: Predictions, labels: Sequence[str]) -> dict[str, float]:
    """AUC of each of these labels, which must have both classes among these records."""
    columns = [predictions.labels.index(label) for label in labels]
    values = weighted_auc(predictions, columns, np.ones((1, len(predictions))))[0]
    return {label: float(value) for label, value in zip(labels, values, strict=True)}


def percentiles(values: NDArray[np.float64], level: float) -> tuple[float, float]:
    """The central interval that holds `level` of the values, NaN apart; (NaN, NaN) where there are none."""
    known = values[~np.isnan(values)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _draws(group: NDArray[np.int64], resamples: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Record weights of the resamples, in parts of bounded size: how often each record's patient was drawn."""
    _, patient = np.unique(group, return_inverse=True)
    patients = int(patient.max()) + 1
    generator = np.random.default_rng(seed)
    part = max(1, CELLS // len(group))
    for start in range(0, resamples, part):
        rows = min(part, resamples - start)
        drawn = generator.integers(patients, size=(rows, patients))
        drawn += np.arange(rows)[:, None] * patients
        counts = np.bincount(drawn.ravel(), minlength=rows * patients).reshape(rows, patients)
        yield counts[:, patient].astype(np.float64)


def _row_means(values_rk: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of each row over what it has; NaN for a row that has nothing."""
    known = ~np.isnan(values_rk)
    count = known.sum(axis=1)
    total = np.where(known, values_rk, 0).sum(axis=1)
    result: NDArray[np.float64] = np.divide(total, count, out=np.full(len(values_rk), np.nan), where=count > 0)
    return result


def aligned(a: Predictions, b: Predictions) -> Predictions:
    """`b` with its records, patients, ages and labels as `a` has them. Raises DataError where it is of other ones."""
    if set(a.record_id) != set(b.record_id) or set(a.labels) != set(b.labels):
        raise DataError("the two sets of predictions are not of the same records and labels: they cannot be compared")
    place = {record: row for row, record in enumerate(b.record_id)}
    b = b.take(np.array([place[record] for record in a.record_id]))
    columns = [b.labels.index(label) for label in a.labels]
    if not np.array_equal(b.target_nk[:, columns], a.target_nk):
        raise DataError("the two sets of predictions disagree on the targets of the same records")
    return Predictions(
        a.record_id,
        a.split,
        a.group,
        a.age_days,
        b.probability_nk[:, columns],
        a.target_nk,
        a.labels,
        a.by_patient,
    )
