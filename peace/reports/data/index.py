"""The report that `peace index` leaves: one cohort's tables, before any signal is read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from peace.core.files import write_json
from peace.data.cohorts import COHORTS
from peace.data.cohorts.audit import LABELLED, NO_RULE, SET_ASIDE, UNMAPPED
from peace.data.labels import LabelSet
from peace.reports.data.index_page import write_page
from peace.reports.data.numbers import population, population_numbers

VERSION = 1
AUDIT_ROWS = 30


def write_index_report(
    out: Path, table: pa.Table, audit: pd.DataFrame, labels: LabelSet, result: Mapping[str, Any]
) -> Path:
    """Write report.json and report.html into `out`; returns the page.

    `table`: the manifest; `audit`: the label audit; `result`: the counts of result.json.
    """
    numbers = index_numbers(table, audit, labels, result)
    write_json(out / "report.json", numbers)
    return write_page(out / "report.html", numbers)


def index_numbers(table: pa.Table, audit: pd.DataFrame, labels: LabelSet, result: Mapping[str, Any]) -> dict[str, Any]:
    """What report.json holds (docs/data-report.md)."""
    cohort = COHORTS[result["cohort"]]
    kept = table.filter(pc.is_null(table["excluded"]))
    return {
        "report": "index",
        "version": VERSION,
        "cohort": result["cohort"],
        "title": cohort.title,
        "root": result["root"],
        "synthetic": result["synthetic"],
        "label_set": {"name": labels.name, "digest": labels.digest, "labels": labels.full_names},
        "records": {name: result[name] for name in ("indexed", "excluded", "kept")},
        "published": {
            "records": cohort.whole,
            "kept": cohort.published,
            "reference": dict(cohort.reference) if labels.name == "peace12" else {},
            "reference_source": cohort.reference_source,
            "comparable": result["published"] is not None,
        },
        **population_numbers(population(kept, labels.labels), labels.labels),
        "audit": _audit_numbers(audit),
        "notes": dict(result["notes"]),
    }


def _audit_numbers(audit: pd.DataFrame) -> dict[str, Any]:
    """Strings and occurrences of each part of the audit by vocabulary, and its first rows."""
    counted = audit.groupby(["vocabulary", "check"])["count"].agg(["size", "sum"])
    parts: dict[str, dict[str, Any]] = {}
    for (vocabulary, check), (strings, occurrences) in counted.iterrows():
        parts.setdefault(str(vocabulary), {})[str(check)] = {
            "strings": int(strings),
            "occurrences": int(occurrences),
        }
    return {
        "strings": parts,
        "no_rule_share": {
            str(name): float(share) for name, share in audit.groupby("vocabulary")["no_rule_share"].first().items()
        },
        "most_frequent_no_rule": _first(audit, NO_RULE),
        "most_frequent_unmapped": _first(audit, UNMAPPED),
        "most_frequent_set_aside": _first(audit, SET_ASIDE),
        "most_frequent_labelled": _first(audit, LABELLED),
    }


def _first(audit: pd.DataFrame, check: str) -> list[dict[str, Any]]:
    """The most frequent strings of a part; a column that is not read says nothing about what is missed."""
    unread = audit["decided"].astype("str").str.startswith("column not read")  # an empty audit has columns of no kind
    rows = audit[(audit["check"] == check) & ~unread]
    rows = rows.sort_values(["count", "text"], ascending=[False, True]).head(AUDIT_ROWS)
    return [
        {
            **{name: row[name] for name in ("vocabulary", "text", "meaning", "labels", "doubtful", "decided")},
            "count": int(row["count"]),
            "examples": row["examples"].split(),
        }
        for row in rows.to_dict("records")
    ]
