"""Verbs run one after another in one process, each in a directory of its own under one MLflow run."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jobs.runtime.harness import Job, execute, parser_of
from jobs.runtime.verbs import verb_of
from peace.config import Config, load_config

COHORTS = {"mimic": "adults", "zzu": "children", "ptbxl": "PTB-XL"}


class Stages:
    """Calls verbs with the demo's preset and overrides, under the demo's MLflow run, and keeps their results."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.results: dict[str, dict[str, Any]] = {}
        self.overrides = _differences(job.config, job.args.preset)

    def call(self, stage: str, verb_name: str, arguments: Sequence[str | Path]) -> dict[str, Any]:
        """Run one verb into OUT/<stage>, or where it writes by itself: evaluate and register beside their run."""
        print(f"\n== {stage}", file=sys.stderr)
        verb = verb_of(verb_name)
        out = self.job.out / stage
        args = parser_of(verb).parse_args([*map(str, arguments), "--preset", self.job.args.preset])
        args.out = None if verb.default_out(args) else out
        args.parent_run = self.job.run
        self.results[stage] = execute(verb, args, self.overrides)
        return self.results[stage]


def _differences(config: Config, preset: str) -> list[str]:
    """Overrides that turn the preset into this configuration, for the stages."""
    base = dict(_flat(load_config(preset).model_dump()))
    return [f"{key}={json.dumps(value)}" for key, value in _flat(config.model_dump()) if base.get(key) != value]


def _flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in values.items():
        found += _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else [(prefix + key, value)]
    return found
