"""DELTA_BINARY_PACKED, compiled: the encoding of the signal column, in one pass over the samples.

Arrow widens int16 to int32, makes a level for each sample and packs bit by bit, which costs as much as conditioning
the record. The format is Parquet's (Encodings.md, delta encoding); `benchmarks/preprocess_parts.py` has the ratio.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from peace.data.signal.kernel import compiled

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
def _put_word(out: Any, at: int, word: Any) -> None:
    """Eight bytes, the lowest first; the compiler makes one store of them."""
    for byte in range(8):
        out[np.uintp(at + byte)] = np.uint8(word >> np.uint64(8 * byte))


@numba.njit(inline="always")
def _width(used: Any) -> int:
    """Bits that a number takes."""
    width = 0
    while used > 0:
        width, used = width + 1, used >> np.uint32(1)
    return width


@numba.njit(inline="always")
def _pack_eight(out: Any, at: int, above: Any, first: int, width: int) -> int:
    """Eight numbers of up to 17 bits, which take `width` bytes: joined in pairs, then fours, and stored as words."""
    one, two = np.uint64(width), np.uint64(2 * width)
    low = np.uint64(above[first]) | np.uint64(above[first + 1]) << one
    low |= (np.uint64(above[first + 2]) | np.uint64(above[first + 3]) << one) << two
    high = np.uint64(above[first + 4]) | np.uint64(above[first + 5]) << one
    high |= (np.uint64(above[first + 6]) | np.uint64(above[first + 7]) << one) << two
    if width <= 8:
        _put_word(out, at, low | high << np.uint64(4 * width))
    elif width < 16:
        _put_word(out, at, low | high << np.uint64(4 * width))
        _put_word(out, at + 8, high >> np.uint64(64 - 4 * width))
    else:
        _put_word(out, at, low)
        _put_word(out, at + 8, high)
    return at + width


@numba.njit(inline="always")
def _pack_widest(out: Any, at: int, above: Any, first: int) -> int:
    """32 numbers of 17 bits, one by one."""
    packed, filled = np.uint64(0), 0
    for index in range(first, first + 32):
        packed |= np.uint64(above[index]) << np.uint64(filled)
        filled += 17
        if filled >= 32:
            for byte in range(4):
                out[at + byte] = np.uint8(packed >> np.uint64(8 * byte))
            at, packed, filled = at + 4, packed >> np.uint64(32), filled - 32
    return at


@numba.njit(inline="always")
def _take_differences(values: Any, start: int, differences: Any, above: Any) -> Any:
    """128 differences, the first of them to `start`, and what each is above the lowest of them, which is the result."""
    here = values[start : start + 128]
    before = values[start - 1 : start - 1 + len(here)]
    for index in range(len(here)):
        differences[index] = np.int32(here[index]) - np.int32(before[index])
    differences[len(here) :] = differences[0]
    lowest = differences[0]
    for index in range(128):
        lowest = min(lowest, differences[index])
    for index in range(128):
        above[index] = np.uint32(differences[index] - lowest)
    above[len(here) :] = 0
    return lowest


@compiled
def _encode(values: Any, out: Any, at: int) -> int:
    for number in (128, 4, len(values)):
        at = _put_varint(out, at, number)
    at = _put_zigzag(out, at, values[0])
    differences, above = np.zeros(128, np.int32), np.zeros(128, np.uint32)
    for start in range(1, len(values), 128):
        at = _put_zigzag(out, at, _take_differences(values, start, differences, above))
        widths, at = at, at + 4
        for miniblock in range(4):
            first = 32 * miniblock
            used = np.uint32(0)
            for index in range(32):
                used |= above[first + index]
            width = _width(used)
            out[widths + miniblock] = width
            if width == 17:
                at = _pack_widest(out, at, above, first)
            elif width > 0:
                for eight in range(first, first + 32, 8):
                    at = _pack_eight(out, at, above, eight, width)
    return at


def encode_delta(values: npt.NDArray[np.int16], out: npt.NDArray[np.uint8], at: int = 0) -> int:
    """Encode at least one value into `out` from byte `at` on; gives the byte after the last one written.

    `out` has the bytes of `room_for` left: words are stored whole, and the next one covers what is too much.
    """
    end: int = _encode(values, out, at)
    return end
