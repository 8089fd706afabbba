"""Report lines as the programs of three makers write them, by what they state, leave doubtful, or do not name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peace.data.labels import load_label_set

PEACE12 = load_label_set("peace12")

STATED = {
    "NORM": """
        Sinus rhythm. Normal ECG | Sinus rhythm, normal ECG | Sinus rhythm - Normal ECG | Normal EKG | Normal tracing
        Normal electrocardiogram | Summary: Normal ECG | Normal pediatric ECG
        Normal ECG for age | Within normal limits
        Otherwise normal ECG | Sinus bradycardia, otherwise normal ECG | Sinus rhythm with PVC(s). Otherwise normal ECG
        Normal ECG - sinus rhythm | Normal ECG with sinus arrhythmia | Sinus rhythm, within normal limits
        Otherwise within normal limits | Normal sinus rhythm. Normal ECG. | ECG within normal limits
    """,
    "LAFB": """
        Left ant. fascicular block | Left ant fascicular block | Left anterior fasc. block | Left anterior hemiblock
        L ant. hemi-block | LAHB | LAFB | Left anterior fascicular blk | Possible left anterior fascicular block
        LAD, consider left anterior fascicular block | Left axis deviation - consider LAFB
        LEFT ANTERIOR FASCICULAR BLOCK
    """,
    "IRBBB": """
        Incompl. RBBB | Inc RBBB | iRBBB | Incomplete right BBB | RBBB (incomplete) | Partial right bundle branch block
    """,
    "CRBBB": """
        Right BBB | R BBB | Complete RBBB
        CRBBB | Right bundle-branch block | Right bundle branch block is now present
    """,
    "LVOLT": """
        Decreased QRS voltage | Reduced QRS voltages in limb leads | Low-voltage QRS
        Low limb lead voltage | Low QRS amplitude
        QRS voltage is low | Diminished voltages, precordial leads | Generalised low voltage | Small QRS complexes
        Generalized low QRS voltages - consider pericardial effusion
        Low voltage QRS, consider pulmonary disease, pericardial effusion, or normal variant
    """,
    "LAE": """
        LA enlargement | Lt. atrial abnormality | L atrial enlargement | Left atrial overload | P mitrale | LAE
        LAE, consider biatrial enlargement | Left atrial enlargement or hypertrophy
    """,
    "RAE": "RA enlargement | Right atrial abnormalities | P pulmonale | RAE, consider biatrial enlargement",
    "LAE RAE": """
        Biatrial abnormalities | Biatrial abnormality | Bi-atrial enlargement
        Biatrial abn. | Enlargement of both atria
        Left and right atrial enlargement | Possible biatrial enlargement
    """,
    "LVH": """
        L.V.H. | LV hypertrophy | Left vent. hypertrophy
        LVH by voltage criteria | Voltage criteria for LVH | Possible LVH
        LVH without ST-T changes
    """,
    "RVH": "RV hypertrophy | Right ventricular hypertrophy, consider associated LVH | Possible RVH",
    "LVH STTC": "LVH with strain pattern | Left ventricular hypertrophy with repolarization abnormality",
    "STTC": """
        ST-T changes are not specific | Non-specific ST-T wave changes | NSSTT changes
        Nonspecific ST-T | ST/T abnormality
        ST or T wave changes | ST and/or T wave abnormality | Minor ST-T abnormalities | Abnormal repolarisation
        ST elevation, not diagnostic | ST-T changes, not due to LVH | ST depression not present on prior tracing
        Inferior ST elevation, CONSIDER ACUTE INFARCT | Inferior ST elevation, septal infarct cannot be excluded
        Acute ST elevation MI | ACUTE MI / STEMI | Non-specific change in ST segment in Inferior leads
        ST elevation in V2 or V3 | ST & T wave abnormality, consider inferior ischemia or digitalis effect
    """,
    "TAB_": """
        Flat T waves | T wave flattening in lateral leads | Low T waves
        Nonspecific T wave flattening | Flattened T waves
        T-wave flattening | T waves are flat in V5-V6 | T waves low in V5, V6
        Low amplitude T waves | Low voltage T waves
        Inverted T waves, inferior leads | T wave inversions | Biphasic T waves in V2 | Notched T waves | Flat T
        T wave flattening or inversion | Inferior or lateral T wave changes | Nonspec. T wave abn. | NS T wave changes
        T wave changes are not specific | T wave inversion not seen on prior ECG | T WAVE ABNORMALITY.
    """,
    "LQTS": """
        QTc prolongation | Prolonged QTc | QT prolonged
        QTc interval is prolonged | Prolonged Q-T interval | QT/QTc prolonged
        Prolonged corrected QT interval | Prolonged QT - consider ischemia, electrolyte imbalance, drug effects
    """,
}
DOUBTFUL = {
    "NORM": """
        Small inferior Q waves noted: probably normal ECG | Normal ECG except for rate
        Normal ECG based on available leads
    """,
    "LAFB": "LAD, consider LAFB or inferior infarct | Consider left anterior fascicular block",
    "LVOLT": """
        Borderline low voltage, extremity leads
        Borderline low limb lead voltage | Low voltage or pericardial effusion
    """,
    "LAE": "Consider left atrial abnormality | Questionable left atrial enlargement | Rule out LAE",
    "RAE": "Cannot rule out right atrial enlargement | R/O RAE",
    "LVH": """
        Minimal voltage criteria for LVH, may be normal variant
        Moderate voltage criteria for LVH may be normal variant
        LVH cannot be excluded | LVH can not be ruled out | LVH is not excluded
        Cannot exclude LVH | Borderline LVH | ?LVH
        Anterior infarct or LVH | LVH and/or ischemia
        QRS changes V3/V4 may be due to LVH but cannot rule out anterior infarct
        Q in V1/V2 may be due to LVH though septal infarct cannot be excluded | LVH may be present | Suspect LVH
        LVH versus normal variant | Normal variant or LVH
        LVH, may be normal for age | Voltage criteria for LVH, consider normal variant
    """,
    "RVH": """
        RSR' in V1 or V2, right VCD or RVH | RSR’ in V1 or V2, right VCD or RVH. | Consider RVH or posterior infarct
        Consider right ventricular hypertrophy | RVH, posterior infarct, or lead misplacement | RVH vs posterior infarct
        Tall R wave in V2, consider RVH or posterior infarct | Suspicious for RVH | RAD, consider RVH
    """,
    "LVH RVH": "LVH or RVH | Either LVH or RVH | Consider biventricular hypertrophy",
    "CRBBB RVH": "RBBB or RVH",
    "STTC": """
        Consider acute ST elevation MI | Consider STEMI
        ST elevation, consider early repolarization, pericarditis, or injury
        Inferior ST-T abnormality may be age and gender related : consider normal variant | ST changes, borderline
        ST elevation, early repolarization or pericarditis | ST elevation or early repolarization
        Nonspecific ST-T abnormality may be due to age and gender | ST junctional depression is borderline
    """,
    "TAB_": """
        Borderline T abnormalities, diffuse leads | T abnormalities, borderline
        Anterior ischemia or T wave abnormality
        Nonspecific T wave changes may be normal variant | Inferior T wave abnormality is borderline
    """,
    "LQTS": """
        Borderline prolonged QT interval | QTc borderline prolonged
        Prolonged QT interval or TU fusion, consider myocardial disease
    """,
}
NOTHING = """
    Sinus rhythm | Sinus rhythm with PAC(s).
    Atrial fibrillation with rapid ventricular response | Afib/flut and V-paced complexes
    Undetermined rhythm | with 1st degree A-V block | Prolonged PR interval
    Left bundle branch block | IVCD, consider atypical LBBB
    Left posterior fascicular block | Nonspecific intraventricular conduction delay
    Leftward axis | Left axis deviation
    Right superior axis deviation | S1,S2,S3 pattern | Anterior infarct - age undetermined | Inferior infarct, old
    Cannot rule out anterior infarct - age undetermined | Consider acute infarct
    Poor R wave progression | Acute pericarditis
    Abnormal lateral Q waves | Early precordial R/S transition | Tall T waves - consider hyperkalemia | Peaked T waves
    Abnormal T axis | High QRS voltage | Left ventricular high voltage
    Ventricular hypertrophy | Abnormal P terminal force
    Multiple premature complexes, vent & supraven | - ventricular couplets | Ventricular preexcitation(WPW) | Right VCD
    Pacemaker rhythm - no further analysis | Short QT interval | QT has lengthened | Abnormal ECG | Borderline ECG
    Summary: Abnormal | --- Possible measurement error --- | --- Pediatric criteria used --- | No other finding
    --- Warning: Data quality may affect interpretation --- | Artifact in lead(s) I,III,aVL
    rSr'(V1) - probable normal variant
    No LVH | No significant ST-T changes | Neither LVH nor RVH | LVH is no longer present | QT interval not prolonged
    ST elev, probable normal early repol pattern | Anterior T wave abnormality is age and gender related | LVH unlikely
    Insufficient criteria for LVH | Low septal forces | Juvenile T wave pattern | Early repolarization or pericarditis
    T wave inversion no longer evident | Left ventricular hypertrophy has been ruled out
    Junctional ST depression, probably normal
"""


def lines(text: str) -> list[str]:
    return [line.strip() for row in text.strip().splitlines() for line in row.split("|")]


def cases(table: dict[str, str]) -> list[tuple[str, str]]:
    return [(line, labels) for labels, text in table.items() for line in lines(text)]


@pytest.mark.parametrize(("line", "labels"), cases(STATED))
def test_a_finding_is_met_however_it_is_written(line: str, labels: str) -> None:
    assert PEACE12.from_report([line]) == labels.split()


@pytest.mark.parametrize(("line", "labels"), cases(DOUBTFUL))
def test_what_a_line_leaves_open_is_neither_positive_nor_negative(line: str, labels: str) -> None:
    reading = PEACE12.read_line(line)
    assert (reading.labels, reading.doubtful) == ((), tuple(labels.split()))
    assert reading.decided.startswith("doubtful (")


@pytest.mark.parametrize("line", lines(NOTHING))
def test_a_line_that_means_none_of_the_labels_is_decided_by_a_rule(line: str) -> None:
    reading = PEACE12.read_line(line)
    assert (reading.labels, reading.doubtful) == ((), ())
    assert reading.decided != "no rule"


@given(
    line=st.sampled_from([line for table in (STATED, DOUBTFUL) for line, _ in cases(table)]),
    change=st.sampled_from(
        [
            str.upper,
            str.lower,
            lambda text: f" - {text}. ",
            lambda text: f"*** {text} ***",
            lambda text: text.replace(" ", "  "),
        ]
    ),
)
def test_case_and_the_marks_around_a_line_do_not_matter(line: str, change: object) -> None:
    assert callable(change)
    written, changed = PEACE12.read_line(line), PEACE12.read_line(change(line))
    assert (changed.labels, changed.doubtful) == (written.labels, written.doubtful)


def test_one_line_may_state_a_label_and_leave_another_open() -> None:
    reading = PEACE12.read_line("ST-T changes may be due to LVH")
    assert (reading.labels, reading.doubtful) == (("STTC",), ("LVH",))
    reading = PEACE12.read_line("LAE, consider biatrial enlargement")
    assert (reading.labels, reading.doubtful) == (("LAE",), ("RAE",))


@pytest.mark.parametrize(
    ("line", "leads"),
    [
        ("Lead(s) unsuitable for analysis: V1", ("V1",)),
        ("LEAD(S) UNSUITABLE FOR ANALYSIS: V2, aVR", ("aVR", "V2")),
        ("Lead(s) unsuitable for analysis: V1-V3, I.", ("I", "V1", "V2", "V3")),
        ("Leads unsuitable for interpretation: III aVF", ("III", "aVF")),
        ("Lead V6 is unsuitable for analysis", ("V6",)),
        ("Possible faulty V2 - omitted from analysis", ("V2",)),
        ("Possible sequence error: V2,V3 omitted", ("V2", "V3")),
        ("Missing lead(s): V5", ("V5",)),
    ],
)
def test_a_lead_that_could_not_be_read_is_named_and_the_recording_stays(line: str, leads: tuple[str, ...]) -> None:
    assert PEACE12.unreadable_leads(line) == leads
    assert PEACE12.unusable(line) is None


@pytest.mark.parametrize(
    "line",
    [
        "Lead(s) unsuitable for analysis:",
        "Lead(s) unsuitable for analysis: I, II, III, aVR, aVL, aVF, V1-V6",
        "--- Recording unsuitable for analysis - please repeat ---",
        "All 12 leads are missing",
    ],
)
def test_a_recording_of_which_no_lead_could_be_read_is_unusable(line: str) -> None:
    assert PEACE12.unreadable_leads(line) == ()
    assert PEACE12.unusable(line)


def test_another_line_may_decide_what_one_leaves_open() -> None:
    stated = PEACE12.flags(["LVH"])[None, :]
    doubtful = PEACE12.flags(["LVH", "RVH", "NORM"])[None, :]
    assert PEACE12.names(PEACE12.resolve_doubt(doubtful, stated)[0]) == ["RVH"], "stated is stated, and not normal"
