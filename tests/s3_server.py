"""An S3 server on the loopback interface: moto's, over real HTTP, that can be made to fail some requests."""

from __future__ import annotations

import os
import random
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from moto.moto_api._internal import moto_api_backend
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


class S3Server:
    """A WSGI application around moto's: counts requests, and fails a share of them in the ways that S3 does."""

    def __init__(self) -> None:
        self.moto = DomainDispatcherApplication(create_backend_app)
        self.fail_share = 0.0
        self.conditional = True
        self.requests = 0
        self.failed = 0
        self.endpoint = ""
        self._draw = random.Random(0)
        self._lock = threading.Lock()

    def fail(self, share: float) -> None:
        """From now on fail this share of the requests, by the same draws each time."""
        self.fail_share, self.failed, self._draw = share, 0, random.Random(0)

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        with self._lock:
            self.requests += 1
            fails = self._draw.random() < self.fail_share
            how = self._draw.choice(["slow down", "unheard", "unanswered", "cut"])
            self.failed += fails
        if not self.conditional:
            environ.pop("HTTP_IF_NONE_MATCH", None)
        if not fails:
            return self.moto(environ, start)
        if how == "slow down":
            start("503 Slow Down", [("Content-Type", "application/xml"), ("Content-Length", str(len(SLOW_DOWN)))])
            return [SLOW_DOWN]
        if how != "unheard":  # the request takes effect, its answer is lost or torn
            body = b"".join(self.moto(environ, start))
            if how == "cut" and len(body) > 1:
                return _torn(body, environ["werkzeug.socket"])
        environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        raise ConnectionResetError


def _torn(body: bytes, connection: socket.socket) -> Iterator[bytes]:
    yield body[: len(body) // 2]
    connection.shutdown(socket.SHUT_RDWR)
    raise ConnectionResetError


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        pass


@contextmanager
def s3_server(host: str = "127.0.0.1") -> Iterator[S3Server]:
    """The server, at an address of this machine.

    The environment is set so that every AWS tool of this process and its children goes there.
    """
    app = S3Server()
    server = make_server(host, 0, app, threaded=True, request_handler=_Quiet)
    app.endpoint = f"http://{host}:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        patch.setenv("AWS_ENDPOINT_URL", app.endpoint)
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield app
    server.shutdown()
    moto_api_backend.reset()  # moto keeps buckets by process, not by server: the next one begins empty


def upload(folder: Path, address: str) -> None:
    """Put all files below a local folder under an s3:// address; the bucket is made where it is not there."""
    from peace.core.storage import to_path

    store: Any = to_path(address)
    if not store.fs.exists(store.path.split("/")[0]):
        store.fs.mkdir(store.path.split("/")[0])
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            store.fs.put_file(str(file), f"{store.path}/{file.relative_to(folder)}")
