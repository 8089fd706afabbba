"""The demo from end to end, killed in the middle and run again: one result, one MLflow run with its children."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from conftest import peace, result_of
from mlflow import MlflowClient

DEMO = ["demo", "--preset", "debug", "--out", "demo"]


@pytest.mark.heavy
def test_the_demo_goes_on_after_a_kill_and_then_says_that_it_is_done(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    command = [sys.executable, "-m", "jobs.cli", *DEMO]
    first = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL, start_new_session=True)
    end = time.monotonic() + 300
    while not (out / "pretrain" / "history.jsonl").exists():
        assert first.poll() is None
        assert time.monotonic() < end
        time.sleep(0.2)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()

    done = peace(*DEMO, cwd=tmp_path, timeout=600)
    assert done.returncode == 0, done.stderr
    result = result_of(out)
    assert set(result["auc"]) == {"pretrain", "zero-shot", "few-shot", "full", "ptbxl-full"}
    assert "full" in done.stdout
    assert "mlflow ui" in done.stdout
    check_accounting(out)
    page = (out / "report.html").read_text()
    assert "says nothing about patients" in page.replace("\n", " ") or "say nothing about patients" in page
    assert 'src="http' not in page
    check_tracking(tmp_path, result["mlflow_run_id"])

    again = peace(*DEMO, cwd=tmp_path)
    assert again.returncode == 0
    assert "finished already" in again.stderr
    assert result_of(out) == result


def check_accounting(out: Path) -> None:
    for cohort in ("mimic", "zzu", "ptbxl"):
        index, shards = result_of(out / f"index-{cohort}"), result_of(out / f"shards-{cohort}")
        assert index["indexed"] == index["kept"] + sum(index["excluded"].values())
        assert index["kept"] == shards["kept"] + sum(shards["rejected"].values())
    for run, cohort in (("pretrain", "mimic"), ("full", "zzu"), ("ptbxl-full", "ptbxl")):
        frame = pd.read_parquet(out / run / "predictions.parquet")
        splits = result_of(out / f"shards-{cohort}")["splits"]
        counted = frame.groupby("split").record_id.nunique().to_dict()
        assert counted == {split: splits[split] for split in ("val", "test")}
        assert not frame.duplicated(["record_id", "label"]).any()


def check_tracking(place: Path, run_id: str) -> None:
    client = MlflowClient(tracking_uri=f"sqlite:///{place}/mlflow.db")
    experiment = client.get_experiment_by_name("peace")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == run_id]
    others = {run.info.run_name for run in runs if run not in children}
    assert others == {"demo", "champions of peace12"}  # the second is the ledger of the registered model
    assert len(runs) == len(children) + 2
    assert all(run.info.status == "FINISHED" for run in runs)
    version = client.get_model_version_by_alias("peace12", "candidate")
    assert version.status == "READY"
