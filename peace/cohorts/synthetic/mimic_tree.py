"""A tree in the layout of MIMIC-IV-ECG 1.0, with machine report lines in both cart vocabularies."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from peace.cohorts.synthetic.conditions import Conditions
from peace.cohorts.synthetic.simulate import Simulated
from peace.cohorts.synthetic.wfdb_files import to_digital, write_record

# MIMIC stores aVF before aVL
STORED = ("I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6")
ORDER = [0, 1, 2, 3, 5, 4, 6, 7, 8, 9, 10, 11]
REPORTS = 18
MEASUREMENTS = (
    "subject_id", "study_id", "cart_id", "ecg_time", *(f"report_{line}" for line in range(REPORTS)), "bandwidth",
    "filtering", "rr_interval", "p_onset", "p_end", "qrs_onset", "qrs_end", "t_end", "p_axis", "qrs_axis", "t_axis",
)  # fmt: skip
RECORDS = ("subject_id", "study_id", "file_name", "ecg_time", "path")

# phrases of either cart vocabulary, as counted in public work on the machine reports
_LINES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "LAFB": (("Left anterior fascicular block", "Possible left anterior fascicular block"), ("LAD, consider left anterior fascicular block", "Left anterior fascicular block")),
    "IRBBB": (("Incomplete right bundle branch block",), ("Incomplete RBBB",)),
    "CRBBB": (("Right bundle branch block",), ("RBBB with primary ST-T abnormality" , "Right bundle branch block")),
    "LVOLT": (("Low QRS voltages in limb leads", "Generalized low QRS voltages", "Low QRS voltages in precordial leads"), ("Low voltage, extremity leads", "Low voltage, extremity and precordial leads", "Low voltage, precordial leads")),
    "LAE": (("Possible left atrial abnormality",), ("Probable left atrial enlargement", "Left atrial enlargement")),
    "RAE": (("Possible right atrial abnormality",), ("Right atrial enlargement",)),
    "LVH": (("Left ventricular hypertrophy", "Left ventricular hypertrophy by voltage only"), ("Possible left ventricular hypertrophy", "LVH with secondary repolarization abnormality")),
    "RVH": (("Right ventricular hypertrophy",), ("Possible right ventricular hypertrophy", "RVH with secondary repolarization abnormality")),
    "STTC": (("Lateral ST-T changes are nonspecific", "Inferior/lateral ST-T changes may be due to myocardial ischemia", "Extensive ST-T changes are nonspecific", "Diffuse nonspecific ST-T changes"), ("Nonspecific ST-T abnormalities, lateral leads", "Minor ST segment depression", "ST-T abnormality, consider ischemia")),
    "TAB_": (("Lateral T wave changes are nonspecific", "Inferior T wave changes are nonspecific", "Anterior T wave changes may be due to myocardial ischemia"), ("Nonspecific T abnormalities, anterior leads", "Abnormal T wave changes", "Borderline T wave abnormalities")),
    "LQTS": (("Prolonged QT interval",), ("Prolonged QT - consider ischemia, electrolyte imbalance, drug effects", "Prolonged QT interval")),
    "LAD": (("Left axis deviation",), ("Left axis deviation", "Abnormal left axis deviation")),
    "RAD": (("Right axis deviation",), ("Rightward axis",)),
    "HVOLT": (("High QRS voltage may be normal for age",), ("Borderline high QRS voltage - probable normal variant",)),
    "AMI": (("Anterior infarct - age undetermined", "Cannot rule out anteroseptal infarct - age undetermined"), ("Probable anterior infarct, age indeterminate", "Anteroseptal infarct, old")),
    "IMI": (("Inferior infarct - age undetermined", "Possible inferior infarct - age undetermined"), ("Inferior infarct, old",)),
    "AVB1": (("1st degree A-V block", "Prolonged PR interval"), ("First degree AV block", "Borderline first degree A-V block")),
    "LBBB": (("Left bundle branch block",), ("Left bundle branch block", "LBBB")),
    "IVCD": (("IV conduction defect",), ("Nonspecific intraventricular conduction delay",)),
    "ERP": (("Early repolarization",), ("Normal early repolarization pattern",)),
    "PVC": (("with PVC(s)", "Ventricular premature complex"), ("Ventricular premature complex",)),
    "PAC": (("with PAC(s)",), ("Atrial premature complex", "Supraventricular extrasystoles")),
    "RSR": (("rSr'(V1) - probable normal variant",), ("RSR' in V1 or V2, probably normal variant",)),
    "BORDERLINE": (("Borderline prolonged QT interval",), ("Borderline prolonged QT interval",)),
    "PRWP": (("Abnormal R wave progression",), ("Poor R wave progression", "Consider anterior infarct")),
}  # fmt: skip
_QUIET_WHEN_NORMAL = ("HVOLT", "RSR", "ERP")


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
    cart = int(rng.random() < 0.4)
    lines = [_rhythm_line(has, row)]
    for name, phrases in _LINES.items():
        if not has.read(name)[row] or (has.normal[row] and name in _QUIET_WHEN_NORMAL):
            continue
        options = phrases[cart]
        if name == "CRBBB" and cart and not has.read("STTC")[row]:
            options = options[1:]
        if name == "LVH" and cart and not has.read("STTC")[row]:
            options = options[:1]
        if name == "RVH" and cart and not has.read("STTC")[row]:
            options = options[:1]
        lines.append(str(options[int(rng.integers(len(options)))]))
    lines.append("Normal ECG" if has.normal[row] else "Abnormal ECG" if len(lines) > 1 else "Borderline ECG")
    if rng.random() < 0.3:
        lines = [line + "." for line in lines]
    if rng.random() < 0.05:
        lines.insert(int(rng.integers(1, len(lines) + 1)), "")
    return (lines + [""] * REPORTS)[:REPORTS]


def _rhythm_line(has: Conditions, row: int) -> str:
    for name, line in (
        ("AFIB", "Atrial fibrillation"), ("AFLT", "Atrial flutter"), ("STACH", "Sinus tachycardia"),
        ("SBRAD", "Sinus bradycardia"), ("SARRH", "Sinus arrhythmia"),
    ):  # fmt: skip
        if has.read(name)[row]:
            return line
    return "Sinus rhythm"


def _measured(batch: Simulated, row: int, rng: np.random.Generator) -> list[int]:
    """What the cart measured, with its sentinels where it could not."""
    s = batch.subjects
    onset = 40 + int(s.pr[row])
    times = [40, 40 + int(0.66 * s.pr[row]), onset, onset + int(s.qrs[row]), onset + int(s.qt[row])]
    axes = [int(55 + 15 * rng.standard_normal()), int(s.axis[row]), int(40 + 25 * rng.standard_normal())]
    rate = int(60000 / s.rate[row])
    if batch.conditions["AFIB"][row] > 0:
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
