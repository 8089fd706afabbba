"""MIMIC-IV-ECG: reports joined by study, and rows that are not as they should be."""

from pathlib import Path

import pandas as pd
import pytest
from cohort_tables import mimic_measurement, mimic_record, mimic_tree

from peace.config import load_config
from peace.core.errors import DataError
from peace.data.cohorts import read_cohort
from peace.data.cohorts.manifest import manifest_table
from peace.data.labels import load_label_set

PEACE12 = load_label_set("peace12")
A, B, C = "10000032", "10000980", "10001217"


def manifest_of(root: Path) -> pd.DataFrame:
    index = read_cohort("mimic", root, PEACE12, load_config("debug"))
    split = pd.Series(None, index=index.frame.index, dtype="str")
    return manifest_table(index, PEACE12.labels, split).to_pandas().set_index("record_id")


def test_reports_are_joined_by_patient_and_study(tmp_path: Path) -> None:
    """Joined by patient alone, as peers do, study 2 would get study 1's block, and 1 would lose its NORM."""
    records = [mimic_record(A, "40000001"), mimic_record(A, "40000002"), mimic_record(B, "40000003")]
    measurements = [
        mimic_measurement(B, "40000003", ["Sinus rhythm.", "Prolonged QT interval."]),
        mimic_measurement(A, "40000002", ["Right bundle branch block", "Lateral T wave changes"]),
        mimic_measurement(A, "40000001", {3: "Normal ECG"}),  # blank columns before a filled one
        mimic_measurement(C, "40000009", ["Right bundle branch block"]),  # of no record
    ]
    root = mimic_tree(tmp_path, records, measurements)
    frame = manifest_of(root)
    assert {record: list(labels) for record, labels in frame["labels"].items()} == {
        "40000001": ["NORM"],
        "40000002": ["CRBBB", "TAB_"],
        "40000003": ["LQTS"],
    }
    first = frame.loc["40000001"]
    assert first["path"] == f"{root}/files/p1000/p{A}/s40000001/40000001"
    assert (first["patient_id"], first["n_leads"]) == (A, 12)
    assert frame["age_days"].isna().all()
    assert frame["sex"].isna().all(), "the tables hold neither age nor sex"


def test_what_cannot_be_labelled_or_placed_is_counted(tmp_path: Path) -> None:
    records = [
        mimic_record(A, "40000001"),
        mimic_record(A, "40000002"),
        mimic_record(A, "40000003"),
        mimic_record(A, "40000004"),
        mimic_record("", "40000005", "files/p1/5"),
        mimic_record(B, "", "files/p1/6"),
        mimic_record(B, "40000001", "files/p1/7"),
        mimic_record(B, "40000008", "files/../../etc/passwd"),
        mimic_record(B, "40000009", f"files/p1000/p{A}/s40000001/40000001"),
        "10000980,40000010",
    ]
    studies = [(A, "40000001", "Normal ECG"), (A, "40000003", "Sinus rhythm"), (B, "40000008", "Normal ECG")]
    measurements = [mimic_measurement(subject, study, [line]) for subject, study, line in studies]
    measurements.append(
        mimic_measurement(A, "40000004", ["LVH", "--- Recording unsuitable for analysis - please repeat ---"])
    )
    measurements.append("10000032,40000002,torn")
    index = read_cohort("mimic", mimic_tree(tmp_path, records, measurements), PEACE12, load_config("debug"))
    reasons = index.frame.set_index("record_id")["excluded"]
    assert reasons.dropna().to_dict() == {
        "40000002": "no_measurements",
        "40000003": "no_label",
        "40000004": "unusable_report",
        "40000005": "no_patient_id",
        "@line-7": "no_record_id",
        "40000001@line-8": "duplicate_record_id",
        "40000008": "bad_path",
        "40000009": "duplicate_path",
        "@line-11": "malformed_row",
    }
    assert index.notes == {
        "mangled_ids": 0,
        "measurement_rows_malformed": 1,
        "measurement_rows_without_record": 0,
        "measurement_rows_repeated": 0,
        "records_with_doubtful_labels": 0,
        "records_with_masked_leads": 0,
    }


def test_lines_of_a_repeated_measurement_row_add_up(tmp_path: Path) -> None:
    measurements = [
        mimic_measurement(A, "40000001", [line]) for line in ("Normal ECG", "Low voltage, precordial leads")
    ]
    root = mimic_tree(tmp_path, [mimic_record(A, "40000001")], measurements)
    index = read_cohort("mimic", root, PEACE12, load_config("debug"))
    assert PEACE12.names(index.targets[0]) == ["LVOLT"], "NORM gives way to what the other row says"
    assert index.notes["measurement_rows_repeated"] == 1


def test_the_audit_counts_every_line(tmp_path: Path) -> None:
    records = [mimic_record(A, f"4000000{number}") for number in range(1, 4)]
    measurements = [
        mimic_measurement(A, "40000001", ["Sinus rhythm", "LVH with  secondary repolarization abnormality"]),
        mimic_measurement(A, "40000002", ["Sinus rhythm.", "T wave inversion no longer evident"]),
        mimic_measurement(A, "40000003", ["Sinus rhythm", "Suspect limb lead reversal - only V1-V6 analyzed"]),
    ]
    audit = read_cohort("mimic", mimic_tree(tmp_path, records, measurements), PEACE12, load_config("debug")).audit
    assert audit.set_index("text")[["count", "labels", "decided"]].T.to_dict("list") == {
        "Sinus rhythm": [3, "", "none: rhythm"],
        "LVH with secondary repolarization abnormality": [1, "LVH STTC", "left ventricular hypertrophy, ST-T change"],
        "T wave inversion no longer evident": [1, "", "nothing: no longer present"],
        "Suspect limb lead reversal - only V1-V6 analyzed": [1, "", "unusable recording: lead reversal"],
    }


def test_what_a_report_leaves_open_and_a_lead_it_could_not_read_stand_in_the_manifest(tmp_path: Path) -> None:
    reports = {
        "40000001": [
            "Sinus rhythm. Normal ECG",
            "Consider RVH or posterior infarct",
            "Lead(s) unsuitable for analysis: V1",
        ],
        "40000002": [
            "LVH",
            "LVH cannot be excluded",
            "Probably normal ECG",
            "Possible faulty V2 - omitted from analysis",
        ],
        "40000003": ["Anterior infarct or LVH"],
        "40000004": ["LVH", "Lead(s) unsuitable for analysis: I-III, aVR, aVL, aVF, I, II, III, V1-V6"],
    }
    root = mimic_tree(
        tmp_path,
        [mimic_record(A, study) for study in reports],
        [mimic_measurement(A, study, lines) for study, lines in reports.items()],
    )
    frame = manifest_of(root)
    found = frame[["labels", "doubtful", "masked_leads"]].map(list).T.to_dict("list")
    assert found["40000001"] == [["NORM"], ["RVH"], ["V1"]]
    assert found["40000002"] == [["LVH"], [], ["V2"]], "another line states it, and a label rules out a normal ECG"
    assert found["40000003"] == [[], ["LVH"], []]
    assert frame["excluded"].dropna().to_dict() == {"40000003": "no_label", "40000004": "unusable_report"}
    index = read_cohort("mimic", root, PEACE12, load_config("debug"))
    assert (index.notes["records_with_doubtful_labels"], index.notes["records_with_masked_leads"]) == (1, 2)
    audit = index.audit.set_index("text")
    assert audit.loc["Consider RVH or posterior infarct", ["labels", "doubtful"]].tolist() == ["", "RVH"]
    assert audit.loc["Lead(s) unsuitable for analysis: V1", "decided"] == "masked leads: V1"
    negative = read_cohort("mimic", root, PEACE12, load_config("debug", overrides=["labels.doubtful=negative"]))
    assert (negative.frame["doubtful"] == "").all(), "counted as absent, as the paper must have done"


def test_the_share_of_lines_that_no_rule_met_is_weighted_by_use(tmp_path: Path) -> None:
    reports = [["Sinus rhythm", "Normal ECG"], ["Sinus rhythm", "LVH"], ["Gibberish of a new cart", "LVH"]]
    studies = [f"4000000{number}" for number in range(len(reports))]
    root = mimic_tree(
        tmp_path,
        [mimic_record(A, study) for study in studies],
        [mimic_measurement(A, study, lines) for study, lines in zip(studies, reports, strict=True)],
    )
    audit = read_cohort("mimic", root, PEACE12, load_config("debug")).audit
    assert audit.loc[audit["check"] == "4 no rule", "text"].tolist() == ["Gibberish of a new cart"]
    assert set(audit["no_rule_share"]) == {round(1 / 6, 6)}


@pytest.mark.parametrize("table", ["record_list.csv", "machine_measurements.csv"])
def test_a_missing_column_is_named(tmp_path: Path, table: str) -> None:
    root = mimic_tree(tmp_path, [mimic_record(A, "1")], [mimic_measurement(A, "1", ["LVH"])])
    text = (root / table).read_text(encoding="utf-8")
    (root / table).write_text(text.replace("study_id", "studyid", 1), encoding="utf-8")
    with pytest.raises(DataError, match=rf"{table} has no column 'study_id'; did you mean 'studyid'"):
        read_cohort("mimic", root, PEACE12, load_config("debug"))
