"""A shard as it grows: the signal column encoded record by record, everything else by pyarrow.

pyarrow writes the whole file with a signal column of nulls, in memory. The signals, one page a record, go to disk as
they come; at the end pyarrow's part follows them, and its footer is told where the signals lie. What comes out is
plain Parquet, which any reader takes, at a third of the cost of pyarrow's own writer (benchmarks/preprocess_parts.py).
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from peace.data.shards.pages import Chunk, PageEncoder, nulls, point_to_signals
from peace.data.shards.schema import ROW_GROUP, schema, writer_options
from peace.data.shards.statistics import peak_to_peak_mv
from peace.data.shards.thrift import read_struct, write_struct
from peace.data.signal import LEADS, Conditioned

MAGIC = b"PAR1"


class ShardWriter:
    """Writes conditioned records of `length` samples a lead into a Parquet file; a context manager.

    Memory does not grow with the number of records: signals leave as they come.
    """

    def __init__(self, path: Path, length: int) -> None:
        import pyarrow.parquet as pq

        self._schema = schema(length)
        self._encoder = PageEncoder(len(LEADS) * length)
        self._rest = io.BytesIO()
        self._rest_writer = pq.ParquetWriter(self._rest, self._schema, **writer_options())
        self._rows: list[dict[str, Any]] = []
        self._chunks: list[Chunk] = []
        self._unpacked = 0
        self._file = path.open("wb")
        self._start = self._file.write(MAGIC)

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            if error is None:
                self._finish()

    def add(self, row: Mapping[str, Any], record: Conditioned) -> None:
        """Append a record; `row` holds its columns of the manifest."""
        header, body, unpacked = self._encoder.encode(record.signal.reshape(-1))
        self._file.write(header)
        self._file.write(body)
        self._unpacked += unpacked
        measured = {"lead_mask": record.lead_mask, "peak_to_peak_mv": peak_to_peak_mv(record).astype(np.float32)}
        self._rows.append(
            {"doubtful": [], **row, **record.quality, **measured, "n_samples": record.n_samples, "flags": record.flags}
        )
        if len(self._rows) == ROW_GROUP:
            self._end_group()

    def _end_group(self) -> None:
        """Hand the other columns to pyarrow, and note where the signals of the group lie."""
        import pyarrow as pa

        columns = []
        for item in self._schema:
            if item.name == "signal":
                columns.append(nulls(item.type, len(self._rows)))
            elif isinstance(item.type, pa.FixedShapeTensorType):
                stacked = np.stack([row[item.name] for row in self._rows])
                columns.append(pa.FixedShapeTensorArray.from_numpy_ndarray(stacked))
            else:
                columns.append(pa.array([row[item.name] for row in self._rows], item.type))
        self._rest_writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))
        end = self._file.tell()
        self._chunks.append(Chunk(self._start, end - self._start, self._unpacked, len(self._rows)))
        self._start, self._unpacked, self._rows = end, 0, []

    def _finish(self) -> None:
        if self._rows:
            self._end_group()
        self._rest_writer.close()
        rest = self._rest.getvalue()
        length = int.from_bytes(rest[-8:-4], "little")
        body, footer = rest[len(MAGIC) : -8 - length], read_struct(rest[-8 - length : -8])
        point_to_signals(footer, self._chunks, self._encoder.n_values, moved=self._file.tell() - len(MAGIC))
        content = write_struct(footer)
        self._file.write(body + content + len(content).to_bytes(4, "little") + MAGIC)
