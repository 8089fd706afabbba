"""What is told of running jobs: by files, by Prometheus, and on the Grafana page."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import promql_parser
import pytest
from conftest import PROJECT, peace
from s3_server import s3_server

from jobs.runtime.progress_file import read_progress, telling_progress
from jobs.runtime.prometheus import FIGURES, OF_AN_EPOCH
from jobs.status import below, without_stages
from peace.core.progress import newest_bar, progress
from peace.core.storage import to_path

DASHBOARD = json.loads((PROJECT / "cluster" / "monitoring" / "grafana.json").read_text())


def said(out: Path, key: str, value: Any) -> dict[str, Any]:
    """What the progress file says once it says this."""
    deadline = time.monotonic() + 60
    while (found := read_progress(out)) is None or found[key] != value:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


def test_a_job_tells_how_far_it_is(tmp_path: Path) -> None:
    out = tmp_path / "runs" / "demo" / "pretrain"
    out.mkdir(parents=True)
    with telling_progress(tmp_path / "runs" / "demo", "demo"), telling_progress(out, "pretrain"):
        with progress(None, "pretrain", total=100, unit="step") as bar:
            bar.update(40)
            found = said(out, "done", 40)
            assert (found["stage"], found["total"], found["unit"]) == ("pretrain", 100, "steps")
            assert found["seconds_left"] == pytest.approx(60 / found["rate"], rel=0.01, abs=0.06)  # rounded to 0.1
            said(tmp_path / "runs" / "demo", "done", 40)
            jobs = list(below(tmp_path / "runs"))
            assert len(jobs) == 2
            assert [job["verb"] for job in without_stages(jobs)] == ["demo"]
        assert newest_bar() is None
        said(out, "stage", None)
    assert read_progress(out) is None
    assert list(below(tmp_path)) == []


def test_a_killed_job_is_gone(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "jobs.cli", "synthesize", "--preset", "debug", "--out", "runs/cohorts"]
    options = ["synthetic.mimic_records=90000", "tracking.enabled=false"]
    process = subprocess.Popen([*command, *options], cwd=tmp_path, stderr=subprocess.DEVNULL, start_new_session=True)
    said(tmp_path / "runs" / "cohorts", "state", "running")
    environment = {"PEACE_CLUSTER_DIR": str(tmp_path / "none")}
    with pytest.MonkeyPatch.context() as patch:
        for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
            patch.delenv(name, raising=False)
        for name, value in environment.items():
            patch.setenv(name, value)
        running = json.loads(peace("status", "--json", cwd=tmp_path).stdout)["jobs"]
        assert [(job["verb"], job["state"]) for job in running] == [("synthesize", "running")]
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        gone = json.loads(peace("status", "--json", cwd=tmp_path).stdout)["jobs"]
        assert [job["state"] for job in gone] == ["gone"]
        assert "the same command resumes" in peace("status", cwd=tmp_path).stdout


def test_a_job_in_an_object_store_is_found() -> None:
    with s3_server():
        bucket: Any = to_path("s3://runs/a/job")
        bucket.fs.mkdir("runs")
        with telling_progress(bucket, "preprocess"):
            assert said(bucket, "verb", "preprocess")["host"] == socket.gethostname()
            assert [job["out"] for job in below(to_path("s3://runs"))] == ["s3://runs/a/job"]
        assert list(below(to_path("s3://runs"))) == []


def names_of(expression: str) -> set[str]:
    """The metrics that a PromQL expression reads; fails where it is none."""
    promql_parser.parse(expression)
    return set(re.findall(r"\b(ray_\w+)\s*[{\[(]?", expression))


def test_grafana_asks_for_what_is_exported() -> None:
    asked = {
        name
        for panel in DASHBOARD["panels"]
        for target in panel["targets"]
        for name in names_of(target["expr"].replace("$run", ".*"))
    }
    ours = {name for name in asked if name.startswith("ray_peace_")}
    assert ours == {figure.exported for figure in FIGURES}
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert set(OF_AN_EPOCH.values()) <= set(FIGURES)


EXPORTING = """
import sys, time
from pathlib import Path
from jobs.runtime.ray_session import ray_session
from jobs.runtime.prometheus import export_epoch, export_shard, OF_AN_EPOCH
from peace.config import RayConfig
import ray
with ray_session(RayConfig()):
    export_epoch(Path("runs/x"), {key: 0.5 for key in OF_AN_EPOCH})
    export_shard(Path("runs/x"), {"kept": 5, "rejects": [{"reason": "flat_lead"}, {"reason": "flat_lead"}]})
    export_shard(Path("runs/x"), {"kept": 7, "rejects": []})
    print(ray.nodes()[0]["MetricsExportPort"], flush=True)
    sys.stdin.read()
"""


@pytest.mark.heavy
def test_a_node_exports_them() -> None:
    """The very names of the Grafana page, those of Ray's own among them, at the endpoint of a real node."""
    command = [sys.executable, "-c", EXPORTING]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=PROJECT)
    assert process.stdout is not None
    wanted = {name for panel in DASHBOARD["panels"] for target in panel["targets"] for name in names_of(target["expr"])}
    try:
        port = int(process.stdout.readline())
        deadline, found = time.monotonic() + 120, ""
        while not all(re.search(rf"^{name}\{{", found, re.MULTILINE) for name in wanted):
            assert time.monotonic() < deadline, sorted(wanted - set(re.findall(r"^(\w+)\{", found, re.MULTILINE)))
            time.sleep(1)
            found = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30).read().decode()
        assert re.search(r'^ray_peace_records_kept_total\{.*run="runs/x".*\} 12', found, re.MULTILINE)
        assert re.search(r'^ray_peace_records_rejected_total\{.*reason="flat_lead".*\} 2', found, re.MULTILINE)
        assert re.search(r'^ray_peace_validation_auc\{.*run="runs/x".*\} 0.5', found, re.MULTILINE)
    finally:
        process.communicate(timeout=120)
