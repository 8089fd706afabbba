"""The two parts of preprocessing that are our own code instead of a library's, each beside the library, in one go.

    python benchmarks/preprocess_parts.py

filter: `peace.data.signal.filters.zero_phase` and `scipy.signal.sosfiltfilt`, a cascade of four sections over 10 s
of twelve leads at 500 Hz. writer: `peace.data.shards.writer.ShardWriter` and pyarrow's own Parquet writer with the
options of a shard.
Processor time of one thread; the sides take turns, and the best of their rounds counts. The recordings are synthetic.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import signal

from peace.data.shards.schema import ROW_GROUP, writer_options
from peace.data.shards.writer import ShardWriter
from peace.data.signal import LEADS, QUALITY, Conditioned
from peace.data.signal.filters import cascade, reflection, zero_phase
from peace.synthetic import generate

ROUNDS, RATE = 7, 500


def best_of_turns(ours: Callable[[], Any], theirs: Callable[[], Any]) -> tuple[float, float]:
    """Milliseconds a record of both sides; the first turn compiles and does not count."""
    seconds: list[list[float]] = [[], []]
    for _ in range(ROUNDS + 1):
        for side, run in enumerate((ours, theirs)):
            started = time.process_time()
            run()
            seconds[side].append(time.process_time() - started)
    mine, other = (1000 * min(turns[1:]) / ROW_GROUP for turns in seconds)
    return mine, other


def filters(records: np.ndarray) -> tuple[float, float]:
    """(records, 12, samples) in mV through both filters."""
    sections, n_samples = np.array(cascade(RATE, 0.5, 100.0, 60.0)), records.shape[2]
    reach = reflection(n_samples, RATE)
    columns = [np.ascontiguousarray(record.T, np.float64) for record in records]
    room = np.empty((n_samples + 2 * reach, len(LEADS)))

    def ours() -> None:
        for column in columns:
            room[reach : reach + n_samples] = column
            zero_phase(room, reach, sections)

    def theirs() -> None:
        for column in columns:
            signal.sosfiltfilt(sections, column, axis=0, padlen=reach)

    return best_of_turns(ours, theirs)


def writers(records: np.ndarray, folder: Path) -> tuple[float, float]:
    """The same rows through both writers; both files must hold the same table."""
    whole = np.clip(np.rint(1000 * records), -32767, 32767).astype(np.int16)
    row = {"patient_id": "p", "cohort": "mimic", "split": "train", "age_days": 9000, "sex": "male", "labels": ["NORM"]}
    mask, quality = np.ones(len(LEADS), np.uint8), dict.fromkeys(QUALITY, 0.0)
    first, second = folder / "ours.parquet", folder / "pyarrow.parquet"

    def ours() -> None:
        with ShardWriter(first, records.shape[2]) as writer:
            for number, values in enumerate(whole):
                writer.add({**row, "record_id": str(number)}, Conditioned(values, mask, records.shape[2], quality))

    ours()
    table: pa.Table = pq.read_table(first)
    found = best_of_turns(ours, lambda: pq.write_table(table, second, row_group_size=ROW_GROUP, **writer_options()))
    if not pq.read_table(first).equals(pq.read_table(second)):
        raise SystemExit("the two writers left different tables")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    args = parser.parse_args()
    records, _, _ = generate(ROW_GROUP, seed=42, rate=RATE)
    found = {"filter": filters(records)}
    with tempfile.TemporaryDirectory() as folder:
        found["writer"] = writers(records, Path(folder))
    for name, (mine, other) in found.items():
        print(f"{name}: {mine:.3f} ms a record, the library {other:.3f} ms: {other / mine:.1f} x")
    if args.json:
        rows = {name: {"ours_ms": mine, "library_ms": other} for name, (mine, other) in found.items()}
        args.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
