"""Shards are written partly by ourselves: any Parquet reader must find in them what pyarrow would have written."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from peace.data.shards.pages import Chunk, PageEncoder, nulls, point_to_signals
from peace.data.shards.schema import schema, writer_options
from peace.data.shards.thrift import read_struct, write_struct
from peace.data.shards.writer import MAGIC, ShardWriter
from peace.data.signal import QUALITY, Conditioned

LENGTH = 150


def column_file(path: Path, values: npt.NDArray[np.int16]) -> None:
    """A Parquet file of one record with our page of `values`."""
    kind = pa.schema([("signal", pa.fixed_shape_tensor(pa.int16(), (len(values),)))])
    rest = io.BytesIO()
    pq.write_table(pa.Table.from_arrays([nulls(kind.field(0).type, 1)], schema=kind), rest, compression="zstd")
    raw = rest.getvalue()
    length = int.from_bytes(raw[-8:-4], "little")
    footer = read_struct(raw[-8 - length : -8])
    header, body, unpacked = PageEncoder(len(values)).encode(values)
    point_to_signals(footer, [Chunk(4, len(header) + len(body), unpacked, 1)], len(values), 0)
    content = write_struct(footer)
    path.write_bytes(MAGIC + header + body + content + len(content).to_bytes(4, "little") + MAGIC)


@settings(max_examples=150, deadline=None)
@given(values=arrays(np.int16, st.integers(1, 700), elements=st.integers(-32768, 32767)))
def test_any_values_come_back(values: npt.NDArray[np.int16], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "column.parquet"
    column_file(path, values)
    read = pq.read_table(path)["signal"].combine_chunks().to_numpy_ndarray()[0]
    np.testing.assert_array_equal(read, values)


@pytest.mark.parametrize("n_values", [1, 2, 32, 33, 34, 128, 129, 130, 161, 257, 60000])
@pytest.mark.parametrize("kind", ["zero", "alternating extremes", "ramp"])
def test_block_ends_and_widest_differences(tmp_path: Path, n_values: int, kind: str) -> None:
    values = {
        "zero": np.zeros(n_values, np.int16),
        "alternating extremes": np.where(np.arange(n_values) % 2, -32768, 32767).astype(np.int16),
        "ramp": (np.arange(n_values) % 30000).astype(np.int16),
    }[kind]
    column_file(tmp_path / "column.parquet", values)
    read = pq.read_table(tmp_path / "column.parquet")["signal"].combine_chunks().to_numpy_ndarray()[0]
    np.testing.assert_array_equal(read, values)


def test_a_page_encoded_after_another_holds_nothing_of_it() -> None:
    random = np.random.default_rng(0)
    wide, narrow = random.integers(-32768, 32767, 999, np.int16), random.integers(-3, 3, 999, np.int16)
    used, new = PageEncoder(999), PageEncoder(999)
    used.encode(wide)
    assert used.encode(narrow) == new.encode(narrow)


def write(path: Path, n_records: int) -> tuple[list[dict[str, object]], npt.NDArray[np.int16]]:
    random = np.random.default_rng(n_records)
    signals = random.normal(0, 300, (n_records, 12, LENGTH)).astype(np.int16)
    rows: list[dict[str, object]] = [
        {
            "record_id": f"r{index}", "patient_id": f"p{index // 2}", "cohort": "zzu", "split": "train",
            "age_days": None if index % 3 else index, "sex": None if index % 5 else "F", "labels": ["AF"] * (index % 2),
        }
        for index in range(n_records)
    ]  # fmt: skip
    with ShardWriter(path, LENGTH) as writer:
        for row, signal in zip(rows, signals, strict=True):
            quality = {name: float(random.uniform()) for name in QUALITY}
            writer.add(row, Conditioned(signal, np.ones(12, np.uint8), LENGTH, quality))
    return rows, signals


@pytest.mark.parametrize("n_records", [1, 255, 256, 257, 700])
def test_file_is_what_pyarrow_would_write(tmp_path: Path, n_records: int) -> None:
    """Equal tables through each way pyarrow reads, with any number of row groups."""
    path = tmp_path / "shard.parquet"
    rows, signals = write(path, n_records)
    table = pq.read_table(path)
    assert table.schema.equals(schema(LENGTH))
    np.testing.assert_array_equal(table["signal"].combine_chunks().to_numpy_ndarray(), signals)
    for name in ("record_id", "age_days", "sex", "labels"):
        assert table[name].to_pylist() == [row[name] for row in rows]
    pq.write_table(table, tmp_path / "pyarrow.parquet", row_group_size=256, **writer_options())
    theirs = pq.ParquetFile(tmp_path / "pyarrow.parquet")
    ours = pq.ParquetFile(path)
    assert theirs.read().equals(ours.read())
    assert ours.num_row_groups == theirs.num_row_groups
    for group in range(ours.num_row_groups):
        assert ours.read_row_group(group).equals(theirs.read_row_group(group))
        for column in range(ours.metadata.num_columns):
            mine, other = (file.metadata.row_group(group).column(column) for file in (ours, theirs))
            assert (mine.path_in_schema, mine.num_values) == (other.path_in_schema, other.num_values)
            assert mine.compression == other.compression == "ZSTD"
    assert path.stat().st_size < 1.05 * (tmp_path / "pyarrow.parquet").stat().st_size + 500
    only = pa.dataset.dataset(path).to_table(columns=["signal"], filter=pa.dataset.field("record_id") == "r0")
    np.testing.assert_array_equal(only["signal"].combine_chunks().to_numpy_ndarray()[0], signals[0])
    assert pq.read_table(path, columns=["sex"]).num_rows == n_records


def test_columns_are_read_without_the_signals(tmp_path: Path) -> None:
    """Column pruning: a file whose signal pages are overwritten still gives all other columns, and no signal."""
    path = tmp_path / "shard.parquet"
    rows, _ = write(path, 300)
    signal = pq.ParquetFile(path).metadata.row_group(0).column(schema(LENGTH).names.index("signal"))
    content = bytearray(path.read_bytes())
    start, size = signal.data_page_offset, signal.total_compressed_size
    content[start : start + size] = b"\xff" * size
    path.write_bytes(bytes(content))
    assert pq.read_table(path, columns=["record_id"])["record_id"].to_pylist() == [row["record_id"] for row in rows]
    with pytest.raises((OSError, ValueError)):
        pq.read_table(path, columns=["signal"])


def test_footers_survive_reading_and_writing() -> None:
    """Thrift: what pyarrow wrote comes out again to the last byte."""
    out = io.BytesIO()
    pq.write_table(pa.table({f"c{n}": [n, None] for n in range(40)} | {"text": ["x" * 300, "y"]}), out)
    raw = out.getvalue()
    length = int.from_bytes(raw[-8:-4], "little")
    footer = raw[-8 - length : -8]
    assert write_struct(read_struct(footer)) == footer


def write_half(path: Path) -> None:
    with ShardWriter(path, LENGTH) as writer:
        writer.add({}, Conditioned(np.zeros((12, LENGTH), np.int16), np.ones(12, np.uint8), LENGTH, {}))
        raise RuntimeError("stop")


def test_an_error_leaves_no_whole_file(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="stop"):
        write_half(tmp_path / "shard.parquet")
    with pytest.raises(pa.ArrowInvalid):
        pq.read_table(tmp_path / "shard.parquet")
