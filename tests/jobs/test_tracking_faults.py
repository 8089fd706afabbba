"""Tracking under kills, of the job and of the server; several writers at once; what `peace track sync` makes good."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from conftest import peace
from mlflow import MlflowClient
from mlflow_server import mlflow_server, silent_server
from postgres_server import postgres_programs, postgres_server

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from tracking import OURS, measure

PACE = """
import sys, time
from pathlib import Path
from jobs.tracking.run import open_run
from peace.config import build_config

uri, out, steps, pause = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
out.mkdir(exist_ok=True)
(out / "report.html").write_text("report")
with open_run(build_config({"tracking": {"uri": uri}}), out, "pretrain", None, True) as run:
    longest = 0.0
    for step in range(steps):
        if (out / "enough").exists():
            break
        began = time.perf_counter()
        run.metrics({"loss": step / 7, "gate": 0.5}, step=step)
        run.series("gate_step", [step, step + 0.5], first_step=2 * step)
        longest = max(longest, time.perf_counter() - began)
        with (out / "steps").open("a") as done:
            done.write(".")
        time.sleep(pause)
    run.artifact(out / "report.html")
print(longest)
"""


def pace(uri: str, out: Path, steps: int, pause: float = 0.0) -> subprocess.Popen[str]:
    """A job that logs as a training does."""
    command = [sys.executable, "-c", PACE, uri, str(out), str(steps), str(pause)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until(true: Callable[[], object], seconds: float = 600) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)


def steps_of(client: MlflowClient, run_id: str, name: str) -> list[int]:
    return [entry.step for entry in client.get_metric_history(run_id, name)]


def run_id_of(out: Path) -> str:
    return (out / "mlflow_run_id").read_text().strip()


@pytest.mark.heavy
def test_a_server_that_dies_and_comes_back_gets_every_step_once(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with mlflow_server(tmp_path / "server") as server:
        client = MlflowClient(tracking_uri=server.uri)
        job = pace(server.uri, out, 100_000, 0.02)
        until(lambda: (out / "mlflow_run_id").exists() and "loss" in client.get_run(run_id_of(out)).data.metrics)
        server.kill()
        at = (out / "steps").stat().st_size
        until(lambda: (out / "steps").stat().st_size > at + 5)  # the job continues meanwhile
        server.start()
        (out / "enough").touch()
        _, words = job.communicate(timeout=600)
        assert job.returncode == 0
        assert words.count("warning") == 1, words
        steps = (out / "steps").stat().st_size
        assert steps_of(client, run_id_of(out), "loss") == list(range(steps))
        assert steps_of(client, run_id_of(out), "gate_step") == list(range(2 * steps))
        assert [file.path for file in client.list_artifacts(run_id_of(out))] == ["report.html"]
        assert client.get_run(run_id_of(out)).info.status == "FINISHED"


@pytest.mark.heavy
def test_a_silent_server_slows_no_step_and_sync_makes_good_once(tmp_path: Path) -> None:
    out = tmp_path / "runs" / "out"
    out.parent.mkdir()
    with silent_server() as uri:
        job = pace(uri, out, 1000)
        said, words = job.communicate(timeout=600)
    assert job.returncode == 0, words
    assert float(said) < 2.0  # seconds that the slowest step spent on logging; a single request would wait longer
    assert not (out / "mlflow_run_id").exists()
    assert f"peace track sync {out}" in words
    moved = tmp_path / "moved"
    shutil.move(tmp_path / "runs", moved)
    refused = peace("track", "sync", moved, cwd=tmp_path)
    assert refused.returncode == 2
    assert "what was not sent is kept" in refused.stderr
    with mlflow_server(tmp_path / "server") as server:
        for sent in (True, False):
            done = peace("track", "sync", moved, "--out", "synced", f"tracking.uri={server.uri}", cwd=tmp_path)
            assert done.returncode == 0, done.stderr
            assert bool(json.loads((tmp_path / "synced" / "result.json").read_text())["sent"]) == sent
        client = MlflowClient(tracking_uri=server.uri)
        assert len(client.search_runs([client.get_experiment_by_name("peace").experiment_id])) == 1
        run_id = run_id_of(moved / "out")
        assert steps_of(client, run_id, "loss") == list(range(1000))
        assert [file.path for file in client.list_artifacts(run_id)] == ["report.html"]
        assert client.get_run(run_id).info.status == "FINISHED"


@pytest.mark.heavy
def test_a_training_is_killed_and_its_server_too_and_each_step_is_there_once(
    small_cohorts: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    with mlflow_server(tmp_path / "server") as server:
        words = ["pretrain", "--shards", small_cohorts / "shards-mimic", "--out", out, "--preset", "debug"]
        words += ["pretrain.epochs=4", f"tracking.uri={server.uri}", "tracking.system_metrics_seconds=1"]
        command = [sys.executable, "-m", "jobs.cli", *map(str, words)]
        history = out / "history.jsonl"
        with subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True) as first:
            until(lambda: history.exists() and history.read_text().count("\n"))
            os.kill(first.pid, signal.SIGKILL)
        epochs = history.read_text().count("\n")
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as second:
            until(lambda: history.read_text().count("\n") > epochs or second.poll() is not None)
            server.kill()
            _, told = second.communicate(timeout=600)
            assert second.returncode == 0, told
            assert "peace track sync" in told
        server.start()
        for _ in range(2):
            done = peace("track", "sync", out, cwd=tmp_path)
            assert done.returncode == 0, done.stderr
        client = MlflowClient(tracking_uri=server.uri)
        run_id = run_id_of(out)
        assert len(client.search_runs([client.get_experiment_by_name("peace").experiment_id])) == 1
        noted = sorted(json.loads(line)["epoch"] for line in history.read_text().splitlines())
        found = client.get_run(run_id)
        for name in ("loss", "val_auc", "samples_per_second", "data_wait_share", "gate"):
            assert sorted(steps_of(client, run_id, name)) == noted, name
        steps = steps_of(client, run_id, "gate_step")
        assert len(set(steps)) == len(steps)
        assert found.info.status == "FINISHED"
        assert found.inputs.dataset_inputs
        assert found.data.metrics["system/cpu_utilization_percentage"] >= 0
        assert {"config.yaml", "result.json", "predictions.parquet"} <= {
            file.path for file in client.list_artifacts(run_id)
        }


@pytest.mark.heavy
@pytest.mark.parametrize("kind", ["sqlite", "PostgreSQL"])
def test_eight_writers_at_once_lose_nothing(kind: str, tmp_path: Path, empty_store: Path) -> None:
    with ExitStack() as stack:
        if kind == "sqlite":
            shutil.copy(empty_store, tmp_path / "mlflow.db")
            uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
        elif postgres_programs() is None:
            pytest.skip("PostgreSQL is not installed")
        else:
            store = stack.enter_context(postgres_server())
            uri = stack.enter_context(mlflow_server(tmp_path / "server", store, workers=2)).uri
        found = measure(OURS, uri, tmp_path / "writers", writers=8, steps=200)
    print(kind, found)
    assert found["lost_or_twice"] == 0
