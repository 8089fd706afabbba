"""`peace pretrain`: train PEACE from random weights on the training split of a cohort (the paper: MIMIC-IV-ECG).

peace pretrain --shards runs/mimic/shards --out runs/pretrain --preset paper ray.workers=8
peace pretrain --shards runs/mimic/shards --target-shards runs/zzu/shards --out runs/dann objective.method=dann
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from jobs.runtime.harness import Job, Table, Verb, main
from peace.core.storage import to_path

SECTIONS = ("seed", "model", "objective", "pretrain")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument("--shards", type=to_path, required=True, metavar="DIR", help="output of peace preprocess")
    parser.add_argument(
        "--target-shards",
        type=to_path,
        metavar="DIR",
        help="objective.method=dann or mmd: the cohort to align with; its training records are seen without labels",
    )


def identity(args: argparse.Namespace) -> dict[str, str]:
    """The training data, by digest."""
    from peace.data.shards import ShardSet

    target = {"target_shards": ShardSet.open(args.target_shards).digest} if args.target_shards else {}
    return {"shards": ShardSet.open(args.shards).digest, **target}


def work(job: Job) -> dict[str, Any]:
    """Train, keep the best epoch, predict validation and test split."""
    from jobs.runtime.ray_session import ray_session
    from jobs.training.launcher import train_on_ray
    from jobs.training.outputs import finish_training
    from peace.training.plan import build_plan

    shards = job.args.shards.absolute()
    target = job.args.target_shards.absolute() if job.args.target_shards else None
    plan = build_plan(job.config, "pretrain", shards, target_shards=target)
    with ray_session(job.config.ray):
        best = train_on_ray(job, plan)
        return finish_training(job, best, shards)


def tables(result: dict[str, Any]) -> list[Table]:
    """What a person reads at the end."""
    from jobs.training.outputs import training_table

    return [training_table("Pretraining", result)]


VERB = Verb(
    name="pretrain",
    summary="Train PEACE from random weights on the training split of a cohort.",
    add_arguments=add_arguments,
    work=work,
    tables=tables,
    sections=SECTIONS,
    settings=("ray",),
    writes_anywhere=True,
    identity=identity,
)

if __name__ == "__main__":
    sys.exit(main(VERB))
