"""The predictions of a run: read, checked, and laid out as one row a record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from peace.core.errors import DataError
from peace.core.storage import nearby
from peace.data.labels import DOUBTFUL

COLUMNS = ("record_id", "split", "label", "probability", "target")


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
    """Read predictions.parquet: one row a record and label.

    Raises DataError where the file cannot be read, lacks a column or a test split, scores a record twice or not for
    every label, or holds a probability outside [0, 1] or a target other than 0, 1 and null.
    """
    try:
        with nearby(path) as local:
            if not local.is_file():
                raise FileNotFoundError
            frame = pd.read_parquet(local)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist: `peace adapt` and `peace pretrain` write it") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is not a Parquet file of predictions: {error}") from None
    return from_frame(frame, str(path))


def from_frame(frame: pd.DataFrame, source: str) -> Predictions:
    """Check a long table of predictions and lay it out; `source` names it in errors, which are read_predictions'."""
    missing = [name for name in COLUMNS if name not in frame]
    if missing:
        raise DataError(f"{source} lacks the column {', '.join(missing)}")
    if not len(frame):
        raise DataError(f"{source} holds no predictions")
    record, record_ids = pd.factorize(frame["record_id"])
    label, labels = pd.factorize(frame["label"])
    if (record < 0).any() or (label < 0).any():
        raise DataError(f"{source} has rows without record_id or label")
    _check_complete(record, label, record_ids, labels, source)
    probability = frame["probability"].to_numpy(np.float64)
    target = frame["target"].to_numpy(np.float64)
    _check_values(frame, probability, target, source)

    # position of each (record, label) in the file, records and labels in the order of their first appearance
    order = np.lexsort((label, record)).reshape(len(record_ids), len(labels))
    first = frame.iloc[order[:, 0]]
    split = first["split"].to_numpy(object)
    if not (frame["split"].to_numpy(object)[order] == split[:, None]).all():
        raise DataError(f"{source} puts one record in two splits")
    if "test" not in set(split):
        raise DataError(f"{source} has no test split, only {', '.join(sorted(map(str, set(split))))}")
    by_patient = "patient_id" in frame and not bool(first["patient_id"].isna().any())
    # numbered by name, so that a resample is of the same patients however the rows are ordered
    unit = first["patient_id" if by_patient else "record_id"].astype(str).to_numpy(object)
    group = np.unique(unit, return_inverse=True)[1]
    if "age_days" in frame:
        age_days = pd.to_numeric(first["age_days"], errors="coerce").to_numpy(np.float64, na_value=np.nan)
    else:
        age_days = np.full(len(record_ids), np.nan)
    return Predictions(
        record_id=np.asarray(record_ids, dtype=object),
        split=split,
        group=np.asarray(group, dtype=np.int64),
        age_days=age_days,
        probability_nk=probability[order],
        target_nk=np.nan_to_num(target[order], nan=DOUBTFUL).astype(np.int64),
        labels=tuple(map(str, labels)),
        by_patient=by_patient,
    )


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
        row = frame.iloc[int(np.flatnonzero(wrong)[0])]
        raise DataError(
            f"{source} gives record {row['record_id']} the probability {row['probability']} for {row['label']}: "
            f"it must lie in 0 to 1 ({int(wrong.sum())} rows so)"
        )
    if not (np.isin(target, (0, 1)) | np.isnan(target)).all():
        raise DataError(f"{source} has targets other than 0 and 1 (or null: a doubtful label)")
