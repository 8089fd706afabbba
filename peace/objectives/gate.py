"""The curriculum gate (CAF): how much of the contrastive loss counts, by progress and smoothed classification loss."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from peace.config import GateConfig, ObjectiveConfig


class Gate(Protocol):
    """A weight in [0, 1] that follows the training."""

    def value(self, progress: float) -> float:
        """The weight at progress in [0, 1]."""
        ...

    def update(self, classification_loss: float, progress: float) -> None:
        """Take the loss of a step."""
        ...

    def state_dict(self) -> dict[str, float | None]:
        """Plain numbers, for a checkpoint."""
        ...

    def load_state_dict(self, state: Mapping[str, float | None]) -> None:
        """Resume from such numbers."""
        ...


def make_gate(objective: ObjectiveConfig) -> Gate:
    """The schedule of a method: PEACE's curriculum, the rise of domain adaptation, or 1 throughout."""
    if objective.method == "peace":
        return CurriculumGate(objective.gate)
    if objective.method in ("dann", "mmd"):
        return Ramp(objective.ramp)
    from peace.config import GateConfig

    return CurriculumGate(GateConfig(form="fixed", value=1.0))


class Ramp:
    """2 / (1 + exp(-slope * p)) - 1: 0 at the start, near 1 at the end (Ganin et al. 2016). It has no state."""

    def __init__(self, slope: float) -> None:
        self.slope = slope

    def value(self, progress: float) -> float:
        """The weight at progress in [0, 1]."""
        return 2 / (1 + math.exp(-self.slope * min(max(progress, 0.0), 1.0))) - 1

    def update(self, classification_loss: float, progress: float) -> None:
        """The loss has no say."""

    def state_dict(self) -> dict[str, float | None]:
        """Nothing."""
        return {}

    def load_state_dict(self, state: Mapping[str, float | None]) -> None:
        """Nothing to resume from."""


class CurriculumGate:
    """Near zero early, opening as training proceeds and the classification loss falls (method 1.4).

    The paper states the two inputs and the direction; the forms are ours (see GateConfig). The value is a number, not
    a tensor: no gradient passes through the gate.
    """

    def __init__(self, config: GateConfig) -> None:
        self.config = config
        self._sum = 0.0
        self._weight = 0.0
        self._baseline: float | None = None

    @property
    def smoothed(self) -> float | None:
        """Exponentially smoothed classification loss, corrected for its start; None before the first update."""
        return self._sum / self._weight if self._weight > 0 else None

    @property
    def baseline(self) -> float | None:
        """L0: the smoothed loss at the end of the warm-up; None before."""
        return self._baseline

    def update(self, classification_loss: float, progress: float) -> None:
        """Take the loss of a step (with several workers: their mean) at progress in [0, 1].

        A loss that is not finite is left out: it would shut the gate for good.
        """
        if not math.isfinite(classification_loss):
            return
        decay = self.config.decay
        self._sum = decay * self._sum + (1 - decay) * classification_loss
        self._weight = decay * self._weight + (1 - decay)
        if self._baseline is None and progress >= self.config.warmup:
            self._baseline = self.smoothed

    def value(self, progress: float) -> float:
        """The gate in [0, 1] at progress in [0, 1]."""
        config = self.config
        if config.form == "fixed":
            return config.value
        progress = min(max(progress, 0.0), 1.0)
        ratio = self._ratio()
        if config.form == "power":
            gate = progress**config.gamma * math.exp(-config.beta * ratio)
        else:
            opening = 1 / (1 + math.exp(-config.slope * (progress - config.midpoint)))
            gate = opening * min(max(1 - config.floor * ratio, 0.0), 1.0)
        return float(min(max(gate, 0.0), 1.0))

    def state_dict(self) -> dict[str, float | None]:
        """Plain numbers, for a checkpoint."""
        return {"sum": self._sum, "weight": self._weight, "baseline": self._baseline}

    def load_state_dict(self, state: Mapping[str, float | None]) -> None:
        """Resume from the state of another gate of the same configuration."""
        self._sum = float(state["sum"] or 0.0)
        self._weight = float(state["weight"] or 0.0)
        self._baseline = state["baseline"]

    def _ratio(self) -> float:
        """L / L0; 1 while there is no L0, so that nothing opens the gate before the warm-up is over."""
        if self.smoothed is None or not self._baseline:
            return 1.0
        return self.smoothed / self._baseline
