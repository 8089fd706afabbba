"""`peace sweep` end to end: trials, one that fails, best.yaml, tracking; killed, interrupted, taken further."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from conftest import peace, result_of
from mlflow import MlflowClient

from jobs.cli import main
from peace.config import load_config

SPACE = {
    "summary": "two learning rates, one of which must fail",
    "stage": "pretrain",
    "search": "grid",
    "budget": {"retries": 1},
    "parameters": {"pretrain.learning_rate": {"choice": [1e-3, 1e30]}},
}


def command(cohorts: Path, out: Path, space: str | Path, *more: str | Path) -> list[str | Path]:
    return ["sweep", space, "--shards", cohorts / "shards-mimic", "--out", out, "--preset", "debug", *more]


def space_file(place: Path, **changes: Any) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    file = place / "mine.yaml"
    file.write_text(yaml.safe_dump({**SPACE, **changes}))
    return file


@contextmanager
def running(place: Path, words: Sequence[str | Path]) -> Iterator[subprocess.Popen[str]]:
    """A sweep in a process group of its own, which is gone after the block."""
    command = [sys.executable, "-m", "jobs.cli", *map(str, words)]
    with (place / "stderr.txt").open("w") as stderr:
        process = subprocess.Popen(
            command, cwd=place, stdout=subprocess.DEVNULL, stderr=stderr, text=True, start_new_session=True
        )
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(ready: Callable[[], Any], process: subprocess.Popen[Any], seconds: float = 900) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert process.poll() is None, "it ended too early"
        assert time.monotonic() < end
        time.sleep(0.05)


def trials_of(out: Path) -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in sorted(out.glob("trials/*/trial.json"))]


def is_trial(process: psutil.Process, names: tuple[str, ...] = ("ray::ImplicitFunc",)) -> bool:
    try:
        return process.cmdline()[0].startswith(names)
    except (psutil.Error, IndexError):
        return False


def is_of_a_trial(process: psutil.Process) -> bool:
    return is_trial(process, ("ray::ImplicitFunc", "ray::TrainController", "ray::RayTrainWorker"))


@pytest.mark.heavy
def test_a_sweep_survives_a_trial_that_fails_and_is_taken_further(small_cohorts: Path, tmp_path: Path) -> None:
    out, file = tmp_path / "run", space_file(tmp_path)
    done = peace(*command(small_cohorts, out, file, "--synthetic"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "at a time" in done.stderr
    first = result_of(out)
    assert (first["trials"], first["failed"]) == (2, 1)
    good, bad = first["rows"]
    assert good["status"] == "finished"
    assert good["epochs"] == 2
    assert bad["status"] == "failed"
    assert "diverged" in bad["error"]
    assert first["best"]["trial"] == good["trial"]
    assert first["best"]["metric"] == good["val_auc"]
    assert first["best"]["parameters"] == {"pretrain.learning_rate": 1e-3}
    assert not list(out.glob("trials/*/ray")), "a closed trial keeps no checkpoint"
    page = (out / "report.html").read_text()
    assert "diverged" in page
    assert "say nothing about patients" in page

    best = load_config("paper", out / "best.yaml")
    ran = load_config("debug", None, ["pretrain.learning_rate=1e-3"])
    assert (best.model, best.objective, best.pretrain) == (ran.model, ran.objective, ran.pretrain)

    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("peace").experiment_id])
    children = {run.data.tags["trial"]: run for run in runs if "mlflow.parentRunId" in run.data.tags}
    assert len(runs) == 3
    assert {run.data.tags["mlflow.parentRunId"] for run in children.values()} == {first["mlflow_run_id"]}
    assert {trial: run.info.status for trial, run in children.items()} == {"1": "FINISHED", "2": "FAILED"}
    assert children["1"].data.params["pretrain.learning_rate"] == "0.001"
    points = client.get_metric_history(children["1"].info.run_id, "val_auc")
    assert sorted(point.step for point in points) == [1, 2]
    assert {item.path for item in client.list_artifacts(first["mlflow_run_id"])} >= {"best.yaml", "report.html"}

    shown = peace("sweep", "--show", out, cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout == done.stdout
    again = peace(*command(small_cohorts, out, file, "--synthetic"), cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert result_of(out)["rows"] == first["rows"]
    assert "at a time" not in again.stderr, "nothing is left to run"


@pytest.mark.heavy
def test_a_killed_sweep_goes_on_with_its_trials(small_cohorts: Path, tmp_path: Path) -> None:
    """SIGKILL of everything in the second trial: the first stays, the second continues, there are three in the end.

    The third loses its own process alone, and is tried again.
    """
    space = space_file(
        tmp_path,
        search="tpe",
        budget={"trials": 3},
        fixed={"pretrain.epochs": 6},
        parameters={"pretrain.learning_rate": {"log_uniform": [1e-4, 1e-2]}},
    )
    out = tmp_path / "run"
    words = [*command(small_cohorts, out, space, "--concurrency", "1")]
    with running(tmp_path, words) as first:
        wait_for(lambda: (out / "trials" / "0002" / "history.jsonl").exists(), first)
    before = trials_of(out)
    assert [trial["status"] for trial in before] == ["finished", "open"]
    epochs = (out / "trials" / "0002" / "history.jsonl").read_text().splitlines()
    shown = peace("sweep", "--show", out, cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "1 trials" in shown.stdout

    with running(tmp_path, words) as second:
        wait_for(lambda: (out / "trials" / "0003" / "history.jsonl").exists(), second)
        drivers = [child for child in psutil.Process(second.pid).children(recursive=True) if is_trial(child)]
        assert len(drivers) == 1
        drivers[0].kill()
        assert second.wait(timeout=900) == 0, (tmp_path / "stderr.txt").read_text()
    after = trials_of(out)
    assert after[0] == before[0]
    assert after[1]["parameters"] == before[1]["parameters"]
    assert (out / "trials" / "0002" / "history.jsonl").read_text().splitlines()[: len(epochs)] == epochs
    assert [trial["status"] for trial in after] == ["finished"] * 3
    assert [trial["failures"] for trial in after] == [0, 0, 1]
    assert result_of(out)["trials"] == 3
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("peace").experiment_id])
    assert len(runs) == 4
    for run in runs:
        if "trial" in run.data.tags:
            points = client.get_metric_history(run.info.run_id, "val_auc")
            assert sorted(point.step for point in points) == [1, 2, 3, 4, 5, 6]


@pytest.mark.heavy
def test_ctrl_c_leaves_nothing_on_a_cluster_that_goes_on(small_cohorts: Path, tmp_path: Path) -> None:
    """Interrupted on a joined cluster: its placement groups and processes go, and what it held is free again."""
    import ray
    from ray.cluster_utils import Cluster
    from ray.util import placement_group_table

    def held() -> list[str]:
        groups = [key for key, group in placement_group_table().items() if group["state"] != "REMOVED"]
        return groups + [
            child.cmdline()[0] for child in psutil.Process().children(recursive=True) if is_of_a_trial(child)
        ]

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    try:
        ray.init(address=cluster.address)
        space = space_file(tmp_path, parameters={"pretrain.learning_rate": {"choice": [1e-3]}})
        out = tmp_path / "run"
        words = [*command(small_cohorts, out, space), f"ray.address={cluster.address}", "tracking.enabled=false"]
        with running(tmp_path, [*words, "pretrain.epochs=500"]) as slow:
            wait_for(lambda: (out / "trials" / "0001" / "history.jsonl").exists(), slow)
            assert held()
            slow.send_signal(signal.SIGINT)
            assert slow.wait(timeout=300) == 130, (tmp_path / "stderr.txt").read_text()
        assert trials_of(out)[0]["status"] == "open"
        end = time.monotonic() + 300
        while held() or ray.available_resources()["CPU"] != 2:
            assert time.monotonic() < end, (held(), ray.available_resources())
            time.sleep(0.5)
    finally:
        ray.shutdown()
        cluster.shutdown()


def test_mistakes_are_one_clear_line(small_cohorts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shards = small_cohorts / "shards-mimic"
    wrong = space_file(tmp_path, parameters={"pretrain.learnin_rate": {"choice": [1]}})
    cases: dict[str, list[str | Path]] = {
        "did you mean 'curriculum'": command(small_cohorts, tmp_path / "a", "curiculum"),
        "did you mean 'pretrain.learning_rate'": command(small_cohorts, tmp_path / "b", wrong),
        "SPACE is missing": ["sweep", "--shards", shards, "--out", tmp_path / "c"],
        "--trials must be": command(small_cohorts, tmp_path / "d", "curriculum", "--trials", "0"),
        "--concurrency is auto": command(small_cohorts, tmp_path / "e", "curriculum", "--concurrency", "many"),
        "--checkpoint is for": command(small_cohorts, tmp_path / "f", "curriculum", "--checkpoint", tmp_path),
        "--shards DIR is missing": ["sweep", "curriculum", "--out", tmp_path / "g", "--preset", "paper"],
        "is not the directory": ["sweep", "--show", tmp_path],
        "none.yaml": command(small_cohorts, tmp_path / "h", tmp_path / "none.yaml"),
    }
    for message, words in cases.items():
        assert main([*map(str, words), "tracking.enabled=false"]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert len(error.strip().splitlines()) == 1
