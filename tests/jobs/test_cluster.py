"""`peace cluster`: up, killed in part, up again, down; and nothing but its own is ended."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import peace

from jobs.local_cluster import processes as cluster_processes

pytestmark = pytest.mark.heavy


def listeners(pids: list[int]) -> dict[int, set[str]]:
    """By port, the addresses at which these processes listen."""
    found: dict[int, set[str]] = {}
    for pid in pids:
        for connection in psutil.Process(pid).net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                found.setdefault(connection.laddr.port, set()).add(connection.laddr.ip)
    return found


def test_up_broken_up_again_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEACE_CLUSTER_DIR", str(tmp_path / "books"))

    def call(action: str, *words: str) -> dict[str, Any]:
        done = peace("cluster", action, "--json", *words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    stranger = subprocess.Popen(["sleep", "600"])
    assert call("status")["running"] is False
    assert call("down")["ended_processes"] == 0
    first = call("up", "--cpus", "1")
    try:
        assert first["state"] == "up"
        assert first["resources"]["CPU"] == 1
        assert call("up")["pids"][0] == first["pids"][0]  # nothing is started twice
        open_ports = listeners(first["pids"])
        for address in (first["dashboard"], first["mlflow"]):
            assert open_ports[int(address.rpartition(":")[2])] == {"127.0.0.1"}

        raylet = next(psutil.Process(pid) for pid in first["pids"] if psutil.Process(pid).name() == "raylet")
        mark = raylet.environ()[cluster_processes.MARK]
        raylet.kill()
        broken = call("status")
        assert broken["state"] == "broken"
        second = call("up", "--cpus", "1", "--no-mlflow")
        assert second["state"] == "up"
        assert second["mlflow"] is None
        assert cluster_processes.of_cluster(mark) == []
        assert not Path(first["temp"]).exists()
    finally:
        last = call("down")
    assert last["ended_processes"] > 5
    assert call("status")["state"] == "down"
    assert not [pid for pid in second["pids"] if psutil.pid_exists(pid)]
    assert not Path(second["temp"]).exists()
    assert not Path(second["token_file"]).exists()
    assert (tmp_path / "books" / "mlflow.db").exists()
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def test_what_a_reboot_leaves_is_cleared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A note of a cluster none of whose processes live, at a port that another process now has."""
    monkeypatch.setenv("PEACE_CLUSTER_DIR", str(tmp_path))
    (tmp_path / "temp").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as foreign:
        address = f"http://127.0.0.1:{foreign.getsockname()[1]}"
        note = {"mark": "gone", "address": address, "ray_address": "127.0.0.1:1", "metrics": "", "mlflow": None}
        note |= {"temp": str(tmp_path / "temp"), "token_file": str(tmp_path / "auth_token"), "log": "", "cpus": 1}
        (tmp_path / "cluster.json").write_text(json.dumps({**note, "started": 0.0}))
        down = peace("cluster", "down", "--json", cwd=tmp_path)
    assert down.returncode == 0, down.stderr
    assert json.loads(down.stdout)["state"] == "down"
    assert not (tmp_path / "temp").exists()
    assert os.listdir(tmp_path) == [".lock"]


ALONE = """
import os, subprocess, sys
from jobs.runtime.ray_session import ray_session
from peace.config import RayConfig
import ray
join = "import sys, ray; ray.init(address=sys.argv[1], log_to_driver=False); print('joined')"
with ray_session(RayConfig()):
    command = [sys.executable, "-c", join, ray.get_runtime_context().gcs_address]
    for given in ({"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}, {}):
        done = subprocess.run(command, env={**os.environ, **given}, capture_output=True, text=True, timeout=200)
        print(done.stdout.strip() or "refused")
"""


def test_the_cluster_that_a_verb_starts_lets_strangers_not_in(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, timeout=400)
    assert done.stdout.split() == ["refused", "refused", "joined"], done.stderr
