"""A tree in the layout of MIMIC-IV-ECG 1.0, with machine report lines in both cart vocabularies."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from peace.synthetic.conditions import Conditions
from peace.synthetic.simulate import Simulated
from peace.synthetic.wfdb_files import to_digital, write_record

# MIMIC stores aVF before aVL
STORED = ("I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6")
ORDER = [0, 1, 2, 3, 5, 4, 6, 7, 8, 9, 10, 11]
REPORTS = 18
MEASUREMENTS = (
    "subject_id", "study_id", "cart_id", "ecg_time", *(f"report_{line}" for line in range(REPORTS)), "bandwidth",
    "filtering", "rr_interval", "p_onset", "p_end", "qrs_onset", "qrs_end", "t_end", "p_axis", "qrs_axis", "t_axis",
)  # fmt: skip
RECORDS = ("subject_id", "study_id", "file_name", "ecg_time", "path")

_LINES = Path(__file__).with_name("report_lines.yaml")


def write_batch(
    root: Path, batch: Simulated, patients: list[int], numbers: list[int], index: list[int]
) -> list[dict[str, Any]]:
    """Write the recordings and give each one's rows of record_list.csv and machine_measurements.csv.

    Raises OSError as the disk does.
    """
    rows = []
    for row, (patient, number, place) in enumerate(zip(patients, numbers, index, strict=True)):
        rng = batch.streams[row]
        subject, study = 10_000_000 + (patient * 7919 + 13) % 8_999_993, 40_000_000 + (place * 104_729 + 7) % 9_999_991
        moment = datetime(2110, 1, 1) + timedelta(
            days=int(patient * 37 % 30000) + 41 * number, minutes=int(rng.integers(1440))
        )
        folder = f"files/p{subject // 10000}/p{subject}/s{study}"
        digital = _damaged(to_digital(batch.signals[row][ORDER], 200.0), rng)
        write_record(
            root / folder, str(study), 500, STORED, digital, ["200.0(0)/mV"] * 12,
            moment.strftime("%H:%M:%S %d/%m/%Y"), [f"<subject_id>: {subject}"],
        )  # fmt: skip
        time = moment.strftime("%Y-%m-%d %H:%M:%S")
        lines = report(batch.conditions, row, rng)
        rows.append(
            {
                "record_id": str(study),
                "patient_id": str(subject),
                "tables": {
                    "record_list.csv": [subject, study, study, time, f"{folder}/{study}"],
                    "machine_measurements.csv": [
                        subject, study, 6_800_000 + int(rng.integers(40)), time, *lines, "0.005-150 Hz",
                        "60 Hz notch Baseline filter", *_measured(batch, row, rng),
                    ],
                },
            }
        )  # fmt: skip
    return rows


def report(has: Conditions, row: int, rng: np.random.Generator) -> list[str]:
    """Eighteen report columns of one of the two carts; blanks may stand before filled ones."""
    known = _phrases()
    cart = "second" if rng.random() < 0.4 else "first"
    present = {name for name in has.severity if has.read(name)[row]}
    lines = [next((line for name, line in known["rhythms"].items() if name in present), known["rhythms"]["none"])]
    waiting = present - set(known["silent_when_normal"]) if has.normal[row] else set(present)
    for finding in known["findings"]:
        if finding[cart] and waiting.issuperset(finding["states"]):
            lines.append(str(rng.choice(finding[cart])))
            waiting -= set(finding["states"])
    lines.append("Normal ECG" if has.normal[row] else "Abnormal ECG" if len(lines) > 1 else "Borderline ECG")
    if rng.random() < 0.3:
        lines = [line + "." for line in lines]
    if rng.random() < 0.05:
        lines.insert(int(rng.integers(1, len(lines) + 1)), "")
    return (lines + [""] * REPORTS)[:REPORTS]


@cache
def _phrases() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(_LINES.read_text(encoding="utf-8"))
    return found


def _measured(batch: Simulated, row: int, rng: np.random.Generator) -> list[int]:
    """What the cart measured, with its sentinels where it could not."""
    s = batch.subjects
    onset = 40 + int(s.pr[row])
    times = [40, 40 + int(0.66 * s.pr[row]), onset, onset + int(s.qrs[row]), onset + int(s.qt[row])]
    axes = [int(55 + 15 * rng.standard_normal()), int(s.axis[row]), int(40 + 25 * rng.standard_normal())]
    rate = int(60000 / s.rate[row])
    if batch.conditions.has("AFIB")[row]:
        times[:2], axes[0] = [29999, 29999], 32767
    if rng.random() < 0.004:
        return [65535, 29999, 29999, 29999, 29999, 29999, 32767, -32768, 32767]
    return [rate, *times, *axes]


def _damaged(digital: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """As in the original: 1.3 % of records hold missing samples, 0.24 % a lead of zeros."""
    chance, lead = rng.random(), int(rng.integers(12))
    if chance < 0.013:
        start = int(rng.integers(0, digital.shape[1] - 50))
        digital[lead, start : start + int(rng.integers(1, 500))] = -32768
    elif chance < 0.0154:
        digital[lead] = 0
    return digital
