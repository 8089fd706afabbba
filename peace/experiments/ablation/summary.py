"""What a grid of trainings says: mean and spread over seeds, and each method against PEACE on the same test records."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from peace.config import EvaluationConfig
from peace.evaluation.intervals import mean_paired_difference
from peace.evaluation.predictions import Predictions
from peace.experiments.ablation.variants import REFERENCE

Key = tuple[str, str, int]  # method, protocol, seed


@dataclass(frozen=True)
class Against:
    """A method less PEACE, over the seeds that both have.

    `difference` and its interval come from a bootstrap over patients in which both methods, at every seed, score the
    same patients; `wilcoxon` is the two-sided p of the paired signed-rank test over seeds, None below five of them,
    where it cannot fall under 0.05 whatever the figures (at five it cannot either: 0.0625 is the least).
    """

    difference: float
    low: float
    high: float
    wilcoxon: float | None
    seeds: int


@dataclass(frozen=True)
class Summary:
    """A method under a protocol: macro AUC over seeds, mean AUC of each label, and the comparison with PEACE."""

    method: str
    protocol: str
    mean: float
    deviation: float | None
    seeds: int
    labels: dict[str, float]
    against: Against | None


def summarise(
    rows: Sequence[Mapping[str, Any]], predictions: Mapping[Key, Predictions], settings: EvaluationConfig
) -> list[Summary]:
    """Summaries in the order in which method and protocol first come in `rows` (the rows of result.json)."""
    found = []
    for protocol in dict.fromkeys(row["protocol"] for row in rows):
        for method in dict.fromkeys(row["method"] for row in rows if row["protocol"] == protocol):
            own = [row for row in rows if (row["method"], row["protocol"]) == (method, protocol)]
            values = [row["macro_auc"] for row in own]
            found.append(
                Summary(
                    method,
                    protocol,
                    float(np.mean(values)),
                    float(np.std(values, ddof=1)) if len(values) > 1 else None,
                    len(values),
                    mean_labels([row["labels"] for row in own]),
                    against_reference(method, protocol, predictions, settings),
                )
            )
    return found


def against_reference(
    method: str, protocol: str, predictions: Mapping[Key, Predictions], settings: EvaluationConfig
) -> Against | None:
    """How a method compares with PEACE at the same protocol; None for PEACE itself or without a common seed."""
    seeds = sorted(seed for name, held, seed in predictions if (name, held) == (method, protocol))
    seeds = [seed for seed in seeds if (REFERENCE, protocol, seed) in predictions]
    if method == REFERENCE or not seeds:
        return None
    pairs = [(predictions[REFERENCE, protocol, seed], predictions[method, protocol, seed]) for seed in seeds]
    found = mean_paired_difference(pairs, settings.bootstrap, settings.level, settings.seed)
    return Against(found.difference, found.low, found.high, signed_rank(found.by_pair), len(seeds))


def signed_rank(differences: Sequence[float]) -> float | None:
    """Two-sided p of Wilcoxon's signed-rank test on paired differences; None for fewer than five or for none at all."""
    from scipy.stats import wilcoxon

    if len(differences) < 5 or not any(differences):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ties make the p approximate
        return float(wilcoxon(differences).pvalue)


def mean_labels(labels: Sequence[Mapping[str, float | None]]) -> dict[str, float]:
    """Mean AUC of each label over the runs that could score it."""
    names = dict.fromkeys(name for run in labels for name in run)
    known = {name: [run[name] for run in labels if run.get(name) is not None] for name in names}
    return {name: float(np.mean([value for value in values])) for name, values in known.items() if values}


def band(values: Sequence[float], level: float) -> tuple[float, float, float]:
    """Mean of some draws and the central share `level` of them (their range where they are few)."""
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(np.mean(values)), float(low), float(high)
