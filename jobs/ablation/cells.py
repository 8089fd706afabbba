"""One training of the grid, as a Ray task: it leaves its folder whole, or resumes from its last epoch.

cells/<method>-seed-<s>-<protocol>/
  history.jsonl         its epochs
  checkpoint/           of a pretraining: what its adaptations start from
  predictions.parquet   validation and test split
  cell.json             its row of the result; written last, so it says that the cell is done
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peace.config import Config, override_config

if TYPE_CHECKING:
    from peace.data.shards import Records
    from peace.training.plan import TrainingPlan

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
    """Train and score a cell unless that is done; returns its folder. `held` are the records of both cohorts by split.

    `start` is the finished pretraining that an adaptation needs: Ray hands it in when it is there.
    """
    import torch

    from jobs.training.scoring import score_checkpoint
    from peace.core.files import write_json
    from peace.data.shards import ShardSet
    from peace.experiments.ablation.variants import variant_config
    from peace.training.train import transfer_without_training

    place = Path(places.cells) / cell.name
    if (place / "cell.json").exists():
        return str(place)
    torch.set_num_threads(threads)
    place.mkdir(parents=True, exist_ok=True)
    device = torch.device("cuda" if config.ray.gpu and torch.cuda.is_available() else "cpu")
    config = variant_config(config, cell.method, cell.draw if cell.protocol == "few-shot" else cell.seed)
    records = held[ADULT if cell.protocol == "pretrain" else TARGET]
    trained_on = 0
    if cell.protocol == "zero-shot":
        transfer_without_training(Path(start), ShardSet.open(places.target), config, place / "checkpoint")
    else:
        plan = _build_plan(cell, config, places, None if start is None else Path(start))
        unlabelled = held[TARGET]["train"] if plan.target_shards is not None else None
        trained_on = _train(plan, records["train"], records["val"], place, device, unlabelled)
    row = {"method": cell.method, "protocol": cell.protocol, "seed": cell.seed, "trained_on": trained_on}
    if cell.protocol == "few-shot":
        row |= {"shots": cell.shots, "draw": cell.draw}
    row |= score_checkpoint(place, place, records, device)
    if cell.protocol != "pretrain":
        shutil.rmtree(place / "checkpoint")
    shutil.rmtree(place / "checkpoints", ignore_errors=True)
    write_json(place / "cell.json", row)
    return str(place)


def _build_plan(cell: Cell, config: Config, places: Places, start: Path | None) -> TrainingPlan:
    from peace.experiments.ablation.variants import ALIGNING
    from peace.training.plan import build_plan

    if cell.protocol == "pretrain":
        target = places.target if cell.method in ALIGNING else None
        return build_plan(config, "pretrain", places.adult, target_shards=target)
    few = {"adapt.shots": cell.shots} if cell.protocol == "few-shot" else {}
    config = override_config(config, {"adapt.protocol": cell.protocol, **few})
    return build_plan(config, "adapt", places.target, start)


def _train(
    plan: TrainingPlan,
    training: Records,
    validation: Records,
    place: Path,
    device: Any,
    unlabelled: Records | None = None,
) -> int:
    """Train in this process, from the last epoch that is kept; the best one is left as the checkpoint."""
    import numpy as np

    from jobs.runtime.history import append_history, read_history
    from jobs.training.outputs import keep_checkpoint
    from peace.training.batches import MemorySource
    from peace.training.checkpoint_manager import CheckpointManager
    from peace.training.run import Hooks
    from peace.training.train import train

    history = place / "history.jsonl"

    def on_kept(metrics: dict[str, Any]) -> None:
        if metrics["epoch"] not in {epoch["epoch"] for epoch in read_history(history)}:
            append_history(history, metrics)

    if plan.record_ids is not None:
        training = training.select(np.isin(training.record_id, plan.record_ids))
    source = MemorySource(training, plan.settings.batch_size, plan.config.seed)
    store = CheckpointManager(place / "checkpoints")
    train(plan, Hooks(on_kept=on_kept), store, source, device, validation, unlabelled)
    keep_checkpoint(store.best(), place / "checkpoint")
    return len(training)
