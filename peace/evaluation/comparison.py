"""Several runs side by side: AUC of each label and macro AUC, with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from peace.reports.drawing import GREY, plain, save

# colours that stay apart for the colour-blind (Okabe and Ito)
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#000000")
SPREAD = 0.7  # share of a label's height that its marks take


def compare_auc(runs: Mapping[str, Mapping[str, Any]], path: Path) -> Path:
    """Draw the metrics of several runs by title: the macro AUC above, each label below, a colour a run.

    A label that a run could not score has no mark there. All runs must be of one label set.
    """
    labels = list(next(iter(runs.values()))["labels"])
    figure = Figure(figsize=(8, 1.6 + 0.125 * (len(labels) + 1) * max(3, len(runs))), layout="constrained")
    axes = figure.add_subplot()
    for place, (title, metrics) in enumerate(runs.items()):
        colour = COLOURS[place % len(COLOURS)]
        offset = (place - (len(runs) - 1) / 2) * SPREAD / max(1, len(runs) - 1)
        macro = (metrics["macro_auc"], metrics["macro_auc_low"], metrics["macro_auc_high"])
        _mark(axes, offset, macro, colour, "D", title)
        for row, label in enumerate(labels, start=1):
            values = metrics["labels"].get(label, {})
            _mark(axes, row + offset, tuple(values.get(key) for key in ("auc", "auc_low", "auc_high")), colour, "o")
    axes.set_yticks(range(len(labels) + 1), ["macro", *labels])
    axes.get_yticklabels()[0].set_fontweight("bold")
    axes.axhline(0.5, color=GREY, linewidth=0.8)
    for row in range(1, len(labels)):
        axes.axhline(row + 0.5, color="#e6eaee", linewidth=0.8)
    axes.set_ylim(len(labels) + 0.5, -0.5)
    axes.axvline(0.5, color=GREY, linewidth=1, linestyle=":")
    axes.set_xlim(right=1.005)
    axes.set_xlabel("AUC on the test split (dotted: chance)")
    figure.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=9)
    plain(axes)
    axes.tick_params(axis="y", length=0)
    return save(figure, path)


def _mark(axes: Axes, at: float, value: tuple[Any, ...], colour: str, marker: str, title: str | None = None) -> None:
    auc, low, high = value
    if auc is None:
        return
    if low is not None and high is not None:
        axes.plot([low, high], [at, at], color=colour, linewidth=1.8, alpha=0.45, solid_capstyle="butt")
    axes.plot(auc, at, marker, color=colour, markersize=5, label=title)
