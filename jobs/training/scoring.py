"""Scoring splits on the cluster, one task a shard, and the table of predictions that `evaluate` reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peace.config import RayConfig
from peace.core.errors import DataError
from peace.core.files import replacing
from peace.core.progress import progress
from peace.core.storage import to_path

if TYPE_CHECKING:
    from peace.data.shards import Records
    from peace.models import EcgClassifier
    from peace.training.predict import Scores

SPLITS = ("val", "test")


def predict_splits(checkpoint: Path, shards_place: Path, out: Path, settings: RayConfig) -> dict[str, Any]:
    """Score validation and test split with a checkpoint, write `out`/predictions.parquet, fit thresholds on validation.

    Thresholds go into the checkpoint. Returns the number of records by split and the label counts of the validation
    split. Raises DataError where a record is missing or comes twice.
    """
    from peace.checkpoint import update_meta
    from peace.data.shards import ShardSet
    from peace.evaluation.thresholds import fit_thresholds

    shards = ShardSet.open(shards_place)
    scores = score_on_ray(checkpoint, shards_place, SPLITS, settings)
    for split, found in scores.items():
        ids = set(found.record_id.tolist())
        if len(ids) != len(found.record_id) or len(ids) != shards.splits.get(split, 0):
            raise DataError(
                f"{len(found.record_id)} scores of {len(ids)} records in split {split}, "
                f"but {shards_place} lists {shards.splits.get(split, 0)}: the shards are damaged"
            )
    write_predictions(out / "predictions.parquet", scores, shards.labels)
    if "val" in scores:
        thresholds = fit_thresholds(scores["val"].probability, scores["val"].target, shards.labels)
        update_meta(checkpoint, thresholds=thresholds)
    return {"predicted": {split: len(found.record_id) for split, found in scores.items()}}


def score_on_ray(checkpoint: Path, shards_place: Path, splits: Sequence[str], settings: RayConfig) -> dict[str, Scores]:
    """Scores by split; each shard is one task, so every record is scored once whatever the cluster.

    The classifier travels to the tasks: their machines need not see the checkpoint.
    """
    import ray

    from peace.checkpoint import load_classifier
    from peace.data.shards import ShardSet
    from peace.training.predict import join

    shards = ShardSet.open(shards_place)
    task = ray.remote(num_cpus=1, num_gpus=1 if settings.gpu else 0)(_score_shard)
    classifier = ray.put(load_classifier(checkpoint)[0])
    waiting = {
        task.remote(classifier, str(shards_place), str(file)): split for split in splits for file in shards.files(split)
    }
    parts: dict[str, list[Scores]] = {}
    with progress(None, "score", total=sum(shards.splits.get(split, 0) for split in splits)) as bar:
        while waiting:
            done, _ = ray.wait(list(waiting), num_returns=1)
            scores = ray.get(done[0])
            parts.setdefault(waiting.pop(done[0]), []).append(scores)
            bar.update(len(scores.record_id))
    return {split: join(parts[split]) for split in splits if split in parts}


def write_predictions(path: Path, scores: dict[str, Scores], labels: Sequence[str]) -> None:
    """Long table: one row per record and label (record_id, split, label, probability, target, patient_id, age_days).

    The target is null where the label is doubtful.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from peace.data.labels import DOUBTFUL

    tables = []
    for split, found in scores.items():
        rows, columns = found.probability.shape
        tables.append(
            pa.table(
                {
                    "record_id": pa.array(np.repeat(found.record_id, columns), pa.string()),
                    "split": pa.array([split] * (rows * columns), pa.string()),
                    "label": pa.array(list(labels) * rows, pa.string()),
                    "probability": pa.array(found.probability.reshape(-1), pa.float32()),
                    "target": pa.array(found.target.reshape(-1), pa.int8(), mask=found.target.reshape(-1) == DOUBTFUL),
                    "patient_id": pa.array(np.repeat(found.patient_id, columns), pa.string()),
                    "age_days": pa.array(np.repeat(found.age_days, columns), pa.float32(), from_pandas=True),
                }
            )
        )
    if not tables:
        raise DataError("the shards hold neither a validation nor a test record: nothing to predict")
    with replacing(path) as temporary:
        pq.write_table(pa.concat_tables(tables), temporary, compression="zstd")


def score_checkpoint(checkpoint: Path, place: Path, records: dict[str, Records], device: Any) -> dict[str, Any]:
    """Predict validation and test split into `place`; returns the test split's macro AUC and that of each label."""
    from peace.checkpoint import load_classifier
    from peace.config import EvaluationConfig
    from peace.evaluation.metrics import evaluate
    from peace.evaluation.predictions import read_predictions
    from peace.training.predict import score

    classifier, meta = load_classifier(checkpoint)
    classifier = classifier.to(device)
    scores: dict[str, Scores] = {split: score(classifier, records[split], device) for split in ("val", "test")}
    write_predictions(place / "predictions.parquet", scores, meta.labels)
    metrics = evaluate(read_predictions(place / "predictions.parquet"), EvaluationConfig(bootstrap=0))
    labels = {name: values["auc"] for name, values in metrics["labels"].items()}
    return {
        "macro_auc": metrics["macro_auc"],
        "macro_f1": metrics["macro_f1"],
        "macro_balanced_accuracy": metrics["macro_balanced_accuracy"],
        "labels": labels,
    }


def _score_shard(classifier: EcgClassifier, shards_place: str, file: str) -> Scores:
    import torch

    from peace.data.shards import ShardSet
    from peace.training.predict import score

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return score(classifier.to(device), ShardSet.open(shards_place).read([to_path(file)]), device)
