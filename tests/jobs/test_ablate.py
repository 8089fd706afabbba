"""`peace ablate` end to end: rows, resumption cell by cell, parent and child runs, the report."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import peace, result_of
from mlflow import MlflowClient
from safetensors.torch import load_file

from jobs.cli import main

GRID = ["ablate.methods=[peace,dann]", "ablate.seeds=[1]", "ablate.protocols=[zero-shot,few-shot,linear-probe]"]


def command(cohorts: Path, out: Path) -> list[str | Path]:
    shards = ["--shards-adult", cohorts / "shards-mimic", "--shards-target", cohorts / "shards-zzu"]
    return ["ablate", *shards, "--out", out, "--preset", "debug", "--synthetic"]


@pytest.fixture(scope="module")
def ablated(small_cohorts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a small grid that has run."""
    place = tmp_path_factory.mktemp("ablate")
    done = peace(*command(small_cohorts, place / "run"), *GRID, cwd=place)
    assert done.returncode == 0, done.stderr
    assert "PEACE" in done.stdout
    assert "0.817" in done.stdout, "the paper's value stands beside"
    return place / "run"


def test_a_grid_is_compared_and_tracked(ablated: Path) -> None:
    first = result_of(ablated)
    keys = {(row["method"], row["protocol"], row["seed"]) for row in first["rows"]}
    protocols = ("zero-shot", "few-shot", "linear-probe")
    assert keys == {(method, protocol, 1) for method in ("peace", "dann") for protocol in protocols}
    assert all(0 <= row["macro_auc"] <= 1 and row["labels"] for row in first["rows"])
    assert [entry["against"] is None for entry in first["summary"]] == [True, False] * 3
    page = (ablated / "report.html").read_text()
    assert "say nothing about patients" in page
    assert 'src="http' not in page
    assert not list(ablated.glob("cells/*/last"))
    tensors = load_file(ablated / "cells" / "dann-seed-1-pretrain" / "checkpoint" / "model.safetensors")
    assert not [name for name in tensors if name.startswith("side")]

    client = MlflowClient(tracking_uri=f"sqlite:///{ablated.parent}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("peace").experiment_id])
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == first["mlflow_run_id"]]
    assert len(runs) == len(children) + 1 == 9
    assert all(run.info.status == "FINISHED" for run in runs)
    pretrained = next(run for run in children if run.data.tags["protocol"] == "pretrain")
    gates = client.get_metric_history(pretrained.info.run_id, "gate_step")
    epochs = [json.loads(line) for line in (ablated / "cells" / "dann-seed-1-pretrain" / "history.jsonl").open()]
    assert sorted(point.step for point in gates) == list(range(sum(len(epoch["gate_steps"]) for epoch in epochs)))


@pytest.mark.heavy
def test_a_grid_is_taken_further(ablated: Path, small_cohorts: Path) -> None:
    """One method more and the curve: what is there stays, to the byte."""
    first = result_of(ablated)
    before = {path: path.stat().st_mtime_ns for path in ablated.glob("cells/*/predictions.parquet")}
    more = [*GRID[1:], "ablate.methods=[peace,dann,ecg_only]", "ablate.curve.methods=[peace]", "ablate.curve.draws=1"]
    done = peace(*command(small_cohorts, ablated), "--curve", *more, cwd=ablated.parent)
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before
    second = result_of(ablated)
    assert [row for row in second["rows"] if row["method"] != "ecg_only"] == first["rows"]
    assert [point["shots"] for point in second["curve"]] == [1, 5, 10]
    assert second["mlflow_run_id"] == first["mlflow_run_id"]


def test_mistakes_are_one_clear_line(small_cohorts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shards = small_cohorts / "shards-mimic"
    cases = {
        "or neither": ["ablate", "--shards-adult", shards, "--out", tmp_path / "a"],
        "ablate.methods": [*command(small_cohorts, tmp_path / "b"), "ablate.methods=[piece]"],
        "--target-shards": ["pretrain", "--shards", shards, "--out", tmp_path / "d", "objective.method=dann"],
        "not for objective.method=peace": [
            *("pretrain", "--shards", shards, "--target-shards", shards, "--out", tmp_path / "e")
        ],
    }
    for message, words in cases.items():
        assert main([*map(str, words), "tracking.enabled=false"]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert len(error.strip().splitlines()) == 1


@pytest.mark.heavy
def test_a_killed_grid_ends_where_it_would_have_ended(small_cohorts: Path, tmp_path: Path) -> None:
    grid = [*GRID, "pretrain.epochs=6", "tracking.enabled=false"]
    assert peace(*command(small_cohorts, tmp_path / "whole"), *grid, cwd=tmp_path).returncode == 0
    out = tmp_path / "killed"
    words = [sys.executable, "-m", "jobs.cli", *map(str, command(small_cohorts, out)), *grid]
    first = subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.DEVNULL, start_new_session=True)
    end = time.monotonic() + 120
    while not list(out.glob("cells/*-pretrain/checkpoints/*/checkpoint.json")):
        assert first.poll() is None
        assert time.monotonic() < end
        time.sleep(0.02)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert not list(out.glob("cells/*-zero-shot/cell.json"))
    done = peace(*command(small_cohorts, out), *grid, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert result_of(out)["rows"] == result_of(tmp_path / "whole")["rows"]
