"""The page of a promotion: what was asked, what came out, and the figures of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from peace.evaluation.comparison import compare_auc
from peace.evaluation.gate import Decision
from peace.evaluation.intervals import PairedDifference
from peace.reports.drawing import BLUE, GREY, ORANGE, plain, save
from peace.reports.page import NOT_A_DEVICE, ReportTable, Section, with_interval, write_report


def write_gate_report(
    out: Path, title: str, decision: Decision, notes: Sequence[str], champion: str | None, forced: str | None
) -> tuple[Path, list[Path]]:
    """Write OUT/report.html and OUT/figures/; returns both. `champion` names the version it was compared with."""
    figures = _figures(out / "figures", decision, champion)
    failed = [check.words for check in decision.checks if not check.passed]
    verdict = "passed" if decision.passed else f"{len(failed)} of {len(decision.checks)} checks failed"
    headline = [(verdict, "the gate"), (_macro(decision.candidate), "macro AUC, candidate")]
    if decision.champion:
        headline.append((_macro(decision.champion), f"macro AUC, champion (version {champion})"))
    if decision.difference:
        found = decision.difference
        headline.append((f"{found.difference:+.4f}", f"gain ({found.low:+.4f} to {found.high:+.4f})"))
    cautions = [*notes, *([f"Forced, whatever the gate says: {forced}"] if forced else []), NOT_A_DEVICE]
    rows = [(check.kind, check.words, "passed" if check.passed else "FAILED") for check in decision.checks]
    test = decision.test
    facts = [(name, str(value)) for name, value in test.items() if value is not None]
    sections = [
        Section("", headline=headline, notes=cautions),
        Section("Why not" if failed else "Why", paragraphs=failed or list(decision.reasons)),
        Section(
            "Figures",
            paragraphs=[f"Both models scored the same test records; intervals resample {test['resampled_by']}s."],
            figures=figures,
        ),
        Section("All checks", table=ReportTable(("kind", "check", ""), rows, text_columns=3)),
        Section("Not judged", paragraphs=list(decision.not_judged) or ["nothing"]),
        Section("Test records", facts=facts),
    ]
    return write_report(out / "report.html", title, sections), [path for path, _ in figures]


def _figures(place: Path, decision: Decision, champion: str | None) -> list[tuple[Path, str]]:
    sides: dict[str, Mapping[str, Any]] = {"candidate": decision.candidate}
    if decision.champion:
        sides[f"champion (version {champion})"] = decision.champion
    drawn = []
    if decision.difference:
        caption = (
            "Gain of the candidate by label: right of zero it is better. Bars are intervals of the paired difference."
        )
        drawn.append((_differences(decision.difference, place / "gain.png"), caption))
    drawn.append((compare_auc(sides, place / "labels.png"), "AUC of each label on the same test records."))
    if decision.candidate["bands"]:
        bands = {side: _as_labels(values) for side, values in sides.items()}
        drawn.append((compare_auc(bands, place / "ages.png"), "Macro AUC of each age band."))
    return drawn


def _as_labels(side: Mapping[str, Any]) -> dict[str, Any]:
    """Age bands in the place of labels, for the figure that both share."""
    bands = {
        name: {f"auc{end}": values[f"macro_auc{end}"] for end in ("", "_low", "_high")}
        for name, values in side["bands"].items()
    }
    return {**side, "labels": bands}


def _differences(found: PairedDifference, path: Path) -> Path:
    rows = [("macro", found.difference, (found.low, found.high))]
    rows += [(label, value, found.label_intervals[label]) for label, value in found.labels.items()]
    figure = Figure(figsize=(7, 1.2 + 0.3 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    for place, (name, value, (low, high)) in enumerate(rows):
        colour = ORANGE if high < 0 else BLUE
        axes.plot([low, high], [place, place], color=colour, linewidth=2, alpha=0.5)
        axes.plot(value, place, "D" if name == "macro" else "o", color=colour, markersize=6)
    axes.axvline(0, color=GREY, linewidth=1, linestyle=":")
    axes.set_yticks(range(len(rows)), [name for name, _, _ in rows])
    axes.get_yticklabels()[0].set_fontweight("bold")
    axes.invert_yaxis()
    axes.set_xlabel("AUC of the candidate less that of the champion")
    plain(axes)
    axes.grid(axis="x", color="#eeeeee")
    return save(figure, path)


def _macro(side: Mapping[str, Any]) -> str:
    return with_interval(side["macro_auc"], side["macro_auc_low"], side["macro_auc_high"])
