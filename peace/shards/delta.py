"""DELTA_BINARY_PACKED, compiled: the encoding of the signal column, in one pass over the samples.

Arrow widens int16 to int32, makes a level for each sample and packs bit by bit, which costs as much as conditioning
the record. The format is Parquet's (Encodings.md, delta encoding); `benchmarks/preprocess.py` has the ratio.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from peace.signal.kernel import compiled

BLOCK = 128
"""Differences a block; each quarter of them shares a width."""


def room_for(n_values: int) -> int:
    """Bytes that always suffice for `n_values` of int16: differences have up to 17 bits."""
    blocks = -(-n_values // BLOCK)
    return 32 + blocks * (16 + BLOCK * 17 // 8)


@numba.njit(inline="always")
def _put_varint(out: Any, at: int, value: Any) -> int:
    while value >= 128:
        out[at] = np.uint8(value & 127 | 128)
        at += 1
        value >>= 7
    out[at] = np.uint8(value)
    return at + 1


@numba.njit(inline="always")
def _put_zigzag(out: Any, at: int, value: Any) -> int:
    wide = np.int64(value)
    return _put_varint(out, at, (wide << 1) ^ (wide >> 63))


@numba.njit(inline="always")
def _put_word(out: Any, at: int, word: Any) -> int:
    for byte in range(4):
        out[at + byte] = np.uint8((word >> np.uint64(8 * byte)) & np.uint64(255))
    return at + 4


@compiled
def _encode(values: Any, out: Any, at: int) -> int:
    n_values = len(values)
    for number in (128, 4, n_values):
        at = _put_varint(out, at, number)
    at = _put_zigzag(out, at, values[0])
    above = np.empty(128, np.int32)
    for start in range(1, n_values, 128):
        count = min(128, n_values - start)
        lowest = np.int32(1 << 30)
        for index in range(count):
            difference = np.int32(values[start + index]) - np.int32(values[start + index - 1])
            above[index] = difference
            lowest = min(lowest, difference)
        for index in range(count):
            above[index] -= lowest
        above[count:] = 0
        at = _put_zigzag(out, at, lowest)
        widths, at = at, at + 4
        for miniblock in range(4):
            first = 32 * miniblock
            used = np.uint32(0)
            for index in range(first, first + 32):
                used |= np.uint32(above[index])
            width = 0
            while used > 0:
                width, used = width + 1, used >> np.uint32(1)
            out[widths + miniblock] = width
            packed, filled = np.uint64(0), 0
            for index in range(first, first + 32 if first < count else first):
                packed |= np.uint64(above[index]) << np.uint64(filled)
                filled += width
                if filled >= 32:
                    at = _put_word(out, at, packed)
                    packed, filled = packed >> np.uint64(32), filled - 32
    return at


def encode_delta(values: npt.NDArray[np.int16], out: npt.NDArray[np.uint8], at: int = 0) -> int:
    """Encode at least one value into `out` from byte `at` on; gives the byte after the last one written."""
    end: int = _encode(values, out, at)
    return end
