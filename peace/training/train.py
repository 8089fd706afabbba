"""One training from shards to checkpoints. `jobs/training/launcher.py` runs it on Ray; a notebook calls `train`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from peace.checkpoint import CheckpointMeta, load_classifier, load_training, read_meta, save_checkpoint
from peace.config import Config
from peace.core.errors import DataError
from peace.core.storage import to_path
from peace.data.shards import Records, ShardSet, amplitude_factor
from peace.descriptors import load_descriptors
from peace.models import EcgClassifier
from peace.objectives.gate import make_gate
from peace.training.batches import BesideUnlabelled, MemorySource, Source, repeated
from peace.training.checkpoint_manager import CheckpointManager
from peace.training.distributed import DistributedContext
from peace.training.plan import TrainingPlan, check_fits
from peace.training.predict import join, macro_auc, score
from peace.training.run import Hooks, StopTraining, TrainingRun
from peace.training.streaming import StreamSource, fits_in_memory
from peace.training.tasks import Task, make_task
from peace.training.trainer import Diverged, Trainer


def train(
    plan: TrainingPlan,
    hooks: Hooks | None = None,
    store: CheckpointManager | None = None,
    source: Source | None = None,
    device: torch.device | None = None,
    validation: Records | None = None,
    unlabelled: Records | None = None,
) -> int:
    """Train for the epochs of the plan, from the latest valid checkpoint in `store` where there is one.

    Every rank calls it. `source`, `validation` (the whole split) and `unlabelled` (the training split of the target)
    are read from the plan's shards where they are not given. Returns 0 at its end, or what `hooks.should_stop` said
    where that ended it. Raises DataError or ConfigError.
    """
    ranks = DistributedContext.current()
    device = device or torch.device("cpu")
    config, settings = plan.config, plan.settings
    shards = ShardSet.open(plan.shards)
    task, meta = build_task(plan, shards)
    gate = make_gate(config.objective)
    source = source or training_source(plan, shards, ranks)
    source = repeated(source, settings.epochs, settings.min_steps)
    if plan.target_shards is not None:
        unlabelled = unlabelled or ShardSet.open(plan.target_shards).load("train")
        source = BesideUnlabelled(source, unlabelled, config.seed, ranks.rank)
    trainer = Trainer(task, gate, settings, source, ranks, device, config.seed, plan.wise_ft_alpha)
    run = TrainingRun(trainer, config, meta, hooks or Hooks(), store)
    run.resume()
    try:
        while run.epoch < settings.epochs and not 0 < settings.patience <= run.stale:
            metrics = trainer.run_epoch(run.epoch, run.after_step)
            metrics["val_auc"] = validate(trainer.classifier, shards, ranks, device, validation)
            run.close_epoch(metrics)
        run.end()
    except StopTraining as leaving:
        return leaving.why
    except Diverged as error:
        error.args = (f"{error}; {run.last_good()}",)
        raise
    return 0


def build_task(plan: TrainingPlan, shards: ShardSet) -> tuple[Task, CheckpointMeta]:
    """Model and objectives, started from the plan's checkpoint or from random weights, and what to write beside them.

    Raises DataError where checkpoint and shards differ in label set or signal recipe.
    """
    config = plan.config
    torch.manual_seed(config.seed)
    descriptors = load_descriptors(config.objective.descriptors, shards.labels, config.objective.allow_findings)
    task = make_task(config, shards.labels, descriptors, plan.target_shards is not None)
    if plan.start is not None:
        start = to_path(plan.start)
        classifier, _ = start_classifier(start, shards, config.adapt.calibrate_amplitude)
        _take_over(task.classifier, classifier)
        text, _ = load_training(start)
        if text is not None:
            task.load_training_state(text)
    else:
        task.classifier.set_scale(common_scale(shards))
    if plan.stage == "adapt":
        task.freeze_stages(config.adapt.frozen_stages)
        if config.adapt.protocol == "linear-probe":
            task.classifier.freeze_features()
    meta = CheckpointMeta(
        labels=list(shards.labels),
        label_set=shards.label_set,
        label_set_digest=shards.label_set_digest,
        recipe=shards.recipe,
        statistics=shards.statistics,
        cohort=",".join(sorted(shards.statistics)),
        protocol="pretrain" if plan.stage == "pretrain" else config.adapt.protocol,
        descriptor_digest=descriptors.digest,
        descriptors=descriptors.as_file(),
    )
    return task, meta


def _take_over(classifier: EcgClassifier, start: EcgClassifier) -> None:
    """The weights of `start`; a linear probe takes all but the label query network, and begins its layer at zero."""
    state = start.state_dict()
    if classifier.linear is not None and start.linear is None:
        state = {name: value for name, value in state.items() if not name.startswith("query.")}
        state |= {f"linear.{name}": torch.zeros_like(value) for name, value in classifier.linear.state_dict().items()}
    classifier.load_state_dict(state)


def start_classifier(
    checkpoint: Path, shards: ShardSet, calibrate_amplitude: bool
) -> tuple[EcgClassifier, CheckpointMeta]:
    """The classifier of a checkpoint as it meets the shards of another cohort. Raises DataError as check_fits.

    Calibration changes its input scale alone, which is part of its weights: single records are scaled alike.
    """
    check_fits(checkpoint, shards)
    classifier, meta = load_classifier(checkpoint)
    if calibrate_amplitude:
        classifier.set_scale(classifier.scale_mv / amplitude_factor(meta.statistics, shards.statistics))
    return classifier, meta


def transfer_without_training(start: Path, shards: ShardSet, config: Config, target: Path) -> None:
    """Write the zero-shot checkpoint `target`: the weights of `start`, its input scale set for the target's shards."""
    classifier, meta = start_classifier(start, shards, config.adapt.calibrate_amplitude)
    meta = replace(meta, protocol="zero-shot", cohort=",".join(sorted(shards.statistics)), statistics=shards.statistics)
    save_checkpoint(target, classifier, read_meta(start)[0], meta, load_training(start)[0])


def common_scale(shards: ShardSet) -> list[float]:
    """One scale in mV for all leads: their root mean square deviation over the training split.

    Common to the leads, so that I + III = II still holds after scaling (our choice).
    """
    spread = [values["std_mv"] for values in shards.statistics.values()]
    scale = float(np.sqrt(np.mean(np.square(spread)))) if spread else 1.0
    return [scale if np.isfinite(scale) and scale > 0 else 1.0] * 12


def training_source(plan: TrainingPlan, shards: ShardSet, ranks: DistributedContext) -> Source:
    """The training split, or the plan's records of it: in memory, or streamed where it is above ray.in_memory_mb."""
    found = shards.splits.get("train", 0) if plan.record_ids is None else len(plan.record_ids)
    if found < ranks.world:
        raise DataError(f"{shards.path} has {found} training records for {ranks.world} workers: nothing to train on")
    order = plan.settings.batch_size, plan.config.seed, ranks.rank, ranks.world
    if plan.record_ids is None and not fits_in_memory(shards, plan.config.ray.in_memory_mb):
        return StreamSource(shards, *order)
    return MemorySource(shards.load("train", plan.record_ids), *order)


def validate(
    classifier: EcgClassifier,
    shards: ShardSet,
    ranks: DistributedContext,
    device: torch.device,
    held: Records | None = None,
) -> float:
    """Macro AUC over the validation split; 0.5 where it holds no record.

    DistributedContext share its files among them; a split that is held in memory each scores as a whole.
    """
    if held is not None:
        scores = score(classifier, held, device)
        return macro_auc(scores.probability, scores.target) if len(held) else 0.5
    mine = [score(classifier, shards.read([file]), device) for file in shards.files("val")[ranks.rank :: ranks.world]]
    parts = [part for found in ranks.gather(mine) for part in found]
    if not parts:
        return 0.5
    scores = join(parts)
    return macro_auc(scores.probability, scores.target)
