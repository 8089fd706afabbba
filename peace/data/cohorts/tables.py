"""The CSV tables of the cohorts: every line is read or counted, whatever its delimiter, quotes, encoding or length."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from peace.core.errors import DataError, nearest
from peace.core.progress import progress
from peace.core.storage import local_copy

WESTERN = "cp1252"  # of a table that is neither UTF-8 nor Chinese; every Latin-1 text is read alike
DELIMITERS = ",;\t|"
DELIMITER_LINE = re.compile(r'"?sep=([,;|:\t])"?[,;\t]*', re.IGNORECASE)  # what a spreadsheet puts above a table
INVISIBLE = "\ufeff\u200b \t"
BLOCK = 20_000  # rows turned into columns at a time: Python objects of so many rows live at once
LONGEST_RECORD = 10_000  # lines that a quoted field may run over
CHUNK = 1 << 22
BAR_FROM_BYTES = 20_000_000
LONGEST_SHOWN = 40  # letters of a column's name in a message


@dataclass(frozen=True)
class CsvTable:
    """Named columns of a CSV file as stripped strings, one row a record that could be parsed.

    `frame` has a str column per name and `line`, its line in the file; `malformed` lists (line, what is wrong).
    """

    path: Path
    frame: pd.DataFrame
    malformed: list[tuple[int, str]]


def read_table(path: Path, columns: Sequence[str], optional: Sequence[str] = ()) -> CsvTable:
    """Read the named columns of a CSV file; an optional column that is absent reads as empty.

    UTF-8 with or without a byte order mark, UTF-16 with one, else GB 18030 (a Chinese spreadsheet's), else cp1252.
    Fields are parted by commas, semicolons, tabs or bars: by what a line such as `sep=;` says, else by what parts the
    header into the named columns. A record with a wrong number of fields is listed as malformed. Raises DataError where
    the file is missing, empty, without rows, or lacks a column (named, with the nearest there is).
    """
    try:
        with local_copy(path) as local:
            return _read(local, path, columns, optional)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None


def _read(local: Path, path: Path, columns: Sequence[str], optional: Sequence[str]) -> CsvTable:
    """`local` is where the table of `path` lies on this machine."""
    size = local.stat().st_size
    if not local.is_file():  # a pipe would be waited for, a device read for ever
        raise DataError(f"{path} is not a plain file")
    bar: Any = progress(None, f"read {path.name}", unit="row") if size >= BAR_FROM_BYTES else None
    encoding = _encoding(local, path)
    with local.open("rb") as raw, io.TextIOWrapper(raw, encoding, errors="replace", newline="") as stream:
        records = _records(stream, (*columns, *optional))
        header = _names(next(records, (0, []))[1])
        positions = _positions(path, header, columns, optional)
        blocks: list[pa.Table] = []
        malformed: list[tuple[int, str]] = []
        read = 0
        while block := list(islice(records, BLOCK)):
            blocks.append(_columns(block, positions, len(header), malformed))
            read += len(block)
            if bar is not None:
                bar.total = max(read, int(read * size / max(1, raw.tell())))
                bar.update(len(block))
    if bar is not None:
        bar.close()
    if not read:
        raise DataError(f"{path} has a header but no rows")
    return CsvTable(path, pa.concat_tables(blocks).to_pandas(), malformed)


def encoding_of(path: Path) -> str:
    """How read_table will read a local table's text. Raises DataError where it is empty or cannot be read."""
    return _encoding(path, path)


def columns_of(path: Path, columns: Sequence[str]) -> list[str]:
    """Names in the header of a local table, of which `columns` are looked for."""
    with path.open(encoding=_encoding(path, path), errors="replace", newline="") as stream:
        return _names(next(_records(stream, columns), (0, []))[1])


def _encoding(local: Path, path: Path) -> str:
    try:
        with local.open("rb") as stream:
            start = stream.read(CHUNK)
            if not start.strip():
                raise DataError(f"{path} is empty")
            if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                return "utf-16"
            for encoding, fits in (("utf-8-sig", _decodes), ("gb18030", _is_chinese)):
                stream.seek(0)
                if fits(iter(lambda: stream.read(CHUNK), b""), encoding):
                    return encoding
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from None
    return WESTERN


def _decodes(chunks: Iterable[bytes], encoding: str, met: Counter[str] | None = None) -> bool:
    """Whether the bytes are of an encoding; characters beyond ASCII are counted in `met`."""
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        for chunk in chain(chunks, [None]):
            text = decoder.decode(chunk or b"", final=chunk is None)
            if met is not None:
                met.update(re.findall(r"[^\x00-\x7f]", text))
    except UnicodeDecodeError:
        return False
    return True


def _is_chinese(chunks: Iterable[bytes], encoding: str) -> bool:
    """Whether text in a Chinese encoding says something: Western letters read so are rare characters, if any."""
    met: Counter[str] = Counter()
    if not _decodes(chunks, encoding, met):
        return False
    return 2 * sum(times for letter, times in met.items() if letter.encode("gb2312", "ignore")) > met.total()


def _records(stream: Iterable[str], columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """(line number, fields) of each record. A quote that nothing closes spoils its own line only."""
    lines = enumerate(stream, start=1)
    ahead: deque[tuple[int, str]] = deque()
    delimiter, width = "", 0
    while entry := ahead.popleft() if ahead else next(lines, None):
        number, text = entry
        text = text.rstrip("\r\n")
        if not text.strip().strip(INVISIBLE + "\x1a") and (not delimiter or delimiter not in text):
            continue
        if not delimiter:
            if said := DELIMITER_LINE.fullmatch(text.lstrip(INVISIBLE)):
                delimiter = said.group(1)
                continue
            delimiter = _delimiter(text, columns)
        fields = _quoted(text, delimiter, width, ahead, lines) if '"' in text else text.split(delimiter)
        width = width or len(fields)
        yield number, fields


def _delimiter(header: str, columns: Sequence[str]) -> str:
    """What parts a header into the most of the columns; a comma where nothing does."""

    def named(delimiter: str) -> int:
        return len(set(_names(_fields(header, delimiter))).intersection(columns))

    return max(DELIMITERS, key=named)


def _names(fields: Sequence[str]) -> list[str]:
    return [field.strip().strip(INVISIBLE) for field in fields]


def _quoted(
    text: str, delimiter: str, width: int, ahead: deque[tuple[int, str]], lines: Iterator[tuple[int, str]]
) -> list[str]:
    """Fields of a record with quotes, taking the lines that a quoted field runs over out of `ahead`; [] where torn."""
    joined, is_open = [text], text.count('"') % 2 == 1
    for taken in range(1, LONGEST_RECORD if is_open else 0):
        if len(ahead) < taken:
            following = next(lines, None)
            if following is None:
                break
            ahead.append(following)
        below = ahead[taken - 1][1].rstrip("\r\n")
        closes = below.count('"') % 2 == 1
        if not closes and width and len(_fields(below, delimiter)) == width:
            break  # a whole record: the quote above was a stray one
        joined.append(below)
        if closes:
            fields = _fields("\n".join(joined), delimiter)
            if not fields or (width and len(fields) != width):
                break
            for _ in range(taken):
                ahead.popleft()
            return fields
    return _fields(text, delimiter)


def _fields(text: str, delimiter: str) -> list[str]:
    if len(text) > csv.field_size_limit():
        csv.field_size_limit(len(text))  # the limit is the module's own: it is raised to what is met, never lowered
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=True))
    except (csv.Error, StopIteration):
        return []


def _positions(path: Path, header: list[str], columns: Sequence[str], optional: Sequence[str]) -> dict[str, int | None]:
    for name in columns:
        if name not in header:
            shown = [_printable(found) for found in header[:30]]
            raise DataError(f"{path} has no column '{name}'{nearest(name, shown)} (its columns: {', '.join(shown)})")
    for name in (*columns, *optional):
        if header.count(name) > 1:
            raise DataError(f"{path} has the column '{name}' twice")
    return {name: header.index(name) if name in header else None for name in (*columns, *optional)}


def _printable(name: str) -> str:
    """A column's name for a message: what a damaged table has there must not reach a terminal."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name[:LONGEST_SHOWN])


def _columns(
    block: list[tuple[int, list[str]]],
    positions: dict[str, int | None],
    width: int,
    malformed: list[tuple[int, str]],
) -> pa.Table:
    whole = [(number, fields) for number, fields in block if len(fields) == width]
    malformed += [
        (number, f"{len(fields)} fields where the header has {width}" if fields else "a quote that nothing closes")
        for number, fields in block
        if len(fields) != width
    ]
    arrays: dict[str, pa.Array] = {"line": pa.array([number for number, _ in whole], pa.int64())}
    for name, position in positions.items():
        values = [""] * len(whole) if position is None else [fields[position].strip() for _, fields in whole]
        arrays[name] = pa.array(values, pa.string())
    return pa.table(arrays)
