"""`peace promote` and `peace rollback`: the gate, what it records, and who wins where two are at it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import peace, result_of
from mlflow import MlflowClient
from mlflow_server import mlflow_server
from predictions_table import predictions_frame
from small_model import write_run

from jobs.cli import main
from jobs.registry.champions import PromotionLog, new_ledger
from jobs.tracking.store import connect

QUICK = ["evaluation.bootstrap=200"]
RACE = """
import sys, time
from pathlib import Path
from jobs.registry.champions import PromotionLog
from jobs.tracking.store import connect
uri, gate, version = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
champions = PromotionLog(connect(uri), "raced", "champion")
after = len(champions.changes())
print("ready", flush=True)
while not gate.exists():
    time.sleep(0.001)
won = champions.enter(after, "promote", version, champions.current(), "race " + version, version)
champions.reconcile()
print("won" if won else "lost")
"""


@pytest.fixture
def store(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """A working directory with a registered model of four versions, 'small', and predictions of each quality."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    client = connect(f"sqlite:///{tmp_path / 'mlflow.db'}")
    make_model(client, "small", 4)
    for name, strength in {"poor": 0.2, "fair": 1.5, "good": 2.5}.items():
        predictions_frame(600, strength=strength).to_parquet(tmp_path / f"{name}.parquet")
    return client


def make_model(client: MlflowClient, name: str, versions: int) -> None:
    experiment = client.create_experiment(f"for {name}")
    client.create_registered_model(name, tags={"peace.ledger": new_ledger(client, name, experiment)})
    for _ in range(versions):
        run = client.create_run(experiment)
        client.create_model_version(name, source=f"{run.info.artifact_uri}/model", run_id=run.info.run_id)


def promote(version: int, *files: str, more: tuple[str, ...] = ()) -> tuple[int, dict[str, Any]]:
    out = Path(f"promotion-{version}-{'-'.join(files)}")
    words = ["promote", "small", "--candidate", str(version), "--to", "champion", "--out", str(out)]
    code = main([*words, "--predictions", *(f"{name}.parquet" for name in files), *more, *QUICK])
    return code, result_of(out) if (out / "result.json").exists() else {}


def champion(client: MlflowClient) -> str:
    return str(client.get_model_version_by_alias("small", "champion").version)


def test_a_candidate_is_promoted_for_a_reason_and_the_reason_is_kept(
    store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    code, first = promote(1, "fair")
    assert (code, first["promoted"], first["difference"]) == (0, True, None)
    code, worse = promote(2, "poor", "fair")
    assert (code, worse["promoted"]) == (3, False)
    assert any("not shown to be above" in reason for reason in worse["reasons"])
    assert champion(store) == "1"
    code, same = promote(3, "fair", "fair")
    assert (code, same["difference"]["macro_auc"]) == (3, 0)
    code, better = promote(4, "good", "fair")
    assert (code, better["promoted"]) == (0, True)
    assert better["difference"]["low"] > 0
    assert better["candidate"]["macro_auc"] > better["champion"]["macro_auc"]
    assert champion(store) == "4"

    run = store.get_run(better["mlflow_run_id"])
    assert run.data.metrics["difference"] == pytest.approx(better["difference"]["macro_auc"])
    assert {file.path for file in store.list_artifacts(run.info.run_id)} >= {"promotion.json", "report.html", "figures"}
    saved = store.download_artifacts(run.info.run_id, "promotion.json")
    assert json.loads(Path(saved).read_text())["promoted"] is True
    tags = store.get_model_version("small", "4").tags
    assert tags["peace.champion.decision_run"] == run.info.run_id
    assert "peace.champion.until" in store.get_model_version("small", "1").tags
    page = store.get_registered_model("small").description
    assert "The champion is version 4" in page
    assert better["candidate"]["labels"]["LVH"]["positives"] > 0
    assert f"macro AUC {better['difference']['macro_auc']:+.4f}" in page

    assert main(["rollback", "small", "--reason", "false alarms"]) == 0
    assert champion(store) == "1"
    assert "false alarms" in store.get_registered_model("small").description
    capsys.readouterr()
    assert main(["rollback", "small"]) == 2
    assert "no earlier champion" in capsys.readouterr().err


def test_force_wants_a_reason_and_records_it(store: MlflowClient, capsys: pytest.CaptureFixture[str]) -> None:
    assert promote(1, "fair")[0] == 0
    assert promote(2, "poor", "fair", more=("--force", " "))[0] == 2
    assert "--force wants the reason" in capsys.readouterr().err
    code, forced = promote(2, "poor", "fair", more=("--force", "the old one cannot be licensed"))
    assert (code, forced["promoted"], forced["passed"]) == (0, True, False)
    assert forced["forced"] == "the old one cannot be licensed"
    assert "cannot be licensed" in PromotionLog(store, "small", "champion").changes()[-1].why
    assert champion(store) == "2"


def test_other_test_records_are_refused(store: MlflowClient, capsys: pytest.CaptureFixture[str]) -> None:
    assert promote(1, "fair")[0] == 0
    other = predictions_frame(600, strength=2.5)
    other["target"] = other["target"].where(other["record_id"] != other["record_id"].iloc[-1], 1 - other["target"])
    other.to_parquet("other.parquet")
    assert promote(2, "other", "fair")[0] == 2
    assert "disagree on the targets" in capsys.readouterr().err
    assert promote(2, "good")[0] == 2
    assert "the champion is version 1" in capsys.readouterr().err
    assert promote(9, "good", "fair")[0] == 2
    assert "has no version '9'" in capsys.readouterr().err
    assert champion(store) == "1"


def race(uri: str, place: Path) -> None:
    """Four processes claim the same change; one gets it, and the alias is what it entered."""
    client = connect(uri)
    make_model(client, "raced", 4)
    command = [sys.executable, "-c", RACE, uri, str(place / "go")]
    jobs = [subprocess.Popen([*command, str(n)], stdout=subprocess.PIPE, text=True) for n in (1, 2, 3, 4)]
    for job in jobs:
        assert job.stdout is not None
        assert job.stdout.readline() == "ready\n"
    (place / "go").touch()
    said = [job.communicate(timeout=120)[0].strip() for job in jobs]
    assert sorted(said) == ["lost", "lost", "lost", "won"]
    champions = PromotionLog(client, "raced", "champion")
    (change,) = champions.changes()
    assert champions.current() == change.version == str(said.index("won") + 1)


@pytest.mark.heavy
def test_of_promotions_at_once_one_wins_on_sqlite(tmp_path: Path, empty_store: Path) -> None:
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    race(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path)


@pytest.mark.heavy
def test_of_promotions_at_once_one_wins_through_a_server(tmp_path: Path) -> None:
    with mlflow_server(tmp_path / "server", workers=2) as server:
        race(server.uri, tmp_path)


def test_a_change_that_was_entered_by_a_killed_job_is_carried_out(store: MlflowClient) -> None:
    champions = PromotionLog(store, "small", "champion")
    assert champions.enter(0, "promote", "2", None, "entered, then killed", "0" * 32)
    assert champions.current() is None
    assert champions.enter(0, "promote", "3", None, "too late", "1" * 32) is None
    champions.reconcile()
    assert champion(store) == "2"
    store.set_registered_model_alias("small", "champion", "4")  # by hand: stays, since nothing is left to carry out
    champions.reconcile()
    assert champion(store) == "4"
    assert champions.previous() == "2"


@pytest.mark.heavy
def test_both_are_scored_on_the_shards_of_the_gate(small_cohorts: Path, tmp_path: Path) -> None:
    for number, require in enumerate((12, 9)):
        write_run(tmp_path / f"run{number}", require=require)
        done = peace("register", "--run", f"run{number}", "--name", "small", "--alias", f"a{number}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    words = ["promote", "small", "--shards", small_cohorts / "shards-zzu", "--preset", "debug", *QUICK]
    loose = ["promotion.label_floor=0", "promotion.band_floor=0", "promotion.max_calibration_error=1"]
    first = peace(*words, "--candidate", "a0", "--out", "first", *loose, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert result_of(tmp_path / "first")["candidate"]["bands"]
    second = peace(*words, "--candidate", "a1", "--out", "second", *loose, cwd=tmp_path)
    assert second.returncode == 3, second.stderr  # the same weights: no gain
    result = result_of(tmp_path / "second")
    assert result["difference"] == {"macro_auc": 0, "low": 0, "high": 0}
    assert result["test"]["digest"] == result_of(tmp_path / "first")["test"]["digest"]
