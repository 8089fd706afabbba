"""Files of a record, opened so that a pipe or a device neither blocks nor is read."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from peace.data.signal.unreadable import RecordRejected

# a pipe without a writer would hold up a plain open; has no effect on plain files
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)

_STORES: list[str] = []


@contextmanager
def opened(path: Path | str, reason: str) -> Iterator[tuple[int, int]]:
    """Descriptor and size of a plain file. Raises RecordRejected with this reason where there is none to be had."""
    try:
        file = _open(path)
    except (OSError, ValueError) as error:
        raise RecordRejected(reason, f"{path}: {getattr(error, 'strerror', None) or error}{_absent(path)}") from None
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise RecordRejected(reason, f"{path} is not a plain file")
        yield file, status.st_size
    finally:
        os.close(file)


def allow_links(stores: Sequence[str]) -> None:
    """From now on, follow links of this process's records into these folders too (links.stores)."""
    _STORES[:] = [os.path.realpath(os.path.expanduser(store)) for store in stores]


def _open(path: Path | str) -> int:
    """A descriptor. A link is followed within the record's own folder: another's tree must not choose what we read."""
    try:
        return os.open(path, _FLAGS)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
    target = os.path.realpath(path, strict=True)
    folders = (os.path.realpath(os.path.dirname(path)), *_STORES)
    if not any(target.startswith(os.path.join(folder, "")) for folder in folders):
        raise RecordRejected(
            "outside_root",
            f"{path} is a link out of the record's folder, into {os.path.dirname(target)}: copy the file, link the "
            "folder, or name the store that links may lead to: links.stores=[FOLDER]",
        )
    return os.open(target, _FLAGS)


def _absent(path: Path | str) -> str:
    """What may bring a file whose link leads nowhere."""
    try:
        return f" (a link to {os.readlink(path)}: fetch it with git annex get, datalad get or its like)"
    except (OSError, ValueError):
        return ""


def plain_file(path: Path, reason: str) -> tuple[str, int]:
    """Where a file lies, links followed, and its size; raises as `opened`."""
    with opened(path, reason) as (_, size):
        return os.path.realpath(path), size


def read(file: int, size: int, offset: int = 0) -> npt.NDArray[np.uint8]:
    """Up to `size` bytes after `offset`: fewer where the file ends. Raises OSError."""
    content, done = np.empty(size, np.uint8), 0
    while done < size:  # networks and large reads may give a part at a time
        got = os.preadv(file, [content.data[done:]], offset + done)
        if not got:
            break
        done += got
    return content[:done]
