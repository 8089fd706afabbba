"""One writer at a time where no filesystem can lock: an object that only one job can create, and that it keeps young.

It rests on S3's conditional writes: If-None-Match creates the lock, If-Match renews or takes over exactly the lock that
was seen. All times are the server's, so that clocks may differ.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, cast

from peace.core.errors import DataError
from peace.core.storage import fault_of, translate_errors

BEAT_SECONDS = 15.0
EXPIRES_SECONDS = 60.0  # a lock without a beat for so long is left over from a killed job
TRIES = 5


@dataclass(frozen=True)
class _Seen:
    """A lock as the store has it."""

    holder: dict[str, Any]
    etag: str
    age: float
    """Seconds since its last beat."""


@contextmanager
def locked(place: Path, out: Path) -> Iterator[None]:
    """Hold the lock object `place` of the directory `out` in the block.

    Raises DataError where another job holds it, or took it over since ours was not heard of for EXPIRES_SECONDS.
    """
    lock = _Lock(place, out)
    lock.take()
    beats = threading.Thread(target=lock.keep, daemon=True)
    beats.start()
    try:
        yield
    except KeyboardInterrupt:
        if lock.lost:
            raise DataError(f"another job has taken over {out}, since this one was not heard of for a while") from None
        raise
    finally:
        lock.done.set()
        beats.join()
        lock.release()


class _Lock:
    def __init__(self, place: Path, out: Path) -> None:
        remote = cast(Any, place)
        self._store, self._path, self._place, self._out = remote.fs, remote.path, place, out
        self._holder = {"host": socket.gethostname(), "pid": os.getpid(), "home": _home(), "token": uuid.uuid4().hex}
        self._etag = ""
        self._beaten = 0.0
        self.done = threading.Event()
        self.lost = False
        self._interrupted = threading.get_ident()

    def take(self) -> None:
        """Create the lock, or take over one that was left. Raises DataError where another job holds it."""
        with translate_errors(self._out):
            for _ in range(TRIES):
                if self._put(mode="create"):
                    self._warn_where_conditions_count_nothing()
                    return
                seen = self._look()
                if seen is None:
                    continue  # released between our two looks
                if seen.holder == self._holder:  # the store answered twice to one put
                    self._note(seen.etag)
                    return
                if not _is_left(seen):
                    raise DataError(self._refusal(seen))
                if self._put(IfMatch=seen.etag):
                    return
        raise DataError(f"another job is writing to {self._out}: wait for it, or choose another --out")

    def _warn_where_conditions_count_nothing(self) -> None:
        if self._put(mode="create"):
            told = f"{self._out}: this store ignores conditional writes: see to it that no other job writes there"
            print(f"peace: warning: {told}", file=sys.stderr)

    def keep(self) -> None:
        """Renew the lock until it is done with; where another job has taken it, interrupt this one."""
        while not self.done.wait(BEAT_SECONDS):
            try:
                if self._put(IfMatch=self._etag):
                    continue
                seen = self._look()
            except Exception:  # the store is away: the next beat may come through
                continue
            if seen is not None and seen.holder == self._holder:
                self._note(seen.etag)
            else:
                self.lost = True
                signal.pthread_kill(self._interrupted, signal.SIGINT)
                return

    def release(self) -> None:
        """Remove the lock, while it is surely ours."""
        if not self.lost and time.monotonic() - self._beaten < EXPIRES_SECONDS:
            with suppress(DataError, FileNotFoundError), translate_errors(self._out):  # else it expires
                self._store.rm_file(self._path)

    def _put(self, **condition: Any) -> bool:
        """Write the lock where the condition holds; says whether it did."""
        beat = {**self._holder, "beat": uuid.uuid4().hex}  # so that every beat has another ETag
        try:
            answer = self._store.pipe_file(self._path, json.dumps(beat).encode(), **condition)
        except OSError as error:
            if "PreconditionFailed" in str(error.__cause__) or "ConditionalRequestConflict" in str(error.__cause__):
                return False
            if isinstance(error, FileNotFoundError) and fault_of(error) is None:
                return False  # If-Match on a lock that is gone
            raise
        self._note(answer["ETag"])
        return True

    def _note(self, etag: str) -> None:
        self._etag, self._beaten = etag, time.monotonic()

    def _look(self) -> _Seen | None:
        bucket, key, _ = self._store.split_path(self._path)
        try:
            head = self._store.call_s3("head_object", Bucket=bucket, Key=key)
            holder = json.loads(self._store.cat_file(self._path, start=0))
        except (FileNotFoundError, ValueError):
            return None
        holder.pop("beat", None)
        now = parsedate_to_datetime(head["ResponseMetadata"]["HTTPHeaders"]["date"])
        return _Seen(holder, head["ETag"], (now - head["LastModified"]).total_seconds())

    def _refusal(self, seen: _Seen) -> str:
        left = max(1, round(EXPIRES_SECONDS - seen.age))
        return (
            f"another job is writing to {self._out} (process {seen.holder.get('pid')} on {seen.holder.get('host')}): "
            f"wait for it, or choose another --out; if it was killed, its lock expires in {left} s"
        )


def _is_left(seen: _Seen) -> bool:
    """Whether the job that wrote a lock is gone: silent for long, or a process of this machine that is no more."""
    if seen.age > EXPIRES_SECONDS:
        return True
    home = seen.holder.get("home")
    return bool(home) and home == _home() and not Path(f"/proc/{seen.holder.get('pid')}").exists()


def _home() -> str:
    """What tells apart machines and containers, so that a process number means one process; empty where unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""
