"""Metrics against scikit-learn and against cases whose answer is known."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from predictions_table import LABELS, predictions_frame
from sklearn.metrics import f1_score, roc_auc_score

from peace.config import EvaluationConfig
from peace.core.errors import DataError
from peace.evaluation.calibration import brier, expected_calibration_error
from peace.evaluation.metrics import evaluate, macro_auc
from peace.evaluation.predictions import from_frame, read_predictions
from peace.evaluation.thresholds import best_f1_threshold, fit_thresholds


def test_values_are_scikit_learns() -> None:
    predictions = from_frame(predictions_frame(), "here")
    metrics = evaluate(predictions, EvaluationConfig(bootstrap=50))
    validation, test = predictions.where("val"), predictions.where("test")
    for k, label in enumerate(LABELS):
        values = metrics["labels"][label]
        assert values["auc"] == roc_auc_score(test.target_nk[:, k], test.probability_nk[:, k])
        assert values["auc_low"] < values["auc"] < values["auc_high"]
        assert values["positives"] + values["negatives"] == len(test) == 120
        threshold = best_f1_threshold(validation.probability_nk[:, k], validation.target_nk[:, k])
        assert values["threshold"] == threshold
        called = test.probability_nk[:, k] >= threshold
        assert values["f1"] == f1_score(test.target_nk[:, k], called)
        assert values["balanced_accuracy"] == pytest.approx((values["sensitivity"] + values["specificity"]) / 2)
    assert metrics["macro_auc"] == pytest.approx(macro_auc(test))
    assert metrics["macro_auc_low"] < metrics["macro_auc"] < metrics["macro_auc_high"]
    assert metrics["patients"] == 60


def test_test_targets_do_not_move_thresholds() -> None:
    frame = predictions_frame()
    before = evaluate(from_frame(frame, "here"), EvaluationConfig(bootstrap=0))
    frame.loc[frame["split"] == "test", "target"] = 1 - frame["target"]
    after = evaluate(from_frame(frame, "here"), EvaluationConfig(bootstrap=0))
    assert before["macro_auc"] != after["macro_auc"]
    for label in LABELS:
        assert before["labels"][label]["threshold"] == after["labels"][label]["threshold"]


def test_row_order_does_not_matter() -> None:
    frame = predictions_frame()
    shuffled = frame.sample(frac=1, random_state=3)
    one = evaluate(from_frame(frame, "here"), EvaluationConfig(bootstrap=20))
    other = evaluate(from_frame(shuffled, "here"), EvaluationConfig(bootstrap=20))
    for label in LABELS:
        assert one["labels"][label] == pytest.approx(other["labels"][label])
    assert one["macro_auc_low"] == pytest.approx(other["macro_auc_low"])


def test_label_without_both_classes_is_named_and_left_out_of_every_macro() -> None:
    frame = predictions_frame()
    frame.loc[(frame["label"] == "RVH") & (frame["split"] == "test"), "target"] = 0
    metrics = evaluate(from_frame(frame, "here"), EvaluationConfig(bootstrap=30))
    assert metrics["left_out"] == ["RVH"]
    assert metrics["labels"]["RVH"]["auc"] is None
    for name in ("auc", "f1", "balanced_accuracy", "average_precision"):
        kept = [metrics["labels"][label][name] for label in ("NORM", "LVH")]
        assert metrics[f"macro_{name}"] == pytest.approx(np.mean(kept))


def test_label_without_validation_positives_gets_one_half_and_is_named() -> None:
    frame = predictions_frame()
    frame.loc[(frame["label"] == "LVH") & (frame["split"] == "val"), "target"] = 0
    metrics = evaluate(from_frame(frame, "here"), EvaluationConfig(bootstrap=0))
    assert metrics["thresholds_not_fitted"] == ["LVH"]
    assert metrics["labels"]["LVH"]["threshold"] == 0.5
    assert metrics["labels"]["LVH"]["auc"] is not None


def test_no_validation_split_leaves_every_threshold_at_one_half() -> None:
    frame = predictions_frame()
    metrics = evaluate(from_frame(frame[frame["split"] == "test"], "here"), EvaluationConfig(bootstrap=0))
    assert metrics["thresholds_not_fitted"] == list(LABELS)
    assert {metrics["labels"][label]["threshold"] for label in LABELS} == {0.5}
    assert metrics["macro_auc_low"] is None


def test_nothing_to_score_is_an_error() -> None:
    frame = predictions_frame()
    frame["target"] = 0
    with pytest.raises(DataError, match="both positives and negatives"):
        evaluate(from_frame(frame, "here"), EvaluationConfig())


@pytest.mark.parametrize("seed", range(5))
def test_threshold_has_the_highest_f1_of_all(seed: int) -> None:
    generator = np.random.default_rng(seed)
    # few distinct values, so that there are ties
    probability = generator.integers(0, 12, 80) / 11
    target = (generator.random(80) < probability).astype(int)
    found = best_f1_threshold(probability, target)
    candidates = np.linspace(-0.001, 1.001, 400)
    best = max(f1_score(target, probability >= candidate) for candidate in candidates)
    assert f1_score(target, probability >= found) == pytest.approx(best)


def test_threshold_lies_midway_and_ties_go_to_the_highest() -> None:
    assert best_f1_threshold(np.array([0.1, 0.2, 0.8, 0.9]), np.array([0, 0, 1, 1])) == pytest.approx(0.5)
    # calling the first (F1 2/3) or the first four (F1 2/3) positive is equally good
    probability, target = np.array([0.9, 0.8, 0.7, 0.6, 0.1]), np.array([1, 0, 0, 1, 0])
    assert best_f1_threshold(probability, target) == pytest.approx(0.85)
    # all positive is best: the lowest probability itself still counts as positive
    assert best_f1_threshold(np.array([0.3, 0.6]), np.array([1, 0])) == 0.3


def test_thresholds_of_float32_and_float64_probabilities_agree() -> None:
    validation = from_frame(predictions_frame(), "here").where("val")
    single = validation.probability_nk.astype(np.float32)
    assert fit_thresholds(single, validation.target_nk, LABELS) == fit_thresholds(
        single.astype(np.float64), validation.target_nk, LABELS
    )


def test_calibration_of_a_forecast_that_is_right_and_of_one_that_is_not() -> None:
    probability = np.repeat([0.25, 0.75], 400)
    target = np.concatenate([np.arange(400) < 100, np.arange(400) < 300]).astype(int)
    assert expected_calibration_error(probability, target) == pytest.approx(0, abs=1e-12)
    assert brier(probability, target) == pytest.approx(0.1875)
    assert expected_calibration_error(np.full(10, 0.95), np.zeros(10, dtype=int)) == pytest.approx(0.95)
    # the ends belong to a bin
    assert expected_calibration_error(np.array([0.0, 1.0]), np.array([0, 1])) == 0


def _drop(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.iloc[1:]


def _double(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([frame, frame.iloc[[5]]])


def _with_commas(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    return frame.assign(**{name: frame[name].astype(str).str.replace(".", ",", regex=False)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_drop, "does not score record r0000 for NORM"),
        (_double, "scores more than once record r0001 for RVH"),
        (lambda frame: frame.drop(columns="target"), "lacks the column target"),
        (lambda frame: frame[frame["split"] == "val"], "no test split, only val"),
        (lambda frame: frame.iloc[:0], "holds no predictions"),
        (lambda frame: frame.assign(probability=frame["probability"].where(frame.index != 7)), "probability nan"),
        (lambda frame: frame.assign(probability=frame["probability"] + 0.5), "must lie in 0 to 1"),
        (lambda frame: frame.assign(target=frame["target"] * 2), "targets other than 0 and 1"),
        (lambda frame: frame.assign(split=["test", *frame["split"][1:]]), "one record in two splits"),
        (lambda frame: frame.assign(split=frame["split"].replace("val", "valid")), "names the split valid: known are"),
        (lambda frame: frame.assign(patient_id=[f"p{row}" for row in range(len(frame))]), "one record two patients"),
        (lambda frame: _with_commas(frame, "probability"), r"the probability '0,\d+', which is no number: write a dec"),
        (
            lambda frame: _with_commas(frame, "age_days").assign(age_days="5,5"),
            "the age_days '5,5', which is no number",
        ),
        (lambda frame: frame.assign(probability="high"), "the probability 'high', which is no number"),
        (lambda frame: frame.assign(probability=np.inf), "must lie in 0 to 1"),
        (lambda frame: frame.assign(record_id=[[1]] * len(frame)), "record_id that is neither text nor a number"),
        (lambda frame: frame.assign(label=frame["label"].replace("RVH", "")), "rows without record_id or label"),
    ],
)
def test_broken_predictions_are_refused(change, message: str) -> None:
    with pytest.raises(DataError, match=message):
        from_frame(change(predictions_frame()), "here")


@pytest.mark.parametrize("missing", [None, "nan", "NA", ""])
def test_a_patient_who_is_not_named_makes_no_patient_of_several(missing: str | None) -> None:
    frame = predictions_frame()
    frame["patient_id"] = frame["patient_id"].where(frame["record_id"] > "r0100", missing)
    assert not from_frame(frame, "here").by_patient


def _write_as(frame: pd.DataFrame, path: Path, kind: str) -> None:
    if kind == "excel, semicolons and decimal commas":
        path.write_text("sep=;\r\n" + frame.to_csv(index=False, sep=";", decimal=",", lineterminator="\r\n"))
    elif kind == "utf-16 with tabs":
        frame.to_csv(path, index=False, sep="\t", encoding="utf-16")
    elif kind == "byte order mark, spaces, quoted":
        path.write_text(frame.to_csv(index=False, quoting=1).replace("record_id", "record_id ", 1), "utf-8-sig")
    elif kind == "pandas with its index, booleans":
        frame.assign(target=frame["target"] == 1).to_csv(path)
    else:
        frame.to_csv(path, index=False)


@pytest.mark.parametrize(
    "kind",
    [
        *("plain", "excel, semicolons and decimal commas", "utf-16 with tabs", "byte order mark, spaces, quoted"),
        *("pandas with its index, booleans"),
    ],
)
def test_csv_says_the_same_as_parquet(kind: str, tmp_path: Path) -> None:
    frame = predictions_frame()
    frame.to_parquet(tmp_path / "p.parquet")
    path = tmp_path / "p.csv"
    _write_as(frame, path, kind)
    table, right = read_predictions(path), read_predictions(tmp_path / "p.parquet")
    np.testing.assert_allclose(table.probability_nk, right.probability_nk, rtol=1e-12)
    for name in ("record_id", "split", "group", "age_days", "target_nk"):
        np.testing.assert_array_equal(getattr(table, name), getattr(right, name))
    assert (table.labels, table.by_patient) == (right.labels, True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "nor a CSV"),
        (b"\x89PNG\r\n\x1a\n\x00\xff", "nor a CSV"),
        (b"PAR1 cut short", "is not a Parquet file"),
        (b"record_id,split,label,probability\nr1,test,LVH,0.5\n", "lacks the column target .it has: record_id, split"),
        (b"record_id,split,label,probability,target\nr1,test,LVH,0,5,1\n", "more cells than the header has names"),
        (b"record_id,split,label,probability,target\nr1,test,LVH,,1\n", "the probability nan for LVH"),
        (b"record_id,split,label,probability,target\nr1,test,LVH,50,1\n", "the probability 50 for LVH"),
    ],
)
def test_a_file_that_holds_no_predictions_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_bytes(content)
    with pytest.raises(DataError, match=message) as refused:
        read_predictions(tmp_path / "p.csv")
    assert "\n" not in str(refused.value)


def test_without_patients_records_are_the_unit() -> None:
    predictions = from_frame(predictions_frame().drop(columns=["patient_id", "age_days"]), "here")
    metrics = evaluate(predictions, EvaluationConfig(bootstrap=20))
    assert metrics["patients"] is None
    assert metrics["interval"]["resampled_by"] == "record"
    assert np.isnan(predictions.age_days).all()
