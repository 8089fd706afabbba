"""The signal column of a shard: one binary value a record, int16 differences along time, little-endian.

A record (12, T) of int16 microvolts is stored lead by lead: its first sample, then each sample minus the one before it.
Differences wrap around at 16 bits, and so does the sum that undoes them: every int16 value comes back. zstd packs
differences to about 30 % of the samples (docs/design/shards.md has the figures).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyarrow as pa


def encode_signals(signals: Sequence[npt.NDArray[np.int16]]) -> pa.Array:
    """The column of some records, each (12, T) of int16 microvolts."""
    import pyarrow as pa

    steps = np.empty((len(signals), *np.shape(signals[0])), "<i2") if len(signals) else np.empty((0, 1, 1), "<i2")
    for record, signal in zip(steps, signals, strict=True):
        record[:, 0] = signal[:, 0]
        np.subtract(signal[:, 1:], signal[:, :-1], out=record[:, 1:])
    ends = np.arange(len(steps) + 1, dtype=np.int32) * np.int32(steps[:1].nbytes)
    return pa.Array.from_buffers(pa.binary(), len(steps), [None, pa.py_buffer(ends), pa.py_buffer(steps)])


def decode_signals(column: pa.Array, shape: tuple[int, int]) -> npt.NDArray[np.int16]:
    """The records (N, *shape) of a column, in int16 microvolts. Raises ValueError where a value has another length."""
    signals = np.empty((len(column), *shape), np.int16)
    decode_into(signals, np.arange(len(column)), column)
    return signals


def decode_into(signals: npt.NDArray[np.int16], rows: npt.NDArray[np.intp], column: pa.Array) -> None:
    """Put record i of a column into `signals[rows[i]]`, in int16 microvolts; `signals` is (any, 12, T), C-ordered.

    Raises ValueError where a value has another length. torch sums int16 five times as fast as numpy does; it reads the
    column's own memory and writes where the record belongs, so that no signal is copied.
    """
    import pyarrow as pa
    import torch

    (leads, samples), count = signals.shape[1:], len(column)
    size = leads * samples
    _, offsets, values = column.buffers()
    ends = np.frombuffer(offsets, np.int32, count + 1, 4 * column.offset) if count else np.zeros(1, np.int32)
    if column.null_count or (np.diff(ends) != 2 * size).any():
        raise ValueError(f"a signal is not {leads} leads of {samples} samples")
    if not count:
        return
    stored = pa.Array.from_buffers(pa.int16(), count * size, [None, values.slice(int(ends[0]))])
    steps, out = torch.from_dlpack(stored).view(-1, leads, samples), torch.from_numpy(signals)
    for record, row in zip(steps, rows.tolist(), strict=True):
        torch.cumsum(record, 1, out=out[row])
