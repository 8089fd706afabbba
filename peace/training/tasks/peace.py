"""PEACE, its ablations, and KED, which has the same parts.

L = L_cls(ECG only) + knowledge_weight * L_cls(with axis tokens) + gate * contrastive_weight * L_LSBC
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from peace.core.errors import ConfigError
from peace.models.knowledge import Fuse, KnowledgeComposer
from peace.objectives.classification import classification_loss
from peace.objectives.lsbc import LabelContrast
from peace.training.tasks.base import StepLosses, Task
from peace.training.tasks.text import text_composer

if TYPE_CHECKING:
    from peace.config import Config, ObjectiveConfig
    from peace.descriptors import Descriptors


class TextSide(nn.Module):
    """All that is only there to teach: composition, the projections of the contrast, its temperature."""

    def __init__(self, objective: ObjectiveConfig, composer: KnowledgeComposer, width: int) -> None:
        super().__init__()
        axes = composer.shape[1]
        self.composer = composer
        self.axis_dropout = objective.axis_dropout
        # only what the losses use is made: DDP wants a gradient for every parameter in every step
        self.axis_kind = nn.Parameter(torch.zeros(axes, width)) if objective.knowledge_weight > 0 else None
        self.contrast: LabelContrast | None = None
        if objective.contrastive_weight > 0:
            self.contrast = LabelContrast(objective.reading, objective.temperature)
            self.fuse = Fuse(axes, width, objective.fusion)
            self.ecg_projection = nn.Linear(width, width)

    def contrastive_loss(self, tokens_bnd: Tensor, axes_bad: Tensor, target_bk: Tensor) -> Tensor:
        """LSBC of the pooled ECG tokens and the fused axis tokens."""
        assert self.contrast is not None
        result: Tensor = self.contrast(self.ecg_projection(tokens_bnd.mean(dim=1)), self.fuse(axes_bad), target_bk)
        return result

    def memory(self, axes_bad: Tensor) -> tuple[Tensor, Tensor]:
        """Axis tokens marked by their axis, and which of them (B, A) this pass must not see."""
        assert self.axis_kind is not None
        chance = self.axis_dropout if self.training else 0.0
        return axes_bad + self.axis_kind, torch.rand(axes_bad.shape[:2], device=axes_bad.device) < chance


class PeaceTask(Task):
    """The whole method; weights of 0 leave the knowledge pass or LSBC out."""

    side: TextSide

    def __init__(self, config: Config, labels: Sequence[str], descriptors: Descriptors | None) -> None:
        super().__init__(config, labels)
        if not (self.objective.knowledge_weight > 0 or self.objective.contrastive_weight > 0):
            raise ConfigError(
                "neither knowledge_weight nor contrastive_weight is above 0: say objective.method=ecg_only"
            )
        self.side = TextSide(self.objective, text_composer(config, self, descriptors), config.model.width)

    def losses(
        self, tokens_bnd: Tensor, target_bk: Tensor, gate: float | Tensor, age_days_b: Tensor | None = None
    ) -> StepLosses:
        """The pass with axis tokens gives a loss and no logits: it has seen the labels."""
        query = self.classifier.query
        memory = query.project_kv(tokens_bnd)
        axes = self.side.composer(target_bk, age_days_b)
        parts: dict[str, Tensor] = {}
        if self.objective.knowledge_weight > 0:
            marked, hidden = self.side.memory(axes)
            logits, knowing = query.decode_paired(memory, query.project_kv(marked), hidden)
            total = classification = classification_loss(logits, target_bk)
            knowledge = classification_loss(knowing, target_bk)
            total = total + self.objective.knowledge_weight * knowledge
            parts["knowledge"] = knowledge.detach()
        else:
            logits = query.decode(memory)
            total = classification = classification_loss(logits, target_bk)
        if self.objective.contrastive_weight > 0:
            contrastive = self.side.contrastive_loss(tokens_bnd, axes, target_bk)
            total = total + gate * self.objective.contrastive_weight * contrastive
            parts["contrastive"] = contrastive.detach()
        return StepLosses(total, classification.detach(), logits.detach().float(), parts)


def as_ked(config: Config) -> Config:
    """KED (Tian et al. 2024) in the terms of PEACE: one text a label, the label-wise contrast, and no curriculum."""
    fixed = {"text_variant": "single", "reading": "label_specific"}
    return config.model_copy(update={"objective": config.objective.model_copy(update=fixed)})
