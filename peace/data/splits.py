"""Patient-level, multi-label stratified splits: the same in any process, under any hash seed and row order.

Every patient goes to one split. Records and each label's records are shared out by the ratios as evenly as whole
patients allow. Why not the iterative-stratification package: it balances patients, while what is trained and scored
is records, of which one patient may have hundreds, and it gives a label of three patients to the training part alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from peace.core.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

    from peace.config import SplitConfig

SPLITS = ("train", "val", "test")


def split_patients(
    patients: pd.Series,
    targets: npt.NDArray[np.bool_],
    config: SplitConfig,
    settled: Mapping[str, str] | None = None,
) -> pd.Series:
    """The split (train, val or test) of each record.

    `patients`: (records,) patient ids; `targets`: (records, labels) flags; `settled` patients stay where they are.

    Each patient goes where the sum over labels (and over all records) of (records given - records due)^2 / records
    due grows least; patients of rare labels choose first, then those with many records, then in an order drawn from
    the seed. Before that, every split gets a patient of each label that has patients enough, rarest label first, and
    at least one patient.
    """
    import pandas as pd

    ids, inverse = np.unique(patients.to_numpy(dtype=str), return_inverse=True)
    if not len(ids):
        return pd.Series([], index=patients.index, dtype="str")
    counted = np.column_stack([targets.astype(np.int64), np.ones(len(targets), dtype=np.int64)])
    records = _sum_by(counted, inverse, len(ids))  # (patients, labels + 1): the last column counts all records
    choice = _Choice(records, np.asarray(config.ratios, dtype=np.float64))
    settled = settled or {}
    for patient, name in enumerate(ids.tolist()):
        if name in settled:
            choice.give(patient, SPLITS.index(settled[name]))
    order = _order(records, config.seed)
    _cover_rare_labels(choice, records, order)
    for patient in order:
        if choice.of[patient] < 0:
            choice.give(patient, choice.best(patient))
    return pd.Series(np.array(SPLITS)[np.array(choice.of)[inverse]], index=patients.index, dtype="str")


def check_filled(split: pd.Series, patients: pd.Series, ratios: Sequence[float], why: str = "") -> None:
    """Raise DataError, with the reason, where a split is empty that `ratios` want filled.

    `split`, `patients`: (records,) of the kept records.
    """
    wanted = [name for name, ratio in zip(SPLITS, ratios, strict=True) if ratio > 0]
    empty = [name for name in wanted if not (split == name).any()]
    if empty:
        count = patients.nunique()
        people = f"the {len(patients):,} kept records are of {count:,} patient{'s' * (count != 1)}"
        if not why and count < len(wanted):
            why = f"{people}, and each of {', '.join(wanted)} needs one of its own"
        raise DataError(
            f"no record is in {' or '.join(empty)}: {why or people}. Look at the patient ids, or keep everybody in "
            "train with split.ratios=[1,0,0]"
        )


def check_patients(manifest: pd.DataFrame) -> None:
    """Raise DataError, naming a patient, where one is in two splits.

    `manifest` has patient_id, split (null where excluded) and, where it spans cohorts, cohort.
    """
    key = ["cohort", "patient_id"] if "cohort" in manifest else ["patient_id"]
    placed = manifest.loc[manifest["split"].notna(), [*key, "split"]].drop_duplicates()
    twice = placed[placed.duplicated(key, keep=False)]
    if not twice.empty:
        first = twice.sort_values([*key, "split"]).iloc[0]
        splits = sorted(twice.loc[(twice[key] == first[key]).all(axis=1), "split"])
        count = len(twice.drop_duplicates(key))
        raise DataError(
            f"patient {first['patient_id']} is in {' and '.join(splits)}"
            f"{f' (and {count - 1} more patients are in two splits)' if count > 1 else ''}: "
            "a patient's records must share a split, or the scores are worth nothing; write the manifest again"
        )


class _Choice:
    """Which split each patient is given, and what each split has against what it is due.

    Plain Python numbers: patients are placed one after the other, a few labels each.
    """

    def __init__(self, records: npt.NDArray[np.int64], ratios: npt.NDArray[np.float64]) -> None:
        due = np.outer(ratios / ratios.sum(), records.sum(axis=0))
        self.open = [position for position, ratio in enumerate(ratios) if ratio > 0]
        self.of = [-1] * len(records)
        self.parts: list[list[tuple[int, int]]] = [[] for _ in range(len(records))]  # (column, records) of a patient
        for patient, column in zip(*np.nonzero(records), strict=True):
            self.parts[patient].append((int(column), int(records[patient, column])))
        self._due: list[list[float]] = due.tolist()
        self._given = [[0] * records.shape[1] for _ in ratios]

    def best(self, patient: int) -> int:
        """The split in which the patient raises the cost least; the first of equals."""
        return min(self.open, key=lambda split: self._cost(patient, split))

    def give(self, patient: int, split: int) -> None:
        self.of[patient] = split
        given = self._given[split]
        for column, count in self.parts[patient]:
            given[column] += count

    def _cost(self, patient: int, split: int) -> float:
        """Growth of the sum of (given - due)^2 / due, less a part that is the same for every split."""
        given, due = self._given[split], self._due[split]
        return sum(count * (2 * given[column] + count) / due[column] for column, count in self.parts[patient])


def _order(records: npt.NDArray[np.int64], seed: int) -> list[int]:
    """Patients of rare labels first, then those with many records, else as the seed draws."""
    totals = records[:, :-1].sum(axis=0)
    rarity = np.where(records[:, :-1] > 0, totals, np.iinfo(np.int64).max).min(axis=1, initial=np.iinfo(np.int64).max)
    drawn = np.random.default_rng(seed).permutation(len(records))
    return [int(patient) for patient in np.lexsort((drawn, -records[:, -1], rarity))]


def _cover_rare_labels(choice: _Choice, records: npt.NDArray[np.int64], order: Sequence[int]) -> None:
    """Give every split a patient of each label that has as many patients as there are splits, where one is left.

    The last column counts all records, so that no split stays empty.
    """
    having = records > 0
    place = np.empty(len(order), dtype=np.int64)
    place[list(order)] = np.arange(len(order))
    for label in np.argsort(having.sum(axis=0), kind="stable"):
        members = np.flatnonzero(having[:, label])
        if len(members) < len(choice.open):
            continue
        # the patient who weighs least elsewhere: few records, few other labels
        members = members[np.lexsort((place[members], having[members].sum(axis=1), records[members, -1]))]
        present = {choice.of[patient] for patient in members}
        waiting = iter([int(patient) for patient in members if choice.of[patient] < 0])
        for split in reversed(choice.open):
            if split not in present and (patient := next(waiting, None)) is not None:
                choice.give(patient, split)


def _sum_by(values: npt.NDArray[np.int64], group: npt.NDArray[np.intp], groups: int) -> npt.NDArray[np.int64]:
    """(groups, columns) sums of (rows, columns) values."""
    sums = np.zeros((groups, values.shape[1]), dtype=np.int64)
    np.add.at(sums, group, values)
    return sums
