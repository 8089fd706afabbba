"""The page of an ablation: tables beside the paper's, figures, and what limits them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from peace.config import EvaluationConfig
from peace.evaluation.comparison import COLOURS
from peace.experiments.ablation.variants import VARIANTS
from peace.reports.drawing import BLUE, GREY, plain, png
from peace.reports.page import NOT_A_DEVICE, SYNTHETIC, ReportTable, Section, number, with_interval, write_report

Entry = Mapping[str, Any]


def write_ablation_report(
    out: Path,
    rows: Sequence[Entry],
    summary: Sequence[Entry],
    curve: Sequence[Entry],
    synthetic: bool,
    settings: EvaluationConfig,
) -> Path:
    """Write OUT/report.html from the rows of the grid, their summary and the points of the few-shot curve."""
    protocols = list(dict.fromkeys(entry["protocol"] for entry in summary))
    sections = [Section("", _reading(settings), notes=[*([SYNTHETIC] if synthetic else []), NOT_A_DEVICE])]
    for protocol in protocols:
        figures = [
            (by_method(rows, summary, protocol), "A point a seed, the bar their mean; dotted: the mean of PEACE."),
            (by_label(summary, protocol), "Mean AUC of each label over the seeds."),
        ]
        table = ReportTable(*method_rows(summary, protocol))
        sections.append(Section(protocol, table=table, figures=figures))
        sections.append(Section(f"{protocol}, by label", table=ReportTable(*label_rows(summary, protocol))))
    if curve:
        caption = f"Macro AUC by shots per label; bands hold {settings.level:.0%} of the draws."
        table = ReportTable(*curve_rows(curve))
        sections.append(Section("Few-shot curve", table=table, figures=[(few_shot_curve(curve), caption)]))
    return write_report(out / "report.html", "Methods and ablations", sections)


def method_rows(summary: Sequence[Entry], protocol: str) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a protocol: mean, deviation, the comparison with PEACE, and the paper's value on ZZU-pECG."""
    header = ["method", "macro AUC", "sd", "seeds", "less PEACE (interval by patient)", "Wilcoxon p", "paper, ZZU"]
    return header, [_method_row(entry) for entry in summary if entry["protocol"] == protocol]


def _method_row(entry: Entry) -> list[str]:
    variant, against = VARIANTS[entry["method"]], entry["against"]
    paper = variant.paper.get(entry["protocol"])
    return [
        variant.title,
        number(entry["mean"]),
        number(entry["deviation"]),
        str(entry["seeds"]),
        f"{against['difference']:+.3f} ({against['low']:+.3f} to {against['high']:+.3f})" if against else "–",
        number(against["wilcoxon"]) if against else "–",
        "–" if paper is None else f"{paper / 100:.3f}",
    ]


def label_rows(summary: Sequence[Entry], protocol: str) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a protocol: mean AUC of each label."""
    own = [entry for entry in summary if entry["protocol"] == protocol]
    labels = list(dict.fromkeys(label for entry in own for label in entry["labels"]))
    rows = [
        [VARIANTS[entry["method"]].title, *(number(entry["labels"].get(label), 2) for label in labels)] for entry in own
    ]
    return ["method", *labels], rows


def curve_rows(curve: Sequence[Entry]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the few-shot curve: a row a number of shots, a column a method."""
    methods = list(dict.fromkeys(point["method"] for point in curve))
    held = {(point["method"], point["shots"]): point for point in curve}
    rows = []
    for shots in sorted({point["shots"] for point in curve}):
        points = [held.get((method, shots)) for method in methods]
        records = next(point["records"] for point in points if point)
        cells = [with_interval(point["macro_auc"], point["low"], point["high"]) if point else "–" for point in points]
        rows.append([str(shots), f"{records:.0f}", *cells])
    return ["shots per label", "records", *(VARIANTS[method].title for method in methods)], rows


def by_method(rows: Sequence[Entry], summary: Sequence[Entry], protocol: str) -> bytes:
    """Macro AUC of each method as a PNG: a point a seed."""
    own = [entry for entry in summary if entry["protocol"] == protocol]
    figure = Figure(figsize=(7.5, 0.9 + 0.32 * len(own)), layout="constrained")
    axes = figure.add_subplot()
    for place, entry in enumerate(own):
        values = [row["macro_auc"] for row in rows if (row["method"], row["protocol"]) == (entry["method"], protocol)]
        axes.plot(values, [place] * len(values), "o", color=BLUE, alpha=0.5, markersize=5)
        axes.plot([entry["mean"]] * 2, [place - 0.3, place + 0.3], color=BLUE, linewidth=2)
        if entry["method"] == "peace":
            axes.axvline(entry["mean"], color=GREY, linewidth=1, linestyle=":")
    axes.set_yticks(range(len(own)), [VARIANTS[entry["method"]].title for entry in own])
    axes.invert_yaxis()
    axes.set_xlabel(f"macro AUC on the test split, {protocol}")
    plain(axes)
    return png(figure)


def by_label(summary: Sequence[Entry], protocol: str) -> bytes:
    """Mean AUC of each method and label as a PNG."""
    own = [entry for entry in summary if entry["protocol"] == protocol]
    labels = list(dict.fromkeys(label for entry in own for label in entry["labels"]))
    values = np.array([[entry["labels"].get(label, np.nan) for label in labels] for entry in own])
    figure = Figure(figsize=(1.8 + 0.6 * len(labels), 0.9 + 0.34 * len(own)), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(values, cmap="viridis", vmin=0.5, vmax=1.0, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            dark = value < 0.8
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=8, color="w" if dark else "k")
    axes.set_xticks(range(len(labels)), labels, fontsize=8)
    axes.set_yticks(range(len(own)), [VARIANTS[entry["method"]].title for entry in own], fontsize=9)
    axes.tick_params(length=0)
    return png(figure)


def few_shot_curve(curve: Sequence[Entry]) -> bytes:
    """Macro AUC against shots per label as a PNG, with a band over the draws for each method."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for place, method in enumerate(dict.fromkeys(point["method"] for point in curve)):
        own = sorted((point for point in curve if point["method"] == method), key=lambda point: point["shots"])
        at = [point["shots"] for point in own]
        colour = COLOURS[place % len(COLOURS)]
        axes.plot(at, [point["macro_auc"] for point in own], "o-", color=colour, label=VARIANTS[method].title)
        low, high = ([point[end] for point in own] for end in ("low", "high"))
        axes.fill_between(at, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.set_xscale("log")
    shots = sorted({point["shots"] for point in curve})
    axes.set_xticks(shots, [str(value) for value in shots])
    axes.minorticks_off()
    axes.set_xlabel("labelled records per label")
    axes.set_ylabel("macro AUC on the test split")
    axes.legend(frameon=False)
    plain(axes)
    return png(figure)


def _reading(settings: EvaluationConfig) -> list[str]:
    return [
        "Each method is pretrained on the adults once a seed, and adapted to the target by each protocol. Every figure "
        "comes from the ECG alone, on the test split, at the epoch that validation chose.",
        f"The difference to PEACE is the mean over the seeds; its interval is of {settings.bootstrap} bootstrap "
        "resamples of patients, in which all trainings score the same ones: it speaks of other patients, not of other "
        "seeds. Wilcoxon's signed-rank test is over the seeds, and needs at least six to fall under 0.05.",
        "The paper's values are of MIMIC-IV-ECG adults and ZZU-pECG children. They stand beside ours for the order of "
        "methods; on other data the values themselves cannot be compared.",
    ]
