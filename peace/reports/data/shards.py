"""The report that `peace preprocess` leaves: every cohort in the output, after the signals were read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from peace.core.errors import DataError
from peace.core.files import digest, read_json, write_json
from peace.core.storage import opened
from peace.data.cohorts import COHORTS
from peace.data.labels import LabelSet
from peace.data.shards import ShardSet
from peace.reports.data.shard_numbers import Rows, cohort_numbers, left_out, read_rows, rejected, synthetic_cohorts
from peace.reports.data.shards_page import write_page
from peace.reports.data.strips import Strip, header_numbers, kept_strips, rejected_strips

VERSION = 1


def write_shard_report(
    out: Path, manifests: Sequence[Path], records: pd.DataFrame, labels: LabelSet, strips: int
) -> Path:
    """Write report.json and report.html into `out`, the folder of finished shards; returns the page.

    `manifests` are those of `peace index`, `records` their kept rows (record_id, cohort, path), `strips` how many
    kept and how many rejected records of each cohort are drawn. A report of the same shards and rejects stays.
    """
    shards = ShardSet.open(out)
    with opened(out / "rejects.parquet") as source:
        rejects = pq.read_table(source, partitioning=None)
    excluded, bad = left_out(manifests), rejected(rejects)
    synthetic = synthetic_cohorts(manifests)
    made_of = digest([VERSION, shards.digest, excluded, bad, strips, synthetic])
    if _made_of(out) == made_of:
        return out / "report.html"
    rows = read_rows(shards)
    cohorts = cohort_numbers(rows, excluded, bad, shards)
    drawn = [strip for cohort in cohorts for strip in _strips(rows, rejects, cohort, shards, strips)]
    for cohort, numbers in cohorts.items():
        numbers["title"] = COHORTS[cohort].title if cohort in COHORTS else cohort
        numbers["headers"] = _headers(rows, cohort, records)
    numbers = {
        "report": "preprocess",
        "version": VERSION,
        "made_of": made_of,
        "label_set": {"name": labels.name, "digest": labels.digest, "labels": labels.full_names},
        "recipe": shards.recipe,
        "synthetic": synthetic,
        "shards": {"files": len(shards.manifest["shards"]), "digest": shards.digest},
        "cohorts": cohorts,
        "strips": [{"cohort": strip.cohort, "record_id": strip.record_id, "shows": strip.title} for strip in drawn],
    }
    page = write_page(out / "report.html", numbers, drawn)
    write_json(out / "report.json", numbers)  # last: it says that the page is there
    return page


def _made_of(out: Path) -> str | None:
    try:
        found: Mapping[str, Any] = read_json(out / "report.json")
        return found["made_of"] if (out / "report.html").exists() else None
    except (DataError, KeyError, TypeError):
        return None


def _strips(rows: Rows, rejects: pa.Table, cohort: str, shards: ShardSet, most: int) -> list[Strip]:
    rate = shards.recipe["signal"]["rate"]
    return [*kept_strips(rows, cohort, shards.labels, rate, most), *rejected_strips(rejects, cohort, most)]


def _headers(rows: Rows, cohort: str, records: pd.DataFrame) -> dict[str, Any]:
    own = records[records["cohort"] == cohort]
    paths = dict(zip(own["record_id"], own["path"], strict=True))
    return header_numbers(rows.table.take(pa.array(rows.of(cohort))), paths)
