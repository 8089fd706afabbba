"""Figures of a run, as PNG files. Matplotlib's Agg canvas only: no display is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import cm
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from peace.data.labels import DOUBTFUL
from peace.evaluation.calibration import reliability
from peace.evaluation.predictions import Predictions
from peace.reports.drawing import BLUE, GREY, ORANGE, PALE, plain, save


def auc_by_label(metrics: Mapping[str, Any], path: Path) -> Path:
    """AUC of each label with its interval, the number of positives beside it; labels left out are named below."""
    scored = [(name, values) for name, values in metrics["labels"].items() if values["auc"] is not None]
    figure = Figure(figsize=(7.5, 1.3 + 0.36 * len(scored)))
    axes = figure.add_subplot()
    for row, (_, values) in enumerate(scored):
        if values["auc_low"] is not None:
            axes.plot([values["auc_low"], values["auc_high"]], [row, row], color=BLUE, linewidth=2, alpha=0.5)
        axes.plot(values["auc"], row, "o", color=BLUE, markersize=6)
    axes.set_yticks(range(len(scored)), [name for name, _ in scored])
    axes.invert_yaxis()
    axes.axvline(0.5, color=GREY, linewidth=1, linestyle=":")
    axes.axvline(metrics["macro_auc"], color=ORANGE, linewidth=1.2)
    lowest = min([0.5, *(values["auc_low"] or values["auc"] for _, values in scored)])
    axes.set_xlim(max(-0.01, lowest - 0.03), 1.01)
    axes.set_xlabel("AUC on the test split" + _interval_words(metrics))
    for row, (_, values) in enumerate(scored):
        words = f"{values['auc']:.3f}   {values['positives']} positive{'' if values['positives'] == 1 else 's'}"
        axes.text(1.02, row, words, transform=axes.get_yaxis_transform(), va="center", fontsize=9, color="#333333")
    title = f"macro AUC {metrics['macro_auc']:.3f} (red line), chance dotted"
    if metrics["left_out"]:
        title += f"\nwithout both classes, left out: {', '.join(metrics['left_out'])}"
    axes.set_title(title, fontsize=10, loc="left")
    plain(axes)
    axes.grid(axis="x", color="#eeeeee")
    return save(figure, path)


def roc_curves(predictions: Predictions, metrics: Mapping[str, Any], path: Path) -> Path:
    """One small ROC panel a label, with the point where the fitted threshold lies."""
    test = predictions.where("test")
    scored = [name for name in test.labels if metrics["labels"][name]["auc"] is not None]
    columns = min(4, len(scored))
    rows = -(-len(scored) // columns)
    figure = Figure(figsize=(2.3 * columns + 0.5, 2.3 * rows + 0.6), layout="constrained")
    panels = np.atleast_1d(figure.subplots(rows, columns, sharex=True, sharey=True)).ravel()
    for axes, name in zip(panels, scored, strict=False):
        k, values = test.labels.index(name), metrics["labels"][name]
        probability, target = test.known(k)
        false, true, _ = roc_curve(target, probability)
        axes.plot([0, 1], [0, 1], color=PALE, linewidth=1)
        axes.plot(false, true, color=BLUE, linewidth=1.6)
        axes.plot(1 - values["specificity"], values["sensitivity"], "o", color=ORANGE, markersize=5)
        axes.set_title(f"{name}  {values['auc']:.3f}  (n={values['positives']})", fontsize=9)
        axes.set_aspect("equal")
        axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"], fontsize=8)
        axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"], fontsize=8)
        plain(axes)
    for axes in panels[len(scored) :]:
        axes.set_visible(False)
    figure.supxlabel("1 - specificity", fontsize=10)
    figure.supylabel("sensitivity", fontsize=10)
    return save(figure, path)


def calibration(predictions: Predictions, path: Path) -> Path:
    """Observed share of positives against predicted probability, all labels together, with the number in each bin."""
    test = predictions.where("test")
    sure = test.target_nk != DOUBTFUL
    curve = reliability(test.probability_nk[sure], test.target_nk[sure])
    known = curve.count > 0
    figure = Figure(figsize=(4.6, 5.6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    above.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":")
    above.plot(curve.predicted[known], curve.observed[known], "o-", color=BLUE, linewidth=1.6, markersize=5)
    above.set_ylabel("observed share of positives")
    above.set_xlim(0, 1)
    above.set_ylim(0, 1)
    above.set_title("Calibration, all labels together", fontsize=10, loc="left")
    below.bar((np.arange(len(curve.count)) + 0.5) / len(curve.count), curve.count, width=0.09, color=PALE)
    below.set_yscale("log")
    below.set_ylabel("predictions")
    below.set_xlabel("predicted probability")
    plain(above)
    plain(below)
    return save(figure, path)


def label_counts(predictions: Predictions, path: Path, train: Mapping[str, int] | None = None) -> Path:
    """Positives of each label in each split; `train` gives the training counts, which no prediction tells."""
    counts: dict[str, list[int]] = {}
    if train:
        counts["train"] = [train.get(label, 0) for label in predictions.labels]
    for split in ("val", "test"):
        if len(part := predictions.where(split)):
            counts[split] = [int(number) for number in (part.target_nk == 1).sum(axis=0)]
    figure = Figure(figsize=(2.6 * len(counts) + 1, 0.9 + 0.26 * len(predictions.labels)), layout="constrained")
    panels = figure.subplots(1, len(counts), sharey=True, squeeze=False)[0]
    for axes, (split, values) in zip(panels, counts.items(), strict=True):
        bars = axes.barh(range(len(values)), values, color=PALE)
        axes.bar_label(bars, fontsize=9, padding=3, color="#333333")
        axes.set_title(f"{split}: positive records", fontsize=10, loc="left")
        axes.set_yticks(range(len(values)), predictions.labels)
        axes.set_xticks([])
        axes.margins(x=0.2)
        axes.spines["bottom"].set_visible(False)
        plain(axes)
    panels[0].invert_yaxis()
    return save(figure, path)


def training_history(epochs: Sequence[Mapping[str, Any]], path: Path) -> Path | None:
    """Loss parts, gate and validation AUC by epoch, from the lines of history.jsonl; None where they tell nothing."""
    losses = _series(epochs, lambda key: "loss" in key or key in ("classification", "knowledge", "contrastive"))
    gate = _gate_by_step(epochs) or _series(epochs, lambda key: key == "gate")
    score = _series(epochs, lambda key: key in ("val_auc", "val_macro_auc"))
    panels = [
        (name, series) for name, series in (("loss", losses), ("gate", gate), ("validation macro AUC", score)) if series
    ]
    if not panels:
        return None
    figure = Figure(figsize=(3.4 * len(panels) + 0.4, 3.0), layout="constrained")
    for axes, (name, series) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for place, (key, (at, values)) in enumerate(series.items()):
            colour = cm.tab10.colors[place] if len(series) > 1 else BLUE  # type: ignore[attr-defined]
            # the two classification losses are often one above the other
            line = "o--" if key == "loss_knowledge" else "o-"
            line = "-" if len(at) > 2 * len(epochs) else line
            axes.plot(at, values, line, markersize=3, linewidth=1.5, color=colour, label=_words(key))
        if name != "loss":
            _at_least(axes, 0.1)
        axes.set_title(name, fontsize=10, loc="left")
        axes.set_xlabel("epoch", fontsize=9)
        axes.xaxis.get_major_locator().set_params(integer=True)
        if len(series) > 1:
            axes.legend(frameon=False, fontsize=8)
        plain(axes)
    return save(figure, path)


def _gate_by_step(epochs: Sequence[Mapping[str, Any]]) -> dict[str, tuple[list[float], list[float]]]:
    """The gate of every step, placed within its epoch."""
    at: list[float] = []
    values: list[float] = []
    for line in epochs:
        steps = line.get("gate_steps", [])
        at += [line["epoch"] - 1 + (place + 1) / len(steps) for place in range(len(steps))]
        values += steps
    return {"gate": (at, values)} if values else {}


def _series(epochs: Sequence[Mapping[str, Any]], wanted: Any) -> dict[str, tuple[list[float], list[float]]]:
    """Epochs and values of each wanted key that some line holds a number for."""
    keys = {key for line in epochs for key, value in line.items() if wanted(key) and isinstance(value, (int, float))}
    found: dict[str, tuple[list[float], list[float]]] = {}
    for key in sorted(keys):
        points = [(line.get("epoch", n), line[key]) for n, line in enumerate(epochs) if line.get(key) is not None]
        found[key] = ([at for at, _ in points], [value for _, value in points])
    return found


def _at_least(axes: Axes, span: float) -> None:
    """Widen the vertical axis to a span, so that noise does not look like a trend."""
    low, high = axes.get_ylim()
    more = max(0.0, span - (high - low)) / 2
    axes.set_ylim(low - more, high + more)


def _words(key: str) -> str:
    return "total" if key == "loss" else key.removeprefix("loss_").replace("_", " ")


def _interval_words(metrics: Mapping[str, Any]) -> str:
    interval = metrics["interval"]
    if not interval["resamples"]:
        return ""
    return f", with {interval['level']:.0%} bootstrap interval by {interval['resampled_by']}"
