"""Decision thresholds: chosen on the validation split, fixed from there on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from peace.data.labels import DOUBTFUL

DEFAULT = 0.5


def fit_thresholds(
    probability_nk: NDArray[np.floating], target_nk: NDArray[np.integer], labels: Sequence[str]
) -> dict[str, float]:
    """The threshold of each label that gives the highest F1 on these records, which must be validation records.

    A label that lacks one of the classes here gets 0.5 (`unfitted` names those). The paper tunes thresholds on the
    target's validation set; that it maximises F1 is our reading (method, section 4).
    """
    without = set(unfitted(target_nk, labels))
    return {
        label: DEFAULT
        if label in without
        else best_f1_threshold(*(values[target_nk[:, k] != DOUBTFUL, k] for values in (probability_nk, target_nk)))
        for k, label in enumerate(labels)
    }


def unfitted(target_nk: NDArray[np.integer], labels: Sequence[str]) -> list[str]:
    """Labels that lack positives or negatives among these records, so that no threshold can be fitted."""
    both = (target_nk == 1).any(axis=0) & (target_nk == 0).any(axis=0)
    return [label for label, fits in zip(labels, both, strict=True) if not fits]


def best_f1_threshold(probability_n: NDArray[np.floating], target_n: NDArray[np.integer]) -> float:
    """The threshold t for which `probability >= t` has the highest F1.

    It lies midway between the lowest probability that is called positive and the next one below. Where several do
    equally well, the highest of them: the one that calls the fewest records positive.
    """
    order = np.argsort(-probability_n, kind="stable")
    ranked, hits = probability_n[order].astype(np.float64), np.cumsum(target_n[order])
    # calling the first i + 1 records positive is possible only where the next one has a lower probability
    ends = np.flatnonzero(np.append(ranked[:-1] > ranked[1:], True))
    f1 = 2 * hits[ends] / (ends + 1 + hits[-1])
    best = ends[int(np.argmax(f1))]
    if best + 1 == len(ranked):
        return float(ranked[best])
    middle = (ranked[best] + ranked[best + 1]) / 2
    return float(middle if middle > ranked[best + 1] else ranked[best])
