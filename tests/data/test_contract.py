"""The contract check: silent on whole trees, and exact about the file and the line of everything that departs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.runtime.harness import main
from jobs.synthesize import VERB as SYNTHESIZE
from peace.config import load_config
from peace.data.cohorts.validation import KINDS, ValidationReport, check_tree
from peace.data.labels import load_label_set

PEACE12 = load_label_set("peace12")
COHORTS = ("mimic", "zzu", "ptbxl")
RECORDS = 12


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small whole trees of the three cohorts."""
    out = tmp_path_factory.mktemp("clean")
    sizes = [f"synthetic.{cohort}_records={RECORDS}" for cohort in COHORTS]
    words = ["--out", str(out), "--preset", "debug", "--workers", "1", *sizes, "tracking.enabled=false"]
    assert main(SYNTHESIZE, words) == 0
    return out


def check(cohort: str, root: Path, *overrides: str) -> ValidationReport:
    return check_tree(cohort, root, PEACE12, load_config("debug", None, overrides), every_header=True)


@pytest.mark.parametrize("cohort", COHORTS)
def test_a_whole_tree_has_no_departure(cohort: str, clean: Path) -> None:
    contract = check(cohort, clean / cohort)
    assert [str(departure) for departure in contract.issues] == []
    assert (contract.records, contract.headers) == (RECORDS, RECORDS)


@pytest.mark.real
@pytest.mark.parametrize(("cohort", "records"), [("zzu", 9), ("ptbxl", 500)])
def test_the_real_trees_have_no_departure(cohort: str, records: int, real_data: Path) -> None:
    contract = check(cohort, real_data / cohort)
    assert [str(departure) for departure in contract.issues] == []
    assert (contract.records, contract.headers) == (records, records)


@pytest.mark.real
def test_the_published_rows_of_zzu_depart_only_in_having_no_recordings(real_data: Path, tmp_path: Path) -> None:
    (tmp_path / "Child_ecg").mkdir()
    shutil.copy(real_data / "zzu" / "AttributesDictionary.rows.csv", tmp_path / "AttributesDictionary.csv")
    shutil.copy(real_data / "zzu" / "ECGCode.csv", tmp_path / "ECGCode.csv")
    assert check("zzu", tmp_path).counts == {"missing_header": 50}
    both = check("zzu", tmp_path, "labels.code_columns=either")
    told = [str(departure) for departure in both.issues if departure.kind != "missing_header"]
    assert told == ["AttributesDictionary.csv:40: CHN_code has 'F64', which ECGCode.csv has not (in 1 rows)"]


TABLES = {"mimic": "record_list.csv", "zzu": "AttributesDictionary.csv", "ptbxl": "ptbxl_database.csv"}
MEASURED, STATEMENTS = "machine_measurements.csv", "scp_statements.csv"
Change = Callable[[Path], None]


def cell(table: str, line: int, column: str, value: str) -> Change:
    """Write a value into a cell, by the line of the file and the column's name; quotes are kept as they are."""

    def change(root: Path) -> None:
        import csv

        with (root / table).open(encoding="utf-8", newline="") as stream:
            rows = list(csv.reader(stream))
        rows[line - 1][rows[0].index(column)] = value
        with (root / table).open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream, lineterminator="\n").writerows(rows)

    return change


def text(name: str, old: str, new: str, times: int = 1) -> Change:
    """Replace text in a file; `name` may be a pattern, of which the first match is taken."""

    def change(root: Path) -> None:
        path = sorted(root.rglob(name))[0]
        content = path.read_bytes()
        assert old.encode() in content, (path, old)
        path.write_bytes(content.replace(old.encode(), new.encode("latin-1"), times))

    return change


def copied(table: str, line: int, after: int, column: str) -> Change:
    """Copy a cell of one line into another."""

    def change(root: Path) -> None:
        import csv

        with (root / table).open(encoding="utf-8", newline="") as stream:
            rows = list(csv.reader(stream))
        cell(table, after, column, rows[line - 1][rows[0].index(column)])(root)

    return change


def file(pattern: str, work: Callable[[Path], object]) -> Change:
    """Do something to the first file that matches."""
    return lambda root: work(sorted(root.rglob(pattern))[0]) and None


def without_line(table: str, line: int) -> Change:
    def change(root: Path) -> None:
        lines = (root / table).read_text(encoding="utf-8").splitlines()
        (root / table).write_text("\n".join(lines[: line - 1] + lines[line:]) + "\n", encoding="utf-8")

    return change


def torn(table: str, line: int) -> Change:
    def change(root: Path) -> None:
        lines = (root / table).read_text(encoding="utf-8").splitlines()
        (root / table).write_text("\n".join([*lines[: line - 1], "one,two", *lines[line - 1 :]]) + "\n")

    return change


def shorter(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-24])


# (cohort, what is done to a whole tree, the kind under which it must be found, how the message begins, what it says)
PLANTED: list[tuple[str, Change, str, str, str]] = [
    ("mimic", cell(MEASURED, 5, "study_id", "x12"), "record_id", f"{MEASURED}:5:", "study_id 'x12' is not a number"),
    ("mimic", cell("record_list.csv", 4, "study_id", ""), "record_id", "record_list.csv:4:", "study_id is ''"),
    ("mimic", copied("record_list.csv", 2, 7, "study_id"), "duplicate_id", "record_list.csv:7:", "stands on line 2"),
    ("mimic", cell("record_list.csv", 3, "subject_id", "p1"), "patient_id", "record_list.csv:3:", "'p1' is not a num"),
    ("mimic", cell("record_list.csv", 3, "path", "../etc/passwd"), "path", "record_list.csv:3:", "inside the tree"),
    ("mimic", copied("record_list.csv", 2, 9, "path"), "duplicate_path", "record_list.csv:9:", "on line 2 already"),
    ("mimic", cell("record_list.csv", 9, "path", "files/a/1"), "other_record", "record_list.csv:9:", "not that of its"),
    ("mimic", cell("record_list.csv", 6, "ecg_time", "2180-13-01 00:00:00"), "date", "record_list.csv:6:", "a date"),
    ("mimic", without_line(MEASURED, 8), "no_measurements", "record_list.csv:", "has no row in machine_measurements"),
    ("mimic", without_line("record_list.csv", 8), "measurements", f"{MEASURED}:", "is not in record_list.csv"),
    ("mimic", torn("record_list.csv", 5), "malformed_row", "record_list.csv:5:", "2 fields where the header has 5"),
    ("mimic", text(MEASURED, "report_3", "report3"), "column", f"{MEASURED}:1:", "no column 'report_3'; did you mean"),
    ("mimic", text("*.hea", "aVF", "aVX"), "header_leads", "files/", "lead 'aVX' is none of the twelve"),
    ("mimic", text("*.hea", " 500 5000", " 250 5000"), "header_rate", "files/", ".hea:1: 250 Hz"),
    ("mimic", text("*.hea", " 500 5000", " 500 4990"), "header_length", "files/", "4990 samples, where 5000"),
    ("mimic", text("*.hea", "/mV", "/uV"), "header_units", "files/", ".hea:2: lead I is in 'uV', not in mV"),
    ("mimic", text("*.hea", " 16 0 ", " x 0 "), "header", "files/", "bad_header"),
    ("mimic", file("*.dat", shorter), "signal_size", "files/", "119976 bytes, where its header declares 120000"),
    ("mimic", file("*.dat", Path.unlink), "missing_signal", "record_list.csv:", ".dat is not there"),
    ("mimic", file("*.hea", Path.unlink), "missing_header", "record_list.csv:", ".hea is not there"),
    ("mimic", file("*.dat", lambda path: path.write_bytes(b"")), "missing_signal", "record_list.csv:", "is empty"),
    ("mimic", file(MEASURED, Path.unlink), "tree", "", "has no machine_measurements.csv"),
    ("zzu", cell(TABLES["zzu"], 4, "Age", "3714"), "age", f"{TABLES['zzu']}:4:", "Age '3714' is not days such as"),
    ("zzu", cell(TABLES["zzu"], 4, "Age", "9000d"), "age", f"{TABLES['zzu']}:4:", "beyond eighteen years"),
    ("zzu", cell(TABLES["zzu"], 5, "Gender", "M"), "sex", f"{TABLES['zzu']}:5:", "Gender 'M' is not"),
    ("zzu", cell(TABLES["zzu"], 6, "Lead", "7"), "leads", f"{TABLES['zzu']}:6:", "Lead '7' is neither 12 nor 9"),
    ("zzu", cell(TABLES["zzu"], 6, "Sampling_point", "0"), "samples", f"{TABLES['zzu']}:6:", "'0' is not a number of"),
    ("zzu", cell(TABLES["zzu"], 6, "Sampling_point", "77"), "header_length", "Child_ecg/", "where 77 are expected"),
    ("zzu", cell(TABLES["zzu"], 7, "AHA_code", "'A1;'L147'"), "codes", f"{TABLES['zzu']}:7:", "has torn quotes"),
    ("zzu", cell(TABLES["zzu"], 7, "AHA_code", "'Q999'"), "unknown_code", f"{TABLES['zzu']}:7:", "ECGCode.csv has not"),
    ("zzu", cell(TABLES["zzu"], 8, "Patient_ID", "17"), "patient_id", f"{TABLES['zzu']}:8:", "an id such as P03763"),
    ("zzu", text(TABLES["zzu"], "'Male'", "'M\xe4le'"), "encoding", f"{TABLES['zzu']}:", "not UTF-8"),
    ("ptbxl", cell(TABLES["ptbxl"], 3, "age", "250"), "age", f"{TABLES['ptbxl']}:3:", "age '250' is neither"),
    ("ptbxl", cell(TABLES["ptbxl"], 3, "sex", "2"), "sex", f"{TABLES['ptbxl']}:3:", "sex '2' is not 0 (male) or 1"),
    ("ptbxl", cell(TABLES["ptbxl"], 4, "strat_fold", "11"), "fold", f"{TABLES['ptbxl']}:4:", "a fold from 1 to 10"),
    ("ptbxl", cell(TABLES["ptbxl"], 4, "scp_codes", "NORM"), "codes", f"{TABLES['ptbxl']}:4:", "is not code: likelih"),
    ("ptbxl", cell(TABLES["ptbxl"], 4, "scp_codes", "{'NORMAL': 100.0}"), "unknown_code", TABLES["ptbxl"], "'NORMAL'"),
    ("ptbxl", cell(TABLES["ptbxl"], 4, "scp_codes", "{'NORM': 500.0}"), "likelihood", TABLES["ptbxl"], "beyond 0 to"),
    ("ptbxl", text(STATEMENTS, "RAO/RAE,", "RAOE,", 99), "statements", STATEMENTS, "which label RAE is read from"),
    ("ptbxl", file(TABLES["ptbxl"], lambda path: path.write_text("")), "table", TABLES["ptbxl"], "is empty"),
    ("zzu", cell(TABLES["zzu"], 2, "Patient_ID", "#####"), "refused", "", "Patient_ID were mangled by a spreadsheet"),
]


@pytest.mark.parametrize(("cohort", "change", "kind", "begins", "says"), PLANTED)
def test_a_planted_departure_is_found_where_it_is(
    cohort: str, change: Change, kind: str, begins: str, says: str, clean: Path, tmp_path: Path
) -> None:
    root = tmp_path / cohort
    shutil.copytree(clean / cohort, root)
    change(root)
    contract = check(cohort, root)
    told = [str(departure) for departure in contract.issues if departure.kind == kind]
    assert told, contract.counts
    assert any(line.startswith(begins) and says in line for line in told), told
    assert sum(contract.counts.values()) <= 4, "one mistake is told once, or once for each thing that it breaks"


def test_every_kind_of_departure_is_planted_but_for_the_size_of_the_whole() -> None:
    assert set(KINDS) - {kind for _, _, kind, _, _ in PLANTED} == {"too_many"}


def test_of_many_records_a_sample_of_headers_is_read(clean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peace.data.cohorts.validation.records.SAMPLE", 4)
    assert check_tree("zzu", clean / "zzu", PEACE12, load_config("debug")).headers == 4
    assert check("zzu", clean / "zzu").headers == RECORDS
