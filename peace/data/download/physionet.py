"""A project of PhysioNet: a tree of files and SHA256SUMS.txt, which lists them all."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

from peace.core.errors import DataError
from peace.data.download.http import Checksum
from peace.data.download.names import safe_name
from peace.data.download.partial import STATE, Partial
from peace.data.download.pool import Pool
from peace.data.download.record_list import cut_list

SUMS = "SHA256SUMS.txt"
LINE = re.compile(r"([0-9a-fA-F]{64}) [ *]?(\S.*)")  # PhysioNet puts one space, sha256sum two
WHOLE_TABLES = "tables"  # under STATE: tables as published, where the tree has them cut

Listed = tuple[str, str]


def fetch_project(
    pool: Pool, base: str, root: Path, list_table: str, column: str, n_records: int | None, skip: str | None
) -> dict[str, int]:
    """Fetch a project, or its tables and the first `n_records` records of `list_table`; returns {records, missing}.

    Files below the folder `skip` are left out. Raises DataError as Pool.each does, and for a list that is no list.
    """
    base = base.rstrip("/")
    root.mkdir(parents=True, exist_ok=True)
    pool.client.download(f"{base}/{SUMS}", root / SUMS, Partial(root, SUMS), None)
    wanted: Callable[[str], bool] = lambda name: skip is None or not name.startswith(f"{skip}/")  # noqa: E731
    if n_records is not None:
        _fetch_listed(pool, f"tables of {root.name}", base, root, lambda name: "/" not in name, cut=list_table)
        whole = root / STATE / WHOLE_TABLES / list_table
        if not whole.exists():
            raise DataError(f"{base}/{SUMS} does not list {list_table}, which lists the records")
        chosen = {
            f"{path}{ending}"
            for path in cut_list(whole, root / list_table, column, n_records)
            for ending in (".hea", ".dat")
        }
        wanted = chosen.__contains__
    fetched = _fetch_listed(pool, f"fetch {root.name}", base, root, wanted)
    records = sum(name.endswith(".hea") for name in fetched)
    return {"records": records, "missing": 0 if n_records is None else len(chosen) // 2 - records}


def _fetch_listed(
    pool: Pool, label: str, base: str, root: Path, wanted: Callable[[str], bool], cut: str | None = None
) -> list[str]:
    """Fetch the listed files that are wanted; returns the names of their headers."""
    n_files, headers = 0, []
    for _, name in listed(root / SUMS):  # to the end first: a list that is not to be trusted fetches nothing
        if wanted(name):
            n_files += 1
            if name.endswith(".hea"):
                headers.append(name)

    def place(item: Listed) -> Path:
        return root / STATE / WHOLE_TABLES / item[1] if item[1] == cut else root / item[1]

    def work(item: Listed) -> bool:
        value, name = item
        checksum = Checksum("sha256", value.lower())
        if checksum.matches(place(item)):
            return False
        return pool.client.download(f"{base}/{quote(name)}", place(item), Partial(root, name), checksum)

    items = (item for item in listed(root / SUMS) if wanted(item[1]))
    pool.each(label, items, work, place, n_files)
    return headers


def listed(path: Path) -> Iterator[Listed]:
    """(SHA-256, name) of each line. Raises DataError naming the line that is none, or leads out of the tree."""
    with path.open(encoding="utf-8", errors="replace") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            match = LINE.fullmatch(line.rstrip("\r\n"))
            if match is None:
                raise DataError(f"{path}, line {number} is no checksum and file name: {line[:80]!r}")
            name = match[2].removeprefix("./")
            if name != SUMS:
                yield match[1], safe_name(name, f"{path}, line {number}")
