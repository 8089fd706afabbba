"""A shard as it grows: conditioned records, written by pyarrow one row group at a time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from peace.data.shards.codec import encode_signals
from peace.data.shards.schema import ROW_GROUP, schema, writer_options
from peace.data.shards.statistics import peak_to_peak_mv
from peace.data.signal import Conditioned

LARGEST_GROUP = 1 << 30  # bytes of signals; Arrow's offsets end at 2 GiB


class ShardWriter:
    """Writes conditioned records into a Parquet file; a context manager. It holds one row group in memory."""

    def __init__(self, path: Path) -> None:
        self._schema = schema()
        self._rows: list[dict[str, Any]] = []
        self._path = path
        self._writer = pq.ParquetWriter(path, self._schema, **writer_options())

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._write_group()
        self._writer.close()
        if error is not None:
            self._path.write_bytes(b"")  # else the first records would look like a whole shard

    def add(self, row: Mapping[str, Any], record: Conditioned) -> None:
        """Append a record; `row` holds its columns of the manifest."""
        measured = {
            "signal": record.signal,
            "lead_mask": record.lead_mask,
            "peak_to_peak_mv": peak_to_peak_mv(record).astype(np.float32),
        }
        facts = {"n_samples": record.n_samples, "flags": record.flags}
        self._rows.append({"doubtful": [], **row, **record.quality, **measured, **facts})
        if len(self._rows) >= min(ROW_GROUP, LARGEST_GROUP // record.signal.nbytes):
            self._write_group()

    def _write_group(self) -> None:
        if not self._rows:
            return
        columns = []
        for item in self._schema:
            values = [row[item.name] for row in self._rows]
            if item.name == "signal":
                columns.append(encode_signals(values))
            elif isinstance(item.type, pa.FixedShapeTensorType):
                columns.append(pa.FixedShapeTensorArray.from_numpy_ndarray(np.stack(values)))
            else:
                columns.append(pa.array(values, item.type))
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))
        self._rows = []
