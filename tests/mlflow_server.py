"""A real MLflow server on loopback that can be killed and started again, and a socket that never answers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jobs.tracking.server import server_command, server_environment, wait_until_up


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class MlflowServer:
    """Over a sqlite store in `place`, or over another one."""

    def __init__(self, place: Path, store: str | None = None, workers: int = 1) -> None:
        self.path, self.workers, self.port = place, workers, free_port()
        self.store = store or f"sqlite:///{place / 'server.db'}"
        self.uri = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = server_command(self.store, str(self.path / "artifacts"), port=self.port, workers=self.workers)
        log = self.path / "server.log"
        with log.open("ab") as stream:
            self._process = subprocess.Popen(
                command, env=server_environment(), stdout=stream, stderr=stream, start_new_session=True
            )
        wait_until_up(self.uri, self._process, log)

    def kill(self) -> None:
        """End it and its workers at once, as a crash does."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


@contextmanager
def mlflow_server(place: Path, store: str | None = None, workers: int = 1) -> Iterator[MlflowServer]:
    place.mkdir(parents=True, exist_ok=True)
    server = MlflowServer(place, store, workers)
    try:
        server.start()
        yield server
    finally:
        server.kill()


@contextmanager
def silent_server() -> Iterator[str]:
    """Takes connections and says nothing."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
