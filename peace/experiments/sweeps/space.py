"""A search space: what is tried, how it is judged, and how long. One YAML file a space (tune_spaces/*.yaml)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, Field, TypeAdapter, ValidationError, model_validator

from peace.config import Config, Section, known_keys, override_config
from peace.core.errors import ConfigError, nearest

# what `peace pretrain` and `peace adapt` read of the configuration
SECTIONS = {"pretrain": ("seed", "model", "objective", "pretrain"), "adapt": ("seed", "objective", "adapt")}
METRICS = {"val_auc": "max", "loss_classification": "min"}  # figures of an epoch by which trials can be told apart


class Parameter(Section):
    """How one key of the configuration is drawn: exactly one of the four ways.

    `when` names values of other parameters without which this one has no say; it then keeps the configuration's value.
    """

    choice: tuple[Any, ...] | None = None
    uniform: tuple[float, float] | None = None
    log_uniform: tuple[float, float] | None = None
    integer: tuple[int, int] | None = Field(None, description="whole numbers, both ends included")
    when: Mapping[str, tuple[Any, ...]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_way(self) -> Parameter:
        given = [kind for kind in ("choice", "uniform", "log_uniform", "integer") if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError("give exactly one of choice, uniform, log_uniform, integer")
        if self.choice is None:
            low, high = self.ends
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise ValueError(f"{given[0]} wants two finite numbers, the lower one first")
            if self.log_uniform is not None and low <= 0:
                raise ValueError("log_uniform wants numbers above 0")
        elif not self.choice:
            raise ValueError("choice wants at least one value")
        return self

    @property
    def ends(self) -> tuple[float, float]:
        """Lowest and highest value of a range. Raises TypeError for a choice."""
        found = self.uniform or self.log_uniform or self.integer
        if found is None:
            raise TypeError("a choice has no ends")
        return found

    @property
    def labels(self) -> tuple[str, ...]:
        """The values of a choice as text, since search algorithms take no lists."""
        return tuple(json.dumps(value, default=list) for value in self.choice or ())

    def code(self, value: Any) -> Any:
        """A value as search algorithms know it: a choice by its text."""
        return value if self.choice is None else json.dumps(value, default=list)

    def decode(self, code: Any) -> Any:
        """The value behind a code."""
        return code if self.choice is None else self.choice[self.labels.index(code)]

    def holds(self, value: Any) -> bool:
        """Whether a value could be drawn."""
        if self.choice is not None:
            return self.code(value) in self.labels
        low, high = self.ends
        return isinstance(value, int | float) and low <= value <= high

    def probes(self) -> tuple[Any, ...]:
        """Values to check against the configuration: all of a choice, ends and an inner point of a range."""
        if self.choice is not None:
            return self.choice
        low, high = self.ends
        return (low, high) if self.integer is not None else (low, high, low + 0.381966 * (high - low))


class Scheduler(Section):
    """ASHA stops trials that do worse than others at the same epoch; plain lets each run to its end."""

    name: Literal["asha", "plain"] = "plain"
    grace: int = Field(1, gt=0, description="epochs before a trial may be stopped")
    reduction: float = Field(2.0, gt=1, description="one in so many trials resumes from each rung to the next")


class Budget(Section):
    """How much is spent."""

    trials: int | None = Field(None, gt=0, description="default of --trials; a grid has its own size")
    retries: int = Field(1, ge=0, description="further tries of a trial whose processes died")


class Draws(Section):
    """A grid whose points are repeated under other seeds, until their mean is known well enough."""

    at_least: int = Field(2, gt=1)
    at_most: int = Field(5, gt=1)
    tolerance: float = Field(0.01, gt=0, description="no further draw once the 95 % interval of the mean is so narrow")

    @model_validator(mode="after")
    def _ordered(self) -> Draws:
        if self.at_most < self.at_least:
            raise ValueError("at_most must not be under at_least")
        return self


class Space(Section):
    """What a sweep tries. `fixed` is set in each trial; `parameters` are drawn."""

    summary: str
    stage: Literal["pretrain", "adapt"]
    metric: str = "val_auc"
    mode: Literal["max", "min"] = "max"
    search: Literal["tpe", "grid"]
    scheduler: Scheduler = Scheduler()
    budget: Budget = Budget()
    draws: Draws | None = None
    fixed: dict[str, Any] = Field(default_factory=dict)
    parameters: dict[str, Parameter] = Field(min_length=1)

    @model_validator(mode="after")
    def _goes_together(self) -> Space:
        if self.metric not in METRICS:
            raise ValueError(f"metric '{self.metric}' is none of {', '.join(METRICS)}{nearest(self.metric, METRICS)}")
        if METRICS[self.metric] != self.mode:
            raise ValueError(f"mode of {self.metric} must be {METRICS[self.metric]}")
        if self.search == "tpe" and self.budget.trials is None:
            raise ValueError("search tpe needs budget.trials")
        ranges = [key for key, parameter in self.parameters.items() if parameter.choice is None]
        if self.search == "grid" and ranges:
            raise ValueError(f"search grid needs choice for every parameter, {ranges[0]} has a range")
        if self.draws is not None and (self.search != "grid" or "seed" in self.parameters):
            raise ValueError("draws are for search grid, and set seed by themselves")
        if self.draws is not None and self.scheduler.name != "plain":
            raise ValueError("draws are measured, so that each must run to its end: scheduler plain")
        for key, parameter in self.parameters.items():
            for other, values in parameter.when.items():
                known = self.parameters.get(other)
                if known is None or not all(known.holds(value) for value in values):
                    raise ValueError(f"{key}: when {other} is {list(values)} never happens in this space")
        return self

    def active(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the drawn values that have a say, by their `when`."""
        return {
            key: value
            for key, value in parameters.items()
            if all(parameters.get(other) in values for other, values in self.parameters[key].when.items())
        }


def read_space(path: Path, preset: str) -> Space:
    """A space as a preset has it: what stands under `presets.NAME` is laid over the rest.

    Raises ConfigError for a file that cannot be read, an unknown key (naming the nearest) or a value that the
    configuration refuses.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read search space {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path} must hold keys and values: summary, stage, search, parameters")
    overlays = values.pop("presets", None) or {}
    if not isinstance(overlays, dict) or not all(isinstance(part, dict) for part in overlays.values()):
        raise ConfigError(f"{path}: presets must map the name of a preset to what differs there")
    # each overlay is checked, whichever is asked for
    spaces = {name: build_space({**_laid_over(values, part)}, str(path)) for name, part in overlays.items()}
    return spaces[preset] if preset in spaces else build_space(values, str(path))


def build_space(values: Mapping[str, Any], name: str) -> Space:
    """Validate a space against its own form and against the typed configuration. Raises ConfigError naming `name`."""
    try:
        space = Space.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{name}: " + "; ".join(_explain(item) for item in error.errors())) from None
    for key, parameter in space.parameters.items():
        for value in parameter.probes():
            _check(key, value, space.stage, name)
    for key, value in space.fixed.items():
        if key in space.parameters:
            raise ConfigError(f"{name}: {key} is both fixed and drawn")
        _check(key, value, space.stage, name)
    return space


def trial_config(config: Config, drawn: Mapping[str, Any], draw: int | None = None) -> Config:
    """The configuration of a trial: `drawn` (dotted keys) laid over the sweep's; draws count on from its seed.

    Raises ConfigError where the values do not go together.
    """
    seed = {} if draw is None else {"seed": config.seed + draw - 1}
    return override_config(config, {**seed, **drawn})


def start_values(config: Config, keys: Sequence[str]) -> dict[str, Any]:
    """What a configuration has for dotted keys, as a YAML file would say it."""
    values = config.model_dump(mode="json")
    return {key: reduce(getitem, key.split("."), values) for key in keys}


def _check(key: str, value: Any, stage: str, name: str) -> None:
    """Raise ConfigError unless the stage reads the key, and its field takes the value."""
    own = [known for known in known_keys() if known.split(".")[0] in SECTIONS[stage]]
    if key not in own:
        what = f"is not read by `peace {stage}`" if key in known_keys() else "is no configuration key"
        raise ConfigError(f"{name}: {key} {what}{nearest(key, own)}")
    kind: type[BaseModel] = Config
    *sections, last = key.split(".")
    for section in sections:
        kind = kind.model_fields[section].annotation  # type: ignore[assignment]
    field = kind.model_fields[last]
    wanted: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    try:
        TypeAdapter(wanted).validate_python(value)
    except ValidationError as error:
        raise ConfigError(f"{name}: {key}: {error.errors()[0]['msg'].lower()}, got {value!r}") from None


def _laid_over(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Sections of an overlay are merged, entry by entry; a parameter is replaced as a whole, null takes it out."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(base.get(key), Mapping)
        merged[key] = {**base[key], **value} if both else value
    if isinstance(merged.get("parameters"), Mapping):
        merged["parameters"] = {key: value for key, value in merged["parameters"].items() if value is not None}
    return merged


def _explain(item: Mapping[str, Any]) -> str:
    path = [str(part) for part in item["loc"]]
    dotted = ".".join(path)
    if item["type"] == "extra_forbidden":
        section: Any = Space if len(path) == 1 else Parameter if path[0] == "parameters" else None
        section = section or Space.model_fields[path[0]].annotation
        known = getattr(section, "model_fields", Draws.model_fields)
        return f"unknown key '{dotted}'{nearest(path[-1], known)}"
    if item["type"] == "value_error":
        return f"{dotted}: {item['ctx']['error']}" if dotted else str(item["ctx"]["error"])
    return f"{dotted}: {item['msg'].lower()}, got {item['input']!r}"
