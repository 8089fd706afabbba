"""`peace predict` from the command line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from small_model import write_record, write_run

from jobs.cli import main


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "run")
    write_record(tmp_path / "good")
    write_record(tmp_path / "six", leads=("I", "II", "III", "aVR", "aVL", "aVF"))
    return tmp_path


def test_table_for_people(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "good.hea", "six", "--model", "run"]) == 0
    printed = capsys.readouterr().out
    assert "left ventricular hypertrophy" in printed
    assert "12 leads: I II III aVR" in printed
    assert "missing_lead" in printed


def test_json_for_scripts_and_nothing_left_behind(place: Path) -> None:
    before = sorted(place.rglob("*"))
    command = [sys.executable, "-m", "jobs.predict", "good.hea", "six.hea", "--model", "run", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    document = json.loads(done.stdout)
    assert document["model"] == "run"
    good, six = document["records"]
    assert good["record"] == "good.hea"
    assert len(good["leads_present"]) == 12
    assert set(good["probabilities"]) == set(good["thresholds"])
    assert set(good["positive"]) == {name for name, value in good["probabilities"].items() if value >= 0.48}
    assert six == {"record": "six.hea", "refused": "missing_lead", "detail": "V1, V3, V5"}
    # no run directory, no tracking store
    assert sorted(place.rglob("*")) == before
    assert done.stderr == ""


def test_no_ray_and_no_mlflow(place: Path) -> None:
    script = (
        "import sys; from jobs.cli import main;"
        "code = main(['predict', 'good.hea', '--model', 'run']);"
        "loaded = {'ray', 'mlflow', 'transformers'} & set(sys.modules);"
        "sys.exit(f'{code} {loaded}' if code or loaded else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_nothing_readable_is_an_error_with_the_reason(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "six.hea", "absent.hea", "--model", "run", "--json"]) == 2
    printed = capsys.readouterr()
    assert [item["refused"] for item in json.loads(printed.out)["records"]] == ["missing_lead", "missing_header"]
    assert "no record could be read: six.hea (missing_lead: V1, V3, V5); absent.hea" in printed.err
    assert len(printed.err.strip().splitlines()) == 1


def test_out_keeps_the_answer(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for records in (["good.hea"], ["good.hea", "six.hea"]):
        assert main(["predict", *records, "--model", "run", "--json", "--out", "kept", "--figures"]) == 0
        printed = json.loads(capsys.readouterr().out)
        kept = json.loads((place / "kept" / "result.json").read_text())
        assert kept["records"] == printed["records"]
        assert len(kept["records"]) == len(records)
        assert [path.name for path in (place / "kept" / "figures").iterdir()] == ["001-good.png"]
    assert not (place / "mlflow.db").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "nowhere"], "nowhere holds no checkpoint"),
        (["--model", "run", "--cohort", "mimik"], "unknown cohort 'mimik'; did you mean 'mimic'"),
        (["--model", "models:/peace12@candidate"], "no MLflow store at"),
    ],
)
@pytest.mark.usefixtures("place")
def test_mistakes_end_in_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "good.hea", *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert not Path("mlflow.db").exists()


def test_a_damaged_checkpoint_is_one_line(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = place / "run" / "checkpoint" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert main(["predict", "good.hea", "--model", "run"]) == 2
    assert "is damaged" in capsys.readouterr().err
