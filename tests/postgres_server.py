"""A PostgreSQL of its own on loopback, from Debian's packages, for an MLflow server to keep its runs in."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlflow_server import free_port


def postgres_programs() -> Path | None:
    """The folder of initdb and pg_ctl; None where PostgreSQL is not installed."""
    known = shutil.which("initdb")
    places = [Path(known).resolve().parent] if known else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((place for place in places if (place / "initdb").exists() and (place / "pg_ctl").exists()), None)


@contextmanager
def postgres_server() -> Iterator[str]:
    """The store's URI, for `mlflow server`."""
    programs = postgres_programs()
    assert programs is not None, "PostgreSQL is not installed"
    place = Path(tempfile.mkdtemp(prefix="peace-postgres-"))
    # it refuses to run as root
    user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
    if user:
        shutil.chown(place, "postgres", "postgres")
    data, port = place / "data", free_port()
    settings = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={place} -c fsync=off"
    control = [*user, str(programs / "pg_ctl"), "-D", str(data), "-w"]
    words = {"cwd": place, "check": True, "stdout": subprocess.DEVNULL}
    try:
        subprocess.run([*user, str(programs / "initdb"), "-D", str(data), "-U", "mlflow", "-A", "trust"], **words)
        subprocess.run([*control, "-t", "120", "-o", settings, "-l", str(place / "log"), "start"], **words)
        try:
            yield f"postgresql://mlflow@127.0.0.1:{port}/postgres"
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], **words)
    finally:
        shutil.rmtree(place, ignore_errors=True)
