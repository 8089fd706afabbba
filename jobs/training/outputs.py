"""What every training ends with: the best checkpoint in its place, predictions, thresholds, a summary."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jobs.runtime.harness import Job, Table
from jobs.runtime.history import read_history
from jobs.training.scoring import predict_splits
from peace.core.errors import DataError


def finish_training(job: Job, best: Path, shards: Path) -> dict[str, Any]:
    """Put the best epoch's checkpoint into the run directory and predict with it; returns the values of result.json."""
    place = job.out / "checkpoint"
    keep_checkpoint(best, place)
    history = read_history(job.out / "history.jsonl")
    top = max(history, key=lambda epoch: epoch["val_auc"])
    values = {
        "checkpoint": str(place),
        "epochs": int(history[-1]["epoch"]),
        "best_epoch": int(top["epoch"]),
        "best_val_auc": top["val_auc"],
        "samples_per_second": history[-1]["samples_per_second"],
        **predict_splits(place, shards, job.out, job.config.ray),
    }
    note_inputs(job, shards)
    return values


def keep_checkpoint(source: Path, target: Path) -> None:
    """Copy a checkpoint's inference files and its text side, without the optimiser's state."""
    from peace.checkpoint import INFERENCE_FILES, TEXT_FILE, copy_checkpoint

    copy_checkpoint(source, target, (*INFERENCE_FILES, TEXT_FILE))


def note_inputs(job: Job, shards: Path) -> None:
    """Parameters, tags and the dataset of a run on shards, for MLflow."""
    from peace.checkpoint import read_meta
    from peace.data.shards import ShardSet

    found = ShardSet.open(shards)
    _, meta = read_meta(job.out / "checkpoint")
    job.run.params(job.config.model_dump(mode="json"))
    job.run.dataset(meta.cohort, found.digest, str(shards))
    job.run.tags({"label_set": meta.label_set, "descriptor_digest": meta.descriptor_digest or "none"})
    job.run.tags({"cohort": meta.cohort, "protocol": meta.protocol, "label_set_digest": meta.label_set_digest})
    job.run.metrics(_validation_auc(job.out / "predictions.parquet"))
    job.run.artifact(job.out / "predictions.parquet")


def _validation_auc(path: Path) -> dict[str, float]:
    """AUC of each label on the validation split, with the kept epoch's weights; the test split is `evaluate`'s."""
    from peace.evaluation.intervals import auc_by_label, judged_labels
    from peace.evaluation.predictions import read_predictions

    try:
        validation = read_predictions(path).where("val")
    except DataError:  # a cohort without a test split
        return {}
    found = auc_by_label(validation, judged_labels(validation, 1))
    return {f"val/auc/{label}": value for label, value in found.items()}


def training_table(title: str, result: dict[str, Any]) -> Table:
    """Summary of a training for people."""
    predicted = result["predicted"]
    rows = [
        ("epochs", f"{result['epochs']} (best: {result['best_epoch']})" if result["epochs"] else "none"),
        ("best validation macro AUC", f"{result['best_val_auc']:.3f}" if result["epochs"] else "-"),
        ("samples per second", f"{result['samples_per_second']:.0f}" if result["epochs"] else "-"),
        ("records predicted", ", ".join(f"{split} {count}" for split, count in predicted.items())),
        ("checkpoint", result["checkpoint"]),
    ]
    return Table(title, ("", ""), rows)
