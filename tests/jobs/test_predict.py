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


def asked(capsys: pytest.CaptureFixture[str], *words: str) -> dict:
    assert main(["predict", *words, "--model", "run", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_folders_patterns_and_lists_are_records(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("tree/b", "tree/a", "tree/below/c", "other/d"):
        write_record(place / name)
    (place / "tree" / "RECORDS").write_text("# as PhysioNet writes them\n\nbelow/c\r\nb.hea  # again\nabsent\n")
    names = ["tree/a.hea", "tree/b.hea", "tree/below/c.hea"]
    assert [item["record"] for item in asked(capsys, "tree")["records"]] == names
    # the pattern a shell would leave alone meets .dat too; a record that is named twice is answered once
    assert [item["record"] for item in asked(capsys, "tr*/[ab]*", "tree/b", "o*")["records"]] == [
        *("tree/a.hea", "tree/b", "tree/below/c.hea", "other/d.hea")
    ]
    listed = asked(capsys, "--list", "tree/RECORDS", "six")
    assert [item["record"] for item in listed["records"]] == ["six", "tree/below/c", "tree/b.hea", "tree/absent"]
    assert (listed["answered"], listed["refused"]) == (2, {"missing_lead": 1, "missing_header": 1})


def test_what_matches_nothing_is_refused_and_the_rest_answered(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "empty").mkdir()
    found = asked(capsys, "empty", "good", "none*.hea")
    assert [item.get("refused") for item in found["records"]] == ["missing_header", None, "missing_header"]
    assert "holds no .hea" in found["records"][0]["detail"]
    assert main(["predict", "good", "six", "--model", "run"]) == 0
    assert "refused: missing_lead" in capsys.readouterr().out
    for number in range(4):
        write_record(place / "sixes" / f"{number}", leads=("I", "II"))
    assert main(["predict", "sixes", "absent", "--model", "run"]) == 2
    told = capsys.readouterr().err
    assert "and 2 more (4 missing_lead, 1 missing_header in all)" in told
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize(
    ("cohort", "told"),
    [("zzu", []), ("mimic", ["thresholds were fitted on zzu records, this one was read as mimic (--cohort)"])],
)
@pytest.mark.usefixtures("place")
def test_thresholds_of_another_cohort_are_told(
    cohort: str, told: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked(capsys, "good", "--cohort", cohort)["records"][0]["warnings"] == told


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--model", "run", "quality.flat.action=repair"],
            "`peace predict` does not read quality.flat.action: it reads",
        ),
        (["--model", "run", "--list", "absent"], "cannot read the list absent: No such file"),
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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 1, "code_version": "0.0.9+abc"}, "is of format 1, written by release 0.0.9+abc: release "),
        ({"format": 1, "code_version": None}, "is of format 1, written by release an unnamed release: release "),
        ({"format": 4, "code_version": "9.0"}, "is of format 4, written by release 9.0: release "),
        (
            {"moments": 1, "code_version": "9.0"},
            "has fields that this release does not know, written by release 9.0: release ",
        ),
        ({"format": None}, "is no description of a checkpoint of ours"),
    ],
)
def test_a_checkpoint_of_another_release_says_which_and_what_reads_it(
    place: Path, changes: dict, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    meta = place / "run" / "checkpoint" / "checkpoint.json"
    meta.write_text(json.dumps(json.loads(meta.read_text()) | changes))
    assert main(["predict", "good.hea", "--model", "run"]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert ("reads format 3; install that release, or" in told) == ("release" in message)
    assert len(told.splitlines()) == 1


def test_a_damaged_checkpoint_is_one_line(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = place / "run" / "checkpoint" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert main(["predict", "good.hea", "--model", "run"]) == 2
    assert "is damaged" in capsys.readouterr().err
