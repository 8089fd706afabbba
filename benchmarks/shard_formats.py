"""Ways to store the signals of a shard, beside each other: milliseconds to write and to read, and size.

    python benchmarks/shard_formats.py [--records DIR] [--feed N] [--json FILE]

differences   int16 differences along time in a binary column, zstd level 1: what shards hold (format 3)
plain         int16 in a binary column, zstd level 1
packed        int16 as a fixed-shape tensor, DELTA_BINARY_PACKED by pyarrow, zstd level 1: the encoding of format 2
planes        zigzag differences, low bytes then high bytes, in a binary column, zstd level 1

Processor time of one thread. The sides take turns in one process; medians, with the lowest and the highest turn.
`--records`: WFDB records of 12 leads below a folder, as they are on disk; without it synthetic ones of 12 x 5000.
`--feed N` also streams N of these records (over and over) as a training does, and prints records a second of processor
time, all threads together.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from peace.data.shards.codec import decode_signals, encode_signals
from peace.data.shards.schema import ROW_GROUP

TURNS, BATCH = 9, 64
OPTIONS: dict[str, Any] = {
    "compression": "zstd", "compression_level": 1, "write_statistics": False, "use_dictionary": False,
    "row_group_size": ROW_GROUP,
}  # fmt: skip
Signals = npt.NDArray[np.int16]


def signals_of(folder: Path | None) -> Signals:
    """(N, 12, T) in microvolts: up to 400 records of one length."""
    if folder is None:
        from peace.synthetic import generate

        return np.clip(np.rint(1000 * generate(ROW_GROUP, seed=42, rate=500)[0]), -32767, 32767).astype(np.int16)
    import wfdb

    found = [wfdb.rdrecord(str(path.with_suffix(""))).p_signal.T for path in sorted(folder.rglob("*.hea"))[:400]]
    longest = max(record.shape for record in found)
    whole = np.stack([record for record in found if record.shape == longest])
    return np.nan_to_num(np.clip(np.rint(1000 * whole), -32767, 32767)).astype(np.int16, order="C")


def to_planes(signal: Signals) -> bytes:
    """Differences with the sign in the lowest bit, as a plane of low bytes and one of high bytes."""
    steps = np.diff(signal, axis=1, prepend=np.int16(0))
    return np.ascontiguousarray((steps << 1 ^ steps >> 15).reshape(-1).view(np.uint8).reshape(-1, 2).T).tobytes()


def from_planes(column: pa.Array, shape: tuple[int, int]) -> Signals:
    """The records that `to_planes` gave, one after the other so that each stays in the processor's cache."""
    stored = pa.Array.from_buffers(pa.uint8(), len(column) * 2 * math.prod(shape), [None, column.buffers()[2]])
    signals = torch.empty((len(column), *shape), dtype=torch.int16)
    for record, out in zip(torch.from_dlpack(stored).view(-1, 2, *shape), signals, strict=True):
        low, high = record.to(torch.int16)
        steps = (high << 8) | low
        torch.cumsum((steps >> 1 & 0x7FFF) ^ -(steps & 1), 1, dtype=torch.int16, out=out)
    return signals.numpy()


def write(path: Path, column: pa.Array, **options: Any) -> None:
    pq.write_table(pa.table({"signal": column}), path, **OPTIONS, **options)


def sides(signals: Signals, folder: Path) -> dict[str, tuple[Callable[[], None], Callable[[], Signals]]]:
    """By name: how to write all records, and how to read them."""
    shape = signals.shape[1:]

    def stored(name: str) -> pa.Array:
        return pq.read_table(folder / name)["signal"].combine_chunks()

    def write_packed() -> None:
        column = pa.FixedShapeTensorArray.from_numpy_ndarray(signals)
        encoding = {"signal.list.element": "DELTA_BINARY_PACKED"}
        write(folder / "packed", column, column_encoding=encoding)

    return {
        "differences": (
            lambda: write(folder / "differences", encode_signals(signals)),
            lambda: decode_signals(stored("differences"), shape),
        ),
        "plain": (
            lambda: write(folder / "plain", pa.array([one.tobytes() for one in signals], pa.binary())),
            lambda: np.frombuffer(stored("plain").buffers()[2], "<i2", signals.size).reshape(signals.shape),
        ),
        "planes": (
            lambda: write(folder / "planes", pa.array([to_planes(one) for one in signals], pa.binary())),
            lambda: from_planes(stored("planes"), shape),
        ),
        "packed": (write_packed, lambda: stored("packed").to_numpy_ndarray()),
    }


def measure(signals: Signals) -> dict[str, dict[str, Any]]:
    """Milliseconds a record of each side, and its share of the size of int16."""
    seconds: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as name:
        ways = sides(signals, Path(name))
        for turn in range(TURNS + 1):
            for side, (writer, reader) in ways.items():
                kept = seconds.setdefault(side, {"write": [], "read": []})
                for what, run in (("write", writer), ("read", reader)):
                    started = time.process_time()
                    found = run()
                    if turn:  # the first warms up
                        kept[what].append(1000 * (time.process_time() - started) / len(signals))
                if not np.array_equal(found, signals):
                    raise SystemExit(f"{side} does not return what was written")
        size = {side: (Path(name) / side).stat().st_size / signals.nbytes for side in ways}
    return {
        side: {what: summary(times) for what, times in kept.items()} | {"size": size[side]}
        for side, kept in seconds.items()
    }


def feed(signals: Signals, records: int, folder: Path) -> list[float]:
    """Records a second of processor time of a streamed epoch with nobody training: median, lowest, highest."""
    from training_jobs import write_shards

    from peace.data.shards import ShardSet
    from peace.training.streaming import StreamSource

    size = ["signal.rate=500", f"signal.seconds={signals.shape[2] / 500}"]
    source = StreamSource(ShardSet.open(write_shards(folder, records, *size, recordings=signals)), BATCH, 0)
    rates = []
    for epoch in range(TURNS + 1):
        started = time.process_time()
        count = sum(len(batch.target) for batch in source.epoch(epoch))
        rates.append(count / (time.process_time() - started))
    return summary(rates[1:])


def summary(values: list[float]) -> list[float]:
    """Median, lowest and highest."""
    return [statistics.median(values), min(values), max(values)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=Path, metavar="DIR", help="WFDB records to store")
    parser.add_argument("--feed", type=int, default=0, metavar="N", help="stream N records too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    args = parser.parse_args()
    pa.set_cpu_count(1)
    torch.set_num_threads(1)
    signals = signals_of(args.records)
    found: dict[str, Any] = {"records": list(signals.shape), **measure(signals)}
    print(f"{len(signals)} records of {signals.shape[1]} x {signals.shape[2]}, ms a record: median (lowest to highest)")
    for side in ("differences", "plain", "packed", "planes"):
        words = [f"{what} {a:.3f} ({b:.3f} to {c:.3f})" for what, (a, b, c) in list(found[side].items())[:2]]
        print(f"{side:<12} {', '.join(words)}, {found[side]['size']:.2f} of int16")
    if args.feed:
        with tempfile.TemporaryDirectory() as folder:
            found["feed"] = feed(signals, args.feed, Path(folder))
        words = "training feed: {:,.0f} ({:,.0f} to {:,.0f}) records a second of processor time"
        print(words.format(*found["feed"]))
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
