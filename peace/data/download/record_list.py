"""The first records of a cohort's own list: a table cut to them, so that the tree is whole in itself."""

from __future__ import annotations

import csv
from pathlib import Path

from peace.core.errors import DataError
from peace.core.files import replacing
from peace.data.download.names import safe_name

BYTE_ORDER_MARK = "ï»¿"  # of UTF-8, read as Latin-1
LONGEST_FIELD = 1 << 20


def cut_list(whole: Path, place: Path, column: str, n_records: int) -> list[str]:
    """Write the header and the rows of the first `n_records` records of `whole` to `place`; returns their paths.

    Bytes are passed on as they are: what separates fields is ASCII in each encoding that these tables come in. Raises
    DataError where the column is missing or a path leads out of the tree.
    """
    csv.field_size_limit(LONGEST_FIELD)
    paths: dict[str, None] = {}
    with (
        whole.open(encoding="latin-1", newline="") as source,
        replacing(place) as temporary,
        temporary.open("w", encoding="latin-1", newline="") as target,
    ):
        rows = csv.reader(source)
        writer = csv.writer(target, lineterminator="\n")
        try:
            header = next(rows, [])
            names = [name.removeprefix(BYTE_ORDER_MARK).strip() for name in header]
            if column not in names:
                raise DataError(f"{whole.name} has no column '{column}'")
            position = names.index(column)
            writer.writerow(header)
            for row in rows:
                if len(paths) == n_records:
                    break
                if len(row) == len(header) and (path := row[position].strip()) not in paths:
                    paths[safe_name(path, whole.name)] = None
                    writer.writerow(row)
        except csv.Error as error:
            raise DataError(f"{whole.name} cannot be read as a table: {error}") from None
    return list(paths)
