"""Tracking against a real sqlite store and a real (absent) server."""

import math
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from jobs.tracking.run import RUN_ID_FILE, open_run
from jobs.tracking.system_metrics import system_metrics
from peace.config import Config, build_config
from peace.core.errors import ConfigError


@pytest.fixture
def config(tmp_path: Path, empty_store: Path) -> Config:
    shutil.copy(empty_store, tmp_path / "store.db")
    return build_config({"tracking": {"uri": f"sqlite:///{tmp_path / 'store.db'}"}})


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def client_of(config: Config) -> MlflowClient:
    return MlflowClient(tracking_uri=config.tracking.uri)


def test_what_is_logged_is_in_the_store(config: Config, out: Path) -> None:
    (out / "figures").mkdir()
    (out / "figures" / "a.png").write_bytes(b"png")
    (out / "note.txt").write_text("hello")
    with open_run(config, out, "pretrain", None, enabled=True) as run:
        run.metrics({"loss": 2.0, "no value": None, "nan": math.nan, "auc/LAO (x)": 0.5}, step=1)
        run.metrics({"loss": 1.0}, step=2)
        run.params({"extra": {"depth": 3}, "long": "x" * 7000})
        run.tags({"cohort": "zzu"})
        run.dataset("zzu", "0123456789abcdef", "/somewhere")
        run.artifact(out / "note.txt", "notes")
        run.artifact(out / "figures", "figures")
    client = client_of(config)
    found = client.get_run(str(run.run_id))
    assert found.info.status == "FINISHED"
    assert [(entry.step, entry.value) for entry in client.get_metric_history(run.run_id, "loss")] == [(1, 2), (2, 1)]
    assert set(found.data.metrics) == {"loss", "auc/LAO__x_"}
    assert found.data.params["model.width"] == "768"
    assert found.data.params["extra.depth"] == "3"
    assert len(found.data.params["long"]) == 6000
    assert found.data.tags["cohort"] == "zzu"
    assert found.data.tags["peace.verb"] == "pretrain"
    assert [entry.dataset.digest for entry in found.inputs.dataset_inputs] == ["0123456789abcdef"]
    assert [entry.path for entry in client.list_artifacts(run.run_id, "notes")] == ["notes/note.txt"]
    assert [entry.path for entry in client.list_artifacts(run.run_id, "figures")] == ["figures/a.png"]


def test_a_rerun_goes_on_in_the_same_run_and_logs_nothing_twice(config: Config, out: Path) -> None:
    first = open_run(config, out, "adapt", None, enabled=True)
    first.metrics({"loss": 2.0}, step=1)
    with pytest.raises(RuntimeError), first:
        raise RuntimeError("the job died")
    client = client_of(config)
    assert client.get_run(str(first.run_id)).info.status == "FAILED"
    with open_run(config, out, "adapt", None, enabled=True) as second:
        assert second.flush()
        assert client.get_run(str(first.run_id)).info.status == "RUNNING"
        second.metrics({"loss": 2.0}, step=1)
        second.metrics({"loss": 1.0}, step=2)
    assert second.run_id == first.run_id
    assert client.get_run(str(first.run_id)).info.status == "FINISHED"
    assert [entry.step for entry in client.get_metric_history(str(first.run_id), "loss")] == [1, 2]


def test_a_killed_process_leaves_its_run_to_the_next(config: Config, out: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from jobs.tracking.run import open_run;"
        "from peace.config import build_config;"
        "run = open_run(build_config({'tracking': {'uri': sys.argv[1]}}), Path(sys.argv[2]), 'adapt', None, True);"
        "run.metrics({'loss': 3.0}, step=1); run.flush(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(config.tracking.uri), str(out)], check=False)
    assert done.returncode == -9
    left = (out / RUN_ID_FILE).read_text().strip()
    with open_run(config, out, "adapt", None, enabled=True) as run:
        run.metrics({"loss": 3.0}, step=1)
    assert run.run_id == left
    client = client_of(config)
    assert len(client.get_metric_history(left, "loss")) == 1
    assert len(client.search_runs([client.get_run(left).info.experiment_id])) == 1


@pytest.mark.heavy
def test_jobs_that_start_together_share_a_new_store(tmp_path: Path) -> None:
    config = build_config({"tracking": {"uri": f"sqlite:///{tmp_path / 'new.db'}"}})
    script = (
        "import sys; from pathlib import Path; from jobs.tracking.run import open_run;"
        "from peace.config import build_config; out = Path(sys.argv[2]); out.mkdir();"
        "run = open_run(build_config({'tracking': {'uri': sys.argv[1]}}), out, 'index', None, True);"
        "[run.metrics({'n': step}, step=step) for step in range(20)]; run.__exit__(None, None, None);"
        "sys.exit(0 if run.run_id else 3)"
    )
    commands = [[sys.executable, "-c", script, str(config.tracking.uri), str(tmp_path / f"job{n}")] for n in range(2)]
    jobs = [subprocess.Popen(command) for command in commands]
    assert [job.wait(timeout=120) for job in jobs] == [0, 0]
    client = client_of(config)
    (experiment,) = [found for found in client.search_experiments() if found.name == "peace"]
    runs = client.search_runs([experiment.experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED"] * 2
    assert [len(client.get_metric_history(run.info.run_id, "n")) for run in runs] == [20] * 2


def test_system_metrics_are_logged_and_go_on_after_a_restart(config: Config, out: Path) -> None:
    for _ in range(2):
        with open_run(config, out, "pretrain", None, enabled=True) as run, system_metrics(run, 3600):
            pass
    client = client_of(config)
    found = client.get_run(str(run.run_id)).data.metrics
    assert {"system/cpu_utilization_percentage", "system/system_memory_usage_megabytes"} <= set(found)
    history = client.get_metric_history(str(run.run_id), "system/system_memory_usage_percentage")
    assert [entry.step for entry in history] == [0, 1]


def test_interrupt_marks_the_run_killed(config: Config, out: Path) -> None:
    with pytest.raises(KeyboardInterrupt), open_run(config, out, "adapt", None, enabled=True) as run:
        raise KeyboardInterrupt
    assert client_of(config).get_run(str(run.run_id)).info.status == "KILLED"


def test_a_store_that_was_made_anew_gets_all_of_the_run(
    config: Config, out: Path, tmp_path: Path, empty_store: Path
) -> None:
    with open_run(config, out, "adapt", None, enabled=True) as run:
        run.metrics({"loss": 1.0}, step=1)
    shutil.copy(empty_store, tmp_path / "store.db")
    with open_run(config, out, "adapt", None, enabled=True) as other:
        pass
    assert other.run_id != run.run_id
    assert (out / RUN_ID_FILE).read_text().strip() == other.run_id
    assert client_of(config).get_run(str(other.run_id)).data.metrics == {"loss": 1.0}


def test_parent_and_child(config: Config, tmp_path: Path) -> None:
    (tmp_path / "child").mkdir()
    (tmp_path / "demo").mkdir()
    with (
        open_run(config, tmp_path / "demo", "demo", None, enabled=True) as parent,
        open_run(config, tmp_path / "child", "index", parent, enabled=True) as child,
    ):
        pass
    assert client_of(config).get_run(str(child.run_id)).data.tags["mlflow.parentRunId"] == parent.run_id


def test_a_server_that_is_down_costs_a_warning(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = build_config({"tracking": {"uri": f"http://127.0.0.1:{port}"}})
    with open_run(config, out, "pretrain", None, enabled=True) as run:
        run.metrics({"loss": 1.0})
        run.artifact(out)
    assert run.run_id is None
    warning = capsys.readouterr().err
    assert "kept and sent when MLflow answers" in warning
    assert f"peace track sync {out}" in warning
    assert len(warning.splitlines()) == 2


def test_a_run_that_is_deleted_meanwhile_is_told_once_and_made_anew_from_the_journal(
    config: Config, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_run(config, out, "pretrain", None, enabled=True) as run:
        run.metrics({"loss": 1.0}, step=1)
        assert run.flush()
        client_of(config).delete_run(str(run.run_id))
        run.metrics({"loss": 2.0}, step=2)
        assert not run.flush()
        run.metrics({"loss": 3.0}, step=3)
    assert capsys.readouterr().err.count("was deleted there") == 1
    with open_run(config, out, "pretrain", None, enabled=True) as other:
        pass
    assert other.run_id != run.run_id
    assert [entry.value for entry in client_of(config).get_metric_history(str(other.run_id), "loss")] == [1, 2, 3]


def test_disabled_tracking_touches_nothing(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with open_run(Config(), out, "pretrain", None, enabled=False) as run:
        run.metrics({"loss": 1.0})
        run.params({"a": 1})
    assert run.run_id is None
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert not list(out.iterdir())


def test_default_store_is_beside_the_caller(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with open_run(Config(), out, "pretrain", None, enabled=True) as run:
        run.artifact(out / RUN_ID_FILE)
    assert (tmp_path / "mlflow.db").is_file()
    assert (tmp_path / "mlartifacts" / str(run.run_id) / "artifacts" / RUN_ID_FILE).is_file()


def test_a_folder_is_refused_as_a_store(out: Path) -> None:
    with pytest.raises(ConfigError, match="is not a store"):
        open_run(build_config({"tracking": {"uri": "./mlruns"}}), out, "pretrain", None, enabled=True)
