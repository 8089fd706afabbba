"""The gate of promotion: what passes, what does not, and what is not judged."""

from dataclasses import replace

import numpy as np
import pytest
from predictions_table import predictions_frame

from peace.config import EvaluationConfig, PromotionConfig
from peace.core.errors import DataError
from peace.evaluation.age_bands import BANDS, band_of, by_age
from peace.evaluation.gate import Decision, judge
from peace.evaluation.gate import test_digest as digest_of
from peace.evaluation.predictions import Predictions, from_frame

EVALUATION = EvaluationConfig(bootstrap=200)
LOOSE = PromotionConfig(label_floor=0, band_floor=0, max_calibration_error=1, calibration_rise=1)


def scored(strength: float, records: int = 800) -> Predictions:
    return from_frame(predictions_frame(records, strength=strength), "here").where("test")


def failed(decision: Decision) -> set[tuple[str, str]]:
    return {(check.kind, check.subject) for check in decision.checks if not check.passed}


def test_better_passes_worse_and_same_do_not() -> None:
    assert judge(scored(2.5), scored(1.5), LOOSE, EVALUATION).passed
    worse = judge(scored(1.5), scored(2.5), LOOSE, EVALUATION)
    assert ("gain", "macro AUC") in failed(worse)
    assert worse.difference is not None
    assert worse.difference.high < 0
    same = judge(scored(1.5), scored(1.5), LOOSE, EVALUATION)
    assert failed(same) == {("gain", "macro AUC")}
    tolerant = LOOSE.model_copy(update={"min_gain": -0.01})
    assert judge(scored(1.5), scored(1.5), tolerant, EVALUATION).passed


def test_a_label_may_not_be_given_up_for_the_others() -> None:
    champion, candidate = scored(1.5), scored(3.5)
    probability = candidate.probability_nk.copy()
    k = candidate.labels.index("LVH")
    probability[:, k] = np.random.default_rng(0).random(len(candidate))
    decision = judge(replace(candidate, probability_nk=probability), champion, LOOSE, EVALUATION)
    assert ("label drop", "LVH") in failed(decision)
    floors = LOOSE.model_copy(update={"label_floors": {"LVH": 0.8}})
    alone = judge(replace(candidate, probability_nk=probability), None, floors, EVALUATION)
    assert failed(alone) == {("label floor", "LVH")}
    with pytest.raises(DataError, match="not a label here; did you mean 'LVH'"):
        judge(champion, None, LOOSE.model_copy(update={"label_floors": {"LVHH": 0.8}}), EVALUATION)


def test_an_age_band_may_not_be_given_up_for_the_others() -> None:
    champion, candidate = scored(1.5), scored(3.5)
    small = np.flatnonzero(band_of(candidate.age_days) == 2)
    probability = candidate.probability_nk.copy()
    probability[small] = np.random.default_rng(0).random((len(small), probability.shape[1]))
    decision = judge(replace(candidate, probability_nk=probability), champion, LOOSE, EVALUATION)
    assert [subject for kind, subject in failed(decision) if kind == "age band drop"] == [BANDS[2][0]]


def test_calibration_is_asked_for() -> None:
    champion, candidate = scored(1.5), scored(2.5)
    flat = replace(candidate, probability_nk=candidate.probability_nk**0.05)  # the same order, all near one
    decision = judge(flat, champion, PromotionConfig(), EVALUATION)
    assert failed(decision) == {("calibration", "all labels"), ("calibration rise", "all labels")}


def test_few_positives_are_named_not_judged() -> None:
    decision = judge(scored(1.5, 120), None, PromotionConfig(min_count=15), EVALUATION)
    assert any(text.startswith("RVH: fewer than 15") for text in decision.not_judged)
    assert not any(check.subject == "RVH" for check in decision.checks)
    unknown = replace(scored(1.5), age_days=np.full(len(scored(1.5)), np.nan))
    assert not judge(unknown, None, PromotionConfig(), EVALUATION).candidate["bands"]


def test_the_digest_knows_records_and_targets_and_no_order() -> None:
    first = scored(1.5)
    shuffled = first.take(np.random.default_rng(0).permutation(len(first)))
    turned = shuffled.only(["RVH", "NORM", "LVH"])
    assert digest_of(first) == digest_of(turned) == digest_of(scored(3.0))
    targets = first.target_nk.copy()
    targets[0, 0] = 1 - targets[0, 0]
    assert digest_of(replace(first, target_nk=targets)) != digest_of(first)
    assert judge(turned, first, LOOSE, EVALUATION).difference == judge(first, first, LOOSE, EVALUATION).difference
    with pytest.raises(DataError, match="not of the same records"):
        judge(first.take(np.arange(100)), first, LOOSE, EVALUATION)


def test_ages_fall_into_the_band_that_begins_with_them() -> None:
    days = np.array([0, 27.9, 28, 365.25, 16 * 365.25, 90 * 365.25, np.nan])
    assert band_of(days).tolist() == [0, 0, 1, 2, 6, 6, -1]
    assert sum(len(part) for part in by_age(scored(1.5)).values()) == len(scored(1.5))
