"""`peace sweep`: a search space tried out, trial by trial, on Ray Tune.

    peace sweep curriculum --out runs/sweep                                    synthetic cohorts of its own
    peace sweep optimiser --trials 24 --shards runs/mimic-shards --out runs/sweep
    peace sweep shots --checkpoint runs/pretrain --shards runs/zzu-shards --out runs/shots
    peace sweep my_space.yaml --shards runs/mimic-shards --out runs/sweep
    peace sweep --show runs/sweep

A second call resumes where the first was stopped; with more --trials it takes a finished sweep further.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.runtime.harness import Job, Table, Verb, main
from peace.core.errors import ConfigError, nearest
from peace.core.storage import to_path

if TYPE_CHECKING:
    from jobs.tuning.resources import TrialResources
    from jobs.tuning.trial import TrialPlan
    from peace.experiments.sweeps.space import Space
    from peace.experiments.sweeps.trial_store import TrialStore

SPACES = Path(__file__).parents[1] / "tune_spaces"
OWN_COHORTS = ("debug", "demo")  # presets whose synthetic cohorts are small enough to be made on the way
# what shapes data and trainings
SECTIONS = (
    *("seed", "labels", "split", "leads", "signal", "quality", "preprocess", "synthetic"),
    *("model", "objective", "pretrain", "adapt"),
)
FAILED = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    names = ", ".join(sorted(file.stem for file in SPACES.glob("*.yaml")))
    parser.add_argument("space", nargs="?", metavar="SPACE", help=f"{names}; or a YAML file (docs/sweeps.md)")
    parser.add_argument("--trials", type=int, metavar="N", help="trials in all; default: the space's budget")
    parser.add_argument("--concurrency", default="auto", metavar="N", help="trials at a time; auto: what has room")
    parser.add_argument("--shards", type=to_path, metavar="DIR", help="output of peace preprocess; default: synthetic")
    parser.add_argument("--checkpoint", type=Path, metavar="DIR", help="spaces that adapt: where trials start from")
    parser.add_argument("--retry-failed", action="store_true", help="let trials that failed run again")
    parser.add_argument("--synthetic", action="store_true", help="say in the report that the recordings are synthetic")
    parser.add_argument("--show", type=Path, metavar="DIR", help="print what a sweep has found, also one under way")


def space_of(args: argparse.Namespace) -> tuple[str, Space]:
    """Name and content of the space that was asked for. Raises ConfigError."""
    from peace.experiments.sweeps.space import read_space

    known = sorted(file.stem for file in SPACES.glob("*.yaml"))
    if args.space is None:
        raise ConfigError(f"SPACE is missing: one of {', '.join(known)}, or a YAML file")
    if args.space in known:
        return args.space, read_space(SPACES / f"{args.space}.yaml", args.preset)
    file = Path(args.space)
    if file.suffix not in (".yaml", ".yml"):
        raise ConfigError(
            f"unknown space '{args.space}'{nearest(args.space, known)} (known: {', '.join(known)}, or a YAML file)"
        )
    return file.stem, read_space(file, args.preset)


def identity(args: argparse.Namespace) -> dict[str, Any]:
    """The space, and the data and start weights by digest. How many trials there are changes nothing about any."""
    from peace.checkpoint import find_checkpoint
    from peace.core.files import file_digest
    from peace.data.shards import ShardSet

    name, space = space_of(args)
    _check(args, space)
    tried = space.model_dump(mode="json", exclude={"summary", "budget"})
    found = {"space": name, "tried": tried}
    if args.shards is not None:
        found["shards"] = ShardSet.open(args.shards).digest
    if args.checkpoint is not None:
        found["weights"] = file_digest(find_checkpoint(args.checkpoint) / "model.safetensors")
    return found


def _check(args: argparse.Namespace, space: Space) -> None:
    """Raise ConfigError for arguments that do not go together."""
    if args.trials is not None and args.trials < 1:
        raise ConfigError(f"--trials must be at least 1, got {args.trials}")
    if args.concurrency != "auto" and not (args.concurrency.isdecimal() and int(args.concurrency) > 0):
        raise ConfigError(f"--concurrency is auto or a number of trials, got '{args.concurrency}'")
    if args.checkpoint is not None and space.stage != "adapt":
        raise ConfigError(f"--checkpoint is for spaces that adapt; {args.space} pretrains from random weights")
    own = args.preset in OWN_COHORTS
    if args.shards is None and not own:
        raise ConfigError(
            f"--shards DIR is missing: only presets {' and '.join(OWN_COHORTS)} make cohorts of their own"
        )
    if space.stage == "adapt" and args.checkpoint is None and not own:
        raise ConfigError(f"--checkpoint DIR is missing: {args.space} adapts a pretrained model")


def work(job: Job) -> dict[str, Any]:
    """Run what is missing of the trials, then compare and report."""
    from jobs.tuning.summary import conclude
    from peace.core.files import write_json
    from peace.experiments.sweeps.trial_store import TrialStore

    name, space = space_of(job.args)
    store = TrialStore(job.out / "trials", space.mode)
    if job.args.retry_failed:
        for trial in store.of("failed"):
            store.reopen(trial.number)
    settings = {"level": job.config.evaluation.level, "method": job.config.objective.method}
    write_json(job.out / "sweep.json", {"name": name, **settings, "space": space.model_dump(mode="json")})
    facts = _run_missing(job, name, space, store)
    return conclude(job, name, space, store, facts)


def _run_missing(job: Job, name: str, space: Space, store: TrialStore) -> list[tuple[str, str]]:
    """Run trials until there are as many as asked for; returns facts for the report."""
    from peace.experiments.sweeps.repeats import grid_size
    from peace.experiments.sweeps.space import start_values

    trials: int = job.args.trials or space.budget.trials or grid_size(space)
    closed = len(store.of("finished", "stopped", "failed"))
    facts = [("space", name), ("search", f"{space.search}, {space.scheduler.name}"), ("preset", job.args.preset)]
    if not store.of("open") and _complete(space, store, trials):
        job.log.info("%d trials are there already", closed)
        return facts
    from jobs.runtime.ray_session import ray_session
    from jobs.training.launcher import records_mb
    from jobs.training.resources import alive_nodes
    from jobs.tuning.resources import trial_resources
    from jobs.tuning.runner import run_trials
    from peace.data.shards import ShardSet

    # stdout is for the result; Ray prints the raylets' notices there
    with ray_session(job.config.ray, dashboard=True), redirect_stdout(sys.stderr):
        shards, start = _data(job, space)
        opened = ShardSet.open(shards)
        job.run.dataset(",".join(sorted(opened.statistics)), opened.digest, str(shards))
        asked = None if job.args.concurrency == "auto" else int(job.args.concurrency)
        held = records_mb(str(shards), job.config.ray.in_memory_mb)
        resources = trial_resources(alive_nodes(), job.config.ray, asked, max(1, trials - closed), held)
        print(f"peace sweep: {resources}", file=sys.stderr)
        job.log.info("%s", resources)
        plan = _plan(job, space, shards, start, resources)
        run_trials(job, space, store, plan, trials, start_values(plan.config, list(space.parameters)))
    return [*facts, ("cluster", str(resources))]


def _complete(space: Space, store: TrialStore, trials: int) -> bool:
    from peace.experiments.sweeps.repeats import next_point

    if len(store.trials) >= trials:
        return True
    return space.search == "grid" and next_point(space, list(store.trials.values())) == "end"


def _data(job: Job, space: Space) -> tuple[Path, Path | None]:
    """Shards, and the checkpoint that adaptations start from; both are made where they were not given."""
    from jobs.pipeline.stages import Stages
    from jobs.pipeline.synthetic import synthetic_shards
    from peace.checkpoint import find_checkpoint
    from peace.data.shards import ShardSet
    from peace.training.plan import check_fits

    shards, start, stages = job.args.shards, job.args.checkpoint, Stages(job)
    adapting = space.stage == "adapt"
    own = "zzu" if adapting else "mimic"
    needed = [*(["mimic"] if adapting and start is None else []), *([own] if shards is None else [])]
    made = synthetic_shards(stages, needed) if needed else {}
    shards = (shards or made[own]).absolute()
    if not adapting:
        return shards, None
    if start is None:
        print("peace sweep: no --checkpoint: pretraining on synthetic adults", file=sys.stderr)
        stages.call("pretrain", "pretrain", ["--shards", made["mimic"]])
        start = job.out / "pretrain"
    start = find_checkpoint(Path(start).absolute())
    check_fits(start, ShardSet.open(shards))
    return shards, start


def _plan(job: Job, space: Space, shards: Path, start: Path | None, resources: TrialResources) -> TrialPlan:
    """What the trials share. Raises ConfigError where the space's fixed values do not go with the configuration."""
    from jobs.tuning.trial import TrialPlan
    from peace.experiments.sweeps.space import trial_config

    return TrialPlan(
        config=trial_config(job.config, space.fixed),
        stage=space.stage,
        shards=str(shards),
        start=None if start is None else str(start),
        trials=str(job.out / "trials"),
        metric=space.metric,
        mode=space.mode,
        resources=resources,
        scores_test=space.draws is not None,
    )


def tables(result: dict[str, Any]) -> list[Table]:
    """The trials, the best first, the curve over shots, and what to do with it."""
    from peace.experiments.sweeps.summary import table_rows

    header, lines = table_rows(result["space"]["parameters"], result["metric"], result["mode"], result["rows"])
    count = f"{result['trials']} trials, {result['failed']} failed"
    found = [Table(f"{result['space']['name']}: {count}", header, lines)]
    failed = [row for row in result["rows"] if row["status"] == "failed"]
    if failed:
        found.append(Table("", ("failed",), [(f"trial {row['trial']}: {row['error']}",) for row in failed]))
    if result["curve"]:
        from peace.experiments.ablation.report import curve_rows

        found.append(Table("AUC over shots: mean macro AUC on test (range of the draws)", *curve_rows(result["curve"])))
    best = result["best"]
    rows = [("best", f"trial {best['trial']}: {best['metric_name']} {best['metric']:.4f}")] if best else []
    rows += [
        (name, result[key]) for name, key in (("its configuration", "best_config"), ("report", "report")) if result[key]
    ]
    return [*found, Table("", ("", ""), rows)] if rows else found


def show(job: Job) -> dict[str, Any]:
    """What a sweep has found so far, from its directory."""
    from jobs.tuning.summary import found_in

    return found_in(job.args.show)


SHOW = Verb(
    name="sweep --show",
    summary="Print what a sweep has found.",
    add_arguments=lambda parser: None,  # those of `peace sweep`
    work=show,
    tables=tables,
    sections=(),
    final=False,
    tracked=False,
    keeps_run=False,
)

VERB = Verb(
    name="sweep",
    summary="Try out a search space, trial by trial, and keep the best configuration.",
    add_arguments=add_arguments,
    work=work,
    tables=tables,
    sections=SECTIONS,
    settings=("ray", "evaluation"),
    identity=identity,
    final=False,
    exit_code=lambda result: 0 if result["best"] else FAILED,
    variant=lambda args: SHOW if args.show else None,
)

if __name__ == "__main__":
    sys.exit(main(VERB))
