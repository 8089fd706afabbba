"""The part of preprocessing that is our own code instead of a library's, beside the library, in one go.

    python benchmarks/preprocess_parts.py

filter: `peace.data.signal.filters.zero_phase` and `scipy.signal.sosfiltfilt`, a cascade of four sections over 10 s
of twelve leads at 500 Hz. Processor time of one thread; the sides take turns, and medians count. The recordings are
synthetic. What shards cost to write is in benchmarks/shard_formats.py.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy import signal

from peace.data.shards.schema import ROW_GROUP
from peace.data.signal import LEADS
from peace.data.signal.filters import cascade, reflection, zero_phase
from peace.synthetic import generate

ROUNDS, RATE = 7, 500


def in_turns(ours: Callable[[], Any], theirs: Callable[[], Any]) -> tuple[float, float]:
    """Milliseconds a record of both sides; the first turn compiles and does not count."""
    seconds: list[list[float]] = [[], []]
    for _ in range(ROUNDS + 1):
        for side, run in enumerate((ours, theirs)):
            started = time.process_time()
            run()
            seconds[side].append(time.process_time() - started)
    mine, other = (1000 * statistics.median(turns[1:]) / ROW_GROUP for turns in seconds)
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

    return in_turns(ours, theirs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    args = parser.parse_args()
    records, _, _ = generate(ROW_GROUP, seed=42, rate=RATE)
    found = {"filter": filters(records)}
    for name, (mine, other) in found.items():
        print(f"{name}: {mine:.3f} ms a record, the library {other:.3f} ms: {other / mine:.1f} x")
    if args.json:
        rows = {name: {"ours_ms": mine, "library_ms": other} for name, (mine, other) in found.items()}
        args.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
