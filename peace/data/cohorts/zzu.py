"""ZZU-pECG: AttributesDictionary.csv, ECGCode.csv, Child_ecg/ (Tan et al. 2025, figshare 27078763, CC BY 4.0)."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from peace.config import Config
from peace.core.storage import local_copy
from peace.data.cohorts.audit import CodeCounts, Entry, audit_frame
from peace.data.cohorts.cells import ABSENT, CURLY, known_ids, read_ages, safe_paths, tidy_paths, whole
from peace.data.cohorts.manifest import CohortIndex, Exclusions, age_in_days, unique_ids, with_malformed
from peace.data.cohorts.tables import read_table
from peace.data.labels import LabelSet

COLUMNS = ("Filename", "ECG_ID", "Patient_ID", "Age", "Gender", "Lead", "AHA_code", "CHN_code")
SIGNALS = "Child_ecg"  # the folder that the Filename column leaves out
LEADS = ("12", "9")
QUOTED_LIST = re.compile(r"\[?\s*('[^']*'(?:\s*[;,|]\s*'[^']*')*)[\s;]*\]?")  # however its entries are parted
SEX = {"male": "male", "female": "female"}


def read(root: Path, labels: LabelSet, config: Config) -> CohortIndex:
    """Read the tables of a ZZU-pECG tree. Raises DataError for a missing file or column."""
    table = read_table(root / "AttributesDictionary.csv", COLUMNS)
    frame = table.frame
    modified, either = config.labels.modified_codes, config.labels.code_columns == "either"
    allowed = config.index.mangled_ids == "allow"
    ids, mangled_records = known_ids(table, "ECG_ID", allowed)
    patients, mangled_patients = known_ids(table, "Patient_ID", allowed)
    ids, patients = tidy_ids(ids, patients)
    names = unique_ids(ids, frame["line"])
    aha, chn = _parse_codes(frame["AHA_code"]), _parse_codes(frame["CHN_code"])
    targets, entries = _label(aha, names, labels, "aha", modified, code_book(root, 1), counts=True)
    chn_targets, chn_entries = _label(chn, names, labels, "chn", modified, code_book(root, 2), counts=either)
    if either:
        targets |= chn_targets
    ages = read_ages(frame["Age"], bare="")
    leads = whole(frame["Lead"])
    paths = tidy_paths(frame["Filename"]).str.removeprefix(f"{SIGNALS}/")
    safe = safe_paths(paths)

    excluded = Exclusions(table)
    excluded.add(ids == "", "no_record_id", "ECG_ID")
    excluded.add(ids.duplicated(), "duplicate_record_id", "ECG_ID")
    excluded.add(patients == "", "no_patient_id", "Patient_ID")
    excluded.add(~safe, "bad_path", "Filename")
    excluded.add(paths.duplicated(), "duplicate_path", "Filename")
    excluded.add(ages.bad, "bad_age", "Age")
    excluded.add([parsed is None for parsed in aha], "bad_codes", "AHA_code")
    excluded.add(~leads.isin(LEADS), "bad_lead_count", "Lead")
    if config.leads.require == 12:
        excluded.add(leads == "9", "nine_leads", "Lead")
    excluded.add(~targets.any(axis=1), "no_label", "AHA_code")

    records = pd.DataFrame(
        {
            "record_id": names,
            "patient_id": patients,
            "path": paths.where(safe, ""),
            "age_days": age_in_days(ages.days),
            "sex": frame["Gender"].str.translate(CURLY).str.strip("'\" ").str.lower().map(SEX),
            "n_leads": leads.where(leads.isin(LEADS), "0").astype("int64"),
            "excluded": excluded.column(),
        }
    )
    audit = audit_frame([*entries, *chn_entries], labels.labels)
    notes = {
        "mangled_ids": mangled_records + mangled_patients,
        "sex_unknown": int(records["sex"].isna().sum()),
        "unknown_codes": int((audit["decided"] == "unknown code").sum()),
    }
    base = root / SIGNALS if (root / SIGNALS).is_dir() else root
    index = CohortIndex("zzu", base, records, targets, audit, notes, None, excluded.examples)
    return with_malformed(index, table)


def tidy_ids(records: pd.Series, patients: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Ids in capitals, and a patient's as their record has it where the number is the same: 3763 is P03763."""
    records, patients = (ids.str.replace(r"^p([0-9].*)", r"P\1", regex=True) for ids in (records, patients))
    own = records.str.extract(r"^(P[0-9]{5})_E[0-9]+$", expand=False)
    number = patients.str.extract(r"^P?0*([0-9]{1,5})$", expand=False)
    return records, patients.mask(number == own.str[1:].str.lstrip("0"), own)


def parse_entries(text: str) -> list[str] | None:
    """Entries of a code column, such as `'E50';'J(111+112+113)';'Prolonged QTc interval'`; None where quotes are torn.

    An entry is one code with its modifier, or prose, and is never split at a plus sign. An absent column has none.
    """
    if text.lower() in ABSENT:
        return []
    text = re.sub(r'"([^"]*)"', r"'\1'", text.translate(CURLY))
    if listed := QUOTED_LIST.fullmatch(text):
        return [entry.strip() for entry in re.findall(r"'([^']*)'", listed.group(1)) if entry.strip()]
    entries = [entry.strip() for entry in text.split(";")]
    whole = [entry[1:-1] if re.fullmatch(r"'[^']*'", entry) else entry for entry in entries]
    if any("'" in entry for entry in whole):
        return None
    return [entry.strip() for entry in whole if entry.strip()]


def _parse_codes(column: pd.Series) -> list[list[str] | None]:
    parsed = {text: parse_entries(text) for text in column.unique()}
    return [parsed[text] for text in column]


def _label(
    codes: list[list[str] | None],
    ids: pd.Series,
    labels: LabelSet,
    vocabulary: str,
    modified: bool,
    descriptions: Mapping[str, str],
    counts: bool,
) -> tuple[npt.NDArray[np.bool_], list[Entry]]:
    """(records, labels) flags of one code column, and its entries of the audit."""
    met = CodeCounts()
    for parsed, record in zip(codes, ids, strict=True):
        for entry in parsed or ():
            met.add(entry, 1, [record])
    readings = {entry: labels.read_code(entry, vocabulary, modified) for entry in met.counts}
    flags = {entry: labels.flags(reading.labels) for entry, reading in readings.items()}
    nothing = labels.flags([])
    targets = np.array(
        [np.logical_or.reduce([nothing, *(flags[entry] for entry in parsed or [])]) for parsed in codes], dtype=bool
    ).reshape(len(codes), len(labels.labels))
    audit = []
    for entry, count in met.counts.items():
        reading, words = readings[entry], meaning(entry, descriptions)
        decided = reading.decided
        if descriptions and not words and decided == "code outside the label set":
            decided = "unknown code"
        if not counts:
            decided = f"column not read; would be: {decided}" if reading.labels else "column not read"
        found = reading.labels if counts else ()
        audit.append(Entry(vocabulary, entry, words, count, found, decided, met.examples[entry]))
    return targets, audit


def meaning(entry: str, descriptions: Mapping[str, str]) -> str:
    """The code book's words for an entry, such as 'ST deviation + Depression'."""
    compact = entry.replace(" ", "")
    if compact in descriptions:
        return descriptions[compact]
    base, _, modifier = compact.partition("+")
    if base not in descriptions:
        return ""
    return f"{descriptions[base]} + {descriptions.get(modifier, modifier)}"


def code_book(root: Path, column: int) -> dict[str, str]:
    """Code -> description from ECGCode.csv (column 1: AHA, 2: CHN); empty where the file is absent or unreadable."""
    if not (root / "ECGCode.csv").is_file():  # nor a pipe, which would be waited for
        return {}
    try:
        with (
            local_copy(root / "ECGCode.csv") as local,
            local.open(encoding="utf-8-sig", errors="replace", newline="") as stream,
        ):
            rows = [row for row in csv.reader(stream) if len(row) == 3]
    except (OSError, csv.Error):
        return {}
    return {row[column].replace(" ", ""): row[0] for row in rows[1:] if row[column].strip().lower() not in ABSENT}
