"""What the trials of a sweep say: rows for tables, the importance of each parameter, the curve over shots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from peace.experiments.ablation.summary import band
from peace.experiments.sweeps.repeats import judged
from peace.experiments.sweeps.space import Parameter, Space
from peace.experiments.sweeps.trial_store import Trial, best_trial

FEWEST_FOR_IMPORTANCE = 6
SHOTS, METHOD = "adapt.shots", "objective.method"


def rows_of(space: Space, trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """A row a trial, as result.json holds them: the parameters that had a say, and how it ended."""
    return [
        {
            "trial": trial.number,
            "status": trial.status,
            "parameters": space.active(trial.parameters),
            **({"draw": trial.draw} if trial.draw is not None else {}),
            space.metric: trial.value,
            "best_epoch": trial.best_epoch,
            "epochs": trial.curve[-1][0] if trial.curve else 0,
            "failures": trial.failures,
            "seconds": trial.seconds,
            "error": trial.error,
            **({"test": trial.test} if trial.test else {}),
        }
        for trial in trials
    ]


def best_of(space: Space, trials: Sequence[Trial]) -> dict[str, Any] | None:
    """The best trial: its number, the value of the metric, the metric's name, its parameters. None without any."""
    best = best_trial(trials, space.mode)
    if best is None:
        return None
    found = {"trial": best.number, "metric": best.value, "metric_name": space.metric, "mode": space.mode}
    return {**found, "epoch": best.best_epoch, "parameters": space.active(best.parameters)}


def table_rows(
    space_keys: Sequence[str], metric: str, mode: str, rows: Sequence[Mapping[str, Any]]
) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table of trials, the best first; a dash where a parameter had no say."""
    drawn = any("draw" in row for row in rows)
    header = ["trial", metric, "epochs", "ended", *(["draw"] if drawn else []), *short_names(space_keys)]
    sign = -1 if mode == "max" else 1
    known = sorted((row for row in rows if row[metric] is not None), key=lambda row: sign * row[metric])
    lines = []
    for row in [*known, *(row for row in rows if row[metric] is None)]:
        value = "–" if row[metric] is None else f"{row[metric]:.4f}"
        draw = [str(row["draw"])] if drawn else []
        values = [shown(row["parameters"].get(key)) for key in space_keys]
        lines.append([str(row["trial"]), value, str(row["epochs"]), row["status"], *draw, *values])
    return header, lines


def short_names(keys: Sequence[str]) -> list[str]:
    """The last part of each key, or the whole key where that is not enough to tell it from another."""
    last = [key.split(".")[-1] for key in keys]
    return [name if last.count(name) == 1 else key for name, key in zip(last, keys, strict=True)]


def shown(value: Any) -> str:
    """A parameter's value for a table."""
    if value is None:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def importance(space: Space, trials: Sequence[Trial], seed: int) -> dict[str, float] | None:
    """How much of the metric's variance each parameter explains (fANOVA, Hutter et al. 2014, by Optuna), falling.

    None for fewer than six trials with a value, fewer than two parameters, or no variance: nothing could be said.
    """
    import optuna

    known = [trial for trial in trials if trial.scored and _inside(space, trial)]
    values = [judged(trial) for trial in known]
    if len(known) < FEWEST_FOR_IMPORTANCE or len(space.parameters) < 2 or np.ptp(values) == 0:
        return None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    distributions = {key: _distribution(parameter) for key, parameter in space.parameters.items()}
    for trial, value in zip(known, values, strict=True):
        codes = {key: space.parameters[key].code(drawn) for key, drawn in trial.parameters.items()}
        study.add_trial(optuna.trial.create_trial(params=codes, distributions=distributions, value=value))
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=seed)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {key: float(share) for key, share in found.items()}


def shots_curve(trials: Sequence[Trial], level: float, method: str) -> list[dict[str, Any]]:
    """For each method and number of shots: mean macro AUC on the test split over the draws, and their band.

    Empty where trials are not draws of shots. `method` names that of a sweep which does not vary it.
    """
    drawn = [trial for trial in trials if trial.scored and trial.test and SHOTS in trial.parameters]
    groups: dict[tuple[str, int], list[Trial]] = {}
    for trial in drawn:
        groups.setdefault((trial.parameters.get(METHOD, method), trial.parameters[SHOTS]), []).append(trial)
    points = []
    for (name, shots), own in sorted(groups.items(), key=lambda item: (item[1][0].number, item[0][1])):
        mean, low, high = band([judged(trial) for trial in own], level)
        points.append(
            {"method": name, "shots": shots, "draws": len(own), "records": _mean_records(own)}
            | {"macro_auc": mean, "low": low, "high": high}
        )
    return points


def _mean_records(trials: Sequence[Trial]) -> float:
    return float(np.mean([trial.test["trained_on"] for trial in trials if trial.test]))


def _inside(space: Space, trial: Trial) -> bool:
    return all(space.parameters[key].holds(value) for key, value in trial.parameters.items())


def _distribution(parameter: Parameter) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if parameter.choice is not None:
        return CategoricalDistribution(parameter.labels)
    low, high = parameter.ends
    if parameter.integer is not None:
        return IntDistribution(int(low), int(high))
    return FloatDistribution(low, high, log=parameter.log_uniform is not None)
