"""What the splits and the data reports cost at the size of MIMIC-IV-ECG: 483,051 records of 161,352 patients.

    python benchmarks/index.py                    seconds and peak memory of each step, each in a process of its own
    python benchmarks/index.py --json FILE        the same numbers as JSON
    python benchmarks/index.py --records 20000    smaller

The records are drawn: patients have up to 165 records, labels are as frequent as PTB-XL's and come in sets. Shards
hold every column at full size but the signal, of which the report reads a few records only.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from peace.config import load_config
from peace.core.files import write_json
from peace.data.cohorts.audit import Entry, audit_frame
from peace.data.cohorts.manifest import CohortIndex, manifest_table, write_manifest
from peace.data.labels import load_label_set
from peace.data.shards import FORMAT, Recipe, schema
from peace.data.shards.codec import encode_signals
from peace.data.signal import LEADS, QUALITY
from peace.data.splits import check_patients, split_patients
from peace.reports.data import write_index_report, write_shard_report

RECORDS, PATIENTS, MOST = 483_051, 161_352, 165
SHARD_ROWS = 1067
STRINGS = 20_000
PREVALENCE = (0.44, 0.08, 0.05, 0.025, 0.02, 0.02, 0.005, 0.1, 0.006, 0.2, 0.15, 0.03)
LABELS = load_label_set("peace12")
SIGNAL = {"rate": 10, "seconds": 10.0}


def drawn(records: int) -> CohortIndex:
    """An index of kept records."""
    generator = np.random.default_rng(0)
    patients = max(1, round(records * PATIENTS / RECORDS))
    weights = np.minimum(generator.pareto(1.3, patients) + 1, MOST)
    owner = np.concatenate(
        [np.arange(patients), generator.choice(patients, records - patients, p=weights / weights.sum())]
    )
    targets = generator.random((records, 12)) < np.array(PREVALENCE)
    targets[~targets.any(axis=1), 0] = True
    names = pd.Series(np.arange(records)).astype(str)
    frame = pd.DataFrame(
        {
            "record_id": "4" + names.str.zfill(7),
            "patient_id": pd.Series(owner).astype(str),
            "path": "files/" + names,
            "age_days": pd.Series(generator.integers(6570, 33000, records)).astype("Int64"),
            "sex": pd.Series(np.where(generator.random(records) < 0.5, "male", "female"), dtype="str"),
            "n_leads": 12,
            "excluded": pd.Series(None, index=range(records), dtype="str"),
        }
    )
    strings = [Entry("report", f"line {n}", "", 1 + n, (), "no rule", ("1",)) for n in range(STRINGS)]
    return CohortIndex("mimic", Path("/nowhere"), frame, targets, audit_frame(strings, LABELS.labels))


def split(records: int, place: Path) -> float:
    """Seconds to split by patient and to assert it; leaves manifest.parquet."""
    index = drawn(records)
    started = time.perf_counter()
    splits = split_patients(index.frame["patient_id"], index.targets, load_config("paper").split)
    check_patients(pd.DataFrame({"patient_id": index.frame["patient_id"], "split": splits}))
    seconds = time.perf_counter() - started
    write_manifest(place / "manifest.parquet", manifest_table(index, LABELS.labels, splits))
    return seconds


def index_report(records: int, place: Path) -> float:
    """Seconds to write the report of an index."""
    index, table = drawn(records), pq.read_table(place / "manifest.parquet")
    result = {"cohort": "mimic", "root": "/", "indexed": records, "kept": records, "excluded": {}, "notes": {}}
    started = time.perf_counter()
    write_index_report(place / "index", table, index.audit, LABELS, {**result, "published": None, "synthetic": False})
    return time.perf_counter() - started


def write_shards(records: int, place: Path) -> float:
    """Seconds to write the shards that the next step reads."""
    started = time.perf_counter()
    manifest = pq.read_table(place / "manifest.parquet")
    kind = schema()
    generator, written = np.random.default_rng(1), []
    for start in range(0, records, SHARD_ROWS):
        rows = manifest.slice(start, SHARD_ROWS)
        name = f"train/{start:07d}.parquet"
        (place / "shards" / "train").mkdir(parents=True, exist_ok=True)
        pq.write_table(_shard(rows, kind, generator), place / "shards" / name, row_group_size=256, compression="zstd")
        written.append({"path": name, "rows": len(rows), "sha256": name})
    config = load_config("paper", None, [f"signal.{key}={value}" for key, value in SIGNAL.items()])
    rejects = pa.table(
        {name: pa.array([], pa.string()) for name in ("record_id", "cohort", "path", "reason", "detail")}
    )
    pq.write_table(rejects, place / "rejects.parquet")
    told: dict[str, Any] = {"format": FORMAT, "labels": list(LABELS.labels), "label_set": "peace12", "shards": written}
    told |= {"label_set_digest": LABELS.digest, "splits": {"train": records, "val": 0, "test": 0}, "statistics": {}}
    recipe = Recipe(config.signal, config.leads, config.quality).as_json()
    write_json(place / "shards" / "_manifest.json", {**told, "recipe": recipe})
    return time.perf_counter() - started


def _shard(rows: pa.Table, kind: pa.Schema, generator: np.random.Generator) -> pa.Table:
    columns = []
    for item in kind:
        if item.name in rows.column_names:
            columns.append(rows[item.name].combine_chunks().cast(item.type))
        elif isinstance(item.type, pa.FixedShapeTensorType):
            values = generator.integers(1, 2000, (len(rows), *item.type.shape)).astype(
                item.type.value_type.to_pandas_dtype()
            )
            columns.append(
                pa.FixedShapeTensorArray.from_numpy_ndarray(
                    np.minimum(values, 1) if item.name == "lead_mask" else values
                )
            )
        elif item.name == "signal":
            shape = (len(LEADS), round(SIGNAL["rate"] * SIGNAL["seconds"]))
            values = generator.integers(1, 2000, (len(rows), *shape), np.int16)
            columns.append(encode_signals(values))
        elif item.name == "flags":
            columns.append(pa.array([[]] * len(rows), item.type))
        elif item.name in QUALITY:
            columns.append(pa.array(generator.gamma(2.0, 0.05, len(rows)), item.type))
        else:
            columns.append(pa.array(np.full(len(rows), 100), item.type))
    return pa.Table.from_arrays(columns, schema=kind)


def shard_report(records: int, place: Path) -> float:
    """Seconds to write the report of shards."""
    kept = pq.read_table(place / "manifest.parquet", columns=["record_id", "cohort", "path"]).to_pandas()
    started = time.perf_counter()
    write_shard_report(place, [place / "manifest.parquet"], kept, LABELS, strips=4)
    return time.perf_counter() - started


STEPS: dict[str, Callable[[int, Path], float]] = {
    "split": split,
    "index_report": index_report,
    "write_shards": write_shards,
    "shard_report": shard_report,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=RECORDS)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--step", nargs=2, metavar=("NAME", "DIR"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step:
        seconds = STEPS[args.step[0]](args.records, Path(args.step[1]))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": round(seconds, 2), "peak_mb": round(peak)}))
        return
    numbers: dict[str, Any] = {"records": args.records}
    with tempfile.TemporaryDirectory() as place:
        for name in STEPS:
            words = [sys.executable, __file__, "--records", str(args.records), "--step", name, place]
            done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
            measured = json.loads(done.stdout.splitlines()[-1])
            if name != "write_shards":
                print(f"{name.replace('_', ' '):<14}{measured['seconds']:>8.2f} s{measured['peak_mb']:>8} MB")
                numbers |= {f"{name}_{key}": value for key, value in measured.items()}
    if args.json:
        write_json(args.json, numbers)


if __name__ == "__main__":
    main()
