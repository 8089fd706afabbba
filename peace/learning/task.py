"""The training task: the classifier, the text side that teaches it, and every loss of a step in one object.

L = L_cls(ECG only) + knowledge_weight * L_cls(with axis tokens) + gate * contrastive_weight * L_LSBC

The loop never asks which method it trains: a baseline or an ablation is a task of another configuration.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from peace.config import Config
from peace.descriptors import Descriptors
from peace.errors import ConfigError, DataError
from peace.models.classifier import EcgClassifier
from peace.models.knowledge import Fuse, KnowledgeComposer
from peace.objectives.classification import classification_loss
from peace.objectives.lsbc import LabelContrast


@dataclass
class StepLosses:
    """Losses of a step. `total` carries the gradient; the parts are for the log, 0 where a part is left out."""

    total: Tensor
    classification: Tensor
    knowledge: Tensor
    contrastive: Tensor
    logits: Tensor


class TextSide(nn.Module):
    """All that is only there to teach: composition, the projections of the contrast, its temperature."""

    def __init__(self, config: Config, descriptors: Descriptors) -> None:
        super().__init__()
        width, objective = config.model.width, config.objective
        texts = descriptors.variant(objective.text_variant)
        axes = len(texts.texts[0])
        self.composer = KnowledgeComposer(config.model.text, texts, width, objective.axis_composition)
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
        return self.contrast(self.ecg_projection(tokens_bnd.mean(dim=1)), self.fuse(axes_bad), target_bk)

    def memory(self, axes_bad: Tensor) -> tuple[Tensor, Tensor]:
        """Axis tokens marked by their axis, and which of them (B, A) this pass must not see."""
        assert self.axis_kind is not None
        chance = self.axis_dropout if self.training else 0.0
        return axes_bad + self.axis_kind, torch.rand(axes_bad.shape[:2], device=axes_bad.device) < chance


class PeaceTask(nn.Module):
    """Everything that is trained. `classifier` is what is kept; `text_side` is None for the ECG-only baseline.

    Safe under DistributedDataParallel without `find_unused_parameters`: every parameter that requires a gradient gets
    one in each step, be the gate 0.
    """

    def __init__(self, config: Config, labels: Sequence[str], descriptors: Descriptors | None) -> None:
        super().__init__()
        self.objective = config.objective
        # first, so that one seed gives one classifier, with or without a text side
        self.classifier = EcgClassifier(config.model, labels)
        self.text_side: TextSide | None = None
        if self.objective.knowledge_weight > 0 or self.objective.contrastive_weight > 0:
            if descriptors is None or descriptors.labels != self.classifier.labels:
                raise ConfigError("the task's descriptors must be those of its labels, in the same order")
            self.text_side = TextSide(config, descriptors)
            self.classifier.query.set_queries(self.text_side.composer.name_embeddings())

    def forward(
        self, ecg_mv_bct: Tensor, lead_mask_bc: Tensor, target_bk: Tensor, gate: float | Tensor = 1.0
    ) -> StepLosses:
        """Losses of ECG (B, 12, T) in mV with lead mask (B, 12) and multi-hot labels (B, K); `gate` is in [0, 1].

        `logits` (B, K) are those of the ECG-only pass, detached; the pass with axis tokens gives none.
        """
        tokens = self.classifier.tokens(ecg_mv_bct, lead_mask_bc)
        query = self.classifier.query
        memory = query.remember(tokens)
        logits = query.answer(memory)
        total = classification = classification_loss(logits, target_bk)
        knowledge = contrastive = classification.new_zeros(())
        if self.text_side is not None:
            axes = self.text_side.composer(target_bk)
            if self.objective.knowledge_weight > 0:
                marked, hidden = self.text_side.memory(axes)
                informed = query.answer(memory, query.remember(marked), hidden)
                knowledge = classification_loss(informed, target_bk)
                total = total + self.objective.knowledge_weight * knowledge
            if self.objective.contrastive_weight > 0:
                contrastive = self.text_side.contrastive_loss(tokens, axes, target_bk)
                total = total + gate * self.objective.contrastive_weight * contrastive
        return StepLosses(
            total, classification.detach(), knowledge.detach(), contrastive.detach(), logits.detach().float()
        )

    def freeze_stages(self, count: int) -> None:
        """Freeze the first stages of the ECG encoder; call it before the optimiser and DDP are made."""
        self.classifier.encoder.freeze_stages(count)

    def parameter_groups(self, lr: float, text_lr: float, weight_decay: float) -> list[dict[str, Any]]:
        """Groups for the optimiser: the text encoder at its own rate; norms, biases and single numbers not decayed.

        Each has `params`, `lr`, `weight_decay` and a `name`; frozen parameters are in none.
        """
        parts: dict[tuple[bool, bool], list[nn.Parameter]] = defaultdict(list)
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                parts[name.startswith(_TEXT_ENCODER), parameter.ndim > 1].append(parameter)
        return [
            {
                "params": parts[text, decayed],
                "lr": text_lr if text else lr,
                "weight_decay": weight_decay if decayed else 0.0,
                "name": ("text" if text else "model") + ("" if decayed else "_undecayed"),
            }
            for text, decayed in sorted(parts)
        ]

    def training_state(self) -> dict[str, Tensor]:
        """What the text side has learned, by name: its trainable tensors, not the frozen part of the text encoder."""
        return {name: parameter.detach().clone().contiguous() for name, parameter in self._learned()}

    def load_training_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on from `training_state()`, be it of a task with more objectives; nothing to do without a text side.

        Raises DataError where tensors are missing, or are those of another text encoder or width.
        """
        learned = dict(self._learned())
        if not learned:
            return
        # what belongs to an objective that is now left out may go; layers of the text encoder may not go unnoticed
        left = [name for name in state if name not in learned and name.startswith("composer.encoder.")]
        wrong = sorted([*left, *(name for name in learned if name not in state)])
        wrong += [name for name in learned if name in state and learned[name].shape != state[name].shape]
        if wrong:
            raise DataError(f"the text side of the checkpoint is of another configuration: '{wrong[0]}' does not fit")
        with torch.no_grad():
            for name, parameter in learned.items():
                parameter.copy_(state[name])

    def _learned(self) -> Iterator[tuple[str, nn.Parameter]]:
        if self.text_side is None:
            return
        for name, parameter in self.text_side.named_parameters():
            if parameter.requires_grad:
                yield name, parameter


_TEXT_ENCODER = "text_side.composer.encoder."
