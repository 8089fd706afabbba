"""Bringing up Ray and an MLflow server on this machine, on free ports, and asking them how they are."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Sequence
from pathlib import Path
from subprocess import Popen
from typing import Any

from jobs.local_cluster import processes as cluster_processes
from jobs.local_cluster.state import LocalCluster, forget, new_token, write_state
from jobs.runtime.ray_session import ENVIRONMENT, _store_bytes, session_home
from jobs.tracking.server import server_command, server_environment, wait_until_up
from peace.core.errors import DataError

DASHBOARD_PORT, MLFLOW_PORT = 8265, 5000  # where they are free
STARTS_WITHIN = 180.0  # seconds, on a loaded machine; 10 s on a quiet one
STOP_SECONDS = 60  # that a stopped job may take to end in order
PREFIX = "peace-cluster-"
# what would lead Ray's own processes, and the jobs on them, to another cluster
FOREIGN = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "RAY_AUTH_TOKEN", "RAY_JOB_CONFIG_JSON_ENV_VAR", "RAY_NAMESPACE")


def start_cluster(folder: Path, host: str, cpus: int | None, with_mlflow: bool) -> LocalCluster:
    """Start both, note them in the folder, and return once a job can be submitted.

    Raises DataError where one of them does not come up, and leaves nothing running then.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ports = free_ports(8, first=(DASHBOARD_PORT, MLFLOW_PORT))
    dashboard, mlflow_port = ports[:2]
    cluster = LocalCluster(
        mark=uuid.uuid4().hex,
        address=f"http://127.0.0.1:{dashboard}",
        ray_address=f"127.0.0.1:{ports[2]}",
        metrics=f"http://127.0.0.1:{ports[3]}/metrics",
        mlflow=f"http://127.0.0.1:{mlflow_port}" if with_mlflow else None,
        temp=tempfile.mkdtemp(prefix=PREFIX, dir=session_home()),
        token_file=str(new_token(folder)),
        log=str(folder / "ray.log"),
        cpus=cpus or os.cpu_count() or 1,
        started=time.time(),
    )
    write_state(folder, cluster)
    try:
        ray = cluster_processes.start(
            _ray_command(cluster, host, ports[2:]), _ray_environment(cluster), cluster.mark, Path(cluster.log)
        )
        if cluster.mlflow is not None:
            _start_mlflow(folder, cluster.mlflow, host, mlflow_port, cluster.mark)
        _wait_for_ray(cluster, ray)
    except BaseException:
        cluster_processes.end(cluster.mark)
        shutil.rmtree(cluster.temp, ignore_errors=True)
        forget(folder)
        raise
    return cluster


def free_ports(number: int, first: Sequence[int] = ()) -> list[int]:
    """So many free ports, all different; the first are those named where nobody has them."""
    held: list[socket.socket] = []
    try:
        for wanted in [*first, *[0] * (number - len(first))]:
            stream = socket.socket()
            held.append(stream)
            try:
                stream.bind(("", wanted))
            except OSError:
                stream.bind(("", 0))
        return [stream.getsockname()[1] for stream in held]
    finally:
        for stream in held:
            stream.close()


def ask(cluster: LocalCluster, path: str, patience: float = 10.0) -> Any:
    """The dashboard's answer to a path, as JSON. Raises OSError where there is none, or where it refuses."""
    token = Path(cluster.token_file).read_text(encoding="ascii")
    request = urllib.request.Request(cluster.address + path, headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=patience) as answer:
        return json.load(answer)


def nodes(cluster: LocalCluster) -> list[dict[str, Any]]:
    """The living nodes; empty where the dashboard does not answer."""
    try:
        found = ask(cluster, "/nodes?view=summary")["data"]["summary"]
    except (OSError, ValueError, KeyError):
        return []
    return [node for node in found if node.get("raylet", {}).get("state") == "ALIVE"]


def answers(address: str | None) -> bool:
    """Whether the MLflow server at an address is well."""
    if address is None:
        return False
    try:
        urllib.request.urlopen(f"{address}/health", timeout=10).close()
        return True
    except OSError:
        return False


def _ray_command(cluster: LocalCluster, host: str, ports: Sequence[int]) -> list[str]:
    gcs, metrics, agent, agent_rpc, runtime_env, client = ports
    options = {
        "port": gcs,
        "dashboard-host": host,
        "dashboard-port": cluster.address.rpartition(":")[2],
        "dashboard-agent-listen-port": agent,
        "dashboard-agent-grpc-port": agent_rpc,
        "runtime-env-agent-port": runtime_env,
        "metrics-export-port": metrics,
        "ray-client-server-port": client,
        "temp-dir": cluster.temp,
        "num-cpus": cluster.cpus,
        "object-store-memory": _store_bytes(),
    }
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats"]
    return [*command, *[f"--{name}={value}" for name, value in options.items()]]


def _ray_environment(cluster: LocalCluster) -> dict[str, str]:
    """Of Ray's processes and of the jobs on them: this one's, with token authentication and our MLflow server."""
    environment = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    environment |= ENVIRONMENT
    environment |= {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": cluster.token_file,
        "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
    }
    if cluster.mlflow is not None:
        environment["MLFLOW_TRACKING_URI"] = cluster.mlflow
    return environment


def _start_mlflow(folder: Path, address: str, host: str, port: int, mark: str) -> None:
    store, artifacts = f"sqlite:///{folder / 'mlflow.db'}", str(folder / "mlartifacts")
    allowed = () if host == "127.0.0.1" else (f"{socket.gethostname()}:*", f"{host}:*")
    command = server_command(store, artifacts, host=host, port=port, workers=1, allowed=allowed)
    log = folder / "mlflow.log"
    wait_until_up(address, cluster_processes.start(command, server_environment(), mark, log), log)


def _wait_for_ray(cluster: LocalCluster, process: Popen[bytes]) -> None:
    deadline = time.monotonic() + STARTS_WITHIN
    while process.poll() is None and time.monotonic() < deadline:
        if nodes(cluster) and _takes_jobs(cluster):
            return
        time.sleep(0.3)
    lines = Path(cluster.log).read_text(encoding="utf-8", errors="replace").strip().splitlines()
    raise DataError(f"Ray did not come up ({lines[-1][:300] if lines else 'no word'}); see {cluster.log}")


def _takes_jobs(cluster: LocalCluster) -> bool:
    try:
        ask(cluster, "/api/jobs/")
    except (OSError, ValueError):
        return False
    return True
