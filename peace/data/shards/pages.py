"""The signal column of a shard in Parquet's own terms: one page a record, and a footer that points to the pages.

Numbers are those of parquet.thrift; the fields of a struct are (type, value) under their number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from peace.data.shards.delta import encode_delta, room_for
from peace.data.shards.thrift import I32, I64, LIST, STRUCT, Struct, write_struct

if TYPE_CHECKING:
    import pyarrow as pa

ZSTD_LEVEL = -3
"""Differences are packed already: level 1 takes twice the time for one per cent of the size."""
RLE, DELTA_BINARY_PACKED = 3, 5
PATH = [b"signal", b"list", b"element"]

FILE_GROUPS = 4
GROUP_COLUMNS, GROUP_BYTES, GROUP_OFFSET, GROUP_COMPRESSED = 1, 2, 5, 6
CHUNK_META = 3
ENCODINGS, PATH_IN_SCHEMA, VALUES, BYTES, COMPRESSED = 2, 3, 5, 6, 7
PAGE_OFFSET, INDEX_OFFSET, DICTIONARY_OFFSET = 9, 10, 11
STATISTICS, ENCODING_STATISTICS, SIZES = 12, 13, 16


@dataclass(frozen=True)
class Chunk:
    """Where the signals of one row group lie: the first byte, bytes on disk, bytes unpacked, records."""

    start: int
    compressed: int
    unpacked: int
    records: int


class PageEncoder:
    """Makes pages of `n_values` int16, of a list column whose lists and elements are nullable and never null."""

    def __init__(self, n_values: int) -> None:
        import pyarrow as pa

        self.n_values = n_values
        self._codec = pa.Codec("zstd", compression_level=ZSTD_LEVEL)
        levels = _levels(n_values)
        self._start = len(levels)
        self._page = np.empty(len(levels) + room_for(n_values), np.uint8)
        self._page[: len(levels)] = np.frombuffer(levels, np.uint8)
        data_page: Struct = {1: (I32, n_values), 2: (I32, DELTA_BINARY_PACKED), 3: (I32, RLE), 4: (I32, RLE)}
        self._header: Struct = {1: (I32, 0), 5: (STRUCT, data_page)}

    def encode(self, values: npt.NDArray[np.int16]) -> tuple[bytes, bytes, int]:
        """One record, flat: the page's header, its compressed body, and the bytes both have unpacked."""
        end = encode_delta(values, self._page, self._start)
        body = self._codec.compress(self._page[:end].data, asbytes=True)
        header = write_struct({**self._header, 2: (I32, end), 3: (I32, len(body))})
        return header, body, len(header) + end


def _levels(n_values: int) -> bytes:
    """Repetition levels 0, 1, 1, ... (a new list, then its elements) and definition levels 3 (nothing is null)."""
    repetition = _run(1, 0) + (_run(n_values - 1, 1) if n_values > 1 else b"")
    definition = _run(n_values, 3)
    return b"".join(len(part).to_bytes(4, "little") + part for part in (repetition, definition))


def _run(length: int, value: int) -> bytes:
    """A run of Parquet's run-length encoding, of a value under 256."""
    number, out = length << 1, bytearray()
    while number >= 128:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number, value])


def nulls(kind: pa.FixedShapeTensorType, n_rows: int) -> pa.ExtensionArray:
    """A column of nulls to hold the signals' place: pyarrow writes it in no time."""
    import pyarrow as pa

    storage = kind.storage_type
    # zeros that are never read take no memory
    elements = pa.array(np.zeros(n_rows * storage.list_size, np.int16))
    empty = pa.FixedSizeListArray.from_arrays(elements, type=storage, mask=pa.array(np.ones(n_rows, bool)))
    return pa.ExtensionArray.from_storage(kind, empty)


def point_to_signals(footer: Struct, chunks: Sequence[Chunk], n_values: int, moved: int) -> None:
    """Change a footer in place: the signal column of each row group lies in its chunk, all else `moved` bytes on."""
    for group, chunk in zip(footer[FILE_GROUPS][1][1], chunks, strict=True):
        for column in group[GROUP_COLUMNS][1][1]:
            meta = column[CHUNK_META][1]
            if meta[PATH_IN_SCHEMA][1][1] == PATH:
                _add(group, GROUP_BYTES, chunk.unpacked - meta[BYTES][1])
                _add(group, GROUP_COMPRESSED, chunk.compressed - meta[COMPRESSED][1])
                _describe(meta, chunk, n_values)
            else:
                for offset in (PAGE_OFFSET, INDEX_OFFSET, DICTIONARY_OFFSET):
                    _add(meta, offset, moved)
        group[GROUP_OFFSET] = (I64, chunk.start)


def _describe(meta: Struct, chunk: Chunk, n_values: int) -> None:
    meta[ENCODINGS] = (LIST, (I32, [RLE, DELTA_BINARY_PACKED]))
    meta[VALUES] = (I64, chunk.records * n_values)
    meta[BYTES] = (I64, chunk.unpacked)
    meta[COMPRESSED] = (I64, chunk.compressed)
    meta[PAGE_OFFSET] = (I64, chunk.start)
    for of_nulls in (INDEX_OFFSET, DICTIONARY_OFFSET, STATISTICS, ENCODING_STATISTICS, SIZES):
        meta.pop(of_nulls, None)


def _add(struct: Struct, field: int, amount: int) -> None:
    if field in struct:
        kind, value = struct[field]
        struct[field] = (kind, value + amount)
