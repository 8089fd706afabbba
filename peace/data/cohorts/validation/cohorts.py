"""What each cohort's tables must be, row by row. Each function gives what the rows promise of their recordings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from peace.config import Config
from peace.data.cohorts import mimic as mimic_reader
from peace.data.cohorts import ptbxl as ptbxl_reader
from peace.data.cohorts import zzu as zzu_reader
from peace.data.cohorts.cells import CURLY, FRACTION, read_ages, whole
from peace.data.cohorts.scp_codes import parse_codes
from peace.data.cohorts.validation.columns import Checked, open_table
from peace.data.cohorts.validation.issues import Departures, cell
from peace.data.cohorts.validation.records import Expected
from peace.data.labels import LabelSet

OLDEST_CHILD_DAYS = 18 * 366
TEN_SECONDS = 5000

Promised = tuple[str, pd.DataFrame, list[Expected]]


def mimic(found: Departures, root: Path, labels: LabelSet, config: Config) -> Promised | None:
    """MIMIC-IV-ECG: record_list.csv and machine_measurements.csv."""
    name, measured = "record_list.csv", "machine_measurements.csv"
    table = open_table(found, root, name, ("subject_id", "study_id", "path"), ("ecg_time",))
    reports = open_table(found, root, measured, ("subject_id", "study_id", *mimic_reader.REPORT), ("ecg_time",))
    for checked in (table, reports):
        if checked is not None:
            checked.ids("record_id", "study_id")
            checked.matches("record_id", "study_id", r"\d+", "a number")
            checked.ids("patient_id", "subject_id")
            checked.matches("patient_id", "subject_id", r"\d+", "a number")
            checked.dates("ecg_time")
    if table is None:
        return None
    table.unique("duplicate_id", "study_id")
    safe = table.paths("path")
    frame = table.frame
    ends = "/p" + frame["subject_id"] + "/s" + frame["study_id"] + "/" + frame["study_id"]
    own = [path.endswith(end) for path, end in zip(frame["path"], ends, strict=True)]
    table.flag(
        "other_record", "path", safe & ~pd.Series(own), lambda path: f"path {path} is not that of its subject and study"
    )
    if reports is not None:
        _measurements(table, reports)
    rows = frame[safe]
    return name, rows, [Expected(path, 12, TEN_SECONDS) for path in rows["path"]]


def _measurements(table: Checked, reports: Checked) -> None:
    """Every record has one row of measurements, and every row is of a record."""
    keys = [frame["subject_id"] + "/" + frame["study_id"] for frame in (table.frame, reports.frame)]
    table.flag(
        "no_measurements",
        "study_id",
        ~keys[0].isin(keys[1]),
        lambda study: f"study {study} has no row in {reports.name}",
    )
    reports.flag(
        "measurements", "study_id", ~keys[1].isin(keys[0]), lambda study: f"study {study} is not in {table.name}"
    )
    reports.flag(
        "measurements", "study_id", keys[1].duplicated(), lambda study: f"study {study} has an earlier row already"
    )


def zzu(found: Departures, root: Path, labels: LabelSet, config: Config) -> Promised | None:
    """ZZU-pECG: AttributesDictionary.csv, with ECGCode.csv as the code book where it is there."""
    name = "AttributesDictionary.csv"
    table = open_table(found, root, name, zzu_reader.COLUMNS, ("Acquisition_date", "Sampling_point"))
    if table is None:
        return None
    table.ids("record_id", "ECG_ID")
    table.ids("patient_id", "Patient_ID")
    ids, patients = zzu_reader.tidy_ids(table.frame["ECG_ID"], table.frame["Patient_ID"])
    sexes = table.frame["Gender"].str.translate(CURLY).str.replace('"', "'")
    table.frame = table.frame.assign(ECG_ID=ids, Patient_ID=patients, Gender=sexes)
    table.matches("record_id", "ECG_ID", r"P\d{5}_E\d+", "an id such as P03763_E01")
    table.unique("duplicate_id", "ECG_ID")
    table.matches("patient_id", "Patient_ID", r"P\d{5}", "an id such as P03763")
    ages = read_ages(table.frame["Age"], bare="")
    table.flag("age", "Age", ages.bad, lambda age: f"Age {age} is not days such as 3714d")
    days = ages.days.mask(ages.bad)
    table.flag("age", "Age", days > OLDEST_CHILD_DAYS, lambda age: f"Age {age} is beyond eighteen years")
    table.matches("sex", "Gender", "'?(?:Male|Female)'?", "'Male' or 'Female'")
    table.dates("Acquisition_date")
    table.matches("samples", "Sampling_point", rf"0*[1-9]\d*{FRACTION}", "a number of samples")
    leads = whole(table.frame["Lead"])
    table.flag("leads", "Lead", ~leads.isin(zzu_reader.LEADS), lambda value: f"Lead {value} is neither 12 nor 9")
    safe = table.paths("Filename", f"{zzu_reader.SIGNALS}/")
    frame = table.frame
    own = [path.endswith(record) for path, record in zip(frame["Filename"], frame["ECG_ID"], strict=True)]
    table.flag(
        "other_record", "Filename", safe & ~pd.Series(own), lambda path: f"Filename {path} is not that of its ECG_ID"
    )
    _zzu_codes(table, "AHA_code", zzu_reader.code_book(root, 1), labels)
    if config.labels.code_columns == "either":
        _zzu_codes(table, "CHN_code", zzu_reader.code_book(root, 2), labels)
    rows, folder = frame[safe], f"{zzu_reader.SIGNALS}/" if (root / zzu_reader.SIGNALS).is_dir() else ""
    samples = pd.to_numeric(whole(rows["Sampling_point"]), errors="coerce")
    return (
        name,
        rows,
        [
            Expected(folder + path, 9 if lead == "9" else 12, None if pd.isna(length) else int(length))
            for path, lead, length in zip(rows["Filename"], leads[safe], samples, strict=True)
        ],
    )


def _zzu_codes(table: Checked, column: str, book: Mapping[str, str], labels: LabelSet) -> None:
    """Quotes that close, and codes that the code book has; an unknown code is told once, where it is met first."""
    parsed = {text: zzu_reader.parse_entries(text) for text in table.frame[column].unique()}
    torn = table.frame[column].map(lambda text: parsed[text] is None)
    table.flag("codes", column, torn, lambda text: f"{column} {text} has torn quotes")
    if not book:
        return
    vocabulary = "aha" if column == "AHA_code" else "chn"
    entries = {entry for found in parsed.values() for entry in found or ()}
    unknown = {
        entry
        for entry in entries
        if labels.read_code(entry, vocabulary, False).decided != "prose" and not zzu_reader.meaning(entry, book)
    }
    _first_met(table, column, unknown, {text: found or () for text, found in parsed.items()}, "ECGCode.csv")


def ptbxl(found: Departures, root: Path, labels: LabelSet, config: Config) -> Promised | None:
    """PTB-XL: ptbxl_database.csv and scp_statements.csv."""
    name = "ptbxl_database.csv"
    statements = _statements(found, root, labels)
    table = open_table(found, root, name, ptbxl_reader.COLUMNS, ("strat_fold", "recording_date"))
    if table is None:
        return None
    table.ids("record_id", "ecg_id")
    table.matches("record_id", "ecg_id", r"\d+", "a number")
    table.unique("duplicate_id", "ecg_id")
    table.ids("patient_id", "patient_id")
    table.matches("patient_id", "patient_id", r"\d+", "a number")
    bad = ptbxl_reader.read_years(table.frame["age"]).bad
    table.flag(
        "age", "age", bad, lambda age: f"age {age} is neither an age in years nor 300, which stands for 90 and more"
    )
    table.matches("sex", "sex", rf"[01]{FRACTION}", "0 (male) or 1 (female)")
    table.matches("fold", "strat_fold", rf"(?:[1-9]|10){FRACTION}", "a fold from 1 to 10")
    table.dates("recording_date")
    _scp_codes(table, statements)
    safe = table.paths("filename_hr")
    frame = table.frame
    numbers = frame["ecg_id"].str.zfill(5) + "_hr"
    own = [path.endswith(number) for path, number in zip(frame["filename_hr"], numbers, strict=True)]
    table.flag(
        "other_record",
        "filename_hr",
        safe & ~pd.Series(own),
        lambda path: f"filename_hr {path} is not that of its ecg_id",
    )
    rows = frame[safe]
    return name, rows, [Expected(path, 12, TEN_SECONDS) for path in rows["filename_hr"]]


def _scp_codes(table: Checked, statements: set[str] | None) -> None:
    parsed = {text: parse_codes(text) for text in table.frame["scp_codes"].unique()}
    torn = table.frame["scp_codes"].map(lambda text: parsed[text] is None)
    table.flag("codes", "scp_codes", torn, lambda text: f"scp_codes {text} is not code: likelihood, in braces")
    odd = table.frame["scp_codes"].map(
        lambda text: any(likelihood < 0 or likelihood > 100 for likelihood in (parsed[text] or {}).values())
    )
    table.flag("likelihood", "scp_codes", odd, lambda text: f"scp_codes {text} has a likelihood beyond 0 to 100")
    if statements is not None:
        unknown = {code for codes in parsed.values() for code in codes or {}} - statements
        by_text = {text: tuple(codes or {}) for text, codes in parsed.items()}
        _first_met(table, "scp_codes", unknown, by_text, "scp_statements.csv")


def _statements(found: Departures, root: Path, labels: LabelSet) -> set[str] | None:
    """The codes of scp_statements.csv, after a look at what labels are read from."""
    name = "scp_statements.csv"
    table = open_table(found, root, name, ("", "diagnostic", "diagnostic_subclass"))
    if table is None:
        return None
    table.unique("statements", "")
    table.matches("statements", "diagnostic", rf"1{FRACTION}", "1 or blank")
    frame = table.frame
    bare = table.given("diagnostic") & (frame["diagnostic_subclass"] == "")
    table.flag("statements", "", bare, lambda code: f"{code} is diagnostic and has no diagnostic_subclass")
    codes, subclasses = set(frame[""]), set(frame.loc[table.given("diagnostic"), "diagnostic_subclass"])
    for label, rule in labels.file.labels.items():
        for subclass in rule.scp.subclasses:
            if subclass not in subclasses:
                found.add(
                    "statements", name, None, f"no diagnostic_subclass '{subclass}', which label {label} is read from"
                )
        for code in rule.scp.codes:
            if code not in codes:
                found.add("statements", name, None, f"no code '{code}', which label {label} is read from")
    return codes


def _first_met(table: Checked, column: str, unknown: set[str], by_text: Mapping[str, Sequence[str]], book: str) -> None:
    """Tell each unknown code once, on the line of its first row, with the number of rows that have it."""
    if not unknown:
        return
    lines: dict[str, int] = {}
    times: Counter[str] = Counter()
    for text, line in zip(table.frame[column], table.frame["line"], strict=True):
        for code in unknown.intersection(by_text[text]):
            lines.setdefault(code, int(line))
            times[code] += 1
    table.found.merge(
        ("unknown_code", table.name, line, f"{column} has {cell(code)}, which {book} has not (in {times[code]} rows)")
        for code, line in lines.items()
    )
