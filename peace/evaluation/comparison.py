"""One figure over several evaluations: AUC of each label, and their mean, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from peace.evaluation.figures import save


def compare_auc(evaluations: Mapping[str, Mapping[str, Any]], path: Path) -> Path:
    """Dots with intervals, a row a label and a colour an evaluation; `evaluations` maps names to metrics.json."""
    labels = list(next(iter(evaluations.values()))["labels"])
    names = ["mean of labels", *labels]
    figure = Figure(figsize=(8.5, 0.55 * len(names) + 1.6), layout="constrained")
    axes = figure.subplots()
    offsets = np.linspace(-0.3, 0.3, len(evaluations))
    for (title, metrics), offset in zip(evaluations.items(), offsets, strict=True):
        rows = [_mean(metrics), *(_label(metrics, label) for label in labels)]
        places = [place + offset for place, row in enumerate(rows) if row is not None]
        values = np.array([row for row in rows if row is not None], dtype=float)
        spread = np.abs(values[:, 1:] - values[:, :1]).T
        axes.errorbar(values[:, 0], places, xerr=spread, fmt="o", markersize=4, elinewidth=1, label=title)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.axvline(0.5, color="grey", linewidth=0.8, linestyle=":")
    axes.axhline(0.5, color="lightgrey", linewidth=0.8)
    axes.set_xlabel("AUC (0.5 is chance)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.0 + 0.9 / len(names)), ncols=3, frameon=False, fontsize=8)
    return save(figure, path)


def _mean(metrics: Mapping[str, Any]) -> tuple[float, float, float]:
    value = metrics["macro_auc"]
    low, high = metrics["macro_auc_low"], metrics["macro_auc_high"]
    return value, value if low is None else low, value if high is None else high


def _label(metrics: Mapping[str, Any], label: str) -> tuple[float, float, float] | None:
    found = metrics["labels"].get(label)
    if found is None or found["auc"] is None:
        return None
    low, high = found["auc_low"], found["auc_high"]
    return found["auc"], found["auc"] if low is None else low, found["auc"] if high is None else high
