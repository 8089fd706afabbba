"""One training from shards to checkpoints. `jobs/training/launcher.py` runs it on Ray; a notebook calls `train`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from peace.checkpoint import CheckpointMeta, load_classifier, load_training, read_meta
from peace.config import Config, TrainingConfig, build_config, merge
from peace.core.errors import ConfigError, DataError
from peace.core.storage import place
from peace.data.shards import Records, ShardSet, amplitude_factor
from peace.descriptors import load_descriptors, locate_descriptors
from peace.models import EcgClassifier
from peace.objectives.gate import make_gate
from peace.training.batches import BesideUnlabelled, MemorySource, Source, repeated
from peace.training.checkpoint_manager import CheckpointStore
from peace.training.distributed import Ranks
from peace.training.predict import join, macro_auc, score
from peace.training.run import Course, Hooks, Leaving
from peace.training.streaming import StreamSource, fits_in_memory
from peace.training.tasks import DOMAIN_METHODS, Task, make_task
from peace.training.trainer import Diverged, Trainer


@dataclass(frozen=True)
class TrainingPlan:
    """What is trained on what. Plain values, so that it travels to a worker.

    `start` is a checkpoint to start from, `record_ids` the training records where not all are used, `target_shards` a
    second cohort whose training records the methods that align domains see, without labels.
    """

    config: dict[str, Any]
    stage: Literal["pretrain", "adapt"]
    shards: str
    start: str | None = None
    record_ids: tuple[str, ...] | None = None
    target_shards: str | None = None

    def build(self) -> tuple[Config, TrainingConfig]:
        """The typed configuration, and the section that this stage trains by."""
        config = build_config(self.config)
        return config, config.pretrain if self.stage == "pretrain" else config.adapt


def train(
    plan: TrainingPlan,
    hooks: Hooks | None = None,
    store: CheckpointStore | None = None,
    source: Source | None = None,
    device: torch.device | None = None,
    validation: Records | None = None,
    unlabelled: Records | None = None,
) -> int:
    """Train for the epochs of the plan, from the newest whole checkpoint in `store` where there is one.

    Every rank calls it. `source`, `validation` (the whole split) and `unlabelled` (the training split of the target)
    are read from the plan's shards where they are not given. Gives 0 at its end, or what `hooks.leave` said where that
    ended it. Raises DataError or ConfigError.
    """
    ranks = Ranks.current()
    device = device or torch.device("cpu")
    config, settings = plan.build()
    shards = ShardSet.open(plan.shards)
    task, meta = build_task(plan, config, shards)
    gate = make_gate(config.objective)
    source = source or training_source(plan, config, settings, shards, ranks)
    source = repeated(source, settings.epochs, settings.min_steps)
    if plan.target_shards is not None:
        unlabelled = unlabelled or ShardSet.open(plan.target_shards).load("train")
        source = BesideUnlabelled(source, unlabelled, config.seed, ranks.rank)
    trainer = Trainer(task, gate, settings, source, ranks, device, config.seed, start_share(plan))
    course = Course(trainer, config, meta, hooks or Hooks(), store)
    course.resume()
    try:
        while course.epoch < settings.epochs and not 0 < settings.patience <= course.stale:
            metrics = trainer.run_epoch(course.epoch, course.after_step)
            metrics["val_auc"] = validate(trainer.classifier, shards, ranks, device, validation)
            course.close_epoch(metrics)
        course.end()
    except Leaving as leaving:
        return leaving.why
    except Diverged as error:
        error.args = (f"{error}; {course.last_good()}",)
        raise
    return 0


def build_task(plan: TrainingPlan, config: Config, shards: ShardSet) -> tuple[Task, CheckpointMeta]:
    """Model and objectives, started from the plan's checkpoint or from random weights, and what to write beside them.

    Raises DataError where checkpoint and shards differ in label set or signal recipe, and ConfigError where the method
    and the second cohort do not go together.
    """
    check_target(plan)
    torch.manual_seed(config.seed)
    descriptors = load_descriptors(config.objective.descriptors, shards.labels, config.objective.allow_findings)
    task = make_task(config, shards.labels, descriptors, plan.target_shards is not None)
    if plan.start is not None:
        start = place(plan.start)
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


def start_share(plan: TrainingPlan) -> float:
    """How much of the start is mixed into what is judged: where there are few shots alone.

    A linear probe starts from nothing, and with all records of a cohort the mean falls short of what was learned.
    """
    config = plan.build()[0]
    few = plan.stage == "adapt" and config.adapt.protocol == "few-shot"
    return config.adapt.start_share if few and plan.start is not None else 0.0


def _take_over(classifier: EcgClassifier, start: EcgClassifier) -> None:
    """The weights of `start`; a linear probe takes all but the label query network, and begins its layer at zero."""
    state = start.state_dict()
    if classifier.linear is not None and start.linear is None:
        state = {name: value for name, value in state.items() if not name.startswith("query.")}
        state |= {f"linear.{name}": torch.zeros_like(value) for name, value in classifier.linear.state_dict().items()}
    classifier.load_state_dict(state)


def with_descriptors(values: dict[str, Any], shards: ShardSet) -> dict[str, Any]:
    """A configuration whose descriptors a worker finds too, which has a working directory of its own.

    Raises DataError before anything is started where they are missing, incomplete, or stopped by a check.
    """
    objective = build_config(values).objective
    load_descriptors(objective.descriptors, shards.labels, objective.allow_findings)
    return merge(values, {"objective": {"descriptors": locate_descriptors(objective.descriptors)}})


def check_target(plan: TrainingPlan) -> None:
    """Raise ConfigError or DataError where the plan's method and its second cohort do not go together."""
    method = plan.build()[0].objective.method
    if plan.target_shards is None:
        if plan.stage == "pretrain" and method in DOMAIN_METHODS:
            raise ConfigError(f"objective.method={method} aligns two cohorts: name the second with --target-shards DIR")
        return
    if method not in DOMAIN_METHODS:
        raise ConfigError(f"--target-shards is for {' and '.join(DOMAIN_METHODS)}, not for objective.method={method}")
    shards, target = ShardSet.open(plan.shards), ShardSet.open(plan.target_shards)
    for key in ("rate", "seconds"):
        here, there = shards.recipe["signal"][key], target.recipe["signal"][key]
        if here != there:
            raise DataError(f"{target.place} has signal.{key}={there}, {shards.place} has {here}: preprocess one again")


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


def adapted_config(config: Config, base: Config) -> dict[str, Any]:
    """The configuration of an adaptation: the network is that of the checkpoint, `base`, the rest this run's.

    A linear probe puts one linear layer in the place of the label query network, and no text beside it.
    """
    changed: dict[str, Any] = {"model": base.model.model_dump(mode="json")}
    if config.adapt.protocol == "linear-probe":
        changed = merge(changed, {"model": {"readout": "linear"}, "objective": {"method": "ecg_only"}})
    values = merge(config.model_dump(mode="json"), changed)
    build_config(values)
    return values


def check_fits(checkpoint: Path, shards: ShardSet) -> None:
    """Raise DataError where a checkpoint was made for another label set or signal recipe than the shards."""
    _, meta = read_meta(checkpoint)
    if list(meta.labels) != list(shards.labels):
        raise DataError(
            f"checkpoint {checkpoint} has the labels {', '.join(meta.labels)}; "
            f"the shards in {shards.place} have {', '.join(shards.labels)}"
        )
    for key in ("rate", "seconds"):
        here, there = shards.recipe["signal"][key], meta.recipe["signal"][key]
        if here != there:
            raise DataError(
                f"checkpoint {checkpoint} was trained on signal.{key}={there}, {shards.place} has {here}: "
                f"run preprocess again with signal.{key}={there}"
            )


def common_scale(shards: ShardSet) -> list[float]:
    """One scale in mV for all leads: their root mean square deviation over the training split.

    Common to the leads, so that I + III = II still holds after scaling (our choice).
    """
    spread = [values["std_mv"] for values in shards.statistics.values()]
    scale = float(np.sqrt(np.mean(np.square(spread)))) if spread else 1.0
    return [scale if np.isfinite(scale) and scale > 0 else 1.0] * 12


def training_source(
    plan: TrainingPlan, config: Config, settings: TrainingConfig, shards: ShardSet, ranks: Ranks
) -> Source:
    """The training split, or the plan's records of it: in memory, or streamed where it is above ray.in_memory_mb."""
    found = shards.splits.get("train", 0) if plan.record_ids is None else len(plan.record_ids)
    if found < ranks.world:
        raise DataError(f"{shards.place} has {found} training records for {ranks.world} workers: nothing to train on")
    order = settings.batch_size, config.seed, ranks.rank, ranks.world
    if plan.record_ids is None and not fits_in_memory(shards, config.ray.in_memory_mb):
        return StreamSource(shards, *order)
    return MemorySource(shards.load("train", plan.record_ids), *order)


def validate(
    classifier: EcgClassifier, shards: ShardSet, ranks: Ranks, device: torch.device, held: Records | None = None
) -> float:
    """Macro AUC over the validation split; 0.5 where it holds no record.

    Ranks share its files among them; a split that is held in memory each scores as a whole.
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
