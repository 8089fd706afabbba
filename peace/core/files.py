"""Files that are either whole or absent: everything a run leaves is written beside itself and then renamed.

In an object store the same holds by nature: a file is written on this machine and put as one object.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from peace.core.errors import DataError
from peace.core.masking import masked
from peace.core.storage import is_remote, local_copy, translate_errors, uploading


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary local path; on success it takes the place of `path`, on failure nothing is left.

    Raises DataError where the disk is full or the store fails, naming the path.
    """
    if is_remote(path):
        with uploading(path) as temporary:
            yield temporary
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:6]}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DataError(f"no space left while writing {path}: free some and run the same command again") from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write text atomically, with the user information in addresses masked."""
    with replacing(path) as temporary:
        temporary.write_text(masked(text), encoding="utf-8")


def json_text(value: Any) -> str:
    """JSON with stable indentation; NaN becomes null, since JSON has none."""
    return json.dumps(_without_nan(value), indent=2, ensure_ascii=False, default=str, allow_nan=False) + "\n"


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, as json_text has it."""
    write_text(path, json_text(value))


def read_json(path: Path) -> Any:
    """Read JSON; raises DataError naming the file where it is missing or broken."""
    try:
        with translate_errors(path):
            return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not valid JSON: {error}") from None


def digest(value: Any) -> str:
    """Sixteen hexadecimal digits of SHA-256 over a JSON-like value, the same in any process."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_digest(path: Path) -> str:
    """Sixteen hexadecimal digits of SHA-256 over a file's bytes."""
    with local_copy(path) as local, local.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]


def _without_nan(value: Any) -> Any:
    if isinstance(value, float) and value != value:
        return None
    if isinstance(value, dict):
        return {str(key): _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return value
