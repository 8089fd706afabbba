"""May this model take the champion's place? A list of checks on the same test records, each with its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from peace.config import EvaluationConfig, PromotionConfig
from peace.core.errors import DataError, nearest
from peace.core.files import digest
from peace.evaluation.age_bands import band_summary, by_age
from peace.evaluation.calibration import expected_calibration_error
from peace.evaluation.intervals import (
    PairedDifference,
    aligned,
    auc_by_label,
    auc_intervals,
    judged_labels,
    paired_difference,
)
from peace.evaluation.predictions import Predictions


@dataclass(frozen=True)
class Check:
    """One question of the gate: what was asked of what, the numbers, and the answer in words."""

    kind: str
    subject: str
    passed: bool
    value: float
    limit: float
    words: str


@dataclass(frozen=True)
class Decision:
    """What the gate says. `difference` is None where there was no champion to compare with."""

    passed: bool
    reasons: tuple[str, ...]
    checks: tuple[Check, ...]
    not_judged: tuple[str, ...]
    difference: PairedDifference | None
    candidate: dict[str, Any]
    champion: dict[str, Any] | None
    test: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """For promotion.json."""
        return asdict(self)


def judge(
    candidate: Predictions, champion: Predictions | None, gate: PromotionConfig, evaluation: EvaluationConfig
) -> Decision:
    """Hold a candidate's test predictions against the floors, and against the champion's of the same records.

    Without a champion the floors and the calibration decide alone. Raises DataError where the two are not of the same
    records, labels and targets, or where no label has both classes.
    """
    unknown = set(gate.label_floors) - set(candidate.labels)
    if unknown:
        name = sorted(unknown)[0]
        raise DataError(f"promotion.label_floors names '{name}', not a label here{nearest(name, candidate.labels)}")
    champion = None if champion is None else aligned(candidate, champion)
    judged = judged_labels(candidate, gate.min_count)
    checks, difference = [], None
    if champion is not None:
        difference = _compared(champion, candidate, evaluation)
        checks += [_gain(difference, gate, evaluation), *_label_drops(difference, judged, gate)]
    checks += _label_floors(candidate, judged, gate)
    band_checks, too_small = _bands(candidate, champion, gate, evaluation)
    checks += [*band_checks, *_calibration(candidate, champion, gate)]
    failed = tuple(check.words for check in checks if not check.passed)
    few = [
        f"{label}: fewer than {gate.min_count} positives or negatives"
        for label in candidate.labels
        if label not in judged
    ]
    return Decision(
        passed=not failed,
        reasons=failed or tuple(check.words for check in checks if check.kind in ("gain", "calibration")),
        checks=tuple(checks),
        not_judged=(*few, *too_small),
        difference=difference,
        candidate=summary(candidate, evaluation),
        champion=None if champion is None else summary(champion, evaluation),
        test={"digest": test_digest(candidate), "records": len(candidate), "patients": candidate.patients}
        | {"resampled_by": "patient" if candidate.by_patient else "record", "resamples": evaluation.bootstrap},
    )


def test_digest(predictions: Predictions) -> str:
    """What the records and their labels are, whatever their order: the same for two models scored on the same test."""
    columns = np.argsort(predictions.labels)
    rows = np.argsort(predictions.record_id.astype(str))
    targets = predictions.target_nk[np.ix_(rows, columns)]
    names = [predictions.labels[k] for k in columns]
    return digest({"labels": names, "records": predictions.record_id[rows].tolist(), "targets": targets.tolist()})


def summary(predictions: Predictions, evaluation: EvaluationConfig) -> dict[str, Any]:
    """AUC of each label, of each age band and overall, with intervals, and the calibration error; None: no AUC."""
    scored = judged_labels(predictions, 1)
    intervals = auc_intervals(predictions, scored, evaluation.bootstrap, evaluation.level, evaluation.seed)
    point = auc_by_label(predictions, scored)
    labels: dict[str, Any] = {}
    for k, label in enumerate(predictions.labels):
        known = label in scored
        labels[label] = {
            "auc": point[label] if known else None,
            "auc_low": intervals.low[label] if known else None,
            "auc_high": intervals.high[label] if known else None,
            "positives": int((predictions.target_nk[:, k] == 1).sum()),
        }
    return {
        "macro_auc": float(np.mean(list(point.values()))),
        "macro_auc_low": intervals.macro_low,
        "macro_auc_high": intervals.macro_high,
        "ece": calibration_error(predictions),
        "labels": labels,
        "bands": {name: band_summary(part, evaluation, 1) for name, part in by_age(predictions).items()},
    }


def calibration_error(predictions: Predictions) -> float:
    """Mean expected calibration error of the labels that have both classes."""
    scored = [predictions.labels.index(label) for label in judged_labels(predictions, 1)]
    errors = [expected_calibration_error(*predictions.known(k)) for k in scored]
    return float(np.mean(errors))


def _compared(champion: Predictions, candidate: Predictions, evaluation: EvaluationConfig) -> PairedDifference:
    return paired_difference(champion, candidate, evaluation.bootstrap, evaluation.level, evaluation.seed)


def _gain(found: PairedDifference, gate: PromotionConfig, evaluation: EvaluationConfig) -> Check:
    # written so that NaN fails as well
    passed = bool(found.low > gate.min_gain)
    words = (
        f"macro AUC {found.difference:+.4f} against the champion ({evaluation.level:.0%} interval {found.low:+.4f} to "
        f"{found.high:+.4f}): {'above' if passed else 'not shown to be above'} {gate.min_gain:+.4f}"
    )
    return Check("gain", "macro AUC", passed, found.difference, gate.min_gain, words)


def _label_drops(found: PairedDifference, judged: Sequence[str], gate: PromotionConfig) -> list[Check]:
    checks = []
    for label in judged:
        change, (low, high) = found.labels[label], found.label_intervals[label]
        passed = not (change < -gate.label_drop and high < 0)
        words = (
            f"{label}: AUC {change:+.3f} against the champion ({low:+.3f} to {high:+.3f}), -{gate.label_drop:g} allowed"
        )
        checks.append(Check("label drop", label, passed, change, -gate.label_drop, words))
    return checks


def _label_floors(candidate: Predictions, judged: Sequence[str], gate: PromotionConfig) -> list[Check]:
    point = auc_by_label(candidate, judged)
    checks = []
    for label in judged:
        floor = gate.label_floors.get(label, gate.label_floor)
        words = f"{label}: AUC {point[label]:.3f}, floor {floor:g}"
        checks.append(Check("label floor", label, point[label] >= floor, point[label], floor, words))
    return checks


def _bands(
    candidate: Predictions, champion: Predictions | None, gate: PromotionConfig, evaluation: EvaluationConfig
) -> tuple[list[Check], list[str]]:
    checks, too_small = [], []
    rivals = {} if champion is None else by_age(champion)
    for band, part in by_age(candidate).items():
        labels = judged_labels(part, gate.min_count)
        if not labels:
            too_small.append(f"{band}: no label with {gate.min_count} positives and negatives in {len(part)} records")
            continue
        macro = float(np.mean(list(auc_by_label(part, labels).values())))
        words = f"{band}: macro AUC {macro:.3f} over {len(labels)} labels, floor {gate.band_floor:g}"
        checks.append(Check("age band floor", band, macro >= gate.band_floor, macro, gate.band_floor, words))
        if champion is None:
            continue
        found = _compared(rivals[band].only(labels), part.only(labels), evaluation)
        passed = not (found.difference < -gate.band_drop and found.high < 0)
        words = (
            f"{band}: macro AUC {found.difference:+.3f} against the champion ({found.low:+.3f} to {found.high:+.3f}), "
            f"-{gate.band_drop:g} allowed"
        )
        checks.append(Check("age band drop", band, passed, found.difference, -gate.band_drop, words))
    return checks, too_small


def _calibration(candidate: Predictions, champion: Predictions | None, gate: PromotionConfig) -> list[Check]:
    error = calibration_error(candidate)
    limit = gate.max_calibration_error
    checks = [
        Check(
            "calibration",
            "all labels",
            error <= limit,
            error,
            limit,
            f"calibration error {error:.3f}, at most {limit:g}",
        )
    ]
    if champion is not None:
        before = calibration_error(champion)
        limit = before + gate.calibration_rise
        words = f"calibration error {error:.3f}, the champion's {before:.3f}, {gate.calibration_rise:g} more allowed"
        checks.append(Check("calibration rise", "all labels", error <= limit, error, limit, words))
    return checks
