"""Losses over the batches of all workers, as if one worker had seen them all.

Every worker must call these alike. DDP takes the mean of the workers' gradients, and what is made here is such that
this mean is the gradient of one worker with all records, be the records dealt out evenly or not.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed


def workers() -> int:
    """Number of processes that train together."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def gather_rows(x: Tensor) -> Tensor:
    """Rows of all workers in order of rank, with gradient to the worker that gave them; `x` itself on one worker.

    Workers may hold different numbers of rows. Each worker then computes the same loss of them, and the gradient
    arrives summed over the workers.
    """
    if workers() == 1:
        return x
    counts = [torch.zeros(1, dtype=torch.long, device=x.device) for _ in range(workers())]
    distributed.all_gather(counts, torch.tensor([len(x)], device=x.device))
    result: Tensor = _Gather.apply(x, torch.cat(counts).tolist())
    return result


def mean_over_records(values_b: Tensor) -> Tensor:
    """This worker's part of the mean over the records of all workers: the mean of the parts is that mean.

    On one worker it is the plain mean. A worker without records has a part of 0.
    """
    if workers() == 1:
        return values_b.mean()
    count = torch.tensor(float(len(values_b)), device=values_b.device)
    distributed.all_reduce(count)
    return values_b.sum() * (workers() / count)


def sum_over_workers(x: Tensor) -> Tensor:
    """The sum of the workers' tensors on every worker, with gradient to each."""
    return x if workers() == 1 else _Sum.apply(x)


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


class _Sum(torch.autograd.Function):
    """All-reduce whose backward is one too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.contiguous().clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        distributed.all_reduce(total)
        return total
