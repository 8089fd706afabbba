"""`peace pretrain`: train PEACE from random weights on the training split of a cohort (the paper: MIMIC-IV-ECG).

peace pretrain --shards runs/mimic/shards --out runs/pretrain --preset paper ray.workers=8
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from jobs.harness import Job, Table, Verb, main

SECTIONS = ("seed", "model", "objective", "pretrain")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument("--shards", type=Path, required=True, metavar="DIR", help="output of peace preprocess")


def identity(args: argparse.Namespace) -> dict[str, str]:
    """The training data, by digest."""
    from peace.shards import ShardSet

    return {"shards": ShardSet.open(args.shards).digest}


def work(job: Job) -> dict[str, Any]:
    """Train, keep the best epoch, predict validation and test split."""
    from jobs.cluster_session import ray_session
    from jobs.finish import finish_training
    from jobs.training import train_on_ray
    from peace.learning.train import TrainingPlan

    shards = args_shards(job)
    plan = TrainingPlan(job.config.model_dump(mode="json"), "pretrain", str(shards))
    with ray_session(job.config.ray):
        best = train_on_ray(job, plan)
        return finish_training(job, best, shards)


def args_shards(job: Job) -> Path:
    """The shards as an absolute path, since workers have their own working directory."""
    return Path(job.args.shards).absolute()


def tables(result: dict[str, Any]) -> list[Table]:
    """What a person reads at the end."""
    from jobs.finish import training_table

    return [training_table("Pretraining", result)]


VERB = Verb(
    name="pretrain",
    summary="Train PEACE from random weights on the training split of a cohort.",
    add_arguments=add_arguments,
    work=work,
    tables=tables,
    sections=SECTIONS,
    identity=identity,
)

if __name__ == "__main__":
    sys.exit(main(VERB))
