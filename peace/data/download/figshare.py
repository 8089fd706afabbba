"""ZZU-pECG on figshare: tables, and recordings in a zip archive of several parts."""

from __future__ import annotations

import re
import zipfile
import zlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from peace.core.errors import DataError
from peace.core.files import replacing
from peace.data.download.http import WRONG_BYTES_TRIES, Checksum
from peace.data.download.names import safe_name
from peace.data.download.partial import STATE, Partial
from peace.data.download.physionet import WHOLE_TABLES
from peace.data.download.pool import Pool
from peace.data.download.record_list import cut_list
from peace.data.download.split_zip import Parts, ReadPart, members, read_member, reader_of

PART = re.compile(r"(.+)\.(z\d\d|zip)", re.IGNORECASE)
SIGNALS = "Child_ecg/"  # in front of the list's file names


@dataclass(frozen=True)
class PublicFile:
    """A file of an article."""

    name: str
    size: int
    url: str
    checksum: Checksum


def fetch_article(
    pool: Pool, base: str, root: Path, list_table: str, column: str, n_records: int | None
) -> dict[str, int]:
    """Fetch the article and unpack its archive, or its tables and the first `n_records` records of `list_table`.

    Of an archive only the directory and the members wanted are requested where `n_records` is given: they are
    checked by CRC-32, the parts of a whole archive by MD5 as well. Gives {records, missing}; raises DataError.
    """
    root.mkdir(parents=True, exist_ok=True)
    files = _files(pool, base)
    archive = sorted((file for file in files if PART.fullmatch(file.name)), key=lambda file: file.name.lower())
    tables = [file for file in files if file not in archive]
    if not archive:
        raise DataError(f"{base} holds no zip archive")
    if n_records is None:
        _fetch_files(pool, f"fetch {root.name}", root, files)
        chosen = None
        readers = [reader_of(root / file.name) for file in archive]
    else:
        _fetch_files(pool, f"tables of {root.name}", root, tables, cut=list_table)
        whole = root / STATE / WHOLE_TABLES / list_table
        if not whole.exists():
            raise DataError(f"{base} holds no {list_table}, which lists the records")
        chosen = cut_list(whole, root / list_table, column, n_records)
        readers = [_remote(pool, file) for file in archive]
    parts = Parts([file.size for file in archive], readers)
    wanted = _wanted(members(parts, archive[-1].name), chosen)
    _unpack(pool, parts, wanted, root)
    records = sum(info.filename.endswith(".hea") for info in wanted)
    return {"records": records, "missing": 0 if chosen is None else len(chosen) - records}


def _files(pool: Pool, base: str) -> list[PublicFile]:
    url = f"{base.rstrip('/')}/files?page_size=1000"
    answer = pool.client.json(url)
    try:
        return [_file(entry) for entry in answer]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise DataError(f"{url} is no list of a figshare article's files") from None


def _file(entry: dict[str, Any]) -> PublicFile:
    name = safe_name(str(entry["name"]), "the article's list of files")
    value = str(entry.get("computed_md5") or entry["supplied_md5"]).lower()
    if re.fullmatch(r"[0-9a-f]{32}", value) is None:
        raise ValueError(value)
    return PublicFile(name, int(entry["size"]), str(entry["download_url"]), Checksum("md5", value))


def _fetch_files(pool: Pool, label: str, root: Path, files: list[PublicFile], cut: str | None = None) -> None:
    def place(file: PublicFile) -> Path:
        return root / STATE / WHOLE_TABLES / file.name if file.name == cut else root / file.name

    def work(file: PublicFile) -> bool:
        if file.checksum.matches(place(file)):
            return False
        return pool.client.download(file.url, place(file), Partial(root, file.name), file.checksum)

    pool.each(label, files, work, place, len(files), sum(file.size for file in files))


def _remote(pool: Pool, file: PublicFile) -> ReadPart:
    return partial(pool.client.part, file.url, size=file.size)


def _wanted(found: list[zipfile.ZipInfo], chosen: list[str] | None) -> list[zipfile.ZipInfo]:
    """The members to unpack, in the order of the archive; a name that leads out of the tree is refused."""
    for info in found:
        safe_name(info.filename, "the archive")
    if chosen is None:
        return found
    names = {f"{folder}{path}{end}" for path in chosen for folder in ("", SIGNALS) for end in (".hea", ".dat")}
    return [info for info in found if info.filename in names]


def _unpack(pool: Pool, parts: Parts, wanted: list[zipfile.ZipInfo], root: Path) -> None:
    def place(info: zipfile.ZipInfo) -> Path:
        return root / info.filename

    def work(info: zipfile.ZipInfo) -> bool:
        if _is_whole(place(info), info):
            return False
        content = _content(parts, info)
        with replacing(place(info)) as temporary:
            temporary.write_bytes(content)
        return True

    pool.each(f"unpack {root.name}", wanted, work, place, len(wanted), sum(info.file_size for info in wanted), False)


def _is_whole(path: Path, info: zipfile.ZipInfo) -> bool:
    return path.is_file() and path.stat().st_size == info.file_size and zlib.crc32(path.read_bytes()) == info.CRC


def _content(parts: Parts, info: zipfile.ZipInfo) -> bytes:
    """A member's bytes; a wrong CRC-32 may be the line's doing, so it is read again."""
    for left in reversed(range(WRONG_BYTES_TRIES)):
        try:
            return read_member(parts, info)
        except zipfile.BadZipFile as error:
            if not left:
                raise DataError(f"the archive's {error}") from None
    raise AssertionError
