"""The synthetic trees: readable, deterministic, with the quirks of the real ones, and a truth that readers find."""

import ast
import csv
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import wfdb

from jobs.runtime.harness import main
from jobs.synthesize import VERB
from peace.config import Config, SyntheticConfig
from peace.core.errors import DataError
from peace.data.cohorts import read_cohort
from peace.data.labels import load_label_set
from peace.synthetic import compose, simulate, synthesize
from peace.synthetic.wfdb_files import fitted, to_digital, write_record

SMALL = SyntheticConfig(mimic_records=150, zzu_records=140, ptbxl_records=130, seed=7)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synthetic")
    synthesize(out, SMALL, workers=1)
    return out


@pytest.fixture(scope="module")
def truth(tree: Path) -> pd.DataFrame:
    return pd.read_parquet(tree / "truth.parquet").set_index(["cohort", "record_id"])


def digests(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def table(path: Path) -> tuple[list[str], list[list[str]]]:
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.reader(stream))
    return rows[0], rows[1:]


@pytest.mark.parametrize("cohort", ["mimic", "zzu", "ptbxl"])
def test_readers_find_exactly_the_labels_of_the_truth(tree: Path, truth: pd.DataFrame, cohort: str) -> None:
    labels = load_label_set("peace12")
    index = read_cohort(cohort, tree / cohort, labels, Config())
    expected = truth.loc[cohort]
    found = {str(name): labels.names(flags) for name, flags in zip(index.frame.record_id, index.targets, strict=True)}
    assert found == {name: list(row.labels) for name, row in expected.iterrows()}
    assert any(found.values())
    assert not all(found.values())


def test_wfdb_reads_mimic_records_as_they_were_simulated(tree: Path) -> None:
    _, rows = table(tree / "mimic" / "record_list.csv")
    patients, numbers = compose.records_of("mimic", SMALL.seed, SMALL.mimic_records)
    batch = simulate("mimic", SMALL.seed, patients[:40].tolist(), numbers[:40].tolist())
    order = ["I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6"]
    damaged = 0
    for row, signal in zip(rows[:40], batch.signals, strict=True):
        record = wfdb.rdrecord(str(tree / "mimic" / row[4]))
        assert record.sig_name == order
        assert (record.fs, record.sig_len) == (500, 5000)
        assert record.comments == [f"<subject_id>: {row[0]}"]
        expected = np.rint(signal[[0, 1, 2, 3, 5, 4, 6, 7, 8, 9, 10, 11]].T * np.float32(200)) / 200
        kept = np.isfinite(record.p_signal) & (np.abs(record.p_signal).max(axis=0) > 0)
        damaged += not kept.all()
        np.testing.assert_allclose(record.p_signal[kept], expected[kept], atol=1e-9)
    assert damaged < 5


def test_every_checksum_and_first_value_is_right(tree: Path) -> None:
    headers = [path for path in sorted(tree.rglob("*.hea"))]
    assert len(headers) == 420
    for path in headers[::7]:
        record = wfdb.rdrecord(str(path.with_suffix("")), physical=False)
        assert record.checksum == [int(value) for value in record.calc_checksum()]
        assert record.init_value == record.d_signal[0].tolist()


@pytest.mark.parametrize("shape", [(12, 400), (9, 251)])
def test_wfdb_reads_back_what_the_writer_was_given(tmp_path: Path, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    millivolts = (rng.standard_normal(shape) * rng.uniform(0.1, 9, (shape[0], 1))).astype(np.float32)
    millivolts[0] = 0.25
    leads = [f"L{number}" for number in range(shape[0])]
    for name, (digital, gains) in {
        "own": fitted(millivolts),
        "common": (to_digital(millivolts, 1000.0), ["1000.0(0)/mV"] * shape[0]),
    }.items():
        write_record(tmp_path, name, 500, leads, digital, gains)
        record = wfdb.rdrecord(str(tmp_path / name))
        np.testing.assert_allclose(record.p_signal.T, millivolts, atol=1.1e-3)
        raw = wfdb.rdrecord(str(tmp_path / name), physical=False)
        assert np.array_equal(raw.d_signal.T, digital)


@pytest.mark.real
@pytest.mark.parametrize(
    ("cohort", "name"),
    [("zzu", "AttributesDictionary.csv"), ("zzu", "ECGCode.csv"), ("zzu", "DiseaseCode.csv"),
     ("ptbxl", "ptbxl_database.csv"), ("ptbxl", "scp_statements.csv")],
)  # fmt: skip
def test_tables_have_the_columns_of_the_real_ones(tree: Path, real_data: Path, cohort: str, name: str) -> None:
    assert table(tree / cohort / name)[0] == table(real_data / cohort / name)[0]


def test_zzu_quirks(tree: Path) -> None:
    header, rows = table(tree / "zzu" / "AttributesDictionary.csv")
    data = pd.DataFrame(rows, columns=header)
    assert data.Age.str.fullmatch(r"\d+d").all()
    assert set(data.Gender) == {"'Male'", "'Female'"}
    assert set(data.Lead) == {"9", "12"}
    assert data.AHA_code.str.contains(r"\+Modifier3").any()
    assert data.AHA_code.str.contains("'Left ventricular high voltage'").any()
    nine = data[data.Lead == "9"].iloc[0]
    record = wfdb.rdheader(str(tree / "zzu" / "Child_ecg" / nine.Filename))
    assert record.sig_name == ["I", "II", "III", "AVR", "AVL", "AVF", "V1", "V3", "V5"]
    assert "'V2':Null" in nine.pSQI
    assert record.sig_len == int(nine.Sampling_point)
    assert data.Sampling_point.nunique() > 5
    assert len(set(record.adc_gain)) == 9
    peaks = [np.abs(wfdb.rdrecord(str(tree / "zzu" / "Child_ecg" / name)).p_signal).max() for name in data.Filename]
    assert max(peaks) > 20  # an electrode came off


def test_mimic_and_ptbxl_quirks(tree: Path) -> None:
    _, rows = table(tree / "mimic" / "machine_measurements.csv")
    lines = {line.removesuffix(".") for row in rows for line in row[4:22]}
    assert {"Normal ECG", "Sinus rhythm"} <= lines
    assert lines & {"Probable left atrial enlargement", "Left atrial enlargement"}
    assert lines & {"Possible left atrial abnormality"}
    assert any("29999" in row for row in rows)
    header, rows = table(tree / "ptbxl" / "ptbxl_database.csv")
    codes = [ast.literal_eval(row[header.index("scp_codes")]) for row in rows]
    assert any(0.0 in found.values() and 100.0 in found.values() for found in codes)
    assert {row[header.index("strat_fold")] for row in rows} == {str(fold) for fold in range(1, 11)}


def test_equal_files_under_another_hash_seed_and_number_of_workers(tree: Path, tmp_path: Path) -> None:
    code = "\n".join(
        [
            "from pathlib import Path",
            "from peace.synthetic import synthesize",
            "from peace.config import SyntheticConfig",
            "if __name__ == '__main__':",
            f"    config = SyntheticConfig.model_validate_json({SMALL.model_dump_json()!r})",
            f"    synthesize(Path({str(tmp_path)!r}), config, workers=2)",
        ]
    )
    script = tmp_path.parent / "run_synthesize.py"
    script.write_text(code)
    subprocess.run(
        [sys.executable, script], check=True, env={**os.environ, "PYTHONHASHSEED": "123"}, capture_output=True
    )
    assert digests(tmp_path) == digests(tree)


def test_an_interrupted_run_goes_on_to_the_same_files(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, calls = compose._write_chunk, []

    def interrupted(chunk: compose.Chunk) -> int:
        calls.append(chunk)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return write(chunk)

    monkeypatch.setattr(compose, "_write_chunk", interrupted)
    with pytest.raises(KeyboardInterrupt):
        synthesize(tmp_path, SMALL, workers=1)
    assert not (tmp_path / "mimic" / "record_list.csv").exists()
    synthesize(tmp_path, SMALL, workers=1)
    assert len({chunk.part for chunk in calls}) == len(calls) - 1
    assert digests(tmp_path) == digests(tree)


def test_a_longer_cohort_starts_with_the_shorter_one() -> None:
    short, long = compose.records_of("mimic", 1, 50), compose.records_of("mimic", 1, 200)
    assert np.array_equal(short[0], long[0][:50])
    assert np.array_equal(short[1], long[1][:50])


def test_a_place_that_cannot_be_written_is_a_clear_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write under"):
        synthesize(tmp_path / "file" / "below", SMALL, workers=1)
    assert main(VERB, ["--out", str(tmp_path / "file" / "below"), "tracking.enabled=false"]) == 2
    assert "cannot write" in capsys.readouterr().err


def test_a_full_disk_is_a_clear_error(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", small], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small tmpfs is not permitted here")
    try:
        with pytest.raises(DataError, match="no space left"):
            synthesize(small, SMALL, workers=1)
    finally:
        subprocess.run(["umount", small], check=True)


def test_the_verb_writes_trees_truth_and_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["synthetic.mimic_records=20", "synthetic.zzu_records=12", "synthetic.ptbxl_records=10"]
    assert main(VERB, ["--out", str(tmp_path), "--workers", "1", "tracking.enabled=false", *sizes]) == 0
    assert "records" in capsys.readouterr().out
    assert len(pd.read_parquet(tmp_path / "truth.parquet")) == 42
    assert {path.name for path in tmp_path.iterdir()} >= {"mimic", "zzu", "ptbxl", "truth.parquet", "result.json"}
    assert not list(tmp_path.glob("parts-*"))
