"""A file server on the loopback that keeps to HTTP, or misbehaves in one of the ways that servers and lines do."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit


@dataclass
class Server:
    """What is served and how. `misdeeds` maps the end of a path to drop, cut (which drops every time), wrong,
    wrong_always, busy, busy_always, no_ranges, new_version, short, hang or odd_range."""

    files: dict[str, bytes]
    misdeeds: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    url: str = ""
    asked: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)
    log: list[tuple[str, str, int]] = field(default_factory=list)
    """(path, Range header, status) of each request."""

    def misdeed(self, path: str) -> str:
        return next((deed for end, deed in self.misdeeds.items() if path.endswith(end)), "")


@contextmanager
def serving(files: dict[str, bytes], **settings: object) -> Iterator[Server]:
    """Serve paths such as `/a/b.txt` on a free port."""
    state = Server(files, **settings)  # type: ignore[arg-type]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *words: object) -> None:
            pass

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            state.asked[path] += 1
            time.sleep(state.delay)
            _answer(self, state, path, state.asked[path])

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()


def _answer(handler: BaseHTTPRequestHandler, state: Server, path: str, time_asked: int) -> None:
    deed, first = state.misdeed(path), time_asked == 1
    if deed == "busy_always" or (deed == "busy" and time_asked <= 2):
        _head(handler, state, path, 503, {"Retry-After": "0", "Content-Length": "0"})
        return
    if path not in state.files:
        _head(handler, state, path, 404, {"Content-Length": "0"})
        return
    body = state.files[path]
    tag = f'"{hashlib.md5(body).hexdigest()}"'
    if deed == "wrong_always" or (deed in ("wrong", "new_version") and first):
        tag, body = '"another version"' if deed == "new_version" else tag, bytes(len(body))
    if handler.headers.get("If-None-Match") == tag:
        _head(handler, state, path, 304, {"ETag": tag})
        return
    ranged = deed != "no_ranges" and handler.headers.get("If-Range", tag) == tag
    start, stop = _range(handler.headers.get("Range", "") if ranged else "", len(body))
    if start > len(body) - 1:
        headers = {"Content-Range": f"bytes */{len(body)}", "Content-Length": "0"}
        _head(handler, state, path, 416, headers)
        return
    partly = ranged and "Range" in handler.headers
    said = start + 1 if deed == "odd_range" and time_asked == 2 else start
    headers = {"Content-Range": f"bytes {said}-{stop - 1}/{len(body)}"} if partly else {}
    piece = body[start:stop]
    if deed == "short" and first:
        piece = piece[: len(piece) // 2]
    headers |= {"ETag": tag, "Content-Length": str(len(piece))}
    _head(handler, state, path, 206 if partly else 200, headers)
    _send(handler, state, path, piece, deed, first)


def _range(wanted: str, size: int) -> tuple[int, int]:
    low, _, high = wanted.removeprefix("bytes=").partition("-")
    return int(low or 0), min(size, int(high) + 1 if high else size)


def _send(handler: BaseHTTPRequestHandler, state: Server, path: str, piece: bytes, deed: str, first: bool) -> None:
    broken = (deed in ("drop", "new_version", "no_ranges", "odd_range", "hang") and first) or deed == "cut"
    if broken:
        piece = piece[: len(piece) // 2 + 1]
        handler.close_connection = True
    handler.wfile.write(piece)
    state.sent[path] += len(piece)
    if deed == "hang" and first:
        handler.wfile.flush()
        time.sleep(5)


def _head(handler: BaseHTTPRequestHandler, state: Server, path: str, status: int, headers: dict[str, str]) -> None:
    state.log.append((path, handler.headers.get("Range", ""), status))
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()


def project(tree: Path, *more: str, base: str = "/project") -> dict[str, bytes]:
    """A folder as PhysioNet serves it: every file and SHA256SUMS.txt, to which lines may be added."""
    files = {
        f"{base}/{path.relative_to(tree)}": path.read_bytes() for path in sorted(tree.rglob("*")) if path.is_file()
    }
    lines = [f"{hashlib.sha256(body).hexdigest()} {path.removeprefix(base + '/')}" for path, body in files.items()]
    files[f"{base}/SHA256SUMS.txt"] = "\n".join([*lines, *more, ""]).encode()
    return files


def article(tables: dict[str, bytes], parts: dict[str, bytes], server: Server) -> None:
    """Put an article, as figshare's API lists it, on a server."""
    listed = []
    for number, (name, body) in enumerate({**tables, **parts}.items()):
        server.files[f"/download/{number}"] = body
        listed.append(
            {
                "name": name,
                "size": len(body),
                "download_url": f"{server.url}/download/{number}",
                "computed_md5": hashlib.md5(body).hexdigest(),
            }
        )
    server.files["/article/files"] = json.dumps(listed).encode()
