"""Distances between two cohorts of features, for domain adaptation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

KERNELS = (0.25, 0.5, 1.0, 2.0, 4.0)  # bandwidths, as multiples of the mean squared distance in the batch


def reverse_gradient(x: Tensor, factor: float | Tensor) -> Tensor:
    """`x` itself; its gradient is turned round and multiplied by `factor` (Ganin et al. 2016)."""
    result: Tensor = _Reverse.apply(x, float(factor))
    return result


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return -ctx.factor * gradient, None


def maximum_mean_discrepancy(source_bd: Tensor, target_ud: Tensor) -> Tensor:
    """Squared MMD between features (B, D) and (U, D) under the mean of Gaussian kernels; 0 where they are the same.

    The biased estimate, which is never negative. The bandwidth follows the mean squared distance between different
    records of the batch, without gradient: else the loss could fall by scaling the features.
    """
    with torch.autocast(source_bd.device.type, enabled=False):
        both = torch.cat([source_bd, target_ud]).float()
        squares = both.pow(2).sum(dim=1)
        distance = (squares[:, None] + squares[None, :] - 2 * both @ both.T).clamp(min=0)
        count = len(both)
        bandwidth = (distance.detach().sum() / max(1, count * (count - 1))).clamp(min=1e-12)
        kernel = torch.stack([torch.exp(-distance / (bandwidth * factor)) for factor in KERNELS]).mean(dim=0)
        source = len(source_bd)
        within = kernel[:source, :source].mean() + kernel[source:, source:].mean()
        return within - 2 * kernel[:source, source:].mean()
