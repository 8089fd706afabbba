"""What every training task shares: the classifier that is kept, a side that only teaches, and the losses of a step.

As it stands here the task is the ECG-only baseline; methods add a side and say what it teaches.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from peace.core.errors import DataError
from peace.models.classifier import EcgClassifier
from peace.objectives.classification import classification_loss

if TYPE_CHECKING:
    from peace.config import Config

TEXT_ENCODER = "composer.encoder."  # its part of a side's names: it learns at its own rate


@dataclass
class StepLosses:
    """Losses of a step. `total` carries the gradient; `classification` and the method's own `parts` are for the log.

    `logits` (B, K) are those of the ECG alone where the method makes them in training, detached.
    """

    total: Tensor
    classification: Tensor
    logits: Tensor
    parts: dict[str, Tensor] = field(default_factory=dict)


class Task(nn.Module):
    """Everything that is trained. `classifier` is what is kept; `side` is training only, None where nothing teaches.

    Safe under DistributedDataParallel without `find_unused_parameters`: every parameter that requires a gradient gets
    one in each step, be the gate 0.
    """

    def __init__(self, config: Config, labels: Sequence[str]) -> None:
        super().__init__()
        self.objective = config.objective
        # first, so that one seed gives one classifier whatever the method
        self.classifier = EcgClassifier(config.model, labels)
        self.side: nn.Module | None = None

    def forward(
        self,
        ecg_mv_bct: Tensor,
        lead_mask_bc: Tensor,
        target_bk: Tensor,
        gate: float | Tensor = 1.0,
        age_days_b: Tensor | None = None,
    ) -> StepLosses:
        """Losses of ECG (B + U, 12, T) in mV with lead mask (B + U, 12) and multi-hot labels (B, K).

        The last U records are unlabelled ones of another domain, in the methods that align domains; else U is 0.
        `gate` in [0, 1] weighs what the method's schedule governs. Ages (B,), NaN where unknown, choose the texts where
        the descriptors have age bands; the classifier never sees them.
        """
        return self.losses(self.classifier.tokens(ecg_mv_bct, lead_mask_bc), target_bk, gate, age_days_b)

    def losses(
        self, tokens_bnd: Tensor, target_bk: Tensor, gate: float | Tensor, age_days_b: Tensor | None = None
    ) -> StepLosses:
        """The method: losses from the tokens (B + U, N, width) of the ECG."""
        logits = self.classifier.read(tokens_bnd)
        loss = classification_loss(logits, target_bk)
        return StepLosses(loss, loss.detach(), logits.detach().float())

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
                parts[name.startswith(f"side.{TEXT_ENCODER}"), parameter.ndim > 1].append(parameter)
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
        """What the side has learned, by name: its trainable tensors, not the frozen part of the text encoder."""
        return {name: parameter.detach().clone().contiguous() for name, parameter in self._learned()}

    def load_training_state(self, state: Mapping[str, Tensor]) -> None:
        """Resume from `training_state()`, be it of a task with more objectives; nothing to do without a side.

        Raises DataError where tensors are missing, or are those of another text encoder or width.
        """
        learned = dict(self._learned())
        if not learned:
            return
        # what belongs to an objective that is now left out may go; layers of the text encoder may not go unnoticed
        left = [name for name in state if name not in learned and name.startswith(TEXT_ENCODER)]
        wrong = sorted([*left, *(name for name in learned if name not in state)])
        wrong += [name for name in learned if name in state and learned[name].shape != state[name].shape]
        if wrong:
            raise DataError(f"the text side of the checkpoint is of another configuration: '{wrong[0]}' does not fit")
        with torch.no_grad():
            for name, parameter in learned.items():
                parameter.copy_(state[name])

    def _learned(self) -> Iterator[tuple[str, nn.Parameter]]:
        if self.side is None:
            return
        for name, parameter in self.side.named_parameters():
            if parameter.requires_grad:
                yield name, parameter
