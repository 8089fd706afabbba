"""Training plans, and the one builder of them: for `pretrain`, `adapt`, sweep trials and ablation cells."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from peace.checkpoint import read_meta
from peace.config import Config, TrainingConfig, override_config
from peace.core.errors import ConfigError, DataError
from peace.core.storage import to_path
from peace.data.shards import ShardSet
from peace.descriptors import load_descriptors, locate_descriptors
from peace.training.few_shot import sample_shots
from peace.training.tasks import DOMAIN_METHODS

Stage = Literal["pretrain", "adapt"]


@dataclass(frozen=True)
class TrainingPlan:
    """One training. It is sent to every worker; paths are absolute.

    `config` is complete: the network is that of the checkpoint in an adaptation, and descriptors are found from any
    working directory. `start` is the checkpoint to start from, `record_ids` the training records where not all are
    used, `target_shards` a second cohort whose training records the methods that align domains see, without labels.
    """

    config: Config
    stage: Stage
    shards: str
    start: str | None = None
    record_ids: tuple[str, ...] | None = None
    target_shards: str | None = None

    @property
    def settings(self) -> TrainingConfig:
        """The section of the configuration that this stage trains by."""
        return self.config.pretrain if self.stage == "pretrain" else self.config.adapt

    @property
    def n_records(self) -> int:
        """Labelled training records."""
        if self.record_ids is not None:
            return len(self.record_ids)
        return ShardSet.open(self.shards).splits.get("train", 0)

    @property
    def wise_ft_alpha(self) -> float:
        """Share of the start weights that is mixed into the classifier after an adaptation (WiSE-FT): few-shot alone.

        A linear probe starts from nothing, and with all records of a cohort the mean falls short of what was learned.
        """
        few = self.stage == "adapt" and self.config.adapt.protocol == "few-shot"
        return self.config.adapt.wise_ft_alpha if few and self.start is not None else 0.0


def build_plan(
    config: Config,
    stage: Stage,
    shards: Path | str,
    start: Path | str | None = None,
    target_shards: Path | str | None = None,
) -> TrainingPlan:
    """Check what is to be trained and choose its records. `shards`, `start` and `target_shards` are absolute.

    Raises DataError where checkpoint and shards differ in label set or signal recipe or descriptors are missing or
    stopped by a check, and ConfigError where method and second cohort do not go together.
    """
    opened = ShardSet.open(shards)
    chosen = None
    if stage == "adapt":
        if start is None:
            raise ConfigError("an adaptation starts from a checkpoint, and none is given")
        check_fits(to_path(start), opened)
        config = adapted_config(config, read_meta(to_path(start))[0])
        if config.adapt.protocol == "few-shot":
            record_id, target = opened.labelled("train")
            index = sample_shots(target, record_id, config.adapt.shots, config.seed)
            chosen = tuple(sorted(record_id[index].tolist()))
    _check_target(config, stage, opened, target_shards)
    config = with_descriptors(config, opened)
    return TrainingPlan(
        config,
        stage,
        str(shards),
        None if start is None else str(start),
        chosen,
        None if target_shards is None else str(target_shards),
    )


def with_descriptors(config: Config, shards: ShardSet) -> Config:
    """A configuration whose descriptors a worker finds too, which has a working directory of its own.

    Raises DataError where they are missing, incomplete, or stopped by a check.
    """
    objective = config.objective
    load_descriptors(objective.descriptors, shards.labels, objective.allow_findings)
    return override_config(config, {"objective.descriptors": locate_descriptors(objective.descriptors)})


def adapted_config(config: Config, base: Config) -> Config:
    """The configuration of an adaptation: the network is that of the checkpoint, `base`, the rest this run's.

    A linear probe puts one linear layer in the place of the label query network, and no text beside it.
    """
    config = config.model_copy(update={"model": base.model})
    if config.adapt.protocol == "linear-probe":
        return override_config(config, {"model.readout": "linear", "objective.method": "ecg_only"})
    return config


def check_fits(checkpoint: Path, shards: ShardSet) -> None:
    """Raise DataError where a checkpoint was made for another label set or signal recipe than the shards."""
    _, meta = read_meta(checkpoint)
    if list(meta.labels) != list(shards.labels):
        raise DataError(
            f"checkpoint {checkpoint} has the labels {', '.join(meta.labels)}; "
            f"the shards in {shards.path} have {', '.join(shards.labels)}"
        )
    for key in ("rate", "seconds"):
        here, there = shards.recipe["signal"][key], meta.recipe["signal"][key]
        if here != there:
            raise DataError(
                f"checkpoint {checkpoint} was trained on signal.{key}={there}, {shards.path} has {here}: "
                f"run preprocess again with signal.{key}={there}"
            )


def _check_target(config: Config, stage: Stage, shards: ShardSet, target_shards: Path | str | None) -> None:
    """Raise ConfigError or DataError where the method and the second cohort do not go together."""
    method = config.objective.method
    if target_shards is None:
        if stage == "pretrain" and method in DOMAIN_METHODS:
            raise ConfigError(f"objective.method={method} aligns two cohorts: name the second with --target-shards DIR")
        return
    if method not in DOMAIN_METHODS:
        raise ConfigError(f"--target-shards is for {' and '.join(DOMAIN_METHODS)}, not for objective.method={method}")
    target = ShardSet.open(target_shards)
    for key in ("rate", "seconds"):
        here, there = shards.recipe["signal"][key], target.recipe["signal"][key]
        if here != there:
            raise DataError(f"{target.path} has signal.{key}={there}, {shards.path} has {here}: preprocess one again")
