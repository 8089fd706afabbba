"""Many small jobs over the network: so many at once, one bar, and what went wrong told at the end."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from peace.config import FetchConfig
from peace.core.errors import DataError
from peace.core.progress import progress
from peace.data.download.http import Client, Stopped

AHEAD = 4  # jobs that wait for each connection: enough to keep it busy, and few to hold
MAX_FAILURES = 20

T = TypeVar("T")


@dataclass
class Tally:
    """What was done: files written, files that were there already, bytes that came over the network."""

    files: int = 0
    skipped: int = 0
    bytes: int = 0


class Pool:
    """Connections that are used by one job after the other, and the tally of all of them."""

    def __init__(self, config: FetchConfig) -> None:
        self.config = config
        self.tally = Tally()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._bar: tqdm[Any] | None = None
        self._done_bytes = 0
        self._live = True
        self.client = Client(config, self._received, self._stop)

    def each(
        self,
        label: str,
        items: Iterable[T],
        work: Callable[[T], bool],
        place_of: Callable[[T], Path],
        n_items: int,
        n_bytes: int | None = None,
        live: bool = True,
    ) -> None:
        """Call `work` for each item; it gives whether it wrote the file, or found it whole, at `place_of` the item.

        `n_bytes` is the size of all files, estimated as they come where it is None. The bar moves with the network, or
        file by file where `live` is false. Raises DataError naming what could not be fetched, after the rest; at
        once where that is much, or where the disk is full.
        """
        failures: list[str] = []
        done = 0
        pending: set[Future[bool]] = set()
        of: dict[Future[bool], T] = {}
        self._done_bytes, self._live = 0, live

        def collect(ready: set[Future[bool]]) -> None:
            nonlocal done
            for future in ready:
                item = of.pop(future)
                done += 1
                try:
                    self._count(future.result(), place_of(item), n_bytes, done, n_items)
                except DataError as error:
                    failures.append(str(error))
                if len(failures) >= MAX_FAILURES:
                    raise _failed(failures, "and gave up")

        with (
            progress(None, label, total=n_bytes, unit="byte", scaled=True) as self._bar,
            ThreadPoolExecutor(self.config.parallel, "fetch") as threads,
        ):
            try:
                for item in items:
                    if len(pending) >= AHEAD * self.config.parallel:
                        ready, pending = wait(pending, return_when=FIRST_COMPLETED)
                        collect(ready)
                    future = threads.submit(work, item)
                    of[future] = item
                    pending.add(future)
                while pending:
                    ready, pending = wait(pending, return_when=FIRST_COMPLETED)
                    collect(ready)
            except BaseException as error:
                self._stop.set()
                threads.shutdown(wait=True, cancel_futures=True)
                raise _readable(error) from None
            finally:
                self._bar = None
        if failures:
            raise _failed(failures, "the rest is there")

    def _received(self, n_bytes: int) -> None:
        with self._lock:
            self.tally.bytes += n_bytes
            if self._bar is not None and self._live:
                self._bar.update(n_bytes)

    def _count(self, written: bool, place: Path, n_bytes: int | None, done: int, n_items: int) -> None:
        size = place.stat().st_size
        with self._lock:
            if written:
                self.tally.files += 1
            else:
                self.tally.skipped += 1
            self._done_bytes += size
            if self._bar is None:
                return
            if not (written and self._live):
                self._bar.update(size)
            if n_bytes is None:
                self._bar.total = self._done_bytes * n_items // done


def _readable(error: BaseException) -> BaseException:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DataError("no space left on the disk: free some and run the same command again")
    if isinstance(error, OSError) and error.filename is not None:
        return DataError(f"cannot write {error.filename}: {error.strerror}")
    return KeyboardInterrupt() if isinstance(error, Stopped) else error


def _failed(failures: list[str], rest: str) -> DataError:
    shown = "; ".join(failures[:3])
    more = f"; and {len(failures) - 3} more" if len(failures) > 3 else ""
    return DataError(f"{len(failures)} files could not be fetched, {rest}: {shown}{more}. The same command continues")
