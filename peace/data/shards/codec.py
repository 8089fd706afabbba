"""The signal column of a shard: one binary value a record, int16 differences along time, little-endian.

A record (12, T) of int16 microvolts is stored lead by lead: its first sample, then each sample minus the one before it.
Differences wrap around at 16 bits, and so does the sum that undoes them: every int16 value comes back. zstd packs
differences to about 30 % of the samples (docs/design/shards.md has the figures).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyarrow as pa


def encode_signal(signal: npt.NDArray[np.int16]) -> bytes:
    """The stored value of one record (12, T) of int16 microvolts."""
    return np.diff(signal, axis=1, prepend=np.int16(0)).astype("<i2", copy=False).tobytes()


def decode_signals(column: pa.Array, shape: tuple[int, int]) -> npt.NDArray[np.int16]:
    """The records (N, *shape) of a column, in int16 microvolts. Raises ValueError where a value has another length.

    torch sums int16 five times as fast as numpy does, and reads the column's own memory.
    """
    import pyarrow as pa
    import torch

    count, size = len(column), shape[0] * shape[1]
    _, offsets, values = column.buffers()
    ends = np.frombuffer(offsets, np.int32, count + 1, 4 * column.offset) if count else np.zeros(1, np.int32)
    if column.null_count or (np.diff(ends) != 2 * size).any():
        raise ValueError(f"a signal is not {shape[0]} leads of {shape[1]} samples")
    if not count:
        return np.zeros((0, *shape), np.int16)
    steps = pa.Array.from_buffers(pa.int16(), count * size, [None, values.slice(int(ends[0]))])
    whole: npt.NDArray[np.int16] = torch.cumsum(torch.from_dlpack(steps).view(-1, *shape), 2, dtype=torch.int16).numpy()
    return whole
