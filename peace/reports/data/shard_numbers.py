"""The numbers of a preprocessing run, from the shards' columns without their signals, the rejects and the manifests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from peace.core.files import read_json
from peace.core.progress import progress
from peace.core.storage import opened
from peace.data.cohorts import COHORTS
from peace.data.shards import ShardSet, schema
from peace.data.signal import LEADS, QUALITY
from peace.data.signal.quality_policy import AFTER_FILTER, BEFORE_FILTER, PADDING
from peace.reports.data.numbers import distribution, histogram, population, population_numbers

PLAIN = ("record_id", "patient_id", "cohort", "split", "age_days", "sex", "labels", "n_samples", "flags")
TENSORS = ("lead_mask", "peak_to_peak_mv")
BINS = 30
SMALL = 20  # whole numbers up to this are counted one by one


@dataclass(frozen=True)
class Rows:
    """The kept records of all shards: row i of everything is the same recording."""

    table: pa.Table
    """The columns without shape."""
    lead_mask: npt.NDArray[np.uint8]
    """(N, 12)"""
    peak_to_peak_mv: npt.NDArray[np.float32]
    """(N, 12)"""
    files: tuple[tuple[Path, int], ...]
    """Each shard with its number of rows, in the order of the rows."""

    def of(self, cohort: str) -> npt.NDArray[np.intp]:
        """Positions of a cohort's records."""
        return np.flatnonzero(pc.equal(self.table["cohort"], cohort).to_numpy(zero_copy_only=False))


def read_rows(shards: ShardSet) -> Rows:
    """Read every column but the signals: about 300 bytes a record."""
    tables: list[pa.Table] = []
    masks, heights = [np.zeros((0, len(LEADS)), np.uint8)], [np.zeros((0, len(LEADS)), np.float32)]
    files = []
    for item in progress(shards.manifest["shards"], "read the shards' columns", unit="shard"):
        with opened(shards.path / item["path"]) as source:
            table = pq.read_table(source, columns=[*PLAIN, *QUALITY, *TENSORS], partitioning=None)
        masks.append(table["lead_mask"].combine_chunks().to_numpy_ndarray())
        heights.append(table["peak_to_peak_mv"].combine_chunks().to_numpy_ndarray())
        tables.append(table.drop_columns(list(TENSORS)))
        files.append((shards.path / item["path"], len(table)))
    empty = schema().empty_table().select([*PLAIN, *QUALITY])
    return Rows(
        pa.concat_tables(tables) if tables else empty, np.concatenate(masks), np.concatenate(heights), tuple(files)
    )


def left_out(manifests: Sequence[Path]) -> dict[str, dict[str, int]]:
    """Cohort -> why index excluded a record -> records."""
    counts: dict[str, dict[str, int]] = {}
    for path in manifests:
        with opened(path) as source:
            table = pq.read_table(source, columns=["cohort", "excluded"], partitioning=None)
        grouped = table.group_by(["cohort", "excluded"]).aggregate([([], "count_all")]).to_pylist()
        for row in sorted(grouped, key=lambda row: (-row["count_all"], row["excluded"] or "")):
            reasons = counts.setdefault(row["cohort"], {})
            if row["excluded"] is not None:
                reasons[row["excluded"]] = reasons.get(row["excluded"], 0) + row["count_all"]
    return counts


def synthetic_cohorts(manifests: Sequence[Path]) -> list[str]:
    """Cohorts whose index says, beside the manifest, that their recordings are synthetic."""
    cohorts = set()
    for path in manifests:
        report = path.parent / "report.json"
        told = read_json(report) if report.exists() else {}
        if told.get("synthetic"):
            cohorts.add(str(told["cohort"]))
    return sorted(cohorts)


def rejected(rejects: pa.Table) -> dict[str, dict[str, int]]:
    """Cohort -> reason of a reject -> records, most frequent first."""
    counts: dict[str, dict[str, int]] = {}
    grouped = rejects.group_by(["cohort", "reason"]).aggregate([([], "count_all")]).to_pylist()
    for row in sorted(grouped, key=lambda row: (-row["count_all"], row["reason"])):
        counts.setdefault(row["cohort"], {})[row["reason"]] = row["count_all"]
    return counts


def cohort_numbers(
    rows: Rows, excluded: Mapping[str, Mapping[str, int]], rejects: Mapping[str, Mapping[str, int]], shards: ShardSet
) -> dict[str, dict[str, Any]]:
    """Everything of each cohort but its strips and headers."""
    edges = _quality_edges(rows)
    numbers = {}
    for cohort in sorted(excluded, key=lambda name: list(COHORTS).index(name) if name in COHORTS else len(COHORTS)):
        at = rows.of(cohort)
        table = rows.table.take(pa.array(at))
        out, bad = dict(excluded[cohort]), dict(rejects.get(cohort, {}))
        indexed = len(at) + sum(out.values()) + sum(bad.values())
        signal = shards.recipe["signal"]
        numbers[cohort] = {
            "records": {"indexed": indexed, "excluded": out, "rejected": bad, "kept": len(at)},
            **population_numbers(population(table, shards.labels), shards.labels),
            "leads": _leads(rows.lead_mask[at]),
            "seconds": _seconds(table["n_samples"].to_numpy() / signal["rate"], signal["seconds"]),
            "quality": _quality(table, edges, shards.recipe["quality"]),
            "flags": _flags(table["flags"]),
            "peak_to_peak_mv": _heights(rows.peak_to_peak_mv[at]),
        }
    return numbers


def _leads(mask: npt.NDArray[np.uint8]) -> dict[str, Any]:
    patterns, counts = np.unique(mask, axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return {
        "present": {lead: int(mask[:, k].sum()) for k, lead in enumerate(LEADS)},
        "patterns": [
            {
                "missing": [lead for lead, there in zip(LEADS, patterns[i], strict=True) if not there],
                "records": int(counts[i]),
            }
            for i in order
        ],
    }


def _seconds(values: npt.NDArray[np.float64], window: float) -> dict[str, Any]:
    shorter = int((values < window - 1e-9).sum())
    return {"window": window, "shorter_than_window": shorter, **distribution(values)}


def _heights(heights: npt.NDArray[np.float32]) -> dict[str, Any]:
    """Of each lead, over the records that have it."""
    columns = np.where(heights > 0, heights, np.nan)
    return {lead: distribution(columns[:, k]) for k, lead in enumerate(LEADS)}


def _quality_edges(rows: Rows) -> dict[str, npt.NDArray[np.floating]]:
    """Bins of each column that varies, shared by the cohorts: up to the 99.5th percentile, the rest in the last."""
    edges: dict[str, npt.NDArray[np.floating]] = {}
    for name in QUALITY:
        values = _column(rows.table, name)
        known = values[~np.isnan(values)]
        if not len(known) or known.min() == known.max():
            continue
        high = float(np.percentile(known, 99.5)) or float(known.max())
        if (known == np.round(known)).all() and known.max() <= SMALL:
            edges[name] = np.arange(0, known.max() + 2) - 0.5
        else:
            edges[name] = np.linspace(0.0, high, BINS + 1)
    return edges


def _quality(
    table: pa.Table, edges: Mapping[str, npt.NDArray[np.floating]], limits: Mapping[str, Any]
) -> dict[str, Any]:
    """Distribution of each column, its meaning, limit and action."""
    rules = {rule.column: rule for rule in (*PADDING, *BEFORE_FILTER, *AFTER_FILTER)}
    numbers: dict[str, Any] = {}
    for name, meaning in QUALITY.items():
        values = _column(table, name)
        entry = {"meaning": meaning, "limit": None, "action": None, "over_limit": None, **distribution(values)}
        if name in rules:
            policy = limits[rules[name].section]
            over = int(((values > policy["limit"]) | (values < policy.get("least", -np.inf))).sum())
            entry |= {"limit": policy["limit"], "action": policy["action"], "over_limit": over}
        if name in edges:
            counts = histogram(values, edges[name])
            entry["histogram"] = {"edges": [float(edge) for edge in edges[name]], "counts": counts}
        numbers[name] = entry
    return numbers


def _column(table: pa.Table, name: str) -> npt.NDArray[np.float64]:
    result: npt.NDArray[np.float64] = pc.cast(table[name], pa.float64()).to_numpy(zero_copy_only=False)
    return result


def _flags(column: pa.ChunkedArray) -> dict[str, int]:
    if not len(column):
        return {}
    counted = pc.value_counts(pc.list_flatten(column)).to_pylist()
    return {item["values"]: item["counts"] for item in sorted(counted, key=lambda item: -item["counts"])}
