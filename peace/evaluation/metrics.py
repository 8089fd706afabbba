"""Metrics of a run's test predictions, at thresholds fitted on its validation predictions alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score, balanced_accuracy_score, f1_score, recall_score, roc_auc_score

from peace.config import EvaluationConfig
from peace.core.errors import DataError
from peace.evaluation.age_bands import band_summary, by_age
from peace.evaluation.calibration import brier, expected_calibration_error
from peace.evaluation.intervals import AucIntervals, auc_intervals
from peace.evaluation.predictions import Predictions
from peace.evaluation.thresholds import fit_thresholds, unfitted

BAND_COUNT = 10  # positives and negatives that a label needs to count in an age band
MACRO = ("auc", "f1", "balanced_accuracy", "average_precision", "ece", "brier")


def evaluate(predictions: Predictions, config: EvaluationConfig) -> dict[str, Any]:
    """The content of metrics.json.

    Labels that lack a class in the test split have no AUC: they are named in `left_out` and are in no macro value.
    Thresholds come from the validation split; `thresholds_not_fitted` names labels for which that was not possible
    and 0.5 stands in. Raises DataError where no label at all has both classes.
    """
    test, validation = predictions.where("test"), predictions.where("val")
    left_out = unfitted(test.target_nk, test.labels)
    scored = [label for label in test.labels if label not in left_out]
    if not scored:
        raise DataError("no label has both positives and negatives in the test split: there is nothing to score")
    thresholds = fit_thresholds(validation.probability_nk, validation.target_nk, predictions.labels)
    intervals = auc_intervals(test, scored, config.bootstrap, config.level, config.seed) if config.bootstrap else None
    labels = {label: _label_metrics(test, label, thresholds[label], intervals) for label in test.labels}
    macro = {f"macro_{name}": float(np.mean([labels[label][name] for label in scored])) for name in MACRO}
    return {
        "split": "test",
        "records": len(test),
        "patients": test.patients,
        "macro_auc": macro["macro_auc"],
        "macro_auc_low": intervals.macro_low if intervals else None,
        "macro_auc_high": intervals.macro_high if intervals else None,
        "macro_f1": macro["macro_f1"],
        "macro_balanced_accuracy": macro["macro_balanced_accuracy"],
        "macro_average_precision": macro["macro_average_precision"],
        "calibration": {"ece": macro["macro_ece"], "brier": macro["macro_brier"]},
        "labels": labels,
        "age_bands": {name: band_summary(part, config, BAND_COUNT) for name, part in by_age(test).items()},
        "left_out": left_out,
        "thresholds_not_fitted": unfitted(validation.target_nk, predictions.labels),
        "validation_records": len(validation),
        "interval": {
            "level": config.level,
            "method": "percentile bootstrap",
            "resampled_by": "patient" if test.by_patient else "record",
            "resamples": config.bootstrap,
            "seed": config.seed,
            "macro_incomplete": intervals.macro_incomplete if intervals else 0,
        },
    }


def macro_auc(predictions: Predictions) -> float:
    """Mean AUC over the labels that have both classes; NaN where none has."""
    without = unfitted(predictions.target_nk, predictions.labels)
    scored = [predictions.known(k) for k, label in enumerate(predictions.labels) if label not in without]
    values = [roc_auc_score(target, probability) for probability, target in scored]
    return float(np.mean(values)) if values else float("nan")


def _label_metrics(test: Predictions, label: str, threshold: float, intervals: AucIntervals | None) -> dict[str, Any]:
    """Metrics of one label; None for those that need both classes where one is missing."""
    probability, target = test.known(test.labels.index(label))
    called = (probability >= threshold).astype(int)
    positives = int(target.sum())
    both = 0 < positives < len(target)
    return {
        "auc": float(roc_auc_score(target, probability)) if both else None,
        "auc_low": intervals.low[label] if both and intervals else None,
        "auc_high": intervals.high[label] if both and intervals else None,
        "positives": positives,
        "negatives": len(target) - positives,
        "doubtful": len(test) - len(target),
        "threshold": threshold,
        "f1": float(f1_score(target, called, zero_division=0)) if both else None,
        "balanced_accuracy": float(balanced_accuracy_score(target, called)) if both else None,
        "sensitivity": float(recall_score(target, called, zero_division=0)) if positives else None,
        "specificity": float(recall_score(1 - target, 1 - called)) if positives < len(target) else None,
        "average_precision": float(average_precision_score(target, probability)) if both else None,
        "ece": expected_calibration_error(probability, target),
        "brier": brier(probability, target),
        "resamples_skipped": intervals.skipped[label] if both and intervals else None,
    }
