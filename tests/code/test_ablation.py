"""The comparison of methods: its variants, its cells, and its statistics against plain formulations."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from predictions_table import LABELS, predictions_frame
from scipy.stats import wilcoxon

from jobs.ablate import curve, grid
from peace.config import EvaluationConfig, load_config
from peace.config.ablation import VariantName
from peace.evaluation.intervals import mean_paired_difference, paired_difference
from peace.evaluation.predictions import Predictions, from_frame
from peace.experiments.ablation.summary import band, signed_rank, summarise
from peace.experiments.ablation.variants import ALIGNING, VARIANTS, variant_config
from peace.training.tasks import DOMAIN_METHODS


def scored(noise: float, seed: int) -> Predictions:
    """Test predictions of the same records, worse with more noise."""
    frame = predictions_frame()
    generator = np.random.default_rng(seed)
    frame["probability"] = np.clip(frame.target * 0.3 + 0.3 + noise * generator.normal(size=len(frame)), 0, 1)
    return from_frame(frame, "test").where("test")


def test_variants_are_those_of_the_configuration_and_all_unlike() -> None:
    assert set(VARIANTS) == set(get_args(VariantName))
    assert set(ALIGNING) == set(DOMAIN_METHODS)
    configs = [variant_config(load_config("debug"), name, 3).objective.model_dump_json() for name in VARIANTS]
    assert len(set(configs)) == len(VARIANTS)
    assert variant_config(load_config("debug"), "peace", 3).seed == 3


def test_every_adaptation_stands_behind_its_pretraining_and_no_name_comes_twice() -> None:
    config = load_config("debug")
    for cells in (grid(config), curve(config)):
        for place, cell in enumerate(cells):
            before = [(done.method, done.seed) for done in cells[:place] if done.protocol == "pretrain"]
            assert cell.protocol == "pretrain" or (cell.method, cell.seed) in before
    whole = dict.fromkeys([*grid(config), *curve(config)])
    assert len({cell.name for cell in whole}) == len(whole)
    # the curve's point at the grid's shots and seed is the grid's own cell
    few = {cell for cell in grid(config) if cell.protocol == "few-shot" and cell.method == "dann"}
    assert few <= set(curve(config))


def test_a_mean_over_pairs_is_the_mean_of_the_pairs() -> None:
    pairs = [(scored(0.4, seed), scored(0.2, 10 + seed)) for seed in range(3)]
    together = mean_paired_difference(pairs, 200, 0.95, seed=0)
    alone = [paired_difference(a, b, 200, 0.95, seed=0) for a, b in pairs]
    assert together.by_pair == pytest.approx([found.difference for found in alone])
    assert together.difference == pytest.approx(np.mean([found.difference for found in alone]))
    assert together.low < together.difference < together.high
    # averaging over seeds takes their noise out, so the interval is narrower than one pair's
    assert together.high - together.low < max(found.high - found.low for found in alone)


def test_the_summary_is_what_the_rows_say() -> None:
    rows, predictions = [], {}
    for method, noise in (("peace", 0.2), ("ecg_only", 0.6)):
        for seed in range(5):
            held = predictions[method, "full", seed] = scored(noise, 100 * seed + int(10 * noise))
            auc = [float(value) for value in _plain_auc(held)]
            labels = dict(zip(held.labels, auc, strict=True))
            rows.append(
                {"method": method, "protocol": "full", "seed": seed, "macro_auc": float(np.mean(auc)), "labels": labels}
            )
    peace, other = summarise(rows, predictions, EvaluationConfig(bootstrap=100))
    values = {method: [row["macro_auc"] for row in rows if row["method"] == method] for method in ("peace", "ecg_only")}
    assert peace.against is None
    assert (peace.mean, peace.deviation) == pytest.approx(
        (np.mean(values["peace"]), np.std(values["peace"], ddof=1)), rel=1e-9
    )
    assert other.against is not None
    differences = np.subtract(values["ecg_only"], values["peace"])
    assert other.against.difference == pytest.approx(differences.mean())
    assert other.against.high < 0
    assert other.against.wilcoxon == pytest.approx(wilcoxon(differences).pvalue)
    assert other.labels[LABELS[0]] == pytest.approx(np.mean([row["labels"][LABELS[0]] for row in rows[5:]]))


def _plain_auc(held: Predictions) -> list[float]:
    """AUC of each label by counting pairs."""
    found = []
    for k in range(len(held.labels)):
        positive, negative = (held.probability_nk[held.target_nk[:, k] == side, k] for side in (1, 0))
        won = [(p > n) + 0.5 * (p == n) for p in positive for n in negative]
        found.append(np.mean(won))
    return found


def test_the_signed_rank_test_says_nothing_of_too_few_or_of_none() -> None:
    assert signed_rank([0.1, 0.2, 0.3, 0.4]) is None
    assert signed_rank([0.0] * 6) is None
    assert signed_rank([0.1, 0.2, 0.3, 0.4, 0.5]) == pytest.approx(2 / 2**5)
    assert signed_rank([-0.1, 0.11, -0.12, 0.13, -0.14, 0.15]) > 0.5


def test_a_band_holds_its_share() -> None:
    mean, low, high = band(list(np.linspace(0, 1, 101)), 0.9)
    assert (mean, low, high) == pytest.approx((0.5, 0.05, 0.95))
