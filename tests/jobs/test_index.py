"""`peace index` end to end: what it leaves, what it counts, and how it refuses."""

import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from cohort_tables import mimic_measurement, mimic_record, mimic_tree, ptbxl_row, ptbxl_tree, zzu_row, zzu_tree

from jobs.index import VERB
from jobs.runtime.harness import main
from jobs.synthesize import VERB as SYNTHESIZE
from peace.data.cohorts import COHORTS
from peace.data.cohorts.manifest import SCHEMA, read_manifest
from peace.data.labels import load_label_set
from peace.data.labels.label_set import EMBEDDED
from peace.data.splits import SPLITS, check_patients

LABELS = list(load_label_set("peace12").labels)


def index(cohort: str, root: Path, out: Path, *more: str) -> dict[str, Any]:
    words = ["--cohort", cohort, "--root", str(root), "--out", str(out), "--preset", "debug", *more]
    assert main(VERB, [*words, "tracking.enabled=false"]) == 0
    result: dict[str, Any] = json.loads((out / "result.json").read_text(encoding="utf-8"))
    return result


def agree(result: dict[str, Any], out: Path) -> pd.DataFrame:
    """Check result.json against the manifest, and give the manifest."""
    table = pq.read_table(out / "manifest.parquet")
    assert table.schema.equals(SCHEMA, check_metadata=False)
    frame = table.to_pandas()
    kept = frame[frame["excluded"].isna()]
    assert frame["record_id"].is_unique
    assert result["indexed"] == len(frame) == result["kept"] + sum(result["excluded"].values())
    assert result["kept"] == len(kept)
    assert result["excluded"] == frame["excluded"].dropna().value_counts().to_dict()
    assert result["patients"] == kept["patient_id"].nunique()
    counted = Counter(label for labels in kept["labels"] for label in labels)
    assert result["labels"] == {label: counted[label] for label in result["labels"]}
    assert result["splits"] == {name: int((kept["split"] == name).sum()) for name in SPLITS}
    assert kept["split"].notna().all()
    assert frame.loc[frame["excluded"].notna(), "split"].isna().all()
    assert all(len(labels) for labels in kept["labels"])
    check_patients(frame)
    return frame


@pytest.mark.real
def test_the_real_ptbxl_records(real_data: Path, tmp_path: Path) -> None:
    result = index("ptbxl", real_data / "ptbxl", tmp_path)
    frame = agree(result, tmp_path)
    assert (result["indexed"], result["kept"], result["excluded"]) == (500, 424, {"no_label": 76})
    assert list(result["labels"]) == LABELS, "every label of the set, zeros included"
    assert [result["labels"][name] for name in LABELS] == [297, 32, 20, 8, 0, 4, 3, 35, 2, 49, 0, 0]
    # whole patients, and rare labels: within two records of 8:1:1
    assert abs(result["splits"]["val"] - 42.4) < 2
    assert abs(result["splits"]["test"] - 42.4) < 2
    for label in ("NORM", "LAFB", "IRBBB", "CRBBB", "LAE", "RAE", "LVH", "STTC"):
        assert min(result["labels_by_split"][label].values()) >= 1, label
    assert set(frame["cohort"]) == {"ptbxl"}
    audit = pd.read_csv(tmp_path / "label_audit.csv", keep_default_na=False)
    assert audit.loc[audit["text"] == "NORM", "count"].item() == 297
    assert audit["decided"].ne("").all()


@pytest.mark.real
def test_the_official_folds_of_the_real_records(real_data: Path, tmp_path: Path) -> None:
    result = index("ptbxl", real_data / "ptbxl", tmp_path, "split.official_folds=true")
    frame = agree(result, tmp_path).set_index("record_id")
    folds = pd.read_csv(real_data / "ptbxl" / "ptbxl_database.csv", dtype=str).set_index("ecg_id")["strat_fold"]
    kept = frame[frame["excluded"].isna()]
    assert (kept["split"] == "test").equals(folds.loc[kept.index] == "10")
    assert (kept["split"] == "val").equals(folds.loc[kept.index] == "9")


@pytest.mark.real
def test_the_real_zzu_records(real_data: Path, tmp_path: Path) -> None:
    result = index("zzu", real_data / "zzu", tmp_path)
    agree(result, tmp_path)
    assert result["excluded"] == {"no_label": 2, "nine_leads": 1}
    nine = index("zzu", real_data / "zzu", tmp_path, "leads.require=9")
    agree(nine, tmp_path)
    assert (nine["kept"], nine["excluded"]) == (7, {"no_label": 2})


def test_a_mimic_tree(tmp_path: Path) -> None:
    records, measurements = [], []
    for number in range(60):
        subject, study = f"1000{number // 2:04d}", f"4000{number:04d}"
        records.append(mimic_record(subject, study))
        line = ("Normal ECG", "Lateral ST-T changes", "Right bundle branch block")[number // 2 % 3]
        measurements.append(mimic_measurement(subject, study, ["Sinus rhythm", line]))
    result = index("mimic", mimic_tree(tmp_path / "tree", records, measurements[:-2]), tmp_path / "out")
    agree(result, tmp_path / "out")
    assert (result["kept"], result["patients"], result["excluded"]) == (58, 29, {"no_measurements": 2})
    for label in ("NORM", "CRBBB", "STTC"):
        assert min(result["labels_by_split"][label].values()) >= 2, label


def test_a_whole_tree_is_compared_with_the_paper(tmp_path: Path) -> None:
    """As many records as PTB-XL has: the paper's count and, by label, the reference stand beside ours."""
    rows = [
        ptbxl_row(str(number), scp_codes="\"{'LAFB': 0.0}\"" if number % 4 else "\"{'SR': 0.0}\"")
        for number in range(1, COHORTS["ptbxl"].whole + 1)
    ]
    root = ptbxl_tree(tmp_path / "tree", rows)
    result = index("ptbxl", root, tmp_path / "out")
    assert (result["published"], result["kept"]) == (16_363, 16_350)
    told = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))["published"]
    assert (told["comparable"], told["reference"]["LAFB"]) == (True, 1797)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "16,363 kept by the paper, 16,350 here (-13)" in page
    assert "1,797" in page
    other = index("ptbxl", root, tmp_path / "other", "labels.set=" + str(_renamed_labels(tmp_path)))
    assert other["published"] is None, "another label set is no comparison"


def _renamed_labels(folder: Path) -> Path:
    text = (EMBEDDED / "peace12.yaml").read_text(encoding="utf-8")
    copy = folder / "mine.yaml"
    copy.write_text(text.replace("name: peace12", "name: mine"), encoding="utf-8")
    return copy


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three trees as `peace synthesize` writes them, and truth.parquet beside them."""
    out = tmp_path_factory.mktemp("synthetic")
    sizes = [f"synthetic.{cohort}_records=60" for cohort in ("mimic", "zzu", "ptbxl")]
    assert (
        main(SYNTHESIZE, ["--out", str(out), "--preset", "debug", "--workers", "1", *sizes, "tracking.enabled=false"])
        == 0
    )
    return out


@pytest.mark.parametrize("cohort", ["mimic", "zzu", "ptbxl"])
def test_synthetic_trees_read_back_to_their_truth(cohort: str, synthetic: Path, tmp_path: Path) -> None:
    """The writer of the trees and their reader were made apart: codes, lines and dictionaries must mean the same."""
    result = index(cohort, synthetic / cohort, tmp_path, "leads.require=9")
    frame = agree(result, tmp_path).set_index("record_id")
    truth = pd.read_parquet(synthetic / "truth.parquet")
    truth = truth[truth["cohort"] == cohort].set_index("record_id").loc[frame.index]
    assert len(frame) == 60
    assert set(result["excluded"]) <= {"no_label"}
    assert list(frame["patient_id"]) == list(truth["patient_id"])
    read, meant = ([tuple(labels) for labels in column] for column in (frame["labels"], truth["labels"]))
    differing = [pair for pair in zip(read, meant, strict=True) if pair[0] != pair[1]]
    if cohort == "mimic":  # a cart may hedge what is there: then the label is missing, never another one
        assert len(differing) <= 6
        assert all(set(seen) < set(there) for seen, there in differing)
    else:
        assert not differing
    assert all(Path(f"{path}.hea").exists() for path in frame["path"])


def test_another_label_set_drops_in(tmp_path: Path) -> None:
    labels = tmp_path / "three.yaml"
    labels.write_text(
        "name: three\n"
        "labels:\n"
        "  NORMAL: {full_name: normal ECG, aha: [A1]}\n"
        "  TACHYCARDIA: {full_name: sinus tachycardia, aha: [C21]}\n"
        "  LONGQT: {full_name: long QT, aha: [L148]}\n",
        encoding="utf-8",
    )
    rows = [
        zzu_row("P00001_E01", AHA_code="'C21';'L148'"),
        zzu_row("P00002_E01", AHA_code="'A2'"),
        zzu_row("P00003_E01", AHA_code="'A1'"),
        zzu_row("P00004_E01", AHA_code="'C21'"),
    ]
    result = index("zzu", zzu_tree(tmp_path / "tree", rows), tmp_path / "out", f"labels.set={labels}")
    frame = agree(result, tmp_path / "out").set_index("record_id")
    assert result["labels"] == {"NORMAL": 1, "TACHYCARDIA": 2, "LONGQT": 1}
    assert list(frame.loc["P00001_E01", "labels"]) == ["TACHYCARDIA", "LONGQT"]
    assert result["excluded"] == {"no_label": 1}
    assert result["label_set"] == "three"


def test_earlier_splits_are_kept_when_records_come_in(tmp_path: Path) -> None:
    rows = [ptbxl_row(str(number)) for number in range(1, 61)]
    index("ptbxl", ptbxl_tree(tmp_path / "tree", rows[:40]), tmp_path / "first")
    index("ptbxl", ptbxl_tree(tmp_path / "tree", rows), tmp_path / "second",
          "--keep-splits", str(tmp_path / "first" / "manifest.parquet"))  # fmt: skip
    first = read_manifest(tmp_path / "first" / "manifest.parquet").to_pandas().set_index("record_id")["split"]
    second = read_manifest(tmp_path / "second" / "manifest.parquet").to_pandas().set_index("record_id")["split"]
    assert second.loc[first.index].equals(first)
    assert second.value_counts().to_dict() == {"train": 48, "val": 6, "test": 6}


def test_the_same_command_again_gives_the_same_manifest_and_reads_the_tree_anew(tmp_path: Path) -> None:
    rows = [ptbxl_row(str(number)) for number in range(1, 31)]
    root = ptbxl_tree(tmp_path / "tree", rows)
    index("ptbxl", root, tmp_path / "out")
    before = (tmp_path / "out" / "manifest.parquet").read_bytes()
    index("ptbxl", root, tmp_path / "out")
    assert (tmp_path / "out" / "manifest.parquet").read_bytes() == before
    ptbxl_tree(tmp_path / "tree", [*rows, ptbxl_row("31")])
    assert index("ptbxl", root, tmp_path / "out")["indexed"] == 31


@pytest.mark.parametrize(
    ("cohort", "more", "said"),
    [
        ("zzu", [], "has no AttributesDictionary.csv: a ZZU-pECG tree holds"),
        ("zzu", ["split.official_folds=true"], "only ptbxl has official folds, not zzu"),
        ("ptbxl", ["labels.set=peace21"], "unknown label set 'peace21'; did you mean 'peace12'?"),
        ("ptbxl", ["labels.sett=peace12"], "unknown configuration key 'labels.sett'; did you mean 'labels.set'?"),
        ("ptbxl", ["--keep-splits", "absent.parquet"], "absent.parquet does not exist"),
        ("ptbxl", ["--keep-splits", __file__], "is not a manifest"),
    ],
)
def test_a_mistake_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], cohort: str, more: list[str], said: str
) -> None:
    root = ptbxl_tree(tmp_path / "tree", [ptbxl_row()])
    words = ["--cohort", cohort, "--root", str(root), "--out", str(tmp_path / "out"), "--preset", "debug", *more]
    assert main(VERB, [*words, "tracking.enabled=false"]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("peace index: ")
    assert said in error
    assert "\n" not in error
    assert not (tmp_path / "out" / "result.json").exists()


def refused(cohort: str, root: Path, out: Path, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    """The one line that an index ends with; its check ends with it too, and with the same exit code."""
    words = ["--cohort", cohort, "--root", str(root), "--preset", "debug", *more, "tracking.enabled=false"]
    assert main(VERB, ["--check", *words]) == 2
    checked = capsys.readouterr().err.replace(f"{root}: ", "")
    assert main(VERB, [*words, "--out", str(out)]) == 2
    said = capsys.readouterr().err.strip().removeprefix("peace index: ")
    assert "\n" not in said
    assert said.removeprefix(f"{root}: ") in checked
    assert not any((out / name).exists() for name in ("manifest.parquet", "result.json"))
    return said


def test_nothing_kept_is_no_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, out = tmp_path / "tree", tmp_path / "out"
    index("ptbxl", ptbxl_tree(root, [ptbxl_row(str(number)) for number in range(1, 9)]), out)
    first = (out / "manifest.parquet").read_bytes()
    ptbxl_tree(root, [ptbxl_row(str(number), age="middle") for number in range(1, 9)])
    said = refused("ptbxl", root, out, capsys)
    assert said == (
        "none of the 8 ptbxl records is kept. Main reason: bad_age (not an age): 8, such as ptbxl_database.csv line 2: "
        "age 'middle'"
    )
    assert (out / "previous" / "manifest.parquet").read_bytes() == first, "set aside, not lost"


def test_mangled_ids_stop_the_index_unless_they_are_allowed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [ptbxl_row(str(number), patient_id=f"{number // 2}.57E+04") for number in range(1, 31)]
    root = ptbxl_tree(tmp_path / "tree", rows)
    said = refused("ptbxl", root, tmp_path / "out", capsys)
    assert "30 cells of patient_id were mangled by a spreadsheet (line 2, 3, 4, " in said
    result = index("ptbxl", root, tmp_path / "out", "--allow-mangled-ids")
    assert (result["kept"], result["patients"], result["notes"]["mangled_ids"]) == (30, 16, 30)
    said = refused(
        "ptbxl", ptbxl_tree(root, [row.replace("57E+04", "########") for row in rows[:1]]), tmp_path / "out", capsys,
        "--allow-mangled-ids",
    )  # fmt: skip
    assert "no record is in val or test: the 1 kept records are of 1 patient" in said


def test_more_left_out_than_usual_is_said_and_more_than_asked_for_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [ptbxl_row(str(number), scp_codes="NORM" if number < 15 else "\"{'NORM': 100}\"") for number in range(20)]
    root = ptbxl_tree(tmp_path / "tree", rows)
    result = index("ptbxl", root, tmp_path / "out")
    assert f"WARNING: {result['warning']}" in capsys.readouterr().err
    assert "15 of 20 ptbxl records (75%) are left out, where the paper leaves out 25%" in result["warning"]
    assert "(limit: 0.5)" in refused("ptbxl", root, tmp_path / "strict", capsys, "--max-excluded", "0.5")
    assert index("ptbxl", root, tmp_path / "strict", "--max-excluded", "0.8")["warning"] is None


def test_the_module_runs_by_itself_and_starts_light() -> None:
    """What a Ray job submission runs; and importing the verb loads no table library."""
    done = subprocess.run(
        [sys.executable, "-m", "jobs.index", "--help"], capture_output=True, text=True, check=True, timeout=60
    )
    assert "--keep-splits" in done.stdout
    light = (
        "import sys, jobs.index; sys.exit(any(name in sys.modules for name in ('pandas', 'pyarrow', 'torch', 'ray')))"
    )
    assert subprocess.run([sys.executable, "-c", light], timeout=60).returncode == 0


def test_the_check_of_a_tree(
    synthetic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--check", "all", "--cohort", "zzu", "--preset", "debug", "--root"]
    assert main(VERB, [*words, str(synthetic / "zzu")]) == 0
    assert "as expected" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == [], "a check without --out leaves nothing"
    root = shutil.copytree(synthetic / "zzu", tmp_path / "tree")
    for signal in sorted(root.rglob("*.dat"))[:30]:
        signal.unlink()
    assert main(VERB, [*words, str(root), "--out", "out"]) == 2
    told = capsys.readouterr()
    assert len(told.err.splitlines()) == 21
    assert told.err.startswith("AttributesDictionary.csv:")
    assert told.err.splitlines()[-1].startswith("... and 10 more")
    result = json.loads((tmp_path / "out" / "result.json").read_text(encoding="utf-8"))
    assert (result["holds"], result["counts"], result["headers_read"]) == (False, {"missing_signal": 30}, 30)
    assert len(result["issues"]) == 30
    assert not (tmp_path / "out" / "manifest.parquet").exists()


def test_the_report_of_an_index_is_made_and_named(synthetic: Path, tmp_path: Path) -> None:
    result = index("ptbxl", synthetic / "ptbxl", tmp_path)
    told = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    for name in ("indexed", "kept", "excluded"):
        assert told["records"][name] == result[name]
    for name in ("labels", "splits", "labels_by_split"):
        assert told[name] == result[name]
    assert told["synthetic"] is True
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "data:image/png" in page
    assert "recordings are synthetic" in page
