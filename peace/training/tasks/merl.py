"""MERL's objective on our network: ECG and text of the same record attract, all other pairs of the batch repel.

L = L_cls + contrastive_weight * (L_CMA + L_UMA), Liu et al. 2024: CMA contrasts pooled ECG with the record's text, UMA
two dropout views of the pooled ECG. The original has no L_cls and classifies by prompts, which needs text at inference;
here the label query network answers, as in every other method. Two records of the same labels have the same text and
yet count as negatives: the contrast knows records, not labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional

from peace.models.knowledge import Fuse, KnowledgeComposer
from peace.objectives.classification import classification_loss
from peace.objectives.pairs import PairContrast
from peace.training.tasks.base import StepLosses, Task
from peace.training.tasks.text import text_composer

if TYPE_CHECKING:
    from peace.config import Config
    from peace.descriptors import Descriptors

VIEW_DROPOUT = 0.1  # MERL's


class MerlTask(Task):
    """Classification beside the two contrasts of MERL."""

    side: MerlSide

    def __init__(self, config: Config, labels: Sequence[str], descriptors: Descriptors | None) -> None:
        super().__init__(config, labels)
        self.side = MerlSide(config, text_composer(config, self, descriptors))

    def losses(
        self, tokens_bnd: Tensor, target_bk: Tensor, gate: float | Tensor, age_days_b: Tensor | None = None
    ) -> StepLosses:
        """No curriculum: `gate` is 1 throughout."""
        logits = self.classifier.read(tokens_bnd)
        classification = classification_loss(logits, target_bk)
        cross, within = self.side(tokens_bnd.mean(dim=1), target_bk, age_days_b)
        total = classification + gate * self.objective.contrastive_weight * (cross + within)
        parts = {"contrastive": cross.detach(), "views": within.detach()}
        return StepLosses(total, classification.detach(), logits.detach().float(), parts)


class MerlSide(nn.Module):
    """The record's text, the projections of both sides, and the two contrasts."""

    def __init__(self, config: Config, composer: KnowledgeComposer) -> None:
        super().__init__()
        width, objective = config.model.width, config.objective
        self.composer = composer
        self.fuse = Fuse(composer.shape[1], width, objective.fusion)
        self.ecg_projection = nn.Linear(width, width)
        self.cross, self.within = PairContrast(objective.temperature), PairContrast(objective.temperature)

    def forward(self, pooled_bd: Tensor, target_bk: Tensor, age_days_b: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Losses across modalities and within the ECG, from pooled tokens (B, width)."""
        cross = self.cross(self.ecg_projection(pooled_bd), self.fuse(self.composer(target_bk, age_days_b)))
        one, other = (functional.dropout(pooled_bd, VIEW_DROPOUT, self.training) for _ in range(2))
        return cross, self.within(self.ecg_projection(one), self.ecg_projection(other))
