"""Contrast over the batch of all workers, as if one worker had seen it."""

from __future__ import annotations

import torch
from torch import Tensor, distributed
from torch.distributed.nn.functional import all_gather


def gather_rows(x: Tensor) -> Tensor:
    """Rows of all workers in order of rank, with gradient to the worker that gave them; `x` itself on one worker.

    Workers may hold different numbers of rows. Every worker must call it, and each then computes the same loss: its
    gradient arrives summed over the workers, which DDP's mean over workers turns into that of one worker with all rows.
    """
    if not (distributed.is_available() and distributed.is_initialized()) or distributed.get_world_size() == 1:
        return x
    counts = [torch.zeros(1, dtype=torch.long, device=x.device) for _ in range(distributed.get_world_size())]
    distributed.all_gather(counts, torch.tensor([len(x)], device=x.device))
    lengths = [int(count) for count in counts]
    padding = x.new_zeros(max(lengths) - len(x), *x.shape[1:])
    parts = all_gather(torch.cat([x, padding]))
    return torch.cat([part[:length] for part, length in zip(parts, lengths, strict=True)])
