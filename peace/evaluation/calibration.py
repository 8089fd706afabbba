"""Do probabilities mean what they say? Brier score, expected calibration error, reliability curve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 10


@dataclass(frozen=True)
class Reliability:
    """Ten equally wide bins of probability: mean probability, observed share of positives, records (NaN: empty)."""

    predicted: NDArray[np.float64]
    observed: NDArray[np.float64]
    count: NDArray[np.int64]


def reliability(probability_n: NDArray[np.float64], target_n: NDArray[np.int64]) -> Reliability:
    """Bin predictions by probability."""
    place = np.minimum((probability_n * BINS).astype(int), BINS - 1)
    count = np.bincount(place, minlength=BINS)
    empty = np.full(BINS, np.nan)
    predicted = np.divide(np.bincount(place, probability_n, BINS), count, out=empty.copy(), where=count > 0)
    observed = np.divide(np.bincount(place, target_n, BINS), count, out=empty.copy(), where=count > 0)
    return Reliability(predicted, observed, count)


def expected_calibration_error(probability_n: NDArray[np.float64], target_n: NDArray[np.int64]) -> float:
    """Mean gap between probability and observed share, weighted by the records in each bin; in [0, 1]."""
    curve = reliability(probability_n, target_n)
    gap = np.abs(curve.predicted - curve.observed)
    return float(np.nansum(gap * curve.count) / curve.count.sum())


def brier(probability_n: NDArray[np.float64], target_n: NDArray[np.int64]) -> float:
    """Mean squared difference between probability and outcome; 0 is perfect."""
    return float(np.mean((probability_n - target_n) ** 2))
