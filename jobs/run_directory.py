"""A run's directory: one writer at a time, one identity, and nothing overwritten when the identity changes.

The identity of a run is a digest of its verb, of the configuration that the verb reads, and of its inputs.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from peace.errors import ConfigError, DataError
from peace.files import read_json


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
        place = _set_aside(out, earlier["identity"])
        changed = _changed_keys(earlier["config"], read)
        why = "--fresh" if fresh else f"changed: {', '.join(changed) or 'the inputs'}"
        print(f"the earlier run in {out} was set aside in {place} ({why})", file=sys.stderr)
        return None
    if final and (out / "result.json").exists():
        return dict(read_json(out / "result.json"))
    return None


def _set_aside(out: Path, identity: str) -> Path:
    place = out / "previous" / identity
    number = 1
    while place.exists():
        number += 1
        place = out / "previous" / f"{identity}-{number}"
    place.mkdir(parents=True)
    for item in out.iterdir():
        if item.name not in ("previous", ".lock"):
            shutil.move(item, place / item.name)
    return place


def _changed_keys(before: Any, after: Any, prefix: str = "") -> list[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        names = sorted(set(before) | set(after))
        return [key for name in names for key in _changed_keys(before.get(name), after.get(name), f"{prefix}{name}.")]
    return [] if before == after else [prefix.rstrip(".")]


@contextmanager
def only_writer(out: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    try:
        with FileLock(out / ".lock", timeout=0):
            yield
    except Timeout:
        raise DataError(f"another job is writing to {out}: wait for it, or choose another --out") from None
