"""ZZU-pECG: the real rows, and rows that are not as they should be."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from cohort_tables import zzu_row, zzu_tree

from peace.config import load_config
from peace.data.cohorts import read_cohort
from peace.data.cohorts.manifest import manifest_table
from peace.data.cohorts.zzu import parse_entries
from peace.data.labels import load_label_set

PEACE12 = load_label_set("peace12")


def manifest_of(root: Path, *overrides: str) -> pd.DataFrame:
    index = read_cohort("zzu", root, PEACE12, load_config("debug", None, overrides))
    split = pd.Series(None, index=index.frame.index, dtype="str")
    return manifest_table(index, PEACE12.labels, split).to_pandas().set_index("record_id")


@pytest.fixture
def published_rows(real_data: Path, tmp_path: Path) -> Path:
    """A tree of the 50 published rows, without signals."""
    (tmp_path / "Child_ecg").mkdir()
    shutil.copy(real_data / "zzu" / "AttributesDictionary.rows.csv", tmp_path / "AttributesDictionary.csv")
    shutil.copy(real_data / "zzu" / "ECGCode.csv", tmp_path / "ECGCode.csv")
    return tmp_path


@pytest.mark.real
def test_published_rows_read_by_hand(published_rows: Path) -> None:
    frame = manifest_of(published_rows)
    assert len(frame) == 50
    assert set(frame["excluded"].dropna()) == {"no_label"}
    by_hand = {
        "P03763_E01": ["IRBBB", "LVOLT", "STTC", "LQTS"],  # I105 J125 L146 L148, prose, E50, L150, Suggests211
        "P09634_E08": ["TAB_"],  # L147 beside the prose 'Left ventricular high voltage'
        "P00491_E01": [],  # E50 and that prose only
        "P04346_E02": ["LAFB", "CRBBB", "RAE", "LVH", "STTC"],  # I101 I106 K141 K142 L146 and rhythms
        "P09201_E01": ["IRBBB"],  # I105; L147+Modifier367 does not count
        "P01359_E01": ["RVH"],  # K143; L145+Modifier362 does not count
        "P10188_E17": ["CRBBB"],  # I106; I102 is the posterior block
        "P03763_E04": ["STTC", "TAB_", "LQTS"],  # L145 L146 L147 L148
        "P04071_E01": ["LAE", "RAE", "LVH", "STTC"],  # K140 K141 K142 L146
        "P04422_E01": [],  # J121
    }
    for record, labels in by_hand.items():
        assert list(frame.loc[record, "labels"]) == labels, record
    first = frame.loc["P03763_E01"]
    assert (first["patient_id"], first["age_days"], first["sex"], first["n_leads"]) == ("P03763", 3714, "male", 12)
    assert first["path"] == f"{published_rows}/Child_ecg/P03/P03763/P03763_E01"


@pytest.mark.real
def test_modified_codes_and_the_chinese_column_count_where_configured(published_rows: Path) -> None:
    modified = manifest_of(published_rows, "labels.modified_codes=true")
    assert list(modified.loc["P01359_E01", "labels"]) == ["RVH", "STTC"]
    assert list(modified.loc["P09201_E01", "labels"]) == ["IRBBB", "TAB_"]
    pd.testing.assert_series_equal(
        manifest_of(published_rows, "labels.code_columns=either")["labels"], manifest_of(published_rows)["labels"]
    )


@pytest.mark.real
def test_the_audit_of_published_rows_names_each_code(published_rows: Path) -> None:
    audit = read_cohort("zzu", published_rows, PEACE12, load_config("debug")).audit
    aha = audit[audit["vocabulary"] == "aha"].set_index("text")
    assert aha.loc["I105", ["meaning", "labels", "decided"]].tolist() == [
        "Incomplete right bundle-branch block",
        "IRBBB",
        "bare code",
    ]
    assert aha.loc["L145+Modifier362", "meaning"] == "ST deviation + Depression"
    assert aha.loc["L145+Modifier362", "decided"] == "modified code, not counted"
    assert aha.loc["Left ventricular high voltage", "decided"] == "prose"
    assert "unknown code" not in set(aha["decided"]), "every real code is in the published code book"
    chn = audit[audit["vocabulary"] == "chn"].set_index("text")
    assert chn.loc["J(111+112+113)", "meaning"] == "Low voltage"
    assert (chn["labels"] == "").all(), "the column is not read unless configured"


@pytest.mark.real
def test_the_real_recordings(real_data: Path) -> None:
    frame = manifest_of(real_data / "zzu")
    assert frame["excluded"].dropna().to_dict() == {
        "P10505_E02": "no_label",
        "P01493_E01": "no_label",
        "P99901_E01": "nine_leads",
    }
    assert all(Path(f"{path}.hea").exists() for path in frame["path"])
    nine = manifest_of(real_data / "zzu", "leads.require=9")
    assert pd.isna(nine.loc["P99901_E01", "excluded"])
    assert nine.loc["P99901_E01", "n_leads"] == 9
    assert list(nine.loc["P99901_E01", "labels"]) == ["TAB_"]


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("'E50';'I105'", ["E50", "I105"]),
        ("'J(111+112+113)';'L121+Depression'", ["J(111+112+113)", "L121+Depression"]),
        ("'Sinoatrial block, type II' ; 'A1'", ["Sinoatrial block, type II", "A1"]),
        ("A1;A2", ["A1", "A2"]),
        ("Null", []),
        ("", []),
        ("'A1';", ["A1"]),
        ("'A1;'A2'", None),
        ("'A1", None),
    ],
)
def test_entries_of_a_code_column(text: str, entries: list[str] | None) -> None:
    assert parse_entries(text) == entries


def test_odd_rows_are_counted_and_named(tmp_path: Path) -> None:
    rows = [
        zzu_row("P00001_E01"),
        zzu_row("P00002_E01", Age="Null", Gender="Null"),
        zzu_row("P00003_E01", Age="12 parsecs"),
        zzu_row("P00004_E01", Age="999999d"),
        zzu_row("P00005_E01", Lead="7"),
        zzu_row("P00006_E01", Lead="9"),
        zzu_row("P00007_E01", AHA_code="'A1;'L147'"),
        zzu_row("P00008_E01", AHA_code="Null"),
        zzu_row("P00009_E01", Patient_ID=""),
        zzu_row("P00010_E01", Filename="../../../etc/passwd"),
        zzu_row("P00001_E01", Filename="P00/P00001/other"),
        zzu_row("P00011_E01", ECG_ID="Null"),
        zzu_row("P00012_E01", AHA_code="'Q999';'A1'"),
        zzu_row("P00013_E01", AHA_code="'Sinoatrial block, type II'"),  # a comma outside double quotes
        zzu_row("P00014_E01", AHA_code="\"'Sinoatrial block, type II';'A2'\""),
    ]
    frame = manifest_of(zzu_tree(tmp_path, rows))
    assert frame["excluded"].dropna().to_dict() == {
        "P00003_E01": "bad_age",
        "P00004_E01": "bad_age",
        "P00005_E01": "bad_lead_count",
        "P00006_E01": "nine_leads",
        "P00007_E01": "bad_codes",
        "P00008_E01": "no_label",
        "P00009_E01": "no_patient_id",
        "P00010_E01": "bad_path",
        "P00001_E01@line-12": "duplicate_record_id",
        "@line-13": "no_record_id",
        "@line-15": "malformed_row",
    }
    assert len(frame) == len(rows)
    assert pd.isna(frame.loc["P00002_E01", "age_days"])
    assert pd.isna(frame.loc["P00002_E01", "sex"])
    assert list(frame.loc["P00014_E01", "labels"]) == ["NORM"]


def test_a_tree_unpacked_without_its_outer_folder(tmp_path: Path) -> None:
    root = zzu_tree(tmp_path, [zzu_row("P02222_E01")])
    (root / "Child_ecg").rmdir()
    (root / "P02").mkdir()
    assert manifest_of(root).loc["P02222_E01", "path"] == f"{root}/P02/P02222/P02222_E01"
