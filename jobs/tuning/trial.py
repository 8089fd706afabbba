"""One trial of a sweep: a driver that Ray Tune starts, which trains on workers of Ray Train and reports each epoch."""

from __future__ import annotations

import argparse
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.tune.integration.ray_train import TuneReportCallback

from jobs.runtime.harness import Job
from jobs.runtime.history import read_history
from jobs.tracking.run import Run
from jobs.training.launcher import train_on_ray
from jobs.tuning.resources import TrialResources
from jobs.tuning.search import BEST
from peace.config import Config
from peace.core.errors import PeaceError
from peace.core.files import read_json, write_json
from peace.core.storage import to_path
from peace.experiments.sweeps.space import trial_config
from peace.experiments.sweeps.trial_store import ENDED, FAULT
from peace.training.plan import Stage, build_plan


@dataclass(frozen=True)
class TrialPlan:
    """What all trials of a sweep share. It is sent to each.

    `start`: the checkpoint that adaptations start from. `scores_test`: score the test split at the end.
    """

    config: Config
    stage: Stage
    shards: str
    start: str | None
    trials: str
    metric: str
    mode: str
    resources: TrialResources
    scores_test: bool


def run_trial(config: dict[str, Any], plan: TrialPlan) -> None:
    """Train a trial, or continue with it. `config`: its number, its draw and what was drawn, by dotted key.

    Leaves `ended.json` when it has come to its end, `fault.json` when it cannot.
    """
    out = Path(plan.trials) / f"{config['trial']:04d}"
    if (out / FAULT).exists():
        fault = read_json(out / FAULT)
        if fault["final"]:
            raise PeaceError(fault["error"])  # another try would end the same way
        (out / FAULT).unlink()
    try:
        _train(config, out, plan)
    except BaseException as error:
        final = isinstance(error, PeaceError)
        text = str(error) if final else _last_line(error)
        write_json(out / FAULT, {"error": text, "final": final})
        raise


def _last_line(error: BaseException) -> str:
    """An error that Ray has wrapped, trace and all, on one line: what it began with, and what it came to."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [*lines[:1], *(lines[-1:] if len(lines) > 1 else [])]
    return ": ".join([type(error).__name__, *said])


class EpochReport(TuneReportCallback):
    """Tells Tune of an epoch once all workers have: its plain figures, and the best of the metric so far."""

    def __init__(self, metric: str, mode: str, earlier: list[float]) -> None:
        super().__init__()
        self._metric, self._pick, self._values = metric, max if mode == "max" else min, earlier

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any) -> None:
        """Called by Ray Train's controller."""
        figures = {name: value for name, value in metrics[0].items() if isinstance(value, int | float)}
        self._values.append(figures[self._metric])
        # what Tune's tables show are the first few
        leading = {"epoch": figures["epoch"], self._metric: figures[self._metric], BEST: self._pick(self._values)}
        super().after_report(run_context, [leading | figures], None)


def _train(config: dict[str, Any], out: Path, plan: TrialPlan) -> None:
    drawn = {key: value for key, value in config.items() if key not in ("trial", "draw")}
    name = f"trial {out.name}"
    job = Job(
        args=argparse.Namespace(),
        config=trial_config(plan.config, drawn, config.get("draw")),
        out=out,
        log=logging.getLogger(f"peace.{name}"),
        run=Run(),  # the sweep's process owns the MLflow runs of its trials
        identity=f"trial-{out.name}",
        label=name,
    )
    earlier = [epoch[plan.metric] for epoch in read_history(out / "history.jsonl")]
    report = EpochReport(plan.metric, plan.mode, earlier)
    training = build_plan(job.config, plan.stage, plan.shards, plan.start)
    best = train_on_ray(job, training, (plan.resources.share, plan.resources.threads), [report])
    test = {**_test_score(best, out, plan), "trained_on": training.n_records} if plan.scores_test else None
    write_json(out / ENDED, {"test": test})


def _test_score(best: Path, out: Path, plan: TrialPlan) -> dict[str, Any]:
    """Macro AUC on the test split and of each label, by the best epoch, computed where the trial's worker was."""
    # beside the trial's own reservation, which has room for the driver alone
    needs: dict[str, Any] = {"num_cpus": plan.resources.share, "num_gpus": 1 if plan.resources.gpu else 0}
    task: Any = ray.remote(scheduling_strategy="DEFAULT", **needs)(_score)
    found: dict[str, Any] = ray.get(task.remote(str(best), plan.shards, str(out), plan.resources.threads))
    return found


def _score(checkpoint: str, shards: str, out: str, threads: int) -> dict[str, Any]:
    import torch

    from jobs.training.scoring import score_checkpoint
    from peace.data.shards import ShardSet

    torch.set_num_threads(threads)
    held = {split: ShardSet.open(to_path(shards)).load(split) for split in ("val", "test")}
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return score_checkpoint(to_path(checkpoint), Path(out), held, device)
