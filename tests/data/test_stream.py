"""Streaming from shards: each record once an epoch on any number of ranks, and on from any step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peace.core.errors import DataError
from peace.core.files import write_json
from peace.data.shards import FORMAT, ShardSet, schema
from peace.data.shards.codec import encode_signals
from peace.training.batches import Batch
from peace.training.streaming import StreamSource

ROWS = (300, 7, 256, 41)
LENGTH = 20


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    """Training shards whose signal, mask and labels say which record they are of."""
    place = tmp_path_factory.mktemp("shards")
    (place / "train").mkdir()
    kind, number = schema(), 0
    for shard, rows in enumerate(ROWS):
        found = range(number, number + rows)
        columns = {
            "record_id": [f"r{i}" for i in found],
            "age_days": pa.array([i if i % 2 else None for i in found], pa.int64()),
            "labels": [["A"] if i % 3 else ["B", "A"] for i in found],
            "doubtful": pa.array([[] for _ in found], pa.list_(pa.string())),
            "signal": encode_signals([np.full((12, LENGTH), i, np.int16) for i in found]),
            "lead_mask": pa.ExtensionArray.from_storage(
                kind.field("lead_mask").type,
                pa.FixedSizeListArray.from_arrays(np.repeat((np.array(found) % 2).astype(np.uint8), 12), 12),
            ),
        }
        pq.write_table(pa.table(columns), place / "train" / f"part-{shard}.parquet", row_group_size=256)
        number += rows
    entries = [{"path": f"train/part-{i}.parquet", "rows": rows, "sha256": ""} for i, rows in enumerate(ROWS)]
    manifest = {"format": FORMAT, "labels": ["A", "B"], "splits": {"train": sum(ROWS)}, "shards": entries}
    write_json(place / "_manifest.json", manifest | {"recipe": {"signal": {"rate": 2, "seconds": LENGTH / 2}}})
    return ShardSet.open(place)


def ids(batches: list[Batch]) -> list[list[str]]:
    return [batch.record_id.tolist() for batch in batches]


def check(batch: Batch) -> None:
    number = np.array([int(name[1:]) for name in batch.record_id])
    assert (batch.signal == number[:, None, None]).all()
    assert (batch.lead_mask == number[:, None] % 2).all()
    assert np.array_equal(batch.age_days, np.where(number % 2, number, np.nan), equal_nan=True)
    assert (batch.target == np.stack([np.ones_like(number), number % 3 == 0], axis=1)).all()


@settings(deadline=None, max_examples=25)
@given(batch=st.integers(1, 200), world=st.integers(1, 5), window=st.integers(1, 700), first=st.floats(0, 1))
def test_each_record_once_and_on_from_any_step(
    shards: ShardSet, batch: int, world: int, window: int, first: float
) -> None:
    seen: list[str] = []
    for rank in range(world):
        source = StreamSource(shards, batch, 1, rank, world, window)
        found = list(source.epoch(0))
        assert [len(item.record_id) for item in found] == source.sizes[:, rank].tolist()
        assert [item.of_all for item in found] == source.sizes.sum(axis=1).tolist()
        for item in found:
            check(item)
        step = round(first * source.steps)
        assert ids(list(source.epoch(0, step))) == ids(found)[step:]
        seen += [name for names in ids(found) for name in names]
    assert sorted(seen) == sorted(f"r{number}" for number in range(sum(ROWS)))


def test_the_order_is_of_seed_and_epoch_and_mixes_shards(shards: ShardSet) -> None:
    first, again, other = (ids(list(StreamSource(shards, 64, seed, window=500).epoch(0))) for seed in (1, 1, 2))
    assert first == again != other
    assert first != ids(list(StreamSource(shards, 64, 1, window=500).epoch(1)))
    numbers = np.array([int(name[1:]) for name in first[0]])
    assert len(np.unique(np.searchsorted(np.cumsum(ROWS), numbers, side="right"))) > 1


def test_memory_is_used_again_when_its_batches_are_gone(shards: ShardSet) -> None:
    source = StreamSource(shards, 16, 1, window=100)
    kept = []
    for number, batch in enumerate(source.epoch(0)):
        check(batch)
        if number % 20 == 0:
            kept.append(batch)
    del batch
    rooms = len(source.memory.free)
    assert rooms <= 3  # of at least 6 windows
    for batch in kept:  # nothing was written over what is still held
        check(batch)
    kept.clear()
    del batch
    assert rooms < len(source.memory.free) <= rooms + 2


def test_an_epoch_left_in_the_middle_and_a_shard_that_is_broken(shards: ShardSet, tmp_path: Path) -> None:
    batches = StreamSource(shards, 16, 1, window=100).epoch(0)
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    (tmp_path / "train").mkdir()
    for file in [shards.path / "_manifest.json", *shards.files("train")]:
        (tmp_path / file.relative_to(shards.path)).write_bytes(file.read_bytes())
    broken = tmp_path / "train" / "part-2.parquet"
    broken.write_bytes(broken.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"part-2\.parquet"):
        list(StreamSource(ShardSet.open(tmp_path), 16, 1).epoch(0))


def test_a_signal_of_another_length_names_its_shard(shards: ShardSet, tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    for file in [shards.path / "_manifest.json", *shards.files("train")]:
        (tmp_path / file.relative_to(shards.path)).write_bytes(file.read_bytes())
    broken = tmp_path / "train" / "part-1.parquet"
    table = pq.read_table(broken, partitioning=None)
    signals = [value[: (-1 if row == 3 else None)] for row, value in enumerate(table["signal"].to_pylist())]
    at = table.schema.get_field_index("signal")
    pq.write_table(table.set_column(at, "signal", pa.array(signals, pa.binary())), broken)
    opened = ShardSet.open(tmp_path)
    told = r"part-1\.parquet \(a signal is not 12 leads of 20 samples\): run `peace preprocess` again"
    with pytest.raises(DataError, match=told):
        list(StreamSource(opened, 16, 1).epoch(0))
    table = pq.read_table(broken, partitioning=None)
    pq.write_table(table.append_column("patient_id", table["record_id"]), broken)
    with pytest.raises(DataError, match=told):
        opened.read([broken])
