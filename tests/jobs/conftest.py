"""Small cohorts, made once a session, and a way to call verbs as a user does: in a process of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[2]


def peace(*words: str | Path, cwd: Path, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Run `python -m jobs.cli` with the debug preset's words; never raises for a non-zero exit."""
    command = [sys.executable, "-m", "jobs.cli", *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=timeout)


def result_of(out: Path) -> dict[str, Any]:
    """The result.json of a run directory."""
    return dict(json.loads((out / "result.json").read_text()))


@pytest.fixture(scope="session")
def small_cohorts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with shards of synthetic adults (shards-mimic) and children (shards-zzu), at the debug preset."""
    place = tmp_path_factory.mktemp("cohorts")
    steps: list[list[str]] = [["synthesize", "--out", "data"]]
    for cohort in ("mimic", "zzu"):
        steps.append(["index", "--cohort", cohort, "--root", f"data/{cohort}", "--out", f"index-{cohort}"])
        steps.append(["preprocess", "--manifest", f"index-{cohort}/manifest.parquet", "--out", f"shards-{cohort}"])
    for words in steps:
        done = peace(*words, "--preset", "debug", "tracking.enabled=false", cwd=place)
        assert done.returncode == 0, done.stderr
    return place
