"""`peace ablate`: methods and ablations against each other, over protocols and seeds, each training a Ray task.

    peace ablate --out runs/ablate                         synthetic cohorts of its own
    peace ablate --shards-adult runs/mimic-shards --shards-target runs/zzu-shards --out runs/ablate
    peace ablate --out runs/ablate --curve                 the few-shot curve as well

A second call resumes where the first was stopped; further methods, seeds or protocols are added to what is there.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.ablation.cells import ADULT, TARGET, Cell, Places, run_cell
from jobs.runtime.harness import Job, Table, Verb, main
from peace.config import Config
from peace.core.errors import ConfigError, DataError, PeaceError

if TYPE_CHECKING:
    from peace.data.shards import Records

# what shapes data and trainings; `ablate` only chooses among them, so a change there leaves finished cells valid
SECTIONS = (
    *("seed", "labels", "split", "leads", "signal", "quality", "preprocess", "synthetic"),
    *("model", "objective", "pretrain", "adapt"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this verb."""
    parser.add_argument("--shards-adult", type=Path, metavar="DIR", help="adults; default: synthetic ones")
    parser.add_argument("--shards-target", type=Path, metavar="DIR", help="the target cohort; default: synthetic")
    parser.add_argument("--curve", action="store_true", help="few-shot curve too: ablate.curve.methods, shots, draws")
    parser.add_argument("--synthetic", action="store_true", help="say in the report that the recordings are synthetic")


def identity(args: argparse.Namespace) -> dict[str, str]:
    """The data, by digest; nothing where the job makes its own."""
    from peace.data.shards import ShardSet

    given = {"adult": args.shards_adult, "target": args.shards_target}
    if len({place is None for place in given.values()}) > 1:
        raise ConfigError("give both --shards-adult and --shards-target, or neither: then cohorts are synthesized")
    return {name: ShardSet.open(place).digest for name, place in given.items() if place is not None}


def work(job: Job) -> dict[str, Any]:
    """Run what is missing of the grid, then compare and report."""
    from jobs.ablation.summary import conclude
    from jobs.runtime.ray_session import ray_session

    with ray_session(job.config.ray):
        places = _places(job)
        cells = grid(job.config) + (curve(job.config) if job.args.curve else [])
        _run_all(job, cells, places)
    return conclude(job, cells, Path(places.cells), synthetic=job.args.synthetic or job.args.shards_adult is None)


def grid(config: Config) -> list[Cell]:
    """A pretraining for each method and seed, and its adaptations behind it."""
    settings = config.ablate
    cells = []
    for seed in settings.seeds:
        for method in settings.methods:
            cells.append(Cell(method, seed, "pretrain"))
            for protocol in settings.protocols:
                few = {"shots": config.adapt.shots, "draw": seed} if protocol == "few-shot" else {}
                cells.append(Cell(method, seed, protocol, **few))
    return cells


def curve(config: Config) -> list[Cell]:
    """Draws of each number of shots; each starts from the pretraining of one seed, the seeds taking turns."""
    settings, seeds = config.ablate.curve, config.ablate.seeds
    cells = []
    for place in range(settings.draws):
        seed = seeds[place % len(seeds)]
        # the first draw at a seed is the grid's own
        draw = seed + 1000 * (place // len(seeds))
        for method in settings.methods:
            cells.append(Cell(method, seed, "pretrain"))
            cells += [Cell(method, seed, "few-shot", shots, draw) for shots in settings.shots]
    return cells


def _places(job: Job) -> Places:
    """The shards that were given, or those of cohorts synthesized into this run's directory."""
    from jobs.pipeline.stages import Stages
    from jobs.pipeline.synthetic import synthetic_shards

    cells = str(job.out / "cells")
    if job.args.shards_adult is not None:
        return Places(str(job.args.shards_adult.absolute()), str(job.args.shards_target.absolute()), cells)
    made = synthetic_shards(Stages(job), ("mimic", "zzu"))
    return Places(str(made["mimic"]), str(made["zzu"]), cells)


def _load(places: Places, limit_mb: float) -> dict[str, dict[str, Records]]:
    """All records of both cohorts by split. Raises ConfigError where they pass `limit_mb`."""
    from peace.data.shards import ShardSet

    cohorts = {ADULT: ShardSet.open(places.adult), TARGET: ShardSet.open(places.target)}
    needed = sum(12 * 2 * shards.length * sum(shards.splits.values()) for shards in cohorts.values()) / 2**20
    if needed > limit_mb:
        raise ConfigError(f"the cohorts take {needed:.0f} MB in memory: raise ray.in_memory_mb above that, if you can")
    return {name: {split: shards.load(split) for split in ("train", "val", "test")} for name, shards in cohorts.items()}


def _run_all(job: Job, cells: list[Cell], places: Places) -> None:
    """Run the cells that are not done, as many at a time as the cluster has room for, and track each as a child run.

    A cell that fails does not stop the others; its error is raised when they are done.
    """
    import ray

    from peace.core.progress import progress

    settings = job.config.ray
    share = settings.cpus_per_worker or 1.0
    task: Any = ray.remote(num_cpus=share, num_gpus=1 if settings.gpu else 0)(run_cell)
    missing = [cell for cell in dict.fromkeys(cells) if not (Path(places.cells) / cell.name / "cell.json").exists()]
    held = ray.put(_load(places, settings.in_memory_mb)) if missing else None
    waiting: dict[Any, Cell] = {}
    pretrained: dict[tuple[str, int], Any] = {}
    for cell in dict.fromkeys(cells):
        own = (cell.method, cell.seed)
        start = None if cell.protocol == "pretrain" else pretrained[own]
        if cell in missing:
            found = task.options(name=cell.name).remote(cell, job.config, places, held, max(1, int(share)), start)
            waiting[found] = cell
        else:
            found = str(Path(places.cells) / cell.name)
            _track(job, cell, Path(found))
        if cell.protocol == "pretrain":
            pretrained[own] = found
    failed: dict[str, BaseException] = {}
    with progress(None, "trainings", total=len(waiting), unit="training") as bar:
        while waiting:
            done, _ = ray.wait(list(waiting), num_returns=1)
            cell = waiting.pop(done[0])
            try:
                _track(job, cell, Path(ray.get(done[0])))
            except Exception as error:
                failed[cell.name] = error
                job.log.error("%s: %s", cell.name, error)
            bar.update()
            bar.set_postfix_str(cell.name)
    if failed:
        name, first = next(iter(failed.items()))
        cause = getattr(first, "cause", None)
        if isinstance(cause, PeaceError):
            raise DataError(f"{len(failed)} of {len(missing)} trainings failed; {name}: {cause}") from first
        raise first


def _track(job: Job, cell: Cell, place: Path) -> None:
    """Note a finished cell as a child run of MLflow, once."""
    from jobs.runtime.history import read_history
    from jobs.tracking.run import open_run
    from peace.core.files import read_json, write_text
    from peace.evaluation.metric_names import LABEL_AUC
    from peace.experiments.ablation.variants import variant_config

    if not job.config.tracking.enabled or (place / "tracked").exists():
        return
    row = read_json(place / "cell.json")
    with open_run(variant_config(job.config, cell.method, cell.seed), place, "ablate", job.run, enabled=True) as run:
        run.tags({name: row[name] for name in ("method", "protocol", "seed", "shots", "draw") if name in row})
        for epoch in read_history(place / "history.jsonl"):
            gates, first = epoch.pop("gate_steps"), epoch.pop("first_step")
            run.metrics(epoch, step=int(epoch["epoch"]))
            run.series("gate_step", gates, first)
        run.metrics({f"test/{name}": value for name, value in row.items() if name.startswith("macro_")})
        run.metrics({f"{LABEL_AUC}/{name}": value for name, value in row["labels"].items()})
    write_text(place / "tracked", "")


def tables(result: dict[str, Any]) -> list[Table]:
    """The comparison, protocol by protocol, and the AUC of each label."""
    from peace.experiments.ablation.report import label_rows, method_rows

    found = []
    for protocol in dict.fromkeys(entry["protocol"] for entry in result["summary"]):
        header, rows = method_rows(result["summary"], protocol)
        found.append(Table(f"{protocol}: macro AUC on test, over seeds", header, rows))
        header, rows = label_rows(result["summary"], protocol)
        found.append(Table(f"{protocol}: mean AUC of each label", header, rows))
    if result["curve"]:
        from peace.experiments.ablation.report import curve_rows

        found.append(Table("few-shot curve: mean macro AUC (range of the draws)", *curve_rows(result["curve"])))
    return [*found, Table("", ("", ""), [("report", result["report"])])]


VERB = Verb(
    name="ablate",
    summary="Methods and ablations against each other, over protocols and seeds.",
    add_arguments=add_arguments,
    work=work,
    tables=tables,
    sections=SECTIONS,
    settings=("ablate", "evaluation", "ray"),
    identity=identity,
    final=False,
)

if __name__ == "__main__":
    sys.exit(main(VERB))
