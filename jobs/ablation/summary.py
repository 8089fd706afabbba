"""What `peace ablate` ends with: the rows of all finished cells, their summary, figures and a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jobs.ablation.cells import Cell
from jobs.runtime.harness import Job
from peace.core.files import read_json


def conclude(job: Job, cells: Sequence[Cell], place: Path, synthetic: bool) -> dict[str, Any]:
    """Compare the cells that were asked for, write report.html; returns the values of result.json."""
    from peace.evaluation.predictions import read_predictions
    from peace.experiments.ablation.report import write_ablation_report
    from peace.experiments.ablation.summary import summarise
    from peace.experiments.ablation.variants import PAPER

    rows, predictions, points = [], {}, []
    few = job.config.adapt.shots
    for cell in dict.fromkeys(cells):
        row = read_json(place / cell.name / "cell.json")
        if _of_grid(job, cell, few):
            rows.append(row)
            table = read_predictions(place / cell.name / "predictions.parquet")
            predictions[cell.method, cell.protocol, cell.seed] = table.where("test")
        if job.args.curve and _of_curve(job, cell):
            points.append(row)
    summary = [asdict(entry) for entry in summarise(rows, predictions, job.config.evaluation)]
    curve = curve_points(points, job.config.evaluation.level)
    pretraining = [
        read_json(place / cell.name / "cell.json") for cell in dict.fromkeys(cells) if cell.protocol == "pretrain"
    ]
    report = write_ablation_report(job.out, rows, summary, curve, synthetic, job.config.evaluation)
    job.run.artifact(report)
    job.run.tags({"peace.paper": PAPER})
    for row in summary:
        job.run.metrics({f"{row['protocol']}/{row['method']}/macro_auc": row["mean"]})
    return {"rows": rows, "summary": summary, "curve": curve, "pretraining": pretraining, "report": str(report)}


def curve_points(rows: Sequence[dict[str, Any]], level: float) -> list[dict[str, Any]]:
    """For each method and number of shots: mean macro AUC over the draws and their band."""
    from peace.experiments.ablation.summary import band

    found = []
    for method in dict.fromkeys(row["method"] for row in rows):
        for shots in sorted({row["shots"] for row in rows if row["method"] == method}):
            drawn = [row for row in rows if (row["method"], row["shots"]) == (method, shots)]
            mean, low, high = band([row["macro_auc"] for row in drawn], level)
            records = sum(row["trained_on"] for row in drawn) / len(drawn)
            found.append(
                {"method": method, "shots": shots, "draws": len(drawn), "records": records}
                | {"macro_auc": mean, "low": low, "high": high}
            )
    return found


def _of_grid(job: Job, cell: Cell, few: int) -> bool:
    settings = job.config.ablate
    if cell.protocol not in settings.protocols or cell.method not in settings.methods:
        return False
    return cell.protocol != "few-shot" or (cell.shots == few and cell.draw == cell.seed)


def _of_curve(job: Job, cell: Cell) -> bool:
    settings = job.config.ablate.curve
    return cell.protocol == "few-shot" and cell.method in settings.methods and cell.shots in settings.shots
