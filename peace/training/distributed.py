"""Which of how many training processes this is, and how they share what they found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist

Value = TypeVar("Value")


@dataclass(frozen=True)
class DistributedContext:
    """Rank and number of the processes that train together."""

    rank: int = 0
    world: int = 1

    @classmethod
    def current(cls) -> DistributedContext:
        """As torch.distributed says, or a single process."""
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size())
        return cls()

    def gather(self, value: Value) -> list[Value]:
        """The values of all ranks, in order, on every rank."""
        if self.world == 1:
            return [value]
        gathered: list[Value | None] = [None] * self.world
        dist.all_gather_object(gathered, value)
        return gathered  # type: ignore[return-value]

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """Mean over the ranks."""
        if self.world > 1:
            dist.all_reduce(values)
            values = values / self.world
        return values

    def mean_gradients(self, parameters: Sequence[torch.Tensor]) -> None:
        """Put the mean over the ranks in place of each gradient; all ranks have gradients of the same parameters."""
        if self.world == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = self.mean(torch.cat([gradient.flatten() for gradient in gradients]))
        for gradient, mean in zip(gradients, flat.split([gradient.numel() for gradient in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))

    def share_statistics(self, module: torch.nn.Module) -> None:
        """Give every rank the first one's running statistics."""
        if self.world > 1:
            for buffer in module.buffers():
                dist.broadcast(buffer, 0)

    def most(self, value: int, device: torch.device) -> int:
        """The highest value of all ranks."""
        if self.world == 1:
            return value
        values = torch.tensor([value], device=device)
        dist.all_reduce(values, dist.ReduceOp.MAX)
        return int(values.item())
