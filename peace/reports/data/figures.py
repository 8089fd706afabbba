"""Figures of the data report: numbers of report.json in, the bytes of a PNG out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from peace.reports.drawing import BLUE, GREY, ORANGE, PALE, plain, png

SPLIT_COLOURS = {"train": BLUE, "val": "#e9a23b", "test": ORANGE}
COHORT_COLOURS = {"mimic": BLUE, "zzu": ORANGE, "ptbxl": "#6a994e"}
INK = "#333333"
ON_DARK = 0.55  # a cell darker than this share of the scale carries white text


def short(count: float) -> str:
    """A count as figures show it: 483k, 7,593."""
    return f"{count / 1000:.0f}k" if count >= 100_000 else f"{count:,.0f}"


def label_distribution(
    counts: Mapping[str, Mapping[str, int]], records: Mapping[str, int], titles: Mapping[str, str]
) -> bytes:
    """Records of each label, a panel a cohort (the paper's Figure 2): bars are shares, beside them the counts."""
    labels = list(next(iter(counts.values())))
    figure = Figure(figsize=(1.4 + 2.9 * max(2, len(counts)), 0.9 + 0.29 * len(labels)), layout="constrained")
    panels = figure.subplots(1, len(counts), sharey=True, squeeze=False)[0]
    for axes, (cohort, values) in zip(panels, counts.items(), strict=True):
        shares = [100 * values[label] / max(1, records[cohort]) for label in labels]
        bars = axes.barh(range(len(labels)), shares, color=COHORT_COLOURS.get(cohort, GREY), height=0.72)
        texts = [
            f"{values[label]:,}  {share:.1f} %" if values[label] else "0"
            for label, share in zip(labels, shares, strict=True)
        ]
        axes.bar_label(bars, texts, fontsize=8.5, padding=4, color=INK)
        axes.set_title(f"{titles[cohort]}\n{records[cohort]:,} records", fontsize=10, loc="left")
        axes.set_yticks(range(len(labels)), labels)
        axes.set_xlim(0, max([1.0, *shares]) * 1.55)
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)
        plain(axes)
    panels[0].invert_yaxis()
    return png(figure)


def cooccurrence(matrix: Mapping[str, Mapping[str, int]]) -> bytes:
    """Which share of the records of a row's label also have a column's label."""
    labels = list(matrix)
    counts = np.array([[matrix[a][b] for b in labels] for a in labels], dtype=float)
    totals = counts.diagonal().copy()
    shares = 100 * counts / np.maximum(totals, 1)[:, None]
    np.fill_diagonal(shares, 0)
    figure = Figure(figsize=(1.6 + 0.56 * len(labels), 1.0 + 0.4 * len(labels)), layout="constrained")
    axes = figure.add_subplot()
    highest = max(10.0, float(shares.max()))
    axes.imshow(
        shares, cmap=LinearSegmentedColormap.from_list("paper", ["#ffffff", BLUE]), vmin=0, vmax=highest, aspect="auto"
    )
    for i, a in enumerate(labels):
        for j, b in enumerate(labels):
            text = f"{short(totals[i])}" if i == j else _percent(shares[i, j], matrix[a][b])
            dark = shares[i, j] > ON_DARK * highest
            axes.text(
                j,
                i,
                text,
                ha="center",
                va="center",
                fontsize=8,
                color="white" if dark else INK,
                weight="bold" if i == j else "normal",
            )
    axes.set_xticks(range(len(labels)), labels, fontsize=9)
    axes.set_yticks(range(len(labels)), labels, fontsize=9)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.set_xticks(np.arange(len(labels) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(labels) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="#e6eaee", linewidth=0.8)
    axes.tick_params(which="minor", length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return png(figure)


def _percent(share: float, count: int) -> str:
    if not count:
        return ""
    return "<1" if share < 1 else f"{share:.0f}"


def ages(numbers: Mapping[str, Any], parts: Sequence[str], colours: Mapping[str, str]) -> bytes:
    """Histograms of ages in years, each scaled to its own number of records so that parts of unlike size compare."""
    figure = Figure(figsize=(7.6, 2.7), layout="constrained")
    axes = figure.add_subplot()
    edges = np.array(numbers["histogram"]["edges"])
    for part in parts:
        counts = np.array(numbers["histogram"][part], dtype=float)
        if counts.sum():
            axes.stairs(
                100 * counts / counts.sum(),
                edges,
                color=colours[part],
                linewidth=1.8,
                label=f"{part} ({int(counts.sum()):,})",
            )
    axes.set_xlabel("age in years", fontsize=9)
    axes.set_ylabel("% of records", fontsize=9)
    axes.set_xticks(_years(edges))
    axes.set_xlim(edges[0], edges[-1])
    axes.legend(frameon=False, fontsize=9)
    plain(axes)
    return png(figure)


def _years(edges: np.ndarray) -> np.ndarray:
    return np.arange(0, edges[-1] + 1, 2 if edges[-1] <= 20 else 20)


def ages_of_cohorts(cohorts: Mapping[str, Mapping[str, Any]], titles: Mapping[str, str]) -> bytes:
    """A panel a cohort that tells ages."""
    figure = Figure(figsize=(3.4 * len(cohorts) + 0.6, 2.4), layout="constrained")
    for axes, (cohort, numbers) in zip(
        figure.subplots(1, len(cohorts), squeeze=False)[0], cohorts.items(), strict=True
    ):
        edges, counts = np.array(numbers["histogram"]["edges"]), numbers["histogram"]["all"]
        axes.stairs(counts, edges, fill=True, color=COHORT_COLOURS.get(cohort, GREY), alpha=0.85)
        axes.set_title(titles[cohort], fontsize=10, loc="left")
        axes.set_xlabel("age in years", fontsize=9)
        axes.set_xlim(edges[0], edges[-1])
        axes.set_xticks(_years(edges))
        axes.tick_params(labelsize=8)
        plain(axes)
    return png(figure)


def quality(cohorts: Mapping[str, Mapping[str, Any]], names: Sequence[str], titles: Mapping[str, str]) -> bytes:
    """A small panel a column: the share of records in each bin, the cohorts over each other, the limit dashed."""
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(2.45 * columns, 1.75 * rows + 0.4), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, name in zip(panels, names, strict=False):
        for cohort, numbers in cohorts.items():
            _quality_steps(axes, numbers["quality"].get(name), COHORT_COLOURS.get(cohort, GREY), titles[cohort])
        axes.set_title(name, fontsize=9, loc="left")
        axes.tick_params(labelsize=7.5)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        plain(axes)
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    if len(cohorts) > 1:
        handles, words = panels[0].get_legend_handles_labels()
        figure.legend(handles, words, loc="outside lower center", ncols=len(cohorts), frameon=False, fontsize=9)
    return png(figure)


def _quality_steps(axes: Axes, numbers: Mapping[str, Any] | None, colour: str, title: str) -> None:
    if numbers is None or "histogram" not in numbers:
        return
    edges, counts = np.array(numbers["histogram"]["edges"]), np.array(numbers["histogram"]["counts"], dtype=float)
    axes.stairs(100 * counts / max(1.0, counts.sum()), edges, color=colour, linewidth=1.4, fill=False, label=title)
    if numbers.get("limit") is not None and 0 < numbers["limit"] <= edges[-1]:
        axes.axvline(numbers["limit"], color=GREY, linestyle="--", linewidth=1)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0f}%")


def amplitude(cohorts: Mapping[str, Mapping[str, Any]], leads: Sequence[str], titles: Mapping[str, str]) -> bytes:
    """Peak to peak of each lead: box for the middle half, line for nine tenths, tick for the median."""
    figure = Figure(figsize=(9.0, 3.3), layout="constrained")
    axes = figure.add_subplot()
    step = 0.8 / max(1, len(cohorts))
    for place, (cohort, numbers) in enumerate(cohorts.items()):
        colour, first = COHORT_COLOURS.get(cohort, GREY), True
        for k, lead in enumerate(leads):
            values = numbers["peak_to_peak_mv"][lead]
            if "p50" not in values:
                continue
            at = k + (place - (len(cohorts) - 1) / 2) * step
            axes.vlines(at, values["p5"], values["p95"], color=colour, linewidth=1.2)
            axes.bar(
                at,
                values["p75"] - values["p25"],
                step * 0.7,
                values["p25"],
                color=colour,
                alpha=0.75,
                label=titles[cohort] if first else None,
            )
            axes.hlines(values["p50"], at - step * 0.35, at + step * 0.35, color="white", linewidth=1.6)
            first = False
    axes.set_xticks(range(len(leads)), leads, fontsize=9)
    axes.set_ylabel("peak to peak in mV", fontsize=9)
    axes.set_ylim(0, _top(cohorts, leads))
    axes.grid(axis="y", color="#eeeeee")
    _legend(figure, axes, len(cohorts))
    plain(axes)
    return png(figure)


def _legend(figure: Figure, axes: Axes, columns: int) -> None:
    """A legend above the axes, where anything was drawn that it names."""
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside upper right", ncols=columns, frameon=False, fontsize=9)


def _top(cohorts: Mapping[str, Mapping[str, Any]], leads: Sequence[str]) -> float:
    """Upper end of the axis: lines that go far beyond every box are cut, so that boxes can be read."""
    known = [numbers["peak_to_peak_mv"][lead] for numbers in cohorts.values() for lead in leads]
    known = [values for values in known if "p50" in values]
    highest = max((values["p95"] for values in known), default=1.0)
    return 1.05 * min(highest, 2.5 * max((values["p75"] for values in known), default=1.0))


def labels_by_split(counts: Mapping[str, Mapping[str, int]], splits: Mapping[str, int]) -> bytes:
    """Share of each label in each split: a label that is even lies in one point."""
    labels = list(counts)
    figure = Figure(figsize=(7.6, 0.9 + 0.27 * len(labels)), layout="constrained")
    axes = figure.add_subplot()
    highest = 1.0
    for row, label in enumerate(labels):
        shares = {name: 100 * counts[label][name] / splits[name] for name in splits if splits[name]}
        axes.plot(
            [min(shares.values(), default=0), max(shares.values(), default=0)],
            [row, row],
            color=PALE,
            linewidth=5,
            solid_capstyle="round",
            zorder=1,
        )
        for place, (name, share) in enumerate(shares.items()):
            at = row + (place - 1) * 0.16  # beside each other where they are alike
            axes.plot(
                share, at, "o", markersize=5, color=SPLIT_COLOURS[name], zorder=2, label=name if row == 0 else None
            )
            highest = max(highest, share)
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.set_xlim(-0.02 * highest, 1.05 * highest)
    axes.set_xlabel("% of the records of a split", fontsize=9)
    axes.grid(axis="x", color="#eeeeee")
    _legend(figure, axes, len(splits))
    plain(axes)
    return png(figure)
