"""Dropout whose random bits are cheap on CPUs: there torch draws one number an element, which took 5 % of a step."""

from __future__ import annotations

import torch
from torch import Tensor, nn

LEVELS = 1 << 16  # 16 random bits an element: the chance is exact to 1 / 65536
WORD_BITS = 64


class Dropout(nn.Dropout):
    """As torch's, from torch's random numbers; on GPUs it is torch's."""

    def forward(self, input: Tensor) -> Tensor:
        """`input` with a share `p` of its elements at zero and the others scaled up; itself in evaluation."""
        if not self.training or self.p == 0 or input.device.type != "cpu":
            return super().forward(input)
        words = torch.empty(-(-input.numel() // 4), dtype=torch.int64).random_(-(1 << WORD_BITS - 1), None)
        bits = words.view(torch.int16)[: input.numel()].view(input.shape)
        dropped = round(self.p * LEVELS)
        kept = (bits >= dropped - LEVELS // 2).to(input.dtype)
        return input * kept.mul_(LEVELS / (LEVELS - dropped))
