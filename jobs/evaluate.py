"""`peace evaluate`: score a run's predictions, with intervals, figures and a report.

peace evaluate --run runs/zzu-full                    writes metrics.json, figures/, report.html into the run
peace evaluate --run runs/zzu-full --out runs/second  writes them into runs/second
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.runtime.harness import Job, Table, Verb, main
from jobs.runtime.history import read_history
from peace.core.errors import ConfigError, DataError
from peace.core.files import file_digest, read_json, write_json

if TYPE_CHECKING:
    from peace.evaluation.predictions import Predictions
    from peace.evaluation.run_report import RunFacts


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--run", type=Path, metavar="DIR", help="run directory of pretrain or adapt")
    source.add_argument("--predictions", type=Path, metavar="FILE", help="predictions from elsewhere: Parquet or CSV")
    parser.add_argument("--synthetic", action="store_true", help="say in the report that the recordings are synthetic")


def default_out(args: argparse.Namespace) -> Path | None:
    """Where this job keeps its own books: RUN/evaluation."""
    return args.run / "evaluation" if args.run else None


def identity(args: argparse.Namespace) -> dict[str, Any]:
    """The predictions, by digest."""
    path = _predictions_path(args)
    if path.is_dir():
        raise DataError(f"{path} is a folder: --run takes a run directory, --predictions a file")
    if not path.is_file():
        raise DataError(f"{path} does not exist: `peace pretrain` and `peace adapt` write it")
    return {"predictions": file_digest(path), "synthetic": args.synthetic}


def work(job: Job) -> dict[str, Any]:
    """Score, draw, report; artefacts go into the evaluated run, or to --out where that is given."""
    from peace.evaluation.metrics import evaluate
    from peace.evaluation.predictions import read_predictions
    from peace.evaluation.run_report import write_run_report

    source = _predictions_path(job.args).absolute()
    place = job.out if job.args.out or not job.args.run else Path(job.args.run).absolute()
    predictions = read_predictions(source)
    if not predictions.by_patient:
        job.log.warning("%s does not name the patient of each record: intervals resample records", source)
    metrics = evaluate(predictions, job.config.evaluation)
    write_json(place / "metrics.json", metrics)
    figures = draw(predictions, metrics, source.parent, place / "figures")
    report = write_run_report(place / "report.html", _facts(job, source), metrics, figures)
    _track(job, metrics, source, [place / "metrics.json", report], [path for path, _ in figures])
    return {
        "macro_auc": metrics["macro_auc"],
        "macro_auc_low": metrics["macro_auc_low"],
        "macro_auc_high": metrics["macro_auc_high"],
        "macro_f1": metrics["macro_f1"],
        "macro_balanced_accuracy": metrics["macro_balanced_accuracy"],
        "labels": {name: values["auc"] for name, values in metrics["labels"].items()},
        "left_out": metrics["left_out"],
        "records": metrics["records"],
        "patients": metrics["patients"],
        "resampled_by": metrics["interval"]["resampled_by"],
        "metrics": str(place / "metrics.json"),
        "report": str(report),
    }


def draw(predictions: Predictions, metrics: dict[str, Any], run: Path, place: Path) -> list[tuple[Path, str]]:
    """Write the figures of a run into `place`; returns each with its caption."""
    from peace.evaluation import figures

    drawn: list[tuple[Path | None, str]] = [
        (figures.auc_by_label(metrics, place / "auc.png"), "AUC of each label on the test split."),
        (
            figures.roc_curves(predictions, metrics, place / "roc.png"),
            "ROC curves; the red point is the threshold fitted on the validation split, n the number of positives.",
        ),
        (
            figures.calibration(predictions, place / "calibration.png"),
            "Calibration: below the dotted line probabilities are too high. Bars count predictions, on a log scale.",
        ),
        (figures.label_counts(predictions, place / "labels.png"), "Positive records of each label."),
        (
            figures.training_history(read_history(run / "history.jsonl"), place / "history.png"),
            "Training: mean losses and gate of each epoch, and the macro AUC on the validation split.",
        ),
    ]
    return [(path, caption) for path, caption in drawn if path is not None]


def tables(result: dict[str, Any]) -> list[Table]:
    """What a person reads at the end."""
    from peace.reports.page import number, with_interval

    metrics = read_json(Path(result["metrics"]))
    rows = [
        [
            name,
            with_interval(values["auc"], values["auc_low"], values["auc_high"]),
            str(values["positives"]),
            number(values["f1"]),
            number(values["balanced_accuracy"]),
        ]
        for name, values in metrics["labels"].items()
    ]
    macro = with_interval(result["macro_auc"], result["macro_auc_low"], result["macro_auc_high"])
    rows.append(["macro", macro, "", number(result["macro_f1"]), number(result["macro_balanced_accuracy"])])
    title = f"{result['records']} test records, intervals by {result['resampled_by']}; report: {result['report']}"
    if result["left_out"]:
        title += f"\nwithout both classes, left out of the macro: {', '.join(result['left_out'])}"
    return [Table(title, ("label", "AUC", "positives", "F1", "balanced accuracy"), rows)]


def _predictions_path(args: argparse.Namespace) -> Path:
    return Path(args.predictions) if args.predictions else Path(args.run) / "predictions.parquet"


def _facts(job: Job, source: Path) -> RunFacts:
    """What the evaluated run's own files say of it; predictions alone say little."""
    from peace.core.files import digest
    from peace.evaluation.run_report import RunFacts

    run = source.parent
    made = _json_or_empty(run / "result.json")
    checkpoint = _json_or_empty(run / "checkpoint" / "checkpoint.json")
    config = _json_or_empty(run / "run.json").get("config")
    known = {
        "verb": made.get("verb"),
        "cohort": checkpoint.get("cohort"),
        "protocol": made.get("protocol") or checkpoint.get("protocol"),
        "training records": made.get("trained_on"),
        "label set": checkpoint.get("label_set"),
        "code": checkpoint.get("code_version"),
        "configuration digest": digest(config) if config else None,
        "predictions": str(source),
    }
    return RunFacts(
        name=run.name,
        facts=[(name, str(value)) for name, value in known.items() if value is not None],
        full_names=_full_names(checkpoint.get("label_set")),
        synthetic=bool(job.args.synthetic or made.get("synthetic")),
    )


def _full_names(label_set: str | None) -> dict[str, str]:
    from peace.data.labels import load_label_set

    try:
        return dict(load_label_set(label_set).full_names) if label_set else {}
    # a label set from a file that has gone since: the report does without the long names
    except (ConfigError, DataError):
        return {}


def _described(run: Path) -> dict[str, str]:
    """What the evaluated run's checkpoint says of itself, for the run tables of MLflow."""
    known = _json_or_empty(run / "checkpoint" / "checkpoint.json")
    names = ("cohort", "protocol", "label_set", "label_set_digest", "descriptor_digest")
    return {name: str(known[name]) for name in names if known.get(name)} | {"run": run.name}


def _json_or_empty(path: Path) -> dict[str, Any]:
    values = read_json(path) if path.exists() else None
    return dict(values) if isinstance(values, dict) else {}


def _track(job: Job, metrics: dict[str, Any], source: Path, files: list[Path], figures: list[Path]) -> None:
    from peace.evaluation.metric_names import flatten_metrics

    job.run.metrics(flatten_metrics(metrics))
    job.run.tags(_described(source.parent))
    job.run.dataset("predictions", file_digest(source), str(source))
    for path in files:
        job.run.artifact(path)
    for path in figures:
        job.run.artifact(path, "figures")


VERB = Verb(
    name="evaluate",
    summary="Score a run's test predictions: AUC with intervals by patient, thresholds from validation, a report.",
    add_arguments=add_arguments,
    work=work,
    tables=tables,
    sections=("evaluation",),
    identity=identity,
    default_out=default_out,
    tracked_in=lambda args: args.run,
)

if __name__ == "__main__":
    sys.exit(main(VERB))
