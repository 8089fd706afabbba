"""The vectorised bootstrap against the plain one, and what intervals must do."""

from dataclasses import replace

import numpy as np
import pytest
from predictions_table import predictions_frame
from sklearn.metrics import roc_auc_score

from peace.core.errors import DataError
from peace.evaluation.intervals import auc_intervals, paired_difference, weighted_auc
from peace.evaluation.predictions import Predictions, from_frame


def scored(records: int = 200, **kwargs) -> Predictions:
    return from_frame(predictions_frame(records, **kwargs), "here").where("test")


def test_weights_are_repeated_records() -> None:
    predictions = scored()
    # rounded, so that there are ties
    predictions = replace(predictions, probability_nk=predictions.probability_nk.round(1))
    times = np.random.default_rng(1).integers(0, 4, (6, len(predictions)))
    auc = weighted_auc(predictions, [0, 1, 2], times.astype(float))
    for row in range(len(times)):
        for k in range(3):
            target = np.repeat(predictions.target_nk[:, k], times[row])
            score = np.repeat(predictions.probability_nk[:, k], times[row])
            assert auc[row, k] == pytest.approx(roc_auc_score(target, score), abs=1e-12)


def test_interval_is_that_of_a_plain_bootstrap_over_patients() -> None:
    predictions = scored(400)
    found = auc_intervals(predictions, ["NORM"], 2000, 0.9, seed=1)
    generator = np.random.default_rng(2)
    rows_of = [np.flatnonzero(predictions.group == patient) for patient in np.unique(predictions.group)]
    values = []
    for _ in range(1000):
        rows = np.concatenate([rows_of[i] for i in generator.integers(len(rows_of), size=len(rows_of))])
        values.append(roc_auc_score(predictions.target_nk[rows, 0], predictions.probability_nk[rows, 0]))
    low, high = np.quantile(values, [0.05, 0.95])
    assert found.low["NORM"] == pytest.approx(low, abs=0.01)
    assert found.high["NORM"] == pytest.approx(high, abs=0.01)


def test_patients_with_many_records_widen_the_interval() -> None:
    predictions = scored(400)
    # the same 20 records ten times over: hardly more is known than from 20 records
    rows = np.tile(np.arange(20), 10)
    copies = predictions.take(rows)
    by_patient = auc_intervals(replace(copies, group=rows), ["NORM"], 500, 0.95, seed=0)
    by_record = auc_intervals(replace(copies, group=np.arange(200)), ["NORM"], 500, 0.95, seed=0)
    width = by_patient.high["NORM"] - by_patient.low["NORM"]
    assert width > 2 * (by_record.high["NORM"] - by_record.low["NORM"])


def test_resamples_without_a_class_are_skipped_and_counted() -> None:
    predictions = scored(60)
    target = predictions.target_nk.copy()
    target[:, 2] = 0
    target[4, 2] = 1
    predictions = replace(predictions, target_nk=target, group=np.arange(len(predictions)))
    found = auc_intervals(predictions, ["NORM", "RVH"], 1000, 0.95, seed=0)
    # one positive record is missing from a resample with chance (1 - 1/n)^n, near 1/e
    assert found.skipped["RVH"] == pytest.approx(1000 * (1 - 1 / len(predictions)) ** len(predictions), rel=0.15)
    assert found.skipped["NORM"] == 0
    assert found.macro_incomplete == found.skipped["RVH"]
    assert found.low["RVH"] <= found.high["RVH"]


def test_same_seed_same_interval_in_parts_or_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    predictions = scored()
    at_once = auc_intervals(predictions, ["NORM", "LVH"], 100, 0.95, seed=5)
    assert at_once == auc_intervals(predictions, ["NORM", "LVH"], 100, 0.95, seed=5)
    assert at_once != auc_intervals(predictions, ["NORM", "LVH"], 100, 0.95, seed=6)
    monkeypatch.setattr("peace.evaluation.intervals.CELLS", 7 * len(predictions))
    assert at_once == auc_intervals(predictions, ["NORM", "LVH"], 100, 0.95, seed=5)


def test_paired_difference_sees_a_small_but_steady_gain() -> None:
    worse = scored(600, strength=1.0)
    # the same scores with a little more of the truth in them
    better = replace(worse, probability_nk=np.clip(worse.probability_nk + 0.05 * worse.target_nk, 0, 1))
    found = paired_difference(worse, better, 500, 0.95, seed=0)
    assert 0 < found.low < found.difference < found.high
    assert found.share_not_better == 0
    back = paired_difference(better, worse, 500, 0.95, seed=0)
    assert back.difference == pytest.approx(-found.difference)
    # intervals of the two models apart overlap: pairing is what shows it
    one = auc_intervals(worse, worse.labels, 500, 0.95, seed=0)
    other = auc_intervals(better, worse.labels, 500, 0.95, seed=0)
    assert other.macro_low < one.macro_high


def test_paired_difference_of_a_model_with_itself_is_nothing_in_any_order() -> None:
    predictions = scored()
    shuffled = predictions.take(np.random.default_rng(0).permutation(len(predictions)))
    found = paired_difference(predictions, shuffled, 50, 0.95, seed=0)
    assert (found.difference, found.low, found.high) == (0, 0, 0)
    assert found.share_not_better == 1


def test_paired_difference_refuses_other_records_and_other_targets() -> None:
    predictions = scored()
    with pytest.raises(DataError, match="not of the same records"):
        paired_difference(predictions, predictions.take(np.arange(10)), 10, 0.95, seed=0)
    with pytest.raises(DataError, match="disagree on the targets"):
        paired_difference(predictions, replace(predictions, target_nk=1 - predictions.target_nk), 10, 0.95, seed=0)
