"""Departures of a tree from its contract, collected as they are met."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pandas as pd

LISTED = 10_000  # of each kind; what goes beyond is counted
LONGEST = 60  # characters of a cell that are shown

# Every kind of departure, with its meaning.
KINDS: dict[str, str] = {
    "tree": "the folder is missing, empty, or another cohort's; a table or the signals' folder is missing",
    "table": "a table is empty or cannot be read",
    "encoding": "a table is not UTF-8",
    "column": "a column is missing or stands twice",
    "malformed_row": "a row has another number of fields than the header, or a quote that nothing closes",
    "record_id": "an id is blank or not of its form",
    "duplicate_id": "an id was met in an earlier row",
    "patient_id": "a patient's id is blank or not of its form",
    "path": "a file name is empty, absolute or leaves the tree",
    "duplicate_path": "a file was named in an earlier row",
    "other_record": "a row names the file of another record",
    "missing_header": "the .hea file is not there",
    "missing_signal": "the .dat file is not there, or is empty",
    "age": "not an age, or one that nobody in the cohort can have",
    "sex": "none of the cohort's codes for sex",
    "date": "not a date and time",
    "leads": "a number of leads that the cohort does not have",
    "samples": "not a number of samples",
    "fold": "not one of the ten folds",
    "codes": "a code column that cannot be parsed",
    "unknown_code": "a code that the cohort's code book does not have",
    "likelihood": "a likelihood that is no percentage",
    "statements": "scp_statements.csv departs from what labels are read from",
    "no_measurements": "a record without a row in machine_measurements.csv",
    "measurements": "a row of machine_measurements.csv of no record, or of one that has another row",
    "header": "a header departs from the WFDB grammar, or is of another record",
    "header_leads": "a header's leads are not the cohort's",
    "header_rate": "a header's sampling rate is not the cohort's",
    "header_length": "a header's number of samples is not the cohort's, or not the table's",
    "header_units": "a lead is not in mV, or not in 16-bit samples",
    "signal_size": "the .dat file is not as long as its header says",
    "refused": "`peace index` makes no manifest of the tree",
    "too_many": "more records than the published tree has",
}


@dataclass(frozen=True)
class Issue:
    """One departure: where, of which kind, and what was found."""

    kind: str
    file: str
    """Relative to the tree."""
    line: int | None
    what: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.what}"


class Departures:
    """All issues counted by kind, and the first LISTED of each kind in full."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.listed: list[Issue] = []

    def add(self, kind: str, file: str, line: int | None, what: str) -> None:
        """Note one."""
        if kind not in KINDS:
            raise KeyError(kind)
        self.counts[kind] += 1
        if self.counts[kind] <= LISTED:
            self.listed.append(Issue(kind, file, line, what))

    def rows(
        self, kind: str, file: str, frame: pd.DataFrame, bad: pd.Series, column: str, told: Callable[[str], str]
    ) -> None:
        """Note the rows of a table at which the (rows,) flags are set; `told` puts the cell of `column` into words."""
        flagged = frame.loc[bad, ["line", column]]
        if flagged.empty:
            return
        shown = flagged.head(max(0, LISTED - self.counts[kind]))
        for line, value in zip(shown["line"].tolist(), shown[column].tolist(), strict=True):
            self.add(kind, file, line, told(cell(value)))
        self.counts[kind] += len(flagged) - len(shown)

    def merge(self, found: Iterable[tuple[str, str, int | None, str]]) -> None:
        """Note several."""
        for departure in found:
            self.add(*departure)


def cell(value: str) -> str:
    """A cell as a message shows it."""
    return repr(value if len(value) <= LONGEST else value[:LONGEST] + "...")
