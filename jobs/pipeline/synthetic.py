"""Shards of synthetic cohorts in a job's own directory, for jobs that were given none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jobs.pipeline.stages import COHORTS, Stages


def synthetic_shards(stages: Stages, cohorts: Sequence[str]) -> dict[str, Path]:
    """Synthesize, index and preprocess; returns the shards of each cohort. What is there already stays."""
    out, given = stages.job.out, stages.overrides
    stages.overrides = [*given, *(f"synthetic.{cohort}_records=0" for cohort in COHORTS if cohort not in cohorts)]
    stages.call("data", "synthesize", [])
    stages.overrides = given
    for cohort in cohorts:
        stages.call(f"index-{cohort}", "index", ["--cohort", cohort, "--root", out / "data" / cohort])
        stages.call(f"shards-{cohort}", "preprocess", ["--manifest", out / f"index-{cohort}" / "manifest.parquet"])
    return {cohort: out / f"shards-{cohort}" for cohort in cohorts}
