"""Training batches streamed from shards, for training sets that a worker cannot hold.

Each epoch puts the row groups of all shards in a new order and gives every rank a run of them, to the record: each
record comes exactly once whatever the number of ranks. A rank shuffles its run within windows of a thousand records,
which is enough since shards are mixed by a hash when they are written. All of it follows from (seed, epoch, rank), so a
resumed epoch skips the windows before its first step without reading them.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from peace.core.errors import DataError
from peace.core.storage import is_remote, opened
from peace.data.shards import ShardSet
from peace.data.shards.codec import decode_into
from peace.data.shards.schema import ROW_GROUP
from peace.data.signal import LEADS
from peace.training.batches import Batch, split_batches

COLUMNS = ["record_id", "signal", "lead_mask", "labels", "doubtful", "age_days"]
WINDOW = 1024  # records: 120 MB at 500 Hz; one is trained on while the next is read
READERS = 2  # threads that unpack a window's row groups; one does 5,000 to 6,000 records of 500 Hz a second


class RowRange(NamedTuple):
    """Some rows of one shard, within one row group."""

    file: Path
    start: int
    rows: int


@dataclass(frozen=True)
class ShuffleBuffer:
    """Shuffled records of a window; the arrays are filled when all `reading` is done."""

    record_id: npt.NDArray[np.object_]
    signal: npt.NDArray[np.int16]
    lead_mask: npt.NDArray[np.uint8]
    target: npt.NDArray[np.uint8]
    age_days: npt.NDArray[np.float32]
    reading: list[Future[None]]

    def after(self, skip: int) -> ShuffleBuffer:
        """All but the first `skip` records."""
        rows = slice(skip, None)
        record_id, signal, lead_mask, target, age_days = (column[rows] for column in self.columns)
        return ShuffleBuffer(record_id, signal, lead_mask, target, age_days, self.reading)

    @property
    def columns(self) -> tuple[np.ndarray, ...]:
        """All but the reading, in the order of Batch."""
        return self.record_id, self.signal, self.lead_mask, self.target, self.age_days


class _Memory:
    """Room for the signals of windows, used again when neither the window nor a batch cut from it is left.

    For new memory the system takes a third of the time that unpacking does.
    """

    def __init__(self, records: int, length: int) -> None:
        self.shape = records, len(LEADS), length
        self.free: list[npt.NDArray[np.int16]] = []

    def lend(self, count: int) -> npt.NDArray[np.int16]:
        """(count, 12, T), its values undefined; `count` is at most `records`."""
        room = self.free.pop() if self.free else np.empty(self.shape, np.int16)
        lent = np.frombuffer(room.data, np.int16)  # every view of it keeps it, and it alone keeps the room
        weakref.finalize(lent, self.free.append, room).atexit = False
        return lent.reshape(self.shape)[:count]


class StreamSource:
    """Batches of one rank, read from the training shards while it trains; each record comes once an epoch."""

    def __init__(
        self, shards: ShardSet, batch_size: int, seed: int, rank: int = 0, world: int = 1, window: int = WINDOW
    ) -> None:
        self.shards = shards
        self.seed = seed
        self.rank = rank
        self.window = window
        self.sizes = split_batches(shards.splits["train"], batch_size, world)
        self.steps = len(self.sizes)
        largest = min(int(self.sizes[:, rank].sum()), window + ROW_GROUP)
        self.memory = _Memory(largest, shards.length)
        rows = {item["path"]: int(item["rows"]) for item in shards.manifest["shards"]}
        self.pieces = [
            RowRange(file, start, min(ROW_GROUP, rows[f"train/{file.name}"] - start))
            for file in shards.files("train")
            for start in range(0, rows[f"train/{file.name}"], ROW_GROUP)
        ]

    def epoch(self, number: int, first_step: int = 0) -> Iterator[Batch]:
        """Batches in an order of (seed, epoch, rank). Raises DataError for a shard that cannot be read."""
        own = self.sizes[:, self.rank]
        cut = Rebatcher(self._windows(number, int(own[:first_step].sum())))
        try:
            for step in range(first_step, self.steps):
                yield cut.batch(int(own[step]), int(self.sizes[step].sum()))
        finally:
            cut.close()

    def _run(self, number: int) -> list[RowRange]:
        """The pieces of this rank, in the order of the epoch."""
        totals = self.sizes.sum(axis=0)
        start = int(totals[: self.rank].sum())
        end = start + int(totals[self.rank])
        order = np.random.default_rng([self.seed, number]).permutation(len(self.pieces))
        run, at = [], 0
        for piece in (self.pieces[index] for index in order):
            low, high = max(start - at, 0), min(end - at, piece.rows)
            if low < high:
                run.append(RowRange(piece.file, piece.start + low, high - low))
            at += piece.rows
        return run

    def _windows(self, number: int, skip: int) -> Iterator[ShuffleBuffer]:
        """Windows from the one that holds the record at `skip` of the run, less what lies before it."""
        with ThreadPoolExecutor(READERS, thread_name_prefix="shards") as pool:
            ahead: deque[ShuffleBuffer] = deque()
            try:
                for index, pieces in enumerate(_grouped(self._run(number), self.window)):
                    count = sum(piece.rows for piece in pieces)
                    if skip >= count:
                        skip -= count
                        continue
                    rng = np.random.default_rng([self.seed, number, self.rank, index])
                    ahead.append(self._read(pool, pieces, rng.permutation(count), skip))
                    skip = 0
                    if len(ahead) > 1:
                        yield _finished(ahead.popleft())
                while ahead:
                    yield _finished(ahead.popleft())
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _read(
        self, pool: ThreadPoolExecutor, pieces: Sequence[RowRange], order: np.ndarray, skip: int
    ) -> ShuffleBuffer:
        """Begin to read a window; record i of the pieces goes to place `order[i]`, places before `skip` are left."""
        count = len(order)
        window = ShuffleBuffer(
            np.empty(count, object),
            self.memory.lend(count),
            np.empty((count, len(LEADS)), np.uint8),
            np.empty((count, len(self.shards.labels)), np.uint8),
            np.empty(count, np.float32),
            [],
        )
        at = 0
        for piece in pieces:
            places = order[at : at + piece.rows]
            window.reading.append(pool.submit(self._fill, piece, window, places))
            at += piece.rows
        return window.after(skip)

    def _fill(self, piece: RowRange, window: ShuffleBuffer, places: np.ndarray) -> None:
        import pyarrow.parquet as pq

        try:
            with opened(piece.file) as source, pq.ParquetFile(source, pre_buffer=is_remote(piece.file)) as parquet:
                table = _rows(parquet, piece)
            at = 0
            for batch in table.to_batches():
                here = places[at : at + len(batch)]
                decode_into(window.signal, here, batch["signal"])
                window.lead_mask[here] = batch["lead_mask"].to_numpy_ndarray()
                at += len(batch)
        except (OSError, ValueError, KeyError) as error:  # Arrow's errors are among them
            raise DataError(f"cannot read shard {piece.file} ({error}): run `peace preprocess` again") from None
        window.record_id[places] = table["record_id"].to_pylist()
        window.target[places] = self.shards.targets(table["labels"].to_pylist(), table["doubtful"].to_pylist())
        window.age_days[places] = np.array(table["age_days"].to_pylist(), np.float32)  # None becomes NaN


class Rebatcher:
    """Batches of given sizes from windows of other sizes."""

    def __init__(self, windows: Iterator[ShuffleBuffer]) -> None:
        self.windows = windows
        self.parts: list[ShuffleBuffer] = []
        self.at = 0

    def batch(self, size: int, of_all: int) -> Batch:
        found: list[tuple[np.ndarray, ...]] = []
        missing = size
        while missing:
            if not self.parts or self.at == len(self.parts[0].record_id):
                self.parts, self.at = [], 0  # given back before the next is asked for
                self.parts = [next(self.windows)]
            window, rows = self.parts[0], slice(self.at, self.at + missing)
            found.append(tuple(column[rows] for column in window.columns))
            taken = len(found[-1][0])
            missing, self.at = missing - taken, self.at + taken
        columns = found[0] if len(found) == 1 else [np.concatenate(parts) for parts in zip(*found, strict=True)]
        record_id, signal, lead_mask, target, age_days = columns
        return Batch(record_id.astype(np.str_), signal, lead_mask, target, age_days, of_all)

    def close(self) -> None:
        self.windows.close()  # type: ignore[attr-defined]


def _grouped(pieces: Sequence[RowRange], window: int) -> Iterator[list[RowRange]]:
    """Runs of pieces of `window` records or little more."""
    group: list[RowRange] = []
    for piece in pieces:
        group.append(piece)
        if sum(part.rows for part in group) >= window:
            yield group
            group = []
    if group:
        yield group


def _finished(window: ShuffleBuffer) -> ShuffleBuffer:
    for part in window.reading:
        part.result()
    return window


def _rows(parquet: Any, piece: RowRange) -> Any:
    """The rows of a piece; those of the row groups around it are left out."""
    import pyarrow as pa

    tables, at, end = [], 0, piece.start + piece.rows
    for index in range(parquet.num_row_groups):
        rows = parquet.metadata.row_group(index).num_rows
        low, high = max(piece.start - at, 0), min(end - at, rows)
        if low < high:
            tables.append(parquet.read_row_group(index, columns=COLUMNS).slice(low, high - low))
        at += rows
    if at < end:
        raise DataError(f"shard {piece.file} holds {at} records, fewer than its manifest says: run `peace preprocess`")
    return pa.concat_tables(tables)


def fits_in_memory(shards: ShardSet, limit_mb: float) -> bool:
    """Whether the training split, as int16, is at most `limit_mb`."""
    bytes_a_record = 2 * len(LEADS) * shards.length
    return shards.splits.get("train", 0) * bytes_a_record <= limit_mb * 2**20
