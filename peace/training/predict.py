"""Probabilities from the ECG alone, for whole splits: every record is scored once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from peace.data.labels import DOUBTFUL
from peace.training.batches import take

if TYPE_CHECKING:
    from peace.data.shards import Records
    from peace.models import EcgClassifier


@dataclass(frozen=True)
class Scores:
    """Probabilities (N, K) and targets (N, K: 1, 0 or DOUBTFUL) of N records, with who they are of."""

    record_id: np.ndarray
    patient_id: np.ndarray
    age_days: np.ndarray
    probability: np.ndarray
    target: np.ndarray


@torch.no_grad()
def score(classifier: EcgClassifier, records: Records, device: torch.device, batch_size: int = 256) -> Scores:
    """Score records in batches; the classifier is left in evaluation mode."""
    classifier.eval()
    parts = []
    for start in range(0, len(records.record_id), batch_size):
        index = np.arange(start, min(start + batch_size, len(records.record_id)))
        ecg, mask, _ = take(records, index).on(device)
        parts.append(torch.sigmoid(classifier(ecg, mask)).float().cpu().numpy())
    probability = np.concatenate(parts) if parts else np.zeros(records.target.shape, dtype=np.float32)
    return Scores(records.record_id, records.patient_id, records.age_days, probability, records.target)


def join(parts: Iterable[Scores]) -> Scores:
    """One set of scores from several, ordered by record id."""
    found = list(parts)
    arrays = [np.concatenate([getattr(part, name) for part in found]) for name in Scores.__dataclass_fields__]
    order = np.argsort(arrays[0], kind="stable")
    return Scores(*(array[order] for array in arrays))


def macro_auc(probability_nk: np.ndarray, target_nk: np.ndarray) -> float:
    """Mean AUC over the labels of which the records hold both classes; 0.5 where there is none. Selects epochs."""
    from sklearn.metrics import roc_auc_score  # a second to import, and not needed before the first epoch is over

    both = (target_nk == 1).any(axis=0) & (target_nk == 0).any(axis=0)
    if not both.any():
        return 0.5
    known = target_nk != DOUBTFUL
    return float(
        np.mean(
            [roc_auc_score(target_nk[known[:, k], k], probability_nk[known[:, k], k]) for k in np.flatnonzero(both)]
        )
    )
