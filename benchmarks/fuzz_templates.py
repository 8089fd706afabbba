"""Sound recordings and trees, for benchmarks/fuzz.py to damage."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests"))

import numpy as np
import wfdb
from cohort_tables import (
    mimic_measurement,
    mimic_record,
    mimic_tree,
    ptbxl_row,
    ptbxl_tree,
    zzu_row,
    zzu_tree,
)
from wfdb_files import LEADS, heartbeats, write_digital, write_record

ROWS = 4


def write_templates(place: Path, seed: int) -> list[str]:
    """Sound records of the kinds that the cohorts consist of, and of those that only wfdb reads."""
    write_record(place / "ptbxl" / "r", seconds=6, rate=250, seed=seed)
    nine = [name for name in LEADS if name not in ("V2", "V4", "V6")]
    beats = np.rint(heartbeats(1500, 250, nine, seed) * 4000).astype(np.int64)
    gains = [f"{4000.25 + index}(-{100 + index})/mV" for index in range(9)]
    write_digital(place / "zzu9" / "r", beats, nine, "250", 16, gains)
    for form in (24, 212):
        digital = np.rint(heartbeats(1500, 250, seed=seed) * 500).astype(np.int64)
        write_digital(place / f"format{form}" / "r", digital, LEADS, "250", form, ["500(0)/mV"])
    (place / "flac").mkdir()
    wfdb.wrsamp(
        "r",
        250,
        ["mV"] * 12,
        list(LEADS),
        heartbeats(1500, 250, seed=seed),
        fmt=["516"] * 12,
        write_dir=str(place / "flac"),
    )
    (place / "flac" / "r_1.dat").rename(place / "flac" / "r.dat")  # FLAC holds eight leads at most: two files
    header = place / "flac" / "r.hea"
    header.write_text(header.read_text().replace("r_1.dat", "r.dat"))
    return sorted(path.name for path in place.iterdir())


def write_trees(place: Path) -> None:
    """A small tree of each cohort: four records with their recordings."""
    numbers = range(1, ROWS + 1)
    ptbxl_tree(place / "ptbxl", [ptbxl_row(str(number)) for number in numbers])
    zzu_tree(place / "zzu", [zzu_row(f"P0000{number}_E01", AHA_code="'A1';'L147'") for number in numbers])
    (place / "zzu" / "ECGCode.csv").write_text("Description,AHA(Category&Code),CHN(Category&Code)\nNormal,A1,A1\n")
    records = [mimic_record(f"1000000{number}", f"4000000{number}") for number in numbers]
    lines = [mimic_measurement(f"1000000{n}", f"4000000{n}", ["LVH, with strain", "RBBB"]) for n in numbers]
    mimic_tree(place / "mimic", records, lines)
    for number in numbers:
        study = f"1000/p1000000{number}/s4000000{number}/4000000{number}"
        write_record(place / "mimic" / "files" / f"p{study}", seconds=4, rate=250)
        write_record(place / "ptbxl" / "records500" / "00000" / f"0000{number}_hr", seconds=4, rate=250)
        write_record(place / "zzu" / "Child_ecg" / "P00" / f"P0000{number}" / f"P0000{number}_E01", seconds=4, rate=250)
