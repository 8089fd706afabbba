"""What codes, statements and report lines mean under the embedded label set."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peace.data.labels import load_label_set

PEACE12 = load_label_set("peace12")
STATEMENTS = {
    "NORM": "NORM",
    "LAFB": "LAFB/LPFB",
    "LPFB": "LAFB/LPFB",
    "LNGQT": "STTC",
    "NDT": "STTC",
    "NST_": "NST_",
    "LAO/LAE": "LAO/LAE",
    "CLBBB": "CLBBB",
}

# Lines as the two kinds of cart print them, and what a cardiologist would read in them.
LINES = {
    "Normal ECG": ["NORM"],
    "NORMAL ECG.": ["NORM"],
    "Summary: Normal ECG": ["NORM"],
    "Normal ECG except for rate": [],
    "Abnormal ECG": [],
    "Borderline ECG": [],
    "Small inferior Q waves noted: probably normal ECG": [],
    "Left anterior fascicular block": ["LAFB"],
    "Possible left anterior fascicular block": ["LAFB"],
    "LAD, consider left anterior fascicular block": ["LAFB"],
    "Left posterior fascicular block": [],
    "RBBB with left anterior fascicular block": ["LAFB", "CRBBB"],
    "RBBB and LAFB": ["LAFB", "CRBBB"],
    "RBBB and LPFB": ["CRBBB"],
    "RBBB with RAD - possible left posterior fascicular block": ["CRBBB"],
    "Incomplete RBBB and LAFB": ["LAFB", "IRBBB"],
    "Incomplete right bundle branch block": ["IRBBB"],
    "Right bundle branch block": ["CRBBB"],
    "Right bundle-branch block": ["CRBBB"],
    "IVCD, consider atypical RBBB": [],
    "I.V. CONDUCTION DEFECT OF RIGHT BUNDLE BRANCH BLOCK TYPE": [],
    "Left bundle branch block has replaced right bundle branch block": [],
    "Left bundle branch block": [],
    "Low QRS voltages in limb leads": ["LVOLT"],
    "Generalized low QRS voltages": ["LVOLT"],
    "Low voltage, extremity and precordial leads": ["LVOLT"],
    "Low voltage with right axis deviation": ["LVOLT"],
    "Borderline low voltage, extremity leads": [],
    "Probable left atrial enlargement": ["LAE"],
    "Possible left atrial abnormality": ["LAE"],
    "LAE, consider biatrial enlargement": ["LAE"],
    "Possible biatrial enlargement": ["LAE", "RAE"],
    "Right atrial enlargement": ["RAE"],
    "Left ventricular hypertrophy by voltage only": ["LVH"],
    "Possible left ventricular hypertrophy": ["LVH"],
    "Possible biventricular hypertrophy": ["LVH", "RVH"],
    "LVH with secondary repolarization abnormality": ["LVH", "STTC"],
    "RVH with secondary repolarization abnormality": ["RVH", "STTC"],
    "QRS changes V3/V4 may be due to LVH but cannot rule out anterior infarct": [],
    "Q in V1/V2 may be due to LVH though septal infarct cannot be excluded": [],
    "Lateral ST-T changes may be due to hypertrophy and/or ischemia": ["STTC"],
    "Lateral ST-T changes are probably due to ventricular hypertrophy": ["STTC"],
    "Cannot rule out left ventricular hypertrophy": [],
    "Left ventricular hypertrophy cannot be excluded": [],
    "No LVH": [],
    "Right ventricular hypertrophy is no longer present": [],
    "Prolonged QT interval": ["LQTS"],
    "Prolonged QT - consider ischemia, electrolyte imbalance, drug effects": ["LQTS"],
    "Long QTc interval": ["LQTS"],
    "Borderline prolonged QT interval": [],
    "QT has lengthened": [],
    "Short QT interval": [],
    "Anterior T wave changes are nonspecific": ["TAB_"],
    "Nonspecific T abnormalities, lateral leads": ["TAB_"],
    "Nonspecific T abnrm, anterolateral leads": ["TAB_"],
    "Abnormal T, consider ischemia, lateral leads": ["TAB_"],
    "T wave inversion now evident in lateral leads": ["TAB_"],
    "T wave inversion no longer evident in lateral leads": [],
    "Inferior T wave abnormality is borderline": [],
    "Borderline T abnormalities, diffuse leads": [],
    "ST-T changes": ["STTC"],
    "ST & T wave abnormality, consider inferior ischemia": ["STTC"],
    "Inferior ST elevation - cannot rule out myocardial injury": ["STTC"],
    "Minimal ST depression, inferior leads": ["STTC"],
    "Repol abnrm suggests ischemia, lateral leads": ["STTC"],
    "ST no longer depressed in lateral leads": [],
    "ST elev, probable normal early repol pattern": [],
    "rSr'(V1) - probable normal variant": [],
    "Inferior ST-T abnormality may be age and gender related : consider normal variant": [],
    # what is denied, doubted or past
    "No evidence of left ventricular hypertrophy": [],
    "Without evidence of LVH": [],
    "Cannot exclude left ventricular hypertrophy": [],
    "Can't rule out right atrial enlargement": [],
    "R/O LVH": [],
    "Left ventricular hypertrophy is not present": [],
    "Left atrial enlargement is not ruled out": [],
    "Questionable left atrial enlargement": [],
    "Prolonged QT interval has resolved": [],
    "Compared to previous tracing, LVH is no longer seen": [],
    "Right bundle branch block has replaced incomplete right bundle branch block": ["CRBBB"],
    "Left ventricular hypertrophy is now evident": ["LVH"],
    # what is held possible or probable counts, what is only to be considered does not
    "Consider right ventricular hypertrophy": [],
    "Possible RVH, consider biventricular hypertrophy": ["RVH"],
    "Probable LVH with secondary repol abnrm": ["LVH", "STTC"],
    "Right bundle branch block plus possible left anterior fascicular block": ["LAFB", "CRBBB"],
    # a cause, an alternative, or what is normal at this age
    "Prolonged QT, possibly due to hypokalemia": ["LQTS"],
    "Anterior Q waves may be due to LVH": [],
    "Repolarization changes may be partly due to rhythm": ["STTC"],
    "Low voltage QRS, consider pulmonary disease, pericardial effusion, or normal variant": ["LVOLT"],
    "Minimal voltage criteria for LVH, may be normal variant": [],
    "Borderline voltage criteria for LVH": [],
    "Inferior/lateral T changes may be age and gender related": [],
    "Nonspecific ST-T abnormality may be due to age and gender": [],
    "Anterior T wave changes may be normal for age and gender": [],
    # incomplete, wherever it stands
    "Right bundle branch block, incomplete": ["IRBBB"],
    "Incomplete right bundle-branch block": ["IRBBB"],
    "Incomplete left bundle branch block": [],
    # normal only where the whole line says so
    "Otherwise normal ECG": ["NORM"],
    "Probable normal ECG": [],
    "Not a normal ECG": [],
    "Sinus rhythm with 1st degree A-V block": [],
    "": [],
}


@pytest.mark.parametrize(("line", "labels"), LINES.items())
def test_a_report_line_means_what_a_reader_takes_from_it(line: str, labels: list[str]) -> None:
    assert PEACE12.from_report([line]) == labels


@given(
    line=st.sampled_from(sorted(LINES)),
    change=st.sampled_from([str.upper, str.lower, lambda text: f"  {text}. ", lambda text: text.replace(" ", "   ")]),
)
def test_case_spaces_and_full_stop_do_not_matter(line: str, change: object) -> None:
    assert callable(change)
    assert PEACE12.read_line(change(line)).labels == PEACE12.read_line(line).labels


def test_normal_stands_only_alone() -> None:
    assert PEACE12.from_report(["Sinus rhythm", "Normal ECG"]) == ["NORM"]
    assert PEACE12.from_report(["Normal ECG", "Low voltage, precordial leads"]) == ["LVOLT"]
    assert PEACE12.from_report(["Normal ECG", "Sinus bradycardia"]) == ["NORM"], "a rhythm is none of the twelve"


def test_lines_of_a_report_add_up_in_label_order() -> None:
    assert PEACE12.from_report(["Lateral T wave changes", "", "Prolonged QT interval", "RBBB and LAFB"]) == [
        "LAFB",
        "CRBBB",
        "TAB_",
        "LQTS",
    ]


def test_a_reading_names_the_rule_that_decided() -> None:
    assert PEACE12.read_line("T wave inversion no longer evident").decided == "nothing: no longer present"
    assert "cut: cause" in PEACE12.read_line("Lateral ST-T changes may be due to ischemia").decided
    assert PEACE12.read_line("Atrial fibrillation").decided == "none: rhythm"
    assert PEACE12.read_line("Gibberish of a new cart").decided == "no rule"


def test_reports_of_unreadable_recordings_are_told_apart_from_mild_warnings() -> None:
    assert PEACE12.unusable("--- Recording unsuitable for analysis - please repeat ---")
    assert PEACE12.unusable("--- Suspect arm lead reversal - only aVF, V1-V6 analyzed ---")
    assert PEACE12.unusable("--- Warning: Data quality may affect interpretation ---") is None
    assert PEACE12.unusable("Poor quality data, interpretation may be affected") is None


@pytest.mark.real
def test_the_345_strings_of_a_public_project_map_as_the_method_says(real_data: Path) -> None:
    lines = (real_data / "mimic" / "diagnosis_strings.txt").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 345
    found: dict[tuple[str, ...], list[str]] = {}
    for line in lines:
        found.setdefault(PEACE12.read_line(line).labels, []).append(line.strip())
    few = {labels: sorted(texts) for labels, texts in found.items() if labels not in {(), ("STTC",), ("TAB_",)}}
    assert few == {
        ("NORM",): ["normal ECG"],
        ("LAFB",): ["anterior fascicular block", "left anterior fascicular block"],
        ("IRBBB",): ["incomplete right bundle branch block"],
        ("CRBBB",): ["right bundle branch block"],
        ("LVOLT",): [
            "generalized low QRS voltages",
            "low QRS voltages in limb leads",
            "low QRS voltages in precordial leads",
            "low voltage",
            "low voltage in the extremity and precordial leads",
            "low voltage in the extremity leads",
            "low voltage in the precordial leads",
        ],
        ("LAE",): ["left atrial abnormality", "left atrial enlargement"],
        ("RAE",): ["right atrial abnormality", "right atrial enlargement"],
        ("LAE", "RAE"): ["biatrial enlargement"],
        ("LVH",): ["left ventricular hypertrophy", "voltage criteria for left ventricular hypertrophy"],
        ("RVH",): ["right ventricular hypertrophy"],
        ("LVH", "RVH"): ["biventricular hypertrophy"],
        ("LQTS",): ["long QTc interval", "prolonged QT interval"],
    }
    assert len(found["STTC",]) == 69
    assert all(" ST" in f" {text}" or "repolarization" in text for text in found["STTC",])
    assert len(found["TAB_",]) == 29
    assert all("T wave" in text and "ST" not in text for text in found["TAB_",])
    assert not any("borderline" in text for labels, texts in found.items() if labels for text in texts)


@pytest.mark.parametrize(
    ("codes", "labels"),
    [
        (["A1"], ["NORM"]),
        (["A2"], ["NORM"]),
        (["L146", "I101", "L145"], ["LAFB", "STTC"]),
        (["I106", "J125", "K140", "K141"], ["CRBBB", "LVOLT", "LAE", "RAE"]),
        (["L145+Modifier362"], []),
        (["L145 + Modifier362"], []),
        (["l145"], []),
        (["L1455"], []),
        (["145"], []),
        (["Left ventricular high voltage", "Prolonged QTc interval"], []),
        (["Suggests208", "N(180+181)"], []),
        (["I102", "I104", "J120"], []),
        ([], []),
    ],
)
def test_aha_codes_count_only_exactly(codes: list[str], labels: list[str]) -> None:
    assert PEACE12.from_aha(codes, modified=False) == labels


def test_modified_codes_count_where_configured() -> None:
    assert PEACE12.from_aha(["L145+Modifier362", "L147+Modifier367"], modified=True) == ["STTC", "TAB_"]
    assert PEACE12.from_aha(["L145 depressed"], modified=True) == [], "prose is not a modifier"


def test_chinese_codes_are_another_vocabulary() -> None:
    assert PEACE12.from_chn(["J(111+112+113)"]) == ["LVOLT"], "its plus signs are no modifier"
    assert PEACE12.from_chn(["J(111 + 112 + 113)"]) == ["LVOLT"], "as the code book writes it"
    assert PEACE12.from_chn(["L121+Depression"]) == []
    assert PEACE12.from_chn(["I101"]) == []
    assert PEACE12.from_aha(["I83"]) == []


def test_scp_codes_go_by_diagnostic_subclass() -> None:
    assert PEACE12.from_scp({"NORM": 100.0, "SR": 0.0}, STATEMENTS) == ["NORM"]
    assert PEACE12.from_scp({"NORM": 0.0}, STATEMENTS) == ["NORM"], "0 means that no likelihood was given"
    assert PEACE12.from_scp({"LPFB": 80.0, "LAO/LAE": 0.0}, STATEMENTS) == ["LAFB", "LAE"]
    assert PEACE12.from_scp({"LNGQT": 100.0}, STATEMENTS) == ["STTC"], "not LQTS: the hierarchy decides"
    assert PEACE12.from_scp({"LVOLT": 0.0, "TAB_": 0.0, "NST_": 100.0, "CLBBB": 100.0}, STATEMENTS) == []
    assert PEACE12.from_scp({}, STATEMENTS) == []


def test_the_twelve_labels_stand_in_the_agreed_order() -> None:
    assert PEACE12.labels == (
        "NORM", "LAFB", "IRBBB", "CRBBB", "LVOLT", "LAE", "RAE", "LVH", "RVH", "STTC", "TAB_", "LQTS",
    )  # fmt: skip
    assert set(PEACE12.full_names) == set(PEACE12.labels)
    assert PEACE12.full_names["TAB_"] == "T-wave abnormality"
