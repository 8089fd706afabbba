"""The checkpoints of one training, side by side: the last ones to resume from, and the best.

A training that starts looks here for the newest one that is whole. One that was damaged is set aside with a warning,
and the one before it is taken.
"""

from __future__ import annotations

import re
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peace.checkpoint import META_FILE, check_checkpoint, read_meta, remove_checkpoint, write_checkpoint
from peace.core.errors import DataError, StoreError
from peace.core.storage import is_remote, translate_errors

NAME = re.compile(r"epoch-\d{4,}-step-\d{6,}")
DAMAGED = "damaged-"


def checkpoint_name(epoch: int, step: int) -> str:
    """The folder of the checkpoint after so many whole epochs and steps of the next; names sort as time does."""
    return f"epoch-{epoch:04d}-step-{step:06d}"


@dataclass(frozen=True)
class RetentionPolicy:
    """How many checkpoints are kept, and how often one is taken within an epoch; beside the one after each epoch."""

    last: int = 2
    best: int = 1
    minutes: float = 0.0


def _say(message: str) -> None:
    print(f"warning: {message}", file=sys.stderr)


class CheckpointManager:
    """A folder of checkpoints, on a disk or in an object store. One process writes, in a thread beside the training.

    Raises DataError from `save`, `look` and `wait` where a checkpoint could not be written; those before it are whole.
    """

    def __init__(self, place: Path, keeping: RetentionPolicy | None = None, warn: Callable[[str], None] = _say) -> None:
        self.path = place
        self.keeping = keeping or RetentionPolicy()
        self.warn = warn
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._writing: Future[None] | None = None
        self._scores: dict[str, float | None] = {}
        self._saved = time.monotonic()

    def newest(self) -> Path | None:
        """The latest valid checkpoint; None where there is none at all. Damaged ones are set aside.

        Raises DataError where there are checkpoints, but none is whole.
        """
        faults: dict[str, str] = {}
        for name in reversed(self._names()):
            fault = self._fault(name)
            if fault is not None:
                faults[name] = fault
                continue
            for damaged, why in faults.items():
                self.warn(f"{why}; it is set aside as {DAMAGED}{damaged}, and the training resumes from {name}")
                self._set_aside(damaged)
            return self.path / name
        if faults:
            raise DataError(
                f"no checkpoint in {self.path} is valid ({next(iter(faults.values()))}): put a valid one there, "
                f"or start over with --fresh"
            )
        return None

    def best(self) -> Path:
        """The valid checkpoint with the highest validation AUC, the earliest of them. Raises DataError."""
        scores = self._scored(self._names())
        for name in sorted(scores, key=lambda name: (-scores[name], name)):
            fault = self._fault(name)
            if fault is None:
                return self.path / name
            self.warn(f"{fault}; the best of the other epochs is taken")
        raise DataError(f"{self.path} holds no valid checkpoint of an epoch: start over with --fresh")

    def last_good(self) -> str:
        """The latest valid checkpoint, for people."""
        for name in reversed(self._names()):
            if self._fault(name) is None:
                return f"the last good checkpoint is {self.path / name}"
        return "there is no checkpoint yet"

    def due(self) -> bool:
        """Whether a checkpoint within the epoch is due by the clock."""
        return self.keeping.minutes > 0 and time.monotonic() - self._saved >= 60 * self.keeping.minutes

    def save(self, name: str, packed: Mapping[str, bytes], then: Callable[[], None] = lambda: None) -> None:
        """Write a packed checkpoint beside the training, drop what need not be kept, and call `then`.

        Waits for the checkpoint before it, so that one at most is on its way.
        """
        self.wait()
        self._saved = time.monotonic()
        self._writing = self._thread.submit(self._write, name, packed, then)

    def look(self) -> None:
        """Raise what went wrong with the last checkpoint, if that is known by now."""
        if self._writing is not None and self._writing.done():
            self.wait()

    def wait(self) -> None:
        """Until the last checkpoint is written. Raises DataError where it was not."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def sweep(self) -> None:
        """Remove what killed writers left unfinished."""
        if not is_remote(self.path) and self.path.is_dir():
            for left in [*self.path.glob(".*.writing"), *self.path.glob(".*.going")]:
                shutil.rmtree(left, ignore_errors=True)

    def _write(self, name: str, packed: Mapping[str, bytes], then: Callable[[], None]) -> None:
        write_checkpoint(self.path / name, packed)
        self._scores.pop(name, None)
        names = self._names()
        scores = self._scored(names)
        best = sorted(scores, key=lambda found: (-scores[found], found))[: self.keeping.best]
        for old in set(names) - set(names[-self.keeping.last :]) - set(best):
            remove_checkpoint(self.path / old)
        then()

    def _fault(self, name: str) -> str | None:
        """What is wrong with a checkpoint; a store that does not answer says nothing of it, and raises StoreError."""
        try:
            check_checkpoint(self.path / name)
        except StoreError:
            raise
        except DataError as error:
            return str(error)
        return None

    def _names(self) -> list[str]:
        """The checkpoints, oldest first."""
        with translate_errors(self.path):
            if is_remote(self.path):
                store: Any = self.path
                paths = [path.removeprefix(f"{store.path}/").split("/") for path in store.fs.find(store.path)]
                found = [parts[0] for parts in paths if parts[1:] == [META_FILE]]
            else:
                found = [path.parent.name for path in self.path.glob(f"*/{META_FILE}")]
        return sorted(name for name in found if NAME.fullmatch(name))

    def _scored(self, names: list[str]) -> dict[str, float]:
        """Validation AUC of those that were taken at the end of an epoch."""
        for name in names:
            if name not in self._scores:
                try:
                    self._scores[name] = read_meta(self.path / name)[1].val_auc
                except StoreError:
                    raise
                except DataError:
                    self._scores[name] = None
        return {name: score for name in names if (score := self._scores[name]) is not None}

    def _set_aside(self, name: str) -> None:
        if is_remote(self.path):
            store: Any = self.path
            with translate_errors(self.path):
                store.fs.mv(f"{store.path}/{name}", f"{store.path}/{DAMAGED}{name}", recursive=True)
            return
        shutil.rmtree(self.path / f"{DAMAGED}{name}", ignore_errors=True)
        (self.path / name).rename(self.path / f"{DAMAGED}{name}")
