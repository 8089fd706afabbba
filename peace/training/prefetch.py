"""Batches made ready for the step while the step before runs: gathered, and copied to the training device as int16."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from peace.data.signal.units import to_mv
from peace.training.batches import Batch, as_floats

AHEAD = 2  # batches ready at a time


@dataclass(frozen=True)
class DeviceBatch:
    """A batch on the training device, its signals still as int16; `batch` is the same in numpy."""

    batch: Batch
    signal: Tensor
    lead_mask: Tensor
    target: Tensor
    age_days: Tensor

    def floats(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(ecg in mV (B + U, 12, T), lead mask (B + U, 12), target (B, K), ages (B,)), converted on the device."""
        return to_mv(self.signal), self.lead_mask.float(), as_floats(self.target), self.age_days


def prefetch(batches: Iterator[Batch], device: torch.device) -> Generator[DeviceBatch, None, None]:
    """The batches on `device`, prepared by a thread two steps ahead; what the source raises comes out here."""
    copying = torch.cuda.Stream(device) if device.type == "cuda" else None

    def load() -> DeviceBatch | None:
        batch = next(batches, None)
        return None if batch is None else _load(batch, device, copying)

    ahead: deque[Future[DeviceBatch | None]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="feed") as pool:
        ahead.extend(pool.submit(load) for _ in range(AHEAD))
        try:
            while (loaded := ahead.popleft().result()) is not None:
                ahead.append(pool.submit(load))
                yield loaded
        finally:
            pool.shutdown(cancel_futures=True)
            if isinstance(batches, Generator):
                batches.close()


def _load(batch: Batch, device: torch.device, copying: torch.cuda.Stream | None) -> DeviceBatch:
    columns = batch.signal, batch.lead_mask, batch.target, np.asarray(batch.age_days, np.float32)
    tensors = [torch.from_numpy(np.ascontiguousarray(column)) for column in columns]
    if copying is not None:
        # the copy runs beside the step; memory of another stream must not be given away before the step has used it
        with torch.cuda.stream(copying):
            tensors = [tensor.pin_memory().to(device, non_blocking=True) for tensor in tensors]
        copying.synchronize()
        for tensor in tensors:
            tensor.record_stream(torch.cuda.default_stream(device))
    return DeviceBatch(batch, *tensors)
