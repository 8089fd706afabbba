"""Early and late fusion of ECG and text, where the text is there in training alone.

The text of a record is made of its own labels. So in training it is hidden from each record with a chance
(`objective.text_dropout`): only those records teach the ECG alone, and at inference it is hidden from all. There is
one graded pass; what PEACE does against the leak (an ECG-only pass that always counts) these baselines do not have.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from peace.models.knowledge import Fuse, KnowledgeComposer
from peace.objectives.classification import classification_loss
from peace.training.tasks.base import StepLosses, Task
from peace.training.tasks.text import text_composer

if TYPE_CHECKING:
    from peace.config import Config
    from peace.descriptors import Descriptors


class EarlyFusion(Task):
    """The record's axis tokens join the ECG tokens before the label query network looks."""

    side: EarlySide

    def __init__(self, config: Config, labels: Sequence[str], descriptors: Descriptors | None) -> None:
        super().__init__(config, labels)
        self.side = EarlySide(text_composer(config, self, descriptors), config.model.width)

    def losses(
        self, tokens_bnd: Tensor, target_bk: Tensor, gate: float | Tensor, age_days_b: Tensor | None = None
    ) -> StepLosses:
        """One pass over both; the ECG alone where the text is hidden."""
        query = self.classifier.query
        memory = query.project_kv(tokens_bnd)
        axes = self.side.composer(target_bk, age_days_b) + self.side.axis_kind
        hidden = hide_text(len(target_bk), self, tokens_bnd.device)
        fused = query.decode(memory, query.project_kv(axes), hidden[:, None].expand(-1, axes.shape[1]))
        loss = classification_loss(fused, target_bk)
        return StepLosses(loss, loss.detach(), fused.detach().float())


class EarlySide(nn.Module):
    """Composer, and what marks a token as text of an axis."""

    def __init__(self, composer: KnowledgeComposer, width: int) -> None:
        super().__init__()
        self.composer = composer
        self.axis_kind = nn.Parameter(torch.zeros(composer.shape[1], width))


class LateFusion(Task):
    """Logits of the ECG plus logits of the text; where the text is hidden, and at inference, those of the ECG."""

    side: LateSide

    def __init__(self, config: Config, labels: Sequence[str], descriptors: Descriptors | None) -> None:
        super().__init__(config, labels)
        composer = text_composer(config, self, descriptors)
        self.side = LateSide(config, composer, len(labels))

    def losses(
        self, tokens_bnd: Tensor, target_bk: Tensor, gate: float | Tensor, age_days_b: Tensor | None = None
    ) -> StepLosses:
        """One graded sum of two branches that meet in the logits alone."""
        logits = self.classifier.read(tokens_bnd)
        seen = (~hide_text(len(target_bk), self, tokens_bnd.device)).to(logits.dtype)
        fused = logits + seen[:, None] * self.side(target_bk, age_days_b)
        loss = classification_loss(fused, target_bk)
        return StepLosses(loss, loss.detach(), logits.detach().float())


class LateSide(nn.Module):
    """Composer, fusion of the axes, and a classifier of the text."""

    def __init__(self, config: Config, composer: KnowledgeComposer, labels: int) -> None:
        super().__init__()
        self.composer = composer
        self.fuse = Fuse(composer.shape[1], config.model.width, config.objective.fusion)
        self.head = nn.Linear(config.model.width, labels)

    def forward(self, target_bk: Tensor, age_days_b: Tensor | None = None) -> Tensor:
        """Logits (B, K) of the text of records with these labels."""
        result: Tensor = self.head(self.fuse(self.composer(target_bk, age_days_b)))
        return result


def hide_text(count: int, task: Task, device: torch.device) -> Tensor:
    """Which of `count` records (B,) must do without text: some in training, all in evaluation."""
    chance = task.objective.text_dropout if task.training else 1.0
    return torch.rand(count, device=device) < chance
