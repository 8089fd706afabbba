"""PTB-XL 1.0.3: ptbxl_database.csv, scp_statements.csv, records500/ (Wagner et al. 2020, CC BY 4.0)."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from peace.config import Config
from peace.data.cohorts.audit import CodeCounts, Entry, audit_frame
from peace.data.cohorts.cells import FRACTION, Ages, known_ids, read_ages, safe_paths, tidy_paths, whole
from peace.data.cohorts.manifest import CohortIndex, Exclusions, age_in_days, unique_ids, with_malformed
from peace.data.cohorts.scp_codes import Codes, parse_codes
from peace.data.cohorts.tables import read_table
from peace.data.labels import LabelSet

COLUMNS = ("ecg_id", "patient_id", "age", "sex", "scp_codes", "filename_hr")
FOLD = ("strat_fold",)
OVER_89 = "300"  # years: what the data set writes for everyone above 89; read as 90, the least that it can mean
FOLDS = {**{str(fold): "train" for fold in range(1, 9)}, "9": "val", "10": "test"}
SEX = {"0": "male", "1": "female"}


def read(root: Path, labels: LabelSet, config: Config) -> CohortIndex:
    """Read the tables of a PTB-XL tree. Raises DataError for a missing file or column."""
    table_path = root / "ptbxl_database.csv"
    if config.split.official_folds:
        table = read_table(table_path, COLUMNS + FOLD)
    else:
        table = read_table(table_path, COLUMNS, optional=FOLD)
    frame = table.frame
    statements = _statements(root / "scp_statements.csv")
    codes = _parse_codes(frame["scp_codes"])
    allowed = config.index.mangled_ids == "allow"
    ecg_ids, mangled_records = known_ids(table, "ecg_id", allowed)
    patients, mangled_patients = known_ids(table, "patient_id", allowed)
    ids = unique_ids(ecg_ids, frame["line"])
    targets, audit = _label(codes, ids, labels, statements)
    ages = read_years(frame["age"])
    official = whole(frame["strat_fold"]).map(FOLDS)
    paths = tidy_paths(frame["filename_hr"])
    safe = safe_paths(paths)

    excluded = Exclusions(table)
    excluded.add(ecg_ids == "", "no_record_id", "ecg_id")
    excluded.add(ecg_ids.duplicated(), "duplicate_record_id", "ecg_id")
    excluded.add(patients == "", "no_patient_id", "patient_id")
    excluded.add(~safe, "bad_path", "filename_hr")
    excluded.add(paths.duplicated(), "duplicate_path", "filename_hr")
    excluded.add(ages.bad, "bad_age", "age")
    excluded.add([parsed is None for parsed in codes], "bad_codes", "scp_codes")
    if config.split.official_folds:
        excluded.add(official.isna(), "no_fold", "strat_fold")
    excluded.add(~targets.any(axis=1), "no_label", "scp_codes")

    records = pd.DataFrame(
        {
            "record_id": ids,
            "patient_id": patients,
            "path": paths.where(safe, ""),
            "age_days": age_in_days(ages.days),
            "sex": whole(frame["sex"]).map(SEX),
            "n_leads": 12,
            "excluded": excluded.column(),
        }
    )
    notes = {
        "mangled_ids": mangled_records + mangled_patients,
        "sex_unknown": int(records["sex"].isna().sum()),
        "unknown_codes": int((audit["decided"] == "unknown code").sum()),
    }
    index = CohortIndex("ptbxl", root, records, targets, audit, notes, official, excluded.examples)
    return with_malformed(index, table)


def _statements(path: Path) -> dict[str, tuple[str, str]]:
    """Code -> (diagnostic_subclass, or empty where not diagnostic; description)."""
    frame = read_table(path, ["", "diagnostic", "diagnostic_subclass"], optional=["description"]).frame
    return {
        code: (subclass if _is_one(diagnostic) else "", description)
        for code, diagnostic, subclass, description in zip(
            frame[""], frame["diagnostic"], frame["diagnostic_subclass"], frame["description"], strict=True
        )
    }


def _is_one(text: str) -> bool:
    return re.fullmatch(rf"1{FRACTION}", text) is not None


def _parse_codes(column: pd.Series) -> list[Codes | None]:
    """The scp_codes of each record, or None where they cannot be parsed."""
    parsed = {text: parse_codes(text) for text in column.unique()}
    return [parsed[text] for text in column]


def _label(
    codes: list[Codes | None], ids: pd.Series, labels: LabelSet, statements: dict[str, tuple[str, str]]
) -> tuple[npt.NDArray[np.bool_], pd.DataFrame]:
    """(records, labels) flags, and the audit of every code met."""
    subclasses = {code: subclass for code, (subclass, _) in statements.items() if subclass}
    met = CodeCounts()
    for parsed, record in zip(codes, ids, strict=True):
        for code in parsed or {}:
            met.add(code, 1, [record])
    readings = {code: labels.read_scp(code, subclasses) for code in met.counts}
    flags = {code: labels.flags(reading.labels) for code, reading in readings.items()}
    nothing = labels.flags([])
    targets = np.array(
        [np.logical_or.reduce([nothing, *(flags[code] for code in parsed or {})]) for parsed in codes], dtype=bool
    ).reshape(len(codes), len(labels.labels))
    entries = [
        Entry(
            "scp",
            code,
            statements[code][1] if code in statements else "",
            count,
            readings[code].labels,
            readings[code].decided if code in statements or readings[code].labels else "unknown code",
            met.examples[code],
        )
        for code, count in met.counts.items()
    ]
    return targets, audit_frame(entries, labels.labels)


def read_years(column: pd.Series) -> Ages:
    """Ages given in years, 300 among them for everyone above 89."""
    return read_ages(column.mask(whole(column) == OVER_89, "90"), "years")
