"""What is kept of an unfinished download: its bytes so far, and of which version of the file they are."""

from __future__ import annotations

import hashlib
from pathlib import Path

from peace.core.errors import DataError
from peace.core.files import read_json, write_json

STATE = ".fetch"  # folder in a tree; all of it may be deleted at any time


class Partial:
    """The unfinished download of one file of a tree. Any moment of a kill leaves a state to resume from."""

    def __init__(self, root: Path, name: str) -> None:
        key = hashlib.sha256(name.encode()).hexdigest()[:24]
        self.path = root / STATE / f"{key}.part"
        self._note = root / STATE / f"{key}.json"

    @property
    def validator(self) -> str | None:
        """ETag or date that the server gave with the first byte; None where nothing is known."""
        try:
            found = read_json(self._note)["validator"] if self._note.exists() else None
        except (DataError, KeyError, TypeError):
            return None
        return found if isinstance(found, str) else None

    def size(self) -> int:
        """Bytes received so far."""
        return self.path.stat().st_size if self.path.exists() else 0

    def begin(self, validator: str | None) -> None:
        """Start over with a version: first no bytes, then the note, so that the two never contradict each other."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_bytes(b"")
        if validator is None:
            self._note.unlink(missing_ok=True)
        else:
            write_json(self._note, {"validator": validator})

    def forget(self) -> None:
        """Remove the bytes and the note."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)
