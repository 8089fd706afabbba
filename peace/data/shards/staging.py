"""Records that lie in an object store, brought to this machine group by group, the next one while one is conditioned.

The reader stays a reader of local files. Into a folder of its own comes each record's header, then what the parsed
header names, and of each file no more bytes than the header calls for: a file that continues gets its true length as a
hole, so that the reader judges it as it would in its own place.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from peace.core.storage import is_empty, scratch, to_path, translate_errors
from peace.data.signal.decode import FORMATS, bytes_of
from peace.data.signal.header import MAX_SAMPLES, Header
from peace.data.signal.reader import MAX_HEADER_BYTES, read_header
from peace.data.signal.unreadable import RecordRejected

GROUP = 64  # records
GROUP_BYTES = 256_000_000  # of signal files, on disk and in memory at a time
SEGMENT_HEADER_BYTES = 64_000
CONNECTIONS = 32
LONGEST_NAME = 255  # bytes: what local filesystems take
WIDEST_SAMPLE = 4  # bytes

Row = Mapping[str, Any]
Item = TypeVar("Item")


@dataclass(frozen=True)
class _Wanted:
    """An object, where it goes, and how many of its bytes are of use."""

    remote: Path
    local: Path
    limit: int


def staged(rows: Sequence[Row], seconds: float | None = None) -> Iterator[tuple[Row, Path | None]]:
    """Each row, in their order, with a copy of its record that lasts until the next row is asked for.

    With `seconds`, of its signal files no more comes than these first seconds take.
    None for a record that lies in a filesystem. Raises DataError where the store fails; an absent object is an absent
    file.
    """
    if not any(map(_is_address, rows)):
        yield from ((row, None) for row in rows)
        return
    starts = range(0, len(rows), GROUP)
    with scratch() as folder:
        groups = ((rows[start : start + GROUP], folder / str(start)) for start in starts)
        for batch in _one_ahead(batch for group, target in groups for batch in _batches(group, target, seconds)):
            for row, copy in batch:
                yield row, copy
                if copy is not None:
                    shutil.rmtree(copy.parent, ignore_errors=True)


def in_its_place(text: str, row: Row, copy: Path | None) -> str:
    """What the reader said of a copy, said of the record itself."""
    return text if copy is None else text.replace(str(copy.parent), row["path"].rpartition("/")[0])


def _is_address(row: Row) -> bool:
    return "://" in str(row["path"])


def _one_ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items, each made in another thread while the one before it is in use."""
    end = object()
    with ThreadPoolExecutor(1) as pool:
        step = cast(Callable[[], Item], lambda: next(items, end))
        coming = pool.submit(step)
        while (item := coming.result()) is not end:
            coming = pool.submit(step)
            yield item


def _batches(rows: Sequence[Row], folder: Path, seconds: float | None) -> Iterator[list[tuple[Row, Path | None]]]:
    """Rows with their copies, as many at a time as GROUP_BYTES allow. Copies lie in folders beside `folder`."""
    records = [to_path(row["path"]) if _is_address(row) else None for row in rows]
    copies = [_copy_of(record, Path(f"{folder}-{index}")) for index, record in enumerate(records)]
    pairs = list(zip(records, copies, strict=True))
    _fetch([_header(record, copy) for record, copy in pairs if record is not None and copy is not None])
    batch: list[tuple[Row, Path | None]] = []
    wanted: list[_Wanted] = []
    for row, (record, copy) in zip(rows, pairs, strict=True):
        files = _signal_files(record, copy, seconds) if record is not None and copy is not None else []
        if batch and sum(item.limit for item in [*wanted, *files]) > GROUP_BYTES:
            _fetch(wanted)
            yield batch
            batch, wanted = [], []
        batch.append((row, copy))
        wanted += files
    _fetch(wanted)
    yield batch


def _copy_of(record: Path | None, folder: Path) -> Path | None:
    """Where the copy of a record goes: into a folder that no other record has, under its own name."""
    if record is None:
        return None
    return folder / (record.stem if record.suffix in (".hea", ".dat") else record.name)


def _header(record: Path, copy: Path, limit: int = MAX_HEADER_BYTES + 1) -> _Wanted:
    name = copy.name + ".hea"
    return _Wanted(record.parent / name, copy.parent / name, limit)


def _signal_files(record: Path, copy: Path, seconds: float | None) -> list[_Wanted]:
    """The files that a brought header names, after its segments' headers have been brought."""
    header = _parsed(copy)
    if header is None:
        return []
    headers = [header]
    segments = sorted({name for name, _ in header.segments if name != "~"})
    if segments:
        parts = [(record.with_name(name), copy.with_name(name)) for name in segments]
        _fetch([_header(remote, local, SEGMENT_HEADER_BYTES) for remote, local in parts])
        headers += [part for name in segments if (part := _parsed(copy.with_name(name))) is not None]
    limits: dict[str, int] = {}
    for part in headers:
        for item in part.signals:
            if not copy.with_name(item.file).exists():  # else a header, which is there as a whole
                limits[item.file] = max(limits.get(item.file, 0), item.offset + _bytes(part, seconds))
    if sum(limits.values()) > GROUP_BYTES:  # absurd offsets or segments: what is there counts
        limits = {name: min(limit, _size(record.with_name(name)) + 1) for name, limit in limits.items()}
    if sum(limits.values()) > GROUP_BYTES:
        return []
    return [_Wanted(record.with_name(name), copy.with_name(name), limit) for name, limit in limits.items()]


def _parsed(copy: Path) -> Header | None:
    try:
        return read_header(copy)
    except RecordRejected:
        return None  # the reader will say why


def _bytes(header: Header, seconds: float | None) -> int:
    """Bytes that a record's samples take at most, and a frame more: what is longer shows as longer.

    Where the header does not say how many samples there are, as many as a record may have.
    """
    frame = sum(item.per_frame for item in header.signals)
    values = (MAX_SAMPLES if header.n_samples is None else header.n_samples * frame) + frame
    if seconds is not None:
        skew = max((item.skew for item in header.signals), default=0)
        values = min(values, (math.ceil(seconds * header.rate) + skew + 2) * frame)
    formats = {item.format for item in header.signals}
    return max(bytes_of(form, values) if form in FORMATS else values * WIDEST_SAMPLE for form in formats)


def _fetch(wanted: Sequence[_Wanted]) -> None:
    """Get objects, several at a time. What is absent is not written. Raises DataError where the store fails."""
    wanted = [item for item in wanted if _can_be(item.local.name)]
    if not wanted:
        return
    store = cast(Any, wanted[0].remote).fs
    names = [cast(Any, item.remote).path for item in wanted]
    contents = store.cat_ranges(names, 0, [item.limit for item in wanted], batch_size=CONNECTIONS, on_error="return")
    for item, content in zip(wanted, contents, strict=True):
        content = _content(item.remote, content)
        if content is None:
            continue
        item.local.parent.mkdir(exist_ok=True)
        with item.local.open("wb") as file:
            file.write(content)
            if len(content) == item.limit:
                file.truncate(max(_size(item.remote), item.limit))


def _size(remote: Path) -> int:
    """Bytes of an object, 0 where it is absent."""
    try:
        with translate_errors(remote):
            return remote.stat().st_size
    except FileNotFoundError:
        return 0


def _can_be(name: str) -> bool:
    """Whether a local file can have the name: an object without one counts as absent."""
    return len(name.encode()) <= LONGEST_NAME and "\0" not in name


def _content(remote: Path, answer: bytes | Exception) -> bytes | None:
    """The bytes that came, None for an absent object."""
    try:
        with translate_errors(remote):
            if isinstance(answer, bytes):
                return answer
            if is_empty(answer):
                return b""
            raise answer
    except FileNotFoundError:
        return None
