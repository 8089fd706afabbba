"""Files of a record, opened so that a pipe or a device neither blocks nor is read."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from peace.signal.unreadable import Unreadable

# a pipe without a writer would hold up a plain open; has no effect on plain files
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


@contextmanager
def opened(path: Path | str, reason: str) -> Iterator[tuple[int, int]]:
    """Descriptor and size of a plain file. Raises Unreadable with this reason where there is none to be had."""
    try:
        file = os.open(path, _FLAGS)
    except (OSError, ValueError) as error:
        raise Unreadable(reason, f"{path}: {getattr(error, 'strerror', None) or error}") from None
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise Unreadable(reason, f"{path} is not a plain file")
        yield file, status.st_size
    finally:
        os.close(file)


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
