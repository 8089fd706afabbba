"""The predictions of a run: read, checked, and laid out as one row a record."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from peace.core.errors import DataError
from peace.core.storage import local_copy
from peace.data.labels import DOUBTFUL

COLUMNS = ("record_id", "split", "label", "probability", "target")
NUMBERS = ("probability", "target", "age_days")
SPLITS = ("train", "val", "test")
DELIMITERS = (",", ";", "\t", "|")
MISSING = ("", "nan", "na", "n/a", "none", "null", "<na>", "-")  # as tables write that a value is missing


@dataclass(frozen=True)
class Predictions:
    """Scored records: N of them, K labels.

    `group` numbers the patients (0 to P-1), the unit that is resampled; where the file names no patients each record
    stands for itself and `by_patient` is False. `age_days` is NaN where unknown. A target is 1, 0 or DOUBTFUL.
    """

    record_id: NDArray[np.object_]
    split: NDArray[np.object_]
    group: NDArray[np.int64]
    age_days: NDArray[np.float64]
    probability_nk: NDArray[np.float64]
    target_nk: NDArray[np.int64]
    labels: tuple[str, ...]
    by_patient: bool

    def __len__(self) -> int:
        return len(self.record_id)

    @property
    def patients(self) -> int | None:
        """How many patients the records are of; None where the file does not say."""
        return len(np.unique(self.group)) if self.by_patient else None

    def where(self, split: str) -> Predictions:
        """The records of one split, possibly none."""
        return self.take(np.flatnonzero(self.split == split))

    def known(self, k: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Probabilities and targets, 0 or 1, of the records for which label `k` is not doubtful."""
        rows = self.target_nk[:, k] != DOUBTFUL
        return self.probability_nk[rows, k], self.target_nk[rows, k]

    def take(self, rows: NDArray[np.int64]) -> Predictions:
        """The records at these rows, in this order."""
        return Predictions(
            self.record_id[rows],
            self.split[rows],
            self.group[rows],
            self.age_days[rows],
            self.probability_nk[rows],
            self.target_nk[rows],
            self.labels,
            self.by_patient,
        )

    def only(self, labels: Sequence[str]) -> Predictions:
        """All records with these labels alone, in this order."""
        columns = [self.labels.index(label) for label in labels]
        return replace(
            self,
            probability_nk=self.probability_nk[:, columns],
            target_nk=self.target_nk[:, columns],
            labels=tuple(labels),
        )


def read_predictions(path: Path) -> Predictions:
    """Read predictions.parquet, or the same columns as CSV: one row a record and label.

    Raises DataError where the file cannot be read, lacks a column or a test split, scores a record twice or not for
    every label, or holds a probability outside [0, 1] or a target other than 0, 1 and null.
    """
    try:
        with local_copy(path) as local:
            if local.is_dir():
                raise DataError(f"{path} is a folder: name the file of predictions in it")
            if not local.is_file():
                raise FileNotFoundError
            with local.open("rb") as stream:
                is_parquet = stream.read(4) == b"PAR1"
            frame = pd.read_parquet(local) if is_parquet else _read_csv(local)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist: `peace adapt` and `peace pretrain` write it") from None
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(f"{path} is not a Parquet file of predictions, nor a CSV table of them: {reason}") from None
    return from_frame(frame, str(path))


def _read_csv(path: Path) -> pd.DataFrame:
    """Read all cells as text; the delimiter is what the header line has most of. Raises ValueError, OSError.

    Where commas do not part the columns, a number may have a decimal comma.
    """
    with path.open("rb") as stream:
        encoding = "utf-16" if stream.read(2) in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    with path.open(encoding=encoding) as text:
        first = text.readline()
        hint = first.lower().startswith("sep=")  # Excel's own word to itself
        header = text.readline() if hint else first
    delimiter = max(DELIMITERS, key=header.count)
    options: dict[str, Any] = {"dtype": str, "keep_default_na": False, "index_col": False, "skiprows": int(hint)}
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            frame = pd.read_csv(path, sep=delimiter, encoding=encoding, **options)
        except pd.errors.ParserWarning:  # pandas would drop the last cells
            raise ValueError(
                "rows have more cells than the header has names (a decimal comma wants another delimiter, or quotes)"
            ) from None
    frame.columns = frame.columns.str.strip()
    for name in frame.columns:
        frame[name] = frame[name].str.strip()
        if name in NUMBERS and delimiter != ",":
            frame[name] = frame[name].str.replace(",", ".", regex=False)
    return frame


def from_frame(frame: pd.DataFrame, source: str) -> Predictions:
    """Check a long table of predictions and lay it out; `source` names it in errors, which are read_predictions'."""
    missing = [name for name in COLUMNS if name not in frame]
    if missing:
        have = ", ".join(map(str, frame.columns[:12]))
        raise DataError(f"{source} lacks the column {', '.join(missing)} (it has: {have})")
    if not len(frame):
        raise DataError(f"{source} holds no predictions")
    named = frame[["record_id", "label", "split"]].mask(lambda values: values == "")
    record, record_ids = _numbered(named["record_id"], source)
    label, labels = _numbered(named["label"], source)
    if (record < 0).any() or (label < 0).any():
        raise DataError(f"{source} has rows without record_id or label")
    if unknown := sorted({str(name) for name in named["split"].unique()} - {*SPLITS}):
        raise DataError(f"{source} names the split {', '.join(unknown[:3])}: known are {', '.join(SPLITS)}")
    _check_complete(record, label, record_ids, labels, source)
    probability = _as_numbers(frame, "probability", source)
    target = _as_numbers(frame, "target", source)
    _check_values(frame, probability, target, source)

    # position of each (record, label) in the file, records and labels in the order of their first appearance
    order = np.lexsort((label, record)).reshape(len(record_ids), len(labels))
    first = frame.iloc[order[:, 0]]
    split = first["split"].to_numpy(object)
    if not (frame["split"].to_numpy(object)[order] == split[:, None]).all():
        raise DataError(f"{source} puts one record in two splits")
    if "test" not in set(split):
        raise DataError(f"{source} has no test split, only {', '.join(sorted(map(str, set(split))))}")
    patient = _patients(frame, order, source)
    by_patient = patient is not None
    # numbered by name, so that a resample is of the same patients however the rows are ordered
    group = np.unique(first["record_id"].astype(str) if patient is None else patient, return_inverse=True)[1]
    known_age = "age_days" in frame
    return Predictions(
        record_id=np.asarray(record_ids, dtype=object),
        split=split,
        group=np.asarray(group, dtype=np.int64),
        age_days=_as_numbers(first, "age_days", source) if known_age else np.full(len(first), np.nan),
        probability_nk=probability[order],
        target_nk=np.nan_to_num(target[order], nan=DOUBTFUL).astype(np.int64),
        labels=tuple(map(str, labels)),
        by_patient=by_patient,
    )


def _numbered(values: pd.Series, source: str) -> tuple[NDArray[np.int64], pd.Index]:
    """Number the distinct values in the order of their appearance, -1 for a missing one; returns numbers and values."""
    try:
        codes, uniques = pd.factorize(values)
    except TypeError:
        raise DataError(f"{source} has a {values.name} that is neither text nor a number") from None
    return codes, pd.Index(uniques)


def _as_numbers(frame: pd.DataFrame, name: str, source: str) -> NDArray[np.float64]:
    """A column as float64, NaN where it is missing. Raises DataError for text that is no number."""
    try:
        column: NDArray[np.float64] = frame[name].to_numpy(np.float64, na_value=np.nan)
        return column
    except (TypeError, ValueError):
        pass
    text = frame[name].astype(str).str.strip()
    words = text.str.lower().replace({"true": "1", "false": "0"})
    numbers = pd.to_numeric(words, errors="coerce")
    wrong = numbers.isna() & ~words.isin(MISSING)
    if wrong.any():
        found = str(text[wrong].iloc[0])[:40]
        comma = ": write a decimal point" if found.count(",") == 1 else ""
        raise DataError(f"{source} has the {name} '{found}', which is no number{comma} ({int(wrong.sum())} rows so)")
    found_numbers: NDArray[np.float64] = numbers.to_numpy(np.float64)
    return found_numbers


def _patients(frame: pd.DataFrame, order: NDArray[np.int64], source: str) -> NDArray[np.object_] | None:
    """The patient of each record, as text; None where the file does not name one for every record."""
    if "patient_id" not in frame:
        return None
    patient = frame["patient_id"].astype("string").fillna("").str.strip().to_numpy(object)[order]
    if not (patient == patient[:, :1]).all():
        raise DataError(f"{source} gives one record two patients")
    unnamed = np.isin([name.lower() for name in patient[:, 0]], MISSING)
    return None if unnamed.any() else patient[:, 0]


def _check_complete(
    record: NDArray[np.int64], label: NDArray[np.int64], record_ids: pd.Index, labels: pd.Index, source: str
) -> None:
    """Each record must be scored exactly once for each label."""
    times = np.bincount(record * len(labels) + label, minlength=len(record_ids) * len(labels))
    times = times.reshape(len(record_ids), len(labels))
    for what, wrong in (("scores more than once", times > 1), ("does not score", times == 0)):
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            raise DataError(
                f"{source} {what} record {record_ids[row]} for {labels[column]} "
                f"({int(wrong.any(axis=1).sum())} of {len(record_ids)} records so)"
            )


def _check_values(
    frame: pd.DataFrame, probability: NDArray[np.float64], target: NDArray[np.float64], source: str
) -> None:
    # written so that NaN fails as well
    wrong = ~((probability >= 0) & (probability <= 1))
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        row = frame.iloc[first]
        raise DataError(
            f"{source} gives record {row['record_id']} the probability {probability[first]:g} for {row['label']}: "
            f"it must lie in 0 to 1 ({int(wrong.sum())} rows so)"
        )
    if not (np.isin(target, (0, 1)) | np.isnan(target)).all():
        raise DataError(f"{source} has targets other than 0 and 1 (or null: a doubtful label)")
