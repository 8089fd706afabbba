"""The model card: what a registered model is, what it was measured at, and what it must not be used for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from peace.checkpoint import CheckpointMeta
from peace.reports.page import NOT_A_DEVICE, SYNTHETIC, number, with_interval


def model_card(
    name: str,
    meta: CheckpointMeta,
    full_names: Mapping[str, str],
    metrics: Mapping[str, Any] | None,
    synthetic: bool = False,
    trained_on: int | None = None,
) -> str:
    """Markdown; `metrics` is the content of metrics.json where the run was evaluated, `trained_on` counts records."""
    signal = meta.recipe["signal"]
    samples = round(signal["rate"] * signal["seconds"])
    cautions = [NOT_A_DEVICE, *([SYNTHETIC] if synthetic else [])]
    return "\n".join(
        [
            f"# {name}",
            "",
            f"Probabilities of {len(meta.labels)} ECG findings from a recording of {signal['seconds']:g} seconds, from "
            "the ECG alone: no text, age or report is read. Several findings may hold at once.",
            "",
            *(f"**{text}**\n" for text in cautions),
            "## Intended use",
            "",
            "- Research on carrying ECG classifiers from adults to children: comparing methods, sorting recordings for",
            "  review by people, teaching. Whoever reads the output must be able to read the ECG.",
            "- Not for diagnosis, triage or monitoring of patients, and not for recordings other than resting ECGs.",
            "",
            "## Data",
            "",
            f"- adapted to: {meta.cohort} (protocol: {meta.protocol})",
            f"- label set: {meta.label_set} (digest {meta.label_set_digest})",
            *_amounts(trained_on, metrics),
            f"- code: peace-ray {meta.code_version or 'unknown'}",
            "",
            "## Input",
            "",
            f"- a float array (n, 12, {samples}): millivolts at {signal['rate']} Hz, leads I II III aVR aVL aVF V1-V6, "
            "filtered as `peace.data.signal.condition` does; a lead that is NaN throughout counts as absent; or",
            "- a data frame with a column `path` of WFDB records, which are filtered, resampled and cropped here. The "
            "parameter `cohort` names the mains frequency to remove (zzu and ptbxl 50 Hz, mimic 60 Hz).",
            "",
            "## Results",
            "",
            *_results(meta, full_names, metrics),
            "",
            "## Limits",
            "",
            "- Thresholds were fitted on the validation split of the cohort above; another clinic needs its own.",
            "- A finding that is not among the labels is not looked for. A low probability rules nothing out.",
            "- Leads that are absent are masked; with fewer leads than in training, probabilities are less reliable.",
            "- Devices, electrode placement and populations other than those above have not been measured.",
            "",
        ]
    )


def _results(meta: CheckpointMeta, full_names: Mapping[str, str], metrics: Mapping[str, Any] | None) -> list[str]:
    limits = meta.thresholds or {}
    if metrics is None:
        rows = [f"| {label} | {full_names[label]} | {number(limits.get(label))} |" for label in meta.labels]
        return ["Not evaluated yet.", "", "| label | finding | threshold |", "|---|---|---|", *rows]
    macro = with_interval(metrics["macro_auc"], metrics["macro_auc_low"], metrics["macro_auc_high"])
    patients = "" if metrics["patients"] is None else f" of {metrics['patients']} patients"
    interval = metrics["interval"]
    rows = [
        f"| {label} | {full_names.get(label, label)} | "
        f"{with_interval(values['auc'], values['auc_low'], values['auc_high'])} | {values['positives']} | "
        f"{number(values['f1'])} | {number(values['balanced_accuracy'])} | {number(limits.get(label))} |"
        for label, values in metrics["labels"].items()
    ]
    left_out = f" Without both classes, left out: {', '.join(metrics['left_out'])}." if metrics["left_out"] else ""
    return [
        f"Macro AUC {macro}, macro F1 {number(metrics['macro_f1'])}, macro balanced accuracy "
        f"{number(metrics['macro_balanced_accuracy'])} on {metrics['records']} test records{patients}; in brackets "
        f"{interval['level']:.0%} bootstrap intervals by {interval['resampled_by']}.{left_out}",
        "",
        "| label | finding | AUC | positives | F1 | balanced accuracy | threshold |",
        "|---|---|---|---|---|---|---|",
        *rows,
        *_ages(metrics),
    ]


def _ages(metrics: Mapping[str, Any]) -> list[str]:
    if not metrics["age_bands"]:
        return ["", "The ages of the test records are not known."]
    rows = [
        f"| {name} | {with_interval(band['macro_auc'], band['macro_auc_low'], band['macro_auc_high'])} | "
        f"{band['labels']} | {band['records']} |"
        for name, band in metrics["age_bands"].items()
    ]
    return ["", "| age | macro AUC | labels with 10 of each class | test records |", "|---|---|---|---|", *rows]


def _amounts(trained_on: int | None, metrics: Mapping[str, Any] | None) -> list[str]:
    lines = [] if trained_on is None else [f"- labelled training records of that cohort: {trained_on}"]
    if metrics is not None:
        patients = "" if metrics["patients"] is None else f" of {metrics['patients']} patients"
        lines.append(f"- tested on {metrics['records']} records{patients} that no training has seen")
    return lines
