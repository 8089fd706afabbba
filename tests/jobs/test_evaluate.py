"""`peace evaluate` from the command line, on predictions as a training leaves them."""

import json
import re
from pathlib import Path

import pytest
from mlflow import MlflowClient
from predictions_table import LABELS, predictions_frame

from jobs.cli import main


@pytest.fixture
def run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "zzu-full"
    (run / "checkpoint").mkdir(parents=True)
    predictions_frame().to_parquet(run / "predictions.parquet")
    lines = [{"epoch": n, "loss": 1 / n, "loss_contrastive": 2 / n, "gate": n / 3, "val_auc": 0.6} for n in (1, 2, 3)]
    # the last line was cut short by a kill
    (run / "history.jsonl").write_text("\n".join(map(json.dumps, lines)) + '\n{"epoch": 4, "lo')
    (run / "result.json").write_text(json.dumps({"verb": "adapt", "protocol": "full", "trained_on": 400}))
    checkpoint = {"cohort": "zzu", "protocol": "full", "label_set": "peace12", "code_version": "0.1.0+abc"}
    (run / "checkpoint" / "checkpoint.json").write_text(json.dumps(checkpoint))
    return run


def evaluate(*words: str) -> int:
    return main(["evaluate", *map(str, words), "evaluation.bootstrap=50"])


def test_a_run_gets_metrics_figures_and_a_report(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (run_dir / "result.json").read_text()
    assert evaluate("--run", run_dir, "--synthetic") == 0
    assert (run_dir / "result.json").read_text() == before
    metrics = json.loads((run_dir / "metrics.json").read_text())
    result = json.loads((run_dir / "evaluation" / "result.json").read_text())
    assert result["macro_auc"] == metrics["macro_auc"]
    assert result["labels"] == {name: metrics["labels"][name]["auc"] for name in LABELS}
    assert (result["records"], result["patients"], result["left_out"]) == (120, 60, [])
    printed = capsys.readouterr().out
    assert f"{metrics['macro_auc']:.3f}" in printed
    for name in ("auc", "roc", "calibration", "labels", "history"):
        assert (run_dir / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")

    report = (run_dir / "report.html").read_text()
    assert "synthetic" in report
    assert "not a medical device" in report
    assert "left ventricular hypertrophy" in report
    assert f"{metrics['macro_auc']:.3f}" in report
    # one file: nothing is fetched, all five figures are inside
    assert re.findall(r'(?:src|href)="(?!data:)', report) == []
    assert report.count("data:image/png;base64,") == 5

    client = MlflowClient(tracking_uri=f"sqlite:///{run_dir.parent / 'mlflow.db'}")
    logged = client.get_run(result["mlflow_run_id"])
    assert logged.data.metrics["test/macro_auc"] == pytest.approx(metrics["macro_auc"])
    assert logged.data.metrics["test/auc/LVH"] == pytest.approx(metrics["labels"]["LVH"]["auc"])
    assert {entry.path for entry in client.list_artifacts(result["mlflow_run_id"])} >= {"report.html", "metrics.json"}


def test_out_takes_everything(run_dir: Path, tmp_path: Path) -> None:
    assert evaluate("--run", run_dir, "--out", tmp_path / "second", "tracking.enabled=false") == 0
    assert {"metrics.json", "report.html", "figures", "result.json"} <= {
        p.name for p in (tmp_path / "second").iterdir()
    }
    assert not (run_dir / "metrics.json").exists()
    assert not (tmp_path / "mlflow.db").exists()


def test_done_is_done_and_new_predictions_are_not(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--run", run_dir, "tracking.enabled=false")
    assert evaluate(*words) == 0
    first = json.loads((run_dir / "metrics.json").read_text())
    assert evaluate(*words) == 0
    assert "finished already" in capsys.readouterr().err
    predictions_frame(seed=9).to_parquet(run_dir / "predictions.parquet")
    assert evaluate(*words) == 0
    assert json.loads((run_dir / "metrics.json").read_text())["macro_auc"] != first["macro_auc"]


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_predictions_from_elsewhere(
    run_dir: Path, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / f"mine.{kind}"
    frame = predictions_frame().drop(columns=["patient_id", "age_days"])
    frame.to_parquet(file) if kind == "parquet" else frame.to_csv(file, index=False)
    (tmp_path / "result.json").write_text("[]")  # not a run of ours
    assert evaluate("--predictions", file, "--out", tmp_path / "mine", "tracking.enabled=false") == 0
    assert "intervals by record" in capsys.readouterr().out
    assert "too narrow" in (tmp_path / "mine" / "report.html").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--run", "nowhere"), "nowhere/predictions.parquet does not exist"),
        (("--predictions", "zzu-full/history.jsonl", "--out", "o"), "lacks the column record_id"),
        (("--predictions", "zzu-full", "--out", "o"), "zzu-full is a folder"),
        (("--predictions", "zzu-full/predictions.parquet"), "--out DIR is missing"),
    ],
)
def test_mistakes_end_in_one_line(
    run_dir: Path, words: tuple, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(*words, "tracking.enabled=false") == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
