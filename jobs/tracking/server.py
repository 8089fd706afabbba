"""An MLflow server for a cluster or a group: one command line, on loopback unless asked otherwise.

    peace track server --store sqlite:////srv/peace/mlflow.db
    peace track server --store postgresql://mlflow@127.0.0.1:5432/mlflow --artifacts s3://bucket/mlflow

`server_command` and `server_environment` are what `peace cluster up` and the tests start.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from peace.core.errors import ConfigError, DataError

HOST, PORT = "127.0.0.1", 5000
STARTS_WITHIN = 120.0  # seconds, on a loaded machine; 4 s on a quiet one


def server_command(
    store: str, artifacts: str, host: str = HOST, port: int = PORT, workers: int = 2, allowed: Sequence[str] = ()
) -> list[str]:
    """The command of a server over `store` that takes and gives out artefacts itself, from the folder or URI named.

    `allowed` are further host names by which clients call it: MLflow refuses requests for names that it does not know.
    Raises ConfigError for a store that MLflow cannot use, and for PostgreSQL without its driver.
    """
    if "://" not in store or store.startswith("file:"):
        raise ConfigError(f"--store {store}: write sqlite:////path/mlflow.db or postgresql://user@host:5432/name")
    if store.startswith("postgresql"):
        _check_driver()
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store]
    command += ["--artifacts-destination", artifacts, "--host", host, "--port", str(port), "--workers", str(workers)]
    if allowed:
        command += ["--allowed-hosts", ",".join([*allowed, "localhost:*", "127.0.0.1:*"])]
    return command


def server_environment() -> dict[str, str]:
    """This process's environment, with the helper processes of MLflow left out: ten, of 230 MB each."""
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    known = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    return {**quiet, **known}


def wait_until_up(uri: str, process: subprocess.Popen[bytes], log: Path, patience: float = STARTS_WITHIN) -> None:
    """Return once the server answers. Raises DataError, with the end of its log, where it ends or stays silent."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"{uri}/health", timeout=5).close()
            return
        except OSError:
            time.sleep(0.2)
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.exists() else []
    raise DataError(
        f"the MLflow server at {uri} did not come up ({lines[-1][:300] if lines else 'no word'}); see {log}"
    )


def _check_driver() -> None:
    from importlib.util import find_spec

    if not find_spec("psycopg"):
        raise ConfigError("PostgreSQL needs its driver where the server runs: pip install 'peace-ray[postgres]'")
