"""Contrast over the batch of all workers, as if one worker had seen it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed


def gather_rows(x: Tensor) -> Tensor:
    """Rows of all workers in order of rank, with gradient to the worker that gave them; `x` itself on one worker.

    Workers may hold different numbers of rows. Every worker must call it, and each then computes the same loss: its
    gradient arrives summed over the workers, which DDP's mean over workers turns into that of one worker with all rows.
    """
    if not (distributed.is_available() and distributed.is_initialized()) or distributed.get_world_size() == 1:
        return x
    counts = [torch.zeros(1, dtype=torch.long, device=x.device) for _ in range(distributed.get_world_size())]
    distributed.all_gather(counts, torch.tensor([len(x)], device=x.device))
    return _Gather.apply(x, [int(count) for count in counts])


class _Gather(torch.autograd.Function):
    """All-gather whose backward sums what every worker's loss says about the rows of this one."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, lengths: list[int]) -> Tensor:
        ctx.lengths = lengths
        padded = x.new_zeros(max(lengths), *x.shape[1:])
        padded[: len(x)] = x
        parts = [torch.empty_like(padded) for _ in lengths]
        distributed.all_gather(parts, padded)
        return torch.cat([part[:length] for part, length in zip(parts, lengths, strict=True)])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        total = gradient.contiguous().clone()
        distributed.all_reduce(total)
        return total.split(ctx.lengths)[distributed.get_rank()], None
