"""The demo's report: one page with what was made, how well each protocol does, and where the time went."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobs.runtime.harness import Job
from peace.core.files import read_json

TITLES = {
    "pretrain": "adults, pretraining",
    "zero-shot": "children, zero-shot",
    "few-shot": "children, few-shot",
    "full": "children, full",
    "ptbxl-full": "PTB-XL, full",
}
COHORTS = {"mimic": "adults, as MIMIC-IV-ECG", "zzu": "children, as ZZU-pECG", "ptbxl": "adults, as PTB-XL"}


def write_demo_report(job: Job, results: Mapping[str, dict[str, Any]]) -> Path:
    """Write OUT/report.html from the results of the stages and the metrics of the evaluations."""
    from peace.evaluation.comparison import compare_auc
    from peace.reports.page import SYNTHETIC, ReportTable, Section, number, with_interval, write_report

    metrics = {name: read_json(job.out / name / "metrics.json") for name in TITLES}
    overview = compare_auc({TITLES[name]: values for name, values in metrics.items()}, job.out / "figures" / "auc.png")
    labels = list(metrics["full"]["labels"])
    sections = [
        Section(
            "What this is",
            paragraphs=[
                "PEACE was pretrained on synthetic adults with label descriptors as privileged text, then carried to "
                "synthetic children and to PTB-XL labels. Every figure below comes from the ECG alone.",
            ],
            notes=[SYNTHETIC],
            table=ReportTable(
                ("protocol", "macro AUC (95 % interval)", "macro F1", "trained on", "test records"),
                [
                    (
                        TITLES[name],
                        with_interval(*(values[f"macro_auc{end}"] for end in ("", "_low", "_high"))),
                        number(values["macro_f1"]),
                        str(results[name].get("trained_on", results["shards-mimic"]["splits"]["train"])),
                        str(values["records"]),
                    )
                    for name, values in metrics.items()
                ],
            ),
            figures=[(overview, "AUC of each label by protocol; bars are 95 % intervals, resampled by patient.")],
        ),
        Section(
            "Per label",
            table=ReportTable(
                ("label", *(TITLES[name] for name in metrics)),
                [(label, *(_cell(values, label) for values in metrics.values())) for label in labels],
            ),
        ),
        _one_record(job, results["predict"]),
        _cohorts(results),
        Section(
            "Time",
            table=ReportTable(
                ("stage", "seconds"), [(stage, f"{values['seconds']:.1f}") for stage, values in results.items()]
            ),
            facts=[("configuration", str(job.out / "config.yaml")), ("identity", job.identity)],
        ),
    ]
    return write_report(job.out / "report.html", "PEACE demo", sections)


def _one_record(job: Job, predicted: Mapping[str, Any]) -> Any:
    """The record that `predict` was asked about: its strip, and what the model says."""
    from peace.reports.page import ReportTable, Section, number

    answer = predicted["records"][0]
    rows = [
        (label, number(value), number(answer["thresholds"][label]), "yes" if label in answer["positive"] else "")
        for label, value in answer["probabilities"].items()
    ]
    strips = sorted((job.out / "predict" / "figures").glob("*.png"))
    return Section(
        "One child, from the ECG alone",
        paragraphs=[f"What `peace predict` says of {Path(answer['record']).stem}, a record of the test split."],
        figures=[(strip, "The record as the model sees it.") for strip in strips],
        table=ReportTable(("label", "probability", "threshold", "positive"), rows),
    )


def _cell(metrics: dict[str, Any], label: str) -> str:
    from peace.reports.page import number

    return number(metrics["labels"][label]["auc"]) if label in metrics["labels"] else "–"


def _cohorts(results: Mapping[str, dict[str, Any]]) -> Any:
    """Records in and out of each cohort, and the paper's Figure 2 of them: how labels are distributed."""
    from peace.reports.data.figures import label_distribution
    from peace.reports.page import Section

    shards = {cohort: results[f"shards-{cohort}"] for cohort in COHORTS}
    figure = label_distribution(
        {cohort: values["labels"] for cohort, values in shards.items()},
        {cohort: values["kept"] for cohort, values in shards.items()},
        COHORTS,
    )
    caption = (
        "Label distribution of the three cohorts, as the paper's Figure 2 shows it: records of each label and their "
        "share. More on each cohort: report.html in its index and shards folders."
    )
    return Section("Cohorts", table=_in_and_out(results), figures=[(figure, caption)])


def _in_and_out(results: Mapping[str, dict[str, Any]]) -> Any:
    from peace.reports.page import ReportTable

    rows = []
    for cohort in COHORTS:
        index, shards = results[f"index-{cohort}"], results[f"shards-{cohort}"]
        splits = shards["splits"]
        rows.append(
            (
                cohort,
                *(str(value) for value in (index["indexed"], index["kept"], index["patients"], shards["kept"])),
                _reasons({**index["excluded"], **shards["rejected"]}),
                " / ".join(str(splits.get(split, 0)) for split in ("train", "val", "test")),
            )
        )
    header = ("cohort", "indexed", "labelled", "patients", "in shards", "left out", "train / val / test")
    return ReportTable(header, rows)


def _reasons(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in counts.items()) or "none"
