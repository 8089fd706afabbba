"""DANN and MMD: the ECG features of labelled records of one cohort and unlabelled ones of another made alike.

L = L_cls(labelled) + domain_weight * L_domain. The last U records of a batch are the unlabelled ones. Alignment needs
both cohorts at once, so it is part of pretraining; adaptation from such a start is plain fine-tuning, as is that of
the ECG-only baseline.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from peace.objectives.classification import classification_loss
from peace.objectives.domain import maximum_mean_discrepancy, reverse_gradient
from peace.objectives.gather import gather_rows, mean_over_records
from peace.training.tasks.base import StepLosses, Task

if TYPE_CHECKING:
    from peace.config import Config


class DomainTask(Task):
    """What both share: labelled records teach labels, and all of them teach the features."""

    part: str

    def losses(
        self, tokens_bnd: Tensor, target_bk: Tensor, gate: float | Tensor, age_days_b: Tensor | None = None
    ) -> StepLosses:
        """`gate` rises from 0 to 1 over the training (Ganin et al. 2016)."""
        labelled = len(target_bk)
        logits = self.classifier.read(tokens_bnd[:labelled])
        classification = classification_loss(logits, target_bk)
        pooled = tokens_bnd.mean(dim=1)
        domain = self.domain_loss(pooled[:labelled], pooled[labelled:], gate)
        total = classification + self.objective.domain_weight * domain
        parts = {self.part: domain.detach()}
        return StepLosses(total, classification.detach(), logits.detach().float(), parts)

    def domain_loss(self, source_bd: Tensor, target_ud: Tensor, gate: float | Tensor) -> Tensor:
        """How far the two cohorts are apart, as the method sees it; the gate is applied in here."""
        raise NotImplementedError


class DannTask(DomainTask):
    """A domain classifier learns to tell the cohorts apart, and the encoder to fool it (Ganin et al. 2016)."""

    part = "domain"

    def __init__(self, config: Config, labels: Sequence[str]) -> None:
        super().__init__(config, labels)
        width = config.model.width
        self.side = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))

    def domain_loss(self, source_bd: Tensor, target_ud: Tensor, gate: float | Tensor) -> Tensor:
        """Cross-entropy of the domain classifier; each cohort counts one half, however many records it gave."""
        assert self.side is not None
        losses = []
        for domain, features in enumerate((source_bd, target_ud)):
            said = self.side(reverse_gradient(features, gate)).float()
            wrong = functional.binary_cross_entropy_with_logits(said, torch.full_like(said, domain), reduction="none")
            losses.append(mean_over_records(wrong))
        return (losses[0] + losses[1]) / 2


class MmdTask(DomainTask):
    """The maximum mean discrepancy between the pooled features of the cohorts, with five kernels (Long et al. 2015)."""

    part = "mmd"

    def domain_loss(self, source_bd: Tensor, target_ud: Tensor, gate: float | Tensor) -> Tensor:
        """Over the batches of all workers together, as LSBC is."""
        if self.training:
            source_bd, target_ud = gather_rows(source_bd), gather_rows(target_ud)
        return gate * maximum_mean_discrepancy(source_bd, target_ud)
