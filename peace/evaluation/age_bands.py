"""Age bands in which a child's ECG is read differently (after Davignon 1979 and Rijnbeek 2001, some joined)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from peace.config import EvaluationConfig
from peace.evaluation.intervals import auc_by_label, auc_intervals, judged_labels
from peace.evaluation.predictions import Predictions

YEAR = 365.25
# name and first day; a band ends where the next begins
BANDS = (
    ("neonate (under 28 days)", 0.0),
    ("infant (28 days to 1 year)", 28.0),
    ("1 to 3 years", 1 * YEAR),
    ("3 to 8 years", 3 * YEAR),
    ("8 to 12 years", 8 * YEAR),
    ("12 to 16 years", 12 * YEAR),
    ("16 years and older", 16 * YEAR),
)


def by_age(predictions: Predictions) -> dict[str, Predictions]:
    """The records of each age band that has any, youngest first; records of unknown age are in none."""
    place = band_of(predictions.age_days)
    rows = {name: np.flatnonzero(place == number) for number, (name, _) in enumerate(BANDS)}
    return {name: predictions.take(found) for name, found in rows.items() if len(found)}


def band_of(age_days: NDArray[np.float64]) -> NDArray[np.int64]:
    """The number of each age's band, -1 where the age is unknown."""
    starts = np.array([start for _, start in BANDS])
    return np.where(np.isnan(age_days), -1, np.searchsorted(starts, np.nan_to_num(age_days), side="right") - 1)


def band_summary(part: Predictions, evaluation: EvaluationConfig, min_count: int) -> dict[str, Any]:
    """Macro AUC of one age band's records with its interval, over the labels that have `min_count` of each class."""
    scored = judged_labels(part, min_count)
    found: dict[str, Any] = {"records": len(part), "patients": part.patients, "labels": len(scored)}
    if not scored:
        return found | {"macro_auc": None, "macro_auc_low": None, "macro_auc_high": None}
    macro = float(np.mean(list(auc_by_label(part, scored).values())))
    if not evaluation.bootstrap:
        return found | {"macro_auc": macro, "macro_auc_low": None, "macro_auc_high": None}
    intervals = auc_intervals(part, scored, evaluation.bootstrap, evaluation.level, evaluation.seed)
    return found | {"macro_auc": macro, "macro_auc_low": intervals.macro_low, "macro_auc_high": intervals.macro_high}
