"""The k-shot sampler under multiple labels (the paper: "random 50 labelled instances per class, or all when fewer")."""

from __future__ import annotations

import numpy as np

from peace.core.errors import ConfigError


def sample_shots(target: np.ndarray, record_id: np.ndarray, shots: int, seed: int) -> np.ndarray:
    """Indices of a support set in which each label has at least `shots` records, or all it has.

    target (N, K) is 1 where a record carries the label. Labels are served from the rarest on; a record counts for every
    label it carries, so a label already full takes no more. Records are shuffled by the seed, whatever their order in
    the shards; small sets lie within larger ones as far as labels allow. The counting rule is our choice: the paper
    does not state one.
    """
    if shots < 1:
        raise ConfigError(f"--shots must be at least 1, got {shots}")
    by_id = np.argsort(record_id, kind="stable")
    order = by_id[np.random.default_rng(seed).permutation(len(by_id))]
    chosen = np.zeros(len(target), dtype=bool)
    for label in np.argsort((target == 1).sum(0), kind="stable"):
        carriers = order[target[order, label] == 1]
        missing = shots - int(chosen[carriers].sum())
        if missing > 0:
            chosen[carriers[~chosen[carriers]][:missing]] = True
    return np.flatnonzero(chosen)
