"""The label audit: every string, in the order in which a reader checks them, with records to look up."""

from pathlib import Path

import pytest
from cohort_tables import mimic_measurement, mimic_record, mimic_tree, ptbxl_row, ptbxl_tree, zzu_row, zzu_tree

from peace.config import load_config
from peace.data.cohorts import read_cohort
from peace.data.cohorts.audit import EXAMPLES
from peace.data.labels import load_label_set

PEACE12 = load_label_set("peace12")


def test_the_audit_is_read_in_three_parts_each_with_the_most_frequent_first(tmp_path: Path) -> None:
    reports = [
        *[["Sinus rhythm", "Normal ECG"]] * 7,
        *[["Sinus rhythm", "Borderline T abnormalities, diffuse leads"]] * 2,
        ["Atrial fibrillation", "RBBB and LAFB"],
        ["Sinus rhythm", "No LVH", "LAD, consider left anterior fascicular block"],
        ["Right bundle branch block", "", "Right bundle branch block."],
    ]
    studies = [f"400000{number:02d}" for number in range(len(reports))]
    root = mimic_tree(
        tmp_path,
        [mimic_record("10000032", study) for study in studies],
        [mimic_measurement("10000032", study, lines) for study, lines in zip(studies, reports, strict=True)],
    )
    audit = read_cohort("mimic", root, PEACE12, load_config("debug")).audit
    assert audit[["check", "text", "count", "labels", "share"]].values.tolist() == [
        ["1 labelled", "Normal ECG", 7, "NORM", 0.6364],
        ["1 labelled", "LAD, consider left anterior fascicular block", 1, "LAFB", 0.7273],
        ["1 labelled", "Right bundle branch block", 2, "CRBBB", 0.9091],
        ["1 labelled", "RBBB and LAFB", 1, "LAFB CRBBB", 1.0],
        ["2 set aside by a rule", "Borderline T abnormalities, diffuse leads", 2, "", 0.6667],
        ["2 set aside by a rule", "No LVH", 1, "", 1.0],
        ["3 no label", "Sinus rhythm", 10, "", 0.9091],
        ["3 no label", "Atrial fibrillation", 1, "", 1.0],
    ]
    examples = audit.set_index("text")["examples"].str.split()
    assert examples["Normal ECG"] == studies[:EXAMPLES]
    assert examples["No LVH"] == [studies[10]]
    assert examples["Right bundle branch block"] == [studies[11]], "one record, though it has the line twice"


@pytest.mark.parametrize("cohort", ["zzu", "ptbxl"])
def test_codes_name_records_that_have_them(cohort: str, tmp_path: Path) -> None:
    if cohort == "zzu":
        codes = ["'A1'", "'L147';'Q999'", "'L145+Modifier362'"]
        rows = [zzu_row(f"P0000{number}_E01", AHA_code=text) for number, text in enumerate(codes)]
        root, last = zzu_tree(tmp_path, rows), "L145+Modifier362"
    else:
        codes = ["NORM", "LAFB", "LNGQT"]
        rows = [ptbxl_row(str(number), scp_codes=f"\"{{'{code}': 0.0}}\"") for number, code in enumerate(codes)]
        root, last = ptbxl_tree(tmp_path, rows), "LNGQT"
    index = read_cohort(cohort, root, PEACE12, load_config("debug"))
    audit = index.audit[index.audit["vocabulary"].isin(["aha", "scp"])].set_index("text")
    assert audit.loc[last, "examples"] == index.frame["record_id"].iloc[2]
    assert (audit["examples"] != "").all()
