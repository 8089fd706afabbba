"""Small trees of each cohort as a test wants them: tables as published, signal folders empty (the index reads none)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

PTBXL_HEADER = "ecg_id,patient_id,age,sex,report,scp_codes,strat_fold,filename_lr,filename_hr"
SCP_STATEMENTS = """,description,diagnostic,form,rhythm,diagnostic_class,diagnostic_subclass,Statement Category
NORM,normal ECG,1.0,,,NORM,NORM,Normal/abnormal
LAFB,left anterior fascicular block,1.0,,,CD,LAFB/LPFB,"Intraventricular
conduction"
NDT,non-diagnostic T abnormalities,1.0,1.0,,STTC,STTC,other
LNGQT,long QT-interval,1.0,1.0,,STTC,STTC,other
LVOLT,low QRS voltages,,1.0,,,,other
SR,sinus rhythm,,,1.0,,,other
"""
ZZU_HEADER = (
    "Filename,ECG_ID,Patient_ID,Age,Gender,Acquisition_date,Sampling_point,Lead,AHA_code,CHN_code,"
    "ICD-10 code,pSQI,basSQI,bSQI"
)
MIMIC_RECORDS = "subject_id,study_id,file_name,ecg_time,path"
MIMIC_MEASUREMENTS = (
    "subject_id,study_id,cart_id,ecg_time,"
    + ",".join(f"report_{number}" for number in range(18))
    + ",bandwidth,filtering,rr_interval"
)


def ptbxl_row(ecg_id: str = "1", **values: str) -> str:
    """A row of ptbxl_database.csv; named values replace the ordinary ones."""
    number = ecg_id.zfill(5)
    row = {
        "ecg_id": ecg_id,
        "patient_id": f"{ecg_id}.0",
        "age": "56.0",
        "sex": "1",
        "report": "sinusrhythmus",
        "scp_codes": "\"{'NORM': 100.0, 'SR': 0.0}\"",
        "strat_fold": "3",
        "filename_lr": f"records100/00000/{number}_lr",
        "filename_hr": f"records500/00000/{number}_hr",
    }
    return ",".join({**row, **values}.values())


def ptbxl_tree(root: Path, rows: Sequence[str], header: str = PTBXL_HEADER) -> Path:
    (root / "records500").mkdir(parents=True, exist_ok=True)
    (root / "ptbxl_database.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    (root / "scp_statements.csv").write_text(SCP_STATEMENTS, encoding="utf-8")
    return root


def zzu_row(ecg_id: str = "P00001_E01", **values: str) -> str:
    """A row of AttributesDictionary.csv; named values replace the ordinary ones."""
    patient = ecg_id.partition("_")[0]
    row = {
        "Filename": f"{ecg_id[:3]}/{patient}/{ecg_id}",
        "ECG_ID": ecg_id,
        "Patient_ID": patient,
        "Age": "3714d",
        "Gender": "'Male'",
        "Acquisition_date": "2022-09-03 03:31:50",
        "Sampling_point": "15000",
        "Lead": "12",
        "AHA_code": "'A1'",
        "CHN_code": "'A1'",
        "ICD": "Null",
        "pSQI": "Null",
        "basSQI": "Null",
        "bSQI": "Null",
    }
    return ",".join({**row, **values}.values())


def zzu_tree(root: Path, rows: Sequence[str], header: str = ZZU_HEADER) -> Path:
    (root / "Child_ecg").mkdir(parents=True, exist_ok=True)
    (root / "AttributesDictionary.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return root


def mimic_record(subject: str, study: str, path: str | None = None) -> str:
    """A row of record_list.csv."""
    place = f"files/p{subject[:4]}/p{subject}/s{study}/{study}" if path is None else path
    return f"{subject},{study},{study},2180-07-23 08:44:00,{place}"


def mimic_measurement(subject: str, study: str, lines: Mapping[int, str] | Sequence[str]) -> str:
    """A row of machine_measurements.csv with report lines, by position where a mapping is given."""
    by_place = dict(lines) if isinstance(lines, Mapping) else dict(enumerate(lines))
    cells = [by_place.get(number, "") for number in range(18)]
    quoted = [f'"{cell}"' if "," in cell else cell for cell in cells]
    return f"{subject},{study},6848296,2180-07-23 08:44:00,{','.join(quoted)},0.05-150 Hz,,29999"


def mimic_tree(root: Path, records: Sequence[str], measurements: Sequence[str]) -> Path:
    (root / "files").mkdir(parents=True, exist_ok=True)
    (root / "record_list.csv").write_text("\n".join([MIMIC_RECORDS, *records]) + "\n", encoding="utf-8")
    text = "\n".join([MIMIC_MEASUREMENTS, *measurements]) + "\n"
    (root / "machine_measurements.csv").write_text(text, encoding="utf-8")
    return root
