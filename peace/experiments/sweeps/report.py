"""The page of a sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from peace.experiments.ablation.report import curve_rows, few_shot_curve
from peace.experiments.sweeps.figures import importance_bars, learning_curves, parallel_coordinates
from peace.experiments.sweeps.space import Space
from peace.experiments.sweeps.summary import best_of, rows_of, shown, table_rows
from peace.experiments.sweeps.trial_store import Trial
from peace.reports.page import NOT_A_DEVICE, SYNTHETIC, ReportTable, Section, write_report

FIGURES = ("parallel_coordinates", "importance", "learning_curves", "shots_curve")


def sweep_figures(
    space: Space, trials: Sequence[Trial], found: Mapping[str, float] | None, curve: Sequence[Mapping[str, Any]]
) -> dict[str, bytes]:
    """The figures that these trials allow, as PNG, by name."""
    drawn: dict[str, bytes] = {}
    if curve:
        drawn["shots_curve"] = few_shot_curve(curve)
    if any(trial.scored for trial in trials):
        drawn["parallel_coordinates"] = parallel_coordinates(space, trials)
    if found:
        drawn["importance"] = importance_bars(found)
    if any(trial.curve for trial in trials):
        drawn["learning_curves"] = learning_curves(space, trials)
    return drawn


def write_sweep_report(
    out: Path,
    name: str,
    space: Space,
    trials: Sequence[Trial],
    curve: Sequence[Mapping[str, Any]],
    drawn: Mapping[str, bytes],
    said: Sequence[tuple[str, str]],
    synthetic: bool,
) -> Path:
    """Write OUT/report.html. `said`: facts of the run, by name."""
    best, rows = best_of(space, trials), rows_of(space, trials)
    headline = []
    if best is not None:
        headline = [(f"{best['metric']:.4f}", f"best {space.metric}"), (str(best["trial"]), "its trial")]
    notes = [*([SYNTHETIC] if synthetic else []), NOT_A_DEVICE]
    sections = [
        Section(
            "",
            [f"{space.summary[:1].upper()}{space.summary[1:]}.", *_reading(space)],
            said,
            headline=headline,
            notes=notes,
        )
    ]
    if best is not None:
        chosen = [(key, shown(value)) for key, value in best["parameters"].items()]
        sections.append(Section("Best trial", ["best.yaml holds its whole configuration."], chosen))
    if curve:
        caption = "Mean macro AUC on the test split over the draws, by labelled records per label; bands: the draws."
        figures = [(drawn["shots_curve"], caption)]
        sections.append(Section("AUC over shots", table=ReportTable(*curve_rows(curve)), figures=figures))
    captions = {
        "parallel_coordinates": "A line a trial, through what was drawn, to its best epoch; orange: the best trial.",
        "importance": "fANOVA (Hutter et al. 2014): share of the variance over trials that a parameter explains.",
        "learning_curves": f"{space.metric} by epoch; orange: the best trial; ×: stopped early, or failed.",
    }
    for figure, caption in captions.items():
        if figure in drawn:
            sections.append(Section(figure.replace("_", " ").capitalize(), figures=[(drawn[figure], caption)]))
    failed = [trial for trial in trials if trial.status == "failed"]
    if failed:
        errors = [[str(trial.number), trial.error or "", _drawn(space, trial)] for trial in failed]
        table = ReportTable(["trial", "error", "parameters"], errors, text_columns=3)
        sections.append(Section("Trials that failed", table=table))
    header, lines = table_rows(list(space.parameters), space.metric, space.mode, rows)
    sections.append(Section("Trials", table=ReportTable(header, lines)))
    return write_report(out / "report.html", f"Sweep: {name}", sections)


def _drawn(space: Space, trial: Trial) -> str:
    return ", ".join(f"{key} {shown(value)}" for key, value in space.active(trial.parameters).items())


def _reading(space: Space) -> list[str]:
    said = [
        f"A trial's {space.metric} is that of its best epoch on the validation split, which also chose among the "
        "trials: the best of many is better there than it will be on other records."
    ]
    if space.scheduler.name == "asha":
        said.append(
            f"From epoch {space.scheduler.grace} on, trials that do worse than one in {space.scheduler.reduction:g} of "
            "the others at the same epoch are stopped (ASHA): their values are of fewer epochs."
        )
    if space.draws is not None:
        said.append(
            f"Each point is drawn {space.draws.at_least} to {space.draws.at_most} times, until the 95 % interval of "
            f"its mean is within {space.draws.tolerance:g}. The curve is measured on the test split."
        )
    if space.search == "tpe":
        said.append(
            "Importance is of this space and these trials: with few of them it is a hint. A parameter that only some "
            "trials read is weighed over all."
        )
    return said
