"""One tree in the hands of spreadsheets, statistics programs and exporters: as many writings, one manifest."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cohort_tables import mimic_measurement, mimic_record, mimic_tree, ptbxl_row, ptbxl_tree, zzu_row, zzu_tree

from peace.config import load_config
from peace.core.errors import DataError
from peace.data.cohorts.manifest import EXCLUSIONS, manifest_table
from peace.data.cohorts.outcome import Outcome, index_tree
from peace.data.cohorts.validation import check_tree
from peace.data.labels import load_label_set

PEACE12 = load_label_set("peace12")
TABLES = {"ptbxl": "ptbxl_database.csv", "zzu": "AttributesDictionary.csv", "mimic": "record_list.csv"}
IDS = {"ptbxl": ("ecg_id", "patient_id"), "zzu": ("ECG_ID", "Patient_ID"), "mimic": ("study_id", "subject_id")}
PATHS = {"ptbxl": "filename_hr", "zzu": "Filename", "mimic": "path"}
COHORTS = sorted(TABLES)
RECORDS = 30
Rows = list[list[str]]


def sound(cohort: str, root: Path) -> Path:
    """Thirty records of eight people."""
    numbers = range(1, RECORDS + 1)
    if cohort == "ptbxl":
        rows = [
            ptbxl_row(str(n), patient_id=f"{15700 + n % 8}.0", age=f"{n}.5", report="gr\u00f6\u00dfe") for n in numbers
        ]
        return ptbxl_tree(root, rows)
    if cohort == "zzu":
        codes = "'L147';'A1'"
        return zzu_tree(
            root, [zzu_row(f"P{n % 8 + 1:05d}_E{n:02d}", AHA_code=codes, Age=f"{n * 100}d") for n in numbers]
        )
    people = [(str(10_000_000 + n % 8), str(40_000_000 + n)) for n in numbers]
    return mimic_tree(
        root, [mimic_record(*ids) for ids in people], [mimic_measurement(*ids, ["LVH"]) for ids in people]
    )


def outcome(cohort: str, root: Path, *overrides: str) -> Outcome:
    return index_tree(cohort, root, PEACE12, load_config("debug", None, overrides))


def manifest(cohort: str, root: Path) -> pd.DataFrame:
    """The manifest, with paths relative to the tree."""
    found = outcome(cohort, root)
    assert found.refusal is None
    frame = manifest_table(found.index, PEACE12.labels, found.split).to_pandas()
    frame["path"] = frame["path"].str.removeprefix(str(root))
    return frame


def same_as_before(cohort: str, root: Path, before: dict[str, pd.DataFrame]) -> None:
    """The manifest is that of the sound tree, the check counts the same, and nothing departs but absent recordings."""
    pd.testing.assert_frame_equal(manifest(cohort, root), before[cohort])
    contract = check_tree(cohort, root, PEACE12, load_config("debug"))
    assert contract.account == outcome(cohort, root).account
    assert set(contract.counts) <= {"missing_header", "encoding", "statements"}


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    """Cohort -> the manifest of its sound tree."""
    return {cohort: manifest(cohort, sound(cohort, tmp_path_factory.mktemp(cohort))) for cohort in COHORTS}


def rewrite(table: Path, change: Callable[[Rows], Rows], delimiter: str = ",", encoding: str = "utf-8") -> None:
    """Write a table anew, its rows changed, as a program would that quotes only where it must."""
    with table.open(encoding="utf-8", newline="") as stream:
        rows = change(list(csv.reader(stream)))
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\r\n").writerows(rows)
    table.write_bytes(text.getvalue().encode(encoding))


def same(rows: Rows) -> Rows:
    return rows


def cells(column: str, change: Callable[[str], str]) -> Callable[[Rows], Rows]:
    """Change each cell of a column."""

    def work(rows: Rows) -> Rows:
        at = rows[0].index(column)
        return [rows[0], *([*row[:at], change(row[at]), *row[at + 1 :]] for row in rows[1:])]

    return work


def every_table(cohort: str, root: Path) -> list[Path]:
    return sorted(path for path in root.glob("*.csv") if cohort != "zzu" or path.name == TABLES["zzu"])


def above(table: Path, line: bytes) -> None:
    """Semicolons, and a line above the header."""
    rewrite(table, same, ";")
    table.write_bytes(line + table.read_bytes())


WRITINGS: dict[str, Callable[[Path], None]] = {
    "semicolons": lambda table: rewrite(table, same, ";"),
    "tabs": lambda table: rewrite(table, same, "\t"),
    "bars": lambda table: rewrite(table, same, "|"),
    "Unicode text of a spreadsheet": lambda table: rewrite(table, same, "\t", "utf-16"),
    "a byte order mark": lambda table: rewrite(table, same, encoding="utf-8-sig"),
    "a byte order mark and semicolons": lambda table: rewrite(table, same, ";", "utf-8-sig"),
    "two byte order marks": lambda table: table.write_bytes(b"\xef\xbb\xbf" * 2 + table.read_bytes()),
    "cp1252": lambda table: rewrite(table, same, encoding="cp1252"),
    "GB 18030": lambda table: rewrite(table, same, encoding="gb18030"),
    "sep=,": lambda table: table.write_bytes(b"sep=,\r\n" + table.read_bytes()),
    "SEP=; in quotes": lambda table: above(table, b'"SEP=;"\r\n'),
    "sep=; and a mark": lambda table: above(table, b"\xef\xbb\xbfsep=;\n"),
    "old Macintosh line ends": lambda table: table.write_bytes(table.read_bytes().replace(b"\n", b"\r")),
    "an end as of DOS": lambda table: table.write_bytes(table.read_bytes() + b"\x1a"),
    "a form feed at the end": lambda table: table.write_bytes(table.read_bytes() + b"\x0c\n"),
}  # fmt: skip


FEW = ("semicolons", "Unicode text of a spreadsheet", "sep=; and a mark")


@pytest.mark.parametrize(
    ("cohort", "writing"),
    [("ptbxl", name) for name in WRITINGS] + [(c, name) for c in ("mimic", "zzu") for name in FEW],
)
def test_a_table_in_another_writing_gives_the_same_manifest(
    cohort: str, writing: str, tmp_path: Path, before: dict[str, pd.DataFrame]
) -> None:
    root = sound(cohort, tmp_path)
    for table in every_table(cohort, root):
        WRITINGS[writing](table)
    pd.testing.assert_frame_equal(manifest(cohort, root), before[cohort])


WIDE = str.maketrans("0123456789", "".join(chr(0xFF10 + digit) for digit in range(10)))
FORMS: list[Callable[[str], str]] = [
    lambda number: number,
    lambda number: f"{number}.0",
    lambda number: f"{number},0",
    lambda number: f"'{number}",
    lambda number: f'="{number}"',
    lambda number: f"000{number}",
    lambda number: f" {number} ",
    lambda number: f"{number[0]}.{number[1:] or 0}E+{len(number) - 1:02d}",
    lambda number: number.translate(WIDE),
]


@pytest.mark.parametrize("cohort", ["mimic", "ptbxl"])
def test_an_id_in_another_form_is_the_same_id(cohort: str, tmp_path: Path, before: dict[str, pd.DataFrame]) -> None:
    """All forms in one column, so that two forms of one patient meet; of both tables where there are two."""
    root = sound(cohort, tmp_path)
    turn = itertools.cycle(FORMS)
    for column in IDS[cohort]:
        for table in (TABLES[cohort],) if cohort == "ptbxl" else (TABLES[cohort], "machine_measurements.csv"):
            rewrite(root / table, cells(column, lambda cell: next(turn)(cell.removesuffix(".0"))))
    same_as_before(cohort, root, before)


def test_a_patient_of_zzu_is_who_the_record_says(tmp_path: Path, before: dict[str, pd.DataFrame]) -> None:
    root, turn = sound("zzu", tmp_path), itertools.cycle(["p{}", "{}", "{}.0", "P{} ", "'P{}'"])
    rewrite(root / TABLES["zzu"], cells("Patient_ID", lambda cell: next(turn).format(cell[1:])))
    same_as_before("zzu", root, before)


@pytest.mark.parametrize("cohort", COHORTS)
def test_a_path_in_another_form_is_the_same_path(cohort: str, tmp_path: Path, before: dict[str, pd.DataFrame]) -> None:
    forms: list[Callable[[str], str]] = [
        lambda path: path.replace("/", "\\"),
        lambda path: f".\\{path}".replace("/", "\\"),
        lambda path: f"./{path}",
        lambda path: path.replace("/", "/./"),
        lambda path: path.replace("/", "//"),
        lambda path: f"{path}.hea",
        lambda path: f"{path}.dat",
        lambda path: f"Child_ecg/{path}" if cohort == "zzu" else path,  # the folder that the column leaves out
    ]
    root, turn = sound(cohort, tmp_path), itertools.cycle(forms)
    rewrite(root / TABLES[cohort], cells(PATHS[cohort], lambda path: next(turn)(path)))
    same_as_before(cohort, root, before)


CURLY = {"\u2018\u2019": "cp1252", "\u201c\u201d": "utf-8", "\u2032\u2032": "utf-8", "``": "utf-8"}


@pytest.mark.parametrize("quotes", CURLY)
@pytest.mark.parametrize(("cohort", "columns"), [("ptbxl", ("scp_codes",)), ("zzu", ("AHA_code", "Gender"))])
def test_curly_quotes(
    cohort: str, columns: tuple[str, ...], quotes: str, tmp_path: Path, before: dict[str, pd.DataFrame]
) -> None:
    root = sound(cohort, tmp_path)
    for column in columns:
        curl = cells(column, lambda cell: re.sub("'([^']*)'", rf"{quotes[0]}\1{quotes[1]}", cell))
        rewrite(root / TABLES[cohort], curl)
    rewrite(root / TABLES[cohort], same, encoding=CURLY[quotes])
    same_as_before(cohort, root, before)


ABSENT = ("nan", "NaN", "", "NA", "N/A", "None", "<NA>", "null", "NULL", "#N/A", "NaT", "-", ".", "?", "unknown")


@pytest.mark.parametrize("cohort", COHORTS)
def test_who_has_no_id_is_nobody(cohort: str, tmp_path: Path) -> None:
    root = sound(cohort, tmp_path)
    turn = iter(ABSENT)
    rewrite(root / TABLES[cohort], cells(IDS[cohort][1], lambda cell: next(turn, cell)))
    found = outcome(cohort, root)
    assert found.account.left_out == {"no_patient_id": len(ABSENT)}
    assert set(found.index.frame.loc[found.index.frame["excluded"].notna(), "patient_id"]) == {""}
    contract = check_tree(cohort, root, PEACE12, load_config("debug"))
    assert contract.counts["patient_id"] == len(ABSENT)
    assert contract.account == found.account


@pytest.mark.parametrize(("cohort", "column"), [("ptbxl", "age"), ("zzu", "Age")])
def test_an_age_that_is_not_given_is_null_and_loses_no_record(
    cohort: str, column: str, tmp_path: Path, before: dict[str, pd.DataFrame]
) -> None:
    root, turn = sound(cohort, tmp_path), itertools.cycle(ABSENT)
    rewrite(root / TABLES[cohort], cells(column, lambda cell: next(turn)))
    ageless = before[cohort].assign(age_days=np.nan)
    same_as_before(cohort, root, {cohort: ageless})


MANGLED = ("1.57E+04", "########", "#REF!", "15,709", "15709.5", "Jan-57", "2024-01-05", "12345678901234500000")


@pytest.mark.parametrize(("cohort", "column"), [(cohort, column) for cohort in COHORTS for column in IDS[cohort]])
def test_ids_that_a_spreadsheet_mangled_stop_the_index(cohort: str, column: str, tmp_path: Path) -> None:
    root, turn = sound(cohort, tmp_path), iter(MANGLED)
    rewrite(root / TABLES[cohort], cells(column, lambda known: next(turn, known)))
    lines = ", ".join(str(line + 2) for line in range(len(MANGLED)))
    with pytest.raises(DataError, match=rf"{len(MANGLED)} cells of {column} .*\(line {lines}\): '1.57E\+04' has lost"):
        outcome(cohort, root)
    contract = check_tree(cohort, root, PEACE12, load_config("debug"))
    kind = "record_id" if column == IDS[cohort][0] else "patient_id"
    assert (contract.counts[kind], contract.counts["refused"]) == (len(MANGLED), 1)
    allowed = outcome(cohort, root, "index.mangled_ids=allow")
    assert allowed.index.notes["mangled_ids"] == len(MANGLED)
    assert len(allowed.index.frame) == RECORDS


@pytest.mark.parametrize("codes", ["NORM;SR", "", "nan", "{'NORM': 100.0"])
def test_where_no_codes_can_be_parsed_nothing_is_kept(codes: str, tmp_path: Path) -> None:
    root = sound("ptbxl", tmp_path)
    rewrite(root / TABLES["ptbxl"], cells("scp_codes", lambda cell: codes))
    found = outcome("ptbxl", root)
    assert found.account.left_out == {"bad_codes": RECORDS}
    assert found.refusal is not None
    assert f"ptbxl_database.csv line 2: scp_codes '{codes}'" in found.refusal.replace('"', "'")
    assert check_tree("ptbxl", root, PEACE12, load_config("debug")).counts["codes"] == RECORDS


@pytest.mark.parametrize("lines", [2, 80, 2000])
def test_a_quoted_report_over_many_lines_is_one_record(
    lines: int, tmp_path: Path, before: dict[str, pd.DataFrame]
) -> None:
    root = sound("ptbxl", tmp_path)
    turn = iter(range(100))
    long = "\n".join(f'line {n}, with "words"' for n in range(lines))
    rewrite(root / TABLES["ptbxl"], cells("report", lambda cell: long if next(turn) == 4 else cell))
    pd.testing.assert_frame_equal(manifest("ptbxl", root), before["ptbxl"])


def test_a_field_of_five_million_letters(tmp_path: Path, before: dict[str, pd.DataFrame]) -> None:
    root = sound("ptbxl", tmp_path)
    turn = iter(range(100))
    rewrite(root / TABLES["ptbxl"], cells("report", lambda cell: "x" * 5_000_000 if next(turn) == 4 else cell))
    pd.testing.assert_frame_equal(manifest("ptbxl", root), before["ptbxl"])


def test_a_stray_quote_spoils_its_own_row_among_rows_with_quotes(tmp_path: Path) -> None:
    root = sound("ptbxl", tmp_path)
    text = (root / TABLES["ptbxl"]).read_text(encoding="utf-8").splitlines()
    text[3] = text[3].replace(",gr\u00f6\u00dfe", ',"gr\u00f6\u00dfe')
    text[9] = text[9].replace("gr\u00f6\u00dfe,", 'gr\u00f6\u00dfe",')
    (root / TABLES["ptbxl"]).write_text("\n".join(text) + "\n", encoding="utf-8")
    found = outcome("ptbxl", root)
    assert len(found.index.frame) == RECORDS
    assert found.account.left_out == {"malformed_row": 1}


NESTED = {"ptbxl": "records500", "zzu": "Child_ecg", "mimic": "files"}


@pytest.mark.parametrize("cohort", COHORTS)
def test_a_tree_that_was_unpacked_twice_names_the_folder(cohort: str, tmp_path: Path) -> None:
    root, folder = sound(cohort, tmp_path), NESTED[cohort]
    (root / folder / folder / "P00").mkdir(parents=True)
    (root / folder / "__MACOSX").mkdir()
    with pytest.raises(DataError, match=rf"unpacked twice: the recordings are in {folder}/{folder}/"):
        outcome(cohort, root)
    assert check_tree(cohort, root, PEACE12, load_config("debug")).counts == {"tree": 1}
    (root / folder / "P00").mkdir()
    assert outcome(cohort, root).refusal is None


@pytest.mark.parametrize("cohort", COHORTS)
def test_nothing_kept_and_too_much_left_out(cohort: str, tmp_path: Path) -> None:
    root, turn = sound(cohort, tmp_path), iter(range(RECORDS))
    rewrite(root / TABLES[cohort], cells(PATHS[cohort], lambda path: path if next(turn) < 6 else f"../{path}"))
    found = outcome(cohort, root)
    assert (found.refusal, found.account.left_out) == (None, {"bad_path": 24})
    assert found.warning is not None
    assert re.match(rf"24 of 30 {cohort} records \(80%\) are left out, where the paper leaves out \d\d%", found.warning)
    assert f"Main reason: bad_path ({EXCLUSIONS['bad_path']}): 24, such as {TABLES[cohort]} line 8: " in found.warning
    strict = outcome(cohort, root, f"index.max_excluded.{cohort}=0.5", "index.too_many=error").refusal
    assert strict is not None
    assert "(limit: 0.5)" in strict
    rewrite(root / TABLES[cohort], cells(PATHS[cohort], lambda path: f"/{path}"))
    refusal = outcome(cohort, root).refusal
    assert refusal is not None
    assert refusal.startswith(f"none of the 30 {cohort} records is kept. Main reason: bad_path (")
    contract = check_tree(cohort, root, PEACE12, load_config("debug"))
    assert (contract.counts["path"], contract.counts["refused"]) == (30, 1)


@pytest.mark.parametrize("cohort", COHORTS)
def test_people_too_few_for_three_splits(cohort: str, tmp_path: Path) -> None:
    root = sound(cohort, tmp_path)
    one = {"ptbxl": "7", "zzu": "P00007", "mimic": "7"}[cohort]
    for table in every_table(cohort, root):
        if IDS[cohort][1] in table.read_text(encoding="utf-8"):
            rewrite(table, cells(IDS[cohort][1], lambda cell: one))
    refusal = outcome(cohort, root).refusal
    assert refusal is not None
    assert "no record is in val or test: the 30 kept records are of 1 patient, and each of train, val, test" in refusal
    assert outcome(cohort, root, "split.ratios=[1,0,0]").refusal is None
    settled = index_tree(cohort, sound(cohort, tmp_path / "many"), PEACE12, load_config("debug"), {})
    everybody = dict.fromkeys(settled.index.frame["patient_id"], "train")
    kept = index_tree(cohort, tmp_path / "many", PEACE12, load_config("debug"), everybody).refusal
    assert kept is not None
    assert "--keep-splits has its patients elsewhere" in kept
