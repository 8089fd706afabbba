"""What `peace sweep` ends with: the comparison, best.yaml, figures and a page; and what it has found so far."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from jobs.runtime.harness import Job
from peace.core.errors import DataError
from peace.core.files import read_json, replacing, write_text
from peace.experiments.sweeps.space import SECTIONS, Space, trial_config
from peace.experiments.sweeps.summary import best_of, importance, rows_of, shots_curve
from peace.experiments.sweeps.trial_store import Trial, TrialStore, best_trial


def conclude(job: Job, name: str, space: Space, store: TrialStore, facts: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Compare the trials, write best.yaml, figures and report.html, log them; returns the values of result.json."""
    from peace.experiments.sweeps.report import sweep_figures, write_sweep_report

    trials = store.of("finished", "stopped", "failed")
    found = importance(space, trials, job.config.seed)
    result = compared(name, space, store, job.config.evaluation.level, job.config.objective.method)
    figures = sweep_figures(space, trials, found, result["curve"])
    for figure, content in figures.items():
        with replacing(job.out / f"{figure}.png") as temporary:
            temporary.write_bytes(content)
    synthetic = job.args.synthetic or job.args.shards is None
    report = write_sweep_report(job.out, name, space, trials, result["curve"], figures, facts, synthetic)
    best = best_trial(trials, space.mode)
    if best is not None:
        write_best(job, name, space, best)
        job.run.artifact(job.out / "best.yaml")
        job.run.metrics({f"best/{space.metric}": best.value})
        job.run.tags({"best_trial": best.number})
    job.run.tags({"space": name})
    for artefact in (report, *(job.out / f"{figure}.png" for figure in figures)):
        job.run.artifact(artefact)
    return {
        **result,
        "importance": found,
        "best_config": str(job.out / "best.yaml") if best is not None else None,
        "report": str(report),
    }


def compared(name: str, space: Space, store: TrialStore, level: float, method: str) -> dict[str, Any]:
    """What the store says, as result.json holds it."""
    trials = store.of("finished", "stopped", "failed")
    return {
        "space": {"name": name, "parameters": list(space.parameters), "search": space.search},
        "metric": space.metric,
        "mode": space.mode,
        "trials": len(trials),
        "failed": sum(trial.status == "failed" for trial in trials),
        "stopped_early": sum(trial.status == "stopped" for trial in trials),
        "best": best_of(space, trials),
        "rows": rows_of(space, trials),
        "curve": shots_curve(trials, level, method),
    }


def write_best(job: Job, name: str, space: Space, best: Trial) -> None:
    """Write OUT/best.yaml: the sections that the stage reads, as the best trial had them."""
    fixed = trial_config(job.config, space.fixed)
    tried = trial_config(fixed, space.active(best.parameters), best.draw).model_dump(mode="json")
    chosen = {section: tried[section] for section in SECTIONS[space.stage]}
    lines = [
        f"# Trial {best.number} of `peace sweep {name}`: {space.metric} {best.value:.4f} at epoch {best.best_epoch}.",
        f"# peace {space.stage} --config {job.out / 'best.yaml'} ...",
        *(f"#   {key}: {value}" for key, value in space.active(best.parameters).items()),
    ]
    write_text(job.out / "best.yaml", "\n".join(lines) + "\n" + yaml.safe_dump(chosen, sort_keys=False))


def found_in(out: Path) -> dict[str, Any]:
    """What the sweep in a directory has found, finished or under way. Raises DataError where there is none."""
    marker = out / "run.json"
    if not marker.exists() or read_json(marker)["verb"] != "sweep":
        raise DataError(f"{out} is not the directory of a `peace sweep`")
    if not (out / "sweep.json").exists():
        raise DataError(f"the sweep in {out} has not begun a trial yet")
    settings = read_json(out / "sweep.json")
    space = Space.model_validate(settings["space"])
    result = compared(
        settings["name"], space, TrialStore(out / "trials", space.mode), settings["level"], settings["method"]
    )
    made = {"best_config": out / "best.yaml", "report": out / "report.html"}
    return {**result, **{name: str(file.absolute()) if file.exists() else None for name, file in made.items()}}
