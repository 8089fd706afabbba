"""PTB-XL: the real 500 records, and rows that are not as they should be."""

from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from cohort_tables import PTBXL_HEADER, ptbxl_row, ptbxl_tree

from peace.config import load_config
from peace.core.errors import DataError
from peace.data.cohorts import read_cohort
from peace.data.cohorts.manifest import manifest_table
from peace.data.labels import load_label_set

PEACE12 = load_label_set("peace12")


def manifest_of(root: Path, *overrides: str) -> pd.DataFrame:
    index = read_cohort("ptbxl", root, PEACE12, load_config("debug", None, overrides))
    split = pd.Series(None, index=index.frame.index, dtype="str")
    return manifest_table(index, PEACE12.labels, split).to_pandas().set_index("record_id")


@pytest.mark.real
def test_the_real_records_carry_the_expected_labels(real_data: Path) -> None:
    frame = manifest_of(real_data / "ptbxl")
    kept = frame[frame["excluded"].isna()]
    assert len(frame) == 500
    assert frame["excluded"].value_counts().to_dict() == {"no_label": 76}
    assert Counter(label for labels in kept["labels"] for label in labels) == {
        "NORM": 297, "STTC": 49, "LVH": 35, "LAFB": 32, "IRBBB": 20, "CRBBB": 8, "LAE": 4, "RAE": 3, "RVH": 2,
    }  # fmt: skip
    assert frame["patient_id"].nunique() == 466
    assert Path(f"{frame.loc['1', 'path']}.hea").exists()
    assert all(Path(path).is_absolute() for path in frame["path"])


@pytest.mark.real
def test_real_rows_read_by_hand(real_data: Path) -> None:
    """Rows 1, 2 and 500 of the table: woman of 56 years; man of 19; {'IMI', 'LVH', 'ISC_', 'IVCD', ...}."""
    frame = manifest_of(real_data / "ptbxl")
    first, second, last = frame.loc["1"], frame.loc["2"], frame.loc["500"]
    assert (first["patient_id"], first["sex"], first["age_days"]) == ("15709", "female", 20454)
    assert list(first["labels"]) == ["NORM"], "LVOLT is a form statement: not LVOLT of the twelve"
    assert (second["patient_id"], second["sex"], second["age_days"]) == ("13243", "male", 6940)
    assert list(last["labels"]) == ["LVH"]
    assert first["n_leads"] == 12


def test_odd_rows_are_counted_and_named(tmp_path: Path) -> None:
    rows = [
        ptbxl_row("1"),
        ptbxl_row("2", age="300.0"),
        ptbxl_row("3", age=""),
        ptbxl_row("4", age="old"),
        ptbxl_row("5", age="-3"),
        ptbxl_row("6", scp_codes="\"{'NORM': 100.0\""),
        ptbxl_row("7", scp_codes="\"__import__('os').system('true')\""),
        ptbxl_row("8", scp_codes=""),
        ptbxl_row("9", patient_id=""),
        ptbxl_row("10", filename_hr="../../etc/passwd"),
        ptbxl_row("11", filename_hr="/etc/passwd"),
        ptbxl_row("12", filename_hr="records500/00000/00001_hr"),
        ptbxl_row("1", filename_hr="records500/00000/other_hr"),
        ptbxl_row("", filename_hr="records500/00000/nameless_hr"),
        ptbxl_row("13", scp_codes="\"{'SR': 0.0, 'XYZ': 15.0}\""),
        ptbxl_row("14") + ",one,field,more",
        "15,3",
        ptbxl_row("16", sex="7"),
    ]
    frame = manifest_of(ptbxl_tree(tmp_path, rows))
    assert frame["excluded"].dropna().to_dict() == {
        "4": "bad_age",
        "5": "bad_age",
        "6": "bad_codes",
        "7": "bad_codes",
        "8": "bad_codes",
        "9": "no_patient_id",
        "10": "bad_path",
        "11": "bad_path",
        "12": "duplicate_path",
        "1@line-14": "duplicate_record_id",
        "@line-15": "no_record_id",
        "13": "no_label",
        "@line-17": "malformed_row",
        "@line-18": "malformed_row",
    }
    assert len(frame) == len(rows)
    assert frame.index.is_unique
    assert frame.loc["2", "age_days"] == round(90 * 365.25), "above 89 is stored as 300; 90 is the least it can be"
    assert pd.isna(frame.loc["3", "age_days"])
    assert pd.isna(frame.loc["16", "sex"])
    assert frame.loc["10", "path"] == ""


@pytest.mark.parametrize(
    "path",
    [
        "../x", "a/../../x", "a/..", "..", "./../x", "/x", "~/x", "\\\\host\\x", "a\\..\\x", "C:\\x", "//x", "a/", "",
        "./", "a\tb/x", "a\x00b",
    ],
)  # fmt: skip
def test_no_path_leaves_the_tree(tmp_path: Path, path: str) -> None:
    frame = manifest_of(ptbxl_tree(tmp_path, [ptbxl_row("1"), ptbxl_row("2", filename_hr=path)]))
    assert frame.loc["2", "excluded"] == "bad_path"
    assert frame.loc["2", "path"] == ""
    assert pd.isna(frame.loc["1", "excluded"])


def test_unknown_codes_are_in_the_audit(tmp_path: Path) -> None:
    rows = [ptbxl_row(str(number), scp_codes="\"{'NORM': 0.0, 'XYZ': 15.0}\"") for number in (1, 2)]
    index = read_cohort("ptbxl", ptbxl_tree(tmp_path, rows), PEACE12, load_config("debug"))
    audit = index.audit.set_index("text")
    assert audit.loc["XYZ", ["count", "labels", "decided"]].tolist() == [2, "", "unknown code"]
    assert audit.loc["NORM", ["count", "labels", "decided"]].tolist() == [2, "NORM", "subclass NORM"]
    assert index.notes["unknown_codes"] == 1


def test_official_folds(tmp_path: Path) -> None:
    rows = [ptbxl_row(str(number), strat_fold=str(number)) for number in range(1, 11)] + [
        ptbxl_row("11", strat_fold="")
    ]
    index = read_cohort(
        "ptbxl", ptbxl_tree(tmp_path, rows), PEACE12, load_config("debug", None, ["split.official_folds=true"])
    )
    assert index.official_split is not None
    assert index.official_split.tolist()[:10] == ["train"] * 8 + ["val", "test"]
    assert index.frame["excluded"].dropna().to_dict() == {10: "no_fold"}


def test_folds_are_wanted_only_where_they_are_used(tmp_path: Path) -> None:
    root = ptbxl_tree(tmp_path, [ptbxl_row()], PTBXL_HEADER.replace("strat_fold", "fold"))
    assert pd.isna(manifest_of(root).loc["1", "excluded"])
    with pytest.raises(DataError, match="has no column 'strat_fold'; did you mean 'fold'"):
        manifest_of(root, "split.official_folds=true")


def test_a_report_may_run_over_lines_and_a_stray_quote_spoils_one(tmp_path: Path) -> None:
    rows = [
        ptbxl_row("1", report='"first line\nsecond, line"'),
        ptbxl_row("2", report='torn " quote'),
        ptbxl_row("3", report='"unclosed'),
        ptbxl_row("4"),
        ptbxl_row("5"),
    ]
    frame = manifest_of(ptbxl_tree(tmp_path, rows))
    assert frame["excluded"].dropna().to_dict() == {"@line-5": "malformed_row"}
    assert len(frame) == 5


@pytest.mark.parametrize("name", ["scp_codes", "patient_id", "filename_hr"])
def test_a_missing_column_is_named_with_its_nearest(tmp_path: Path, name: str) -> None:
    root = ptbxl_tree(tmp_path, [ptbxl_row()], PTBXL_HEADER.replace(name, f"{name}x"))
    with pytest.raises(DataError, match=rf"ptbxl_database\.csv has no column '{name}'; did you mean '{name}x'"):
        read_cohort("ptbxl", root, PEACE12, load_config("debug"))
