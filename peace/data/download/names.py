"""Names that come from a server: none may lead out of the tree, and none may touch our own notes."""

from __future__ import annotations

import re

from peace.core.errors import DataError
from peace.data.download.partial import STATE

UNSAFE = re.compile(r"(?:^|/)\.{1,2}(?:/|$)|^/|^~|\\|^[A-Za-z]:|[\x00-\x1f\x7f]|//|/$")
LONGEST = 1000


def safe_name(name: str, said_by: str) -> str:
    """The name, if it is a relative path inside the tree. Raises DataError otherwise."""
    if not name or len(name) > LONGEST or UNSAFE.search(name) or name.split("/")[0] == STATE:
        raise DataError(f"{said_by} names {name[:80]!r}, which is no path inside the tree: nothing of it is fetched")
    return name
