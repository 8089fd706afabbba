"""Samples of the WFDB formats that are read without wfdb: one value a lead and frame, byte-aligned or 12-bit packed.

(WFDB specification, signal(5). The lowest value of each format stands for a missing sample.)
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

ALIGNED: dict[int, str] = {16: "<i2", 61: ">i2", 32: "<i4", 80: "u1", 160: "<u2"}
SHIFT: dict[int, int] = {80: 128, 160: 32768}
MISSING: dict[int, int] = {16: -(2**15), 61: -(2**15), 160: -(2**15), 80: -(2**7), 212: -(2**11), 24: -(2**23)}
MISSING[32] = -(2**31)
FORMATS = frozenset(MISSING)

Digital = npt.NDArray[np.int16] | npt.NDArray[np.int32]


def bytes_of(format: int, values: int) -> int:
    """Bytes that so many values of a format take."""
    if format == 212:
        return (values * 3 + 1) // 2
    if format == 24:
        return values * 3
    return values * np.dtype(ALIGNED[format]).itemsize


def values_in(format: int, size: int) -> int:
    """Values that so many bytes of a format hold."""
    if format == 212:
        return size * 2 // 3
    if format == 24:
        return size // 3
    return size // np.dtype(ALIGNED[format]).itemsize


def decode(raw: npt.NDArray[np.uint8], format: int, values: int) -> Digital:
    """`values` values from the bytes that they take, as stored: (values,) integers."""
    if format not in ALIGNED:
        return _packed_12(raw, values) if format == 212 else _packed_24(raw)
    stored = raw.view(ALIGNED[format])
    if format in SHIFT:
        return (stored.astype(np.int32) - SHIFT[format]).astype(np.int16)
    return stored.astype(stored.dtype.newbyteorder("="), copy=False)


def _packed_12(raw: npt.NDArray[np.uint8], values: int) -> Digital:
    """Two values in three bytes: low bytes outside, the two high nibbles in the middle one."""
    triplets = np.zeros((values + 1) // 2 * 3, np.int16)
    triplets[: raw.size] = raw
    first, middle, last = triplets.reshape(-1, 3).T
    pairs = np.stack([first | (middle & 0x0F) << 8, last | (middle & 0xF0) << 4], axis=1).reshape(-1)[:values]
    return np.where(pairs > 2047, pairs - 4096, pairs).astype(np.int16)


def _packed_24(raw: npt.NDArray[np.uint8]) -> Digital:
    triplets = raw[: raw.size // 3 * 3].reshape(-1, 3).astype(np.int32)
    unsigned = triplets[:, 0] | triplets[:, 1] << 8 | triplets[:, 2] << 16
    return np.where(unsigned >= 2**23, unsigned - 2**24, unsigned).astype(np.int32)
