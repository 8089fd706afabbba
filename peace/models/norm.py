"""Normalisation of the ECG encoder: over the batch of a worker, over that of all workers, or over none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

from peace.objectives.gather import sum_over_workers, workers

Norm = Literal["batch", "sync_batch", "group"]


def normalisation(kind: Norm, channels: int) -> nn.Module:
    """The layer for so many channels; all kinds but group have the same state, so that a checkpoint fits either."""
    if kind == "group":
        return nn.GroupNorm(next(groups for groups in (8, 4, 2, 1) if channels % groups == 0), channels)
    return SyncBatchNorm(channels) if kind == "sync_batch" else nn.BatchNorm1d(channels)


class SyncBatchNorm(nn.BatchNorm1d):
    """Batch norm over the batches of all workers, on any device; torch's own is for GPUs alone."""

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, N) to the same; in training every worker must call it."""
        if not self.training or workers() == 1:
            return super().forward(input)
        x = input.float()
        count = x.numel() // x.shape[1]
        variance, mean = torch.var_mean(x, dim=(0, 2), correction=0)
        # second moments in double precision: their difference is small beside them
        moments = torch.stack([mean.double(), variance.double() + mean.double().square()]) * count
        of_all = torch.tensor([float(count)], dtype=torch.float64, device=x.device)
        distributed.all_reduce(of_all)
        mean, square = (sum_over_workers(moments) / of_all).unbind()
        variance = square - mean.square()
        self._remember(mean.detach(), variance.detach() * of_all / (of_all - 1))
        factor = (self.weight * (variance + self.eps).rsqrt().float())[:, None]
        return ((x - mean.float()[:, None]) * factor + self.bias[:, None]).to(input.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean.float(), self.momentum or 0.0)
        self.running_var.lerp_(variance.float(), self.momentum or 0.0)


@contextmanager
def statistics_kept(module: nn.Module) -> Iterator[None]:
    """Running statistics stay what they are: for a forward pass that is made a second time."""
    layers = [layer for layer in module.modules() if isinstance(layer, _BatchNorm)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
