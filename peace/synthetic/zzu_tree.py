"""A tree in the layout of ZZU-pECG: AHA and CHN codes with modifiers and prose, nine-lead records, float gains."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from peace.synthetic.conditions import Conditions
from peace.synthetic.simulate import Simulated
from peace.synthetic.wfdb_files import fitted, write_record

ATTRIBUTES = (
    "Filename", "ECG_ID", "Patient_ID", "Age", "Gender", "Acquisition_date", "Sampling_point", "Lead", "AHA_code",
    "CHN_code", "ICD-10 code", "pSQI", "basSQI", "bSQI",
)  # fmt: skip
STORED = ("I", "II", "III", "AVR", "AVL", "AVF", "V1", "V2", "V3", "V4", "V5", "V6")
NINE = [0, 1, 2, 3, 4, 5, 6, 8, 10]
TABLE_NAMES = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
NINE_SHARE = 1856 / 14190

# condition -> AHA item, CHN item; prose where a vocabulary has no code (ECGCode.csv)
CODES: dict[str, tuple[str, str]] = {
    "STACH": ("C21", "C13"), "SBRAD": ("C22", "C14"), "SARRH": ("C23", "C15"), "PAC": ("D30", "D21"),
    "AFLT": ("E51", "E49"), "PVC": ("F60", "F55"), "AVB1": ("H82", "H74"), "LAFB": ("I101", "I83"),
    "LBBB": ("I104", "I85"), "IRBBB": ("I105", "I86"), "CRBBB": ("I106", "I87"), "IVCD": ("I107", "I82"),
    "RAD": ("J120", "J99"), "LAD": ("J121", "J100"), "HVOLT": ("Left ventricular high voltage", "J106"),
    "RVHV": ("Right ventricular high voltage", "J107"), "LVOLT": ("J125", "J(111+112+113)"), "LAE": ("K140", "K114"),
    "RAE": ("K141", "K115"), "LVH": ("K142", "K117"), "RVH": ("K143", "K118"), "TAB_": ("L147", "L123"),
    "LQTS": ("L148", "L124"), "BORDERLINE": ("Prolonged QTc interval", "L125"), "ERP": ("L155", "L133"),
    "QWAVE": ("Abnormal Q wave", "L134"),
}  # fmt: skip
_OTHER = ("Abnormal precordial R-wave progression", "J110")
_ILLNESS = ("J18.9", "I50.9", "E87.2", "J96.9", "H60.4", "J03.9", "D64.9", "K92.9", "Z98.8", "R57.0")
_HEART = {
    "RVH": ("Q21.3", "Q21.1", "I37.0"), "LVH": ("Q21.0", "I42.2", "Q25.0"), "LAFB": ("Q21.2",),
    "IRBBB": ("(OSD) Q21.1", "(FO) Q21.1"), "LVOLT": ("I40.9", "(F) I40.0", "I31.8"),
}  # fmt: skip


def draw_seconds(numbers: list[int], rng: np.random.Generator) -> list[float]:
    """Lengths from 5 to 35 s: shorter on the whole than the original's 5 to 120 s with a mode of 30 s, to save disk."""
    n = len(numbers)
    usual = rng.choice([10.0, 15.0, 20.0, 30.0], size=n, p=[0.55, 0.25, 0.12, 0.08])
    odd = rng.integers(10, 71, size=n) / 2.0
    return [float(value) for value in np.where(rng.random(n) < 0.08, odd, usual)]


def write_batch(
    root: Path, batch: Simulated, patients: list[int], numbers: list[int], index: list[int]
) -> list[dict[str, Any]]:
    """Write the recordings and give each one's row of AttributesDictionary.csv. Raises OSError as the disk does."""
    rows = []
    for row, (patient, number) in enumerate(zip(patients, numbers, strict=True)):
        rng = batch.streams[row]
        who = f"P{patient + 1:05d}"
        name = f"{who}_E{number + 1:02d}"
        nine = rng.random() < NINE_SHARE
        kept = NINE if nine else list(range(12))
        digital, gains = fitted(batch.signals[row][kept])
        place = f"{who[:3]}/{who}/{name}"
        write_record(root / "Child_ecg" / who[:3] / who, name, 500, [STORED[lead] for lead in kept], digital, gains)
        moment = datetime(2018, 1, 1) + timedelta(minutes=int(rng.integers(2_900_000)))
        aha, chn = codes(batch.conditions, row, rng)
        days = max(1, min(5474, round(batch.subjects.age[row] * 365.25)))
        rows.append(
            {
                "record_id": name,
                "patient_id": who,
                "tables": {
                    "AttributesDictionary.csv": [
                        place, name, who, f"{days}d", "'Female'" if batch.subjects.female[row] else "'Male'",
                        moment.strftime("%Y-%m-%d %H:%M:%S"), digital.shape[1], len(kept), _items(aha), _items(chn),
                        _items(_illnesses(batch.conditions, row, rng)), *_quality(kept, rng),
                    ]
                },
            }
        )  # fmt: skip
    return rows


def codes(has: Conditions, row: int, rng: np.random.Generator) -> tuple[list[str], list[str]]:
    """Items of the AHA and CHN columns of one record."""
    if has.normal[row]:
        variant = any(has.read(name)[row] for name in ("SBRAD", "SARRH", "RSR", "ERP"))
        code = "A2" if variant and rng.random() < 0.7 else "A1"
        return [code], [code]
    found = [CODES[name] for name in CODES if has.read(name)[row]]
    if has.read("STTC")[row]:
        found.append(("L145", "L121") if rng.random() < 0.35 else ("L146", "L122"))
    if has.read("ISC")[row]:
        found.append(("L145+Modifier362", "L121+Depression"))
    found = [_modified(item, rng) for item in found]
    if has.read("LQTS")[row] and rng.random() < 0.15:
        found.append(("Suggests211", "Hypokalemia or drug effect"))
    found = found or [_OTHER]
    return sorted(item[0] for item in found), sorted(item[1] for item in found)


def _modified(item: tuple[str, str], rng: np.random.Generator) -> tuple[str, str]:
    if item[0] in ("D30", "F60") and rng.random() < 0.5:
        often = rng.random() < 0.3
        return f"{item[0]}+Modifier{310 if often else 308}", f"{item[1]}+{'Frequent' if often else 'Occasional'}"
    return item


def _illnesses(has: Conditions, row: int, rng: np.random.Generator) -> list[str]:
    found = {str(rng.choice(options)) for name, options in _HEART.items() if has.read(name)[row] and rng.random() < 0.6}
    found |= {str(code) for code in rng.choice(_ILLNESS, size=int(rng.integers(0, 4)), replace=False)}
    return sorted(found)


def _items(items: list[str]) -> str:
    return ";".join(f"'{item}'" for item in items) if items else "Null"


def _quality(kept: list[int], rng: np.random.Generator) -> list[str]:
    """pSQI, basSQI and bSQI as written in the original, `Null` for leads that are absent."""
    columns = []
    for low, high in ((0.3, 0.65), (0.93, 0.999), (0.96, 1.0)):
        values = rng.uniform(low, high, 12)
        texts = [
            f"'{name}':{value:.3f}" if at in kept else f"'{name}':Null"
            for at, (name, value) in enumerate(zip(TABLE_NAMES, values, strict=True))
        ]
        columns.append(";".join(texts))
    return columns
