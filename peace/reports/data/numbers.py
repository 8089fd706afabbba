"""The numbers of both reports: distributions, labels and who the patients are. Plain values, ready for JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from peace.data.cohorts.cells import DAYS_PER_YEAR
from peace.data.splits import SPLITS

PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
COMBINATIONS = 30
CHILD_YEARS = 20  # a cohort without anybody older is drawn year by year
SEXES = ("male", "female", "unknown")
VISITS = ((1, 1), (2, 2), (3, 4), (5, 9), (10, 19), (20, None))

Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Population:
    """Kept records: row i of every column is the same recording."""

    patient: pa.ChunkedArray
    split: npt.NDArray[np.str_]
    age_days: Floats
    """NaN where unknown."""
    sex: npt.NDArray[np.str_]
    """male, female or unknown."""
    targets: Flags
    """(records, labels)"""


def population(table: pa.Table, labels: Sequence[str]) -> Population:
    """Of a table with patient_id, split, age_days, sex and labels."""
    return Population(
        patient=table["patient_id"],
        split=np.array(table["split"].to_pylist(), dtype=np.str_),
        age_days=pc.cast(table["age_days"], pa.float64()).to_numpy(zero_copy_only=False),
        sex=np.array(pc.fill_null(table["sex"], "unknown").to_pylist(), dtype=np.str_),
        targets=label_flags(table["labels"], labels),
    )


def label_flags(column: pa.ChunkedArray, labels: Sequence[str]) -> Flags:
    """(records, labels) flags of a list<string> column, without a Python loop over records."""
    flags = np.zeros((len(column), len(labels)), dtype=bool)
    start = 0
    for chunk in column.chunks:
        rows = pc.list_parent_indices(chunk).to_numpy()
        places = pc.index_in(pc.list_flatten(chunk), value_set=pa.array(labels, pa.string()))
        known = places.is_valid().to_numpy(zero_copy_only=False)
        flags[start + rows[known], pc.fill_null(places, 0).to_numpy()[known]] = True
        start += len(chunk)
    return flags


def population_numbers(people: Population, labels: Sequence[str]) -> dict[str, Any]:
    """Labels, splits, ages, sexes and records a patient."""
    numbers = {
        "splits": {name: int((people.split == name).sum()) for name in SPLITS},
        "labels": _by_label(people.targets, labels),
        "labels_by_split": labels_by_split(people, labels),
        "labels_per_record": _counted(people.targets.sum(axis=1)),
        "cooccurrence": cooccurrence(people.targets, labels),
        **combinations(people.targets, labels),
        "age_years": _ages(people),
        "sex": {
            name: {sex: int(((people.sex == sex) & chosen).sum()) for sex in SEXES} for name, chosen in _parts(people)
        },
    }
    return {**numbers, **_patients(people)}


def labels_by_split(people: Population, labels: Sequence[str]) -> dict[str, dict[str, int]]:
    """Label -> split -> records."""
    counts = {name: people.targets[people.split == name].sum(axis=0) for name in SPLITS}
    return {label: {name: int(counts[name][k]) for name in SPLITS} for k, label in enumerate(labels)}


def cooccurrence(targets: Flags, labels: Sequence[str]) -> dict[str, dict[str, int]]:
    """Label -> label -> records that have both; the diagonal holds the records of each."""
    counted = targets.astype(np.float32)
    both = np.rint(counted.T @ counted).astype(int)
    return {a: {b: int(both[i, j]) for j, b in enumerate(labels)} for i, a in enumerate(labels)}


def combinations(targets: Flags, labels: Sequence[str]) -> dict[str, Any]:
    """The most frequent sets of labels, and how many different ones there are."""
    if not len(targets):
        return {"combinations": [], "different_combinations": 0}
    sets, counts = np.unique(np.packbits(targets, axis=1), axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:COMBINATIONS]
    flags = np.unpackbits(sets[order], axis=1)[:, : len(labels)].astype(bool)
    found = [
        {"labels": [label for label, flag in zip(labels, row, strict=True) if flag], "records": int(count)}
        for row, count in zip(flags, counts[order], strict=True)
    ]
    return {"combinations": found, "different_combinations": len(sets)}


def distribution(values: Floats) -> dict[str, Any]:
    """Known and missing values, their mean, extremes and percentiles; nothing but the counts where none is known."""
    known = values[~np.isnan(values)].astype(np.float64)
    numbers: dict[str, Any] = {"known": len(known), "missing": len(values) - len(known)}
    if len(known):
        numbers |= {"mean": significant(known.mean()), "min": significant(known.min()), "max": significant(known.max())}
        points = np.percentile(known, PERCENTILES)
        numbers |= {f"p{at}": significant(value) for at, value in zip(PERCENTILES, points, strict=True)}
    return numbers


def histogram(values: Floats, edges: Floats) -> list[int]:
    """Values in each bin; what lies beyond the outer edges counts in the outer bins, NaN nowhere."""
    known = values[~np.isnan(values)]
    counts, _ = np.histogram(np.clip(known, edges[0], edges[-1]), edges)
    return [int(count) for count in counts]


def significant(value: float) -> float:
    """Five significant digits: what a report needs, and stable between machines."""
    return float(f"{value:.5g}")


def age_edges(years: Floats) -> Floats:
    """Bins of a year where all are children, of five years elsewhere."""
    oldest = float(np.nanmax(years)) if np.isfinite(years).any() else 0.0
    return np.arange(0.0, CHILD_YEARS + 1) if oldest < CHILD_YEARS else np.arange(0.0, 101.0, 5.0)


def _by_label(targets: Flags, labels: Sequence[str]) -> dict[str, int]:
    return dict(zip(labels, (int(count) for count in targets.sum(axis=0)), strict=True))


def _counted(values: npt.NDArray[np.integer]) -> dict[str, int]:
    kinds, counts = np.unique(values, return_counts=True)
    return {str(kind): int(count) for kind, count in zip(kinds, counts, strict=True)}


def _parts(people: Population) -> list[tuple[str, Flags]]:
    everybody = np.ones(len(people.split), dtype=bool)
    return [("all", everybody), *((name, people.split == name) for name in SPLITS)]


def _ages(people: Population) -> dict[str, Any]:
    years = people.age_days / DAYS_PER_YEAR
    edges = age_edges(years)
    parts = {name: years[chosen] for name, chosen in _parts(people)}
    bins: Mapping[str, Any] = {name: histogram(values, edges) for name, values in parts.items()}
    return {
        **{name: distribution(values) for name, values in parts.items()},
        "histogram": {"edges": [float(edge) for edge in edges], **bins},
    }


def _patients(people: Population) -> dict[str, Any]:
    frame = pd.DataFrame({"patient": people.patient.to_pandas(), "split": people.split})
    records = frame.groupby("patient", sort=False).size().to_numpy()
    counts = {}
    for low, high in VISITS:
        name = f"{low}" if high == low else f"{low} or more" if high is None else f"{low} to {high}"
        counts[name] = int(((records >= low) & (records <= (high or np.inf))).sum())
    return {
        "patients": {
            "all": len(records),
            **frame.groupby("split")["patient"].nunique().reindex(SPLITS).fillna(0).astype(int).to_dict(),
        },
        "records_per_patient": {"counts": counts, "most": int(records.max()) if len(records) else 0},
    }
