"""Manifests as `peace index` writes them, over records that a test has written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from wfdb_files import write_record


def manifest_row(record: Path, number: int, split: str = "train", **changes: object) -> dict[str, object]:
    """One row; every third record has two labels, every seventh no age."""
    row: dict[str, object] = {
        "record_id": record.name,
        "patient_id": f"patient{number}",
        "cohort": "ptbxl",
        "path": str(record),
        "age_days": None if number % 7 == 0 else 400 + number,
        "sex": "female" if number % 2 else "male",
        "n_leads": 12,
        "labels": ["LVH", "STTC"] if number % 3 == 0 else ["NORM"],
        "split": split,
        "excluded": None,
    }
    return {**row, **changes}


def write_manifest(place: Path, rows: Sequence[dict[str, object]]) -> Path:
    """Write rows as manifest.parquet."""
    table = pd.DataFrame(list(rows)).astype({"age_days": "Int64"})
    table.to_parquet(place)
    return place


def write_cohort(folder: Path, n_records: int, seconds: float = 3, first: int = 0) -> list[dict[str, object]]:
    """Records and their rows: eight of ten in train, one in val, one in test."""
    rows = []
    for number in range(first, first + n_records):
        record = write_record(folder / f"r{number:04d}", seconds=seconds, rate=250, seed=number)
        rows.append(manifest_row(record, number, {8: "val", 9: "test"}.get(number % 10, "train")))
    return rows
