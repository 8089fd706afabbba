"""What is judged and kept of the weights: they themselves, their moving average, or either mixed with their start."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from peace.models import EcgClassifier


class Average:
    """Exponential moving average of a classifier's weights, and the mean of weights before and after a training.

    decay: of the moving average, 0 for none. It follows closely at first: the decay is (1 + n) / (10 + n) after n
    steps, until that passes `decay`. Its running statistics are those of the last step.

    wise_ft_alpha: how much of the weights that the training began from is mixed in, running statistics too. Fine-tuned
    weights that are drawn back towards their start keep more of what it knew of other recordings (Wortsman et al. 2022,
    WiSE-FT); the weights that learn are not touched.
    """

    def __init__(self, classifier: EcgClassifier, decay: float, wise_ft_alpha: float) -> None:
        self.decay = decay
        self.wise_ft_alpha = wise_ft_alpha
        self.steps = 0
        self.live = classifier
        self._average = [weight.detach().clone() for weight in classifier.parameters()] if decay else None
        self._start = copy.deepcopy(classifier.state_dict()) if wise_ft_alpha else None
        self._shown = copy.deepcopy(classifier).requires_grad_(False).eval()

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after a step."""
        self.steps += 1
        if self._average is not None:
            decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
            torch._foreach_lerp_(self._average, list(self.live.parameters()), 1 - decay)

    @property
    def classifier(self) -> EcgClassifier:
        """What is judged and kept, as it is after the last step."""
        self._shown.load_state_dict(self.live.state_dict())
        with torch.no_grad():
            if self._average is not None:
                torch._foreach_copy_(list(self._shown.parameters()), self._average)
            if self._start is not None:
                for name, value in self._shown.state_dict().items():
                    self._mix_in(value, self._start[name])
        return self._shown

    def _mix_in(self, value: Tensor, start: Tensor) -> None:
        if value.is_floating_point():
            value.lerp_(start.to(value.device), self.wise_ft_alpha)

    def state_dict(self) -> dict[str, Any]:
        """The number of steps, the weights that learn and their average; the start is that of the training's plan."""
        return {"steps": self.steps, "live": self.live.state_dict(), "average": self._average}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a state written by `state_dict`."""
        self.steps = int(state["steps"])
        self.live.load_state_dict(state["live"])
        if self._average is not None:
            torch._foreach_copy_(self._average, [value.to(self._average[0].device) for value in state["average"]])
