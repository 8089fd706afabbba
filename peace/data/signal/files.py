"""Files of a record, opened so that a pipe or a device neither blocks nor is read."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from peace.data.signal.unreadable import Unreadable

# a pipe without a writer would hold up a plain open; has no effect on plain files
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)


@contextmanager
def opened(path: Path | str, reason: str) -> Iterator[tuple[int, int]]:
    """Descriptor and size of a plain file. Raises Unreadable with this reason where there is none to be had."""
    try:
        file = _open(path)
    except (OSError, ValueError) as error:
        raise Unreadable(reason, f"{path}: {getattr(error, 'strerror', None) or error}") from None
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise Unreadable(reason, f"{path} is not a plain file")
        yield file, status.st_size
    finally:
        os.close(file)


def _open(path: Path | str) -> int:
    """A descriptor. A link is followed within the record's own folder: another's tree must not choose what we read."""
    try:
        return os.open(path, _FLAGS)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
    target = os.path.realpath(path, strict=True)
    if not target.startswith(os.path.join(os.path.realpath(os.path.dirname(path)), "")):
        raise Unreadable(
            "outside_root", f"{path} is a link out of the record's folder: copy the file, or link the folder"
        )
    return os.open(target, _FLAGS)


def plain_size(path: Path, reason: str) -> int:
    """Size of a plain file; raises as `opened`."""
    with opened(path, reason) as (_, size):
        return size


def read(file: int, size: int, offset: int = 0) -> npt.NDArray[np.uint8]:
    """Up to `size` bytes after `offset`: fewer where the file ends. Raises OSError."""
    content, done = np.empty(size, np.uint8), 0
    while done < size:  # networks and large reads may give a part at a time
        got = os.preadv(file, [content.data[done:]], offset + done)
        if not got:
            break
        done += got
    return content[:done]
