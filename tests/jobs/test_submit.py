"""Jobs on a real cluster of this machine: submitted, refused, cut off, stopped, and the demo as a whole."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import peace, result_of
from cutting_proxy import CuttingProxy

pytestmark = pytest.mark.heavy
SECRETS = {"GEMINI_API_KEY": "hush-gemini", "AWS_SECRET_ACCESS_KEY": "hush-aws"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What `peace cluster up --json` says of a cluster that is there for this file."""
    place = tmp_path_factory.mktemp("cluster")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
            patch.delenv(name, raising=False)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("PEACE_CLUSTER_DIR", str(place / "books"))
        up = peace("cluster", "up", "--json", cwd=place)
        try:
            assert up.returncode == 0, up.stderr
            yield {**json.loads(up.stdout), "place": place}
        finally:
            assert peace("cluster", "down", "--json", cwd=place).returncode == 0


def ask(cluster: dict[str, Any], path: str, token: str | None, body: dict[str, Any] | None = None) -> tuple[int, Any]:
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    data = None if body is None else json.dumps(body).encode()
    try:
        request = urllib.request.Request(cluster["address"] + path, data=data, headers=headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, None


def until(true: Callable[[], Any], seconds: float = 240) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


def submitting(*words: str, cwd: Path, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "jobs.cli", "submit", *words]
    return subprocess.Popen(
        command, cwd=cwd, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_who_has_no_token_gets_nowhere(cluster: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    touched = cluster["place"] / "touched"
    job = {"entrypoint": f"touch {touched}"}
    token = Path(cluster["token_file"]).read_text()
    assert ask(cluster, "/api/jobs/", None, job)[0] == 401
    assert ask(cluster, "/api/jobs/", "0" * 64, job)[0] == 403
    assert ask(cluster, "/api/jobs/", None)[0] == 401
    assert Path(cluster["token_file"]).stat().st_mode & 0o077 == 0
    # by Ray's own port, which listens on every interface, nobody joins either
    join = "import ray, sys; ray.init(address=sys.argv[1]); print('joined')"
    command = [sys.executable, "-c", join, cluster["ray_address"]]
    mode = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}
    joined = subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, **mode})
    assert joined.returncode != 0
    assert "joined" not in joined.stdout
    # our command, where it does not find the token of the cluster's folder
    monkeypatch.setenv("PEACE_CLUSTER_DIR", str(cluster["place"] / "elsewhere"))
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 64)
    refused = peace("submit", "synthesize", "--out", "x", "--address", cluster["address"], cwd=cluster["place"])
    assert refused.returncode == 2
    assert "RAY_AUTH_TOKEN" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert not touched.exists()
    assert ask(cluster, "/api/jobs/", token)[1] == []


def test_output_survives_a_line_that_breaks_and_the_exit_code_is_the_jobs(cluster: dict[str, Any]) -> None:
    place = cluster["place"]
    proxy = CuttingProxy(int(cluster["address"].rpartition(":")[2]))
    token = {"RAY_AUTH_TOKEN": Path(cluster["token_file"]).read_text(), **SECRETS}
    words = ("synthesize", "--preset", "debug", "--out", "data", "--address", f"http://127.0.0.1:{proxy.port}")
    books = {"PEACE_CLUSTER_DIR": str(place / "elsewhere"), "MLFLOW_TRACKING_URI": cluster["mlflow"]}
    process = submitting(*words, cwd=place, **token, **books)
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "Running entrypoint" in line:
            proxy.refuse = True
            assert proxy.cut() > 0
            until(lambda: (place / "data").is_dir())
            proxy.refuse = False
            break
    rest, errors = process.communicate(timeout=300)
    proxy.close()
    assert process.returncode == 0, errors
    assert (place / "data" / "result.json").exists()
    listed = json.loads(peace("jobs", "list", "--json", cwd=place).stdout)["jobs"]
    job = listed[-1]
    assert (job["verb"], job["state"], job["exit_code"]) == ("synthesize", "SUCCEEDED", 0)
    whole = re.sub("\r", "\n", peace("jobs", "logs", job["job"], "--no-follow", cwd=place).stdout)
    assert whole in "".join(lines) + rest  # every line, once, in order
    details = json.dumps(ask(cluster, f"/api/jobs/{job['job']}", token["RAY_AUTH_TOKEN"])[1])
    assert "hush" not in details
    assert token["RAY_AUTH_TOKEN"] not in details

    failed = peace("submit", "evaluate", "--run", "data", "--address", cluster["address"], "--json", cwd=place)
    assert failed.returncode == 2
    assert json.loads(failed.stdout)["state"] == "FAILED"
    assert "predictions.parquet does not exist" in failed.stderr


def test_the_demo_runs_as_a_job_and_is_seen(cluster: dict[str, Any]) -> None:
    place = cluster["place"]
    short = ("pretrain.epochs=1", "adapt.epochs=1", "evaluation.bootstrap=10")
    words = ("demo", "--preset", "debug", "--out", "demo", "--address", cluster["address"], *short)
    process = submitting(*words, cwd=place)
    until(lambda: (place / "demo" / "shards-mimic").exists() or process.poll() is not None)
    process.send_signal(signal.SIGINT)  # detaches
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    job = re.search(r"peace jobs logs (\S+?)\.", said)
    assert job is not None, said
    ended = peace("jobs", "wait", job[1], "--json", cwd=place, timeout=1800)
    assert ended.returncode == 0, ended.stdout
    result = result_of(place / "demo")
    assert set(result["auc"]) >= {"pretrain", "zero-shot", "few-shot", "full"}
    assert result["registered"]
    assert not (place / "mlflow.db").exists()
    assert result["mlflow"].endswith(cluster["mlflow"])


def test_a_job_is_stopped_in_order(cluster: dict[str, Any]) -> None:
    place = cluster["place"]
    words = ("synthesize", "--preset", "debug", "--out", "long", "--detach", "--json", "synthetic.mimic_records=90000")
    process = submitting(*words, cwd=place)
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    job = json.loads(out)["job"]
    until(lambda: list((place / "long").glob("parts-*")))
    stopped = peace("jobs", "stop", job, cwd=place)
    assert stopped.returncode == 0, stopped.stderr
    assert peace("jobs", "wait", job, cwd=place).returncode == 130
    assert "Terminated" in (place / "long" / "log.txt").read_text()
    assert peace("jobs", "wait", "no-such-job", cwd=place).returncode == 2
