"""When a point of a grid has been drawn often enough: early stopping across draws."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, Literal

import numpy as np

from peace.experiments.sweeps.space import Space
from peace.experiments.sweeps.trial_store import Trial


def grid_points(space: Space) -> list[dict[str, Any]]:
    """All combinations of a grid, the last parameter running fastest."""
    choices = [parameter.choice or () for parameter in space.parameters.values()]
    return [dict(zip(space.parameters, values, strict=True)) for values in product(*choices)]


def grid_size(space: Space) -> int:
    """The most trials that a grid can take."""
    return len(grid_points(space)) * (space.draws.at_most if space.draws else 1)


def settled(values: Sequence[float], tolerance: float) -> bool:
    """Whether the 95 % interval of the mean (Student's t over the draws) reaches no further than `tolerance`."""
    from scipy.stats import t

    if len(values) < 2:
        return False
    half = t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return bool(half <= tolerance)


Point = tuple[dict[str, Any], int | None]  # parameters and draw


def next_point(space: Space, trials: Sequence[Trial]) -> Point | Literal["wait", "end"]:
    """What a grid tries next; "wait" while that hangs on trials that still run.

    Draws go round: each point gets its first before any gets its second. A failed draw counts as one that was made.
    """
    if space.draws is None:
        tried = {point_key(trial.parameters) for trial in trials}
        missing = [point for point in grid_points(space) if point_key(point) not in tried]
        return (missing[0], None) if missing else "end"
    waiting = False
    for draw in range(1, space.draws.at_most + 1):
        for point in grid_points(space):
            own = [trial for trial in trials if point_key(trial.parameters) == point_key(point)]
            if draw in {trial.draw for trial in own}:
                continue
            if draw > space.draws.at_least:
                if any(trial.status == "open" for trial in own):
                    waiting = True
                    continue
                if settled([judged(trial) for trial in own if trial.scored], space.draws.tolerance):
                    continue
            return point, draw
    return "wait" if waiting else "end"


def judged(trial: Trial) -> float:
    """What draws of a point are compared by: macro AUC on the test split where it was scored."""
    value = trial.test["macro_auc"] if trial.test else trial.value
    assert value is not None
    return float(value)


def point_key(parameters: Mapping[str, Any]) -> str:
    """A point of the grid as text, the same whether it comes from the space or from a file."""
    return json.dumps(parameters, sort_keys=True, default=list)
