"""One training of the grid, as a Ray task: it leaves its folder whole, or goes on from its last epoch.

cells/<method>-seed-<s>-<protocol>/
  history.jsonl         its epochs
  checkpoint/           of a pretraining: what its adaptations start from
  predictions.parquet   validation and test split
  cell.json             its row of the result; written last, so it says that the cell is done
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peace.config import Config

if TYPE_CHECKING:
    from peace.data.shards import Records
    from peace.training.predict import Scores

ADULT, TARGET = "adult", "target"


@dataclass(frozen=True)
class Cell:
    """A method at a seed, pretrained or adapted by a protocol. `draw` seeds the sampling of shots and the tuning."""

    method: str
    seed: int
    protocol: str
    shots: int = 0
    draw: int = 0

    @property
    def name(self) -> str:
        """Its folder, and its name in MLflow."""
        few = f"-{self.shots}-draw-{self.draw}" if self.protocol == "few-shot" else ""
        return f"{self.method}-seed-{self.seed}-{self.protocol}{few}"


@dataclass(frozen=True)
class Places:
    """Shards of the adults and of the target cohort, and where cells are written."""

    adult: str
    target: str
    cells: str


def run_cell(
    cell: Cell, config: Config, places: Places, held: dict[str, dict[str, Records]], threads: int, start: Any = None
) -> str:
    """Train and score a cell unless that is done; gives its folder. `held` are the records of both cohorts by split.

    `start` is the finished pretraining that an adaptation needs: Ray hands it in when it is there.
    """
    import torch

    from peace.core.files import write_json
    from peace.experiments.ablation.variants import variant_config

    place = Path(places.cells) / cell.name
    if (place / "cell.json").exists():
        return str(place)
    torch.set_num_threads(threads)
    place.mkdir(parents=True, exist_ok=True)
    device = torch.device("cuda" if config.ray.gpu and torch.cuda.is_available() else "cpu")
    config = variant_config(config, cell.method, cell.draw if cell.protocol == "few-shot" else cell.seed)
    records = held[ADULT if cell.protocol == "pretrain" else TARGET]
    if cell.protocol == "pretrain":
        trained_on = _pretrain(cell, config, places, held, place, device)
    elif cell.protocol == "zero-shot":
        trained_on = _carry_over(config, places, Path(start), place)
    else:
        trained_on = _adapt(cell, config, places, records["train"], records["val"], Path(start), place, device)
    row = {"method": cell.method, "protocol": cell.protocol, "seed": cell.seed, "trained_on": trained_on}
    if cell.protocol == "few-shot":
        row |= {"shots": cell.shots, "draw": cell.draw}
    row |= score_checkpoint(place, place, records, device)
    if cell.protocol != "pretrain":
        shutil.rmtree(place / "checkpoint")
    shutil.rmtree(place / "checkpoints", ignore_errors=True)
    write_json(place / "cell.json", row)
    return str(place)


def _pretrain(
    cell: Cell, config: Config, places: Places, held: dict[str, dict[str, Records]], place: Path, device: Any
) -> int:
    from peace.experiments.ablation.variants import ALIGNING
    from peace.training.train import TrainingPlan

    aligning = cell.method in ALIGNING
    plan = TrainingPlan(
        config.model_dump(mode="json"),
        "pretrain",
        places.adult,
        target_shards=places.target if aligning else None,
    )
    unlabelled = held[TARGET]["train"] if aligning else None
    return _train(plan, held[ADULT]["train"], held[ADULT]["val"], place, device, unlabelled)


def _adapt(
    cell: Cell,
    config: Config,
    places: Places,
    training: Records,
    validation: Records,
    start: Path,
    place: Path,
    device: Any,
) -> int:
    from peace.checkpoint import read_meta
    from peace.training.few_shot import sample_shots
    from peace.training.train import TrainingPlan, adapted_config

    changes: dict[str, Any] = {"protocol": cell.protocol}
    if cell.protocol == "few-shot":
        index = sample_shots(training.target, training.record_id, cell.shots, cell.draw)
        training = replace(training, **{name: getattr(training, name)[index] for name in training.__dataclass_fields__})
        changes["shots"] = cell.shots
    config = config.model_copy(update={"adapt": config.adapt.model_copy(update=changes)})
    plan = TrainingPlan(adapted_config(config, read_meta(start)[0]), "adapt", places.target, str(start))
    return _train(plan, training, validation, place, device)


def _carry_over(config: Config, places: Places, start: Path, place: Path) -> int:
    """Zero-shot: the pretrained weights, with the target's amplitudes scaled to those trained on."""
    from peace.checkpoint import read_meta, save_checkpoint
    from peace.data.shards import ShardSet
    from peace.training.train import start_classifier

    classifier, meta = start_classifier(start, ShardSet.open(places.target), config.adapt.calibrate_amplitude)
    save_checkpoint(place / "checkpoint", classifier, read_meta(start)[0], replace(meta, protocol="zero-shot"))
    return 0


def _train(
    plan: Any, training: Records, validation: Records, place: Path, device: Any, unlabelled: Records | None = None
) -> int:
    """Train in this process, from the last epoch that is kept; the best one is left as the checkpoint."""
    from jobs.runtime.history import append_history, read_history
    from jobs.training.outputs import keep_checkpoint
    from peace.training.batches import MemorySource
    from peace.training.checkpoint_manager import CheckpointStore
    from peace.training.train import Hooks, train

    history = place / "history.jsonl"

    def on_kept(metrics: dict[str, Any]) -> None:
        if metrics["epoch"] not in {epoch["epoch"] for epoch in read_history(history)}:
            append_history(history, metrics)

    config, settings = plan.build()
    source = MemorySource(training, settings.batch_size, config.seed)
    store = CheckpointStore(place / "checkpoints")
    train(plan, Hooks(on_kept=on_kept), store, source, device, validation, unlabelled)
    keep_checkpoint(store.best(), place / "checkpoint")
    return len(training)


def score_checkpoint(checkpoint: Path, place: Path, records: dict[str, Records], device: Any) -> dict[str, Any]:
    """Predict validation and test split into `place`; gives the test split's macro AUC and that of each label."""
    from jobs.training.scoring import write_predictions
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
