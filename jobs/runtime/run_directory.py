"""A run's directory: one writer at a time, one identity, and nothing overwritten when the identity changes.

The identity of a run is a digest of its verb, of the configuration that the verb reads, and of its inputs.
"""

from __future__ import annotations

import logging
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, cast

from peace.core.errors import ConfigError, DataError, PeaceError
from peace.core.files import read_json, replacing
from peace.core.masking import masked
from peace.core.storage import is_remote, local_copy, scratch, translate_errors

LOG_SECONDS = 30.0  # the log of a run in an object store is at most so old
SET_ASIDE_NOT = ("previous", ".lock", "cache")  # a cache is found by content: it serves any run


def prepared(out: Path) -> Path:
    """The directory as an absolute place, made where it can be made. Raises DataError."""
    if is_remote(out):
        return out
    out = out.absolute()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot write to {out}: {error.strerror}") from None
    return out


def earlier_result(
    out: Path, verb: str, final: bool, identity: str, read: dict[str, Any], fresh: bool
) -> dict[str, Any] | None:
    """The result of the same run if it is finished and final; a run of another kind is set aside first."""
    marker = out / "run.json"
    if not marker.exists():
        if (out / "result.json").exists():
            raise DataError(f"{out} holds a result.json that no run of ours left: choose another --out")
        return None
    earlier = read_json(marker)
    if earlier["verb"] != verb:
        raise ConfigError(f"{out} is the directory of a `peace {earlier['verb']}` run: choose another --out")
    if fresh or earlier["identity"] != identity:
        with translate_errors(out):
            aside = _set_aside(out, earlier["identity"])
        changed = _changed_keys(earlier["config"], read)
        why = "--fresh" if fresh else f"changed: {', '.join(changed) or 'the inputs'}"
        print(f"the earlier run in {out} was set aside in {aside} ({why})", file=sys.stderr)
        return None
    if final and (out / "result.json").exists():
        return dict(read_json(out / "result.json"))
    return None


def _set_aside(out: Path, identity: str) -> Path:
    aside = out / "previous" / identity
    number = 1
    while aside.exists():
        number += 1
        aside = out / "previous" / f"{identity}-{number}"
    if is_remote(out):
        _move_objects(cast(Any, out), cast(Any, aside))
        return aside
    aside.mkdir(parents=True)
    items = [item for item in out.iterdir() if item.name not in SET_ASIDE_NOT]
    for item in sorted(items, key=_is_marker):
        shutil.move(item, aside / item.name)
    return aside


def _is_marker(path: Path) -> bool:
    """run.json goes last, so that a move that was cut short is seen and gone on with."""
    return path.name == "run.json"


def _move_objects(out: Any, aside: Any) -> None:
    """A store moves nothing: it copies within itself, then the originals are removed."""
    names = [name.removeprefix(f"{out.path}/") for name in out.fs.find(out.path)]
    names = [name for name in names if name.split("/")[0] not in SET_ASIDE_NOT]
    out.fs.copy([f"{out.path}/{name}" for name in names], [f"{aside.path}/{name}" for name in names])
    others = [f"{out.path}/{name}" for name in names if name != "run.json"]
    if others:
        out.fs.rm(others)
    out.fs.rm_file(f"{out.path}/run.json")


def _changed_keys(before: Any, after: Any, prefix: str = "") -> list[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        names = sorted(set(before) | set(after))
        return [key for name in names for key in _changed_keys(before.get(name), after.get(name), f"{prefix}{name}.")]
    return [] if before == after else [prefix.rstrip(".")]


@contextmanager
def only_writer(out: Path) -> Iterator[None]:
    """Hold the directory in the block. Raises DataError where another job has it."""
    if is_remote(out):
        from jobs.runtime.s3_lock import locked

        with locked(out / ".lock", out):
            yield
        return
    from filelock import FileLock, Timeout

    try:
        with FileLock(out / ".lock", timeout=0):
            yield
    except Timeout:
        raise DataError(f"another job is writing to {out}: wait for it, or choose another --out") from None


@contextmanager
def run_log(path: Path, name: str) -> Iterator[logging.Logger]:
    """The log of a run, appended to what an earlier call left; in an object store it is put there now and then."""
    with scratch() if is_remote(path) else nullcontext(path.parent) as folder:
        local = folder / path.name
        if is_remote(path):
            with suppress(FileNotFoundError), local_copy(path) as earlier:
                shutil.copyfile(earlier, local)
        log = logging.getLogger(f"peace.{name}")
        log.setLevel(logging.INFO)
        logging.raiseExceptions = False  # a full disk ends the job in one line, not in a trace of the log
        handler = _CopyingHandler(local, path) if is_remote(path) else logging.FileHandler(local, encoding="utf-8")
        handler.setFormatter(_Masking("%(asctime)s %(levelname)s %(message)s"))
        log.addHandler(handler)
        try:
            yield log
        finally:
            log.removeHandler(handler)
            handler.close()


class _Masking(logging.Formatter):
    """Keeps user information in addresses out of the log."""

    def format(self, record: logging.LogRecord) -> str:
        return masked(super().format(record))


class _CopyingHandler(logging.FileHandler):
    """Writes to a local file and puts it in its place at the end, and with a line that comes long after the last."""

    def __init__(self, local: Path, remote: Path) -> None:
        super().__init__(local, encoding="utf-8")
        self._local, self._remote, self._copied = local, remote, time.monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        super().emit(record)
        if time.monotonic() - self._copied > LOG_SECONDS:
            self._copy()

    def close(self) -> None:
        super().close()
        self._copy()

    def _copy(self) -> None:
        with suppress(PeaceError, OSError), replacing(self._remote) as temporary:  # the job is worth more than its log
            shutil.copyfile(self._local, temporary)
        self._copied = time.monotonic()
