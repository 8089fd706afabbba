"""Ways to store the signals of a shard, beside each other: milliseconds to write and to read, and size.

    python benchmarks/shard_formats.py [--records DIR] [--feed N] [--json FILE]

differences   int16 differences along time in a binary column, zstd level 1: what shards hold (format 3)
plain         int16 in a binary column, zstd level 1
packed        int16 as a fixed-shape tensor, DELTA_BINARY_PACKED by pyarrow, zstd level 1: what format 2 held

Processor time of one thread. The sides take turns in one process; medians, with the lowest and the highest turn.
`--records`: WFDB records (12 leads) below a folder; without it synthetic ones of 12 x 5000. `--feed N` also streams N
records of 12 x 5000 as a training does, and prints records a second of processor time.
"""

from __future__ import annotations

import argparse
import json
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

from peace.data.shards.codec import decode_signals, encode_signal
from peace.data.shards.schema import ROW_GROUP

TURNS = 9
OPTIONS: dict[str, Any] = {"compression": "zstd", "compression_level": 1, "write_statistics": False}
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
    return np.nan_to_num(np.clip(np.rint(1000 * whole), -32767, 32767)).astype(np.int16)


def write(path: Path, column: pa.Array, **options: Any) -> None:
    pq.write_table(pa.table({"signal": column}), path, use_dictionary=False, **OPTIONS, **options)


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
            lambda: write(folder / "differences", pa.array([encode_signal(one) for one in signals], pa.binary())),
            lambda: decode_signals(stored("differences"), shape),
        ),
        "plain": (
            lambda: write(folder / "plain", pa.array([one.tobytes() for one in signals], pa.binary())),
            lambda: np.frombuffer(stored("plain").buffers()[2], "<i2", signals.size).reshape(signals.shape),
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
        side: {what: [statistics.median(all_), min(all_), max(all_)] for what, all_ in kept.items()}
        | {"size": size[side]}
        for side, kept in seconds.items()
    }


def feed(records: int, folder: Path) -> float:
    """Records a second of processor time that a streamed epoch of 12 x 5000 takes, with nobody training."""
    from training_jobs import write_shards

    from peace.data.shards import ShardSet
    from peace.training.streaming import StreamSource

    source = StreamSource(ShardSet.open(write_shards(folder, records, "signal.rate=500")), 64, 0)
    rates = []
    for epoch in range(4):
        started = time.process_time()
        count = sum(len(batch.target) for batch in source.epoch(epoch))
        rates.append(count / (time.process_time() - started))
    return statistics.median(rates[1:])


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
    for side in ("differences", "plain", "packed"):
        words = [f"{what} {a:.3f} ({b:.3f} to {c:.3f})" for what, (a, b, c) in list(found[side].items())[:2]]
        print(f"{side:<12} {', '.join(words)}, {found[side]['size']:.2f} of int16")
    if args.feed:
        with tempfile.TemporaryDirectory() as folder:
            found["feed"] = feed(args.feed, Path(folder))
        print(f"training feed: {found['feed']:,.0f} records of 12 x 5000 a second of processor time")
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
