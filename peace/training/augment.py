"""Random changes of a training batch. They keep millivolts within what devices differ by: voltage is a criterion."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from peace.config import AugmentConfig


def augment(
    ecg_bct: torch.Tensor, lead_mask_bc: torch.Tensor, config: AugmentConfig, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Changed copies of the signals (mV) and lead masks; random numbers come from `generator` (on the CPU) alone."""
    batch, leads, samples = ecg_bct.shape

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator).to(ecg_bct.device)

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator).to(ecg_bct.device)

    if config.shift > 0:
        steps = ((uniform(batch, 1) * 2 - 1) * config.shift * samples).long()
        places = (torch.arange(samples, device=ecg_bct.device)[None] + steps) % samples
        ecg_bct = ecg_bct.gather(2, places[:, None].expand(-1, leads, -1))
    if config.gain > 0:
        ecg_bct = ecg_bct * torch.exp(normal(batch, 1, 1) * config.gain)
    if config.noise_mv > 0:
        ecg_bct = ecg_bct + normal(batch, leads, samples) * (uniform(batch, 1, 1) * config.noise_mv)
    if config.lead_dropout > 0:
        kept = (uniform(batch, leads) >= config.lead_dropout).to(lead_mask_bc.dtype)
        kept = torch.where(kept.sum(1, keepdim=True) == 0, torch.ones_like(kept), kept)
        lead_mask_bc = lead_mask_bc * kept
    return ecg_bct, lead_mask_bc
