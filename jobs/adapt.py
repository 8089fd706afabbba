"""`peace adapt`: carry a checkpoint to another cohort (the paper's three protocols, and a linear probe).

zero-shot: all weights stay as they are; thresholds are fitted on the target's validation split. The amplitudes of the
           target are scaled to those trained on, as in the other protocols (adapt.calibrate_amplitude).
few-shot:  fine-tune on up to K labelled training records per label.
full:      fine-tune on the whole training split.
linear-probe: the ECG encoder stays as it is, and one linear layer in the label query network's place is fitted on the
           whole training split, from the ECG alone: what the features are worth by themselves.

    peace adapt --checkpoint runs/pretrain --shards runs/zzu/shards --protocol few-shot --shots 50 --out runs/zzu-50
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from jobs.runtime.harness import Job, Table, Verb, main
from peace.core.storage import place

SECTIONS = ("seed", "objective", "adapt")
PROTOCOLS = ("zero-shot", "few-shot", "full", "linear-probe")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument(
        "--checkpoint", type=place, required=True, metavar="DIR", help="run directory or checkpoint folder"
    )
    parser.add_argument("--shards", type=place, required=True, metavar="DIR", help="output of peace preprocess")
    parser.add_argument("--protocol", choices=PROTOCOLS, help="default: adapt.protocol")
    parser.add_argument("--shots", type=int, metavar="K", help="few-shot: records per label; default: adapt.shots")
    parser.add_argument("--seed", type=int, metavar="S", help="of sampling and training; default: seed")


def overrides(args: argparse.Namespace) -> list[str]:
    """The options, as configuration."""
    given = {"adapt.protocol": args.protocol, "adapt.shots": args.shots, "seed": args.seed}
    return [f"{key}={value}" for key, value in given.items() if value is not None]


def identity(args: argparse.Namespace) -> dict[str, str]:
    """Start weights and training data, by digest."""
    from peace.checkpoint import find_checkpoint
    from peace.core.files import file_digest
    from peace.data.shards import ShardSet

    weights = find_checkpoint(args.checkpoint) / "model.safetensors"
    return {"weights": file_digest(weights), "shards": ShardSet.open(args.shards).digest}


def work(job: Job) -> dict[str, Any]:
    """Adapt by the protocol and predict validation and test split."""
    from jobs.runtime.ray_session import ray_session
    from peace.checkpoint import find_checkpoint
    from peace.data.shards import ShardSet
    from peace.training.train import check_fits

    shards = job.args.shards.absolute()
    start = find_checkpoint(job.args.checkpoint.absolute())
    check_fits(start, ShardSet.open(shards))
    with ray_session(job.config.ray):
        values = (
            _carry_over(job, start, shards) if job.config.adapt.protocol == "zero-shot" else _tune(job, start, shards)
        )
    return {"protocol": job.config.adapt.protocol, **values}


def _carry_over(job: Job, start: Path, shards: Path) -> dict[str, Any]:
    from jobs.training.outputs import note_inputs
    from jobs.training.scoring import predict_splits
    from peace.checkpoint import load_training, read_meta, save_checkpoint
    from peace.data.shards import ShardSet
    from peace.training.train import start_classifier

    target = ShardSet.open(shards)
    classifier, meta = start_classifier(start, target, job.config.adapt.calibrate_amplitude)
    meta = replace(meta, protocol="zero-shot", cohort=",".join(sorted(target.statistics)), statistics=target.statistics)
    place = job.out / "checkpoint"
    save_checkpoint(place, classifier, read_meta(start)[0], meta, load_training(start)[0])
    predicted = predict_splits(place, shards, job.out, job.config.ray)
    note_inputs(job, shards)
    return {"checkpoint": str(place), "epochs": 0, "trained_on": 0, **predicted}


def _tune(job: Job, start: Path, shards: Path) -> dict[str, Any]:
    from jobs.training.launcher import train_on_ray
    from jobs.training.outputs import finish_training
    from peace.checkpoint import read_meta
    from peace.data.shards import ShardSet
    from peace.training.train import TrainingPlan, adapted_config, with_descriptors

    config = with_descriptors(adapted_config(job.config, read_meta(start)[0]), ShardSet.open(shards))
    chosen = shots_of(job, shards) if job.config.adapt.protocol == "few-shot" else None
    plan = TrainingPlan(config, "adapt", str(shards), str(start), chosen)
    best = train_on_ray(job, plan)
    trained_on = len(chosen) if chosen is not None else _training_records(shards)
    return {"trained_on": trained_on, **finish_training(job, best, shards)}


def shots_of(job: Job, shards: Path) -> tuple[str, ...]:
    """The training records of a few-shot adaptation, by adapt.shots and seed."""
    from peace.data.shards import ShardSet
    from peace.training.few_shot import sample_shots

    record_id, target = ShardSet.open(shards).labelled("train")
    index = sample_shots(target, record_id, job.config.adapt.shots, job.config.seed)
    return tuple(sorted(record_id[index].tolist()))


def _training_records(shards: Path) -> int:
    from peace.data.shards import ShardSet

    return ShardSet.open(shards).splits.get("train", 0)


def tables(result: dict[str, Any]) -> list[Table]:
    """What a person reads at the end."""
    from jobs.training.outputs import training_table

    return [training_table(f"Adaptation: {result['protocol']}, {result['trained_on']} training records", result)]


VERB = Verb(
    name="adapt",
    summary="Carry a checkpoint to another cohort: zero-shot, few-shot or full fine-tuning.",
    add_arguments=add_arguments,
    work=work,
    tables=tables,
    sections=SECTIONS,
    settings=("ray",),
    writes_anywhere=True,
    identity=identity,
    overrides=overrides,
)

if __name__ == "__main__":
    sys.exit(main(VERB))
