"""LSBC: bidirectional contrast between ECG features and the knowledge of a record's labels (method 1.3).

The paper is read in two ways. Label-specific (its v2, and KED's loss): for each label, the records that carry it
attract each other's knowledge. Label-set aware (its v3): two records attract where they share a diagnosis, or, in the
soft variant, as much as their label sets overlap (Jaccard).
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from peace.objectives.gather import gather_rows

Reading = Literal["label_specific", "label_set", "jaccard"]
COLDEST = 0.01


class LabelContrast(nn.Module):
    """LSBC with a learnable temperature, kept at 0.01 or above."""

    def __init__(self, reading: Reading, temperature: float) -> None:
        super().__init__()
        self.reading = reading
        self.log_temperature = nn.Parameter(torch.tensor(math.log(max(temperature, COLDEST))))

    @property
    def temperature(self) -> Tensor:
        """The temperature; the parameter itself is moved back to the limit, since a clamped one gets no gradient."""
        with torch.no_grad():
            self.log_temperature.clamp_(min=math.log(COLDEST))
        return self.log_temperature.exp()

    def forward(self, ecg_bd: Tensor, knowledge_bd: Tensor, target_bk: Tensor) -> Tensor:
        """Loss of pooled ECG features (B, D) against fused knowledge (B, D), given multi-hot labels (B, K).

        In training the batches of all workers are contrasted together. Zero where no record carries a label.
        """
        # half precision would round away the differences that the softmax is about
        with torch.autocast(ecg_bd.device.type, enabled=False):
            ecg = functional.normalize(ecg_bd.float(), dim=-1)
            knowledge = functional.normalize(knowledge_bd.float(), dim=-1)
            target = target_bk.float().nan_to_num()  # a doubtful label is not one that two records share
            if self.training:
                widths = [part.shape[1] for part in (ecg, knowledge, target)]
                ecg, knowledge, target = gather_rows(torch.cat([ecg, knowledge, target], dim=1)).split(widths, dim=1)
            similarity = ecg @ knowledge.T / self.temperature
            return contrast(similarity, target, self.reading)


def contrast(similarity_bb: Tensor, target_bk: Tensor, reading: Reading) -> Tensor:
    """Mean of both directions of the contrastive loss over similarities (B, B): rows are ECGs, columns knowledge."""
    if reading == "label_specific":
        forward, backward = (_label_specific(s, target_bk) for s in (similarity_bb, similarity_bb.T))
    else:
        affinity = shared_labels(target_bk) if reading == "label_set" else jaccard(target_bk)
        forward, backward = (_multi_positive(s, affinity) for s in (similarity_bb, similarity_bb.T))
    return (forward + backward) / 2


def shared_labels(target_bk: Tensor) -> Tensor:
    """(B, B): 1 where two records share at least one label."""
    return (target_bk @ target_bk.T > 0).to(target_bk.dtype)


def jaccard(target_bk: Tensor) -> Tensor:
    """(B, B): labels that two records share over labels that either has; 0 for two records without any."""
    both = target_bk @ target_bk.T
    counts = target_bk.sum(dim=1)
    return both / (counts[:, None] + counts[None, :] - both).clamp(min=1)


def _label_specific(similarity: Tensor, target: Tensor) -> Tensor:
    """For label k with n records: mean over them of the mean of -log softmax at each other's (and own) column.

    That is -(Y' log_softmax(S) Y)_kk / n_k^2: all labels at once. Then the mean over the labels that occur.
    """
    agreement = torch.einsum("ik,ij,jk->k", target, similarity.log_softmax(dim=1), target)
    counts = target.sum(dim=0)
    losses = -agreement / counts.pow(2).clamp(min=1)
    return losses.sum() / (counts > 0).sum().clamp(min=1)


def _multi_positive(similarity: Tensor, affinity: Tensor) -> Tensor:
    """Cross-entropy of each row against its normalised affinities, mean over the rows that have any."""
    total = affinity.sum(dim=1)
    # an affinity below 1 (Jaccard) may sum to less than 1, so the guard against division by zero is on zero alone
    weights = affinity / torch.where(total > 0, total, torch.ones_like(total))[:, None]
    rows = -(weights * similarity.log_softmax(dim=1)).sum(dim=1)
    return rows.sum() / (total > 0).sum().clamp(min=1)
