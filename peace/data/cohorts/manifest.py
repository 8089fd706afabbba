"""What a cohort reader gives, and the manifest file that the index job leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from peace.core.errors import DataError, nearest
from peace.core.files import replacing
from peace.core.storage import local_copy
from peace.data.cohorts.cells import OLDEST_DAYS
from peace.data.cohorts.tables import CsvTable

SCHEMA = pa.schema(
    [
        pa.field("record_id", pa.string(), nullable=False),
        pa.field("patient_id", pa.string(), nullable=False),
        pa.field("cohort", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("age_days", pa.int64()),
        pa.field("sex", pa.string()),
        pa.field("n_leads", pa.int64(), nullable=False),
        pa.field("labels", pa.list_(pa.string()), nullable=False),
        pa.field("split", pa.string()),
        pa.field("excluded", pa.string()),
        pa.field("doubtful", pa.list_(pa.string()), nullable=False),
        pa.field("masked_leads", pa.list_(pa.string()), nullable=False),
    ]
)
LONGEST_SHOWN = 60  # characters of a cell in a message
LATER = ("doubtful", "masked_leads")  # columns that an older manifest may lack: then no record has any
# The reasons by which a record is excluded, each with its meaning.
EXCLUSIONS: dict[str, str] = {
    "malformed_row": "a row that could not be parsed",
    "no_record_id": "no record id",
    "duplicate_record_id": "its id was met before",
    "no_patient_id": "no patient id",
    "bad_path": "a file name that is empty, absolute or leaves the tree",
    "duplicate_path": "its file was met before",
    "bad_age": "not an age",
    "bad_codes": "codes that could not be parsed",
    "bad_lead_count": "neither 12 nor 9 leads",
    "nine_leads": "nine leads, while leads.require is 12",
    "no_fold": "no official fold",
    "no_measurements": "no row in machine_measurements.csv",
    "unusable_report": "the cart could not read the recording",
    "no_label": "none of the labels",
}


@dataclass
class CohortIndex:
    """The records of a cohort's tree, excluded ones too, before they are split.

    `frame`: record_id, patient_id, path (relative to `base`), age_days (nullable Int64), sex (male, female or null),
    n_leads, excluded (null or the reason); of reports also doubtful (labels left open) and masked_leads, names with
    spaces between them. `targets`: (records, labels) flags. `audit`: one row a code or report line met, see
    peace.data.cohorts.audit. `notes`: counts of what was odd and yet not a record's exclusion. `official_split`: a
    split by the data set's authors, null where a record has none. `examples`: by reason the first row that it excludes.
    """

    cohort: str
    base: Path
    frame: pd.DataFrame
    targets: npt.NDArray[np.bool_]
    audit: pd.DataFrame
    notes: dict[str, int] = field(default_factory=dict)
    official_split: pd.Series | None = None
    examples: dict[str, str] = field(default_factory=dict)

    @property
    def kept(self) -> npt.NDArray[np.bool_]:
        result: npt.NDArray[np.bool_] = self.frame["excluded"].isna().to_numpy(dtype=bool)
        return result


class Exclusions:
    """The reason by which each record of a table is left out; the first one given stands."""

    def __init__(self, table: CsvTable) -> None:
        self._table = table
        self._reasons = np.full(len(table.frame), None, dtype=object)
        self.examples: dict[str, str] = {}

    def add(self, where: Any, reason: str, column: str) -> None:
        """Exclude the records at which the (records,) flags are set, unless they are excluded already.

        `column` holds the cell that an example shows.
        """
        flags = np.asarray(where, dtype=bool) & (self._reasons == None)  # noqa: E711 - elementwise
        self._reasons[flags] = reason
        if flags.any():
            first = self._table.frame.loc[flags.argmax(), ["line", column]]
            told = example(self._table, int(first["line"]), f"{column} {shown(first[column])}")
            self.examples.setdefault(reason, told)

    def column(self) -> pd.Series:
        return pd.Series(self._reasons, dtype="str")


def example(table: CsvTable, line: int, what: str) -> str:
    """A row of a table as a message names it."""
    return f"{table.path.name} line {line}: {what}"


def shown(cell: str) -> str:
    """A cell as a message shows it: one short line."""
    return repr(cell if len(cell) <= LONGEST_SHOWN else cell[:LONGEST_SHOWN] + "...")


def with_malformed(index: CohortIndex, table: CsvTable) -> CohortIndex:
    """Add the rows of the cohort's table that could not be parsed, excluded as malformed_row."""
    if not table.malformed:
        return index
    index.examples["malformed_row"] = example(table, *table.malformed[0])
    ids = [f"@line-{line}" for line, _ in table.malformed]
    rows = pd.DataFrame({"record_id": ids, "patient_id": "", "path": "", "n_leads": 0, "excluded": "malformed_row"})
    index.frame = pd.concat([index.frame, rows.astype(index.frame[list(rows)].dtypes)], ignore_index=True)
    index.targets = np.vstack([index.targets, np.zeros((len(rows), index.targets.shape[1]), dtype=bool)])
    if index.official_split is not None:
        index.official_split = index.official_split.reindex(index.frame.index)
    return index


def unique_ids(ids: pd.Series, lines: pd.Series) -> pd.Series:
    """Record ids made unique: one that is missing or met before gets the line of the table appended."""
    odd = (ids == "") | ids.duplicated()
    return ids.where(~odd, ids + "@line-" + lines.astype("str"))


def age_in_days(ages: pd.Series) -> pd.Series:
    """Nullable whole days of float days; null where not finite or out of any human range."""
    sound = ages.notna() & (ages >= 0) & (ages <= OLDEST_DAYS)
    return ages.where(sound).round().astype("Int64")


def label_lists(targets: npt.NDArray[np.bool_], labels: Sequence[str]) -> pa.Array:
    """A list<string> array of the label names of (records, labels) flags, without a Python loop over records."""
    rows, columns = np.nonzero(targets)
    ends = np.searchsorted(rows, np.arange(len(targets) + 1))
    values = pa.array(list(labels), pa.string()).take(pa.array(columns))
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), values)


def manifest_table(index: CohortIndex, labels: Sequence[str], split: pd.Series) -> pa.Table:
    """The manifest of an index and its (records,) split column: a row a record, excluded ones too."""
    frame = index.frame
    prefix = str(index.base).rstrip("/") + "/"
    columns = {
        "record_id": pa.array(frame["record_id"], pa.string()),
        "patient_id": pa.array(frame["patient_id"], pa.string()),
        "cohort": pa.repeat(pa.scalar(index.cohort), len(frame)),
        "path": pa.array((prefix + frame["path"]).where(frame["path"] != "", ""), pa.string()),
        "age_days": pa.array(frame["age_days"], pa.int64(), from_pandas=True),
        "sex": pa.array(frame["sex"], pa.string(), from_pandas=True),
        "n_leads": pa.array(frame["n_leads"], pa.int64()),
        "labels": label_lists(index.targets, labels),
        "split": pa.array(split, pa.string(), from_pandas=True),
        "excluded": pa.array(frame["excluded"], pa.string(), from_pandas=True),
        **{name: _names(frame[name] if name in frame else pd.Series("", index=frame.index)) for name in LATER},
    }
    return pa.table(columns, schema=SCHEMA)


def _names(column: pd.Series) -> pa.Array:
    """A list<string> array of names with spaces between them."""
    lists = {text: text.split() for text in column.fillna("").unique()}
    return pa.array([lists[text] for text in column.fillna("")], pa.list_(pa.string()))


def write_manifest(path: Path, table: pa.Table) -> None:
    """Write a manifest whole or not at all."""
    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_manifest(path: Path) -> pa.Table:
    """Read a manifest. Raises DataError where it is missing, no Parquet file, or lacks a column."""
    try:
        with local_copy(path) as local:
            table = pq.read_table(local)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist: `peace index` writes it") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path} is not a manifest: {error}") from None
    for name in LATER:
        if name not in table.column_names:
            table = table.append_column(name, _names(pd.Series([""] * len(table), dtype="str")))
    for name in SCHEMA.names:
        if name not in table.column_names:
            raise DataError(f"manifest {path} has no column '{name}'{nearest(name, table.column_names)}")
    return table.select(SCHEMA.names).cast(SCHEMA)
