"""What a run wants to tell MLflow, kept in its directory first: OUT/tracking/journal.jsonl, one line an entry.

    {"begin": {...}}                                   name, experiment, tags and parent of the run; the first line
    {"metrics": {"loss": 0.4}, "step": 3, "time": ms}
    {"series": "gate_step", "first": 0, "values": [...], "time": ms}
    {"params": {...}}   {"tags": {...}}   {"dataset": {...}}   {"artifact": "report.html", "folder": null}
    {"status": "FINISHED", "time": ms}

OUT/tracking/sent.json says how much of it a store has. Sending an entry twice does no harm: MLflow takes a metric with
the same step, time and value once. So a job may be killed between sending and noting that it sent.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
import threading
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from peace.core.errors import DataError, PeaceError
from peace.core.files import read_json, replacing, write_json
from peace.core.masking import masked
from peace.core.storage import is_remote, local_copy

FOLDER = "tracking"
JOURNAL, SENT = "journal.jsonl", "sent.json"
LOCK_PATIENCE = 30.0  # seconds that `peace track sync` may take to let go of a directory
PART_BYTES = 1_000_000  # of the journal that is read at once


class LogEntry(NamedTuple):
    """An entry and the bytes of the journal that hold it."""

    entry: dict[str, Any]
    start: int
    end: int


class Journal:
    """The entries of one run, and how far they were sent. One process has it open at a time.

    Of a run in an object store the journal lies in a temporary folder and is put beside the run when it is closed.
    Raises DataError where another process has it.
    """

    def __init__(self, out: Path, patience: float = LOCK_PATIENCE) -> None:
        self.out = out if is_remote(out) else out.absolute()
        self._folder = Path(tempfile.mkdtemp(prefix="peace-tracking-")) if is_remote(out) else out / FOLDER
        self._folder.mkdir(parents=True, exist_ok=True)
        # taken by the job's thread, given back by whichever thread closes
        self._lock = FileLock(self._folder / ".lock", timeout=patience, thread_local=False)
        try:
            self._lock.acquire()
        except Timeout:
            raise DataError(f"another process is writing to {self._folder}") from None
        if is_remote(out):
            self._bring()
        self.path = self._folder / JOURNAL
        self._writing = threading.RLock()  # the job's thread, its watchers, and the sender
        self._points: dict[str, dict[int, float]] = {}
        self._params: set[str] = set()
        self.begin: dict[str, Any] | None = None
        self._size = 0
        self._read_all()
        self._file = self.path.open("ab", buffering=0)
        self.sent: dict[str, Any] = {"uri": None, "run_id": None, "offset": 0, "skipped": []}
        with suppress(DataError):  # none yet, or cut short by a full disk: then all of it is sent again
            self.sent |= read_json(self._folder / SENT)

    @property
    def size(self) -> int:
        """Bytes of whole entries."""
        return self._size

    @property
    def unsent(self) -> bool:
        """Whether a store lacks some of it."""
        return int(self.sent["offset"]) < self._size

    def start(self, begin: Mapping[str, Any]) -> None:
        """Write the first entry of a new journal."""
        self.add({"begin": {"id": uuid.uuid4().hex, **begin}})

    def metrics(self, values: Mapping[str, float], step: int | None, time_ms: int) -> None:
        """Add numbers: those with a step once a step, those without one whenever they have changed."""
        with self._writing:
            fresh = {key: value for key, value in values.items() if self._is_news(key, step, value)}
            if fresh:
                self._append({"metrics": fresh, "step": step or 0, "time": time_ms})

    def series(self, name: str, values: Sequence[float], first: int, time_ms: int) -> None:
        """Add consecutive values, of which those at steps that are there already are left out."""
        with self._writing:
            known = self._points.get(name, {})
            fresh = [(first + place, value) for place, value in enumerate(values) if first + place not in known]
            for start, part in _consecutive(fresh):
                self._append({"series": name, "first": start, "values": part, "time": time_ms})

    def params(self, values: Mapping[str, str]) -> None:
        """Add parameters that are not there yet: MLflow lets none be changed."""
        with self._writing:
            fresh = {key: value for key, value in values.items() if key not in self._params}
            if fresh:
                self._append({"params": fresh})

    def add(self, entry: Mapping[str, Any]) -> None:
        """Add any other entry."""
        with self._writing:
            self._append(entry)

    def next_step(self, name: str) -> int:
        """The step after the last one of a metric."""
        return max(self._points.get(name, {-1: 0.0})) + 1

    def entries(self, offset: int, limit: int = PART_BYTES) -> list[LogEntry]:
        """Whole entries from a place in the file on, until they pass `limit` bytes."""
        found, end = [], min(self._size, offset + limit)
        with self.path.open("rb") as stream:
            stream.seek(offset)
            while offset < end:
                line = stream.readline()
                found.append(LogEntry(_parsed(line), offset, offset + len(line)))
                offset += len(line)
        return found

    def note_sent(self, **changes: Any) -> None:
        """Keep how far a store is."""
        self.sent |= changes
        write_json(self._folder / SENT, self.sent)

    def close(self) -> None:
        """Let go of the directory."""
        self._file.close()
        if is_remote(self.out):
            with suppress(PeaceError, OSError):  # the job is worth more than its journal
                for name in (JOURNAL, SENT):
                    if (self._folder / name).exists():
                        with replacing(self.out / FOLDER / name) as temporary:
                            shutil.copyfile(self._folder / name, temporary)
        self._lock.release()
        if is_remote(self.out):
            shutil.rmtree(self._folder, ignore_errors=True)

    def _bring(self) -> None:
        for name in (JOURNAL, SENT):
            with suppress(FileNotFoundError, DataError), local_copy(self.out / FOLDER / name) as earlier:
                shutil.copyfile(earlier, self._folder / name)

    def _read_all(self) -> None:
        """Learn what is there already; a line that a kill cut short is taken away, for nobody has sent it."""
        if not self.path.exists():
            return
        whole = 0
        with self.path.open("rb") as stream:
            for line in stream:
                if not line.endswith(b"\n"):
                    break
                self._note(_parsed(line))
                whole += len(line)
        if whole < self.path.stat().st_size:
            os.truncate(self.path, whole)
        self._size = whole

    def _append(self, entry: Mapping[str, Any]) -> None:
        # the one way to MLflow: what is masked here is in no parameter and no tag
        line = masked(json.dumps(entry, ensure_ascii=False, default=str, allow_nan=False)).encode() + b"\n"
        if self._file.write(line) < len(line):
            os.truncate(self.path, self._size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        self._size += len(line)
        self._note(entry)

    def _note(self, entry: Mapping[str, Any]) -> None:
        if "begin" in entry:
            self.begin = dict(entry["begin"])
        elif "metrics" in entry:
            for key, value in entry["metrics"].items():
                self._points.setdefault(key, {})[entry["step"]] = value
        elif "series" in entry:
            points = self._points.setdefault(entry["series"], {})
            points.update({entry["first"] + place: value for place, value in enumerate(entry["values"])})
        elif "params" in entry:
            self._params |= set(entry["params"])

    def _is_news(self, key: str, step: int | None, value: float) -> bool:
        known = self._points.get(key, {})
        return known.get(0) != value if step is None else step not in known


def _parsed(line: bytes) -> dict[str, Any]:
    """An entry; an empty one of a line that a disk has garbled."""
    try:
        return dict(json.loads(line))
    except ValueError:
        return {}


def _consecutive(points: Sequence[tuple[int, float]]) -> list[tuple[int, list[float]]]:
    """Runs of consecutive steps, each as its first step and its values."""
    parts: list[tuple[int, list[float]]] = []
    for step, value in points:
        if parts and step == parts[-1][0] + len(parts[-1][1]):
            parts[-1][1].append(value)
        else:
            parts.append((step, [value]))
    return parts
