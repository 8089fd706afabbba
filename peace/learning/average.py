"""A moving average of the weights: what is judged and kept, while the weights themselves go on learning."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from peace.models import EcgClassifier


class Average:
    """Exponential moving average of a classifier's weights; running statistics are those of its last step.

    It follows closely at first: the decay is (1 + n) / (10 + n) after n steps, until that passes `decay`.
    """

    def __init__(self, classifier: EcgClassifier, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self.live = classifier
        self.classifier = copy.deepcopy(classifier).requires_grad_(False).eval()

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after a step."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(list(self.classifier.parameters()), list(self.live.parameters()), 1 - decay)
        for own, live in zip(self.classifier.buffers(), self.live.buffers(), strict=True):
            own.copy_(live)

    def state_dict(self) -> dict[str, Any]:
        """The number of steps and the weights that learn: a checkpoint holds the average itself as its model."""
        return {"steps": self.steps, "live": self.live.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a state; the classifier holds the average at this moment."""
        self.steps = int(state["steps"])
        self.classifier.load_state_dict(self.live.state_dict())
        self.live.load_state_dict(state["live"])
