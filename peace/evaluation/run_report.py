"""The report of one evaluated run: what was run, how good it is, what limits that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peace.reports.page import (
    NOT_A_DEVICE,
    SYNTHETIC,
    ReportTable,
    Section,
    number,
    with_interval,
    write_report,
)

FEW_POSITIVES = 10


@dataclass(frozen=True)
class RunFacts:
    """What is known of the evaluated run besides its predictions."""

    name: str
    facts: Sequence[tuple[str, str]]
    full_names: Mapping[str, str]
    synthetic: bool


def write_run_report(
    path: Path, run: RunFacts, metrics: Mapping[str, Any], figures: Sequence[tuple[Path, str]]
) -> Path:
    """Write report.html from metrics.json's content and the figures with their captions."""
    sections = [
        Section("", facts=_opening(run, metrics), notes=_cautions(run, metrics)),
        Section("By label", _reading(metrics), table=_label_table(run, metrics)),
        *age_sections(metrics),
        Section("Figures", figures=figures),
    ]
    return write_report(path, f"Evaluation of {run.name}", sections)


def age_sections(metrics: Mapping[str, Any]) -> list[Section]:
    """A table of the age bands; nothing where no age is known."""
    rows = [
        (
            name,
            with_interval(band["macro_auc"], band["macro_auc_low"], band["macro_auc_high"]),
            *(str(band[key]) for key in ("labels", "records")),
        )
        for name, band in metrics["age_bands"].items()
    ]
    text = (
        f"Over the labels that have {FEW_POSITIVES} positives and negatives in the band; others are not judged there."
    )
    table = ReportTable(("age", "macro AUC (interval)", "labels", "records"), rows)
    return [Section("By age", [text], table=table)] if rows else []


def _opening(run: RunFacts, metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
    scored = len(metrics["labels"]) - len(metrics["left_out"])
    macro = with_interval(metrics["macro_auc"], metrics["macro_auc_low"], metrics["macro_auc_high"])
    patients = "unknown" if metrics["patients"] is None else str(metrics["patients"])
    return [
        ("macro AUC", f"{macro} over {scored} of {len(metrics['labels'])} labels"),
        ("macro F1", number(metrics["macro_f1"])),
        ("macro balanced accuracy", number(metrics["macro_balanced_accuracy"])),
        ("macro average precision", number(metrics["macro_average_precision"])),
        ("calibration error, Brier score", " , ".join(number(metrics["calibration"][key]) for key in ("ece", "brier"))),
        ("test records, patients", f"{metrics['records']}, {patients}"),
        *run.facts,
    ]


def _cautions(run: RunFacts, metrics: Mapping[str, Any]) -> list[str]:
    notes = [SYNTHETIC] if run.synthetic else []
    few = [
        name
        for name, values in metrics["labels"].items()
        if values["auc"] is not None and min(values["positives"], values["negatives"]) < FEW_POSITIVES
    ]
    if metrics["left_out"]:
        notes.append(f"Without both classes in the test split, in no macro value: {', '.join(metrics['left_out'])}.")
    if few:
        notes.append(
            f"Fewer than {FEW_POSITIVES} positives or negatives, so very uncertain whatever the interval says: "
            f"{', '.join(few)}."
        )
    if metrics["thresholds_not_fitted"]:
        notes.append(
            "Without both classes in the validation split, the threshold 0.5 stands in for: "
            f"{', '.join(metrics['thresholds_not_fitted'])}."
        )
    if metrics["interval"]["resampled_by"] == "record":
        notes.append("The predictions name no patients: intervals resample records and are too narrow.")
    return [*notes, NOT_A_DEVICE]


def _reading(metrics: Mapping[str, Any]) -> list[str]:
    interval = metrics["interval"]
    text = (
        "F1, balanced accuracy, sensitivity and specificity are taken at the threshold that gave the highest F1 on the "
        f"{metrics['validation_records']} validation records; the test split chose nothing."
    )
    if not interval["resamples"]:
        return [text]
    bootstrap = (
        f"Intervals hold {interval['level']:.0%}: percentiles of {interval['resamples']} bootstrap resamples of "
        f"{interval['resampled_by']}s (seed {interval['seed']})."
    )
    if interval["macro_incomplete"]:
        bootstrap += (
            f" In {interval['macro_incomplete']} resamples at least one label lacked a class; "
            "their macro AUC is the mean over the others."
        )
    return [text, bootstrap]


def _label_table(run: RunFacts, metrics: Mapping[str, Any]) -> ReportTable:
    header = (
        *("label", "AUC (interval)", "positives", "negatives", "average precision", "threshold", "F1"),
        *("balanced accuracy", "sensitivity", "specificity"),
    )
    rows = []
    for name, values in metrics["labels"].items():
        full = run.full_names.get(name)
        rows.append(
            [
                f"{name} ({full})" if full else name,
                with_interval(values["auc"], values["auc_low"], values["auc_high"]),
                str(values["positives"]),
                str(values["negatives"]),
                number(values["average_precision"]),
                number(values["threshold"]),
                *(number(values[key]) for key in ("f1", "balanced_accuracy", "sensitivity", "specificity")),
            ]
        )
    return ReportTable(header, rows)
