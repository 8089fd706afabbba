"""`peace register`, and what a fresh process gets back from the registry."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow_server import free_port
from predictions_table import predictions_frame
from small_model import write_record, write_run

from jobs.cli import main
from jobs.tracking.server import server_environment, wait_until_up
from peace.inference import Prediction, Predictor

ASK = """
import json, sys
import mlflow, numpy, pandas
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/small@candidate")
ecg = numpy.load("ecg.npy")
paths = pandas.DataFrame({"path": ["good.hea", "absent.hea"]})
arrays, files = model.predict(ecg), model.predict(paths)
print(json.dumps({"arrays": arrays.to_numpy().tolist(), "columns": list(arrays.columns),
    "files": json.loads(files.to_json(orient="records")), "example": numpy.shape(model.input_example)}))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with an evaluated run, registered once."""
    place = tmp_path_factory.mktemp("registry")
    write_run(place / "run")
    write_record(place / "good")
    predictions_frame().to_parquet(place / "run" / "predictions.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        assert main(["evaluate", "--run", "run", "evaluation.bootstrap=20", "tracking.enabled=false"]) == 0
        assert main(["register", "--run", "run", "--name", "small"]) == 0
    return place


@pytest.fixture
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(place)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return place


def result_of(place: Path) -> dict:
    return json.loads((place / "run" / "registration" / "result.json").read_text())


def client_of(place: Path) -> MlflowClient:
    uri = f"sqlite:///{place / 'mlflow.db'}"
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def test_the_version_says_what_it_is(here: Path) -> None:
    result = result_of(here)
    assert (result["name"], result["version"], result["alias"]) == ("small", 1, "candidate")
    assert result["model_uri"] == "models:/small@candidate"
    version = client_of(here).get_model_version_by_alias("small", "candidate")
    assert str(version.version) == "1"
    assert version.run_id == result["run_id"]
    assert version.tags["peace.cohort"] == "zzu"
    metrics = json.loads((here / "run" / "metrics.json").read_text())
    assert f"Macro AUC {metrics['macro_auc']:.3f}" in version.description
    assert "not a medical device" in version.description
    assert "| infant (28 days to 1 year) |" in version.description
    assert "## Intended use" in version.description
    assert "There is no champion yet" in client_of(here).get_registered_model("small").description


def test_weights_are_safetensors_and_nothing_is_pickled(here: Path) -> None:
    (folder,) = (here / "mlartifacts" / "models").glob("*/artifacts")
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"README.md", "MLmodel", "pyfunc_model.py", "artifacts/checkpoint/model.safetensors"} <= names
    assert not [name for name in names if name.endswith((".pkl", ".pt", ".pth", ".bin"))]
    # the text side stays behind
    assert not [name for name in names if "text" in name or "training" in name]


def test_a_fresh_process_gets_the_same_probabilities(here: Path) -> None:
    predictor = Predictor.load(here / "run")
    ecg_mv = np.random.default_rng(1).normal(0, 0.3, (3, 12, predictor.length)).astype(np.float32)
    ecg_mv[2, [7, 9, 11]] = np.nan
    np.save(here / "ecg.npy", ecg_mv)
    command = [sys.executable, "-c", ASK, f"sqlite:///{here / 'mlflow.db'}"]
    said = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert said["columns"] == list(predictor.labels)
    np.testing.assert_allclose(said["arrays"], predictor.predict_array(ecg_mv), atol=1e-6)
    good, absent = said["files"]
    expected = predictor.predict_file(here / "good.hea")
    assert isinstance(expected, Prediction)
    assert {name: good[name] for name in predictor.labels} == pytest.approx(expected.probabilities, abs=1e-6)
    assert good["refused"] is None
    assert {absent[name] for name in predictor.labels} == {None}
    assert absent["refused"].startswith("missing_header")
    assert said["example"] == [2, 12, predictor.length]


@pytest.mark.heavy
def test_it_is_served_over_http_and_says_the_same(here: Path) -> None:
    predictor = Predictor.load(here / "run")
    ecg_mv = np.random.default_rng(2).normal(0, 0.3, (2, 12, predictor.length)).astype(np.float32)
    uri = f"http://127.0.0.1:{(port := free_port())}"
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/small@candidate"]
    command += ["--env-manager", "local", "--port", str(port), "--workers", "1"]
    environment = {**server_environment(), "MLFLOW_TRACKING_URI": f"sqlite:///{here / 'mlflow.db'}"}
    log = here / "serve.log"
    with log.open("wb") as words:
        server = subprocess.Popen(command, env=environment, stdout=words, stderr=words, start_new_session=True)
    try:
        wait_until_up(uri, server, log, patience=300)
        arrays = ask(uri, {"inputs": ecg_mv.tolist()})
        said = [[row[label] for label in predictor.labels] for row in arrays]
        np.testing.assert_allclose(said, predictor.predict_array(ecg_mv), atol=1e-6)
        good, absent = ask(uri, {"dataframe_split": {"columns": ["path"], "data": [["good.hea"], ["absent.hea"]]}})
        expected = predictor.predict_file(here / "good.hea")
        assert isinstance(expected, Prediction)
        assert {name: good[name] for name in predictor.labels} == pytest.approx(expected.probabilities, abs=1e-6)
        assert absent["refused"].startswith("missing_header")
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def ask(uri: str, question: dict) -> list:
    request = urllib.request.Request(
        f"{uri}/invocations", json.dumps(question).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)["predictions"]


def test_predict_takes_a_registered_model(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "good.hea", "--model", "models:/small@candidate", "--json"]) == 0
    by_alias = json.loads(capsys.readouterr().out)
    assert main(["predict", "good.hea", "--model", "run", "--json"]) == 0
    by_folder = json.loads(capsys.readouterr().out)
    assert by_alias["records"] == by_folder["records"]
    assert main(["predict", "good.hea", "--model", "models:/small@champion"]) == 2
    assert "cannot get 'models:/small@champion'" in capsys.readouterr().err


def test_registering_again_is_done_already_and_another_model_is_a_new_version(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["register", "--run", "run", "--name", "small"]) == 0
    assert "finished already" in capsys.readouterr().err
    assert len(client_of(here).search_model_versions("name='small'")) == 1
    write_run(tmp_path / "other", require=9)
    assert main(["register", "--run", str(tmp_path / "other"), "--name", "second"]) == 0
    assert client_of(here).get_model_version_by_alias("second", "candidate").description.count("Not evaluated yet")


def test_a_job_killed_after_registering_makes_no_second_version(here: Path) -> None:
    folder = here / "run" / "registration"
    # as if the process had died before it wrote its result
    (folder / "result.json").unlink()
    assert main(["register", "--run", "run", "--name", "small"]) == 0
    assert result_of(here)["version"] == 1
    assert len(client_of(here).search_model_versions("name='small'")) == 1


def test_the_leaderboard_shows_it(here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--run", "run", "--out", "again", "evaluation.bootstrap=20"]) == 0
    capsys.readouterr()
    assert main(["leaderboard", "--json", "--out", str(tmp_path / "board")]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    metrics = json.loads((here / "run" / "metrics.json").read_text())
    version = next(row for row in rows if row["name"] == "small")
    (run,) = [row for row in rows if row["kind"] == "run"]
    assert version["aliases"] == ["candidate"]
    for row in (version, run):
        assert (row["cohort"], row["protocol"], row["records"]) == ("zzu", "full", metrics["records"])
        assert row["macro_auc_low"] == pytest.approx(metrics["macro_auc_low"], abs=1e-4)
        assert row["labels"]["LVH"] == pytest.approx(
            {name: metrics["labels"]["LVH"][name] for name in ("auc", "auc_low", "auc_high")}
        )
    header, *lines = (tmp_path / "board" / "leaderboard.csv").read_text().splitlines()
    assert "auc_LVH,auc_low_LVH,auc_high_LVH" in header
    assert len(lines) == len(rows)
    assert f"{metrics['macro_auc']:.3f} (" in (tmp_path / "board" / "leaderboard.html").read_text()
    assert main(["leaderboard", "--name", "nobody"]) == 2


def test_an_artefact_folder_that_takes_nothing_is_one_line(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file stands in its place: root, as whom tests may run, writes to what is only marked read-only."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "mlartifacts").write_text("")
    assert main(["register", "--run", str(place / "run"), "--out", "out"]) == 2
    told = capsys.readouterr().err
    assert f"cannot write or read {tmp_path}/mlartifacts/models: not a directory" in told
    assert len(told.splitlines()) == 1


NOT_NAMES = ("a/b", "..", ".", "", " ", " a", "a:b", "a'b", "a\nb", "x" * 300)


@pytest.mark.parametrize("name", NOT_NAMES)
@pytest.mark.usefixtures("here")
def test_names_that_no_registry_can_hold(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    predictions_frame().to_parquet("p.parquet")
    for words in (["promote", name, "--predictions", "p.parquet"], ["rollback", name, "--reason", "r"]):
        assert main(words) == 2
        assert f"{name!r} cannot name a model" in capsys.readouterr().err
    assert main(["leaderboard", "--name", name]) == 2
    assert f"{name!r} cannot name a model" in capsys.readouterr().err
    assert main(["predict", "r.hea", "--model", f"models:/{name}@candidate"]) == 2
    told = capsys.readouterr().err
    assert "cannot get 'models:/" in told or 'cannot get "models:/' in told
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--run", "nowhere"], "nowhere holds no checkpoint"),
        (["--run", "run", "--evaluation", "other"], "other/metrics.json does not exist"),
        (["--run", "run", "--alias", "v3"], "'v3' cannot be an alias"),
        *((["--run", "run", "--name", name], f"{name!r} cannot name a model") for name in NOT_NAMES),
        (["--run", "run", "tracking.model_name=.."], "'..' cannot name a model"),
        (["--run", "run", "tracking.enabled=false"], "`peace register` needs MLflow"),
    ],
)
@pytest.mark.usefixtures("here")
def test_mistakes_end_in_one_line(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["register", *words, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
