"""OUT/progress.json: how far a running job is, for `peace status`. It is there while the job runs, and kept fresh."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from peace.core.errors import DataError, PeaceError
from peace.core.files import read_json, write_json
from peace.core.progress import newest_bar
from peace.core.storage import is_remote

NAME = "progress.json"
SECONDS, REMOTE_SECONDS = 2.0, 30.0  # between two writings
FRESH_SECONDS = 120.0  # older than this, it is what a killed job left


@contextmanager
def telling_progress(out: Path, verb: str) -> Iterator[None]:
    """Keep the file fresh while the block runs, and remove it at the end. What fails here costs no job."""
    ended = threading.Event()
    thread = threading.Thread(target=_tell, args=(out, verb, ended), daemon=True, name="progress")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=REMOTE_SECONDS)
        with suppress(OSError, PeaceError):
            (out / NAME).unlink(missing_ok=True)


def read_progress(out: Path) -> dict[str, Any] | None:
    """How far the job in a run directory is: what the file says, and `state`: running, or gone without a word."""
    try:
        found: dict[str, Any] = read_json(out / NAME)
    except (DataError, OSError):
        return None
    here = found.get("host") == socket.gethostname() and Path("/proc/self").exists()
    alive = Path(f"/proc/{found.get('pid')}").exists() if here else True
    fresh = time.time() - float(found.get("updated", 0.0)) < FRESH_SECONDS
    return {**found, "out": str(out), "state": "running" if alive and fresh else "gone"}


def _tell(out: Path, verb: str, ended: threading.Event) -> None:
    begun = time.time()
    about = {"verb": verb, "host": socket.gethostname(), "pid": os.getpid(), "started": begun}
    while True:
        with suppress(OSError, PeaceError):
            write_json(out / NAME, {**about, "updated": time.time(), **_stage()})
        if ended.wait(REMOTE_SECONDS if is_remote(out) else SECONDS):
            return


def _stage() -> dict[str, Any]:
    """What the newest bar of this process shows; rates are a second."""
    bar = newest_bar()
    if bar is None:
        return {"stage": None, "done": None, "total": None, "unit": None, "rate": None, "seconds_left": None}
    shown = bar.format_dict
    rate = shown["rate"] or ((bar.n - bar.initial) / shown["elapsed"] if shown["elapsed"] else None)
    left = (bar.total - bar.n) / rate if bar.total and rate else None
    return {
        "stage": bar.desc.removesuffix(": "),
        "done": bar.n,
        "total": bar.total,
        "unit": bar.unit.strip(),
        "rate": None if rate is None else round(rate, 3),
        "seconds_left": None if left is None else round(left, 1),
    }
