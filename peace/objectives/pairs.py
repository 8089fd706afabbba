"""The plain contrast of pairs (InfoNCE in both directions): a record's own partner is its only positive."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from peace.objectives.gather import gather_rows


class PairContrast(nn.Module):
    """Symmetric InfoNCE with a learnable temperature, kept at 0.01 or above (Radford et al. 2021)."""

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.log_temperature = nn.Parameter(torch.tensor(math.log(temperature)))

    def forward(self, one_bd: Tensor, other_bd: Tensor) -> Tensor:
        """Loss of partners (B, D) and (B, D), row by row; in training over the batches of all workers together."""
        with torch.autocast(one_bd.device.type, enabled=False):
            one = functional.normalize(one_bd.float(), dim=-1)
            other = functional.normalize(other_bd.float(), dim=-1)
            if self.training:
                one, other = gather_rows(one), gather_rows(other)
            with torch.no_grad():
                self.log_temperature.clamp_(min=math.log(0.01))
            similarity = one @ other.T / self.log_temperature.exp()
            own = torch.arange(len(similarity), device=similarity.device)
            forward = functional.cross_entropy(similarity, own)
            return (forward + functional.cross_entropy(similarity.T, own)) / 2
