"""Statistics of a cohort, from exact sums: the same whatever the number and order of the shards."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from peace.core.storage import opened
from peace.data.signal import LEADS, Conditioned

MICROVOLTS = 1000.0


class LeadSums:
    """Count, sum and sum of squares of each lead, in whole microvolts: exact in 64-bit integers up to 10^9 samples."""

    def __init__(self) -> None:
        self.records = 0
        self.count = [0] * len(LEADS)
        self.total = [0] * len(LEADS)
        self.squares = [0] * len(LEADS)

    def add(self, record: Conditioned) -> None:
        """Take in the leads that are there, without the zero-padding."""
        sums, squares, _lowest, _highest = record.totals
        for lead in np.flatnonzero(record.lead_mask).tolist():
            self.count[lead] += record.n_samples
            self.total[lead] += int(sums[lead])
            self.squares[lead] += int(squares[lead])
        self.records += 1

    def merge(self, values: Mapping[str, Any]) -> None:
        """Add sums that `as_json` gave."""
        self.records += values["records"]
        for name in ("count", "total", "squares"):
            mine = getattr(self, name)
            setattr(self, name, [a + b for a, b in zip(mine, values[name], strict=True)])

    def as_json(self) -> dict[str, Any]:
        """Plain integers, which JSON holds exactly."""
        return {"records": self.records, "count": self.count, "total": self.total, "squares": self.squares}

    def mean_mv(self) -> list[float]:
        """Mean of each lead in mV, 0 where there is none."""
        return [
            total / count / MICROVOLTS if count else 0.0 for total, count in zip(self.total, self.count, strict=True)
        ]

    def std_mv(self) -> list[float]:
        """Standard deviation of each lead in mV, 0 where there is none."""
        columns = zip(self.count, self.total, self.squares, strict=True)
        return [
            math.sqrt(max(0, squares * count - total**2)) / count / MICROVOLTS if count else 0.0
            for count, total, squares in columns
        ]


def peak_to_peak_mv(record: Conditioned) -> npt.NDArray[np.float32]:
    """(12,) highest minus lowest value of each lead in mV, without the zero-padding; 0 for a missing lead."""
    _sums, _squares, lowest, highest = record.totals
    return ((highest - lowest) / MICROVOLTS).astype(np.float32)


def fit_statistics(sums: Mapping[str, LeadSums], files: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """By cohort: mean, standard deviation and median peak-to-peak of each lead, over the records of these files."""
    heights = _peaks_by_cohort(files)
    return {
        cohort: {
            "records": values.records,
            "mean_mv": values.mean_mv(),
            "std_mv": values.std_mv(),
            "peak_to_peak_mv": [_median(heights[cohort][:, lead]) for lead in range(len(LEADS))],
        }
        for cohort, values in sorted(sums.items())
        if values.records
    }


def _median(heights: npt.NDArray[np.float32]) -> float:
    """Median over the records that have the lead (and some signal in it)."""
    present = heights[heights > 0]
    return float(np.median(present)) if present.size else 0.0


def _peaks_by_cohort(files: Iterable[Path]) -> dict[str, npt.NDArray[np.float32]]:
    import pyarrow.parquet as pq

    found: dict[str, list[npt.NDArray[np.float32]]] = {}
    for file in files:
        with opened(file) as source:
            table = pq.read_table(source, columns=["cohort", "peak_to_peak_mv"])
        heights = table["peak_to_peak_mv"].combine_chunks().to_numpy_ndarray()
        cohorts = np.array(table["cohort"].to_pylist())
        for cohort in np.unique(cohorts):
            found.setdefault(str(cohort), []).append(heights[cohorts == cohort])
    return {cohort: np.concatenate(parts) for cohort, parts in found.items()}
