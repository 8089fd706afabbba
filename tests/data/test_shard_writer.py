"""The signal column: any int16 values come back, any Parquet reader takes the file, columns are read without it."""

from __future__ import annotations

import re
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

from peace.data.shards.codec import decode_signals, encode_signals
from peace.data.shards.schema import ROW_GROUP, schema
from peace.data.shards.writer import ShardWriter
from peace.data.signal import QUALITY, Conditioned

LENGTH = 150
PROJECT = Path(__file__).parents[2]


@settings(max_examples=150, deadline=None)
@given(signals=arrays(np.int16, st.tuples(st.integers(0, 4), st.just(12), st.integers(1, 90))))
def test_any_values_come_back(signals: npt.NDArray[np.int16]) -> None:
    column = encode_signals(signals)
    np.testing.assert_array_equal(decode_signals(column, signals.shape[1:]), signals)
    part = column.slice(len(signals) // 2)
    np.testing.assert_array_equal(decode_signals(part, signals.shape[1:]), signals[len(signals) // 2 :])


def test_differences_wider_than_sixteen_bits_come_back() -> None:
    signal = np.where(np.arange(60) % 2, -32768, 32767).astype(np.int16).reshape(12, 5)
    decoded = decode_signals(encode_signals([signal]), (12, 5))
    np.testing.assert_array_equal(decoded[0], signal)


@pytest.mark.parametrize("values", [[b"12"], [None], [b"\0" * 120, b"\0" * 118]])
def test_a_signal_of_another_length_is_refused(values: list[bytes | None]) -> None:
    with pytest.raises(ValueError, match="is not 12 leads of 5 samples"):
        decode_signals(pa.array(values, pa.binary()), (12, 5))


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
    with ShardWriter(path) as writer:
        for row, signal in zip(rows, signals, strict=True):
            quality = {name: float(random.uniform()) for name in QUALITY}
            writer.add(row, Conditioned(signal, np.ones(12, np.uint8), LENGTH, quality))
    return rows, signals


@pytest.mark.parametrize("n_records", [1, 255, 256, 257, 700])
def test_a_shard_holds_what_was_added(tmp_path: Path, n_records: int) -> None:
    """Through each way pyarrow reads, with any number of row groups."""
    path = tmp_path / "shard.parquet"
    rows, signals = write(path, n_records)
    table = pq.read_table(path)
    assert table.schema.equals(schema())
    np.testing.assert_array_equal(decode_signals(table["signal"].combine_chunks(), (12, LENGTH)), signals)
    for name in ("record_id", "age_days", "sex", "labels"):
        assert table[name].to_pylist() == [row[name] for row in rows]
    file = pq.ParquetFile(path)
    assert file.num_row_groups == -(-n_records // ROW_GROUP)
    assert {file.metadata.row_group(0).column(index).compression for index in range(len(schema()))} == {"ZSTD"}
    only = pa.dataset.dataset(path).to_table(columns=["signal"], filter=pa.dataset.field("record_id") == "r0")
    np.testing.assert_array_equal(decode_signals(only["signal"].combine_chunks(), (12, LENGTH))[0], signals[0])
    assert pq.read_table(path, columns=["sex"]).num_rows == n_records


def test_long_records_make_smaller_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Arrow can address in one group holds a few hundred records of ten seconds, but not of half an hour."""
    monkeypatch.setattr("peace.data.shards.writer.LARGEST_GROUP", 12 * LENGTH * 2 * 3)
    path = tmp_path / "shard.parquet"
    _, signals = write(path, 7)
    metadata = pq.read_metadata(path)
    assert [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)] == [3, 3, 1]
    np.testing.assert_array_equal(decode_signals(pq.read_table(path)["signal"].combine_chunks(), (12, LENGTH)), signals)


def test_columns_are_read_without_the_signals(tmp_path: Path) -> None:
    """Column pruning: a file whose signal pages are overwritten still gives all other columns, and no signal."""
    path = tmp_path / "shard.parquet"
    rows, _ = write(path, 300)
    content = bytearray(path.read_bytes())
    for group in range(2):
        signal = pq.ParquetFile(path).metadata.row_group(group).column(schema().names.index("signal"))
        start, size = signal.data_page_offset, signal.total_compressed_size
        content[start : start + size] = b"\xff" * size
    path.write_bytes(bytes(content))
    assert pq.read_table(path, columns=["record_id"])["record_id"].to_pylist() == [row["record_id"] for row in rows]
    with pytest.raises((OSError, ValueError)):
        pq.read_table(path, columns=["signal"])


def test_the_page_reads_a_shard_as_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/preprocessing.md reads a shard in three lines of pyarrow and numpy."""
    (tmp_path / "DIR" / "shards" / "train").mkdir(parents=True)
    _, signals = write(tmp_path / "DIR" / "shards" / "train" / "shard.parquet", 3)
    page = (PROJECT / "docs" / "preprocessing.md").read_text(encoding="utf-8")
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "cumsum" in block)
    lines = [line for line in code.splitlines() if line and not line.startswith("import")]
    assert len(lines) == 3
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(code, names)
    np.testing.assert_array_equal(names["signal"], signals)


def write_half(path: Path) -> None:
    with ShardWriter(path) as writer:
        writer.add({}, Conditioned(np.zeros((12, LENGTH), np.int16), np.ones(12, np.uint8), LENGTH, {}))
        raise RuntimeError("stop")


def test_an_error_leaves_no_whole_file(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="stop"):
        write_half(tmp_path / "shard.parquet")
    with pytest.raises(pa.ArrowInvalid):
        pq.read_table(tmp_path / "shard.parquet")
