"""PTB-XL 1.0.3: ptbxl_database.csv, scp_statements.csv, records500/ (Wagner et al. 2020, CC BY 4.0)."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from peace.config import Config
from peace.data.cohorts.audit import Entry, Met, audit_frame
from peace.data.cohorts.manifest import (
    DAYS_PER_YEAR,
    OLDEST_DAYS,
    CohortIndex,
    Exclusions,
    age_in_days,
    safe_paths,
    unique_ids,
    with_malformed,
)
from peace.data.cohorts.tables import read_table
from peace.data.labels import LabelSet

COLUMNS = ("ecg_id", "patient_id", "age", "sex", "scp_codes", "filename_hr")
FOLD = ("strat_fold",)
OVER_89 = 300.0  # years: what the data set writes for everyone above 89; read as 90, the least that it can mean
FOLDS = {**{str(fold): "train" for fold in range(1, 9)}, "9": "val", "10": "test"}
SEX = {"0": "male", "1": "female"}
LONGEST_CODES = 10_000  # characters; real entries have under 200

Codes = dict[str, float]


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
    ids = unique_ids(frame["ecg_id"], frame["line"])
    targets, audit = _label(codes, ids, labels, statements)
    patients = _whole(frame["patient_id"])
    years, bad_age = _years(frame["age"])
    official = _whole(frame["strat_fold"]).map(FOLDS)
    safe = safe_paths(frame["filename_hr"])

    excluded = Exclusions(len(frame))
    excluded.add(frame["ecg_id"] == "", "no_record_id")
    excluded.add(frame["ecg_id"].duplicated(), "duplicate_record_id")
    excluded.add(patients == "", "no_patient_id")
    excluded.add(~safe, "bad_path")
    excluded.add(frame["filename_hr"].duplicated(), "duplicate_path")
    excluded.add(bad_age, "bad_age")
    excluded.add([parsed is None for parsed in codes], "bad_codes")
    if config.split.official_folds:
        excluded.add(official.isna(), "no_fold")
    excluded.add(~targets.any(axis=1), "no_label")

    records = pd.DataFrame(
        {
            "record_id": ids,
            "patient_id": patients,
            "path": frame["filename_hr"].where(safe, ""),
            "age_days": age_in_days(years * DAYS_PER_YEAR),
            "sex": _whole(frame["sex"]).map(SEX),
            "n_leads": 12,
            "excluded": excluded.column(),
        }
    )
    notes = {
        "sex_unknown": int(records["sex"].isna().sum()),
        "unknown_codes": int((audit["decided"] == "unknown code").sum()),
    }
    return with_malformed(CohortIndex("ptbxl", root, records, targets, audit, notes, official), table.malformed)


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
    return text.removesuffix(".0") == "1"


def _parse_codes(column: pd.Series) -> list[Codes | None]:
    """The scp_codes of each record (a Python dict literal: code -> likelihood), or None where it is not one."""
    parsed = {text: parse_codes(text) for text in column.unique()}
    return [parsed[text] for text in column]


def parse_codes(text: str) -> Codes | None:
    """Code -> likelihood of one cell of scp_codes, or None where it is no Python dict literal of numbers."""
    if len(text) > LONGEST_CODES:
        return None
    try:
        value = ast.literal_eval(text)
        return {str(code): float(likelihood) for code, likelihood in value.items()}
    except (ValueError, SyntaxError, TypeError, AttributeError, MemoryError, RecursionError):
        return None


def _label(
    codes: list[Codes | None], ids: pd.Series, labels: LabelSet, statements: dict[str, tuple[str, str]]
) -> tuple[npt.NDArray[np.bool_], pd.DataFrame]:
    """(records, labels) flags, and the audit of every code met."""
    subclasses = {code: subclass for code, (subclass, _) in statements.items() if subclass}
    met = Met()
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


def _whole(column: pd.Series) -> pd.Series:
    """Ids and codes that pandas once wrote as floats (15709.0) without their fraction."""
    return column.str.replace(r"\.0+$", "", regex=True)


def _years(column: pd.Series) -> tuple[pd.Series, pd.Series]:
    """(ages in years, NaN where not given; flags of those that are no age)."""
    years = pd.to_numeric(column, errors="coerce").astype("float64")
    years = years.mask(years == OVER_89, 90.0)
    given = (column != "") & (column.str.lower() != "nan")
    bad = given & ~((years >= 0) & (years * DAYS_PER_YEAR <= OLDEST_DAYS))
    return years, bad
