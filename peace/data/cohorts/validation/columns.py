"""Checks of a table's columns, alike for all cohorts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from peace.core.errors import DataError, nearest
from peace.data.cohorts.cells import absent, read_ids, safe_paths, tidy_paths
from peace.data.cohorts.tables import columns_of, encoding_of, read_table
from peace.data.cohorts.validation.issues import Departures, cell

DATE = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"


class Checked:
    """A table of a tree, with the issues that its columns are checked into."""

    def __init__(self, found: Departures, name: str, frame: pd.DataFrame) -> None:
        self.found, self.name, self.frame = found, name, frame

    def given(self, column: str) -> pd.Series:
        """(rows,) flags of cells that hold something."""
        return ~absent(self.frame[column])

    def matches(self, kind: str, column: str, pattern: str, words: str) -> None:
        """Every cell that is not absent matches a pattern: it is `words`."""
        bad = self.given(column) & ~self.frame[column].str.fullmatch(pattern)
        self.flag(kind, column, bad, lambda value: f"{column} {value} is not {words}")

    def ids(self, kind: str, column: str) -> None:
        """Every cell holds an id that no spreadsheet has changed; the frame has the ids as the reader takes them."""
        ids = read_ids(self.frame[column])
        self.flag(kind, column, ids.values == "", lambda value: f"{column} is {value}, where one is needed")
        self.flag(
            kind, column, ids.mangled != "", lambda value: f"{column} {value} was mangled by a spreadsheet: it is no id"
        )
        self.frame = self.frame.assign(**{column: ids.values.mask(ids.mangled != "", "")})

    def flag(self, kind: str, column: str, bad: pd.Series, told: Callable[[str], str]) -> None:
        """Note the flagged rows; `told` puts the cell of `column` into words."""
        self.found.rows(kind, self.name, self.frame, bad, column, told)

    def unique(self, kind: str, column: str) -> None:
        """No cell repeats an earlier row's."""
        filled = self.frame[self.given(column)]
        again = filled[filled[column].duplicated()]
        first = filled.drop_duplicates(column).set_index(column)["line"]
        self.found.merge(
            (kind, self.name, int(line), f"{column} {cell(value)} stands on line {first[value]} already")
            for value, line in zip(again[column], again["line"], strict=True)
        )

    def dates(self, column: str) -> None:
        """Every cell is YYYY-MM-DD hh:mm:ss and exists in the calendar."""
        values = self.frame[column]
        known = pd.to_datetime(values, format="%Y-%m-%d %H:%M:%S", errors="coerce").notna()
        bad = self.given(column) & ~(known & values.str.fullmatch(DATE))
        self.flag("date", column, bad, lambda value: f"{column} {value} is not a date such as 2022-09-03 03:31:50")

    def paths(self, column: str, folder: str = "") -> npt.NDArray[np.bool_]:
        """Every cell is a file inside the tree, and no other row's; returns the (rows,) flags of those.

        The frame has the paths as the reader takes them: tidied, without the `folder` that the column leaves out.
        """
        self.frame = self.frame.assign(**{column: tidy_paths(self.frame[column]).str.removeprefix(folder)})
        safe = safe_paths(self.frame[column])
        self.flag("path", column, ~safe, lambda value: f"{column} {value} is not a file inside the tree")
        self.unique("duplicate_path", column)
        result: npt.NDArray[np.bool_] = (safe & ~self.frame[column].duplicated()).to_numpy(dtype=bool)
        return result


def open_table(
    found: Departures, root: Path, name: str, columns: Sequence[str], optional: Sequence[str] = ()
) -> Checked | None:
    """Read a table for checking; None, with what was found, where its rows cannot be looked at."""
    path = root / name
    try:
        encoding = encoding_of(path)
        header = columns_of(path, (*columns, *optional))
    except DataError as error:
        found.add("table", name, None, str(error).removeprefix(f"{path} "))
        return None
    if encoding != "utf-8-sig":
        found.add("encoding", name, _first_not_utf8(path), f"not UTF-8; read as {encoding}")
    wanted = [column for column in columns if column not in header]
    for column in wanted:
        found.add("column", name, 1, f"no column '{column}'{nearest(column, header)}")
    for column in dict.fromkeys([*columns, *optional]):
        if header.count(column) > 1:
            found.add("column", name, 1, f"the column '{column}' stands {header.count(column)} times")
            wanted.append(column)
    if wanted:
        return None
    try:
        table = read_table(path, columns, optional)
    except DataError as error:
        found.add("table", name, None, str(error).removeprefix(f"{path} "))
        return None
    found.merge(("malformed_row", name, line, what) for line, what in table.malformed)
    return Checked(found, name, table.frame)


def _first_not_utf8(path: Path) -> int | None:
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return number
    return None
