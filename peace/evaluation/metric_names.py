"""The names of metrics in MLflow, the same in runs, registered versions and the leaderboard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ENDS = ("", "_low", "_high")  # a value, and the ends of its interval
MACRO_AUC = "test/macro_auc"
RECORDS = "test/records"
LABEL_AUC = "test/auc"


def flatten_metrics(metrics: Mapping[str, Any]) -> dict[str, float]:
    """What metrics.json holds, as MLflow metrics; what is None is left out.

    `test/macro_NAME`, `test/auc/LABEL` (each with `_low` and `_high`), `test/ece`, `test/brier`, `test/age/BAND` (macro
    AUC of an age band) and `test/records`.
    """
    found = {f"test/{name}": value for name, value in metrics.items() if name.startswith("macro_")}
    for label, values in metrics["labels"].items():
        found |= {f"{LABEL_AUC}{end}/{label}": values[f"auc{end}"] for end in ENDS}
    found |= {f"test/{name}": value for name, value in metrics["calibration"].items()}
    for name, band in metrics["age_bands"].items():
        found[f"test/age/{name.partition(' (')[0]}"] = band["macro_auc"]
    found[RECORDS] = metrics["records"]
    return {name: float(value) for name, value in found.items() if value is not None}


def macro_auc_of(logged: Mapping[str, float]) -> dict[str, float | None]:
    """`macro_auc`, `macro_auc_low` and `macro_auc_high` of a run's metrics, None where it has none."""
    return {f"macro_auc{end}": logged.get(f"{MACRO_AUC}{end}") for end in ENDS}


def label_auc_of(logged: Mapping[str, float]) -> dict[str, dict[str, float | None]]:
    """By label, the same of its AUC."""
    prefix = f"{LABEL_AUC}/"
    names = sorted(name.removeprefix(prefix) for name in logged if name.startswith(prefix))
    return {name: {f"auc{end}": logged.get(f"{LABEL_AUC}{end}/{name}") for end in ENDS} for name in names}
