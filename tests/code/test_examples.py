"""Every script in examples/ runs as a user would run it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
SCRIPTS = sorted((PROJECT / "examples").glob("*.py"))


def test_there_are_examples() -> None:
    assert [path.name for path in SCRIPTS] == ["record_to_prediction.py"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_an_example_runs_without_ray_and_prints_probabilities(script: Path, tmp_path: Path) -> None:
    code = "import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    code += "; print('heavy:', sorted({'ray', 'mlflow'} & set(sys.modules)))"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-c", code, str(script), str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "heavy: []"
    found = [float(value) for value in re.findall(r"^\w+ +(0\.\d{3})  ", done.stdout, flags=re.MULTILINE)]
    assert len(found) == 12
    assert found == sorted(found, reverse=True)
    assert (tmp_path / "twelve_leads.png").read_bytes().startswith(b"\x89PNG")
