"""Figures of a sweep: parallel coordinates, importance, learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from peace.experiments.sweeps.space import Parameter, Space
from peace.experiments.sweeps.summary import short_names, shown
from peace.experiments.sweeps.trial_store import Trial, best_trial
from peace.reports.drawing import BLUE, GREY, ORANGE, plain, png

UNUSED = -0.12  # where a line passes a parameter that had no say
CURVES_NAMED = 10  # so many learning curves have their trial's number beside them


def parallel_coordinates(space: Space, trials: Sequence[Trial]) -> bytes:
    """A line a trial through its parameters to its metric, as a PNG; the best is drawn bold.

    A parameter without a say in a trial has no mark there: its line passes below the axis.
    """
    scored = [trial for trial in trials if trial.scored]
    best = best_trial(trials, space.mode)
    values = [float(trial.value or 0.0) for trial in scored]
    ramp = colormaps["viridis" if space.mode == "max" else "viridis_r"]
    shade = Normalize(min(values), max(values))
    columns = [*space.parameters, space.metric]
    figure = Figure(figsize=(max(7.0, 1.45 * len(columns)), 4.4), layout="constrained")
    axes = figure.add_subplot()
    spread = np.linspace(-0.02, 0.02, max(2, len(scored)))
    for place, trial in enumerate(scored):
        active = space.active(trial.parameters)
        heights = [
            _height(parameter, active[key], scored, key) + (spread[place] if parameter.choice is not None else 0.0)
            if key in active
            else UNUSED
            for key, parameter in space.parameters.items()
        ]
        span = max(values) - min(values)
        heights.append((float(trial.value or 0.0) - min(values)) / span if span else 0.5)
        bold = trial is best
        colour = ORANGE if bold else ramp(shade(float(trial.value or 0.0)))
        axes.plot(range(len(columns)), heights, color=colour, linewidth=2.6 if bold else 1.3, zorder=3 if bold else 2)
    for place, (key, parameter) in enumerate(space.parameters.items()):
        unused = [(UNUSED, "unused")] if parameter.when else []
        _scale(axes, place, [*_ticks(parameter, scored, key), *unused])
    _scale(axes, len(columns) - 1, [(0.0, f"{min(values):.3f}"), (1.0, f"{max(values):.3f}")])
    names = [_broken(name) for name in short_names(list(space.parameters))]
    axes.set_xticks(range(len(columns)), [*names, space.metric], fontsize=8)
    axes.set_xlim(-0.35, len(columns) - 0.55)
    axes.set_ylim(-0.18, 1.1)
    axes.set_yticks([])
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return png(figure)


def importance_bars(found: Mapping[str, float]) -> bytes:
    """Share of the metric's variance that each parameter explains, as a PNG."""
    figure = Figure(figsize=(6.5, 0.8 + 0.34 * len(found)), layout="constrained")
    axes = figure.add_subplot()
    axes.barh(range(len(found)), list(found.values()), color=BLUE, height=0.65)
    for place, value in enumerate(found.values()):
        axes.text(value + 0.008, place, f"{value:.2f}", va="center", fontsize=9, color=GREY)
    axes.set_yticks(range(len(found)), list(found), fontsize=9)
    axes.invert_yaxis()
    axes.set_xlim(0, max(found.values()) * 1.15)
    axes.set_xlabel("share of the metric's variance")
    plain(axes)
    axes.tick_params(axis="y", length=0)
    return png(figure)


def learning_curves(space: Space, trials: Sequence[Trial]) -> bytes:
    """The metric by epoch, a line a trial, as a PNG; the best in orange, those stopped early end with a cross."""
    best = best_trial(trials, space.mode)
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.add_subplot()
    drawn = [trial for trial in trials if trial.curve]
    for trial in sorted(drawn, key=lambda trial: trial is best):
        epochs, values = zip(*trial.curve, strict=True)
        colour = ORANGE if trial is best else BLUE
        alpha = 1.0 if trial is best or len(drawn) <= CURVES_NAMED else 0.5
        axes.plot(epochs, values, color=colour, linewidth=2.4 if trial is best else 1.1, alpha=alpha)
        marker = "o" if trial.status == "finished" else "x"
        axes.plot(epochs[-1], values[-1], marker, color=colour, markersize=5, alpha=alpha)
        if trial is best or len(drawn) <= CURVES_NAMED:
            axes.annotate(
                str(trial.number),
                (epochs[-1], values[-1]),
                (5, 0),
                textcoords="offset points",
                fontsize=8,
                color=colour,
            )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
    axes.set_ylabel(space.metric)
    plain(axes)
    return png(figure)


def _height(parameter: Parameter, value: object, trials: Sequence[Trial], key: str) -> float:
    """Where a value stands on its axis, 0 to 1; a value of the configuration outside of the space at an end."""
    if parameter.choice is not None:
        codes = _codes(parameter, trials, key)
        return codes.index(parameter.code(value)) / max(1, len(codes) - 1)
    low, high = parameter.ends
    assert isinstance(value, int | float)
    held = min(max(float(value), low), high)
    if parameter.log_uniform is not None:
        return float(np.log(held / low) / np.log(high / low))
    return (held - low) / (high - low)


def _ticks(parameter: Parameter, trials: Sequence[Trial], key: str) -> list[tuple[float, str]]:
    if parameter.choice is not None:
        codes = _codes(parameter, trials, key)
        return [(place / max(1, len(codes) - 1), code.strip('"')) for place, code in enumerate(codes)]
    low, high = parameter.ends
    return [(0.0, shown(low)), (1.0, shown(high))]


def _codes(parameter: Parameter, trials: Sequence[Trial], key: str) -> list[str]:
    """The values of a choice, and the configuration's own where it is none of them."""
    own = [parameter.code(trial.parameters[key]) for trial in trials]
    return [*parameter.labels, *(code for code in dict.fromkeys(own) if code not in parameter.labels)]


def _scale(axes: Axes, at: float, ticks: Sequence[tuple[float, str]]) -> None:
    axes.plot([at, at], [0, 1], color=GREY, linewidth=1, zorder=4)
    for height, text in ticks:
        axes.plot([at - 0.03, at + 0.03], [height, height], color=GREY, linewidth=1, zorder=4)
        axes.text(
            at + 0.06,
            height,
            text,
            fontsize=8,
            va="center",
            zorder=5,
            bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.8},
        )


def _broken(name: str) -> str:
    return name.replace(".", ".\n").replace("_", "_\n") if len(name) > 12 else name
