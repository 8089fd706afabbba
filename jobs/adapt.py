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
from pathlib import Path
from typing import Any

from jobs.runtime.harness import Job, Table, Verb, main
from peace.core.storage import to_path

SECTIONS = ("seed", "objective", "adapt")
PROTOCOLS = ("zero-shot", "few-shot", "full", "linear-probe")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument(
        "--checkpoint", type=to_path, required=True, metavar="DIR", help="run directory or checkpoint folder"
    )
    parser.add_argument("--shards", type=to_path, required=True, metavar="DIR", help="output of peace preprocess")
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

    shards = job.args.shards.absolute()
    start = find_checkpoint(job.args.checkpoint.absolute())
    with ray_session(job.config.ray):
        adapt = _transfer if job.config.adapt.protocol == "zero-shot" else _fine_tune
        return {"protocol": job.config.adapt.protocol, **adapt(job, start, shards)}


def _transfer(job: Job, start: Path, shards: Path) -> dict[str, Any]:
    """Zero-shot."""
    from jobs.training.outputs import note_inputs
    from jobs.training.scoring import predict_splits
    from peace.data.shards import ShardSet
    from peace.training.train import transfer_without_training

    target = job.out / "checkpoint"
    transfer_without_training(start, ShardSet.open(shards), job.config, target)
    predicted = predict_splits(target, shards, job.out, job.config.ray)
    note_inputs(job, shards)
    return {"checkpoint": str(target), "epochs": 0, "trained_on": 0, **predicted}


def _fine_tune(job: Job, start: Path, shards: Path) -> dict[str, Any]:
    from jobs.training.launcher import train_on_ray
    from jobs.training.outputs import finish_training
    from peace.training.plan import build_plan

    plan = build_plan(job.config, "adapt", shards, start)
    best = train_on_ray(job, plan)
    return {"trained_on": plan.n_records, **finish_training(job, best, shards)}


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
